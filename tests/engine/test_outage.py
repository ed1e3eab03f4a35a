"""A Monitoring outage: it begins when it is first recorded, whoever looked away before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.engine import acts
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
from controller.engine.record import AskKind, Phase, Record
from controller.engine.split import shares
from controller.engine.watching import windows
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Latencies, Query, Readings
from controller.plan.compact import digest, to_json
from controller.plan.model import (
    Candidate,
    Gate,
    Latency,
    Limits,
    Plan,
    ResponseRate,
    Stage,
    Then,
    Versus,
    When,
    WhenMonitoringOut,
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
    return T0 + MINUTE * minutes


def starting(plan: Plan = PLAN, **changes: Any) -> Record:
    plain = Record("r1", "uid", to_json(plan), digest(plan), NEW, OLD, {OLD: 100}, T0, "me", at=T0)
    return replace(plain, **changes)


def running(stage: int = 0, plan: Plan = PLAN, **changes: Any) -> Record:
    """A rollout whose stage is in force since T0."""
    weight = plan.stages[stage].weight
    plain = starting(plan, phase=Phase.RUNNING, stage=stage, weight=weight, in_force=T0)
    return replace(plain, **changes)


def service_of(record: Record, split: dict[str, int] | None = None, **changes: Any) -> ServiceState:
    """The service as the record's last write left it, or as a person split it."""
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
    return CodeCounts({"2xx": total - failed, "5xx": failed})


def readings(
    query: Query, ends: list[datetime], failed: int, stable_failed: int, weight: int = 10
) -> Readings:
    """A thousand requests a minute, split as asked; failures in percent of each side's."""
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
    return {query: NotSeen("quota") for query in windows(plan, record, at(minutes))}


def split_asked(decision: Decision) -> dict[str, int]:
    assert decision.write is not None, decision
    return {t.revision or "": t.percent for t in decision.write.targets if t.percent}


def rolls_back(decision: Decision) -> bool:
    return decision.action is Action.ROLL_BACK and split_asked(decision) == {OLD: 100}


LONG = replace(PLAN, stages=(Stage(10, timedelta(hours=12)), Stage(100, timedelta(hours=1))))
BACK = replace(LONG, when=When(monitoring_out=WhenMonitoringOut(then=Then.ROLL_BACK)))
HOURS = 60


def blind(record: Record, minutes: float, plan: Plan) -> Decision:
    return look(record, minutes, plan=plan, readings=silence(record, minutes, plan))


def known(plan: Plan, minutes: float = 20) -> Record:
    """A record last written at a minute, as a fresh process finds it."""
    return replace(look(running(plan=plan), minutes, plan=plan).record, at=at(minutes))


def is_calm(decision: Decision) -> bool:
    return decision.action in (Action.WAIT, Action.NOTE) and decision.record.ask is None


def test_one_lost_answer_hours_after_the_last_write_neither_rolls_back_nor_asks() -> None:
    for plan in (LONG, BACK):
        decision = blind(known(plan), 5 * HOURS, plan)
        assert is_calm(decision)
        assert decision.record.weight == 10
        assert decision.record.stopped is not None
        assert decision.record.stopped >= at(5 * HOURS - 10)
        assert decision.write is not None  # so that the next process knows when it began
        back = look(decision.record, 5 * HOURS + 1, plan=plan)
        assert is_calm(back)
        assert back.record.stopped is None


@pytest.mark.parametrize("plan", [LONG, BACK], ids=["ask", "roll back"])
@pytest.mark.parametrize("found", ["by a fresh process", "after a pause"])
def test_the_plans_answer_comes_when_the_outage_has_lasted_from_when_it_was_recorded(
    plan: Plan, found: str
) -> None:
    record = known(plan)
    if found == "after a pause":
        record = after_a_pause(record, plan, 5 * HOURS)
    record = blind(record, 5 * HOURS, plan).record
    assert record.stopped is not None
    over = (record.stopped - T0) / MINUTE + 2 * HOURS
    assert over >= 7 * HOURS - 10
    for minutes in range(5 * HOURS + 1, int(over), 5):
        decision = blind(record, minutes, plan)
        assert is_calm(decision), minutes
        record = decision.record
    late = blind(record, over + 1, plan)
    if plan is BACK:
        assert rolls_back(late)
    else:
        assert late.record.ask is not None
        assert late.record.ask.kind is AskKind.MONITORING_OUT
        assert late.record.stage == 0


def after_a_pause(record: Record, plan: Plan, until: float) -> Record:
    """The record after a pause from minute 21, Monitoring silent all the while."""
    paused = acts.pause(plan, record, service_of(record), at(21), "ada")
    assert isinstance(paused, Decision)
    record = paused.record
    for minutes in range(22, int(until), 30):
        decision = blind(record, minutes, plan)
        assert is_calm(decision)
        record = decision.record
    resumed = acts.resume(plan, record, service_of(record), at(until), "ada")
    assert isinstance(resumed, Decision)
    return resumed.record


def test_resumed_from_a_long_pause_one_lost_answer_is_no_outage() -> None:
    for plan in (LONG, BACK):
        record = after_a_pause(known(plan), plan, 5 * HOURS)
        decision = blind(record, 5 * HOURS + 1, plan)
        assert is_calm(decision)
        assert look(decision.record, 5 * HOURS + 2, plan=plan).record.stopped is None


def test_a_process_that_starts_in_mid_outage_counts_on_from_what_is_recorded() -> None:
    record = blind(known(BACK), 5 * HOURS, BACK).record
    assert is_calm(blind(record, 6 * HOURS, BACK))
    assert rolls_back(blind(record, 7 * HOURS, BACK))


def test_the_time_of_an_outage_is_no_hold() -> None:
    record = blind(known(LONG), 5 * HOURS, LONG).record
    back = look(record, 6 * HOURS, plan=LONG).record
    assert MINUTE * 60 <= back.uncounted <= MINUTE * 70
