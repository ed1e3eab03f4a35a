"""What happens in a world: the typed scenario, and where scenarios are found.

Reading the YAML is in `scenario_reader`; what a scenario does to the world is in `world`,
`people`, `faults`, and in the traffic model. Importing this module imports no Google library.

Units: rates and shares are fractions 0..1, latencies milliseconds, times timedeltas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MONDAY_MORNING = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FLAT = (1.0,) * 24
PACKAGED = Path(__file__).parent / "scenarios"
NO_TIME = timedelta(0)
SAYS = ("approve", "reject", "pause", "resume", "advance", "promote", "rollback", "cancel")
"""What a person can say to rollout; wiring runs the command of that name."""
DOES: Mapping[str, str] = {
    "traffic": "split",
    "deploy": "",
    "ready": "revision",
    "unready": "revision",
    "set_annotation": "key",
    "delete_annotation": "key",
    "delete_revision": "revision",
    "delete_service": "",
}
"""What a person can do to the world, and the key that it needs beside `do`."""


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text names file, line and the mend."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant that may not be known in advance.

    shift: None counts `plus` from the world's start; N counts it from the N-th time that the
    share in force of `revision` rose. revision: "stable", "candidate" or a name; None is the
    revision in whose truth the moment stands, elsewhere the candidate.
    """

    shift: int | None = None
    revision: str | None = None
    plus: timedelta = NO_TIME


@dataclass(frozen=True, slots=True)
class Truth:
    """How a revision really behaves; what is None is not said here.

    errors: response code or class ("503", "5xx") -> fraction of its requests. p50_ms, p95_ms:
    latency. gauges: metric type -> value. gauges_are: "good" or "bad", every gauge of the setting
    at that value of its own (`gauges: bad` in the file). pace: multiplies latencies (0.8 is 20%
    faster).
    """

    errors: Mapping[str, float] | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    gauges: Mapping[str, float] | None = None
    pace: float | None = None
    gauges_are: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A truth that holds from a moment on; until None is for ever. Later entries override."""

    since: Moment
    until: Moment | None
    truth: Truth


@dataclass(frozen=True, slots=True)
class RevisionTruth:
    """The truth about one revision: another's (`like`), overridden by its own, then by changes.

    starts: whether it is ever ready where it is deployed in this world.
    """

    like: str | None = None
    truth: Truth = Truth()
    changes: tuple[Change, ...] = ()
    starts: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second to the service, and a factor for each hour of the day (UTC)."""

    rate_per_s: float = 10.0
    by_hour: tuple[float, ...] = FLAT


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that hits every revision: `truth` overrides theirs for a time."""

    since: Moment
    lasts: timedelta
    truth: Truth


@dataclass(frozen=True, slots=True)
class Poison:
    """What the candidate breaks for every revision (a database, a queue), while it has traffic.

    errors: response code or class -> share of everybody's requests that fails on top of their own
    where the candidate has all the traffic; in proportion where it has less.
    """

    errors: Mapping[str, float]
    since: Moment | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """Cloud Monitoring answers UNAVAILABLE for a time."""

    since: Moment
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Metrics:
    """How Cloud Monitoring behaves.

    *_delay: how old a point is when it becomes visible. missing: revisions ("stable",
    "candidate", names) that have no series at all.
    """

    count_delay: timedelta = timedelta(seconds=180)
    latency_delay: timedelta = timedelta(seconds=240)
    gauge_delay: timedelta = timedelta(seconds=120)
    missing: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """How Cloud Run behaves.

    reconcile: how long a shift takes to be in force. etag_enforced: whether v2's UpdateService
    refuses a stale etag (the live one was seen not to).
    """

    reconcile: timedelta = timedelta(seconds=20)
    etag_enforced: bool = False


@dataclass(frozen=True, slots=True)
class CallFault:
    """Calls of one kind that go wrong, by count of the calls.

    call: an RPC's name ("GetService"), or an HTTP method on the Cloud Run v1 API ("PUT").
    every: each N-th call; `nth`: these calls only (1 is the first); neither: all of them.
    error: a gRPC status name, or None for a call that is only slow. applied: the call takes
    effect first, then its answer is lost. takes: time the call lasts. since/until: only then.
    """

    call: str
    every: int | None = None
    nth: tuple[int, ...] = ()
    error: str | None = None
    text: str | None = None
    applied: bool = False
    takes: timedelta = NO_TIME
    since: Moment | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True)
class ShiftFault:
    """Changes of traffic that go wrong, by count of the changes.

    every, nth: as in CallFault. takes: instead of Run.reconcile. fails: it never comes into force
    and the service says this.
    """

    every: int | None = None
    nth: tuple[int, ...] = ()
    takes: timedelta | None = None
    fails: str | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does or says.

    since: when, or None where the person waits for `trigger` (what wiring tells the world:
    "asked"), each time; `after` is added to either. do: what is done to the world (DOES)
    or said to rollout (SAYS). details: split, revision, key, value, reason, ….
    """

    do: str
    since: Moment | None = None
    trigger: str | None = None
    after: timedelta = NO_TIME
    person: str = "person@example.com"
    split: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpRule:
    """What the app answers to requests that match; beats Setting.answers.

    revision: None for every one. url: path or absolute URL. body_has: subset of the JSON body.
    status None: no answer at all (the request times out). since/until: only then.
    """

    method: str
    url: str
    revision: str | None = None
    body_has: Any = None
    status: int | None = 200
    body: Any = None
    latency_ms: float | None = None
    since: Moment | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. revisions: keys are "stable", "candidate" or names.

    denied: permissions that nobody has ("run.services.update").
    """

    name: str = "unnamed"
    about: str = ""
    seed: int = 1
    start: datetime = MONDAY_MORNING
    traffic: Load = Load()
    revisions: Mapping[str, RevisionTruth] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    poison: tuple[Poison, ...] = ()
    metrics: Metrics = Metrics()
    run: Run = Run()
    faults: tuple[CallFault | ShiftFault, ...] = ()
    people: tuple[Act, ...] = ()
    http: tuple[HttpRule, ...] = ()
    denied: tuple[str, ...] = ()


def names() -> list[str]:
    """Return the packaged scenarios' names, sorted."""
    return sorted(path.stem for path in PACKAGED.glob("*.yaml"))


def load(name_or_path: str | Path) -> Scenario:
    """Read a packaged scenario by name, or a file by path.

    Raises ScenarioError where there is no such scenario or it cannot be used.
    """
    from controller.sandbox.scenario_reader import read  # noqa: PLC0415 - it imports this module

    path = _find(name_or_path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
    return read(data, str(path), name=path.stem)


def _find(name_or_path: str | Path) -> Path:
    packaged = PACKAGED / f"{name_or_path}.yaml"
    if isinstance(name_or_path, str) and name_or_path in names():
        return packaged
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = ", ".join(names())
    raise ScenarioError(
        f"there is no scenario {str(name_or_path)!r}: neither a file nor one of {known}"
    )
