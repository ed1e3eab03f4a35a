"""The doors to the world and the few errors that may come through them. Our types only.

Implementations are in `cloud/` (production) and speak to Google or to the sandbox alike; only
`cli/wiring.py` constructs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from controller.engine.deploying import Deploy
from controller.engine.observation import (
    RevisionState,
    ServiceName,
    ServiceState,
    Target,
    Template,
)
from controller.engine.telling import Letter
from controller.gates.evidence import Query, Readings


class PortError(Exception):
    """Something outside did not work. what: one sentence. mend: what to do about it, or ""."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


class Unavailable(PortError):
    """No answer, or one that says "later" (quota, deadline, server error). Worth another try."""


class Denied(PortError):
    """Permission or credentials are missing; `what` names the permission, `mend` the role."""


class Missing(PortError):
    """What was asked for does not exist; `mend` names the nearest that do."""


class Conflict(PortError):
    """The service is not any more what was observed: observe and decide again."""


class Refused(PortError):
    """The request itself was refused (invalid argument, API not enabled, failed precondition)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a write sets: the whole traffic list and our record; with `deploy`, a new revision.

    record_text None removes the annotation. raises: it raises the candidate's weight or promotes,
    and is therefore void 60 s after it was decided. rollout: its id, named to the server.
    deploy: the revision to be made in the same call, or None: then no template is touched.
    """

    targets: tuple[Target, ...]
    record_text: str | None
    raises: bool
    rollout: str = ""
    deploy: Deploy | None = None


class TrafficRouter(Protocol):
    """Cloud Run: services, revisions, and the one guarded write."""

    def observe(self, name: ServiceName) -> ServiceState:
        """Read a service (v2). Raises Missing, Denied, Unavailable, Refused."""

    def fresh(self, name: ServiceName) -> ServiceState:
        """Read a service by the API that guards writes (v1).

        A `write` expecting this very state right after needs no further read.
        """

    def template(self, name: ServiceName) -> Template:
        """Read what the service's next revision would be made of (v1)."""

    def services(self, project: str, region: str) -> tuple[ServiceState, ...]:
        """Read every service of a region in one listing (v2), by name.

        Raises Denied, Unavailable, Refused.
        """

    def revision(self, name: ServiceName, revision: str) -> RevisionState:
        """Read one revision. Raises Missing where it does not exist."""

    def revisions(self, name: ServiceName) -> tuple[RevisionState, ...]:
        """Return every revision of the service, newest first."""

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        """Write traffic and record in one call if the service is still what was observed.

        "Still": same uid, asked traffic and record text. Returns what is read back. Raises
        Conflict (also for a void decision, and when the read back shows another's write),
        Unavailable when the outcome is unknown (observe again), Denied, Refused, Missing.
        """


class MetricSource(Protocol):
    """Cloud Monitoring: minutes of a metric by revision."""

    def read(
        self,
        name: ServiceName,
        query: Query,
        revisions: Sequence[str],
        start: datetime,
        end: datetime,
        period: timedelta = timedelta(minutes=1),
    ) -> Readings:
        """Return the points in (start, end], by revision and end of the period.

        A metric type nobody ever wrote is an empty answer. Raises Denied, Unavailable, Refused.
        """

    def exists(self, project: str, metric_type: str) -> bool:
        """Tell whether the metric type is known in the project."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who we are may be told, by an ID token for this audience.

    at_once: with the first request, and without a token it is not sent at all; else only where the
    service answers 401 or 403 to a request that does not tell it.
    """

    audience: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request of ours; header values may be "env:NAME", resolved when it is sent.

    caller: None where nobody there is to know who we are.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    timeout: timedelta = timedelta(seconds=10)
    caller: Caller | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. body: parsed JSON, or None where it is none; text: the first 2 kB."""

    status: int
    body: Any
    text: str
    latency_ms: float


class Checker(Protocol):
    """Sends requests of ours; redirects are not followed, bodies are capped at 64 kB."""

    def send(self, request: Request) -> Answer:
        """Send it once. Raises Unavailable when there was no answer, Refused for a bad URL.

        Denied where it needs an ID token and there is none.
        """


class Clock(Protocol):
    """The only way to know the time or to let it pass."""

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""

    def sleep(self, pause: timedelta) -> None:
        """Return after `pause`, or earlier when the process is asked to stop."""


class Delivered(StrEnum):
    """What became of a message."""

    SENT = "sent"
    SHOWN = "shown"  # in the sandbox: nobody was told
    LATER = "later"  # not this time; worth another try
    NEVER = "never"  # refused for good: the same again would be refused again


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message. why: a sentence without any secret; of one shown, its text."""

    outcome: Delivered
    why: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """A message as it is sent: a POST of JSON. to: whose it is; one's own go one after the other.

    url and the values of secrets: "env:NAME", looked up when it is sent.
    """

    to: str
    url: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


class Poster(Protocol):
    """Sends messages over HTTP, within a few seconds in all, whatever the other side does."""

    def deliver(self, posts: Sequence[Post]) -> Sequence[Delivery]:
        """Send them, and tell by place what became of each. Raises nothing."""


class Notifier(Protocol):
    """Tells people. Never decides, never blocks: it is back within a few seconds."""

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Tell them, and say by place what became of each. Raises nothing."""


class Nobody:
    """A notifier where nobody can be told: of commands that only look."""

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Leave it to another process."""
        return [Delivery(Delivered.LATER, "nobody can be told from here")] * len(letters)


@dataclass(frozen=True, slots=True)
class Ports:
    """Every door the reconciler may use."""

    router: TrafficRouter
    metrics: MetricSource
    checker: Checker
    clock: Clock
    notifier: Notifier = field(default_factory=Nobody)
