"""The service of a simulated Cloud Run, as it is between two changes: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
PROJECT, REGION, SERVICE = "sim", "us-central1", "web"
HOST = "web-abc-uc.a.run.app"
RECORD = "rollout/record"
MODIFIER = "serving.knative.dev/lastModifier"


def path_in(region: str) -> str:
    """Return the service's full name."""
    return f"projects/{PROJECT}/locations/{region}/services/{SERVICE}"


def instant(now: int) -> datetime:
    """Return the world's time as a datetime."""
    return START + timedelta(microseconds=now)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a traffic list. revision None: LATEST."""

    revision: str | None
    percent: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision. ready None: it is being started."""

    name: str
    born: int
    ready: bool | None = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """The service as it is between two changes: frozen, so that a look of it can be kept.

    version: µs of the last write a later one is checked against; status_at: of the last change.
    """

    uid: str
    generation: int
    observed: int
    version: int
    status_at: int
    notes: Mapping[str, str]
    template: str
    traffic: tuple[Line, ...]
    in_force: tuple[Line, ...]
    ready: bool | None
    message: str
    revisions: Mapping[str, Revision]
    latest_ready: str
    latest_created: str

    @property
    def record(self) -> str | None:
        """Return the annotation that rollout keeps."""
        return self.notes.get(RECORD)

    def percents(self, lines: tuple[Line, ...]) -> dict[str, int]:
        """Return revision → percent of a traffic list, LATEST resolved."""
        found: dict[str, int] = {}
        for line in lines:
            if line.percent:
                name = line.revision or self.latest_ready
                found[name] = found.get(name, 0) + line.percent
        return found

    @property
    def asked(self) -> dict[str, int]:
        """Return what was asked for."""
        return self.percents(self.traffic)

    @property
    def serving(self) -> dict[str, int]:
        """Return what is in force."""
        return self.percents(self.in_force)

    def tags(self) -> dict[str, str]:
        """Return tag → revision as asked for."""
        return {line.tag: line.revision or self.latest_ready for line in self.traffic if line.tag}

    def can_serve(self, lines: tuple[Line, ...]) -> str:
        """Return why a traffic list cannot come into force, or nothing."""
        for name in self.percents(lines):
            found = self.revisions.get(name)
            if found is None:
                return f"Revision '{name}' not found."
            if found.ready is False:
                return f"Revision '{name}' is not ready and cannot serve traffic. {found.why}"
        for tag, name in self.tags().items() if lines is self.traffic else ():
            if name not in self.revisions:
                return f"Revision '{name}' of tag '{tag}' not found."
        return ""
