"""Messages to people in the simulated world: nothing waits for them, and nobody is told twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.mailing import ALL
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Aim, Incident, Process, Scene
from tests.simulation.scenes import BAD, FACTS, PLAN, calm
from tests.simulation.wires import Wires

TELLS = f"notify:\n  team: {{webhook: env:TEAM, events: [{', '.join(sorted(ALL))}]}}\n"
TOLD = calm(plan=PLAN + TELLS, facts=replace(FACTS, tells={"team": ALL}))
TWO = (Process("controller-a"), Process("controller-b", starts=0.5))


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


def played(scene: Scene, wires: Wires) -> Result:
    result = Run(scene, wires, traced=True).play()
    assert not result.violations, "\n".join((*result.trace[-60:], *result.violations))
    return result


def told(result: Result) -> list[str]:
    """Return the events that people were told of, in order, as often as they were."""
    lines = (line for line in result.trace if "message to team: r-" in line)
    return [line.rstrip().rpartition("/")[2] for line in lines]


def test_people_are_told_of_each_transition_once(wires: Wires) -> None:
    assert told(played(TOLD, wires)) == ["started", "advanced", "advanced", "advanced", "promoted"]


@pytest.mark.parametrize("met", ["hang", "lost", "500", "429", "404", "no connection"])
def test_a_bad_candidate_is_rolled_back_as_soon_whatever_becomes_of_messages(
    met: str, wires: Wires
) -> None:
    bad = replace(TOLD, truths=BAD, character="worse")
    never = Incident("message", status=met, end=3000)
    calm_one, result = played(bad, wires), played(bad.with_only((never,)), wires)
    assert result.outcome == calm_one.outcome == "rolled_back"

    def rolled_back(result: Result) -> str:
        return next(line for line in result.trace if "tick: roll_back" in line)[:8]

    assert rolled_back(result) == rolled_back(calm_one)  # to the minute


def test_who_cancels_a_record_that_nobody_can_read_is_told_by_nobody(wires: Wires) -> None:
    """What they write has no plan, which would name the recipients."""
    garbage = Incident("garbage", status="{", aim=Aim("running", "between"))
    cancel = Incident("say", "cancel", aim=Aim("taken over", "before the first", nth=3))
    result = played(TOLD.with_only((garbage, cancel)), wires)
    assert result.outcome == "cancelled"
    assert "cancelled" not in told(result)


@pytest.mark.parametrize("seed", [7, 20, 22])
def test_two_controllers_tell_people_once(seed: int, wires: Wires) -> None:
    """Whoever wrote while the other told had not the mark, and told it again a minute later."""
    scene = replace(TOLD, seed=seed, processes=TWO, slow=8.0, truths=BAD, character="worse")
    messages = told(played(scene, wires))
    assert len(messages) == len(set(messages))


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_passes_tell_people_once_though_a_change_of_status_refuses_the_mark(
    seed: int, wires: Wires
) -> None:
    """The split came into force between the read and the write; the next pass told again."""
    passes = (Process("controller-s", schedule=180, ticks=True),)
    shape = replace(TOLD.shape, version_on_status=True, reconcile=2.5)
    messages = told(
        played(replace(TOLD, seed=seed, processes=passes, shape=shape, slow=2.0), wires)
    )
    assert messages == ["started", "advanced", "advanced", "advanced", "promoted"]


def test_people_hear_of_a_roll_back_from_an_older_record_that_was_written_back(
    wires: Wires,
) -> None:
    """Its number was one that they had been told of in the record that was lost."""
    older = Incident("older record", start=700)
    result = played(replace(TOLD.with_only((older,)), answers="reject"), wires)
    assert result.outcome == "rolled_back"
    assert told(result)[-1] == "rolled_back"
