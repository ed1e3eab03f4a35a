"""How a rollout begins, what it goes on with, and why it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.engine.begin import (
    Attach,
    Beginning,
    Nothing,
    Wish,
    begin,
    choose_candidate,
    is_under_way,
    pinned,
    runs_image,
)
from controller.engine.decision import Action, Decision, Refusal
from controller.engine.deploying import deploying
from controller.engine.events import Started
from controller.engine.observation import (
    Container,
    RevisionState,
    ServiceName,
    ServiceState,
    Target,
    Template,
)
from controller.engine.record import Outcome, Phase, Record, Shift, Transition
from controller.gates.history import History
from controller.plan.compact import digest, to_json
from controller.plan.model import (
    Candidate,
    Check,
    Expect,
    Form,
    Gate,
    Limits,
    Notify,
    Plan,
    Ref,
    ResponseRate,
    Stage,
    Text,
)

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = "api-1", "api-2"
HOLD = timedelta(minutes=30)
PLAN = Plan("api", "demo", "us-central1", Candidate(), (Stage(10, HOLD), Stage(100, HOLD)))
HEALTH = Check("health", "GET", Text((Ref("candidate.url"), "/health")), Expect())
OTHER = replace(PLAN, stages=(Stage(10, HOLD), Stage(50, HOLD), Stage(100, HOLD)))


def service(*targets: Target, **changes: Any) -> ServiceState:
    shown = targets or (Target(None, 100), Target("api-0", 0, "preview"))
    plain = ServiceState(
        name=ServiceName("demo", "us-central1", "api"),
        uid="uid",
        generation=7,
        reconciling=False,
        targets=shown,
        statuses=shown,
        ready=True,
        ready_message="",
        latest_ready=OLD,
        latest_created=NEW,
        record_text=None,
    )
    return replace(plain, **changes)


def begun(
    plan: Plan = PLAN,
    on: ServiceState | None = None,
    record: Record | None = None,
    candidate: RevisionState | None = None,
    stable: RevisionState | None = RevisionState(OLD, ready=True),  # noqa: B008 - frozen
    **wish: Any,
) -> Beginning:
    revision = candidate or RevisionState(NEW, ready=True)
    return begin(Wish(plan, "ada", "r2", **wish), on or service(), revision, stable, record, T0)


def started() -> Record:
    first = begun()
    assert isinstance(first, Decision)
    return first.record


def refusal(beginning: Beginning) -> Refusal:
    assert isinstance(beginning, Refusal), beginning
    assert beginning.reason
    return beginning


def test_the_first_write_moves_no_traffic_pins_latest_and_sets_both_tags() -> None:
    decision = begun()
    assert isinstance(decision, Decision)
    assert decision.action is Action.START
    assert decision.write is not None
    assert not decision.write.raises
    assert decision.write.targets == (
        Target(OLD, 100),
        Target("api-0", 0, "preview"),
        Target(NEW, 0, "rollout-new"),
        Target(OLD, 0, "rollout-old"),
    )


def test_several_serving_revisions_are_all_the_way_back() -> None:
    split = service(Target(OLD, 70), Target("api-0", 30))
    decision = begun(on=split)
    assert isinstance(decision, Decision)
    assert decision.record.before == {OLD: 70, "api-0": 30}
    assert decision.record.stable == OLD


def test_the_same_plan_and_candidate_are_gone_on_with() -> None:
    assert isinstance(begun(record=started()), Attach)


def test_another_plan_is_refused_with_what_changed_unless_replanned() -> None:
    assert "--replan" in refusal(begun(OTHER, record=started())).mend
    attached = begun(OTHER, record=started(), replan=True)
    assert isinstance(attached, Attach)
    assert attached.decision is not None
    assert attached.plan == pinned(OTHER, NEW)


def test_the_same_candidate_named_another_way_is_the_same_plan() -> None:
    by_name = replace(PLAN, candidate=Candidate(revision=NEW))
    assert isinstance(begun(by_name, record=started()), Attach)


def test_a_stage_already_reached_cannot_be_replanned() -> None:
    record = replace(started(), stage=0, weight=10, phase=Phase.RUNNING)
    first = replace(PLAN, stages=(Stage(20, HOLD), Stage(100, HOLD)))
    split = service(Target(OLD, 90), Target(NEW, 10))
    refusal(begun(first, on=split, record=record, replan=True))


def test_a_gate_of_a_stage_already_reached_cannot_be_loosened_by_a_replan() -> None:
    rate = ResponseRate(("5xx",), counts_failures=True)
    gate = Gate("errors", rate, Limits(maximum=0.01, roll_back=0.02), None)
    first = begun(replace(PLAN, gates=(gate,)))
    assert isinstance(first, Decision)
    record = replace(first.record, stage=0, weight=10, phase=Phase.RUNNING)
    loose = replace(PLAN, gates=(replace(gate, limits=Limits(maximum=0.5, roll_back=0.6)),))
    split = service(Target(OLD, 90), Target(NEW, 10))
    refusal(begun(loose, on=split, record=record, replan=True))


def test_a_replan_writes_nothing_over_another_hands_traffic() -> None:
    record = replace(started(), stage=0, weight=10, phase=Phase.RUNNING)
    split = service(Target(OLD, 97), Target(NEW, 3))
    attached = begun(OTHER, on=split, record=record, replan=True)
    assert isinstance(attached, Attach)
    assert attached.decision is None


def test_a_candidate_that_serves_already_is_refused_because_the_first_write_moves_nothing() -> None:
    refusal(begun(on=service(Target(OLD, 95), Target(NEW, 5))))


def test_another_candidate_is_refused_or_replaces_the_first_by_rolling_it_back() -> None:
    record = replace(started(), candidate="api-9", stage=0, weight=10, phase=Phase.RUNNING)
    assert "--replace" in refusal(begun(record=record)).mend
    decision = begun(record=record, replace=True)
    assert isinstance(decision, Decision)
    assert decision.action is Action.ROLL_BACK


def test_a_candidate_that_was_rolled_back_is_refused_with_3_unless_again() -> None:
    ended = Outcome("rolled_back", NEW, T0, "errors 5%")
    record = replace(started(), phase=Phase.DONE, outcomes=(ended,))
    refused = refusal(begun(record=record))
    assert refused.exit_code == 3
    assert "errors 5%" in refused.reason
    again = begun(record=record, again=True)
    assert isinstance(again, Decision)
    assert again.record.outcomes == (ended,)


def test_a_candidate_that_was_promoted_and_serves_has_nothing_to_do() -> None:
    ended = Outcome("promoted", NEW, T0, "good")
    record = replace(started(), phase=Phase.DONE, outcomes=(ended,))
    assert isinstance(begun(on=service(Target(NEW, 100)), record=record), Nothing)
    # Where several regions are tried again, one of them may have gone well.
    again = begun(on=service(Target(NEW, 100)), record=record, again=True)
    assert isinstance(again, Nothing)


def test_our_tag_without_a_record_is_a_vanished_record_not_a_new_start() -> None:
    tagged = service(Target(OLD, 90), Target(NEW, 10), Target(NEW, 0, "rollout-new"))
    assert refusal(begun(on=tagged)).exit_code == 6


def test_the_record_of_a_service_made_anew_is_ignored() -> None:
    assert isinstance(begun(record=replace(started(), uid="other")), Decision)


def test_what_cannot_start_says_why() -> None:
    unready = RevisionState(NEW, ready=False, why="crash")
    assert "crash" in refusal(begun(candidate=unready)).reason
    assert "no way back" in refusal(begun(stable=None)).reason
    dead = RevisionState(OLD, ready=False, why="crash")
    assert "no way back" in refusal(begun(stable=dead)).reason
    assert "already" in refusal(begun(on=service(Target(NEW, 100)))).reason
    ahead = service(Target(OLD, 80), Target(NEW, 20))
    assert "20%" in refusal(begun(on=ahead)).reason


def test_a_plan_that_needs_a_url_is_told_where_no_tag_fits() -> None:
    long = service(name=ServiceName("demo", "us-central1", "x" * 40))
    assert "tag" in refusal(begun(replace(PLAN, checks=(HEALTH,)), on=long)).mend
    decision = begun(on=long)
    assert isinstance(decision, Decision)
    assert decision.write is not None
    assert not {t.tag for t in decision.write.targets} & {"rollout-new", "rollout-old"}


def test_the_candidate_is_the_one_named_tagged_or_latest() -> None:
    revisions = (RevisionState(NEW, ready=True), RevisionState(OLD, ready=True))

    def chosen(candidate: Candidate) -> str | Refusal:
        return choose_candidate(replace(PLAN, candidate=candidate), service(), revisions)

    assert chosen(Candidate()) == OLD
    assert chosen(Candidate(revision=NEW)) == NEW
    assert chosen(Candidate(tag="preview")) == "api-0"
    wrong = chosen(Candidate(revision="api-22"))
    assert isinstance(wrong, Refusal)
    assert NEW in wrong.mend
    untagged = chosen(Candidate(tag="blue"))
    assert isinstance(untagged, Refusal)
    assert "preview" in untagged.mend


RATE = ResponseRate(("5xx",), counts_failures=True)
ERRORS = Gate("errors", RATE, Limits(maximum=0.01, roll_back=0.02), None)


def test_a_stage_that_was_stepped_back_from_cannot_be_replanned() -> None:
    """Its limits still hold while the shift back is not in force."""
    record = replace(started(), stage=0, weight=10, phase=Phase.RUNNING, came_from=1)
    shorter = replace(PLAN, stages=(Stage(10, HOLD), Stage(50, HOLD)))
    split = service(Target(OLD, 90), Target(NEW, 10))
    refused = refusal(begun(shorter, on=split, record=record, replan=True))
    assert refused.reason == "the change touches a stage already reached"


def test_the_day_before_of_a_gate_that_asks_something_else_now_is_forgotten() -> None:
    """The usual share of one code is a wrong answer for another's."""
    first = begun(replace(PLAN, gates=(ERRORS, replace(ERRORS, name="other"))))
    assert isinstance(first, Decision)
    usual = {"errors": History(1.0, 1000.0, None, 0.001), "other": History()}
    record = replace(first.record, history=usual)
    changed = replace(ERRORS, metric=ResponseRate(("429",), counts_failures=True))
    after = replace(PLAN, gates=(changed, replace(ERRORS, name="other")))
    attached = begun(after, record=record, replan=True)
    assert isinstance(attached, Attach)
    assert set(attached.record.history) == {"other"}


