"""A stage that is watched: what keeps it, what lets it go on, what is said meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.engine.decision import Action, Decision, State
from controller.engine.events import Judged, Message, Observed
from controller.engine.observation import CheckOutcome, CheckSeen, NotSeen, Seen
from controller.engine.record import Act, Ask, AskKind, Record
from controller.plan.model import (
    CheckWhen,
    Limits,
    NewRevision,
    OnFail,
    Plan,
    Stage,
    Then,
    WhenUndecided,
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
    silence,
    starting,
)
from tests.engine.world import with_

BARELY = 1 / 60  # of a minute
OVER = 40  # minutes: the hold is over, and its evidence there
CHECKED = replace(PLAN, checks=(HEALTH,))


def seen(outcome: CheckOutcome, reason: str = "answered 500") -> dict[str, Any]:
    return {"health": Seen(CheckSeen(outcome, reason))}


FAILED, PASSED = seen(CheckOutcome.FAILED), seen(CheckOutcome.PASSED)
UNSURE = seen(CheckOutcome.UNDECIDED, "stable fails it too")


def asking(kind: AskKind, plan: Plan = PLAN, since: float = 5, **changes: Any) -> Record:
    ask = Ask(kind, "why it asks", at(since))
    still = {"ask": ask, "stopped": at(since), "at": at(since)}
    return running(plan=plan, **{**still, **changes})


class TestTheEndOfTheHold:
    def test_every_gate_that_passed_is_named(self) -> None:
        decision = look(running(), OVER)
        assert decision.action is Action.SHIFT
        assert decision.reason.startswith("errors ")
        assert "; latency " in decision.reason

    def test_without_a_gate_it_is_the_hold_alone(self) -> None:
        plan = replace(PLAN, gates=(), evidence=replace(PLAN.evidence, arrival=0.0))
        assert plan.gates_at(0) == ()
        assert look(running(plan=plan), OVER, plan=plan).reason == "the hold is over"

    def test_a_stage_without_hold_is_left_at_once(self) -> None:
        plan = replace(PLAN, stages=(Stage(10, 0 * MINUTE), *PLAN.stages[1:]))
        decision = look(running(plan=plan), 1, plan=plan)
        assert (decision.action, decision.reason) == (
            Action.SHIFT, "a stage without hold is not judged",
        )  # fmt: skip

    def test_its_last_minutes_are_waited_for(self) -> None:
        decision = look(running(at=at(30)), 33)
        assert decision.action is Action.WAIT
        assert decision.reason == (
            "the hold is over; its last minutes are not yet visible in Monitoring"
        )
        assert decision.look_again == MINUTE

    @pytest.mark.parametrize("kept_by", [UNSURE, FAILED, {}, {"health": NotSeen("timed out")}])
    def test_a_check_that_has_not_passed_keeps_it(self, kept_by: dict[str, Any]) -> None:
        asks = replace(HEALTH, on_fail=OnFail.ASK)
        plan = replace(PLAN, checks=(asks,))
        record = running(plan=plan, extended=True, waived=(0,), at=at(60))
        decision = look(record, 70, plan=plan, checks=kept_by)
        assert decision.action is not Action.SHIFT

    @pytest.mark.parametrize(
        "check", [replace(HEALTH, when=CheckWhen.BEFORE), replace(HEALTH, on_fail=OnFail.OBSERVE)]
    )
    def test_one_that_a_stage_does_not_hang_on_does_not(self, check: Any) -> None:
        plan = replace(PLAN, checks=(check,))
        decision = look(running(plan=plan), OVER, plan=plan, checks=UNSURE, on_duty=False)
        assert decision.action is Action.SHIFT

    def test_whoever_is_not_on_duty_leaves_the_end_of_a_checked_hold_to_who_is(self) -> None:
        record = running(plan=CHECKED, at=at(30))
        waits = look(record, OVER, plan=CHECKED, on_duty=False)
        assert waits.reason == "the controller on duty sends the checks, and goes on"
        before = look(record, 30, plan=CHECKED, on_duty=False)
        assert before.reason.startswith("holding 10% for 1 min")
        asks = asking(AskKind.UNDECIDED, CHECKED)
        assert look(asks, 30, plan=CHECKED, on_duty=False).reason == "why it asks"
        assert look(record, OVER, plan=CHECKED, checks=PASSED).action is Action.SHIFT


class TestWhatIsStillOpen:
    """An error rate between its two limits: neither good enough nor bad enough."""

    PLAN = replace(PLAN, gates=(replace(ERRORS, limits=Limits(0.001, None, 0.5)), SLOW))

    def end(self, then: Then = Then.ASK, minutes: float = 75, **changes: Any) -> Decision:
        plan = with_(self.PLAN, undecided=WhenUndecided(extend_by=30 * MINUTE, then=then))
        record = running(plan=plan, **{"extended": True, "at": at(60), **changes})
        return look(record, minutes, plan=plan, failed=1)

    def test_the_hold_is_extended_once(self) -> None:
        decision = self.end(extended=False, minutes=OVER, at=at(30))
        assert decision.record.extended
        assert decision.reason.startswith("after 30 min at 10%: errors ")
        assert decision.reason.endswith("; extended by 30 min")
        assert [e.text for e in decision.events if isinstance(e, Message)] == [decision.reason]
        assert [t.what for t in decision.record.transitions] == ["extended"]

    def test_then_the_plan_says_who_decides(self) -> None:
        asks = self.end()
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.UNDECIDED
        assert asks.reason.startswith("after 1 h at 10%: errors ")
        assert rolls_back(self.end(Then.ROLL_BACK))
        still = self.end(Then.ADVANCE)
        assert still.record.ask is not None  # what speaks against it is not missing evidence

    def test_a_person_may_have_waived_it(self) -> None:
        assert self.end(waived=(1,)).action is Action.SHIFT
        assert self.end(waived=(0,)).action is Action.ASK

    def test_too_few_requests_are_missing_evidence_and_may_be_gone_on_without(self) -> None:
        need = replace(self.PLAN, gates=(SLOW,))
        plan = with_(need, undecided=WhenUndecided(extend_by=30 * MINUTE, then=Then.ADVANCE))
        record = running(plan=plan, extended=True, at=at(60))
        nothing: dict[Any, Any] = {query: Seen({}) for query in silence(record, 75, plan)}
        decision = look(record, 75, plan=plan, readings=nothing)
        assert decision.action is Action.SHIFT
        assert decision.reason.startswith("after 1 h at 10%: latency ")


class TestWhileItAsks:
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            (AskKind.MONITORING_OUT, "Monitoring answers again"),
            (AskKind.UNDECIDED, "the missing evidence came"),
            (AskKind.GATE, "the missing evidence came"),
            (AskKind.BOTH_FAILING, "stable is well again, and so is the candidate"),
        ],
    )
    def test_what_was_asked_about_answers_itself(self, kind: AskKind, reason: str) -> None:
        going = look(asking(kind), 20)
        assert (going.reason, going.record.ask) == (reason, None)
        assert (going.record.stopped, going.record.uncounted) == (None, 15 * MINUTE)
        assert [t.what for t in going.record.transitions] == ["hold goes on"]

    @pytest.mark.parametrize("kind", [AskKind.UNDECIDED, AskKind.GATE])
    def test_what_is_still_open_is_still_asked(self, kind: AskKind) -> None:
        record = asking(kind, CHECKED)
        still = look(record, 20, plan=CHECKED, checks=UNSURE)
        assert (still.action, still.reason) == (Action.WAIT, "why it asks")

    @pytest.mark.parametrize("kind", [AskKind.NEW_REVISION, AskKind.SHIFT_FAILED])
    def test_what_no_evidence_answers_waits_for_a_person(self, kind: AskKind) -> None:
        assert look(asking(kind), 20).reason == "why it asks"

    def test_an_approval_leads_on_unless_something_has_come_up_meanwhile(self) -> None:
        approved = asking(AskKind.APPROVAL, CHECKED, since=36, approved=(1,))
        on = look(approved, OVER, plan=CHECKED, checks=PASSED)
        assert (on.action, on.reason) == (Action.SHIFT, "approved: why it asks")
        not_yet = look(approved, OVER, plan=CHECKED, checks=UNSURE)
        assert not_yet.record.ask is None
        assert not_yet.reason == "approved, but meanwhile: check health: stable fails it too"
        waived = replace(approved, waived=(1,))
        assert look(waived, OVER, plan=CHECKED, checks=UNSURE).action is Action.SHIFT

    @pytest.mark.parametrize("approved", [(), (0,), (2,)])
    def test_one_that_was_not_given_for_the_next_stage_does_not(
        self, approved: tuple[int, ...]
    ) -> None:
        waits = look(asking(AskKind.APPROVAL, since=36, approved=approved), OVER)
        assert (waits.state, waits.reason) == (State.ASKING, "why it asks")

    def test_a_yes_to_anything_else_leads_on_where_the_hold_was_over(self) -> None:
        waived = asking(AskKind.UNDECIDED, CHECKED, since=36, waived=(1,))
        on = look(waived, OVER, plan=CHECKED, checks=UNSURE)
        assert (on.action, on.reason) == (Action.SHIFT, "approved: why it asks")
        gate = asking(AskKind.GATE, CHECKED, since=36, waived=(1,))
        going = look(gate, OVER, plan=CHECKED, checks=UNSURE)
        assert (going.action, going.record.ask) == (Action.NOTE, None)


class TestQuestions:
    PLAN = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.ASK), SLOW))

    def test_a_failed_gate_that_asks_is_asked_about_once(self) -> None:
        asks = look(running(plan=self.PLAN), 20, plan=self.PLAN, failed=5)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.GATE
        assert asks.reason.startswith("errors ")
        again = look(replace(asks.record, at=at(20)), 21, plan=self.PLAN, failed=5)
        assert again.action is Action.WAIT

    @pytest.mark.parametrize(("waived", "asks"), [((1,), False), ((0,), True), ((2,), True)])
    def test_not_where_a_person_waived_it_for_the_next_stage(
        self,
        waived: tuple[int, ...],
        asks: bool,  # noqa: FBT001
    ) -> None:
        record = running(plan=self.PLAN, waived=waived)
        decision = look(record, 20, plan=self.PLAN, failed=5)
        assert (decision.action is Action.ASK) is asks

    def test_a_paused_stage_is_held_whatever_came(self) -> None:
        paused = running(paused=Act("ada", T0), stopped=T0, at=at(15))
        waits = look(paused, 20, service=Seen(service_of(paused, latest_created="api-3")))
        assert (waits.action, waits.reason, waits.state) == (
            Action.WAIT, "paused by ada", State.PAUSED,
        )  # fmt: skip


class TestANewerRevision:
    def came(self, rule: NewRevision, newest: str | None = "api-3", **changes: Any) -> Decision:
        plan = with_(PLAN, new_revision=rule)
        record = running(plan=plan, **{"at": at(15), **changes})
        service = Seen(service_of(record, latest_created=newest))
        return look(record, 20, plan=plan, service=service)

    def test_it_is_told_of_and_stays_at_nothing(self) -> None:
        told = self.came(NewRevision.IGNORE)
        text = "a newer revision, api-3, was deployed; it stays at 0%"
        assert (told.action, told.reason) == (Action.NOTE, text)
        assert [e.text for e in told.events if isinstance(e, Message)] == [text]
        assert told.record.told == ("api-3",)
        assert [t.what for t in told.record.transitions] == ["new revision"]

    def test_once_of_each_and_the_last_five_are_remembered(self) -> None:
        assert self.came(NewRevision.IGNORE, told=("api-3",)).action is Action.WAIT
        many = tuple(f"api-{n}" for n in range(4, 9))
        assert self.came(NewRevision.IGNORE, told=many).record.told == (*many[1:], "api-3")

    @pytest.mark.parametrize("newest", [NEW, OLD, None])
    def test_who_takes_part_is_none(self, newest: str | None) -> None:
        assert self.came(NewRevision.ASK, newest).action is Action.WAIT

    def test_the_plan_may_ask_or_let_it_replace_the_candidate(self) -> None:
        asks = self.came(NewRevision.ASK)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.NEW_REVISION
        assert asks.record.told == ("api-3",)
        back = self.came(NewRevision.REPLACE)
        assert rolls_back(back)
        assert back.reason == "api-3 was deployed and replaces this candidate"


class TestBeforeTheFirstShift:
    def first(
        self, check: Any, checks: dict[str, Any], minutes: float = 5, **more: Any
    ) -> Decision:
        plan = replace(PLAN, checks=(check,))
        record = starting(plan, **{"at": at(4), **more})
        return look(record, minutes, plan=plan, checks=checks)

    def test_it_begins_once_every_check_has_passed(self) -> None:
        begins = self.first(HEALTH, PASSED)
        assert (begins.action, begins.reason) == (Action.SHIFT, "checks passed: health")
        assert look(starting(), 5).reason == "no checks to send"

    @pytest.mark.parametrize("on_fail", [OnFail.ROLL_BACK, OnFail.STEP_BACK])
    def test_one_that_failed_ends_it(self, on_fail: OnFail) -> None:
        over = self.first(replace(HEALTH, on_fail=on_fail), FAILED)
        assert over.state is State.DONE
        assert over.reason == "check health: answered 500"

    def test_one_that_asks_is_asked_about_and_one_that_observes_is_not(self) -> None:
        asks = self.first(replace(HEALTH, on_fail=OnFail.ASK), FAILED)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.GATE
        assert asks.reason == "before the first shift: check health: answered 500"
        observes = self.first(replace(HEALTH, on_fail=OnFail.OBSERVE), FAILED)
        assert observes.action is Action.SHIFT
        stages = self.first(replace(HEALTH, when=CheckWhen.STAGES), FAILED)
        assert stages.reason == "no checks to send"

    def test_a_person_may_waive_what_is_open(self) -> None:
        assert self.first(HEALTH, UNSURE).action is Action.WAIT
        assert self.first(HEALTH, UNSURE, waived=(0,)).action is Action.SHIFT
        ask = Ask(AskKind.UNDECIDED, "why it asks", T0)
        asks = self.first(HEALTH, UNSURE, ask=ask)
        assert (asks.state, asks.reason) == (State.ASKING, "why it asks")
        assert self.first(HEALTH, PASSED, ask=ask).action is Action.SHIFT
        failed = Ask(AskKind.SHIFT_FAILED, "the shift failed", T0)
        assert self.first(HEALTH, PASSED, ask=failed).reason == "the shift failed"


class TestWhatIsTold:
    def test_new_minutes_and_the_verdicts_that_they_changed(self) -> None:
        first = look(running(at=at(5)), 9)
        observed = [e for e in first.events if isinstance(e, Observed)]
        judged = {e.gate: e.at for e in first.events if isinstance(e, Judged)}
        assert [(e.at, e.stage) for e in observed] == [(at(9), 0)]
        assert set(judged) >= {"errors", "latency"}
        assert set(judged.values()) == {at(9)}
        again = look(first.record, 9.5)
        assert not [e for e in again.events if isinstance(e, Observed | Judged)]
        later = look(first.record, 10)
        assert [type(e) for e in later.events if isinstance(e, Judged)] == []
        assert len([e for e in later.events if isinstance(e, Observed)]) == 1

    def test_the_hold_is_told_by_what_is_left_of_it(self) -> None:
        assert look(running(at=at(5)), 11).reason == "holding 10% for 20 min more"
        assert look(running(at=at(5), uncounted=4 * MINUTE), 11).reason.endswith("24 min more")

    def test_a_hold_that_stood_still_for_nothing_goes_on(self) -> None:
        going = look(running(stopped=at(8), at=at(9)), 11)
        assert (going.action, going.reason) == (Action.NOTE, "the hold goes on")
        assert going.record.uncounted == 3 * MINUTE


def test_the_very_end_of_a_hold_is_its_end() -> None:
    assert look(running(at=at(30)), 31 - BARELY).reason.startswith("holding 10%")
    assert look(running(at=at(30)), 31).reason.startswith("the hold is over")
