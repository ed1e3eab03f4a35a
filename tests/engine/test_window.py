"""The plan's window holds back what raises the candidate, and nothing that lowers it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest

from controller.engine import acts
from controller.engine.begin import Wish, begin
from controller.engine.decision import Action, Decision, Refusal, State
from controller.engine.events import Message
from controller.engine.observation import RevisionState
from controller.engine.record import Act, Ask, AskKind, Phase, Record
from controller.plan.model import AdvanceOnly, Freeze, OnFail, Plan, Stage, Then, WhenNobodyAnswers
from controller.plan.read_window import parse_hours
from tests.engine.builders import (
    HEALTH,
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
    starting,
)
from tests.engine.world import LONG, World, incident, poison, with_


def only(hours: str, plan: Plan = PLAN, **changes: object) -> Plan:
    """Return the plan with a window on every day, in UTC. T0 is a Monday, 09:00."""
    begins, ends = parse_hours(hours)
    rule = replace(AdvanceOnly("UTC", begins=begins, ends=ends), **changes)  # type: ignore[arg-type]
    return with_(plan, advance_only=rule)


NO_APPROVAL = replace(PLAN, stages=tuple(replace(s, approval=False) for s in PLAN.stages))
LATER = only("11:00-12:00", NO_APPROVAL)
OPENS = at(120)
CLOSED_ALL_YEAR = AdvanceOnly("UTC", freezes=(Freeze(date(2026, 1, 1), date(2026, 12, 31)),))


def shifts(world: World) -> list[tuple[str, float]]:
    return [
        (action, minute)
        for minute, d in world.told
        if (action := d.action.value) in {"shift", "promote", "roll_back", "step_back"}
    ]


class TestWaiting:
    def test_a_stage_that_is_done_is_left_in_the_minute_in_which_the_window_opens(self) -> None:
        world = World(LATER).run(125)
        assert shifts(world) == [("shift", 120.0)]

    def test_the_last_stage_is_promoted_in_the_window_only(self) -> None:
        world = World(only("11:00-11:10", NO_APPROVAL), stage=2).run(130)
        assert shifts(world) == [("promote", 120.0)]

    def test_the_first_shift_waits_too_and_says_once_when_the_window_opens(self) -> None:
        first = look(starting(LATER), 1, plan=LATER)
        assert (first.action, first.opens) == (Action.NOTE, OPENS)
        assert first.reason.endswith("the window opens Mon 2026-01-05 11:00 UTC")
        assert [e.level for e in first.events if isinstance(e, Message)] == ["info"]
        again = look(replace(first.record, at=at(1)), 2, plan=LATER)
        assert (again.action, again.opens, again.events) == (Action.WAIT, OPENS, ())
        assert look(again.record, 121, plan=LATER).action is Action.SHIFT

    def test_the_look_that_finds_the_window_open_comes_as_it_opens(self) -> None:
        waiting = look(starting(LATER), 119.5, plan=LATER)
        assert waiting.look_again == timedelta(seconds=30)

    def test_a_rollout_killed_between_any_two_looks_makes_the_same_moves(self) -> None:
        worlds = [World(LATER, killed=killed).run(140) for killed in (False, True)]
        assert worlds[0].moves == worlds[1].moves
        assert worlds[0].notes == worlds[1].notes
        assert worlds[0].notes == ["waits for the window", "shift to 50%", "50% in force"]

    def test_it_is_said_again_by_no_heartbeat(self) -> None:
        world = World(only("20:00-21:00", NO_APPROVAL)).run(400)
        told = [e for _, d in world.told for e in d.events if isinstance(e, Message)]
        assert [message.text for message in told] == [
            "ready for what comes next; the window opens Mon 2026-01-05 20:00 UTC"
        ]
        writes = [minute for minute, d in world.told if d.write is not None]
        assert all(late - early <= 31 for early, late in pairwise(writes))


class TestNothingHoldsARollBackBack:
    def test_a_failed_gate_rolls_back_while_the_window_is_closed(self) -> None:
        assert rolls_back(look(running(plan=LATER), 20, plan=LATER, failed=5))

    def test_a_gate_that_fails_while_it_waits_for_the_window_rolls_back(self) -> None:
        def truth(minute: float, _share: float) -> tuple[float, float]:
            return (0.2 if minute > 60 else 0.001), 0.001

        world = World(LATER, truth).run(115)
        assert [what for what, _ in shifts(world)] == ["roll_back"]

    def test_a_step_back_is_made_while_the_window_is_closed(self) -> None:
        plan = replace(
            LATER, gates=tuple(replace(gate, on_fail=OnFail.STEP_BACK) for gate in LATER.gates)
        )
        assert look(running(1, plan), 20, plan=plan, failed=5).action is Action.STEP_BACK

    def test_a_person_rolls_back_while_the_window_is_closed(self) -> None:
        record = running(plan=LATER)
        done = acts.roll_back_now(record, service_of(record), (), at(5), "ada")
        assert isinstance(done, Decision)
        assert rolls_back(done)

    @pytest.mark.parametrize("zone", ["UTC", "Mars/Olympus"])
    def test_a_window_that_cannot_be_told_or_never_opens_rolls_back_all_the_same(
        self, zone: str
    ) -> None:
        plan = with_(NO_APPROVAL, advance_only=replace(CLOSED_ALL_YEAR, zone=zone))
        assert rolls_back(look(running(plan=plan), 20, plan=plan, failed=5))
        waiting = look(running(plan=plan), 60, plan=plan)
        assert waiting.state is State.RUNNING
        assert waiting.write is not None
        assert not waiting.write.raises


class TestApprovals:
    PLAN = only("11:00-12:00")

    def test_it_is_asked_for_while_the_window_is_closed(self) -> None:
        asks = look(running(1, self.PLAN), 40, plan=self.PLAN)
        assert asks.action is Action.ASK
        assert asks.only_a_person

    def test_one_given_outside_the_window_is_kept_and_acted_on_when_it_opens(self) -> None:
        world = World(self.PLAN, stage=1).run(45)
        record = world.record
        assert record.ask is not None
        yes = acts.approve(self.PLAN, record, service_of(record), world.now, "ada")
        assert isinstance(yes, Decision)
        world.act(yes)
        world.run(115)
        assert world.record.ask is None
        assert world.told[-1][1].opens == OPENS
        assert shifts(world) == []
        world.run(125)
        assert shifts(world) == [("shift", 120.0)]


class TestPersonsDecide:
    @pytest.mark.parametrize(
        ("deed", "said"), [(acts.advance, "advanced"), (acts.promote_now, "promoted")]
    )
    def test_advance_and_promote_by_a_person_do_not_wait(self, deed: object, said: str) -> None:
        record = running(plan=LATER)
        done = deed(LATER, record, service_of(record), at(5), "ada", "hotfix")  # type: ignore[operator]
        assert done.action is Action.SHIFT
        assert done.reason == f"{said} by ada outside the window: hotfix"


def test_a_rollout_whose_window_does_not_open_any_more_is_not_begun() -> None:
    plan = with_(PLAN, advance_only=AdvanceOnly("Mars/Olympus"))
    record = starting()
    service = service_of(record, {OLD: 100}, record_text=None)
    new, old = (RevisionState(name, ready=True) for name in (NEW, OLD))
    refused = begin(Wish(plan, "me", "r2"), service, new, old, None, T0)
    assert isinstance(refused, Refusal)
    assert "does not know the time zone" in refused.reason


class TestChecksBeforeTheFirstShift:
    CHECKED = replace(LATER, checks=(HEALTH,))

    def test_one_that_is_not_seen_asks_nobody_until_the_window_has_been_open_for_a_while(
        self,
    ) -> None:
        record = starting(self.CHECKED)
        assert look(record, 60, plan=self.CHECKED).action is not Action.ASK
        assert look(record, 121, plan=self.CHECKED).action is not Action.ASK
        assert look(record, 136, plan=self.CHECKED).action is Action.ASK


class TestATestOfBothFailing:
    def test_it_lowers_the_candidate_at_once_and_raises_it_in_the_window(self) -> None:
        for truth in (poison(), incident(5, 60)):
            world = World(only("11:00-12:00", LONG), truth, stage=1).run(119)
            assert world.moves == [("step_back", 10)]
            assert "the window opens Mon 2026-01-05 11:00 UTC" in world.told[-1][1].reason
            assert world.told[-1][1].opens == OPENS
            world.run(150)
            raised = next(minute for what, minute in shifts(world) if what == "shift")
            assert 120 <= raised <= 125


class TestAnApprovalThatNobodyGives:
    def plan(self, then: Then) -> Plan:
        return with_(PLAN, approvals=WhenNobodyAnswers(timedelta(hours=2), then))

    def asking(self, plan: Plan) -> Record:
        ask = Ask(AskKind.APPROVAL, "100% needs an approval", at(40))
        return running(1, plan, ask=ask, stopped=at(40))

    def test_it_waits_for_ever_where_the_plan_says_nothing(self) -> None:
        decision = look(self.asking(PLAN), 60 * 24 * 30, plan=PLAN)
        assert decision.state is State.ASKING
        assert decision.only_a_person

    def test_it_rolls_back_after_the_plans_time_and_not_before(self) -> None:
        plan = self.plan(Then.ROLL_BACK)
        before = look(self.asking(plan), 159, plan=plan)
        assert before.state is State.ASKING
        assert not before.only_a_person
        after = look(self.asking(plan), 161, plan=plan)
        assert rolls_back(after)
        assert after.reason == "100% needs an approval; nobody gave it for 2 h 1 min"

    def test_the_time_of_a_pause_is_nobodys_silence(self) -> None:
        plan = self.plan(Then.ROLL_BACK)
        paused = replace(self.asking(plan), paused=Act("ada", at(50)))
        assert not rolls_back(look(paused, 300, plan=plan))
        resumed = acts.resume(plan, paused, service_of(paused), at(300), "ada")
        assert isinstance(resumed, Decision)
        assert look(resumed.record, 419, plan=plan).state is State.ASKING
        assert rolls_back(look(resumed.record, 421, plan=plan))

    def test_it_goes_on_where_the_plan_says_so_still_judged_once_more(self) -> None:
        world = World(self.plan(Then.ADVANCE), stage=1).run(300)
        assert [what for what, _ in shifts(world)][:1] == ["shift"]
        assert "goes on unapproved" in world.notes
        failing = look(self.asking(self.plan(Then.ADVANCE)), 161, failed=5)
        assert rolls_back(failing)

    def test_what_nobody_said_is_noted_once_while_monitoring_does_not_answer(self) -> None:
        plan = self.plan(Then.ADVANCE)
        record = self.asking(plan)
        for minutes in (161, 162, 163):
            record = look(
                record, minutes, plan=plan, readings=silence(record, minutes, plan)
            ).record
        assert record.approved == (2,)

    def test_the_approval_of_the_first_stage_has_a_time_too(self) -> None:
        plan = replace(
            self.plan(Then.ROLL_BACK), stages=(Stage(100, timedelta(hours=1), approval=True),)
        )
        asked = look(starting(plan), 1, plan=plan)
        assert asked.action is Action.ASK
        ended = look(replace(asked.record, at=at(1)), 122, plan=plan)
        assert ended.record.phase is Phase.DONE

    def test_killed_between_any_two_looks_it_answers_once(self) -> None:
        for then in (Then.ADVANCE, Then.ROLL_BACK):
            worlds = [World(self.plan(then), stage=1, killed=k).run(400) for k in (False, True)]
            assert worlds[0].notes == worlds[1].notes
