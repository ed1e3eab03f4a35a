"""Who of stable is left, what a rollout does without the others, and when there is no way back."""

from __future__ import annotations

from itertools import product

import pytest

from controller.engine.decide import decide
from controller.engine.decision import Action, Decision, State
from controller.engine.events import Shifted
from controller.engine.observation import Gone, Observation, RevisionState, Seen, Target
from controller.engine.record import Phase, Record, Shift, Trial
from controller.engine.watching import windows
from controller.engine.way_back import no_way_back, without
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, T0, at, running, service_of, split_asked

THIRD = "api-0"
BOTH = {OLD: 60, THIRD: 40}
READY, NOT_READY, DELETED = "ready", "not ready", "deleted"


def seen(name: str, what: str) -> Seen[RevisionState] | Gone:
    if what == DELETED:
        return Gone(f"no revision {name}")
    return Seen(RevisionState(name, ready=what == READY, why="" if what == READY else "it crashed"))


def decided(
    record: Record, old: str, third: str, new: str = READY, tags: tuple[Target, ...] = ()
) -> Decision:
    shown = service_of(record)
    shown = service_of(record, targets=(*shown.targets, *tags))
    now = at(1)
    beside = {THIRD: seen(THIRD, third)}
    observation = Observation(
        Seen(shown),
        seen(NEW, new),
        seen(OLD, old),
        windows=windows(PLAN, record, now),
        beside=beside,
    )
    return decide(PLAN, record, observation, now)


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize(("old", "third"), list(product((READY, NOT_READY, DELETED), repeat=2)))
def test_a_lost_candidate_goes_back_onto_those_of_stable_that_can_serve(
    stage: int, old: str, third: str
) -> None:
    decision = decided(running(stage, before=BOTH), old, third, NOT_READY)
    able = {name for name, what in ((OLD, old), (THIRD, third)) if what == READY}
    if able:
        assert decision.action is Action.ROLL_BACK
        left = BOTH if len(able) == 2 else dict.fromkeys(able, 100)
        assert split_asked(decision) == left
        assert [e.split for e in decision.events if isinstance(e, Shifted)] == [left]
    else:
        assert decision.state is State.ASKING
        assert "no way back" in decision.reason


def test_a_candidate_that_is_lost_with_no_way_back_is_noted_once_so_that_people_hear() -> None:
    asked = decided(running(1, before=BOTH), NOT_READY, NOT_READY).record
    noted = decided(asked, NOT_READY, NOT_READY, NOT_READY)
    assert noted.record.transitions[-1].what == "not rolled back"
    assert "the candidate lost its readiness" in noted.reason
    assert "no way back" in noted.reason
    again = decided(noted.record, NOT_READY, NOT_READY, NOT_READY)
    assert again.record.transitions == noted.record.transitions


def test_one_of_stable_that_is_deleted_while_it_serves_leaves_its_share_to_the_other() -> None:
    decision = decided(running(1, before=BOTH), READY, DELETED)
    assert split_asked(decision) == {NEW: 50, OLD: 50}
    assert decision.state is State.SHIFTING
    assert decision.record.before == {OLD: 100}
    assert "api-0 of stable cannot serve any more" in decision.reason
    assert decision.record.in_force is None  # beside another stable the stage begins anew


def test_the_largest_of_those_left_is_stable_when_the_largest_is_deleted() -> None:
    decision = decided(running(1, before=BOTH), DELETED, READY)
    assert split_asked(decision) == {NEW: 50, THIRD: 50}
    assert decision.record.stable == THIRD


def test_at_100_percent_a_deleted_one_of_stable_moves_no_traffic() -> None:
    decision = decided(running(2, before=BOTH), READY, DELETED)
    assert decision.action is Action.NOTE
    assert split_asked(decision) == {NEW: 100}
    assert decision.record.in_force == T0


def test_one_of_stable_that_is_not_ready_stays_where_it_is_while_nothing_is_rolled_back() -> None:
    decision = decided(running(1, before=BOTH), READY, NOT_READY)
    assert decision.record.before == BOTH


def test_a_roll_back_under_way_is_asked_for_without_one_that_went_away() -> None:
    record = running(1, before=BOTH, phase=Phase.ROLLING_BACK, weight=0, shift=Shift(T0, 50))
    service = service_of(record, reconciling=True)
    old, third = seen(OLD, READY), {THIRD: seen(THIRD, DELETED)}
    decision = decide(PLAN, record, Observation(Seen(service), stable=old, beside=third), at(1))
    assert split_asked(decision) == {OLD: 100}
    assert decision.state is State.ROLLING_BACK
    assert decision.record.transitions[-1].what == "stable changed"


def test_a_tag_on_one_that_is_deleted_is_not_repeated() -> None:
    tag = Target(THIRD, 0, "blue")
    kept = Target(OLD, 0, "green")
    decision = decided(running(1, before=BOTH), READY, DELETED, NOT_READY, tags=(tag, kept))
    assert decision.write is not None
    assert {t.tag for t in decision.write.targets if not t.percent} == {"green", "rollout-old"}


def test_when_all_of_stable_is_deleted_it_is_asked_and_our_tag_is_given_up() -> None:
    decision = decided(running(2, before=BOTH), DELETED, DELETED)
    assert decision.state is State.ASKING
    assert "stable api-1 was deleted; stable api-0 was deleted" in decision.reason
    assert decision.write is not None
    assert {t.revision for t in decision.write.targets} == {NEW}
    assert decision.look_again <= 5 * MINUTE


def test_a_split_that_a_person_put_on_stable_is_left_though_one_of_it_is_not_ready() -> None:
    record = running(1, before=BOTH)
    service = service_of(record, BOTH)
    beside = {THIRD: seen(THIRD, NOT_READY)}
    seen_now = Observation(Seen(service), seen(NEW, READY), seen(OLD, READY), beside=beside)
    decision = decide(PLAN, record, seen_now, at(1))
    assert decision.state is State.DONE
    assert split_asked(decision) == BOTH


@pytest.mark.parametrize(("others", "stable"), [((20, 30), "api-9"), ((25, 25), "api-0")])
def test_the_greatest_of_those_left_is_stable_from_then_on_of_equals_the_first(
    others: tuple[int, int], stable: str
) -> None:
    before = {"api-9": others[1], OLD: 50, "api-0": others[0]}
    assert without(running(before=before), frozenset({OLD})).stable == stable


def test_a_candidate_that_served_before_is_no_way_back_from_itself() -> None:
    record = running(before={OLD: 70, NEW: 30})
    assert without(record, frozenset({OLD})) is record
    assert without(record, frozenset({"api-7"})) is record
    alone = running(before={NEW: 100})
    nobody = Observation(Seen(service_of(alone)))
    assert no_way_back(alone, nobody) == ""


def test_a_candidate_lowered_to_nothing_as_a_test_still_has_to_be_rolled_back() -> None:
    """Its record says what is under way; to end there would leave the roll back unconfirmed."""
    trial = Trial("errors", T0, 0.1)
    decision = decided(running(weight=0, trial=trial, before=BOTH), READY, READY, NOT_READY)
    assert decision.state is State.ROLLING_BACK
    assert decision.record.phase is Phase.ROLLING_BACK
