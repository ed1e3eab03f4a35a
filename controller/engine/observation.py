"""What one tick saw. Every part is `Seen(value)` or `NotSeen(why)`, never an exception.

Our own types only; nothing here knows Google's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from controller.gates.evidence import Query, Readings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """It was seen, and this is what it was."""

    value: T


@dataclass(frozen=True, slots=True)
class NotSeen:
    """It could not be seen; why, as a sentence for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """It does not exist (any more)."""

    why: str


@dataclass(frozen=True, slots=True)
class Target:
    """One line of a service's traffic. revision None: LATEST. percent: whole, 0 for a bare tag."""

    revision: str | None
    percent: int = 0
    tag: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceName:
    """Where a service is."""

    project: str
    region: str
    service: str

    @property
    def place(self) -> str:
        """Return what any command needs to mean it, wherever it runs."""
        return f"{self.service} --region {self.region} --project {self.project}"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A Cloud Run service as the controller sees it.

    targets: what was asked for. statuses: what is in force (LATEST resolved to a revision).
    ready: the service's Ready condition, None while it is not known. record_text: our annotation,
    None where there is none. unusual: facts that would fight us, as sentences ("session affinity
    is on: …"). Revision names are short.
    """

    name: ServiceName
    uid: str
    generation: int
    reconciling: bool
    targets: tuple[Target, ...]
    statuses: tuple[Target, ...]
    ready: bool | None
    ready_message: str
    latest_ready: str | None
    latest_created: str | None
    record_text: str | None
    last_modifier: str = ""
    url: str = ""
    unusual: tuple[str, ...] = ()

    @property
    def asked(self) -> dict[str, int]:
        """Return revision → percent asked for; LATEST counts for the latest ready revision."""
        return _shares(self.targets, self.latest_ready)

    @property
    def in_force(self) -> dict[str, int]:
        """Return revision → percent in force."""
        return _shares(self.statuses, self.latest_ready)

    def url_of(self, tag: str) -> str | None:
        """Return a tag's URL where it is in force."""
        return next((s.url for s in self.statuses if s.tag == tag and s.url), None)


def _shares(targets: tuple[Target, ...], latest: str | None) -> dict[str, int]:
    shares: dict[str, int] = {}
    for target in targets:
        name = target.revision or latest
        if target.percent and name:
            shares[name] = shares.get(name, 0) + target.percent
    return shares


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One revision. ready None: not known yet. facts: what "what changed" compares, by name."""

    name: str
    ready: bool | None
    why: str = ""
    created: datetime | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    session_affinity: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a revision's template. takes_requests: it has a port."""

    name: str
    image: str
    takes_requests: bool


@dataclass(frozen=True, slots=True)
class Template:
    """What the service's next revision would be made of, at a generation of the service.

    rest: everything but the images, as one text that is the same for the same configuration.
    facts: as of a revision (`RevisionState.facts`), without the images.
    """

    generation: int
    containers: tuple[Container, ...]
    rest: str
    facts: Mapping[str, str] = field(default_factory=dict)


class CheckOutcome(StrEnum):
    """What a check showed."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"  # stable or a dependency fails as well


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """One check's outcome, with the sentence that explains it."""

    outcome: CheckOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of ours that reached a revision: it is no evidence and is subtracted."""

    at: datetime
    revision: str
    code: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Window:
    """The minutes to read for one query: (start, end], both whole minutes."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything one tick saw. on_duty: the checks are this controller's to send.

    stable: the largest of the revisions that served before; beside: the others of them, by name.
    earlier: the same service in the region that must be promoted first. history: stable's last day,
    read once that is so.
    """

    service: Seen[ServiceState] | NotSeen | Gone
    candidate: Seen[RevisionState] | NotSeen | Gone = NotSeen("not asked")
    stable: Seen[RevisionState] | NotSeen | Gone = NotSeen("not asked")
    readings: Mapping[Query, Seen[Readings] | NotSeen] = field(default_factory=dict)
    windows: Mapping[Query, Window] = field(default_factory=dict)
    checks: Mapping[str, Seen[CheckSeen] | NotSeen] = field(default_factory=dict)
    own: tuple[OwnRequest, ...] = ()
    on_duty: bool = True
    earlier: Seen[ServiceState] | NotSeen | Gone = NotSeen("not asked")
    history: Mapping[Query, Seen[Readings] | NotSeen] = field(default_factory=dict)
    beside: Mapping[str, Seen[RevisionState] | NotSeen | Gone] = field(default_factory=dict)
