"""What Cloud Run keeps of a service: its v1 object, its revisions, and the split in force.

The stored truth is the v1 (Knative) object as clients wrote it, so that fields this world does
not know survive. Who may write, and what a write leads to, is in `writes`; how it looks from
outside is in `run_v1` and `run_v2`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of a traffic list. revision None: LATEST. percent 0 and tag "": absent."""

    revision: str | None
    percent: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with one split in force.

    shares: revision name -> fraction 0..1 of the service's requests; only revisions above 0.
    """

    start: datetime
    end: datetime
    shares: Mapping[str, float]


@dataclass(slots=True)
class Revision:
    """A revision. template: the v1 template it was made of. state: pending, ready or failed.

    started: it was ready once.
    """

    name: str
    uid: str
    template: Json
    born: datetime
    creator: str
    state: str = "pending"
    started: bool = False
    message: str = ""
    since: datetime = LONG_AGO

    def become(self, state: str, now: datetime, message: str = "") -> None:
        """Change the state at `now`."""
        self.state, self.message, self.since = state, message, now
        self.started |= state == "ready"


@dataclass(slots=True)
class Service:
    """A service of one region.

    raw: metadata (name, namespace, uid, creationTimestamp, labels, annotations) and spec of the v1
    object, never shared with a caller. spec_us, status_us: when the spec was last written and
    when the status last changed, microseconds since 1970. in_force: the split that requests
    really meet. failure: why the last write could not come into force, "" where it did.
    """

    project: str
    region: str
    name: str
    raw: Json
    born: datetime
    generation: int = 1
    observed: int = 0
    spec_us: int = 0
    status_us: int = 0
    ready_since: datetime = LONG_AGO
    failure: str = ""
    revisions: dict[str, Revision] = field(default_factory=dict)
    latest_created: str = ""
    latest_ready: str = ""
    in_force: tuple[Target, ...] = ()
    serial: int = 0
    stamp: int = 0
    _times: list[datetime] = field(default_factory=list)
    _shares: list[Mapping[str, float]] = field(default_factory=list)
    _rises: dict[str, list[datetime]] = field(default_factory=dict)

    @property
    def reconciling(self) -> bool:
        """Tell whether the last write is not yet in force."""
        return self.observed < self.generation

    @property
    def desired(self) -> tuple[Target, ...]:
        """Return the split that was asked for; an empty list means 100% to the latest ready."""
        return targets_of(self.raw["spec"].get("traffic"))

    def resolve(self, target: Target) -> str:
        """Return the revision that a target of this service means now."""
        return target.revision or self.latest_ready

    def revision_of_tag(self, tag: str) -> str | None:
        """Return the revision that serves a tag's URL, None where no such tag is in force."""
        return next((self.resolve(target) for target in self.in_force if target.tag == tag), None)

    def is_retired(self, revision: str) -> bool:
        """Tell whether a revision has neither a share nor a tag."""
        return all(self.resolve(target) != revision for target in self.in_force)

    def shares_now(self) -> dict[str, float]:
        """Return the split in force, as fractions, by revision."""
        shares: dict[str, float] = {}
        for target in self.in_force:
            if target.percent:
                revision = self.resolve(target)
                shares[revision] = shares.get(revision, 0.0) + target.percent / 100
        return shares

    def note_split(self, now: datetime) -> list[str]:
        """Keep the split in force from `now` on; return the revisions whose share rose."""
        before = self._shares[-1] if self._shares else None
        shares = self.shares_now()
        if shares == before:
            return []
        self._times.append(now)
        self._shares.append(shares)
        if before is None:
            return []
        risen = [name for name, share in shares.items() if share > before.get(name, 0.0)]
        for name in risen:
            self._rises.setdefault(name, []).append(now)
        return risen

    def rises(self, revision: str) -> tuple[datetime, ...]:
        """Return when the share in force of a revision rose, oldest first."""
        return tuple(self._rises.get(revision, ()))

    def spans(self, start: datetime, end: datetime) -> tuple[Span, ...]:
        """Return the splits in force between two times, without gaps."""
        first = max(0, bisect_right(self._times, start) - 1)
        spans = []
        for index in range(first, len(self._times)):
            begins = start if index == first else self._times[index]
            ends = self._times[index + 1] if index + 1 < len(self._times) else end
            if begins >= end:
                break
            if ends > begins:
                spans.append(Span(begins, min(ends, end), self._shares[index]))
        return tuple(spans)


def targets_of(traffic: Any) -> tuple[Target, ...]:
    """Read a v1 traffic list, whatever a client wrote into it."""
    if not isinstance(traffic, list) or not traffic:
        return (Target(None, 100),)
    return tuple(
        Target(
            None if entry.get("latestRevision") else str(entry.get("revisionName", "")),
            int(entry.get("percent") or 0),
            str(entry.get("tag") or ""),
        )
        for entry in traffic
    )


def micros(when: datetime) -> int:
    """Return microseconds since 1970."""
    return (when - EPOCH) // MICROSECOND


def instant(us: int) -> datetime:
    """Return the time of a number of microseconds since 1970."""
    return EPOCH + us * MICROSECOND


def rfc3339(when: datetime) -> str:
    """Write a time as the v1 API does, in microseconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
