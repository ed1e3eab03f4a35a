"""One controller at a time sends the checks; the others judge what they can and wait for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from controller.engine import acts
from controller.engine.decision import State
from controller.engine.observation import NotSeen
from controller.plan.model import CheckWhen
from controller.reconciler import Reconciler, Tick, people
from controller.sandbox.scenario import Act, Load, Moment
from tests.reconciler.test_reconciler import (
    CANDIDATE,
    FAILING_LATER,
    HEALTH,
    IDLE,
    NAME,
    PLANS,
    SCENARIOS,
    Watched,
    a_world,
    begun,
    counted,
    ticked,
    ticks,
    undisturbed,
)

CHECKED = PLANS["checks"]


def idle() -> Watched:
    return a_world(traffic=Load(rate_per_s=0.0))


def one(world: Watched, controller: str) -> Reconciler:
    return Reconciler(world.ports, NAME, controller)


def sent(tick: Tick) -> bool:
    """Tell whether this pass sent the stage's check."""
    return bool(tick.observation.own)


def waited(tick: Tick) -> bool:
    seen = tick.observation.checks.get("health")
    return isinstance(seen, NotSeen) and "on duty" in seen.why


def alternately(world: Watched, pair: Sequence[Reconciler], times: int) -> list[Tick]:
    return [tick for number in range(times) for tick in ticked(world, pair[number % len(pair)], 1)]


@pytest.mark.parametrize("hold", [timedelta(hours=2), timedelta(hours=20)])
def test_of_an_idle_service_two_controllers_never_take_each_others_checks_for_evidence(
    hold: timedelta,
) -> None:
    world = idle()
    plan = replace(IDLE, stages=(replace(IDLE.stages[0], hold=hold), IDLE.stages[1]))
    pair = (begun(world, plan, "a"), one(world, "b"))
    found = alternately(world, pair, 200)
    assert counted(found) == 0
    assert world.router.observe(NAME).asked[CANDIDATE] == 10


def test_whoever_attaches_takes_the_duty_and_the_one_before_stops_sending() -> None:
    world = idle()
    first = begun(world, IDLE, "a")
    assert all(sent(tick) for tick in ticked(world, first, 12)[8:])
    second = one(world, "b")
    taking, *later = ticked(world, second, 6)
    assert waited(taking)
    assert taking.decision.record.duty == "b"
    assert taking.decision.look_again <= timedelta(seconds=15)
    assert all(sent(tick) for tick in later)
    found = ticked(world, first, 6)
    assert all(waited(tick) for tick in found)
    assert world.record().duty == "b"


def test_taking_the_duty_costs_one_write_and_heartbeats_are_sent_by_the_one_on_duty_only() -> None:
    world = idle()
    first = begun(world, IDLE, "a")
    ticked(world, first, 10)
    writes = len(world.writes)
    second = one(world, "b")
    alternately(world, (second, first), 60)  # an hour
    assert len(world.writes) - writes <= 1 + 2


def test_a_controller_that_died_on_duty_is_replaced_once_its_record_is_stale() -> None:
    world = idle()
    first = begun(world, IDLE, "a")
    ticked(world, first, 10)
    second = one(world, "b")
    ticked(world, second, 3)  # b takes over, and is never seen again
    found = ticked(world, first, 70)
    senders = [sent(tick) for tick in found]
    assert not any(senders[:55])
    assert all(senders[-5:])
    assert counted(found) == 0


def test_a_schedules_pass_takes_no_duty_from_one_that_lives() -> None:
    world = idle()
    watching = begun(world, IDLE, "a")
    ticked(world, watching, 10)
    for _ in range(10):
        (tick,) = ticked(world, one(world, "schedule"), 1)
        assert not sent(tick)
        ticked(world, watching, 1)
    assert world.record().duty == "a"


def test_passes_of_a_schedule_are_one_controller() -> None:
    world = idle()
    begun(world, IDLE)
    found = [tick for _ in range(60) for tick in ticked(world, one(world, "schedule"), 1)]
    assert all(sent(tick) for tick in found[5:])
    assert counted(found) == 0


def test_one_that_hands_over_leaves_the_duty_to_the_next_pass_at_once() -> None:
    world = idle()
    leaving = begun(world, IDLE, "a")
    ticked(world, leaving, 12)
    leaving.hand_over()
    assert world.record().duty == ""
    taking, sending = (ticked(world, one(world, "schedule"), 1)[0] for _ in range(2))
    assert (sent(taking), sent(sending)) == (False, True)


def test_what_is_not_ours_is_not_handed_over() -> None:
    world = idle()
    first = begun(world, IDLE, "a")
    ticked(world, first, 10)
    ticked(world, one(world, "b"), 2)
    writes = len(world.writes)
    first.hand_over()
    assert len(world.writes) == writes
    assert world.record().duty == "b"


def test_before_the_first_shift_the_one_that_attaches_takes_over_as_well() -> None:
    world = a_world()
    first = begun(world, replace(CHECKED, checks=(replace(HEALTH, when=CheckWhen.BEFORE),)), "a")
    second = one(world, "b")
    taking = ticked(world, second, 2)[-1]  # the second is when nothing has to come into force
    assert taking.decision.record.duty == "b"
    found = ticked(world, first, 40)
    assert not any(sent(tick) for tick in found)
    assert {tick.decision.state for tick in found} == {State.STARTING}
    assert ticked(world, second, 1)[0].decision.record.weight == 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_controllers_with_checks_make_the_same_moves_as_one(name: str) -> None:
    alone, shared = undisturbed(name, "checks").world, a_world(**SCENARIOS[name])
    pair = (begun(shared, CHECKED, "a"), one(shared, "b"))
    list(ticks(shared, lambda number: pair[number % 2]))
    assert shared.splits() == alone.splits()
    whats = [[t.what for t in world.record().transitions] for world in (shared, alone)]
    assert whats[0] == whats[1]


UNREADY = Act("unready", Moment(plus=timedelta(minutes=25)), details={"revision": "candidate"})
GOING_BAD: Mapping[str, dict[str, Any]] = {
    "a gate": {"revisions": FAILING_LATER},
    "readiness": {"people": (UNREADY,)},
}


@pytest.mark.parametrize("what", GOING_BAD)
def test_one_off_duty_rolls_back_all_the_same(what: str) -> None:
    world = a_world(**GOING_BAD[what])
    on_duty = begun(world, CHECKED, "a")
    while world.record().stage < 1 or world.record().shift:
        ticked(world, on_duty, 1)
    off = one(world, "schedule")
    found = list(ticks(world, lambda _: off))
    outcome = found[-1].decision.record.outcome
    assert outcome is not None
    assert outcome.outcome == "rolled_back"
    assert not any(sent(tick) for tick in found)


def test_a_persons_act_while_passes_are_scheduled_hides_none_of_their_checks() -> None:
    world = idle()
    begun(world, IDLE)
    found = [tick for _ in range(20) for tick in ticked(world, one(world, "schedule"), 1)]
    for deed in (acts.pause, acts.resume):
        assert isinstance(people.act(world.ports, NAME, partial(deed, by="ada")), Tick)
        found += [tick for _ in range(10) for tick in ticked(world, one(world, "schedule"), 1)]
    assert counted(found) == 0
