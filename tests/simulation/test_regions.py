"""One rollout in several regions, simulated: one after the other, whatever goes wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.incidents import CANDIDATE
from tests.simulation.playing import Result
from tests.simulation.regions import REGIONS, drawn, in_regions, play
from tests.simulation.scene import Aim, Edit, Incident, Process, Scene, StageFacts
from tests.simulation.scenes import BAD, FACTS, PLAN, calm
from tests.simulation.wires import Wires

FIRST, SECOND, THIRD = REGIONS
CREWS = {
    "one": (Process("controller-a"),),
    "two": (Process("controller-a"), Process("controller-b", starts=0.5)),
    "passes": (Process("controller-s", schedule=60, ticks=True),),
}


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


def played(wires: Wires, *scenes: Scene, crew: str = "one") -> dict[str, Result]:
    crewed = [replace(scene, processes=CREWS[crew]) for scene in scenes]
    found = play(in_regions(*crewed), wires, traced=True)
    for name, result in found.items():
        told = (name, *result.trace[-60:], *result.violations)
        assert not result.violations, "\n".join(told)
    return found


def outcomes(found: dict[str, Result]) -> list[str]:
    return [result.outcome for result in found.values()]


@pytest.mark.parametrize("crew", CREWS)
def test_regions_are_promoted_one_after_the_other(crew: str, wires: Wires) -> None:
    assert outcomes(played(wires, calm(), calm(), crew=crew)) == ["promoted", "promoted"]


def test_three_regions_are_promoted(wires: Wires) -> None:
    assert outcomes(played(wires, calm(), calm(), calm())) == ["promoted"] * 3


@pytest.mark.parametrize("crew", CREWS)
def test_a_roll_back_in_the_first_region_stops_the_second(crew: str, wires: Wires) -> None:
    bad = calm(truths=BAD, character="worse")
    found = played(wires, bad, calm(), crew=crew)
    assert outcomes(found) == ["rolled_back", "rolled_back"]
    assert not any(f"{CANDIDATE}=" in line for line in found[SECOND].trace)


@pytest.mark.parametrize("crew", CREWS)
def test_a_roll_back_in_the_second_region_leaves_the_first(crew: str, wires: Wires) -> None:
    bad = calm(truths=BAD, character="worse")
    assert outcomes(played(wires, calm(), bad, crew=crew)) == ["promoted", "rolled_back"]


@pytest.mark.parametrize(
    "incident",
    [
        Incident("error", "any", "UNAVAILABLE", start=0, end=900, chance=0.3),
        Incident("lost", "put", "DEADLINE_EXCEEDED", start=0, end=3000, chance=0.5),
        Incident("hang", "any", start=900, end=1200),
        Incident("shift fails", start=300, end=900, number=5),
        Incident("unready", CANDIDATE, start=1500, end=1600),
        Incident("kill", nth=2, number=30),
        Incident("kill", nth=9, number=400),
        Incident("delete revision", CANDIDATE, start=600),
        Incident("say", "pause", start=700),
        Incident("older record", start=900),
        Incident("traffic", number=30, start=900),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_befalls_one_region_breaks_no_invariant_in_either(
    place: int, incident: Incident, wires: Wires
) -> None:
    scenes = [calm(answers="approve"), calm(answers="approve")]
    scenes[place] = scenes[place].with_only((incident,))
    played(wires, *scenes, crew="two")


@pytest.mark.parametrize("crew", CREWS)
def test_a_record_that_nobody_can_read_leaves_no_other_region_unwatched(
    crew: str, wires: Wires
) -> None:
    """Who stays ended at it each time; `tick` looks at each region for itself."""
    tells = replace(
        calm(),
        plan=f"{PLAN}notify:\n  team: {{webhook: env:TEAM, events: [started]}}\n",
        facts=replace(FACTS, tells={"team": frozenset(("started",))}),
    )
    garbage = Incident("garbage", status="{", aim=Aim("shifting", "before the first"))
    found = played(wires, tells.with_only((garbage,)), tells, crew=crew)
    assert any("message to team" in line for line in found[SECOND].trace)
    assert outcomes(found) == ["taken over", "starting"]


def test_a_plan_edited_under_way_is_every_regions(wires: Wires) -> None:
    plan = PLAN.replace("100%, hold: 5m", "100%, hold: 6m")
    facts = replace(FACTS, stages=(*FACTS.stages[:2], StageFacts(100, 360)))
    scene = replace(calm(), edit=Edit(plan, facts, replan=True))
    edit = Incident("edit", "controller-a", aim=Aim("running", "between"))
    found = played(wires, scene.with_only((edit,)), scene)
    assert outcomes(found) == ["promoted", "promoted"]
    for result in found.values():
        assert any("begin: Attach" in line for line in result.trace)


@pytest.mark.parametrize("seed", [2, 5, 25, 42, 71])
def test_a_seed_breaks_nothing_in_several_regions(seed: int, wires: Wires) -> None:
    for name, result in play(drawn(seed), wires).items():
        assert not result.violations, (name, *result.violations)
