"""Both revisions fail: is it an incident, or the candidate? A test finds out, once a stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine.acts import pause, resume
from controller.engine.decision import Action, Decision, State
from controller.engine.observation import Seen, Target
from controller.engine.record import AskKind, Phase
from controller.gates.history import History
from controller.plan.model import (
    BothFailing,
    Limits,
    OnFail,
    Plan,
    Stage,
    Then,
    Versus,
    WhenMonitoringOut,
    WhenNobodyAnswers,
)
from tests.engine.builders import ERRORS, NEW, OLD, PLAN, at, look, rolls_back, service_of
from tests.engine.world import LONG, Truth, World, incident, poison, with_

HOUR = 60


def in_trial(stage: int = 1, plan: Plan = LONG, **world: object) -> World:
    """Return a poisoned world with its test in force."""
    found = World(plan, poison(), stage=stage, **world)  # type: ignore[arg-type]
    while found.record.trial is None or found.record.shift is not None:
        found.tick()
    return found


class TestWhenItIsMade:
    def test_near_a_shift_the_weight_is_lowered_to_the_stage_before(self) -> None:
        world = World(LONG, incident(5, 60), stage=1).run(25)
        assert world.moves == [("step_back", 10)]
        assert "test at 10%" in world.notes
        assert world.record.stage == 1

    def test_from_the_first_stage_it_is_lowered_to_nothing(self) -> None:
        world = World(LONG, poison(), stage=0).run(15)
        assert world.moves == [("step_back", 0)]
        assert world.in_force == 0

    def test_it_says_that_it_is_a_test_and_why(self) -> None:
        world = World(LONG, incident(5, 60), stage=1).run(25)
        reason = next(d.reason for _, d in world.told if d.action is Action.STEP_BACK)
        assert reason.startswith("a test whether it is the candidate: errors over its limit 2%")
        assert "both revisions are failing, not the candidate" in reason

    def test_in_between_the_hold_stands_still_and_nothing_moves(self) -> None:
        world = World(LONG, incident(40, 80), stage=1).run(90)
        assert world.moves == []
        assert "hold stands still" in world.notes
        assert "hold goes on" in world.notes

    def test_after_an_hour_it_is_made_wherever_it_began(self) -> None:
        world = World(LONG, incident(40, 300), stage=1).run(130)
        assert world.moves == [("step_back", 10)]
        assert 100 <= world.when(Action.STEP_BACK) <= 106

    def test_twenty_bad_requests_or_ten_minutes_come_first(self) -> None:
        few = World(LONG, incident(5, 60, rate=0.3), stage=1, requests=20).run(40)
        lowered = few.when(Action.STEP_BACK)
        assert few.record.gates  # the trial's rate is known from what was suffered
        assert lowered >= 5

    def test_it_is_made_once_a_stage(self) -> None:
        def twice(minute: float, share: float) -> tuple[float, float]:
            return poison()(minute, share) if minute < 12 else incident(40, 200)(minute, share)

        world = World(LONG, twice, stage=1).run(150)
        assert [move for move in world.moves if move[0] == "step_back"] == [("step_back", 10)]
        assert world.record.tried == (1,)
        assert world.record.weight == 50
        assert world.record.ask is not None  # an hour of it, and no test left: a person is asked
        assert world.record.ask.kind is AskKind.BOTH_FAILING

    def test_at_100_there_is_nothing_to_compare_with_and_no_test(self) -> None:
        usual = {"errors": History(1.0, 1000.0, None, 0.06)}
        world = World(LONG, incident(5, 200), stage=2)
        world.record = replace(world.record, history=usual)
        world.run(100)
        assert world.moves == [("ask", 100)]
        assert world.record.ask is not None
        assert world.record.ask.kind is AskKind.BOTH_FAILING
        assert "not proved to be worse than stable in its last 24 h" in world.record.ask.reason


class TestWhatComesOfIt:
    @pytest.mark.parametrize("stage", [0, 1])
    def test_fell_raised_and_failed_again_it_was_us(self, stage: int) -> None:
        world = World(LONG, poison(), stage=stage).run(60)
        weight, before = ((10, 0), (50, 10))[stage]
        assert world.moves == [("step_back", before), ("shift", weight), ("roll_back", 0)]
        ended = world.record.outcomes[-1]
        assert ended.outcome == "rolled_back"
        assert ended.reason.startswith("it was us: the failures of both revisions fell")
        assert world.when(Action.ROLL_BACK) < 35

    def test_fell_raised_and_quiet_it_goes_on(self) -> None:
        # the incident ends just as the weight is lowered
        world = World(LONG, incident(2, 12), stage=1).run(60)
        assert world.moves == [("step_back", 10), ("shift", 50)]
        assert world.notes[-1] == "hold goes on"
        said = [d.reason for _, d in world.told if d.record.trial is None][-40:]
        assert "an incident that ended by itself, not the candidate" in said
        assert world.in_force == 50

    def test_stayed_it_is_an_incident_and_goes_on_once_that_is_over(self) -> None:
        world = World(LONG, incident(5, 90), stage=1)
        world.run(85)
        assert world.record.weight == 10
        assert world.record.trial is not None
        assert world.record.trial.blamed is False
        assert world.told[-1][1].reason == (
            "an incident, not the candidate: the failures did not fall when its weight did"
        )
        world.run(130)
        assert [move for move in world.moves if move[0] != "ask"] == [
            ("step_back", 10),
            ("shift", 50),
        ]
        assert world.record.trial is None
        assert world.record.ask is None
        assert (world.record.stage, world.record.weight, world.record.stopped) == (1, 50, None)
        world.run(8 * HOUR)
        assert "roll back" not in world.notes
        assert world.record.stage == 2

    @pytest.mark.parametrize(("since", "until"), [(2, 8), (7, 60), (30, 110)])
    @pytest.mark.parametrize("stage", [0, 1])
    def test_a_good_candidate_survives_an_incident(
        self, since: int, until: int, stage: int
    ) -> None:
        """Neither by the test, nor by what arrived while its weight was lower."""
        world = World(LONG, incident(since, until), stage=stage).run(150)
        assert ("roll_back", 0) not in world.moves
        assert world.record.weight == LONG.stages[stage].weight
        assert world.record.trial is None

    @pytest.mark.parametrize(("since", "until"), [(2, 12), (5, 65), (40, 60)])
    def test_a_good_candidate_gets_through_an_incident_with_nobodys_help(
        self, since: int, until: int
    ) -> None:
        half = timedelta(minutes=30)
        plan = replace(PLAN, stages=(Stage(10, half), Stage(50, half), Stage(100, half)))
        world = World(plan, incident(since, until), requests=1200).run(400)
        assert world.moves[-1] == ("promote", 100)
        assert "ask" not in [move for move, _ in world.moves]

    def test_a_candidate_that_fails_alone_is_rolled_back_in_the_middle_of_a_test(self) -> None:
        def worse(minute: float, share: float) -> tuple[float, float]:
            both = incident(2, 200)(minute, share)
            return (0.4, both[1]) if minute > 20 else both

        world = World(LONG, worse, stage=1).run(60)
        assert world.moves == [("step_back", 10), ("roll_back", 0)]
        assert "errors" in world.record.outcomes[-1].reason

    def test_going_up_that_does_not_come_into_force_is_rolled_back(self) -> None:
        world = World(LONG, poison(), stage=1)
        while ("shift", 50) not in world.moves:
            world.tick()
        split = (Target(OLD, 90), Target(NEW, 10))
        service = service_of(world.record, statuses=split, ready=False, ready_message="quota")
        decision = look(world.record, world.minute + 1, plan=LONG, service=Seen(service))
        assert rolls_back(decision)


class TestTheHold:
    def test_it_stands_still_from_the_first_doubt_until_the_test_is_over(self) -> None:
        for truth in (incident(2, 12), incident(5, 60)):
            world = World(LONG, truth, stage=1).run(110)
            noted = {t.what: t.at for t in reversed(world.record.transitions)}
            begun = noted.get("hold stands still", noted["test at 10%"])
            assert world.record.stopped is None
            assert world.record.uncounted == noted["hold goes on"] - begun

    def test_what_it_has_shown_stays(self) -> None:
        world = World(LONG, incident(2, 12), stage=1).run(9)
        before = world.record.gates["latency"].state.tally.candidate.total
        world.run(60)
        assert world.notes[-1] == "hold goes on"
        assert world.record.gates["latency"].state.tally.candidate.total > before
        assert world.record.in_force == at(0)

    def test_a_pause_in_the_middle_stays_in_the_test(self) -> None:
        world = in_trial()
        paused = pause(LONG, world.record, service_of(world.record), world.now, "ada")
        assert isinstance(paused, Decision)
        world.act(paused)
        world.run(world.minute + 30)
        assert world.moves == [("step_back", 10)]
        going = resume(LONG, world.record, service_of(world.record), world.now, "ada")
        assert isinstance(going, Decision)
        world.act(going)
        assert world.record.stopped is not None
        world.run(world.minute + 40)
        assert world.moves == [("step_back", 10), ("shift", 50), ("roll_back", 0)]

    def test_taken_back_from_another_hand_the_stage_begins_anew_at_its_own_weight(self) -> None:
        world = in_trial()
        other = service_of(world.record, {OLD: 97, NEW: 3}, last_modifier="ada")
        going = resume(LONG, world.record, other, world.now, "me")
        assert isinstance(going, Decision)
        assert (going.record.trial, going.record.weight) == (None, 50)


class TestWhoIsAsked:
    def test_an_incident_that_lasts_an_hour_after_the_test_asks_a_person_once(self) -> None:
        world = World(LONG, incident(5, 999), stage=1).run(6 * HOUR)
        assert world.moves == [("step_back", 10), ("ask", 10)]
        assert world.when(Action.ASK) - world.when(Action.STEP_BACK) >= HOUR
        assert world.record.ask is not None
        assert world.record.ask.kind is AskKind.BOTH_FAILING

    def test_each_incident_is_asked_about_and_only_the_last_is_remembered(self) -> None:
        def two(minute: float, share: float) -> tuple[float, float]:
            since = (30, 150) if minute < 170 else (200, 330)
            return incident(*since)(minute, share)

        plan = with_(LONG, both_failing=BothFailing.HOLD)
        plan = replace(plan, stages=(plan.stages[0], Stage(50, timedelta(hours=20))))
        world = World(plan, two, stage=1).run(400)
        assert [move for move, _ in world.moves] == ["ask", "ask"]
        assert len([told for told in world.record.told if told.startswith("both failing")]) == 1

    def test_guilt_proved_while_it_is_paused_rolls_back(self) -> None:
        world = World(LONG, poison(), stage=1)
        while ("shift", 50) not in world.moves:
            world.tick()
        paused = pause(LONG, world.record, service_of(world.record), world.now, "ada")
        assert isinstance(paused, Decision)
        world.act(paused)
        world.run(world.minute + 20)
        assert world.moves[-1] == ("roll_back", 0)
        assert world.record.outcomes[-1].reason.startswith("it was us")


class TestAt100:
    """Nothing of stable in the same minutes; its day before is no longer proof of innocence."""

    def test_an_incident_is_no_reason_to_roll_back_while_the_weight_is_lowered(self) -> None:
        usual = {"errors": History(1.0, 1000.0, None, 0.001)}
        world = World(LONG, incident(5, 60), stage=2)
        world.record = replace(world.record, history=usual)
        world.run(100)
        assert ("step_back", 50) in world.moves
        assert ("roll_back", 0) not in world.moves

    def test_a_gate_that_makes_no_test_is_decided_by_the_day_before(self) -> None:
        compared = replace(ERRORS, limits=Limits(), versus_stable=Versus(ratio=2.0))
        world = World(replace(LONG, gates=(compared,)), incident(5, 999), stage=2)
        world.record = replace(world.record, history={"errors": History(1.0, 1000.0, None, 0.001)})
        world.run(60)
        assert world.moves == [("roll_back", 0)]

    def test_a_bad_release_is_not_left_serving_because_somebody_paused(self) -> None:
        world = World(LONG, incident(5, 999), stage=2)
        world.record = replace(world.record, history={"errors": History(1.0, 1000.0, None, 0.001)})
        paused = pause(LONG, world.record, service_of(world.record), world.now, "ada")
        assert isinstance(paused, Decision)
        world.act(paused)
        world.run(60)
        assert world.moves == [("roll_back", 0)]


class TestGatesThatOnlyObserve:
    @pytest.mark.parametrize("answer", list(BothFailing))
    def test_both_failing_moves_and_holds_nothing(self, answer: BothFailing) -> None:
        watched = replace(ERRORS, on_fail=OnFail.OBSERVE, limits=Limits(0.01, None, 0.02))
        plan = with_(replace(LONG, gates=(watched,)), both_failing=answer)
        world = World(plan, incident(5, 100), stage=1).run(90)
        assert world.moves == []
        assert world.record.stopped is None


class TestMonitoringSilent:
    def test_an_outage_in_the_middle_of_a_test_is_waited_for(self) -> None:
        world = World(LONG, poison(), stage=1, silent=(14, 50)).run(120)
        assert world.moves == [("step_back", 10), ("shift", 50), ("roll_back", 0)]
        assert world.when(Action.ROLL_BACK) > 50
        assert world.record.outcomes[-1].reason.startswith("it was us")

    def test_one_lost_answer_hours_into_an_incident_is_no_outage(self) -> None:
        plan = with_(LONG, monitoring_out=WhenMonitoringOut(then=Then.ROLL_BACK))
        world = World(plan, incident(5, 300), stage=1, silent=(200, 203)).run(290)
        assert [move for move in world.moves if move[0] != "ask"] == [("step_back", 10)]
        assert world.record.ask is not None
        assert world.record.ask.kind is AskKind.BOTH_FAILING

    def test_a_long_outage_asks_and_the_test_goes_on_when_it_is_over(self) -> None:
        world = World(LONG, incident(5, 400), stage=1, silent=(40, 200)).run(198)
        assert world.record.ask is not None
        assert world.record.ask.kind is AskKind.MONITORING_OUT
        asked = world.run(300).record.ask
        assert asked is not None
        assert asked.kind is AskKind.BOTH_FAILING
        assert world.record.trial is not None
        assert world.record.stopped is not None  # the hold stands still for the test
        world.run(500)
        assert world.moves[-1] == ("shift", 50)
        assert world.record.trial is None


@pytest.mark.parametrize(
    "truth", [poison(), incident(5, 60), incident(2, 12)], ids=["poison", "incident", "short"]
)
def test_a_process_killed_after_every_tick_decides_the_same(truth: Truth) -> None:
    straight = World(LONG, truth, stage=1).run(110)
    killed = World(LONG, truth, stage=1, killed=True).run(110)
    for (minute, one), (again, other) in zip(straight.told, killed.told, strict=True):
        assert (minute, one.action, one.reason) == (again, other.action, other.reason)
        assert one.record.trial == other.record.trial
    assert straight.record.outcomes == killed.record.outcomes


class TestOtherAnswers:
    def test_hold_makes_no_test_and_asks_after_an_hour(self) -> None:
        plan = with_(LONG, both_failing=BothFailing.HOLD)
        world = World(plan, incident(5, 100), stage=1).run(90)
        assert world.moves == [("ask", 50)]
        assert 64 <= world.when(Action.ASK) <= 72
        assert world.record.ask is not None
        assert world.record.ask.kind is AskKind.BOTH_FAILING
        world.run(130)
        assert world.record.ask is None
        assert world.notes[-1] == "hold goes on"

    def test_nobody_answers_and_it_is_rolled_back(self) -> None:
        soon = WhenNobodyAnswers(after=timedelta(hours=2))
        plan = with_(LONG, both_failing=BothFailing.HOLD, nobody_answers=soon)
        world = World(plan, incident(5, 999), stage=1).run(4 * HOUR)
        assert world.moves == [("ask", 50), ("roll_back", 0)]

    def test_roll_back_rolls_back_at_once(self) -> None:
        plan = with_(LONG, both_failing=BothFailing.ROLL_BACK)
        world = World(plan, incident(5, 100), stage=1).run(40)
        assert world.moves == [("roll_back", 0)]
        assert "of both revisions' 9,000 requests failed" in world.record.outcomes[-1].reason

    def test_a_gate_that_steps_back_is_tested_as_any_other(self) -> None:
        gates = (replace(ERRORS, on_fail=OnFail.STEP_BACK),)
        world = World(replace(LONG, gates=gates), poison(), stage=1).run(60)
        assert world.moves[-1] == ("roll_back", 0)
        assert world.record.outcomes[-1].reason.startswith("it was us")

    def test_a_test_in_force_is_running_and_waits_for_nobody(self) -> None:
        world = in_trial()
        decision = world.tick()
        assert decision.state is State.RUNNING
        assert not decision.only_a_person
        assert world.record.phase is Phase.RUNNING
