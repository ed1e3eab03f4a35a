"""What happens when nobody is there, with a fresh process for every tick: only the record is kept.

Each world is run twice, by one process that stays and by one process a tick, and must go the same
way at the same times for the same reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.engine.record import Record
from controller.plan.model import (
    AdvanceOnly,
    Check,
    CheckWhen,
    Expect,
    OnFail,
    Plan,
    Ref,
    Stage,
    Text,
    Then,
    When,
    WhenNobodyAnswers,
    WhenUndecided,
)
from controller.reconciler import Reconciler, Tick
from controller.sandbox.scenario import HttpRule, Load
from tests.reconciler.test_reconciler import (
    FAILING_LATER,
    HEALTH,
    NAME,
    PLAN,
    SHORT,
    Watched,
    a_world,
    begun,
    ticks,
    timed_transitions,
)

TWO = replace(PLAN, stages=(Stage(50, SHORT), Stage(100, SHORT)))
PERSONAS = Check(
    "personas",
    "GET",
    Text((Ref("candidate.url"), "/persona/", Ref("item"))),
    Expect(),
    each=("lua", "elo"),
    when=CheckWhen.ALWAYS,
)
ONE_HOUR = timedelta(hours=1)
NOBODY = When(
    undecided=WhenUndecided(timedelta(minutes=1), Then.ASK),
    nobody_answers=WhenNobodyAnswers(timedelta(minutes=30), Then.ROLL_BACK),
)
IDLE = Load(rate_per_s=0.0)


def asks(plan: Plan) -> Plan:
    return replace(plan, gates=tuple(replace(g, on_fail=OnFail.ASK) for g in plan.gates))


def steps_back(plan: Plan) -> Plan:
    return replace(plan, gates=tuple(replace(g, on_fail=OnFail.STEP_BACK) for g in plan.gates))


def gone_through(world: Watched, plan: Plan, *, fresh: bool) -> list[Tick]:
    """Tick to the end, each tick by its own process if `fresh`."""
    one = begun(world, plan)
    return list(ticks(world, (lambda _: Reconciler(world.ports, NAME)) if fresh else lambda _: one))


def both_ways(plan: Plan, **scenario: Any) -> tuple[Record, list[tuple[datetime, str, str]]]:
    """Return the record and the transitions of one tick at a time, the same as of one process."""
    worlds = [a_world(**scenario), a_world(**scenario)]
    for world, fresh in zip(worlds, (False, True), strict=True):
        gone_through(world, plan, fresh=fresh)
    staying, killed = (timed_transitions(world) for world in worlds)
    assert killed == staying
    assert [split for _, split in worlds[0].splits()] == [split for _, split in worlds[1].splits()]
    return worlds[1].record(), killed


def whats(transitions: list[tuple[datetime, str, str]]) -> list[str]:
    return [what for _, what, _ in transitions]


def test_an_ask_that_nobody_answers_gets_the_plans_answer() -> None:
    record, told = both_ways(replace(TWO, when=NOBODY), traffic=IDLE)
    assert record.outcome is not None
    assert record.outcome.outcome == "rolled_back"
    asked = next(at for at, what, _ in told if what == "asked: undecided")
    back = next(at for at, what, _ in told if what == "roll back")
    assert timedelta(minutes=30) <= back - asked <= timedelta(minutes=32)


@pytest.mark.parametrize(
    ("on_fail", "happens"),
    [(asks, "asked: gate"), (steps_back, "step back to 10%"), (lambda p: p, "roll back")],
    ids=["ask", "step_back", "roll_back"],
)
def test_what_a_failed_gate_leads_to(on_fail: Callable[[Plan], Plan], happens: str) -> None:
    plan = replace(PLAN, when=NOBODY)
    record, told = both_ways(on_fail(plan), revisions=FAILING_LATER)
    assert happens in whats(told)
    assert record.outcome is not None
    assert record.outcome.outcome == "rolled_back"


def test_one_of_each_that_fails_is_named_and_ends_it_before_any_shift() -> None:
    rule = HttpRule("GET", "/persona/elo", revision="candidate", status=404)
    fine = HttpRule("GET", "/persona/lua", status=200)
    also = HttpRule("GET", "/persona/elo", status=200)
    plan = replace(TWO, checks=(PERSONAS,))
    record, told = both_ways(plan, http=(rule, fine, also))
    assert record.outcome is not None
    assert "elo: answered 404" in record.outcome.reason
    assert not any(what.startswith("shift") for what in whats(told))


def test_an_approval_that_nobody_gives_gets_the_plans_answer() -> None:
    stages = (Stage(50, SHORT), Stage(100, SHORT, approval=True))
    for then, outcome in ((Then.ADVANCE, "promoted"), (Then.ROLL_BACK, "rolled_back")):
        plan = replace(TWO, stages=stages, when=When(approvals=WhenNobodyAnswers(ONE_HOUR, then)))
        record, _ = both_ways(plan)
        assert record.outcome is not None
        assert record.outcome.outcome == outcome


def test_a_window_is_waited_for_and_said_once_a_stage() -> None:
    only = AdvanceOnly("UTC", begins=10 * 60, ends=10 * 60 + 25)  # the world begins at 09:00
    plan = replace(TWO, when=When(advance_only=only), stages=(Stage(100, SHORT),))
    record, told = both_ways(plan)
    assert record.outcome is not None
    assert record.outcome.outcome == "promoted"
    shifted = next(at for at, what, _ in told if what == "shift to 100%")
    assert (shifted.hour, shifted.minute) == (10, 0)
    assert whats(told).count("waits for the window") == 1


def test_our_own_requests_are_no_evidence_whoever_sent_them() -> None:
    """Nobody else asks: what is counted would be ours alone."""
    for fresh in (False, True):
        world = a_world(traffic=IDLE)
        plan = replace(TWO, checks=(HEALTH,), when=NOBODY)
        for tick in gone_through(world, plan, fresh=fresh):
            for name in ("errors", "latency"):
                verdict = tick.decision.verdicts.get(name)
                assert verdict is None or not verdict.figures.sample
        assert world.record().outcome is not None
