"""A Monitoring outage: it begins when it is first recorded, whoever looked away before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine import acts
from controller.engine.decision import Action, Decision
from controller.engine.record import AskKind, Record
from controller.plan.model import (
    Plan,
    Stage,
    Then,
    When,
    WhenMonitoringOut,
)
from tests.engine.builders import (
    MINUTE,
    PLAN,
    T0,
    at,
    look,
    rolls_back,
    running,
    service_of,
    silence,
)

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
