"""A plan edited while its rollout is under way: later stages may change, reached ones not."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from controller.plan.reader import read_plan
from controller.plan.source import Source
from tests.simulation.drawing import draw
from tests.simulation.editing import edited
from tests.simulation.incidents import CANDIDATE
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Edit, Incident, Process, Scene, StageFacts
from tests.simulation.scenes import FACTS, PLAN, calm
from tests.simulation.wires import Wires

LAST = "{weight: 100%, hold: 5m}"
SCHEDULE = (Process("controller-s", schedule=60),)


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


def edit_of(place: int, hold: int, *, replan: bool = False) -> Edit:
    """Return the calm plan with another hold (seconds) in one of its stages."""
    stages = list(FACTS.stages)
    old = f"{{weight: {stages[place].weight}%, hold: 5m}}"
    stages[place] = StageFacts(stages[place].weight, hold)
    plan = PLAN.replace(old, old.replace("5m", f"{hold}s"))
    return Edit(plan, replace(FACTS, stages=tuple(stages)), replan)


def played(scene: Scene, wires: Wires) -> Result:
    result = Run(scene, wires, traced=True).play()
    assert not result.violations, "\n".join((*result.trace[-60:], *result.violations))
    return result


@pytest.mark.parametrize("replan", [True, False])
@pytest.mark.parametrize("processes", [(Process("controller-a"),), SCHEDULE])
def test_a_later_stage_that_was_changed_is_held_as_the_file_says_then(
    processes: tuple[Process, ...],
    replan: bool,  # noqa: FBT001
    wires: Wires,
) -> None:
    file_saved = Incident("edit", target="controller-a", start=600)
    scene = calm(file_saved, edit=edit_of(2, 1200, replan=replan), processes=processes)
    result = played(scene, wires)
    assert result.outcome == "promoted"
    assert result.seconds > played(calm(), wires).seconds + 800
    assert any("the plan changed since" in line for line in result.trace) is not replan


def test_a_change_of_a_reached_stage_is_refused_and_the_rollout_goes_on(wires: Wires) -> None:
    file_saved = Incident("edit", target="controller-a", start=600)
    result = played(calm(file_saved, edit=edit_of(0, 60, replan=True)), wires)
    assert result.outcome == "promoted"
    assert any("touches a stage already reached" in line for line in result.trace)


def test_every_edit_that_is_drawn_is_a_plan() -> None:
    for seed in range(1, 30):
        scene = draw(seed)
        text, facts = edited(Random(seed), scene.plan, scene.facts)
        plan = read_plan(Source("plan.yaml", text.encode()), env={}, variables={}).plan
        assert [stage.weight for stage in plan.stages] == [one.weight for one in facts.stages]


def test_an_edited_plan_does_not_hold_up_the_roll_back_of_a_deleted_candidate(wires: Wires) -> None:
    """`apply` ended with "the revision does not exist", and nobody looked after its traffic."""
    file_saved = Incident("edit", target="controller-a", start=600)
    killed = Incident("kill", nth=60, number=400)
    deleted = Incident("delete revision", CANDIDATE, start=700)
    scene = calm(file_saved, killed, deleted, edit=edit_of(2, 1200, replan=True))
    assert played(scene, wires).outcome == "rolled_back"
