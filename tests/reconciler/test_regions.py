"""A rollout through two regions that no process remembers: every look is by a fresh controller."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.cli.wiring import Connection, rehearse
from controller.engine.begin import Wish
from controller.engine.codec import decode
from controller.engine.observation import ServiceName
from controller.engine.record import Phase, Record
from controller.plan.model import (
    Candidate,
    Gate,
    Limits,
    Plan,
    ResponseRate,
    Stage,
    Versus,
)
from controller.reconciler import Reconciler, Tick

EAST = ServiceName("demo", "us-central1", "ion-api")
WEST = replace(EAST, region="europe-west1")
HOLD = timedelta(minutes=10)
ERRORS = Gate(
    "errors",
    ResponseRate(("5xx",), counts_failures=True),
    Limits(maximum=0.01, roll_back=0.02, emergency=0.2),
    Versus(ratio=1.25),
)
PLAN = Plan(
    "ion-api",
    "demo",
    EAST.region,
    Candidate(),
    (Stage(50, HOLD), Stage(100, HOLD)),
    (ERRORS,),
    later_regions=(WEST.region,),
)
EVERY = timedelta(minutes=5)
LOOKS_MAX = 60


def record_of(world: Connection, name: ServiceName) -> Record:
    text = world.ports.router.observe(name).record_text
    assert text is not None
    return decode(text)


def begun(scenario: str = "healthy", *, only: ServiceName | None = None) -> Connection:
    world = rehearse(EAST, PLAN, scenario, {})
    for name, after in ((WEST, EAST.region), (EAST, "")):  # as `apply` does, the last one first
        if only in (None, name):
            wish = Wish(PLAN, "ada", "r1", after=after)
            assert isinstance(Reconciler(world.ports, name).begin(wish), Tick)
    return world


def driven(world: Connection) -> None:
    """Look at both every five minutes, as a schedule does, until both are done."""
    for _ in range(LOOKS_MAX):
        for name in (EAST, WEST):
            Reconciler(world.ports, name).tick()
        if all(record_of(world, name).phase is Phase.DONE for name in (EAST, WEST)):
            return
        world.ports.clock.sleep(EVERY)
    pytest.fail("not done")


def test_each_look_takes_it_across_and_no_region_begins_before_its_turn() -> None:
    world = begun()
    driven(world)
    east, west = record_of(world, EAST), record_of(world, WEST)
    assert [record.outcomes[-1].outcome for record in (east, west)] == ["promoted", "promoted"]
    first = next(entry for entry in west.transitions if entry.what.startswith("shift"))
    assert first.at > east.outcomes[-1].at
    assert east.rollout == west.rollout


def test_a_rollback_in_the_first_ends_the_second_which_never_had_traffic() -> None:
    world = begun("errors")
    driven(world)
    west = record_of(world, WEST)
    assert west.outcomes[-1].outcome == "rolled_back"
    assert west.outcomes[-1].reason.startswith("never began here: rolled back in us-central1")
    assert not any(entry.what.startswith("shift") for entry in west.transitions)


def test_a_run_that_died_after_the_last_region_leaves_nothing_that_starts_by_itself() -> None:
    world = begun(only=WEST)
    for _ in range(15):
        Reconciler(world.ports, WEST).tick()
        world.ports.clock.sleep(EVERY)
    west = record_of(world, WEST)
    assert west.outcomes[-1].outcome == "rolled_back"
    assert "has not begun in us-central1" in west.outcomes[-1].reason


def test_one_that_replaces_another_in_both_regions_goes_through_both() -> None:
    world = begun()
    image = "us-docker.pkg.dev/demo/api/ion-api:v43"
    for name, after in ((WEST, EAST.region), (EAST, "")):
        wish = Wish(PLAN, "ada", "r2", after=after, image=image, replace=True)
        assert isinstance(Reconciler(world.ports, name).begin(wish), Tick)  # rolls the first back
        for _ in Reconciler(world.ports, name).follow():
            pass
        assert isinstance(Reconciler(world.ports, name).begin(wish), Tick)
    driven(world)
    outcomes = [[one.outcome for one in record_of(world, name).outcomes] for name in (EAST, WEST)]
    assert outcomes == [["rolled_back", "promoted"]] * 2
