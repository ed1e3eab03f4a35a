"""What a person may do to a rollout, and what is refused with a line that helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from controller.engine import acts
from controller.engine.codec import Unreadable, decode, encode, must_fit
from controller.engine.decide import decide
from controller.engine.decision import Action, Decision, Refusal, State
from controller.engine.observation import Observation, RevisionState, Seen, ServiceState, Target
from controller.engine.record import Accumulated, Act, Ask, AskKind, Outcome, Phase, Record, Shift
from controller.engine.split import split_text
from tests.engine.builders import (
    MINUTE,
    NEW,
    OLD,
    PLAN,
    T0,
    at,
    running,
    service_of,
    split_asked,
    starting,
)

NOW = at(40)
HOLD = timedelta(minutes=30)
APPROVAL = Ask(AskKind.APPROVAL, "100% needs an approval", T0)


def recordless(split: dict[str, int]) -> ServiceState:
    return service_of(running(1), split, record_text=None)


Deed = Callable[..., Decision | Refusal]


def do(deed: Deed, record: Record, split: dict[str, int] | None = None, **more: Any) -> Decision:
    decision = deed(PLAN, record, service_of(record, split), NOW, "ada", "because", **more)
    assert isinstance(decision, Decision), decision
    return decision


def refused(
    deed: Deed, record: Record, split: dict[str, int] | None = None, **more: Any
) -> Refusal:
    refusal = deed(PLAN, record, service_of(record, split), NOW, "ada", "because", **more)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason
    return refusal


def test_an_approval_is_written_with_its_name_and_moves_no_traffic() -> None:
    decision = do(acts.approve, running(1, ask=APPROVAL), stage=3)
    assert decision.record.approved == (2,)
    assert decision.record.transitions[-1].by == "ada"
    assert split_asked(decision) == {OLD: 50, NEW: 50}


def test_an_approval_meant_for_another_stage_is_refused() -> None:
    for stage in (1, 2, 4):
        assert "moved on" in refused(acts.approve, running(1, ask=APPROVAL), stage=stage).reason
        assert "moved on" in refused(acts.reject, running(1, ask=APPROVAL), stage=stage).reason


def test_an_approval_can_be_given_before_it_is_asked_where_one_is_needed() -> None:
    assert do(acts.approve, running(1)).record.approved == (2,)
    refused(acts.approve, running(0))


def test_no_way_back_cannot_be_approved() -> None:
    refusal = refused(acts.approve, running(1, ask=Ask(AskKind.NO_WAY_BACK, "gone", T0)))
    assert "rollback --to-revision" in refusal.mend


def test_a_rejected_rollout_rolls_back() -> None:
    decision = do(acts.reject, running(1, ask=APPROVAL))
    assert decision.action is Action.ROLL_BACK
    assert split_asked(decision) == {OLD: 100}
    assert "rejected by ada: because" in decision.reason


def test_without_a_way_back_a_no_is_refused_with_what_works() -> None:
    refusal = refused(acts.reject, running(1, ask=Ask(AskKind.NO_WAY_BACK, "gone", T0)))
    assert "promote" in refusal.mend


def test_what_asks_nothing_cannot_be_rejected() -> None:
    assert "rollout rollback" in refused(acts.reject, running(1)).mend


def test_a_pause_stops_the_hold_and_says_who() -> None:
    decision = do(acts.pause, running(1))
    assert decision.state is State.PAUSED
    assert decision.record.paused == Act("ada", NOW, "because")
    assert decision.record.stopped == NOW
    refused(acts.pause, decision.record)
    assert do(acts.resume, decision.record).record.paused is None


def test_nothing_to_resume_is_refused() -> None:
    refused(acts.resume, running(1, generation=6))


def test_what_somebody_else_wrote_over_can_be_resumed_although_the_split_is_as_asked() -> None:
    """An older record written back says nothing of it; controllers that knew ours wait for us."""
    assert do(acts.resume, running(1, generation=5)).record.transitions[-1].what == "resumed"


def test_resume_takes_the_service_back_from_another_hand() -> None:
    decision = do(acts.resume, running(1), {OLD: 80, NEW: 20})
    assert split_asked(decision) == {OLD: 50, NEW: 50}


def test_an_advance_by_hand_is_refused_while_another_holds_the_service() -> None:
    for deed in (acts.advance, acts.promote_now):
        assert "somebody changed" in refused(deed, running(1), {OLD: 80, NEW: 20}).reason


def test_advance_goes_to_the_next_stage_and_promotes_from_the_last() -> None:
    assert split_asked(do(acts.advance, running(0))) == {OLD: 50, NEW: 50}
    assert do(acts.advance, running(2)).record.phase is Phase.DONE
    assert split_asked(do(acts.promote_now, running(0))) == {NEW: 100}


def test_cancel_leaves_the_traffic_as_it_is_even_in_another_hand() -> None:
    for split in ({OLD: 50, NEW: 50}, {OLD: 80, NEW: 20}):
        decision = do(acts.cancel_now, running(1), split)
        assert split_asked(decision) == split
        assert decision.record.outcomes[-1].outcome == "cancelled"


@pytest.mark.parametrize(
    "deed",
    [acts.approve, acts.pause, acts.resume, acts.advance, acts.promote_now, acts.cancel_now],
)
@pytest.mark.parametrize("phase", [Phase.DONE, Phase.ROLLING_BACK])
def test_what_is_over_or_rolling_back_is_left_alone(deed: Deed, phase: Phase) -> None:
    weight = 0 if phase is Phase.ROLLING_BACK else 50
    refused(deed, running(1, phase=phase, weight=weight))


class TestPromoting:
    """A promotion from below 100% is over only once everybody gets the candidate."""

    def asked(self, record: Record) -> Record:
        decision = do(acts.promote_now, record)
        assert split_asked(decision) == {NEW: 100}
        assert decision.state is State.SHIFTING
        assert decision.record.outcome is None
        return replace(decision.record, at=NOW)

    def seen(self, record: Record, minutes: float, **service: Any) -> Decision:
        before = service_of(running(1)).targets
        state = service_of(record, **{"statuses": before, "reconciling": True, **service})
        new, old = (Seen(RevisionState(name, ready=True)) for name in (NEW, OLD))
        return decide(PLAN, record, Observation(Seen(state), new, old), NOW + MINUTE * minutes)

    def test_it_ends_promoted_by_whom_it_was_once_it_is_in_force(self) -> None:
        record = self.asked(running(1, gates={"errors": Accumulated(NOW)}))
        assert self.seen(record, 1).action is Action.WAIT
        done = self.seen(record, 2, statuses=service_of(record).targets, reconciling=False).record
        assert done.outcome is not None
        assert (done.outcome.outcome, done.outcome.by) == ("promoted", "ada")
        assert "because" in done.outcome.reason

    @pytest.mark.parametrize(
        ("before", "split"),
        [
            (running(1), {OLD: 50, NEW: 50}),
            (running(2, shift=Shift(T0, 50), in_force=None), {OLD: 50, NEW: 50}),
            (running(0, shift=Shift(T0, 50), in_force=None), {OLD: 90, NEW: 10}),
            (starting(), {OLD: 100}),
        ],
        ids=["in a stage", "shifting up", "stepping back", "before the first shift"],
    )
    def test_where_it_never_comes_into_force_the_split_before_is_put_back_and_asked_about(
        self, before: Record, split: dict[str, int]
    ) -> None:
        failed = self.seen(self.asked(before), 16)
        assert split_asked(failed) == split
        assert failed.record.ask is not None
        assert failed.record.ask.kind is AskKind.SHIFT_FAILED
        assert failed.record.outcome is None
        must_fit(PLAN, failed.record)

    def test_a_candidate_that_is_lost_on_the_way_is_rolled_back(self) -> None:
        record = self.asked(running(1))
        state = service_of(record, statuses=service_of(running(1)).targets)
        lost = Observation(Seen(state), Seen(RevisionState(NEW, ready=False, why="crashed")))
        assert decide(PLAN, record, lost, NOW).action is Action.ROLL_BACK

    def test_meanwhile_only_a_rollback_or_a_cancel_is_taken(self) -> None:
        record = self.asked(running(1))
        for deed in (acts.promote_now, acts.advance, acts.pause, acts.approve):
            assert "promoted already" in refused(deed, record).reason
        assert do(acts.cancel_now, record).record.phase is Phase.DONE
        back = acts.roll_back_now(record, service_of(record), (), NOW, "ada")
        assert isinstance(back, Decision)
        assert split_asked(back) == {OLD: 100}

    def test_its_record_is_one_that_can_be(self) -> None:
        record = self.asked(running(1))
        must_fit(PLAN, decode(encode(record)))
        with pytest.raises(Unreadable):
            must_fit(PLAN, replace(record, shift=None))


class TestRollingBack:
    REVISIONS = (RevisionState(NEW, ready=True), RevisionState(OLD, ready=True))

    def back(
        self, record: Record | None, split: dict[str, int] | None = None, **more: Any
    ) -> Decision | Refusal:
        service = service_of(record, split) if record else recordless(split or {OLD: 100})
        return acts.roll_back_now(record, service, self.REVISIONS, NOW, "ada", "because", **more)

    def split(self, *args: Any, **more: Any) -> dict[str, int]:
        decision = self.back(*args, **more)
        assert isinstance(decision, Decision), decision
        return split_asked(decision)

    @pytest.mark.parametrize("split", [None, {OLD: 20, NEW: 80}])
    def test_a_running_rollout_goes_to_stable_whoever_holds_it(
        self, split: dict[str, int] | None
    ) -> None:
        for changes in ({}, {"paused": Act("bo", T0)}, {"ask": APPROVAL}):
            decision = self.back(running(1, **changes), split)
            assert isinstance(decision, Decision)
            assert split_asked(decision) == {OLD: 100}
            assert decision.record.phase is Phase.ROLLING_BACK

    def test_after_promotion_it_goes_to_what_served_before(self) -> None:
        promoted = Outcome("promoted", NEW, T0, "good", "", {OLD: 100})
        done = running(2, phase=Phase.DONE, outcomes=(promoted,))
        assert self.split(done, {NEW: 100}) == {OLD: 100}
        assert isinstance(self.back(done, {OLD: 100}), Refusal)

    def test_twice_is_not_an_error(self) -> None:
        ended = Outcome("rolled_back", NEW, T0, "bad", "", {OLD: 100})
        refusal = self.back(running(1, phase=Phase.DONE, weight=0, outcomes=(ended,)))
        assert isinstance(refusal, Refusal)
        assert refusal.exit_code == 0

    def test_to_a_named_revision(self) -> None:
        assert self.split(running(1), to_revision="api-0") == {"api-0": 100}
        assert self.split(None, to_revision="api-0") == {"api-0": 100}

    def test_to_an_earlier_stage_only(self) -> None:
        assert self.split(running(1), to_stage=1, plan=PLAN) == {OLD: 90, NEW: 10}
        assert isinstance(self.back(running(1), to_stage=2, plan=PLAN), Refusal)
        assert isinstance(self.back(None, to_stage=1), Refusal)

    def test_without_a_record_our_tag_names_the_way_back(self) -> None:
        service = recordless({NEW: 100})
        tagged = replace(service, targets=(*service.targets, Target(OLD, 0, "rollout-old")))
        decision = acts.roll_back_now(None, tagged, (), NOW, "ada")
        assert isinstance(decision, Decision)
        assert split_asked(decision) == {OLD: 100}

    def test_without_record_and_tag_the_older_of_two_serving_is_stable(self) -> None:
        assert self.split(None, {OLD: 90, NEW: 10}) == {OLD: 100}

    def test_otherwise_it_is_refused_with_a_line_to_paste(self) -> None:
        refusal = self.back(None, {NEW: 100})
        assert isinstance(refusal, Refusal)
        line = f"rollout rollback api --region us-central1 --project demo --to-revision {OLD}"
        assert line in refusal.mend

    def test_a_record_of_a_service_that_was_made_anew_is_ignored(self) -> None:
        assert isinstance(self.back(running(1, uid="other"), {NEW: 100}), Refusal)

    def test_after_a_roll_back_a_candidate_that_got_traffic_by_hand_is_put_back_again(self) -> None:
        ended = Outcome("rolled_back", NEW, T0, "bad", "", {OLD: 100})
        done = running(1, phase=Phase.DONE, weight=0, outcomes=(ended,))
        for split in ({NEW: 100}, {OLD: 80, NEW: 20}):
            assert self.split(done, split) == {OLD: 100}

    @pytest.mark.parametrize("outcome", ["rolled_back", "promoted", "cancelled"])
    @pytest.mark.parametrize(
        "split", [{"api-3": 100}, {NEW: 20, "api-3": 80}, {OLD: 5, "api-3": 95}]
    )
    def test_what_was_deployed_since_keeps_its_traffic_unless_a_revision_is_named(
        self, outcome: str, split: dict[str, int]
    ) -> None:
        ended = Outcome(outcome, NEW, T0, "over", "", {OLD: 100})
        done = running(1, phase=Phase.DONE, weight=0, outcomes=(ended,))
        refusal = self.back(done, split)
        assert isinstance(refusal, Refusal)
        assert refusal.exit_code == 1
        assert split_text(split) in refusal.reason
        assert f"--project demo --to-revision {OLD}`" in refusal.mend
        assert self.split(done, split, to_revision=OLD) == {OLD: 100}


class TestOtherHands:
    BY_HAND: ClassVar = {OLD: 80, NEW: 20}
    BACK = running(1, phase=Phase.ROLLING_BACK, weight=0, shift=Shift(T0, 50))

    @pytest.mark.parametrize("deed", [acts.pause, acts.approve])
    @pytest.mark.parametrize("ask", [None, APPROVAL], ids=["running", "asking"])
    def test_a_pause_or_an_approval_writes_nothing_over_their_traffic(
        self, deed: Deed, ask: Ask | None
    ) -> None:
        assert "somebody changed" in refused(deed, running(1, ask=ask), self.BY_HAND).reason

    def test_a_roll_back_they_interrupted_can_be_cancelled_and_keeps_their_traffic(self) -> None:
        decision = do(acts.cancel_now, self.BACK, self.BY_HAND)
        assert decision.record.phase is Phase.DONE
        assert split_asked(decision) == self.BY_HAND

    def test_a_roll_back_they_interrupted_can_be_resumed_and_goes_to_stable(self) -> None:
        decision = do(acts.resume, self.BACK, self.BY_HAND)
        assert decision.record.phase is Phase.ROLLING_BACK
        assert decision.record.shift == Shift(NOW, 20)
        assert split_asked(decision) == {OLD: 100}

    def test_resume_after_them_begins_the_stages_evidence_and_hold_anew(self) -> None:
        measured = running(
            1,
            gates={"errors": Accumulated(NOW)},
            verdicts={"errors": "pass"},
            uncounted=HOLD,
            stopped=NOW,
        )
        going = do(acts.resume, measured, self.BY_HAND).record
        assert going.verdicts == {}
        assert (going.in_force, going.stopped, going.uncounted) == (None, None, timedelta(0))


@pytest.mark.parametrize("act", [acts.approve, acts.pause, acts.advance])
def test_no_act_but_resume_and_rollback_writes_over_another_hands_traffic(
    act: Callable[..., Decision | Refusal],
) -> None:
    record = running(1, ask=APPROVAL)
    theirs = service_of(record, {OLD: 97, NEW: 3})
    assert isinstance(act(PLAN, record, theirs, NOW, "ada"), Refusal)


def test_resume_after_another_hand_begins_the_stage_anew() -> None:
    record = running(1, uncounted=timedelta(hours=10), stopped=T0)
    going = acts.resume(PLAN, record, service_of(record, {OLD: 97, NEW: 3}), NOW, "ada")
    assert isinstance(going, Decision)
    assert going.record.shift is not None
    assert going.record.in_force is None
    assert going.record.uncounted == timedelta(0)
    assert going.record.stopped is None


@pytest.mark.parametrize("act", [acts.resume, acts.cancel_now])
def test_a_roll_back_that_another_hand_stopped_can_be_resumed_or_cancelled(
    act: Callable[..., Decision | Refusal],
) -> None:
    record = running(1, phase=Phase.ROLLING_BACK, weight=0)
    assert isinstance(act(PLAN, record, service_of(record), NOW, "ada"), Refusal)
    theirs = service_of(record, {OLD: 50, NEW: 50})
    assert isinstance(act(PLAN, record, theirs, NOW, "ada"), Decision)


def test_rollback_puts_back_what_was_given_traffic_by_hand_after_an_earlier_rollback() -> None:
    ended = Outcome("rolled_back", NEW, T0, "errors", "", {OLD: 100})
    record = running(1, phase=Phase.DONE, weight=0, outcomes=(ended,))
    by_hand = service_of(record, {NEW: 100})
    back = acts.roll_back_now(record, by_hand, (), NOW, "ada")
    assert isinstance(back, Decision)
    assert back.write is not None
    assert {t.revision: t.percent for t in back.write.targets if t.percent} == {OLD: 100}
    again = acts.roll_back_now(record, service_of(record, {OLD: 100}), (), NOW, "ada")
    assert isinstance(again, Refusal)
    assert again.exit_code == 0


class TestWhatIsSaidOfARefusal:
    """A person reads it: numbers count from one, and what works is named."""

    def test_which_stage_is_next(self) -> None:
        moved = "the rollout has moved on: stage 3 is next, not 2"
        assert refused(acts.approve, running(1, ask=APPROVAL), stage=2).reason == moved
        assert refused(acts.reject, running(1, ask=APPROVAL), stage=2).reason == moved

    def test_in_the_last_stage_nothing_is_asked(self) -> None:
        assert refused(acts.approve, running(2)).reason == "the rollout asks for nothing"

    @pytest.mark.parametrize("kind", [AskKind.UNDECIDED, AskKind.GATE, AskKind.APPROVAL])
    def test_a_yes_that_was_given_is_not_given_twice(self, kind: AskKind) -> None:
        ask = Ask(kind, "why", T0)
        for given in ({"approved": (2,)}, {"waived": (2,)}):
            record = running(1, ask=ask, **given)  # type: ignore[arg-type]
            assert refused(acts.approve, record).reason == "it is approved already"

    @pytest.mark.parametrize(
        "kind", [AskKind.NEW_REVISION, AskKind.MONITORING_OUT, AskKind.BOTH_FAILING]
    )
    def test_a_yes_that_lets_the_hold_go_on_can_be_given_again(self, kind: AskKind) -> None:
        record = running(1, ask=Ask(kind, "why", T0), stopped=at(10), waived=(2,))
        going = do(acts.approve, record).record
        assert (going.ask, going.stopped, going.uncounted) == (None, None, NOW - at(10))
        assert (going.approved, going.waived) == ((), (2,))

    def test_whose_pause_it_is(self) -> None:
        assert (
            refused(acts.pause, running(1, paused=Act("bo", T0))).reason == "bo paused it already"
        )

    def test_which_stages_are_before_this_one(self) -> None:
        def back(stage: int) -> str:
            record = running(1)
            found = acts.roll_back_now(
                record, service_of(record), (), NOW, "ada", to_stage=stage, plan=PLAN
            )
            assert isinstance(found, Refusal)
            return found.reason

        assert back(2) == "stage 2 is not before stage 2"
        assert back(0) == "stage 0 is not before stage 2"

    def test_what_a_word_of_a_person_without_a_reason_says(self) -> None:
        record = running(1, ask=APPROVAL)
        service = service_of(record)
        no = acts.reject(PLAN, record, service, NOW, "ada")
        over = acts.cancel_now(PLAN, record, service, NOW, "ada")
        back = acts.roll_back_now(record, service, (), NOW, "ada")
        yes = acts.approve(PLAN, record, service, NOW, "ada")
        early = acts.approve(PLAN, running(1), service, NOW, "ada")
        found = [d.reason for d in (no, over, back, yes, early) if isinstance(d, Decision)]
        assert found == [
            "rejected by ada", "cancelled by ada", "rolled back by ada",
            "100% needs an approval", "stage 3",
        ]  # fmt: skip


class TestTakingItBack:
    def taken(self, record: Record, split: dict[str, int]) -> Record:
        return do(acts.resume, record, split).record

    @pytest.mark.parametrize(("theirs", "safe"), [(20, 20), (80, 50)])
    def test_what_was_measured_of_their_split_is_judged_by_the_lower_weight(
        self, theirs: int, safe: int
    ) -> None:
        going = self.taken(
            running(1, came_from=0, weight_before=10), {OLD: 100 - theirs, NEW: theirs}
        )
        assert going.shift == Shift(NOW, theirs)
        assert (going.weight_before, going.came_from, going.weight) == (safe, 1, 50)

    def test_where_they_gave_the_candidate_nothing(self) -> None:
        going = self.taken(running(1), {"api-7": 100})
        assert (going.shift, going.weight_before) == (Shift(NOW, 0), 0)

    def test_what_nobody_answered_meanwhile_is_asked_from_now_on(self) -> None:
        going = do(acts.resume, running(1, ask=APPROVAL, paused=Act("bo", T0))).record
        assert going.ask == replace(APPROVAL, since=NOW)
        assert going.paused is None

    def test_the_reason_is_the_persons_or_where_the_traffic_is_put(self) -> None:
        record = running(1)
        theirs = service_of(record, {OLD: 80, NEW: 20})
        bare = acts.resume(PLAN, record, theirs, NOW, "ada")
        assert isinstance(bare, Decision)
        assert bare.reason == "put back to api-1 50%, api-2 50%"
        assert do(acts.resume, record, {OLD: 80, NEW: 20}).reason == "because"


class TestBackWithoutARollout:
    def back(self, service: ServiceState, *revisions: RevisionState) -> Decision | Refusal:
        return acts.roll_back_now(None, service, revisions, NOW, "ada", "because")

    def test_of_more_than_two_or_where_one_is_not_known_nothing_is_guessed(self) -> None:
        three = tuple(RevisionState(name, ready=True) for name in (NEW, OLD, "api-0"))
        assert isinstance(self.back(recordless({NEW: 10, OLD: 80, "api-0": 10}), *three), Refusal)
        assert isinstance(self.back(recordless({NEW: 10, OLD: 90}), three[0]), Refusal)

    def test_what_is_already_on_the_tagged_one_is_not_put_there_again(self) -> None:
        service = recordless({OLD: 100})
        tagged = replace(service, targets=(*service.targets, Target(OLD, 0, "rollout-old")))
        refusal = self.back(tagged, RevisionState(OLD, ready=True))
        assert isinstance(refusal, Refusal)

    def test_it_names_five_that_are_ready_and_a_line_with_the_oldest_of_all(self) -> None:
        many = tuple(RevisionState(f"api-{n}", ready=n != 8) for n in range(9, 1, -1))
        refusal = self.back(recordless({"api-9": 100}), *many)
        assert isinstance(refusal, Refusal)
        assert "ready revisions: api-9, api-7, api-6, api-5, api-4; name one" in refusal.mend
        assert refusal.mend.endswith("--to-revision api-2`")
        none = self.back(recordless({"api-9": 100}))
        assert isinstance(none, Refusal)
        assert none.mend.endswith("--to-revision REV`")

    def test_its_record_says_by_whom_and_what_it_left(self) -> None:
        decision = self.back(
            recordless({NEW: 90, OLD: 10}),
            *(RevisionState(name, ready=True) for name in (NEW, OLD)),
        )
        assert isinstance(decision, Decision)
        record = decision.record
        assert (record.candidate, record.stable, record.before) == (NEW, OLD, {OLD: 100})
        assert (record.phase, record.by, record.started) == (Phase.DONE, "ada", NOW)
        assert decision.look_again == timedelta(seconds=10)
        assert [(t.what, t.by) for t in record.transitions] == [("roll back", "ada")]

    def test_an_ended_rollouts_record_ends_as_rolled_back_by_who_did_it(self) -> None:
        promoted = Outcome("promoted", NEW, T0, "good", "", {OLD: 100})
        done = running(2, phase=Phase.DONE, outcomes=(promoted,)).noting(T0, "promoted", "good")
        decision = acts.roll_back_now(done, service_of(done, {NEW: 100}), (), NOW, "ada", "because")
        assert isinstance(decision, Decision)
        assert decision.record.outcomes[:-1] == (promoted,)
        last = decision.record.outcomes[-1]
        assert (last.outcome, last.by, last.before) == ("rolled_back", "ada", {OLD: 100})
        assert last.reason == "rolled back by ada: because"
        assert [t.what for t in decision.record.transitions] == ["promoted", "roll back"]
        assert decision.record.noted == 2


def test_a_roll_back_by_an_older_record_is_watched_where_there_was_a_shift() -> None:
    """Somebody wrote the record of before the first shift back: the candidate has traffic."""
    back = acts.roll_back_now(
        starting(), service_of(starting(), {OLD: 47, NEW: 53}), (), NOW, "ada"
    )
    assert isinstance(back, Decision)
    assert split_asked(back) == {OLD: 100}
    assert back.record.phase is Phase.ROLLING_BACK
    still = service_of(starting(), statuses=(Target(OLD, 47), Target(NEW, 53)))
    served = acts.roll_back_now(starting(), still, (), NOW, "ada")
    assert isinstance(served, Decision)
    assert served.record.phase is Phase.ROLLING_BACK
    never = acts.roll_back_now(starting(), service_of(starting()), (), NOW, "ada")
    assert isinstance(never, Decision)
    assert never.record.phase is Phase.DONE
