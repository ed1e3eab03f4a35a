"""A record that vanished or cannot be read, in a whole world: who ends it, and who sees that."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cli import deeds
from controller.engine.begin import Wish
from controller.engine.decision import Refusal, State
from controller.engine.lost import Vanished, lost_of
from controller.engine.recordless import REPLACED
from controller.reconciler import Reconciler, Tick
from controller.sandbox.scenario import Act, CallFault
from tests.reconciler.test_reconciler import (
    CANDIDATE,
    NAME,
    PLAN,
    STABLE,
    Watched,
    a_world,
    begun,
    ticked,
)

TEN = {STABLE: 90, CANDIDATE: 10}
KEY = {"key": "rollout/record"}


def lose(world: Watched, text: str | None) -> None:
    """Let another hand write this in the record's place, or delete it."""
    act = Act("delete_annotation", details=KEY)
    if text is not None:
        act = Act("set_annotation", details={**KEY, "value": text})
    world.sandbox.world.people.do(act)


def at_ten(text: str | None, **scenario: Any) -> tuple[Watched, Reconciler]:
    """Return a world whose rollout's record was lost at 10%, and who watched it."""
    world = a_world(**scenario)
    watching = begun(world)
    ticked(world, watching, 10)
    assert world.router.observe(NAME).asked == TEN
    lose(world, text)
    assert ticked(world, watching, 2)[-1].decision.state is State.TAKEN_OVER
    return world, watching


def done_by_ada(world: Watched, word: str, **more: Any) -> Tick:
    done = deeds.perform(world.ports, NAME, word, "ada", "", **more)
    assert isinstance(done, Tick), done
    return done


@pytest.mark.parametrize("text", [None, "garbage", '{"v":2,"id":"x"}'])
@pytest.mark.parametrize(
    ("word", "outcome", "split"),
    [("cancel", "cancelled", TEN), ("rollback", "rolled_back", {STABLE: 100})],
)
def test_who_remembers_it_sees_how_a_person_ended_it(
    text: str | None, word: str, outcome: str, split: dict[str, int]
) -> None:
    world, watching = at_ten(text)
    done_by_ada(world, word)
    assert world.router.observe(NAME).asked == split
    tick = watching.tick()
    assert tick is not None
    assert tick.decision.state is State.DONE
    assert tick.decision.record.outcome is not None
    assert tick.decision.record.outcome.outcome == outcome
    assert REPLACED in [t.what for t in world.record().transitions]


def test_who_remembers_nothing_is_told_that_it_vanished() -> None:
    world, _ = at_ten(None)
    with pytest.raises(Vanished, match="its record vanished; traffic is ion-api-00041-abc 90%"):
        Reconciler(world.ports, NAME).tick()
    for word in ("pause", "resume", "approve"):
        refused = deeds.perform(world.ports, NAME, word, "ada", "")
        assert isinstance(refused, Refusal)
        assert "vanished" in refused.reason
    assert world.router.observe(NAME).record_text is None


@pytest.mark.parametrize("word", ["cancel", "rollback"])
def test_an_act_without_a_record_whose_answer_is_lost_is_done_once(word: str) -> None:
    before = len(at_ten("garbage")[0].writes)
    lost = CallFault("PUT", nth=(before + 1,), error="UNAVAILABLE", applied=True)
    world, _ = at_ten("garbage", faults=(lost,))
    done_by_ada(world, word)
    assert [t.what for t in world.record().transitions].count(REPLACED) == 1
    assert len(world.writes) == before


def test_replacing_whose_answer_is_lost_begins_once() -> None:
    world = a_world(faults=(CallFault("PUT", nth=(2,), error="UNAVAILABLE", applied=True),))
    begun(world)  # the first write
    lose(world, "garbage")
    found = lost_of(world.router.observe(NAME))
    reconciler = Reconciler(world.ports, NAME)
    tick = reconciler.begin(Wish(PLAN, "ada", "r2", replace=True, over=found))
    assert isinstance(tick, Tick), tick
    record = world.record()
    assert [t.what for t in record.transitions] == [REPLACED, "started"]
    assert (record.rollout, record.candidate) == ("r2", CANDIDATE)
    assert len(world.writes) == 1  # whose answer came: the one before
