"""What a tick decides, case by case: what is seen is acted on, what is not seen hides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.engine.decision import Action, Decision, State
from controller.engine.events import Message
from controller.engine.observation import (
    CheckOutcome,
    CheckSeen,
    Gone,
    NotSeen,
    OwnRequest,
    RevisionState,
    Seen,
    Target,
)
from controller.engine.record import Act, Ask, AskKind, Phase, Record, Shift
from controller.engine.split import targets_for
from controller.engine.watching import heartbeat, interval, windows
from controller.gates.evidence import Latencies, Query, Readings
from controller.gates.tally import Tally
from controller.plan.model import (
    BothFailing,
    Limits,
    Needs,
    OnFail,
    Plan,
    Stage,
    Then,
    When,
    WhenNobodyAnswers,
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
    codes,
    look,
    readings,
    rolls_back,
    running,
    service_of,
    silence,
    split_asked,
    starting,
)

CHECKED = replace(PLAN, checks=(HEALTH,))


def test_the_same_observation_leads_to_the_same_decision() -> None:
    for minutes in (1, 20, 40):
        assert look(running(), minutes) == look(running(), minutes)


def test_every_decision_has_a_reason_and_a_time_to_look_again() -> None:
    for minutes in (0, 1, 5, 20, 40, 400):
        decision = look(running(), minutes, failed=minutes % 3)
        assert decision.reason
        assert decision.look_again > timedelta(0)


def _stricter(plan: Plan) -> Plan:
    limits = replace(ERRORS.limits, maximum=0.0001)
    return replace(plan, gates=(replace(ERRORS, limits=limits), SLOW))


@pytest.mark.parametrize(
    ("plan", "changes"),
    [
        (PLAN, {}),
        (_stricter(PLAN), {}),
        (PLAN, {"stage": 2, "weight": 100}),
        (PLAN, {"stage": 1, "weight": 50, "tried": (1,)}),
    ],
)
def test_a_verdict_that_was_told_holds_only_for_what_it_was_judged_by(
    plan: Plan, changes: dict[str, Any]
) -> None:
    seen = look(running(), 20, failed=1).record
    record = replace(seen, **changes)
    anew = {name: replace(known, told=None) for name, known in record.gates.items()}
    again = look(record, 20, plan=plan)
    assert again.verdicts == look(replace(record, gates=anew), 20, plan=plan).verdicts
    kept = again.record.gates["errors"].told is record.gates["errors"].told
    assert kept == (not changes and plan is PLAN)


class TestRollingBack:
    def test_a_failed_gate_puts_all_traffic_on_stable(self) -> None:
        decision = look(running(), 20, failed=5)
        assert rolls_back(decision)
        assert decision.record.phase is Phase.ROLLING_BACK
        assert "errors" in decision.reason

    def test_it_does_although_nothing_else_is_seen(self) -> None:
        record = running(plan=CHECKED)
        now = at(20)
        asked = windows(CHECKED, record, now)
        bad = {
            query: NotSeen("quota")
            if isinstance(query, Latencies)
            else Seen(readings(query, [window.start + MINUTE * n for n in range(1, 9)], 5, 0))
            for query, window in asked.items()
        }
        decision = look(
            record,
            20,
            plan=CHECKED,
            readings=bad,
            candidate=NotSeen("no answer"),
            stable=NotSeen("no answer"),
            checks={"health": NotSeen("timeout")},
        )
        assert rolls_back(decision)

    def test_a_failed_check_needs_no_monitoring(self) -> None:
        record = running(plan=CHECKED)
        failed = Seen(CheckSeen(CheckOutcome.FAILED, "answered 500, expected 200"))
        decision = look(
            record,
            20,
            plan=CHECKED,
            readings=silence(record, 20, CHECKED),
            checks={"health": failed},
        )
        assert rolls_back(decision)

    @pytest.mark.parametrize(
        "candidate", [Gone("deleted"), Seen(RevisionState(NEW, ready=False, why="crash"))]
    )
    @pytest.mark.parametrize("shifting", ["in force", "shifting"])
    def test_a_lost_candidate_is_rolled_back_from(self, candidate: Any, shifting: str) -> None:
        shift = Shift(T0, 0) if shifting == "shifting" else None
        decision = look(running(shift=shift), 1, candidate=candidate)
        assert rolls_back(decision)

    @pytest.mark.parametrize(
        "waiting",
        [
            {"paused": Act("ada", T0), "stopped": T0},
            {"ask": Ask(AskKind.APPROVAL, "50% needs an approval", T0), "stopped": T0},
            {"ask": Ask(AskKind.MONITORING_OUT, "out", T0), "stopped": T0},
        ],
    )
    def test_paused_or_asking_it_still_rolls_back(self, waiting: dict[str, Any]) -> None:
        assert rolls_back(look(running(**waiting), 20, failed=5))

    def test_it_only_repeats_its_write_until_it_is_in_force(self) -> None:
        back = running(phase=Phase.ROLLING_BACK, weight=0, in_force=T0, shift=Shift(T0, 10))
        late = service_of(back, statuses=(Target(OLD, 90), Target(NEW, 10)))
        for minutes in (1, 20, 200):
            again = look(back, minutes, service=Seen(late))
            assert again.state is State.ROLLING_BACK
            assert split_asked(again) == {OLD: 100}
            assert any(isinstance(e, Message) and e.level == "shout" for e in again.events)
        ended = look(back, 2)
        assert ended.state is State.DONE
        assert ended.record.outcomes[-1].outcome == "rolled_back"

    def test_another_split_while_rolling_back_is_taken_over(self) -> None:
        back = running(phase=Phase.ROLLING_BACK, weight=0, shift=Shift(T0, 10))
        decision = look(back, 2, service=Seen(service_of(back, {NEW: 100})))
        assert decision.state is State.TAKEN_OVER
        assert decision.write is None

    def test_observe_only_gates_change_nothing(self) -> None:
        plan = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.OBSERVE), SLOW))
        assert look(running(plan=plan), 20, plan=plan, failed=5).state is State.RUNNING

    def test_done_absorbs(self) -> None:
        done = running(phase=Phase.DONE)
        decision = look(done, 20, failed=90, candidate=Gone("deleted"))
        assert (decision.action, decision.write) == (Action.WAIT, None)
        assert decision.record == done

    def test_when_both_fail_it_holds_unless_the_plan_says_otherwise(self) -> None:
        held = look(running(), 20, failed=5, stable_failed=5)
        assert not rolls_back(held)
        assert "both revisions are failing" in held.reason
        plan = replace(PLAN, when=When(both_failing=BothFailing.ROLL_BACK))
        assert rolls_back(look(running(plan=plan), 20, plan=plan, failed=5, stable_failed=5))


class TestSteppingBack:
    PLAN = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.STEP_BACK), SLOW))

    def test_a_fail_goes_back_one_stage_once_and_the_second_time_to_stable(self) -> None:
        first = look(running(1, self.PLAN), 20, plan=self.PLAN, failed=5)
        assert first.action is Action.STEP_BACK
        assert split_asked(first) == {OLD: 90, NEW: 10}
        assert first.write is not None
        assert not first.write.raises
        again = running(1, self.PLAN, stepped_back=first.record.stepped_back)
        assert rolls_back(look(again, 20, plan=self.PLAN, failed=5))

    def test_from_the_first_stage_it_goes_to_stable(self) -> None:
        assert rolls_back(look(running(0, self.PLAN), 20, plan=self.PLAN, failed=5))

    def test_an_emergency_goes_to_stable(self) -> None:
        assert rolls_back(look(running(1, self.PLAN), 20, plan=self.PLAN, failed=60))

    def test_approvals_of_later_stages_are_void(self) -> None:
        record = running(1, self.PLAN, approved=(1, 2))
        assert look(record, 20, plan=self.PLAN, failed=5).record.approved == ()


class TestOtherHands:
    def test_a_changed_split_is_never_written_over(self) -> None:
        for split in ({OLD: 50, NEW: 50}, {NEW: 100}, {"api-9": 100}):
            for failed in (0, 60):
                record = running()
                service = service_of(record, split, last_modifier="ada")
                decision = look(record, 20, failed=failed, service=Seen(service))
                assert decision.state is State.TAKEN_OVER
                assert decision.write is None
                assert "ada" in decision.reason
                assert decision.only_a_person

    def test_a_fail_after_a_take_over_is_shouted(self) -> None:
        record = running()
        service = service_of(record, {NEW: 50, OLD: 50})
        decision = look(record, 20, failed=60, service=Seen(service))
        assert [e.level for e in decision.events if isinstance(e, Message)][-1] == "shout"

    def test_all_traffic_on_stable_by_another_hand_ends_the_rollout(self) -> None:
        record = running()
        service = service_of(record, {OLD: 100}, last_modifier="ada")
        decision = look(record, 20, service=Seen(service))
        assert decision.state is State.DONE
        assert decision.record.outcomes[-1].outcome == "rolled_back"
        assert decision.record.outcomes[-1].by == "ada"
        assert split_asked(decision) == {OLD: 100}

    def test_a_service_made_anew_is_left_alone(self) -> None:
        record = running()
        decision = look(record, 20, failed=60, service=Seen(service_of(record, uid="other")))
        assert decision.write is None

    def test_a_service_that_is_not_seen_or_gone_is_looked_at_again(self) -> None:
        for service in (NotSeen("UNAVAILABLE"), Gone("deleted")):
            decision = look(running(), 20, service=service)
            assert decision.write is None
            assert decision.look_again > timedelta(0)


class TestNoWayBack:
    @pytest.mark.parametrize(
        "stable", [Gone("deleted"), Seen(RevisionState(OLD, ready=False, why="crash"))]
    )
    def test_it_asks_and_does_not_roll_back_while_stable_is_gone(self, stable: Any) -> None:
        decision = look(running(), 20, failed=60, stable=stable)
        assert decision.record.ask is not None
        assert decision.record.ask.kind is AskKind.NO_WAY_BACK
        assert split_asked(decision) == {OLD: 90, NEW: 10}
        after = look(decision.record, 3 * 24 * 60, stable=stable)
        assert after.state is State.ASKING
        assert after.only_a_person

    def test_what_would_roll_back_is_shouted_and_nothing_else_is(self) -> None:
        for failed, said in ((0, []), (60, ["errors"])):
            decision = look(running(), 20, failed=failed, stable=Gone("deleted"))
            shouts = [e.text for e in decision.events if isinstance(e, Message)]
            assert [text.split()[0] for text in shouts] == said
            assert all(text.endswith("no way back: stable api-1 was deleted") for text in shouts)
        asks = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.ASK), SLOW))
        asked = look(running(plan=asks), 20, plan=asks, failed=5, stable=Gone("deleted"))
        assert any(isinstance(e, Message) and e.text.startswith("errors") for e in asked.events)
        lost = look(running(), 20, stable=Gone("deleted"), candidate=Gone("deleted"))
        assert [e.text for e in lost.events if isinstance(e, Message)] == [
            "the candidate api-2 was deleted; but no way back: stable api-1 was deleted"
        ]

    def test_the_ask_ends_when_stable_is_back(self) -> None:
        ask = Ask(AskKind.NO_WAY_BACK, "no way back", T0)
        assert look(running(ask=ask, stopped=T0), 20).record.ask is None


class TestShifting:
    def test_it_waits_until_the_split_is_in_force(self) -> None:
        record = running(in_force=None, shift=Shift(T0, 0))
        late = service_of(record, statuses=(Target(OLD, 100),), reconciling=True)
        assert look(record, 14, service=Seen(late)).write is None
        there = look(record, 14)
        assert there.record.shift is None
        assert there.record.in_force == at(14)

    def test_a_shift_that_does_not_come_is_taken_back_after_15_minutes_and_asked_about(
        self,
    ) -> None:
        record = running(1, in_force=None, shift=Shift(T0, 10))
        late = service_of(record, statuses=(Target(OLD, 90), Target(NEW, 10)), reconciling=True)
        decision = look(record, 15.1, service=Seen(late))
        assert split_asked(decision) == {OLD: 90, NEW: 10}
        assert decision.write is not None
        assert not decision.write.raises
        assert decision.record.ask is not None
        assert decision.record.ask.kind is AskKind.SHIFT_FAILED

    def test_a_shift_that_failed_is_not_waited_for(self) -> None:
        record = running(in_force=None, shift=Shift(T0, 0))
        failed = service_of(record, statuses=(Target(OLD, 100),), ready=False)
        assert split_asked(look(record, 1, service=Seen(failed))) == {OLD: 100}


class TestHolding:
    def test_it_does_not_advance_before_the_hold_is_over(self) -> None:
        for minutes in (1, 10, 30, 30.9):
            decision = look(running(), minutes)
            assert decision.state is State.RUNNING
            assert decision.record.stage == 0

    def test_nor_before_the_evidence_covers_the_hold(self) -> None:
        assert look(running(), 32).record.stage == 0
        decision = look(running(), 35)
        assert (decision.action, decision.record.stage) == (Action.SHIFT, 1)
        assert split_asked(decision) == {OLD: 50, NEW: 50}
        assert decision.write is not None
        assert decision.write.raises

    def test_a_stage_begins_with_an_empty_sample_once_its_split_is_in_force(self) -> None:
        moved = look(running(), 35).record
        assert moved.in_force is None
        there = look(moved, 36).record
        assert there.in_force == at(36)
        assert there.verdicts == {}
        assert all(known.state.tally == Tally() for known in there.gates.values())
        assert there.served == 100 * 30 + 500  # the last minute was of the new weight

    def test_what_was_bet_goes_on_into_the_next_stage(self) -> None:
        moved = look(running(), 35).record
        there = look(moved, 36).record
        before, after = moved.gates["errors"].state, there.gates["errors"].state
        assert after.wealth.keys() == before.wealth.keys()
        assert after.touched == frozenset()

    def test_without_data_it_never_advances(self) -> None:
        record = running()
        asked = None
        for minutes in range(1, 60 * 23, 15):
            empty: dict[Query, Seen[Readings]] = {
                query: Seen({}) for query in windows(PLAN, record, at(minutes))
            }
            decision = look(record, minutes, readings=empty)
            record = decision.record
            assert record.stage == 0
            asked = asked or record.ask
        assert asked is not None
        assert asked.kind is AskKind.UNDECIDED

    def test_paused_time_does_not_count(self) -> None:
        paused = running(paused=Act("ada", at(20)), stopped=at(20))
        assert look(paused, 60).record.stage == 0
        resumed = replace(paused, paused=None)
        going = look(resumed, 60).record
        assert going.stopped is None
        assert going.uncounted == MINUTE * 40
        assert look(going, 69).record.stage == 0
        assert look(going, 76).record.stage == 1

    def test_an_open_gate_extends_the_hold_once_and_then_asks(self) -> None:
        longer = look(running(), 36, failed=1, stable_failed=0)
        assert longer.record.stage == 1  # one percent is at the limit, not over it
        between = {"errors": replace(ERRORS, limits=Limits(maximum=0.005, roll_back=0.02))}
        plan = replace(PLAN, gates=(between["errors"], SLOW))
        extended = look(running(plan=plan), 36, plan=plan, failed=1).record
        assert extended.extended
        assert extended.stage == 0
        assert look(extended, 50, plan=plan, failed=1).record.ask is None
        asked = look(extended, 70, plan=plan, failed=1).record
        assert asked.ask is not None
        assert asked.ask.kind is AskKind.UNDECIDED

    @pytest.mark.parametrize(("then", "stage"), [(Then.ROLL_BACK, 0), (Then.ADVANCE, 1)])
    def test_undecided_leads_to_what_the_plan_says(self, then: Then, stage: int) -> None:
        gates = (replace(ERRORS, limits=Limits(maximum=0.0002, roll_back=0.02)), SLOW)
        evidence = replace(PLAN.evidence, needs=Needs.PROOF)
        when = When(undecided=WhenUndecided(None, then))
        plan = replace(PLAN, gates=gates, evidence=evidence, when=when)
        decision = look(running(plan=plan, extended=True), 70, plan=plan)
        assert decision.record.stage == stage
        assert rolls_back(decision) == (then is Then.ROLL_BACK)

    def test_over_the_limit_to_advance_a_person_is_asked_though_the_plan_says_advance(self) -> None:
        gates = (replace(ERRORS, limits=Limits(maximum=0.005, roll_back=0.02)), SLOW)
        when = When(undecided=WhenUndecided(None, Then.ADVANCE))
        plan = replace(PLAN, gates=gates, when=when)
        decision = look(running(plan=plan, extended=True), 70, plan=plan, failed=1)
        assert decision.record.stage == 0
        assert decision.record.ask is not None
        assert decision.record.ask.kind is AskKind.UNDECIDED

    def test_the_last_stage_ends_in_promotion_of_the_candidate_alone(self) -> None:
        decision = look(running(2), 40)
        assert decision.action is Action.PROMOTE
        assert split_asked(decision) == {NEW: 100}
        assert decision.record.outcomes[-1].outcome == "promoted"
        tags = {t.tag for t in decision.write.targets} if decision.write else set()
        assert "rollout-new" not in tags
        assert "rollout-old" in tags


class TestApproval:
    def test_it_is_asked_before_the_stage_that_requires_it(self) -> None:
        decision = look(running(1), 40)
        assert decision.record.ask is not None
        assert decision.record.ask.kind is AskKind.APPROVAL
        assert decision.record.stage == 1
        assert decision.only_a_person

    def test_nobody_answers_it_but_a_person(self) -> None:
        waiting = look(running(1), 40).record
        assert look(waiting, 60 * 24 * 3).record.stage == 1

    def test_once_given_the_stage_is_entered(self) -> None:
        waiting = replace(look(running(1), 40).record, approved=(2,))
        decision = look(waiting, 50)
        assert split_asked(decision) == {NEW: 100}
        assert decision.record.ask is None


class TestNobodyAnswers:
    def test_another_ask_is_answered_by_the_plan_after_its_time(self) -> None:
        asking = running(ask=Ask(AskKind.GATE, "errors", T0), stopped=T0)
        plan = replace(PLAN, gates=(replace(ERRORS, limits=Limits(maximum=0.001)), SLOW))
        early = look(asking, 60 * 23, plan=plan, failed=1, stable_failed=1)
        assert early.state is State.ASKING
        late = look(asking, 60 * 24 + 1, plan=plan, failed=1, stable_failed=1)
        assert rolls_back(late)

    def test_or_advances_where_the_plan_says_so(self) -> None:
        rule = WhenNobodyAnswers(timedelta(hours=1), Then.ADVANCE)
        gates = (replace(ERRORS, limits=Limits(maximum=0.001)), SLOW)
        plan = replace(PLAN, gates=gates, when=When(nobody_answers=rule))
        ask = Ask(AskKind.UNDECIDED, "errors", at(61))
        asking = running(plan=plan, ask=ask, stopped=at(61), extended=True)
        decision = look(asking, 122, plan=plan, failed=1, stable_failed=1)
        assert decision.record.stage == 1


class TestMonitoringOut:
    def test_it_holds_then_asks_after_its_time_and_data_end_the_ask(self) -> None:
        record = look(running(), 20).record
        for minutes in range(21, 60 * 3):
            decision = look(record, minutes, readings=silence(record, minutes))
            record = decision.record
            assert record.stage == 0
        assert record.ask is not None
        assert record.ask.kind is AskKind.MONITORING_OUT
        back = look(record, 60 * 3).record
        assert back.ask is None
        assert back.stage == 0
        assert back.uncounted > timedelta(hours=2)

    def test_a_single_lost_answer_changes_nothing(self) -> None:
        record = look(running(), 20).record
        decision = look(record, 21, readings=silence(record, 21))
        assert decision.write is None
        assert decision.record.stopped is None


class TestPreChecks:
    SHIFTED = starting(CHECKED)

    def before(self, outcome: CheckOutcome | None, minutes: float = 1) -> Decision:
        seen = NotSeen("timeout") if outcome is None else Seen(CheckSeen(outcome, "why"))
        return look(self.SHIFTED, minutes, plan=CHECKED, checks={"health": seen})

    def test_a_check_that_passes_lets_the_first_shift_go(self) -> None:
        assert split_asked(self.before(CheckOutcome.PASSED)) == {OLD: 90, NEW: 10}

    def test_a_check_that_fails_ends_the_rollout_before_any_traffic(self) -> None:
        decision = self.before(CheckOutcome.FAILED)
        assert decision.state is State.DONE
        assert decision.record.outcomes[-1].outcome == "rolled_back"
        assert split_asked(decision) == {OLD: 100}

    def test_a_check_that_is_not_seen_is_no_pass(self) -> None:
        for outcome in (None, CheckOutcome.UNDECIDED):
            assert self.before(outcome).record.stage == -1
            assert self.before(outcome, 16).record.ask is not None


class TestHeartbeat:
    def test_the_record_is_written_every_30_minutes_or_tenth_of_the_hold(self) -> None:
        assert heartbeat(PLAN, running()) == timedelta(minutes=30)
        plan = replace(PLAN, stages=(Stage(10, timedelta(hours=72)),))
        record = running(plan=plan)
        assert heartbeat(plan, record) == timedelta(hours=7.2)
        assert look(record, 60 * 7, plan=plan).write is None
        beat = look(record, 60 * 7.2, plan=plan)
        assert beat.action is Action.NOTE
        assert split_asked(beat) == {OLD: 90, NEW: 10}
        assert beat.record.transitions == record.transitions

    def test_looks_are_a_minute_apart_at_first_and_at_most_five_later(self) -> None:
        plan = replace(PLAN, stages=(Stage(10, timedelta(hours=72)),))
        record = running(plan=plan)
        assert interval(plan, record, at(119)) == MINUTE
        assert interval(plan, record, at(121)) == MINUTE * 5


class TestEvidence:
    def test_each_minute_is_absorbed_once(self) -> None:
        record = running()
        for minutes in (8, 9, 9, 12, 20):
            record = look(record, minutes).record
        at_once = look(running(), 20).record
        assert record.gates == at_once.gates
        assert record.gates["errors"].state.tally.candidate.total == 100 * 15

    def test_the_first_minute_after_a_shift_is_no_evidence(self) -> None:
        (window,) = {*windows(PLAN, running(), at(20)).values()}
        assert window.start == at(1)  # a minute to settle
        assert window.end == at(16)  # four minutes behind

    def test_cold_starts_are_no_evidence_of_latency(self) -> None:
        gates = look(running(), 20).record.gates
        assert gates["errors"].state.tally.candidate.minutes == 15
        assert gates["latency"].state.tally.candidate.minutes == 13  # two to warm up

    def test_our_own_requests_are_no_evidence(self) -> None:
        record = running()
        own = tuple(OwnRequest(at(4.5), NEW, 500, 50.0) for _ in range(30))
        record = look(record, 5, own=own).record
        now = at(9)
        asked = windows(PLAN, record, now)
        seen = {
            query: Seen({NEW: {at(5): codes(30, 30)}, OLD: {at(5): codes(900, 0)}})
            for query in asked
            if not isinstance(query, Latencies)
        }
        judged = look(record, 9, readings=seen)
        assert judged.record.gates["errors"].state.tally.candidate.total == 0
        assert judged.record.gates["errors"].state.tally.stable.total == 900


def test_a_write_leaves_foreign_tags_where_they_were() -> None:
    record = running()
    service = service_of(record)
    tagged = replace(service, targets=(*service.targets, Target("api-0", 0, "preview")))
    decision = look(record, 20, failed=60, service=Seen(tagged))
    assert decision.write is not None
    assert Target("api-0", 0, "preview") in decision.write.targets
    assert targets_for(tagged, {OLD: 100}, {})[-1] == Target("api-0", 0, "preview")


ASKING_GATE = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.ASK), SLOW))


def asking(kind: AskKind, minutes: float, stage: int = 0, plan: Plan = PLAN, **more: Any) -> Record:
    """A running rollout that asked at a minute, its hold standing still since."""
    question = Ask(kind, "why", at(minutes))
    return running(stage, plan, ask=question, stopped=at(minutes), **more)


class TestAnswers:
    def test_a_failed_gate_that_asks_lets_the_hold_go_on_when_it_recovers(self) -> None:
        decision = look(asking(AskKind.GATE, 10, plan=ASKING_GATE), 15, plan=ASKING_GATE)
        assert decision.action is Action.NOTE
        assert decision.record.ask is None
        assert decision.record.stage == 0
        assert decision.record.uncounted == 5 * MINUTE

    def test_a_yes_in_mid_hold_does_not_advance(self) -> None:
        waived = asking(AskKind.GATE, 10, plan=ASKING_GATE, waived=(1,))
        decision = look(waived, 12, plan=ASKING_GATE, failed=20)
        assert decision.record.stage == 0
        assert decision.record.ask is None

    def test_a_yes_to_missing_evidence_at_the_holds_end_advances(self) -> None:
        limits = Limits(maximum=0.001, roll_back=0.5)
        between = replace(PLAN, gates=(replace(ERRORS, limits=limits),))
        waived = asking(AskKind.UNDECIDED, 50, plan=between, waived=(1,))
        decision = look(waived, 51, plan=between, failed=10)
        assert decision.action is Action.SHIFT
        assert decision.record.stage == 1

    def test_an_early_approval_does_not_skip_an_open_gate(self) -> None:
        between = replace(
            PLAN, gates=(replace(ERRORS, limits=Limits(maximum=0.001, roll_back=0.5)),)
        )
        record = running(1, between, approved=(2,))
        decision = look(record, 60, plan=between, failed=10)
        assert decision.record.stage == 1
        assert decision.record.extended

    def test_an_approval_is_judged_once_more_before_it_is_acted_on(self) -> None:
        between = replace(
            PLAN, gates=(replace(ERRORS, limits=Limits(maximum=0.001, roll_back=0.5)),)
        )
        approved = asking(AskKind.APPROVAL, 50, 1, between, approved=(2,))
        held_on = look(approved, 60, plan=between, failed=10)
        assert held_on.record.stage == 1
        assert held_on.record.ask is None
        assert look(approved, 60, plan=between).record.stage == 2


class TestOutageOfAFreshProcess:
    def test_one_lost_answer_long_after_the_last_write_is_no_outage(self) -> None:
        strict = replace(PLAN, stages=(Stage(10, timedelta(hours=72)), Stage(100, MINUTE)))
        record = running(0, strict, at=at(1))
        decision = look(record, 300, plan=strict, readings=silence(record, 300, strict))
        assert decision.record.ask is None
        assert decision.record.stopped == at(290)
        later = look(decision.record, 400, plan=strict, readings=silence(record, 400, strict))
        assert later.record.ask is None
        at_last = look(decision.record, 411, plan=strict, readings=silence(record, 411, strict))
        assert at_last.record.ask is not None
        assert at_last.record.ask.kind is AskKind.MONITORING_OUT


class TestBeforeTheFirstShift:
    def test_a_failed_first_shift_is_not_tried_again_by_itself(self) -> None:
        asked = starting(ask=Ask(AskKind.SHIFT_FAILED, "why", T0), stopped=T0)
        assert look(asked, 5).action is not Action.SHIFT

    def test_an_approval_of_the_first_stage_is_asked_once(self) -> None:
        first = replace(PLAN, stages=(replace(PLAN.stages[0], approval=True), *PLAN.stages[1:]))
        once = look(starting(first), 1, plan=first)
        assert once.action is Action.ASK
        again = look(once.record, 2, plan=first)
        assert again.action is Action.WAIT
        assert again.only_a_person
        approved = look(replace(once.record, approved=(0,)), 3, plan=first)
        assert approved.action is Action.SHIFT

    def test_a_pre_check_that_asks_gets_nobodys_answer_in_the_end(self) -> None:
        asks = replace(PLAN, checks=(replace(HEALTH, on_fail=OnFail.ASK),))
        failed = {"health": Seen(CheckSeen(CheckOutcome.FAILED, "answered 500"))}
        once = look(starting(asks), 1, plan=asks, checks=failed)
        assert once.record.ask is not None
        late = look(once.record, 25 * 60, plan=asks, checks=failed)
        assert late.state is State.DONE
        assert late.record.outcomes[-1].outcome == "rolled_back"


class TestStuckShifts:
    def test_a_first_write_that_never_comes_into_force_ends_the_rollout(self) -> None:
        record = starting(shift=Shift(T0, 0))
        stuck = Seen(service_of(record, reconciling=True))
        assert look(record, 5, service=stuck).action is Action.WAIT
        assert look(record, 16, service=stuck).state is State.DONE

    def test_a_step_back_that_never_comes_is_asked_for_again_and_in_the_end_rolls_back(
        self,
    ) -> None:
        record = running(0, in_force=None, shift=Shift(T0, 50), stepped_back=(1,))
        stuck = Seen(service_of(record, reconciling=True))
        again = look(record, 16, service=stuck)
        assert any(isinstance(e, Message) and e.level == "shout" for e in again.events)
        assert split_asked(again) == {OLD: 90, NEW: 10}
        assert rolls_back(look(record, 31, service=stuck))


def test_a_pause_stays_no_hold_when_stable_was_gone_meanwhile() -> None:
    paused = asking(AskKind.NO_WAY_BACK, 5, paused=Act("ada", at(5)))
    back = look(paused, 600)
    assert back.record.ask is None
    assert back.record.stopped == at(5)


def test_an_empty_split_is_not_all_traffic_on_stable() -> None:
    record = running()
    nobody = Seen(service_of(record, {}, latest_ready=None))
    assert look(record, 20, service=nobody).state is State.TAKEN_OVER


def test_a_revision_older_than_the_rollout_is_not_told_as_new() -> None:
    record = running(told=("api-3",))
    decision = look(record, 20, service=Seen(service_of(record, latest_created="api-3")))
    assert decision.action is not Action.NOTE or "api-3" not in decision.reason