class TestTheFirstRecord:
    def test_it_holds_what_the_rollout_is_of_and_nothing_of_what_will_be_measured(self) -> None:
        record = started()
        plan = pinned(PLAN, NEW)
        assert record == Record(
            rollout="r2", uid="uid", plan=to_json(plan), digest=digest(plan), candidate=NEW,
            stable=OLD, before={OLD: 100}, started=T0, by="ada", shift=Shift(T0, 0), told=(NEW,),
            transitions=(Transition(T0, "started", f"beside {OLD} 100%", "ada"),), noted=1,
        )  # fmt: skip

    def test_the_greatest_of_those_that_serve_is_stable_of_equals_the_first_by_name(self) -> None:
        for split, stable in (
            ({"api-0": 20, "api-7": 80}, "api-7"),
            ({OLD: 50, "api-0": 50}, "api-0"),
        ):
            targets = (Target(name, percent) for name, percent in split.items())
            decision = begun(on=service(*targets))
            assert isinstance(decision, Decision)
            assert decision.record.stable == stable
            assert decision.write is not None
            assert Target(stable, 0, "rollout-old") in decision.write.targets

    def test_what_an_ended_rollout_left_behind_is_gone_on_from(self) -> None:
        ended = Outcome("cancelled", NEW, T0, "why")
        old = replace(started(), phase=Phase.DONE, outcomes=(ended,), seq=9)
        decision = begun(record=old)
        assert isinstance(decision, Decision)
        assert (decision.record.outcomes, decision.record.seq) == ((ended,), 9)

    def test_the_reason_is_the_persons_and_who_waits_for_a_region_says_so(self) -> None:
        decision = begun(reason="hotfix", after="us-central1")
        assert isinstance(decision, Decision)
        assert decision.record.transitions[0].reason == "hotfix"
        assert decision.record.after == "us-central1"
        nobody = begun(on=service(latest_created=None))
        assert isinstance(nobody, Decision)
        assert nobody.record.told == ()

    def test_what_is_told_of_it(self) -> None:
        old = RevisionState(OLD, ready=True, facts={"image": "a:1", "env X": "1", "cpu": "1"})
        new = RevisionState(NEW, ready=True, facts={"image": "a:2", "cpu": "1", "memory": "1Gi"})
        decision = begun(candidate=new, stable=old)
        assert isinstance(decision, Decision)
        (event,) = decision.events
        assert isinstance(event, Started)
        assert (event.service, event.candidate, event.stable) == ("api", NEW, OLD)
        assert event.stages == ((10, HOLD), (100, HOLD))
        assert not event.attached
        assert event.changed == ("env X: 1 → -", "image: a:1 → a:2", "memory: - → 1Gi")
        assert decision.reason == "record written, no traffic moved"
        assert decision.look_again == timedelta(seconds=10)


