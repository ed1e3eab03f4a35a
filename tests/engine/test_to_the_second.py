"""The times that a decision hangs on, to the second: what still waits, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from controller.engine import acts, moves
from controller.engine.asking import ask_once, kept
from controller.engine.decide import over, vanished
from controller.engine.decision import Action, Decision, State
from controller.engine.duty import settled
from controller.engine.events import Message
from controller.engine.observation import Gone, NotSeen, RevisionState, Seen, Target
from controller.engine.record import Act, Ask, AskKind, Phase, Record, Shift
from controller.engine.telling import gap_noted, patience
from controller.engine.watching import heartbeat, held, hold_of, interval, unwatched_after
from controller.plan.model import (
    AdvanceOnly,
    Plan,
    Stage,
    Then,
    WhenMonitoringOut,
    WhenNobodyAnswers,
    WhenUndecided,
)
from tests.engine.builders import (
    HEALTH,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    T0,
    at,
    look,
    rolls_back,
    running,
    service_of,
    silence,
    split_asked,
    starting,
)
from tests.engine.world import with_

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BARELY = 1 / 60  # of a minute


def shouts(decision: Decision) -> list[str]:
    return [e.text for e in decision.events if isinstance(e, Message) and e.level == "shout"]


class TestAShift:
    UP = running(1, in_force=None, shift=Shift(T0, 10), came_from=0, weight_before=10)
    DOWN = running(0, in_force=None, shift=Shift(T0, 50), came_from=1, weight_before=50)

    def late(self, record: Record, **changes: Any) -> Seen[Any]:
        other = (Target(OLD, 75), Target(NEW, 25))
        return Seen(service_of(record, statuses=other, reconciling=True, **changes))

    def test_one_up_is_waited_for_fifteen_minutes(self) -> None:
        still = look(self.UP, 15, service=self.late(self.UP))
        assert (still.action, still.reason) == (Action.WAIT, "50% asked for, not yet in force")
        assert still.look_again == timedelta(seconds=10)
        gone = look(self.UP, 15 + BARELY, service=self.late(self.UP))
        assert gone.record.ask is not None
        assert gone.record.ask.kind is AskKind.SHIFT_FAILED
        assert gone.reason.startswith("the shift to 50% is not in force after 15 min")

    def test_one_down_is_asked_for_again_and_after_thirty_minutes_rolled_back(self) -> None:
        assert look(self.DOWN, 15, service=self.late(self.DOWN)).action is Action.WAIT
        for minutes in (15 + BARELY, 30):
            again = look(self.DOWN, minutes, service=self.late(self.DOWN))
            assert split_asked(again) == {OLD: 90, NEW: 10}
            assert shouts(again)
            assert again.look_again == timedelta(seconds=15)
        assert rolls_back(look(self.DOWN, 30 + BARELY, service=self.late(self.DOWN)))

    def test_while_a_person_is_asked_one_down_is_only_asked_for_again(self) -> None:
        ask = Ask(AskKind.SHIFT_FAILED, "the shift failed", at(20))
        record = replace(self.DOWN, ask=ask, stopped=at(20))
        again = look(record, 31, service=self.late(record))
        assert split_asked(again) == {OLD: 90, NEW: 10}
        assert again.record.phase is Phase.RUNNING

    def test_one_that_failed_outright_is_not_waited_for_but_while_it_is_worked_on(self) -> None:
        failing = self.late(self.UP, ready=False)
        assert look(self.UP, 1, service=failing).action is Action.WAIT
        failed = replace(failing.value, reconciling=False, ready_message="quota")
        decision = look(self.UP, 1, service=Seen(failed))
        assert decision.record.ask is not None
        assert decision.reason == "the shift to 50% failed: quota"

    def test_a_first_write_that_never_comes_into_force_is_given_up(self) -> None:
        first = starting(shift=Shift(T0, 0))
        late = Seen(service_of(first, statuses=(), reconciling=True))
        still = look(first, 15, service=late)
        assert still.reason == "the record is written, not yet in force"
        ended = look(first, 15 + BARELY, service=late)
        assert ended.state is State.DONE
        assert ended.reason.startswith("the first write is not in force after")
        ask = Ask(AskKind.SHIFT_FAILED, "the shift to 10% failed", T0)
        back = replace(first, ask=ask, stopped=T0, shift=Shift(T0, 10))
        again = look(back, 16, service=self.late(back))
        assert again.reason.startswith("the shift to 0% is not in force after")
        assert again.state is State.ASKING


class TestARollBack:
    BACK = running(phase=Phase.ROLLING_BACK, weight=0, shift=Shift(T0, 10), in_force=None)

    def late(self, minutes: float, *, reconciling: bool) -> Decision:
        shown = (Target(OLD, 90), Target(NEW, 10))
        service = service_of(self.BACK, statuses=shown, reconciling=reconciling)
        return look(self.BACK, minutes, service=Seen(service))

    def test_while_it_is_worked_on_it_is_waited_for_fifteen_minutes(self) -> None:
        assert self.late(15 - BARELY, reconciling=True).action is Action.WAIT
        assert split_asked(self.late(15, reconciling=True)) == {OLD: 100}

    @pytest.mark.parametrize(
        ("minutes", "seconds"), [(0, 15), (2, 15), (2.4, 18), (8, 60), (9, 60), (600, 60)]
    )
    def test_otherwise_it_is_asked_for_again_ever_more_seldom(
        self, minutes: float, seconds: int
    ) -> None:
        again = self.late(minutes, reconciling=False)
        assert split_asked(again) == {OLD: 100}
        assert again.look_again == timedelta(seconds=seconds)

    def test_that_it_is_stuck_is_noted_once_and_shouted_each_time(self) -> None:
        first = self.late(1, reconciling=False)
        assert [t.what for t in first.record.transitions] == ["roll back not in force"]
        assert shouts(first)
        shown = service_of(self.BACK, statuses=(Target(OLD, 90), Target(NEW, 10)))
        again = look(first.record, 2, service=Seen(shown))
        assert again.record.transitions == first.record.transitions
        assert shouts(again)
        anew = replace(first.record, shift=Shift(at(3), 10))
        assert len(look(anew, 4, service=Seen(shown)).record.transitions) == 2


class TestAnotherHand:
    BOTH: ClassVar = {OLD: 60, "api-0": 40}

    @pytest.mark.parametrize(
        ("split", "ends"),
        [
            ({OLD: 60, "api-0": 40}, True),
            ({OLD: 100}, True),
            ({"api-0": 100}, True),
            ({OLD: 99, NEW: 1}, False),
            ({OLD: 50, "api-7": 50}, False),
            ({}, False),
        ],
    )
    def test_it_ends_the_rollout_only_where_all_is_on_what_served_before(
        self,
        split: dict[str, int],
        ends: bool,  # noqa: FBT001
    ) -> None:
        record = running(before=self.BOTH)
        decision = look(record, 5, service=Seen(service_of(record, split)))
        assert (decision.state is State.DONE) is ends
        assert (decision.state is State.TAKEN_OVER) is not ends

    def test_before_the_first_shift_another_split_of_stable_ends_nothing(self) -> None:
        record = starting(before=self.BOTH)
        decision = look(record, 5, service=Seen(service_of(record, {OLD: 100})))
        assert decision.state is State.TAKEN_OVER


class TestTheHold:
    def test_it_begins_a_minute_after_the_split_came_into_force(self) -> None:
        assert held(running(), at(1)) == timedelta(0)
        assert held(running(), at(2)) == MINUTE
        assert held(running(uncounted=MINUTE), at(5)) == 3 * MINUTE
        assert held(running(uncounted=MINUTE, stopped=at(3)), at(50)) == MINUTE
        assert held(running(in_force=None), at(50)) == timedelta(0)

    def test_it_is_the_plans_and_where_extended_as_long_again_or_what_the_plan_says(self) -> None:
        assert hold_of(PLAN, running()) == 30 * MINUTE
        assert hold_of(PLAN, running(extended=True)) == 60 * MINUTE
        longer = with_(PLAN, undecided=WhenUndecided(extend_by=5 * MINUTE))
        assert hold_of(longer, running(extended=True)) == 35 * MINUTE
        assert hold_of(longer, running()) == 30 * MINUTE
        assert hold_of(PLAN, starting(extended=True)) == timedelta(0)

    def test_near_its_end_the_next_look_comes_as_it_ends_but_not_sooner_than_ten_seconds(
        self,
    ) -> None:
        assert look(running(), 29).look_again == MINUTE
        assert look(running(), 30.5).look_again == timedelta(seconds=30)
        assert look(running(), 31 - BARELY).look_again == timedelta(seconds=10)


class TestHowOftenItLooks:
    def plan(self, hold: timedelta) -> Plan:
        return replace(PLAN, stages=(Stage(10, hold),))

    @pytest.mark.parametrize(
        ("hold", "minutes", "expected"),
        [
            (HOUR, 119, MINUTE),
            (24 * HOUR, 120 - BARELY, MINUTE),
            (24 * HOUR, 120, timedelta(seconds=288)),
            (4 * HOUR, 120, MINUTE),
            (72 * HOUR, 120, 5 * MINUTE),
        ],
    )
    def test_every_minute_for_two_hours_then_a_three_hundredth_of_the_hold(
        self, hold: timedelta, minutes: float, expected: timedelta
    ) -> None:
        assert interval(self.plan(hold), running(plan=self.plan(hold)), at(minutes)) == expected

    def test_what_the_plan_says_wins(self) -> None:
        plan = replace(PLAN, evidence=replace(PLAN.evidence, interval=7 * MINUTE))
        assert interval(plan, running(plan=plan), at(500)) == 7 * MINUTE

    def test_before_the_first_shift_every_minute(self) -> None:
        assert interval(PLAN, starting(), at(500)) == MINUTE

    @pytest.mark.parametrize(("hold", "beats"), [(HOUR, 30), (5 * HOUR, 30), (10 * HOUR, 60)])
    def test_the_record_is_written_each_half_hour_or_tenth_of_the_hold(
        self, hold: timedelta, beats: int
    ) -> None:
        plan = self.plan(hold)
        record = running(plan=plan)
        assert heartbeat(plan, record) == beats * MINUTE
        quiet = kept(plan, record, service_of(record), at(beats - BARELY), "why", MINUTE)
        assert quiet.write is None
        beat = kept(plan, record, service_of(record), at(beats), "why", MINUTE)
        assert (beat.write is None, beat.reason, beat.look_again) == (False, "why", MINUTE)
        assert kept(plan, replace(record, at=None), service_of(record), T0, "", MINUTE).write

    def test_twice_that_and_a_look_later_nobody_watches(self) -> None:
        assert unwatched_after(PLAN, running(), at(1)) == 61 * MINUTE
        decision = moves.note(running(), service_of(running()), at(61), "why", MINUTE)
        assert gap_noted(PLAN, running(), decision, service_of(running()), at(61)) is decision
        late = gap_noted(PLAN, running(), decision, service_of(running()), at(61 + BARELY))
        assert [t.what for t in late.record.transitions] == ["unwatched"]
        assert [e.text for e in late.events if isinstance(e, Message)] == [
            "nobody watched for 1 h 1 min"
        ]

    def test_then_another_takes_the_duty_and_tells_what_is_owed(self) -> None:
        record = running(duty="other")
        wait = moves.wait(record, "why", MINUTE)

        def taken(minutes: float) -> str:
            found = settled(
                PLAN, record, wait, service_of(record), at(minutes), "me", attaching=False
            )
            return found.record.duty

        assert (taken(61), taken(61 + BARELY)) == ("other", "me")
        assert patience(PLAN, record, "me", at(61)) is None
        assert patience(PLAN, record, "me", at(61 + BARELY)) == MINUTE


class TestMonitoringSilent:
    def silent(self, record: Record, minutes: float, plan: Plan = PLAN) -> Decision:
        return look(record, minutes, plan=plan, readings=silence(record, minutes, plan))

    def test_ten_minutes_of_it_are_no_outage(self) -> None:
        # up to here the first minutes of the stage could not be visible yet
        begins = 2 + max(PLAN.evidence.delay, PLAN.evidence.custom_delay) / MINUTE - 1
        record = running()
        quiet = self.silent(record, begins + 10 - BARELY)
        assert quiet.record.stopped is None
        out = self.silent(record, begins + 10)
        assert out.record.stopped == at(begins)
        assert [t.what for t in out.record.transitions] == ["hold stands still"]
        assert out.look_again == MINUTE

    def test_meanwhile_it_is_looked_at_each_minute_whatever_the_interval(self) -> None:
        slow = replace(PLAN, evidence=replace(PLAN.evidence, interval=5 * MINUTE))
        assert self.silent(running(plan=slow, at=at(9)), 10, slow).look_again == MINUTE

    def test_where_nobody_looked_it_begins_ten_minutes_ago_at_most(self) -> None:
        assert self.silent(running(), 300).record.stopped == at(290)

    def test_after_the_plans_time_somebody_is_asked(self) -> None:
        plan = with_(PLAN, monitoring_out=WhenMonitoringOut(hold=HOUR))
        record = running(plan=plan, stopped=at(20), at=at(75))
        assert self.silent(record, 80 - BARELY, plan).action is Action.WAIT
        asks = self.silent(record, 80, plan)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.MONITORING_OUT
        assert "(for 1 h)" in asks.reason
        back = with_(plan, monitoring_out=WhenMonitoringOut(hold=HOUR, then=Then.ROLL_BACK))
        assert rolls_back(self.silent(running(plan=back, stopped=at(20)), 80, back))


class TestNobodyAnswers:
    PLAN = with_(PLAN, nobody_answers=WhenNobodyAnswers(2 * HOUR, Then.ROLL_BACK))

    def test_the_plans_answer_comes_after_its_time(self) -> None:
        ask = Ask(AskKind.NEW_REVISION, "api-3 was deployed", at(10))
        record = running(plan=self.PLAN, ask=ask, stopped=at(10), at=at(100))
        still = look(record, 130 - BARELY, plan=self.PLAN)
        assert (still.action, still.reason) == (Action.WAIT, "api-3 was deployed")
        back = look(record, 130, plan=self.PLAN)
        assert rolls_back(back)
        assert back.reason == "api-3 was deployed; nobody answered for 2 h"

    def test_an_approval_has_its_own_time(self) -> None:
        plan = with_(PLAN, approvals=WhenNobodyAnswers(2 * HOUR, Then.ROLL_BACK))
        ask = Ask(AskKind.APPROVAL, "100% needs an approval", at(40))
        record = running(1, plan, ask=ask, stopped=at(40), at=at(150))
        assert look(record, 160 - BARELY, plan=plan).state is State.ASKING
        assert rolls_back(look(record, 160, plan=plan))

    def test_what_a_plan_answers_for_an_approval_it_does_not_for_no_way_back(self) -> None:
        plan = with_(PLAN, approvals=WhenNobodyAnswers(2 * HOUR, Then.ROLL_BACK))
        ask = Ask(AskKind.NO_WAY_BACK, "stable is gone", at(40))
        record = running(1, plan, ask=ask, stopped=at(40), at=at(45))
        assert look(record, 46, plan=plan, stable=Gone("deleted")).only_a_person
        approval = replace(record, ask=Ask(AskKind.APPROVAL, "100%", at(40)))
        assert not look(approval, 46, plan=plan).only_a_person
        assert look(replace(approval, paused=Act("ada", T0)), 46, plan=plan).only_a_person
        theirs = Seen(service_of(approval, {OLD: 30, NEW: 70}))
        assert look(approval, 46, plan=plan, service=theirs).only_a_person

    def test_a_question_is_asked_once(self) -> None:
        record = running(ask=Ask(AskKind.GATE, "errors", at(5)), stopped=at(5), at=at(6))
        service = service_of(record)
        same = ask_once(PLAN, record, service, at(7), AskKind.GATE, "errors are worse")
        assert (same.action, same.reason, same.write) == (Action.WAIT, "errors", None)
        other = ask_once(PLAN, record, service, at(7), AskKind.NEW_REVISION, "api-3")
        assert other.record.ask == Ask(AskKind.NEW_REVISION, "api-3", at(7))


class TestBeforeTheFirstShift:
    PLAN = replace(PLAN, checks=(HEALTH,))

    def test_a_check_that_is_not_seen_is_waited_for_fifteen_minutes(self) -> None:
        record = starting(self.PLAN, at=at(14))
        assert look(record, 15 - BARELY, plan=self.PLAN).action is Action.WAIT
        asks = look(record, 15, plan=self.PLAN)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.UNDECIDED
        assert asks.reason == "before the first shift: check health: not sent yet"

    def test_in_a_later_region_since_its_turn_came(self) -> None:
        record = starting(self.PLAN, at=at(60)).noting(at(50), "its turn", "promoted there")
        record = record.noting(at(55), "paused", "", "ada").noting(at(56), "resumed", "", "ada")
        assert look(record, 65 - BARELY, plan=self.PLAN).action is Action.WAIT
        assert look(record, 65, plan=self.PLAN).action is Action.ASK

    def test_nobody_on_duty_waits_for_who_is(self) -> None:
        record = starting(self.PLAN, at=at(14))
        waits = look(record, 20, plan=self.PLAN, on_duty=False)
        assert waits.action is Action.WAIT
        assert "on duty" in waits.reason

    def test_paused_it_waits(self) -> None:
        record = starting(paused=Act("ada", T0), at=at(14))
        waits = look(record, 20)
        assert (waits.action, waits.reason) == (Action.WAIT, "paused by ada")
        assert waits.look_again == timedelta(seconds=30)


class TestWhereItIsNotSeen:
    @pytest.mark.parametrize("minutes", [1, 20])
    def test_a_candidate_deleted_before_the_first_write_is_in_force_may_be_in_the_making(
        self, minutes: float
    ) -> None:
        record = starting(shift=Shift(T0, 0))
        working = service_of(record, reconciling=True)
        made = look(record, minutes, service=Seen(working), candidate=Gone("not yet"))
        assert made.state is (State.DONE if minutes > 15 else State.SHIFTING)
        idle = look(record, 1, service=Seen(service_of(record)), candidate=Gone("never"))
        assert idle.state is State.DONE
        assert "was deleted" in idle.reason

    def test_one_that_is_not_yet_ready_is_waited_for(self) -> None:
        record = starting(shift=Shift(T0, 0))
        made = look(record, 1, candidate=Seen(RevisionState(NEW, ready=None)))
        assert made.state is State.SHIFTING
        assert look(record, 1).record.shift is None

    def test_why_it_is_not_ready_is_said_or_that_nobody_told(self) -> None:
        lost = Seen(RevisionState(NEW, ready=False))
        later = look(running(), 1, candidate=lost).reason
        assert later == "the candidate lost its readiness: no reason given"
        first = look(starting(shift=Shift(T0, 0)), 1, candidate=lost).reason
        assert first == "the candidate is not ready: no reason given"
        crashed = Seen(RevisionState(NEW, ready=False, why="it crashed"))
        for record, said in (
            (running(), "lost its readiness"),
            (starting(shift=Shift(T0, 0)), "is not ready"),
        ):
            reason = look(record, 1, candidate=crashed).reason
            assert reason == f"the candidate {said}: it crashed"


def test_a_window_that_opens_soon_is_looked_at_then_and_a_stage_as_often_as_ever() -> None:
    plan = with_(PLAN, advance_only=AdvanceOnly("UTC", begins=11 * 60, ends=12 * 60))
    assert look(running(plan=plan), 40, plan=plan).look_again == MINUTE
    assert look(starting(plan), 1, plan=plan).look_again == 15 * MINUTE
    assert look(starting(plan), 110, plan=plan).look_again == 10 * MINUTE
    assert look(starting(plan), 120 - BARELY / 2, plan=plan).look_again == SECOND


class TestWhenNothingCanBeDone:
    @pytest.mark.parametrize(
        ("service", "said", "state"),
        [
            (NotSeen("503"), "Cloud Run does not answer: 503", State.RUNNING),
            (Gone("deleted"), "the service is gone: deleted", State.TAKEN_OVER),
            (
                Seen(service_of(running(), uid="other")),
                "the service was deleted and made anew; the old record is ignored",
                State.TAKEN_OVER,
            ),
        ],
    )
    def test_it_is_looked_at_again_in_half_a_minute(
        self, service: Any, said: str, state: State
    ) -> None:
        decision = look(running(), 20, failed=60, service=service)
        assert (decision.reason, decision.state) == (said, state)
        assert decision.look_again == timedelta(seconds=30)
        assert decision.write is None

    def test_a_record_that_vanished_is_looked_for_as_soon(self) -> None:
        decision = vanished(running(), at(5), "it vanished")
        assert (decision.look_again, decision.reason) == (timedelta(seconds=30), "it vanished")
        assert over(running(phase=Phase.DONE)).look_again == timedelta(0)

    def test_what_a_person_did_is_looked_at_in_a_quarter_minute(self) -> None:
        plain = running(1)
        service = service_of(plain)
        for deed in (acts.pause, acts.approve):
            decision = deed(PLAN, plain, service, at(5), "ada")
            assert isinstance(decision, Decision)
            assert decision.look_again == timedelta(seconds=15)
        paused = replace(plain, paused=Act("ada", T0))
        going = acts.resume(PLAN, paused, service, at(5), "ada")
        assert isinstance(going, Decision)
        assert going.look_again == timedelta(seconds=15)

    def test_what_came_into_force_or_back_too(self) -> None:
        there = look(running(1, shift=Shift(T0, 10), came_from=0), 1)
        assert there.look_again == timedelta(seconds=15)
        ask = Ask(AskKind.NO_WAY_BACK, "stable is gone", at(1))
        back = look(running(ask=ask, stopped=at(1)), 5)
        assert back.reason == "stable api-1 is ready again"
        assert (back.record.ask, back.record.stopped) == (None, None)
        assert back.record.uncounted == 4 * MINUTE
        assert [t.what for t in back.record.transitions] == ["way back"]
        assert back.look_again == MINUTE
