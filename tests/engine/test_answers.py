"""Answers of people, and nobody's; pauses, stuck writes and other hands: nothing advances."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from controller.engine import acts
from controller.engine.begin import Wish, begin
from controller.engine.decision import Action, Decision, State
from controller.engine.events import Message
from controller.engine.observation import (
    CheckOutcome,
    CheckSeen,
    Gone,
    RevisionState,
    Seen,
    Target,
)
from controller.engine.record import Act, Ask, AskKind, Record, Shift
from controller.gates.tally import Tally
from controller.plan.model import (
    Limits,
    OnFail,
    Plan,
    Stage,
    Then,
    When,
    WhenNobodyAnswers,
)
from tests.engine.builders import (
    ERRORS,
    HEALTH,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    SLOW,
    T0,
    at,
    look,
    rolls_back,
    running,
    service_of,
    split_asked,
    starting,
)

ASKS = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.ASK), SLOW))
UNSURE = replace(PLAN, gates=(replace(ERRORS, limits=Limits(maximum=0.001)), SLOW))
APPROVAL = Ask(AskKind.APPROVAL, "100% needs an approval", at(40))


def approved(record: Record, minutes: float, plan: Plan = PLAN) -> Record:
    decision = acts.approve(plan, record, service_of(record), at(minutes), "ada")
    assert isinstance(decision, Decision), decision
    return decision.record


def resumed(record: Record, minutes: float, split: dict[str, int] | None = None) -> Record:
    decision = acts.resume(PLAN, record, service_of(record, split), at(minutes), "ada")
    assert isinstance(decision, Decision), decision
    return decision.record


def asked(record: Record) -> AskKind | None:
    return record.ask.kind if record.ask else None


class TestMidHold:
    """The hold is 30 minutes; what is answered before that may not shorten it."""

    ASKING = look(running(plan=ASKS), 20, plan=ASKS, failed=5).record

    def test_a_gate_that_is_asked_about_and_recovers_lets_the_hold_go_on(self) -> None:
        assert asked(self.ASKING) is AskKind.GATE
        calm = replace(self.ASKING, gates={})  # as if the bad minutes had been outweighed
        back = look(calm, 22, plan=ASKS)
        assert (asked(back.record), back.record.stage) == (None, 0)
        assert back.action is Action.NOTE
        assert back.record.uncounted == MINUTE * 2
        assert look(back.record, 30, plan=ASKS).record.stage == 0

    def test_a_yes_to_a_gate_ends_the_ask_and_not_the_hold(self) -> None:
        yes = approved(self.ASKING, 25, ASKS)
        going = look(yes, 26, plan=ASKS, failed=5)
        assert (asked(going.record), going.record.stage) == (None, 0)
        assert going.record.stopped is None
        still = look(going.record, 30, plan=ASKS, failed=5)
        assert (asked(still.record), still.record.stage) == (None, 0)
        assert look(still.record, 60, plan=ASKS, failed=5).record.stage == 1

    @pytest.mark.parametrize("kind", [AskKind.NEW_REVISION, AskKind.MONITORING_OUT])
    def test_a_yes_to_anything_else_that_may_come_mid_hold_does_not_advance(
        self, kind: AskKind
    ) -> None:
        yes = approved(running(ask=Ask(kind, "why", at(10)), stopped=at(10)), 20)
        assert (asked(yes), yes.stopped, yes.uncounted) == (None, None, MINUTE * 10)
        for minutes in (21, 40):
            assert look(yes, minutes).record.stage == 0
        assert look(yes, 46).record.stage == 1

    def test_a_yes_to_what_is_undecided_advances(self) -> None:
        ask = Ask(AskKind.UNDECIDED, "errors", at(61))
        record = running(plan=UNSURE, ask=ask, stopped=at(61), extended=True)
        waiting = look(record, 66, plan=UNSURE, failed=1, stable_failed=1).record
        assert asked(waiting) is AskKind.UNDECIDED
        yes = approved(waiting, 67, UNSURE)
        assert look(yes, 68, plan=UNSURE, failed=1, stable_failed=1).record.stage == 1


class TestApprovals:
    def test_given_early_it_does_not_skip_a_gate_that_is_undecided_when_the_hold_ends(
        self,
    ) -> None:
        record = approved(running(1, UNSURE), 5, UNSURE)
        assert record.approved == (2,)
        longer = look(record, 40, plan=UNSURE, failed=1, stable_failed=1).record
        assert (longer.extended, longer.stage) == (True, 1)
        asking = look(longer, 80, plan=UNSURE, failed=1, stable_failed=1).record
        assert (asked(asking), asking.stage) == (AskKind.UNDECIDED, 1)
        assert look(asking, 90, plan=UNSURE, failed=1, stable_failed=1).record.stage == 1

    def test_given_while_a_gate_became_open_the_stage_goes_on_holding(self) -> None:
        record = running(1, UNSURE, ask=APPROVAL, stopped=at(40))
        yes = approved(record, 45, UNSURE)
        decision = look(yes, 46, plan=UNSURE, failed=1, stable_failed=1)
        assert (asked(decision.record), decision.record.stage) == (None, 1)
        assert "meanwhile" in decision.reason
        assert look(decision.record, 47, plan=UNSURE, failed=1, stable_failed=1).record.stage == 1

    def test_for_the_first_stage_it_is_asked_once_and_then_the_stage_is_entered(self) -> None:
        first = replace(PLAN, stages=(Stage(10, MINUTE * 30, approval=True), *PLAN.stages[1:]))
        asking = look(starting(first), 1, plan=first)
        assert asked(asking.record) is AskKind.APPROVAL
        assert split_asked(asking) == {OLD: 100}
        record = asking.record
        for minutes in (2, 10, 29):
            again = look(record, minutes, plan=first)
            assert (again.write, again.events) == (None, ())
            record = again.record
        assert look(record, 60 * 24 * 3, plan=first).record.stage == -1
        entered = look(approved(record, 30, first), 31, plan=first)
        assert split_asked(entered) == {OLD: 90, NEW: 10}
        assert asked(entered.record) is None


class TestPreCheckThatAsks:
    CHECK = replace(HEALTH, on_fail=OnFail.ASK)
    FAILED: ClassVar = {"health": Seen(CheckSeen(CheckOutcome.FAILED, "answered 500"))}

    def plan(self, then: Then) -> Plan:
        rule = WhenNobodyAnswers(timedelta(hours=1), then)
        return replace(PLAN, checks=(self.CHECK,), when=When(nobody_answers=rule))

    def test_gets_nobodys_answer_after_its_time(self) -> None:
        plan = self.plan(Then.ROLL_BACK)
        asking = look(starting(plan), 1, plan=plan, checks=self.FAILED)
        assert asked(asking.record) is AskKind.GATE
        early = look(asking.record, 60, plan=plan, checks=self.FAILED)
        assert (early.state, early.record.stage) == (State.ASKING, -1)
        late = look(early.record, 61, plan=plan, checks=self.FAILED)
        assert late.state is State.DONE
        assert late.record.outcomes[-1].outcome == "rolled_back"
        assert split_asked(late) == {OLD: 100}

    def test_or_goes_on_where_the_plan_says_so(self) -> None:
        plan = self.plan(Then.ADVANCE)
        record = look(starting(plan), 1, plan=plan, checks=self.FAILED).record
        for minutes in (61, 62):
            record = look(record, minutes, plan=plan, checks=self.FAILED).record
        assert (record.stage, asked(record)) == (0, None)


class TestPausesAreNeverHold:
    def test_although_stable_was_gone_meanwhile(self) -> None:
        record = running(paused=Act("ada", at(10)), stopped=at(10))
        gone = look(record, 20, stable=Gone("deleted")).record
        assert asked(gone) is AskKind.NO_WAY_BACK
        there = look(gone, 30).record
        assert asked(there) is None
        assert (there.paused, there.stopped) == (record.paused, at(10))
        going = resumed(there, 400)
        assert (going.stopped, going.uncounted) == (None, MINUTE * 390)
        assert look(going, 415).record.stage == 0

    def test_although_a_step_back_happened_while_it_was_paused(self) -> None:
        plan = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.STEP_BACK), SLOW))
        record = running(1, plan, paused=Act("ada", at(10)), stopped=at(10))
        back = look(record, 20, plan=plan, failed=5)
        assert back.action is Action.STEP_BACK
        there = look(back.record, 21, plan=plan).record
        assert (there.in_force, there.stopped) == (at(21), at(21))
        assert look(there, 400, plan=plan).record.stage == 0
        going = resumed(there, 400)
        assert going.uncounted == MINUTE * 379
        assert look(going, 425, plan=plan).record.stage == 0


class TestStuckWrites:
    def test_a_first_write_that_never_comes_into_force_ends_the_rollout(self) -> None:
        record = starting(shift=Shift(T0, 0))
        stuck = Seen(service_of(record, reconciling=True))
        assert look(record, 14, service=stuck).write is None
        ended = look(record, 16, service=stuck)
        assert ended.state is State.DONE
        assert ended.record.outcomes[-1].outcome == "rolled_back"
        assert split_asked(ended) == {OLD: 100}

    def test_a_step_back_is_written_again_with_a_shout_and_in_the_end_rolled_back(self) -> None:
        record = running(in_force=None, shift=Shift(T0, 50), stepped_back=(1,))
        half = (Target(OLD, 50), Target(NEW, 50))
        stuck = Seen(service_of(record, statuses=half, reconciling=True))
        again = look(record, 16, service=stuck)
        assert split_asked(again) == {OLD: 90, NEW: 10}
        assert any(isinstance(e, Message) and e.level == "shout" for e in again.events)
        assert rolls_back(look(again.record, 31, service=stuck))

    def test_a_first_stages_failed_shift_asks_and_is_not_tried_again_by_itself(self) -> None:
        record = running(in_force=None, shift=Shift(T0, 0))
        stuck = Seen(service_of(record, statuses=(Target(OLD, 100),), reconciling=True))
        failed = look(record, 16, service=stuck)
        assert (asked(failed.record), failed.record.stage) == (AskKind.SHIFT_FAILED, -1)
        assert split_asked(failed) == {OLD: 100}
        waiting = failed.record
        for minutes in (17, 18, 40, 120):
            waiting = look(waiting, minutes).record
            assert (asked(waiting), waiting.stage) == (AskKind.SHIFT_FAILED, -1)
        again = look(approved(waiting, 121), 122)
        assert split_asked(again) == {OLD: 90, NEW: 10}


class TestOtherHands:
    def test_after_resume_the_stages_evidence_and_hold_begin_anew(self) -> None:
        record = look(running(), 28).record
        assert record.gates
        going = resumed(record, 28, {OLD: 70, NEW: 30})
        assert (going.verdicts, going.in_force) == ({}, None)
        there = look(going, 29).record
        assert (there.in_force, there.uncounted, there.stopped) == (at(29), timedelta(0), None)
        assert all(known.state.tally == Tally() for known in there.gates.values())
        for minutes in (40, 58):
            assert look(there, minutes).record.stage == 0
        assert look(there, 64).record.stage == 1

    @pytest.mark.parametrize(
        "ask", [APPROVAL, Ask(AskKind.UNDECIDED, "errors", at(40))], ids=lambda ask: ask.kind.value
    )
    def test_what_was_asked_before_they_came_leads_on_only_after_the_new_hold(
        self, ask: Ask
    ) -> None:
        going = resumed(running(1, ask=ask, stopped=at(40)), 50, {OLD: 70, NEW: 30})
        assert asked(going) is ask.kind
        yes = approved(look(going, 51).record, 52)
        held = look(yes, 53)
        assert (asked(held.record), held.record.stage, held.action) == (None, 1, Action.NOTE)
        for minutes in (54, 70, 82):
            assert look(held.record, minutes).record.stage == 1
        after = look(held.record, 95).record
        assert (after.stage, asked(after)) == (
            (2, None) if ask is APPROVAL else (1, AskKind.APPROVAL)
        )

    def test_a_split_of_nothing_is_not_all_on_stable(self) -> None:
        record = running()
        decision = look(record, 20, service=Seen(service_of(record, {})))
        assert decision.state is State.TAKEN_OVER
        assert decision.write is None


def test_a_revision_older_than_the_rollout_is_not_told_as_new() -> None:
    record = starting()
    service = service_of(record, latest_created="api-3", latest_ready="api-3", record_text=None)
    ready = RevisionState(NEW, ready=True)
    wish = Wish(PLAN, "ada", "r1")
    begun = begin(wish, service, ready, RevisionState(OLD, ready=True), None, T0)
    assert isinstance(begun, Decision)
    known = running(told=begun.record.told)
    same = look(known, 20, service=Seen(service_of(known, latest_created="api-3")))
    assert "api-3" not in same.reason
    newer = look(known, 20, service=Seen(service_of(known, latest_created="api-4")))
    assert "api-4" in newer.reason