class TestWhatIsSaidOfARefusal:
    def test_where_there_is_nothing_to_compare_with(self) -> None:
        alone = service(Target(NEW, 100))
        said = refusal(begun(on=replace(alone, generation=1))).reason
        assert said.startswith(
            "api-2 is this service's first revision: there is nothing to compare"
        )
        for other in (alone, replace(alone, generation=1, latest_created="api-3")):
            said = refusal(begun(on=other)).reason
            assert said == "api-2 serves everything already and was never rolled out"
        nobody = service(Target(NEW, 0, "new"))
        assert refusal(begun(on=nobody)).reason.startswith("no revision serves")

    def test_what_cannot_be_rolled_out_at_all(self) -> None:
        for grave in ("several regions serve it", "Cloud Functions made it"):
            unusual = service(unusual=("session affinity is on", grave))
            assert (
                refusal(begun(on=unusual)).reason == f"this service cannot be rolled out: {grave}"
            )
        assert isinstance(begun(on=service(unusual=("session affinity is on",))), Decision)

    def test_which_urls_need_a_tag(self) -> None:
        both = replace(HEALTH, name="old", url=Text((Ref("stable.url"),)))
        long = service(name=ServiceName("demo", "us-central1", "x" * 40))
        said = refusal(begun(replace(PLAN, checks=(HEALTH, both)), on=long)).reason
        assert said.startswith("the checks need candidate.url and stable.url, but")

    def test_what_is_known_of_the_readiness_of_both(self) -> None:
        unknown = RevisionState(NEW, ready=None)
        assert isinstance(begun(candidate=unknown), Decision)
        gone = refusal(begun(stable=None)).reason
        assert gone == "there is no way back: stable is not ready: it does not exist"

    def test_where_no_revision_is_meant(self) -> None:
        nothing = service(latest_ready=None)
        said = choose_candidate(PLAN, nothing, ())
        assert isinstance(said, Refusal)
        assert said.reason == "no revision of the service is ready"
        named = replace(PLAN, candidate=Candidate(revision="api-7"))
        assert choose_candidate(named, service(), ()) == "api-7"
        far = choose_candidate(
            named, service(), tuple(RevisionState(f"zz{n}", ready=True) for n in range(5))
        )
        assert isinstance(far, Refusal)
        assert far.mend == "nearest: zz0, zz1, zz2"
        latest = replace(PLAN, candidate=Candidate(tag="next"))
        assert choose_candidate(latest, service(Target(None, 0, "next")), ()) == OLD


