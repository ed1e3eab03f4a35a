"""A rollout, its service and what a tick sees of them: small values that tests of the engine alter.

The rollout: api-2 is the candidate, api-1 stable, three stages of half an hour, the last approved.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.engine.decide import decide
from controller.engine.decision import Action, Decision
from controller.engine.observation import (
    NotSeen,
    Observation,
    RevisionState,
    Seen,
    ServiceName,
    ServiceState,
    Target,
)
from controller.engine.record import Phase, Record
from controller.engine.split import shares
from controller.engine.watching import windows
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Latencies, Query, Readings
from controller.plan.compact import digest, to_json
from controller.plan.model import (
    Candidate,
    Check,
    Expect,
    Gate,
    Latency,
    Limits,
    Plan,
    Ref,
    ResponseRate,
    Stage,
    Text,
    Versus,
)

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OLD, NEW = "api-1", "api-2"
ERRORS = Gate(
    "errors",
    ResponseRate(("5xx",), counts_failures=True),
    Limits(maximum=0.01, roll_back=0.02, emergency=0.5),
    Versus(ratio=1.25),
)
SLOW = Gate("latency", Latency(95), Limits(maximum=1000, roll_back=2000), Versus(ratio=1.25))
HEALTH = Check("health", "GET", Text((Ref("candidate.url"), "/health")), Expect())
PLAN = Plan(
    "api",
    "demo",
    "us-central1",
    Candidate(),
    (
        Stage(10, timedelta(minutes=30)),
        Stage(50, timedelta(minutes=30)),
        Stage(100, timedelta(minutes=30), approval=True),
    ),
    (ERRORS, SLOW),
)


def at(minutes: float) -> datetime:
    """Return the instant so many minutes after the stage came into force."""
    return T0 + MINUTE * minutes


def starting(plan: Plan = PLAN, **changes: Any) -> Record:
    """Return a rollout before its first shift."""
    plain = Record("r1", "uid", to_json(plan), digest(plan), NEW, OLD, {OLD: 100}, T0, "me", at=T0)
    return replace(plain, **changes)


def running(stage: int = 0, plan: Plan = PLAN, **changes: Any) -> Record:
    """Return a rollout whose stage (0-based) is in force since T0."""
    weight = plan.stages[stage].weight
    plain = starting(plan, phase=Phase.RUNNING, stage=stage, weight=weight, in_force=T0)
    return replace(plain, **changes)


def service_of(record: Record, split: dict[str, int] | None = None, **changes: Any) -> ServiceState:
    """Return the service as the record's last write left it, or as a person split it."""
    shown = shares(record.before, NEW, record.weight) if split is None else split
    targets = tuple(Target(name, percent) for name, percent in shown.items())
    plain = ServiceState(
        name=ServiceName("demo", "us-central1", "api"),
        uid="uid",
        generation=7,
        reconciling=False,
        targets=targets,
        statuses=targets,
        ready=True,
        ready_message="",
        latest_ready=NEW,
        latest_created=NEW,
        record_text="{}",
    )
    return replace(plain, **changes)


def codes(total: int, failed: int) -> CodeCounts:
    """Return a minute of so many requests."""
    return CodeCounts({"2xx": total - failed, "5xx": failed})


def readings(
    query: Query, ends: list[datetime], failed: int, stable_failed: int, weight: int = 10
) -> Readings:
    """Return a thousand requests a minute, split as asked; failures in percent of each side's."""
    if isinstance(query, Latencies):
        fast = Histogram(Explicit((100.0, 5000.0)), {0: 100}, 50.0)
        return {NEW: dict.fromkeys(ends, fast), OLD: dict.fromkeys(ends, fast)}
    candidate, stable = codes(weight * 10, failed * weight // 10), 1000 - weight * 10
    if not stable:
        return {NEW: dict.fromkeys(ends, candidate)}
    beside = codes(stable, stable_failed * stable // 100)
    return {NEW: dict.fromkeys(ends, candidate), OLD: dict.fromkeys(ends, beside)}


def look(
    record: Record,
    minutes: float,
    *,
    plan: Plan = PLAN,
    failed: int = 0,
    stable_failed: int = 0,
    **changes: Any,
) -> Decision:
    """Decide at a minute; failed: percent of the candidate's requests that failed."""
    now = at(minutes)
    asked = windows(plan, record, now)
    seen: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, window in asked.items():
        count = (window.end - window.start) // MINUTE
        ends = [window.start + MINUTE * (n + 1) for n in range(count)]
        seen[query] = Seen(readings(query, ends, failed, stable_failed, record.weight))
    observation = Observation(
        Seen(service_of(record)),
        Seen(RevisionState(NEW, ready=True)),
        Seen(RevisionState(OLD, ready=True)),
        seen,
        asked,
    )
    return decide(plan, record, replace(observation, **changes), now)


def silence(record: Record, minutes: float, plan: Plan = PLAN) -> dict[Query, NotSeen]:
    """Return what is read while Monitoring does not answer."""
    return {query: NotSeen("quota") for query in windows(plan, record, at(minutes))}


def split_asked(decision: Decision) -> dict[str, int]:
    """Return revision → percent as the decision's write asks for it."""
    assert decision.write is not None, decision
    return {t.revision or "": t.percent for t in decision.write.targets if t.percent}


def rolls_back(decision: Decision) -> bool:
    """Tell whether all traffic goes to stable."""
    return decision.action is Action.ROLL_BACK and split_asked(decision) == {OLD: 100}
