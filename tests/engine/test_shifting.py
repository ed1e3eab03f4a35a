"""Around a shift: which stage judges which minute, what begins afresh, what is forgiven."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.engine.decide import decide
from controller.engine.decision import Action, Decision
from controller.engine.decision import State as RolloutState
from controller.engine.events import Message
from controller.engine.observation import (
    Gone,
    NotSeen,
    Observation,
    RevisionState,
    Seen,
    Target,
    Window,
)
from controller.engine.record import Accumulated, Phase, Record, Shift, Trial
from controller.engine.watching import continued, entered, terms_of, warmed_up, windows
from controller.gates.betting import Question
from controller.gates.evidence import Query, Readings, Requests, Value
from controller.gates.history import History
from controller.gates.kernel import wealth_of
from controller.gates.state import State
from controller.gates.tally import Side, Tally
from controller.plan.model import (
    BothFailing,
    Gate,
    Limits,
    Needs,
    OnFail,
    Plan,
    RequestCount,
    Stage,
    When,
)
from tests.engine.builders import (
    ERRORS,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    SLOW,
    at,
    readings,
    rolls_back,
    running,
    service_of,
)
from tests.engine.world import Truth, World, healthy

HALF = timedelta(minutes=30)
# Thirty failures in a hundred are too many for the one, and allowed by the other.
LAX = Limits(maximum=0.35, roll_back=0.40, emergency=0.9)
LOOSER = replace(
    PLAN,
    stages=(Stage(10, HALF), Stage(50, HALF, limits={"errors": LAX}), Stage(100, HALF)),
    gates=(ERRORS,),
)
TIGHTER = replace(
    LOOSER, stages=(Stage(10, HALF, limits={"errors": LAX}), Stage(50, HALF), Stage(100, HALF))
)
NOT_YET = (Target(OLD, 90), Target(NEW, 10))  # what is in force while 50% is only asked for


def seen_at(
    plan: Plan, record: Record, minutes: float, failed: dict[float, int], **service: Any
) -> Decision:
    """Decide at a minute; failed: percent of the candidate's failures from a minute on."""
    now = at(minutes)
    asked = windows(plan, record, now)
    seen: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, window in asked.items():
        found: dict[str, dict[datetime, Value]] = {NEW: {}, OLD: {}}
        for number in range((window.end - window.start) // MINUTE):
            end = window.start + MINUTE * (number + 1)
            since = [percent for start, percent in failed.items() if at(start) < end]
            for name, series in readings(query, [end], since[-1], 0, 10).items():
                found[name].update(series)
        seen[query] = Seen(found)
    observation = Observation(
        Seen(replace(service_of(record), **service)),
        Seen(RevisionState(NEW, ready=True)),
        Seen(RevisionState(OLD, ready=True)),
        seen,
        asked,
    )
    return decide(plan, record, observation, now)


def shifting(plan: Plan, asked_at: float = 35) -> Record:
    """Return a rollout whose second stage is asked for; nothing was read since the beginning."""
    return running(
        1,
        plan,
        in_force=None,
        shift=Shift(at(asked_at), 10),
        came_from=0,
        weight_before=10,
        gates={"errors": Accumulated(at(2))},
    )


class TestUntilTheSplitIsInForce:
    def test_the_stage_before_is_judged_by_its_own_limits(self) -> None:
        strict = seen_at(LOOSER, shifting(LOOSER), 36, {0: 4}, statuses=NOT_YET)
        assert rolls_back(strict)
        assert strict.reason.startswith("while shifting to 50%: errors 4% of ")
        lax = seen_at(TIGHTER, shifting(TIGHTER), 36, {0: 4}, statuses=NOT_YET)
        assert lax.action is Action.WAIT

    def test_its_minutes_are_judged_at_its_own_weight(self) -> None:
        record = shifting(LOOSER)
        assert terms_of(LOOSER, record, ERRORS).weight == 10
        in_force = seen_at(LOOSER, record, 36, {0: 0}).record
        assert terms_of(LOOSER, in_force, ERRORS).weight == 50

    def test_a_fail_seen_with_the_split_in_force_still_rolls_back(self) -> None:
        assert rolls_back(seen_at(LOOSER, shifting(LOOSER), 36, {0: 4}))

    def test_before_the_first_shift_is_in_force_nothing_is_judged(self) -> None:
        record = running(0, in_force=None, shift=Shift(at(0), 0), came_from=-1)
        assert windows(PLAN, record, at(20)) == {}


class TestTheTail:
    """Minutes of the stage before that Monitoring tells of only after the shift."""

    def entered(self, plan: Plan, failed: dict[float, int]) -> Record:
        """Return the record with 50% in force since minute 36, its last four minutes unread."""
        decision = seen_at(plan, shifting(plan), 36, failed)
        assert decision.record.in_force == at(36)
        return decision.record

    def test_they_are_judged_by_the_stage_before(self) -> None:
        failed: dict[float, int] = {0: 0, 27: 30, 37: 0}  # until the split has settled
        strict = seen_at(LOOSER, self.entered(LOOSER, failed), 41, failed)
        assert rolls_back(strict)
        assert strict.reason.startswith("at 50%: errors proved by its last minutes")
        lax = seen_at(TIGHTER, self.entered(TIGHTER, failed), 41, failed)
        assert not rolls_back(lax)

    def test_they_are_no_part_of_the_new_stages_sample(self) -> None:
        record = seen_at(LOOSER, self.entered(LOOSER, {0: 0}), 41, {0: 0}).record
        assert record.gates["errors"].watermark == at(37)
        assert record.gates["errors"].state.tally == Tally()
        later = seen_at(LOOSER, record, 44, {0: 0}).record
        assert later.gates["errors"].state.tally.candidate.minutes == 3

    def test_latency_and_arrival_leave_out_the_minutes_of_warming_up(self) -> None:
        record = self.entered(PLAN, {0: 0})
        assert warmed_up(PLAN, record, ERRORS) == at(37)
        assert warmed_up(PLAN, record, SLOW) == at(39)

    def test_what_arrived_at_the_old_weight_is_not_missed_at_the_new_one(self) -> None:
        world = World(replace(PLAN, stages=(Stage(1, HALF), Stage(90, HALF), Stage(100, HALF))))
        world.run(50)
        assert world.moves == [("shift", 90)]


class TestOnceEach:
    @pytest.mark.parametrize("every", [1, 3, 7, 20])
    def test_looking_more_often_changes_nothing(self, every: int) -> None:
        """What was read in pieces is what would have been read at once, to the last digit."""
        truth: Truth = lambda minute, _share: (0.004 + 0.0001 * minute, 0.003)  # noqa: E731
        record = at_once = running(1)
        world = World(PLAN, truth, stage=1)
        for minute in range(0, 30, every):
            record = world_look(world, record, minute)
        record, at_once = world_look(world, record, 30), world_look(world, at_once, 30)
        assert record.gates == at_once.gates

    def test_a_window_that_reaches_back_adds_nothing(self) -> None:
        record = seen_at(LOOSER, running(0, LOOSER), 20, {0: 0}).record
        asked = windows(LOOSER, record, at(21))
        query = next(query for query in asked if isinstance(query, Requests))
        wide = Window(at(0), asked[query].end)
        ends = [at(number) for number in range(1, 18)]
        observation = Observation(
            Seen(service_of(record)),
            Seen(RevisionState(NEW, ready=True)),
            Seen(RevisionState(OLD, ready=True)),
            {query: Seen(readings(query, ends, 0, 0))},
            {query: wide},
        )
        again = decide(LOOSER, record, observation, at(21)).record
        before = record.gates["errors"].state.tally.candidate.minutes
        assert again.gates["errors"].state.tally.candidate.minutes == before + 1


def world_look(world: World, record: Record, minute: float) -> Record:
    """Return the record after one look at a world that stands still."""
    world.now, world.record = at(minute), record
    return world.tick().record


class TestAGateOfSomeStages:
    ONLY_LATER = replace(ERRORS, stages=frozenset({50}))
    PLAN = replace(PLAN, gates=(ONLY_LATER, SLOW))

    def test_it_starts_where_its_stage_has_settled(self) -> None:
        world = World(self.PLAN, lambda _m, share: (0.3, 0.001) if share < 0.3 else (0.0, 0.0))
        world.run(60)
        assert world.moves == [("shift", 50)]  # what it did at 10% is nobody's business
        record = world.record
        assert record.in_force is not None
        state = record.gates["errors"].state
        assert state.failed is None
        assert state.tally.candidate.hits == 0
        assert state.tally.candidate.minutes == (
            (record.gates["errors"].watermark - warmed_up(self.PLAN, record, ERRORS)) / MINUTE
        )

    def test_returning_to_a_stage_it_judges_it_does_not_judge_the_time_between(self) -> None:
        first = replace(ERRORS, stages=frozenset({10, 100}))
        plan = replace(PLAN, gates=(first, SLOW))
        known = Accumulated(at(-60), State(Tally(Side(5, 500, 5), Side())))
        record = running(2, plan, came_from=1, gates={"errors": known})
        fresh = entered(plan, record)["errors"]
        assert fresh.watermark == at(1)  # a minute to settle, and nothing before
        assert fresh.state.tally == Tally()

    def test_a_gate_that_goes_on_keeps_its_watermark(self) -> None:
        known = Accumulated(at(-3), State(Tally(Side(5, 500, 5), Side())))
        record = running(1, PLAN, came_from=0, gates={"errors": known})
        assert entered(PLAN, record)["errors"].watermark == at(-3)


class TestSteppingBack:
    PLAN = replace(
        PLAN,
        stages=(Stage(10, HALF), Stage(50, HALF), Stage(100, HALF)),
        gates=(replace(ERRORS, on_fail=OnFail.STEP_BACK),),
    )

    @staticmethod
    def bad_at_50(until: float) -> Truth:
        def truth(minute: float, share: float) -> tuple[float, float]:
            return (0.08 if share > 0.3 and minute < until else 0.001), 0.001

        return truth

    def test_what_it_failed_by_is_forgiven_and_the_stage_before_begins_anew(self) -> None:
        world = World(self.PLAN, self.bad_at_50(999), stage=1).run(30)
        assert world.moves == [("step_back", 10)]
        assert world.record.stepped_back == (1,)
        state = world.record.gates["errors"].state
        assert (state.failed, state.failing_since) == (None, None)
        assert world.record.in_force is not None
        assert world.record.in_force > at(0)

    def test_the_minutes_before_the_step_do_not_step_back_once_more(self) -> None:
        """Four minutes of the higher weight are told of only after the step."""
        world = World(self.PLAN, self.bad_at_50(999), stage=1).run(40)
        assert world.moves == [("step_back", 10)]
        assert world.in_force == 10

    @pytest.mark.parametrize("seconds", [20, 180, 600])
    def test_however_slow_the_step_and_however_calm_stable_was(self, seconds: int) -> None:
        """The worst case: every minute may say much, and many are still at the higher weight."""
        slow = timedelta(seconds=seconds)
        world = World(self.PLAN, self.bad_at_50(40), stage=1, reconcile=slow)
        calm = {"errors": History(1.0, 900.0, None, 0.002)}
        world.record = replace(world.record, history=calm)
        world.run(200)
        assert ("roll_back", 0) not in world.moves
        assert world.moves[0] == ("step_back", 10)

    def test_an_emergency_while_it_steps_back_rolls_back(self) -> None:
        def worse(minute: float, share: float) -> tuple[float, float]:
            return ((1.0 if minute > 12 else 0.08) if share > 0.3 else 0.001), 0.001

        world = World(self.PLAN, worse, stage=1, reconcile=timedelta(minutes=12)).run(60)
        assert world.moves == [("step_back", 10), ("roll_back", 0)]
        assert "emergency limit 50%" in world.record.outcomes[-1].reason

    def test_another_gate_is_judged_while_it_steps_back(self) -> None:
        strict = replace(ERRORS, name="strict", limits=Limits(0.09, None, 0.10))
        plan = replace(self.PLAN, gates=(*self.PLAN.gates, strict))

        def worse(minute: float, share: float) -> tuple[float, float]:
            return ((0.4 if minute > 12 else 0.05) if share > 0.3 else 0.001), 0.001

        world = World(plan, worse, stage=1, reconcile=timedelta(minutes=12)).run(60)
        assert world.moves == [("step_back", 10), ("roll_back", 0)]
        assert "strict" in world.record.outcomes[-1].reason

    def test_the_second_fail_rolls_back(self) -> None:
        world = World(self.PLAN, self.bad_at_50(999), stage=1).run(120)
        assert world.moves == [("step_back", 10), ("shift", 50), ("roll_back", 0)]

    def test_mended_it_goes_on_to_the_end(self) -> None:
        world = World(self.PLAN, self.bad_at_50(20), stage=1).run(240)
        assert [move for move in world.moves if move[0] != "ask"] == [
            ("step_back", 10),
            ("shift", 50),
            ("shift", 100),
            ("promote", 100),
        ]

    def test_from_the_first_stage_it_rolls_back(self) -> None:
        world = World(self.PLAN, lambda _m, share: (0.08, 0.001), stage=0).run(60)
        assert world.moves == [("roll_back", 0)]


class TestEarly:
    REQUESTS = Gate("requests", RequestCount(), Limits(minimum=2000), None)

    def plan(self, *gates: Gate, needs: Needs = Needs.SAMPLE) -> Plan:
        day = timedelta(days=1)
        stages = (Stage(10, day, early=True), Stage(50, day), Stage(100, day))
        evidence = replace(PLAN.evidence, needs=needs)
        return replace(PLAN, stages=stages, gates=gates, evidence=evidence)

    def test_a_stage_is_left_as_soon_as_all_is_proved(self) -> None:
        world = World(self.plan(ERRORS, SLOW), healthy).run(60)
        assert world.moves == [("shift", 50)]
        assert world.when(Action.SHIFT) < 30
        reason = next(d.reason for _, d in world.told if d.action is Action.SHIFT)
        assert reason.startswith("proved: errors ")

    def test_what_is_not_proved_keeps_it(self) -> None:
        at_limit = World(self.plan(ERRORS), lambda _m, _s: (0.0095, 0.0095)).run(120)
        assert at_limit.moves == []

    def test_a_condition_to_advance_keeps_it_too(self) -> None:
        world = World(self.plan(ERRORS, self.REQUESTS), healthy).run(60)
        assert 20 < world.when(Action.SHIFT) < 35  # 2,000 requests at a hundred a minute

    def test_a_gate_that_only_observes_keeps_nothing(self) -> None:
        strict = Limits(maximum=0.0001, roll_back=0.0002)
        observed = replace(ERRORS, name="watched", limits=strict, on_fail=OnFail.OBSERVE)
        world = World(self.plan(ERRORS, observed), healthy).run(60)
        assert world.moves == [("shift", 50)]
        assert world.when(Action.SHIFT) < 30

    def test_other_stages_wait_for_their_hold(self) -> None:
        world = World(self.plan(ERRORS), healthy).run(300)
        assert world.moves == [("shift", 50)]

    def test_proof_can_be_asked_of_every_stage(self) -> None:
        plan = replace(self.plan(ERRORS, needs=Needs.PROOF), stages=LOOSER.stages)
        thin = World(plan, healthy, requests=40).run(60)  # four requests a minute
        assert thin.moves == []
        assert World(plan, healthy).run(60).moves == [("shift", 50)]


def test_what_stable_was_like_is_known_to_every_stage() -> None:
    known = {"errors": History(1.0, 900.0, None, 0.002)}
    for stage, weight in enumerate((10, 50, 100)):
        terms = terms_of(PLAN, running(stage, history=known), ERRORS)
        assert (terms.weight, terms.history) == (weight, known["errors"])


def test_at_100_a_candidate_worse_than_stables_last_day_is_rolled_back() -> None:
    known = {"errors": History(1.0, 900.0, None, 0.002)}
    alone = replace(PLAN, when=When(both_failing=BothFailing.HOLD))
    world = World(alone, lambda _m, _s: (0.05, 0.0), stage=2)
    world.record = replace(world.record, history=known)
    world.run(40)
    assert world.moves == [("roll_back", 0)]
    assert "worse than stable in its last 24 h" in next(
        d.reason for _, d in world.told if d.action is Action.ROLL_BACK
    )


def test_at_100_it_is_tried_beside_live_stable_before_it_is_blamed() -> None:
    known = {"errors": History(1.0, 900.0, None, 0.002)}
    world = World(PLAN, lambda _m, _s: (0.05, 0.0), stage=2)
    world.record = replace(world.record, history=known)
    world.run(60)
    assert world.moves == [("step_back", 50), ("roll_back", 0)]


def test_the_wealth_of_one_stage_counts_in_the_next() -> None:
    world = World(PLAN, lambda _m, _share: (0.009, 0.001))
    world.record = replace(world.record, stage=0)
    while world.record.stage == 0 and world.minute < 60:
        world.tick()
    before = world.record.gates["errors"].state.log_evidence(Question.STABLE)
    assert before > 1
    while world.record.shift is not None:
        world.tick()
    after = world.record.gates["errors"].state
    assert after.tally == Tally()
    assert after.log_evidence(Question.STABLE) == before


def failing_midway() -> tuple[Record, dict[Query, Seen[Readings] | NotSeen], dict[Query, Window]]:
    """Return a shift not yet in force, and what tells that the stage before it failed."""
    record = replace(
        running(1, LOOSER), shift=Shift(at(0), 10), in_force=None, came_from=0, weight_before=10
    )
    record = replace(record, gates={"errors": Accumulated(at(-20))})
    asked = dict(windows(LOOSER, record, at(5)))
    seen: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, window in asked.items():
        count = (window.end - window.start) // MINUTE
        ends = [window.start + MINUTE * (n + 1) for n in range(count)]
        seen[query] = Seen(readings(query, ends, 30, 0, 10))
    return record, seen, asked


def shouts(decision: Decision) -> list[str]:
    return [e.text for e in decision.events if isinstance(e, Message) and e.level == "shout"]


def test_what_fails_while_shifting_is_shouted_where_there_is_no_way_back() -> None:
    """Traffic moved onto a stable that is not ready would fail all of it."""
    record, seen, asked = failing_midway()
    for ready in (True, False):
        decision = decide(
            LOOSER,
            record,
            Observation(
                Seen(service_of(record, statuses=NOT_YET, reconciling=True)),
                Seen(RevisionState(NEW, ready=True)),
                Seen(RevisionState(OLD, ready=ready, why="its image is gone")),
                seen,
                asked,
            ),
            at(5),
        )
        assert rolls_back(decision) is ready
        assert bool(shouts(decision)) is not ready


def test_what_fails_is_shouted_where_a_person_took_the_traffic_in_the_middle_of_a_shift() -> None:
    record, seen, asked = failing_midway()
    taken = service_of(record, targets=(Target(OLD, 70), Target(NEW, 30)))
    revisions = (Seen(RevisionState(NEW, ready=True)), Seen(RevisionState(OLD, ready=True)))
    decision = decide(LOOSER, record, Observation(Seen(taken), *revisions, seen, asked), at(5))
    assert decision.state is RolloutState.TAKEN_OVER
    assert decision.write is None
    assert decision.unanswered.startswith("errors 30% of ")
    (told,) = shouts(decision)
    assert decision.unanswered in told


@pytest.mark.parametrize(("to_advance", "kept"), [(0.01, True), (0.005, False)])
def test_a_proof_for_another_limit_is_no_proof_in_the_next_stage(
    to_advance: float,
    kept: bool,  # noqa: FBT001
) -> None:
    """Within 1% says nothing of within 0.5%."""
    own = Limits(maximum=to_advance, roll_back=0.02, emergency=0.5)
    plan = replace(LOOSER, stages=(Stage(10, HALF), Stage(50, HALF, limits={"errors": own})))
    proved = State(wealth={Question.PROOF: wealth_of(5.0, ()), Question.LIMIT: wealth_of(1.0, ())})
    record = running(1, plan, came_from=0, gates={"errors": Accumulated(at(0), proved)})
    state = entered(plan, record)["errors"].state
    assert (Question.PROOF in state.wealth) is kept
    assert Question.LIMIT in state.wealth


def test_another_writers_test_is_not_overwritten_by_evidence_of_another_weight() -> None:
    """What this process absorbed at 50% is no evidence of what a test lowered to 10%."""
    known = running(1, LOOSER, gates={"errors": Accumulated(at(20))})
    trial = Trial("errors", at(15), 0.1)
    tested = replace(
        known, weight=10, tried=(1,), trial=trial, gates={"errors": Accumulated(at(16))}
    )
    assert continued(LOOSER, known, known, at(21)).gates["errors"].watermark == at(20)
    assert continued(LOOSER, known, tested, at(21)).gates["errors"].watermark == at(16)


def test_a_shift_that_fails_with_no_way_back_asks_and_is_written_once() -> None:
    """Writing it every 15 seconds tells nobody anything."""
    record = replace(running(1, LOOSER), shift=Shift(at(0), 10), in_force=None, came_from=0)
    decisions = []
    for minute in (16, 16.5, 17):
        seen = Observation(
            Seen(service_of(record, statuses=NOT_YET)),
            Seen(RevisionState(NEW, ready=True)),
            Gone("api-1 was deleted"),
        )
        decisions.append(decide(LOOSER, replace(record, at=at(15)), seen, at(minute)))
        record = decisions[-1].record
    assert [one.write is not None for one in decisions] == [True, False, False]
    assert [one.state for one in decisions] == [RolloutState.ASKING] * 3
    assert record.ask is not None
    assert record.ask.reason.startswith("no way back: stable api-1 was deleted")
    assert all(any(isinstance(e, Message) for e in one.events) for one in decisions)


def test_a_promotion_that_cannot_come_into_force_asks_where_there_is_no_way_back() -> None:
    record = replace(
        running(1, LOOSER), phase=Phase.PROMOTING, weight=100, shift=Shift(at(0), 50), came_from=1
    )
    seen = Observation(
        Seen(service_of(record, statuses=NOT_YET, ready=False)),
        Gone("api-2 was deleted"),
        Gone("api-1 was deleted"),
    )
    decision = decide(LOOSER, record, seen, at(1))
    assert decision.state is RolloutState.ASKING
    assert decision.only_a_person
