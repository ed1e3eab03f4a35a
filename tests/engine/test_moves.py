"""What each write changes in the record, and that it leaves the rest as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from controller.engine import acts, moves
from controller.engine.decision import Action, Decision, State
from controller.engine.events import Asked, Message, Shifted
from controller.engine.observation import ServiceState
from controller.engine.record import (
    Accumulated,
    Act,
    Ask,
    AskKind,
    Outcome,
    OwnCount,
    Phase,
    Record,
    Shift,
    Transition,
    Trial,
)
from controller.gates.betting import Question
from controller.gates.history import History
from controller.gates.state import State as Evidence
from controller.gates.tally import Side, Tally
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, T0, at, running, service_of

NOW = at(40)
FAILED = Evidence(
    tally=Tally(Side(5, 300, 30), Side(5, 700, 2)), failed=Question.LIMIT, failed_at=at(4)
)
TRIAL = Trial("errors", at(3), 0.1)
QUESTION = Ask(AskKind.UNDECIDED, "too few requests", at(8))
FULL = running(
    1,
    uncounted=5 * MINUTE,
    stopped=at(7),
    paused=Act("ada", at(7)),
    ask=QUESTION,
    approved=(0, 1, 2),
    waived=(0, 1, 2),
    extended=True,
    stepped_back=(0,),
    came_from=0,
    weight_before=10,
    trial=TRIAL,
    tried=(0,),
    history={"errors": History(1.0, 900.0, None, 0.002)},
    told=("api-0",),
    gates={"errors": Accumulated(at(5), FAILED)},
    own=(OwnCount(at(5), NEW, 200, 1, 20.0),),
    unknown_until=at(1),
    verdicts={"errors": "fail"},
    transitions=(Transition(T0, "started", "by hand", "ada"),),
    noted=1,
    heard={"team": 1},
    outcomes=(Outcome("promoted", OLD, T0, "well"),),
    duty="me",
    served=9,
    seq=4,
    nonce="n",
    generation=6,
)
SERVICE = service_of(FULL)
FORGIVEN = {"errors": Accumulated(at(5), FAILED.forgiven())}
ANEW: dict[str, Any] = {
    "in_force": None, "uncounted": timedelta(0), "stopped": None, "verdicts": {},
}  # fmt: skip
OVER: dict[str, Any] = {
    "phase": Phase.DONE, "ask": None, "paused": None, "stopped": None, "gates": {}, "own": (),
    "unknown_until": None, "history": {}, "trial": None,
}  # fmt: skip


def changed(before: Record, decision: Decision) -> dict[str, Any]:
    """Return the fields that a decision changes, what it notes left out."""
    after = decision.record
    names = {field.name for field in fields(after)} - {"transitions", "noted", "outcomes"}
    return {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}


def noted(before: Record, decision: Decision) -> list[tuple[str, str]]:
    """Return what a decision notes, and by whom."""
    assert decision.record.noted - before.noted == len(decision.record.transitions) - 1
    return [(t.what, t.by) for t in decision.record.transitions[1:]]


def tags(decision: Decision) -> dict[str, str | None]:
    assert decision.write is not None
    return {target.tag: target.revision for target in decision.write.targets if target.tag}


BOTH = {"rollout-new": NEW, "rollout-old": OLD}
WAY_BACK = {"rollout-old": OLD}


def enter(stage: int) -> Callable[[Record, ServiceState], Decision]:
    return lambda record, service: moves.enter_stage(PLAN, record, service, stage, NOW, "why")


def asked(record: Record, service: ServiceState) -> Decision:
    return moves.ask(record, service, NOW, Ask(AskKind.GATE, "why", NOW), 3 * MINUTE)


def lowered(record: Record, service: ServiceState) -> Decision:
    return moves.lower_to_test(record, service, NOW, 10, TRIAL, "why")


def raised(record: Record, service: ServiceState) -> Decision:
    return moves.raise_after_test(record, service, NOW, 50, TRIAL, FORGIVEN, "why")


UP, DOWN = Shift(NOW, 50), Shift(NOW, 10)
MOVES: dict[str, tuple[Any, Record, Action, State, bool, dict[str, Any], str]] = {
    "a shift": (
        enter(2), FULL, Action.SHIFT, State.SHIFTING, True,
        {
            "stage": 2, "weight": 100, "shift": UP, "in_force": None, "uncounted": timedelta(0),
            "stopped": None, "ask": None, "extended": False, "gates": FORGIVEN, "came_from": 1,
            "weight_before": 50, "trial": None,
        },
        "shift to 100%",
    ),
    "the first shift": (
        enter(0), replace(FULL, phase=Phase.STARTING, stage=-1, weight=0), Action.SHIFT,
        State.SHIFTING, True,
        {
            "phase": Phase.RUNNING, "stage": 0, "weight": 10, "shift": Shift(NOW, 0),
            "in_force": None, "uncounted": timedelta(0), "stopped": None, "ask": None,
            "extended": False, "gates": FORGIVEN, "came_from": -1, "weight_before": 0,
            "trial": None, "waived": (0,),
        },
        "shift to 10%",
    ),
    "a step back": (
        enter(0), FULL, Action.STEP_BACK, State.SHIFTING, False,
        {
            "stage": 0, "weight": 10, "shift": UP, "in_force": None, "uncounted": timedelta(0),
            "stopped": None, "ask": None, "extended": False, "gates": FORGIVEN, "came_from": 1,
            "weight_before": 50, "trial": None, "approved": (0,), "waived": (0,),
            "stepped_back": (0, 1),
        },
        "step back to 10%",
    ),
    "a test": (
        lowered, replace(FULL, trial=None), Action.STEP_BACK, State.SHIFTING, False,
        {
            "weight": 10, "shift": UP, "came_from": 1, "weight_before": 50, "trial": TRIAL,
            "tried": (0, 1),
        },
        "test at 10%",
    ),
    "a test while the hold runs": (
        lowered, replace(FULL, trial=None, stopped=None), Action.STEP_BACK, State.SHIFTING, False,
        {
            "weight": 10, "shift": UP, "came_from": 1, "weight_before": 50, "trial": TRIAL,
            "tried": (0, 1), "stopped": NOW,
        },
        "test at 10%",
    ),
    "the end of a test": (
        raised, replace(FULL, weight=10, weight_before=50), Action.SHIFT, State.SHIFTING, True,
        {
            "weight": 50, "shift": DOWN, "came_from": 1, "weight_before": 10,
            "trial": replace(TRIAL, raised=NOW), "gates": FORGIVEN,
        },
        "back to 50%",
    ),
    "a roll back": (
        lambda r, s: moves.roll_back(r, s, NOW, "why"), FULL, Action.ROLL_BACK,
        State.ROLLING_BACK, False,
        {"phase": Phase.ROLLING_BACK, "weight": 0, "ask": None, "shift": UP},
        "roll back",
    ),
    "a question": (
        asked, FULL, Action.ASK, State.ASKING, False,
        {"ask": Ask(AskKind.GATE, "why", NOW)},
        "asked: gate",
    ),
    "a question while the hold runs": (
        asked, replace(FULL, stopped=None), Action.ASK, State.ASKING, False,
        {"ask": Ask(AskKind.GATE, "why", NOW), "stopped": NOW},
        "asked: gate",
    ),
    "a shift that failed": (
        lambda r, s: moves.shift_failed(PLAN, r, s, NOW, "why"), replace(FULL, shift=UP),
        Action.ASK, State.ASKING, False,
        {
            "stage": 0, "weight": 10, "waived": (0,), "ask": Ask(AskKind.SHIFT_FAILED, "why", NOW),
        },
        "shift failed",
    ),
    "a promotion that failed": (
        lambda r, s: moves.shift_failed(PLAN, r, s, NOW, "why"),
        replace(FULL, phase=Phase.PROMOTING, weight=100, shift=UP), Action.ASK, State.ASKING, False,
        {
            "phase": Phase.RUNNING, "weight": 50, "waived": (0,), "shift": Shift(NOW, 100),
            "ask": Ask(AskKind.SHIFT_FAILED, "why", NOW), **ANEW,
        },
        "shift failed",
    ),
    "a promotion by hand": (
        lambda r, s: moves.promoting(r, s, NOW, "why", "bo"), FULL, Action.SHIFT, State.SHIFTING,
        True,
        {
            "phase": Phase.PROMOTING, "weight": 100, "shift": UP, "gates": FORGIVEN,
            "came_from": 1, "weight_before": 50, "trial": None, "ask": None, "paused": None,
        },
        "promote",
    ),
    "a promotion by hand in the middle of a shift": (
        lambda r, s: moves.promoting(r, s, NOW, "why", "bo"),
        replace(FULL, shift=Shift(T0, 10), trial=None), Action.SHIFT, State.SHIFTING, True,
        {
            "phase": Phase.PROMOTING, "stage": 0, "weight": 100, "shift": DOWN, "gates": FORGIVEN,
            "ask": None, "paused": None,
        },
        "promote",
    ),
    "a promotion by hand while a test ends": (
        lambda r, s: moves.promoting(r, s, NOW, "why", "bo"),
        replace(FULL, shift=Shift(T0, 10)), Action.SHIFT, State.SHIFTING, True,
        {
            "phase": Phase.PROMOTING, "weight": 100, "shift": UP, "gates": FORGIVEN,
            "came_from": 1, "weight_before": 50, "trial": None, "ask": None, "paused": None,
        },
        "promote",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_a_write_changes_what_it_is_about_and_nothing_else(name: str) -> None:
    move, before, action, state, raises, expected, what = MOVES[name]
    decision = move(before, SERVICE)
    assert (decision.action, decision.state) == (action, state)
    assert changed(before, decision) == expected
    assert [said for said, _ in noted(before, decision)] == [what]
    assert decision.write.raises is raises
    assert decision.reason == "why"


@pytest.mark.parametrize("name", MOVES)
def test_what_is_asked_for_is_looked_at_soon_and_told(name: str) -> None:
    move, before, action, _, _, _, _ = MOVES[name]
    decision = move(before, SERVICE)
    if action is Action.ASK:
        (event,) = decision.events
        assert isinstance(event, Asked)
        assert (event.at, event.reason, event.stage) == (NOW, "why", decision.record.stage)
        return
    assert decision.look_again == timedelta(seconds=10)
    split = moves.expected_split(decision.record)
    assert decision.events == (Shifted(NOW, split, in_force=False, reason="why"),)
    assert tags(decision) == (WAY_BACK if action is Action.ROLL_BACK else BOTH)


@pytest.mark.parametrize(
    ("kind", "for_ever"),
    [(AskKind.APPROVAL, True), (AskKind.NO_WAY_BACK, True), (AskKind.GATE, False)],
)
def test_only_an_approval_and_no_way_back_wait_for_a_person_alone(
    kind: AskKind,
    for_ever: bool,  # noqa: FBT001
) -> None:
    decision = moves.ask(FULL, SERVICE, NOW, Ask(kind, "why", NOW), MINUTE)
    assert decision.only_a_person is for_ever
    assert decision.look_again == MINUTE
    waiting = replace(decision.record, paused=None, approved=())
    assert moves.wait(waiting, "why", MINUTE).only_a_person is for_ever
    assert moves.note(waiting, SERVICE, NOW, "why", MINUTE).only_a_person is for_ever
    answered = replace(waiting, approved=(2,))
    assert not moves.wait(answered, "why", MINUTE).only_a_person
    assert moves.wait(replace(answered, paused=Act("ada", T0)), "why", MINUTE).only_a_person


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (replace(FULL, phase=Phase.DONE), State.DONE),
        (replace(FULL, phase=Phase.ROLLING_BACK), State.ROLLING_BACK),
        (replace(FULL, phase=Phase.PROMOTING), State.ASKING),
        (replace(FULL, phase=Phase.PROMOTING, ask=None), State.SHIFTING),
        (replace(FULL, shift=UP), State.ASKING),
        (replace(FULL, shift=UP, ask=None), State.PAUSED),
        (replace(FULL, shift=UP, ask=None, paused=None), State.SHIFTING),
        (replace(FULL, ask=None, paused=None, phase=Phase.STARTING), State.STARTING),
        (replace(FULL, ask=None, paused=None), State.RUNNING),
    ],
)
def test_a_state_is_named_by_what_moves_it_on(record: Record, state: State) -> None:
    assert moves.state_of(record) is state
    assert moves.wait(record, "why", MINUTE).state is state


class TestEnding:
    def ends(self, decision: Decision, outcome: str, split: dict[str, int], **more: int) -> None:
        assert changed(FULL, decision) == {**OVER, **more}
        last = decision.record.outcomes[-1]
        assert (last.outcome, last.candidate, last.at, last.before, last.rollout) == (
            outcome, NEW, NOW, {OLD: 100}, "r1",
        )  # fmt: skip
        assert decision.record.outcomes[:-1] == FULL.outcomes
        assert (decision.state, decision.look_again) == (State.DONE, timedelta(0))
        assert decision.write is not None
        asked_for = {t.revision: t.percent for t in decision.write.targets if t.percent}
        assert asked_for == split

    def test_a_promotion_leaves_our_tag_on_the_way_back_only(self) -> None:
        decision = moves.promote(PLAN, FULL, SERVICE, NOW, "why", "bo")
        self.ends(decision, "promoted", {NEW: 100}, weight=100, served=9 + 300)
        assert decision.action is Action.PROMOTE
        assert tags(decision) == WAY_BACK
        assert decision.write is not None
        assert decision.write.raises
        assert noted(FULL, decision) == [("promoted", "bo")]

    def test_a_roll_back_in_force_ends_by_whom_and_why_it_began(self) -> None:
        back = moves.roll_back(FULL, SERVICE, NOW, "too slow", by="bo").record
        decision = moves.rolled_back(back, SERVICE, NOW)
        last = decision.record.outcomes[-1]
        assert (last.outcome, last.reason, last.by) == ("rolled_back", "too slow", "bo")
        assert decision.action is Action.NOTE
        assert tags(decision) == WAY_BACK
        assert decision.write is not None
        assert not decision.write.raises
        nameless = replace(back, transitions=())
        assert moves.rolled_back(nameless, SERVICE, NOW).reason == "rolled back"

    def test_a_promotion_by_hand_in_force_ends_by_whom_and_why_it_began(self) -> None:
        asked_for = moves.promoting(FULL, SERVICE, NOW, "good enough", "bo").record
        last = moves.promoted(PLAN, asked_for, SERVICE, NOW).record.outcomes[-1]
        assert (last.outcome, last.reason, last.by) == ("promoted", "good enough", "bo")
        nameless = replace(asked_for, transitions=())
        assert moves.promoted(PLAN, nameless, SERVICE, NOW).reason == "promoted"

    def test_a_cancelled_rollout_keeps_the_traffic_and_the_tag_on_the_way_back(self) -> None:
        decision = moves.cancel(FULL, SERVICE, NOW, "why", "bo")
        self.ends(decision, "cancelled", {OLD: 50, NEW: 50})
        assert decision.action is Action.CANCEL
        assert tags(decision) == WAY_BACK
        assert noted(FULL, decision) == [("cancelled", "bo")]

    def test_one_ended_by_another_hand_is_rolled_back_in_its_name(self) -> None:
        service = replace(service_of(FULL, {OLD: 100}), last_modifier="bo")
        decision = moves.ended_by_hand(FULL, service, NOW)
        self.ends(decision, "rolled_back", {OLD: 100}, weight=0)
        assert tags(decision) == WAY_BACK
        assert noted(FULL, decision) == [("rolled back", "bo")]
        nobody = moves.ended_by_hand(FULL, replace(service, last_modifier=""), NOW)
        assert nobody.reason == "somebody put all traffic back on stable"

    def test_before_the_first_shift_a_roll_back_is_the_end(self) -> None:
        new = replace(FULL, phase=Phase.STARTING, stage=-1, weight=0)
        decision = moves.roll_back(new, service_of(FULL, {OLD: 100}), NOW, "why", by="bo")
        assert decision.state is State.DONE
        assert decision.record.outcomes[-1].by == "bo"
        moved = replace(new, weight=10)  # by hand, and taken back: the candidate has traffic
        assert moves.roll_back(moved, SERVICE, NOW, "why").state is State.ROLLING_BACK

    def test_ten_outcomes_are_kept(self) -> None:
        record = replace(FULL, outcomes=FULL.outcomes * 10)
        ended = moves.cancel(record, SERVICE, NOW, "why", "bo").record
        assert len(ended.outcomes) == 10
        assert ended.outcomes[-1].outcome == "cancelled"


class TestInForce:
    def test_hold_and_evidence_of_the_stage_begin(self) -> None:
        before = replace(FULL, trial=None, ask=None, paused=None, shift=Shift(at(39), 10))
        decision = moves.in_force(PLAN, before, SERVICE, NOW)
        served = {"served": 9 + 300}  # what the stage before had counted
        state = FAILED.in_new_stage()
        gates = {"errors": Accumulated(at(5), state)}
        anew: dict[str, Any] = {"shift": None, "in_force": NOW, "stopped": None, "verdicts": {}}
        assert changed(before, decision) == {**anew, **served, "gates": gates}
        assert (decision.action, decision.state) == (Action.NOTE, State.RUNNING)
        assert noted(before, decision) == [("50% in force", "")]
        assert decision.look_again == timedelta(seconds=15)
        split = {OLD: 50, NEW: 50}
        assert decision.events == (Shifted(NOW, split, in_force=True, reason="in force"),)

    @pytest.mark.parametrize("waits", [{"ask": QUESTION}, {"paused": Act("ada", T0)}])
    def test_who_is_asked_or_paused_lets_the_hold_stand_still_from_the_first(
        self, waits: dict[str, Any]
    ) -> None:
        before = replace(FULL, trial=None, ask=None, paused=None, shift=Shift(at(39), 10))
        assert moves.in_force(PLAN, replace(before, **waits), SERVICE, NOW).record.stopped == NOW

    def test_before_the_first_stage_nothing_is_held(self) -> None:
        new = replace(FULL, phase=Phase.STARTING, stage=-1, weight=0, trial=None, shift=UP)
        record = moves.in_force(PLAN, new, SERVICE, NOW).record
        assert (record.in_force, record.gates, record.shift) == (None, {}, None)

    def test_in_a_test_only_the_test_begins(self) -> None:
        before = replace(FULL, shift=UP)
        assert changed(before, moves.in_force(PLAN, before, SERVICE, NOW)) == {
            "shift": None,
            "trial": replace(TRIAL, at=NOW),
        }
        again = replace(before, trial=replace(TRIAL, raised=at(30)))
        assert moves.in_force(PLAN, again, SERVICE, NOW).record.trial == replace(TRIAL, raised=NOW)


class TestNarrowing:
    def test_traffic_moved_among_those_of_stable_is_measured_anew(self) -> None:
        before = replace(FULL, before={OLD: 100}, trial=None)
        service = service_of(FULL, {OLD: 30, "api-0": 20, NEW: 50})
        decision = moves.narrow(before, service, NOW, "why")
        assert changed(before, decision) == {
            "shift": UP, "came_from": 1, "weight_before": 50, **ANEW,
        }  # fmt: skip
        assert decision.action is Action.SHIFT
        assert noted(before, decision) == [("stable changed", "")]
        told = Shifted(NOW, {OLD: 50, NEW: 50}, in_force=False, reason="why")
        assert decision.events == (told, Message(NOW, "warning", "why"))

    def test_in_a_test_what_was_measured_stays(self) -> None:
        service = service_of(FULL, {OLD: 30, "api-0": 20, NEW: 50})
        decision = moves.narrow(FULL, service, NOW, "why")
        assert changed(FULL, decision) == {"shift": UP, "came_from": 1, "weight_before": 50}

    def test_a_shift_under_way_is_waited_for_from_now_on(self) -> None:
        before = replace(FULL, shift=Shift(at(39), 10))
        service = service_of(FULL, {OLD: 30, "api-0": 20, NEW: 50})
        assert changed(before, moves.narrow(before, service, NOW, "why")) == {"shift": DOWN}

    def test_where_the_traffic_fits_already_it_is_only_noted(self) -> None:
        decision = moves.narrow(FULL, SERVICE, NOW, "why")
        assert changed(FULL, decision) == {}
        assert decision.action is Action.NOTE
        assert noted(FULL, decision) == [("stable changed", "")]


class TestNotes:
    def test_a_note_changes_nothing_but_what_it_notes(self) -> None:
        decision = moves.note(FULL, SERVICE, NOW, "why", MINUTE, transition="said", by="bo")
        assert changed(FULL, decision) == {}
        assert noted(FULL, decision) == [("said", "bo")]
        assert tags(decision) == BOTH
        assert moves.note(FULL, SERVICE, NOW, "why", MINUTE).record is FULL

    def test_while_rolling_back_the_candidate_is_not_tagged(self) -> None:
        back = replace(FULL, phase=Phase.ROLLING_BACK, weight=0)
        assert tags(moves.note(back, SERVICE, NOW, "why", MINUTE)) == WAY_BACK

    def test_a_candidate_that_is_its_own_way_back_has_no_second_tag(self) -> None:
        own = replace(FULL, stable=NEW, before={NEW: 100}, weight=100)
        assert tags(moves.note(own, SERVICE, NOW, "why", MINUTE)) == {"rollout-new": NEW}

    def test_what_another_hand_holds_is_not_written_and_waits_for_a_person(self) -> None:
        decision = moves.taken_over(FULL, NOW, "why", MINUTE)
        assert decision.write is None
        assert decision.only_a_person
        assert decision.events == (Message(NOW, "warning", "why"),)
        assert decision.record is FULL


def test_an_act_keeps_what_it_does_not_name() -> None:
    """A pause, its end, and an approval change one thing each."""
    plain = replace(FULL, paused=None, trial=None, ask=None, approved=(0, 1), waived=(0, 1))
    paused = acts.pause(PLAN, replace(plain, stopped=None), SERVICE, NOW, "bo", "lunch")
    assert isinstance(paused, Decision)
    assert changed(replace(plain, stopped=None), paused) == {
        "paused": Act("bo", NOW, "lunch"), "stopped": NOW,
    }  # fmt: skip
    assert noted(plain, paused) == [("paused", "bo")]
    stood = acts.pause(PLAN, plain, SERVICE, NOW, "bo", "lunch")
    assert isinstance(stood, Decision)
    assert changed(plain, stood) == {"paused": Act("bo", NOW, "lunch")}
    yes = acts.approve(PLAN, plain, SERVICE, NOW, "bo")
    assert isinstance(yes, Decision)
    assert changed(plain, yes) == {"approved": (0, 1, 2)}
    assert noted(plain, yes) == [("approved", "bo")]


@pytest.mark.parametrize(
    "changes", [{"paused": Act("ada", T0)}, {"ask": QUESTION}, {"trial": TRIAL}, {"stopped": None}]
)
def test_a_hold_that_has_another_reason_to_stand_still_does_not_run_on(
    changes: dict[str, Any],
) -> None:
    record = running(1, **{"stopped": at(7), "uncounted": MINUTE, **changes})
    assert record.resumed(at(10)) is record
    still = running(1, stopped=at(7), uncounted=MINUTE)
    assert still.resumed(at(10)) == running(1, uncounted=4 * MINUTE)
    assert still.resumed(at(5)) == running(1, uncounted=MINUTE)