class TestGoingOn:
    def test_one_that_was_rolled_back_and_serves_again_is_still_refused(self) -> None:
        ended = Outcome("rolled_back", NEW, T0, "errors")
        record = replace(started(), phase=Phase.DONE, outcomes=(ended,))
        split = service(Target(NEW, 100))
        assert refusal(begun(on=split, record=record)).exit_code == 3

    def test_one_that_was_promoted_and_lost_its_traffic_since_begins_anew(self) -> None:
        ended = Outcome("promoted", NEW, T0, "well")
        other = Outcome("rolled_back", "api-9", T0, "errors")
        record = replace(started(), phase=Phase.DONE, outcomes=(ended, other))
        assert isinstance(begun(record=record), Decision)

    def test_its_last_outcome_counts(self) -> None:
        both = (Outcome("rolled_back", NEW, T0, "errors"), Outcome("cancelled", NEW, T0, "why"))
        record = replace(started(), phase=Phase.DONE, outcomes=both)
        assert isinstance(begun(record=record), Decision)
        assert refusal(begun(record=replace(record, outcomes=both[::-1]))).exit_code == 3

    def test_a_replan_says_what_changed_by_whom_and_what_was_told_stays_told(self) -> None:
        team = Notify("team", Form.SLACK, "env:HOOK")
        first = begun(replace(PLAN, notify=(team,)))
        assert isinstance(first, Decision)
        record = replace(first.record, heard={"team": 1}, noted=7)
        wanted = replace(OTHER, notify=(team, replace(team, name="new")))
        attached = begun(wanted, record=record, replan=True)
        assert isinstance(attached, Attach)
        assert attached.decision is not None
        after = attached.decision.record
        assert after.heard == {"team": 1, "new": 7}
        assert (after.plan, after.digest) == (
            to_json(pinned(wanted, NEW)),
            digest(pinned(wanted, NEW)),
        )
        assert [(t.what, t.by) for t in after.transitions[1:]] == [("replanned", "ada")]
        assert replace(attached.record, transitions=after.transitions, noted=after.noted) == after

    def test_whose_plan_or_candidate_is_wished_for_is_under_way(self) -> None:
        record = started()

        def under_way(plan: Plan = PLAN, image: str = "", **changes: Any) -> bool:
            return is_under_way(
                Wish(plan, "ada", "r2", image=image), replace(record, **changes), service()
            )

        assert under_way()
        assert not under_way(OTHER)
        assert under_way(replace(OTHER, candidate=Candidate(revision=NEW)))
        assert not under_way(uid="other")
        assert not under_way(phase=Phase.DONE)
        assert not under_way(image="app:2")
        made = deploying(
            "api", "app:2", Template(7, (Container("m", "app:1", takes_requests=True),), "")
        )
        assert under_way(
            image="app:2", candidate=made.revision, digest=digest(pinned(PLAN, made.revision))
        )
        assert not runs_image(
            replace(record, candidate=made.revision, phase=Phase.DONE), service(), "app:2"
        )
