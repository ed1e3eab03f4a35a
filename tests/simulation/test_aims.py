"""Incidents that wait for the rollout to be somewhere."""

from __future__ import annotations

import pytest

from tests.simulation.aiming import CELLS, aim_of
from tests.simulation.cells import Cell
from tests.simulation.incidents import CANDIDATE
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Aim, Incident, Scene
from tests.simulation.scenes import calm
from tests.simulation.wires import Wires
from tests.simulation.worlds import play, world

PAUSED = Incident("say", "pause", aim=Aim("running", "between"))


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


def played(scene: Scene, wires: Wires) -> Result:
    result = Run(scene, wires, traced=True).play()
    assert not result.violations, "\n".join((*result.trace[-60:], *result.violations))
    return result


@pytest.mark.parametrize("before", [True, False])
def test_a_controller_is_killed_at_a_call_of_the_state_that_is_aimed_at(
    before: bool,  # noqa: FBT001
    wires: Wires,
) -> None:
    killed = Incident("kill", number=30, before=before, aim=Aim("paused", "between", nth=3))
    result = played(calm(killed, PAUSED, answers="approve"), wires)
    assert result.cells["paused", "kill", "between"] == 1
    assert result.outcome == "promoted"


@pytest.mark.parametrize(
    "cell",
    [
        ("paused", "kill", "the last"),
        ("rolling back", "error INTERNAL", "before the first"),
        ("taken over", 'garbage {"v":1}', "between"),
        ("done", "say approve", "the first"),
        ("starting", "shift fails", "before the first"),
        ("asking", "message 404", "before the first"),
    ],
    ids="/".join,
)
def test_a_world_aimed_at_a_cell_strikes_there(cell: Cell, wires: Wires) -> None:
    tried = (play(world(seed, cell), wires) for seed in range(1, 6))
    hit = next(one for one in tried if any(r.cells[cell] for r in one.results.values()))
    assert not hit.violations


def test_a_seed_in_eight_is_aimed_and_in_time_at_every_cell() -> None:
    aims = [aim_of(seed) for seed in range(8 * len(CELLS))]
    assert set(aims) == {None, *CELLS}


def test_what_holds_for_a_while_begins_when_the_rollout_is_there(wires: Wires) -> None:
    silence = Incident("error", "any", "UNAVAILABLE", end=300, aim=Aim("asking", "the first"))
    lost = Incident("unready", CANDIDATE, end=900, aim=Aim("running", "the first"))
    back = Incident("error", "put", "INTERNAL", end=20, aim=Aim("rolling back", "the first"))
    result = played(calm(silence, lost, back), wires)
    assert result.cells["rolling back", "error INTERNAL", "the first"]
    assert not any(what.startswith("error UNAVAILABLE") for _, what, _ in result.cells)
    assert result.outcome == "rolled_back"
