"""A slice of the simulation, and every fault that it found, as the scene that showed it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.simulation.drawing import draw
from tests.simulation.incidents import CANDIDATE, OTHERS
from tests.simulation.kills import APPROVED, enumerated
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Aim, Incident, Process, Scene, StageFacts, Truth
from tests.simulation.scenes import BAD, FACTS, PLAN, calm
from tests.simulation.wires import Wires
from tests.simulation.worlds import play, world


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


def played(scene: Scene, wires: Wires) -> Result:
    result = Run(scene, wires, traced=True).play()
    assert not result.violations, "\n".join((*result.trace[-60:], *result.violations))
    return result


def test_a_calm_world_promotes_a_good_candidate_and_rolls_a_bad_one_back(wires: Wires) -> None:
    assert played(calm(), wires).outcome == "promoted"
    assert played(calm(truths=BAD, character="worse"), wires).outcome == "rolled_back"


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_seed_breaks_nothing(seed: int, wires: Wires) -> None:
    played(draw(seed), wires)


def test_a_seed_means_the_same_run_whatever_the_hashes(wires: Wires) -> None:
    seeds = (6, 16, 19)  # of one region, aimed at a cell, of several regions
    code = (
        "from tests.simulation.wires import Wires\n"
        "from tests.simulation.worlds import play, world\n"
        f"for seed in {seeds}:\n"
        "    print(*play(world(seed), Wires(), traced=True).trace, sep='\\n')"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    here = (play(world(seed), wires, traced=True).trace for seed in seeds)
    assert other.stdout.splitlines() == [line for trace in here for line in trace]


@pytest.mark.parametrize("name", ["a bad candidate", "an approval"])
def test_killed_or_failing_at_any_call_it_ends_as_it_does_undisturbed(
    name: str, wires: Wires
) -> None:
    counts, wrong = enumerated(name, wires, every=97, for_good=False)
    assert counts
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("lost", ["forget", "garbage"])
@pytest.mark.parametrize(
    ("word", "outcome"), [("cancel", "cancelled"), ("rollback", "rolled_back")]
)
def test_a_person_ends_what_has_no_record_and_all_who_watch_see_it(
    lost: str, word: str, outcome: str, wires: Wires
) -> None:
    processes = (Process("controller-a"), Process("controller-s", schedule=60))
    gone, said = Incident(lost, start=700), Incident("say", word, start=1000)
    result = played(calm(gone, said, processes=processes), wires)
    assert any(f"{word}: done" in line for line in result.trace)
    assert result.outcome == outcome


# What it found ----------------------------------------------------------------------------------


def test_controllers_go_on_from_an_older_record_that_a_person_resumed(wires: Wires) -> None:
    """They held it for taken over for ever: its number was lower than the one they remembered."""
    older = Incident("older record", start=700)
    result = played(calm(older, answers="approve"), wires)
    assert result.outcome == "promoted"


@pytest.mark.parametrize("named", [CANDIDATE, "latest-ready"])
@pytest.mark.parametrize("kind", ["unready", "delete revision"])
def test_a_candidate_lost_while_nobody_ran_is_rolled_back_by_the_next_apply(
    kind: str, named: str, wires: Wires
) -> None:
    """`apply` refused to attach: what the plan means was another revision then, or none."""
    lost = Incident(kind, CANDIDATE, start=500, end=2000)
    passes = (Process("controller-s", schedule=60),)
    plan = PLAN.replace(f"candidate: {CANDIDATE}", f"candidate: {named}")
    assert played(calm(lost, processes=passes, plan=plan), wires).outcome == "rolled_back"


def test_a_record_from_before_the_roll_back_begins_nothing_anew(wires: Wires) -> None:
    """Terraform wrote it back after the end; the next apply gave the candidate traffic again."""
    unhealthy = {"*": Truth(), CANDIDATE: Truth(health=500)}
    checked = PLAN.replace('/health",', '/health", when: stages,')
    old = Incident("older record", start=600)
    result = played(calm(old, truths=unhealthy, plan=checked), wires)
    assert result.outcome == "taken over"


def test_a_users_tag_on_a_deleted_candidate_does_not_hold_the_roll_back(wires: Wires) -> None:
    """Each write repeated the tag, which named nothing any more, and was refused for ever."""
    tagged = replace(calm().shape, tags={"try": CANDIDATE})
    deleted = Incident("delete revision", CANDIDATE, start=500)
    assert played(calm(deleted, shape=tagged), wires).outcome == "rolled_back"


BOTH = {OTHERS[0]: 60, OTHERS[1]: 40}


def test_a_dead_candidate_leaves_100_percent_though_one_of_stable_is_deleted(wires: Wires) -> None:
    """The roll back named the deleted one too, and was refused for ever."""
    plan = PLAN.replace("100%, hold: 5m", "100%, hold: 20m")
    deleted = Incident("delete revision", OTHERS[1], start=1350)
    bad = Incident("turns bad", CANDIDATE, number=1.0, start=1500, end=90_000)
    shape = replace(calm().shape, before=BOTH)
    facts = replace(FACTS, stages=(*FACTS.stages[:2], StageFacts(100, 1200)))
    scene = calm(deleted, bad, shape=shape, plan=plan, facts=facts)
    assert played(scene, wires).outcome == "rolled_back"


@pytest.mark.parametrize("main", OTHERS[:2])
def test_the_others_of_stable_take_the_share_of_one_that_is_deleted(
    main: str, wires: Wires
) -> None:
    shape = replace(calm().shape, before={name: 60 if name == main else 40 for name in BOTH})
    deleted = Incident("delete revision", OTHERS[0], start=700)
    result = played(calm(deleted, shape=shape), wires)
    assert result.outcome == "promoted"
    assert any(f"the way back is {OTHERS[1]} 100%" in line for line in result.trace)


def test_who_is_not_ready_of_stable_does_not_hold_the_roll_back(wires: Wires) -> None:
    ill = Incident("unready", OTHERS[1], start=600, end=90_000)
    lost = Incident("unready", CANDIDATE, start=700, end=90_000)
    result = played(calm(ill, lost, shape=replace(calm().shape, before=BOTH)), wires)
    assert result.outcome == "rolled_back"


@pytest.mark.parametrize("refuses", [True, False])
def test_promote_is_the_way_out_when_all_of_stable_is_deleted(
    refuses: bool,  # noqa: FBT001
    wires: Wires,
) -> None:
    """Our own tag on stable named nothing any more: each write that repeated it failed."""
    shape = replace(calm().shape, tags={}, refuses_missing=refuses)
    deleted = Incident("delete revision", OTHERS[0], start=1300)
    result = played(calm(deleted, shape=shape, answers="approve"), wires)
    assert result.outcome == "promoted"


def test_a_write_that_is_refused_for_good_is_tried_ever_more_seldom(wires: Wires) -> None:
    denied = Incident("error", "put", "PERMISSION_DENIED", start=600, end=4200)
    trace = played(calm(denied), wires).trace
    assert 100 < sum("put: PERMISSION_DENIED" in line for line in trace) < 130  # not 700


@pytest.mark.parametrize("refuses", [True, False])
def test_a_person_rolls_a_promoted_candidate_back_though_one_of_stable_is_deleted(
    refuses: bool,  # noqa: FBT001
    wires: Wires,
) -> None:
    shape = replace(calm().shape, before=BOTH, refuses_missing=refuses)
    deleted = Incident("delete revision", OTHERS[1], start=2400)
    back = Incident("say", "rollback", start=2500)
    run = Run(calm(deleted, back, shape=shape), wires, traced=True)
    result = run.play()
    assert not result.violations
    assert run.cloud.service is not None
    assert run.cloud.service.serving == {OTHERS[0]: 100}, "\n".join(result.trace[-20:])


@pytest.mark.parametrize("nth", range(1, 10))
def test_one_call_that_is_not_answered_ends_no_apply(nth: int, wires: Wires) -> None:
    """It ended with an error; the next call would have been answered."""
    blip = Incident("error", "any", "UNAVAILABLE", nth=nth, number=1)
    trace = played(calm(blip), wires).trace
    assert not [line for line in trace if " ends: " in line]


def test_a_roll_back_by_hand_lives_through_a_moment_of_silence(wires: Wires) -> None:
    """It was given up at the first read that was not answered, at the worst of times."""
    said = Incident("say", "rollback", start=605)
    silence = Incident("error", "any", "UNAVAILABLE", start=604, end=609)
    assert played(calm(said, silence), wires).outcome == "rolled_back"


def test_a_users_tag_on_a_candidate_that_was_deleted_unseen_is_given_up(wires: Wires) -> None:
    """The roll back was asked for while revisions could not be read, and then for ever."""
    tagged = replace(calm().shape, tags={"try": CANDIDATE}, refuses_missing=False)
    deleted = Incident("delete revision", CANDIDATE, start=600)
    unseen = Incident("error", "get_revision", "PERMISSION_DENIED", start=595, end=1100)
    bad = Incident("turns bad", CANDIDATE, number=1.0, start=300, end=90_000)
    assert played(calm(deleted, unseen, bad, shape=tagged), wires).outcome == "rolled_back"


def test_a_users_tag_on_one_of_stable_that_is_not_ready_is_left(wires: Wires) -> None:
    tagged = replace(calm().shape, before=BOTH, tags={"blue": OTHERS[1]})
    ill = Incident("unready", OTHERS[1], start=600, end=90_000)
    lost = Incident("unready", CANDIDATE, start=700, end=90_000)
    assert played(calm(ill, lost, shape=tagged), wires).outcome == "rolled_back"


def test_a_controller_goes_on_with_an_earlier_rollout_that_a_person_resumed(
    wires: Wires,
) -> None:
    """It held the earlier one's record for another's, and nobody watched what was resumed."""
    cancelled = Incident("say", "cancel", start=15)
    older = Incident("older record", start=330)
    result = played(calm(cancelled, older, answers="approve"), wires)
    assert any("resume: done" in line for line in result.trace)
    assert result.outcome == "promoted"


def test_an_approval_asked_for_before_another_hand_came_leads_on_only_after_a_new_hold(
    wires: Wires,
) -> None:
    """Who resumed begins the stage anew; the approval, given then, went on ten seconds later."""
    hand = Incident("traffic", number=30, aim=Aim("asking", "the first"))
    result = played(APPROVED.with_only((hand,)), wires)
    assert result.outcome == "promoted"
    assert any("the stage began anew" in line for line in result.trace)


def test_what_was_held_before_a_test_counts(wires: Wires) -> None:
    """The observer began the hold anew with the split that came back."""
    plan = PLAN.replace("100%, hold: 5m", "100%, hold: 30m")
    facts = replace(FACTS, stages=(*FACTS.stages[:2], StageFacts(100, 1800)))
    bad = Incident("turns bad", CANDIDATE, number=0.3, start=2400, end=3300)
    result = played(calm(bad, plan=plan, facts=facts), wires)
    assert result.outcome == "promoted"
    assert any("a test whether it is the candidate" in line for line in result.trace)


def test_passes_go_on_with_what_was_resumed_without_the_deleted_candidates_tag(
    wires: Wires,
) -> None:
    """Our tag was given up with the candidate; each pass took the record for an older one."""
    hand = Incident("traffic", number=41, aim=Aim("starting", "before the first"))
    gone = Incident("delete revision", CANDIDATE, aim=Aim("taken over", "before the first"))
    passes = (Process("controller-s", schedule=60, ticks=True),)
    shape = replace(calm().shape, tags={}, refuses_missing=True)
    scene = calm(hand, gone, processes=passes, shape=shape, answers="approve")
    assert played(scene, wires).outcome == "rolled_back"


def test_a_candidate_deleted_while_its_failed_shift_is_asked_about_is_rolled_back(
    wires: Wires,
) -> None:
    """It was taken for one that the first write was still making."""
    ill = Incident("unready", OTHERS[1], start=15, end=90_000)
    deleted = Incident("delete revision", CANDIDATE, start=180)
    shape = replace(calm().shape, before=BOTH, reconcile=70.0)
    assert played(calm(ill, deleted, shape=shape), wires).outcome == "rolled_back"
