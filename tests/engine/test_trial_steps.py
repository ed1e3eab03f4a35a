"""A test of both failing, step by step: what begins it, which minutes it counts, what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.engine.decision import Action, Decision
from controller.engine.record import Accumulated, Ask, AskKind, Record, Shift, Trial
from controller.engine.trial import (
    LEVEL,
    STILL,
    both_failing,
    failing_with_stable,
    is_over,
    proved_guilty,
)
from controller.engine.watching import (
    Watched,
    _tested,
    may_be_tested,
    relapse_until,
    seen_since_raised,
    terms_of,
    watermark_at_first,
)
from controller.gates.betting import Compared
from controller.gates.evidence import CodeCounts, Minute
from controller.gates.intervals import lower, upper
from controller.gates.kernel import Wealth
from controller.gates.rise import Rise
from controller.gates.state import State
from controller.gates.verdict import Fail, Figures, Undecided, Verdict, Why
from controller.plan.model import BothFailing, Limits, OnFail, Plan, Stage
from tests.engine.builders import ERRORS, MINUTE, PLAN, SLOW, T0, at, running, service_of
from tests.engine.world import with_

SECOND = timedelta(seconds=1)
BARELY = 1 / 60  # of a minute
HOUR = timedelta(hours=1)
LONG = replace(
    PLAN,
    stages=(Stage(10, 6 * HOUR), Stage(50, 6 * HOUR), Stage(100, 6 * HOUR)),
)
NAMES = tuple(gate.name for gate in LONG.gates_at(1))  # the arrival of requests is one of ours
SHARED = Undecided("5 of 90 failed", Figures(), Why.BOTH_FAILING)
PROVED, OPEN = Wealth(log_evidence=3.0), Wealth(log_evidence=2.99)  # ln(20) is 2.9957


def suffering(bad: int = 30, since: float = 5, of: int = 200) -> dict[str, Accumulated]:
    """Return evidence of failures on both sides, half of them each."""
    seen = Compared(bad // 2, of // 2, bad - bad // 2, of // 2)
    state = State(rise=Rise(at(since), 5.0, seen), failing_since=at(since))
    return {"errors": Accumulated(at(60), state)}


def decided(record: Record, minutes: float, plan: Plan = LONG, **verdicts: Verdict) -> Decision:
    watched = Watched(record, verdicts or {"errors": SHARED}, {}, "")
    decision = both_failing(plan, record, service_of(record), watched, at(minutes))
    assert decision is not None
    return decision


class TestWhetherItIsMade:
    @pytest.mark.parametrize(
        ("bad", "since", "minutes", "made"),
        [
            (20, 11, 12, True),
            (19, 11, 12, False),
            (19, 11, 21, True),
            (19, 11, 21 - BARELY, False),
            (20, 11 + BARELY, 60, False),
            (20, 12, 72, True),
            (20, 12, 72 - BARELY, False),
        ],
    )
    def test_near_a_shift_or_after_an_hour_once_enough_has_failed(
        self,
        bad: int,
        since: float,
        minutes: float,
        made: bool,  # noqa: FBT001
    ) -> None:
        record = running(1, LONG, gates=suffering(bad, since))
        assert (decided(record, minutes).action is Action.STEP_BACK) is made

    def test_it_is_tested_against_four_fifths_of_what_failed_at_the_least(self) -> None:
        lowered = decided(running(1, LONG, gates=suffering(30)), 20)
        assert lowered.record.trial is not None
        assert lowered.record.trial.rate == STILL * lower(30, 200, LEVEL)
        assert (lowered.record.trial.gate, lowered.record.trial.at) == ("errors", at(20))
        assert lowered.record.weight == 10

    def test_where_nothing_is_known_to_have_failed_nothing_is_lowered(self) -> None:
        state = State(failing_since=at(5))
        record = running(1, LONG, gates={"errors": Accumulated(at(60), state)})
        assert decided(record, 60).action is Action.NOTE

    @pytest.mark.parametrize(
        ("changes", "gate"),
        [
            ({"tried": (1,)}, ERRORS),
            ({}, replace(ERRORS, on_fail=OnFail.ASK)),
            ({}, replace(ERRORS, limits=Limits(maximum=0.01))),
        ],
    )
    def test_a_second_time_or_by_a_gate_that_moves_nothing_it_is_not(
        self, changes: dict[str, Any], gate: Any
    ) -> None:
        plan = replace(LONG, gates=(gate, SLOW))
        record = running(1, plan, gates=suffering(), **changes)
        still = decided(record, 20, plan)
        assert (still.action, still.record.weight) == (Action.NOTE, 50)
        assert still.record.stopped == at(20)
        assert [t.what for t in still.record.transitions] == ["hold stands still"]

    def test_what_the_plan_or_a_gate_says_decides_whether_there_are_tests(self) -> None:
        assert may_be_tested(LONG, ERRORS)
        assert may_be_tested(LONG, replace(ERRORS, on_fail=OnFail.STEP_BACK))
        assert not may_be_tested(LONG, replace(ERRORS, on_fail=OnFail.OBSERVE))
        assert not may_be_tested(with_(LONG, both_failing=BothFailing.HOLD), ERRORS)
        assert not may_be_tested(LONG, replace(ERRORS, limits=Limits(maximum=0.01)))

    def test_while_a_person_is_asked_nothing_of_the_kind_is_decided(self) -> None:
        ask = Ask(AskKind.GATE, "errors", T0)
        record = running(1, LONG, gates=suffering(), ask=ask)
        watched = Watched(record, {"errors": SHARED}, {}, "")
        assert both_failing(LONG, record, service_of(record), watched, at(20)) is None
        calm = Watched(running(1, LONG), {}, {}, "")
        assert both_failing(LONG, calm.record, service_of(record), calm, at(20)) is None


class TestALongIncident:
    def asked(self, minutes: float, **changes: Any) -> Decision:
        record = running(
            1, LONG, gates=suffering(since=30), tried=(1,), stopped=at(31), at=at(89), **changes
        )
        return decided(record, minutes)

    def test_a_person_is_asked_after_an_hour_of_it(self) -> None:
        assert self.asked(90 - BARELY).action is Action.WAIT
        asks = self.asked(90)
        assert asks.record.ask == Ask(AskKind.BOTH_FAILING, "errors 5 of 90 failed", at(90))
        assert asks.record.told == ("both failing since 2026-01-05T09:30",)

    def test_once_of_each(self) -> None:
        told = ("api-3", "both failing since 2026-01-05T09:30")
        assert self.asked(95, told=told).action is Action.WAIT
        other = ("api-3", "both failing since 2026-01-05T07:00")
        assert self.asked(95, told=other).record.told == told

    def test_five_things_that_were_told_are_remembered(self) -> None:
        many = tuple(f"api-{n}" for n in range(3, 8))
        assert self.asked(95, told=many).record.told == (
            *many[1:], "both failing since 2026-01-05T09:30",
        )  # fmt: skip

    def test_of_two_gates_the_one_that_fails_longer_tells_since_when(self) -> None:
        both = {**suffering(since=30), "latency": suffering(since=20)["errors"]}
        record = running(1, LONG, gates=both, tried=(1,), stopped=at(31), at=at(79))
        plan = with_(LONG, both_failing=BothFailing.HOLD)
        asks = decided(record, 80, plan, errors=SHARED, latency=SHARED)
        assert asks.record.told == ("both failing since 2026-01-05T09:20",)
        assert asks.reason == "errors 5 of 90 failed; latency 5 of 90 failed"


def minutes(first: int, last: int) -> tuple[Minute, ...]:
    """Return minutes in which each side got 50 requests and one of the candidate's failed."""
    failing, fine = CodeCounts({"2xx": 49, "5xx": 1}), CodeCounts({"2xx": 50})
    return tuple(Minute(at(n), failing, fine) for n in range(first, last + 1))


class TestWhichMinutesCount:
    TRIAL = Trial("errors", at(10), 0.1)

    def seen(self, trial: Trial, watermark: float, **changes: Any) -> tuple[int, int]:
        record = running(1, LONG, trial=trial, **changes)
        found = _tested(record, ERRORS, Accumulated(at(watermark)), minutes(5, 40))
        assert found is not None
        return found.seen

    def test_those_after_its_split_has_settled(self) -> None:
        assert self.seen(self.TRIAL, 5) == (29, 2900)  # 12 to 40
        assert self.seen(self.TRIAL, 20) == (20, 2000)

    def test_once_it_is_raised_again_ten_minutes_of_it(self) -> None:
        raised = replace(self.TRIAL, raised=at(20))
        assert relapse_until(raised) == at(31)
        assert self.seen(raised, 5) == (10, 1000)  # 22 to 31

    def test_none_while_a_split_is_under_way_or_there_is_no_rate_to_test(self) -> None:
        assert self.seen(self.TRIAL, 5, shift=Shift(at(9), 50)) == (0, 0)
        for rate in (0.0, 1.0):
            assert self.seen(replace(self.TRIAL, rate=rate), 5) == (0, 0)
        fewer = replace(ERRORS, limits=Limits(maximum=0.01))
        record = running(1, LONG, trial=self.TRIAL)
        assert _tested(record, fewer, Accumulated(at(5)), minutes(5, 40)) == self.TRIAL
        assert _tested(running(), ERRORS, Accumulated(at(5)), minutes(5, 40)) is None

    def test_they_are_evidence_that_it_fell_or_stayed(self) -> None:
        record = running(1, LONG, trial=self.TRIAL)
        found = _tested(record, ERRORS, Accumulated(at(5)), minutes(5, 40))
        assert found is not None
        assert found.fell.log_evidence > 3 > found.stayed.log_evidence  # 1% instead of 10%
        assert found.well.log_evidence > 0  # and half of the limit
        worse = replace(self.TRIAL, rate=0.001)
        stayed = _tested(replace(record, trial=worse), ERRORS, Accumulated(at(5)), minutes(5, 40))
        assert stayed is not None
        assert stayed.stayed.log_evidence > 3 > stayed.fell.log_evidence

    @pytest.mark.parametrize(("watermark", "seen"), [(22, False), (23, True)])
    def test_after_it_is_raised_each_gate_must_have_warmed_up(
        self,
        watermark: float,
        seen: bool,  # noqa: FBT001
    ) -> None:
        gates = {name: Accumulated(at(watermark)) for name in NAMES}
        record = running(1, LONG, gates=gates)
        assert seen_since_raised(LONG, record, replace(self.TRIAL, raised=at(20))) is seen


class TestWhatEndsIt:
    def in_trial(self, trial: Trial, watermark: float = 30, **changes: Any) -> Record:
        gates = {name: Accumulated(at(watermark)) for name in NAMES}
        return running(
            1,
            LONG,
            **{
                "trial": trial, "weight": 10, "tried": (1,), "stopped": at(10), "at": at(29),
                "gates": gates, **changes,
            },
        )  # fmt: skip

    def after(self, trial: Trial, watermark: float = 30, **changes: Any) -> Decision:
        return decided(self.in_trial(trial, watermark, **changes), watermark + 1)

    TRIAL = Trial("errors", at(10), 0.1, seen=(3, 900))

    def test_while_nothing_is_proved_it_goes_on(self) -> None:
        waits = self.after(replace(self.TRIAL, fell=OPEN, stayed=OPEN, well=OPEN))
        assert waits.action is Action.WAIT
        assert waits.reason == ("a test at 10%: do the failures fall with the candidate's weight?")

    @pytest.mark.parametrize("proof", ["fell", "well"])
    def test_once_they_fell_the_candidate_goes_up_once_more(self, proof: str) -> None:
        up = self.after(replace(self.TRIAL, **{proof: PROVED}))  # type: ignore[arg-type]
        assert (up.action, up.record.weight) == (Action.SHIFT, 50)
        trial = up.record.trial
        assert trial is not None
        assert (trial.blamed, trial.raised, trial.at) == (True, at(31), at(10))
        assert (trial.fell, trial.seen) == (Wealth(), (0, 0))
        assert trial.rate == max(upper(3, 900, LEVEL), 0.05)

    def test_what_it_is_tested_against_then_is_half_at_the_most(self) -> None:
        many = replace(self.TRIAL, rate=0.9, seen=(700, 900), fell=PROVED)
        trial = self.after(many).record.trial
        assert trial is not None
        assert trial.rate == 0.5

    def test_once_they_stayed_it_is_an_incident(self) -> None:
        stayed = self.after(replace(self.TRIAL, stayed=PROVED))
        assert stayed.record.trial == replace(self.TRIAL, stayed=PROVED, blamed=False)
        assert [t.what for t in stayed.record.transitions] == ["incident"]

    @pytest.mark.parametrize(("watermark", "ends"), [(70, False), (70 + BARELY, True)])
    def test_after_an_hour_of_it_too(
        self,
        watermark: float,
        ends: bool,  # noqa: FBT001
    ) -> None:
        found = self.after(self.TRIAL, watermark, at=at(69)).record.trial
        assert found is not None
        assert (found.blamed is False) is ends

    def test_a_gate_that_has_seen_nothing_is_waited_for_by_the_clock(self) -> None:
        record = self.in_trial(self.TRIAL, gates={}, at=at(69))
        assert decided(record, 70).record.trial == self.TRIAL
        late = decided(record, 70 + BARELY).record.trial
        assert late is not None
        assert late.blamed is False

    def test_an_incident_is_over_once_both_are_well(self) -> None:
        incident = replace(self.TRIAL, blamed=False)
        over = self.after(replace(incident, well=PROVED))
        assert (over.action, over.record.weight) == (Action.SHIFT, 50)
        assert over.reason == ("the incident is over: both revisions are within the limit again")
        assert over.record.trial == replace(incident, well=PROVED, raised=at(31))
        assert self.after(replace(incident, well=OPEN)).action is Action.WAIT
        asks = self.after(replace(incident, well=OPEN), watermark=69)
        assert asks.record.ask is not None
        assert asks.record.ask.kind is AskKind.BOTH_FAILING

    def raised(self, watermark: float, **trial: Any) -> Decision:
        up = replace(self.TRIAL, raised=at(20), **trial)
        return self.after(up, watermark, weight=50, at=at(watermark))

    def test_who_was_blamed_is_watched_for_ten_minutes_and_then_acquitted(self) -> None:
        waits = self.raised(30, blamed=True)
        assert waits.reason == "back at 50%: do both revisions fail again?"
        assert waits.look_again == MINUTE
        over = self.raised(31, blamed=True)
        assert over.record.trial is None
        assert over.record.stopped is None
        assert over.reason == "an incident that ended by itself, not the candidate"
        assert over.record.transitions[-1].what == "hold goes on"

    @pytest.mark.parametrize(("watermark", "blamed"), [(30, True), (22, False)])
    def test_meanwhile_it_is_looked_at_each_minute_whatever_the_interval(
        self,
        watermark: float,
        blamed: bool,  # noqa: FBT001
    ) -> None:
        slow = replace(LONG, evidence=replace(LONG.evidence, interval=5 * MINUTE))
        up = replace(self.TRIAL, raised=at(20), blamed=blamed)
        record = self.in_trial(up, watermark, weight=50, at=at(watermark))
        assert decided(record, watermark + 1, slow).look_again == MINUTE

    def test_after_an_incident_only_until_its_minutes_are_seen(self) -> None:
        waits = self.raised(22, blamed=False)
        assert waits.reason == ("back at 50%: its first minutes are not yet visible in Monitoring")
        assert self.raised(23, blamed=False).reason == "it is over"

    def test_guilty_is_whose_failures_came_back_within_that(self) -> None:
        def guilty(**trial: Any) -> Decision | None:
            record = self.in_trial(replace(self.TRIAL, **trial))
            return proved_guilty(record, service_of(record), at(31))

        again = {"raised": at(20), "blamed": True, "stayed": PROVED}
        back = guilty(**again)
        assert back is not None
        assert back.action is Action.ROLL_BACK
        assert back.reason.endswith("and came back with it (3 of 900 requests)")
        for changes in ({"raised": None}, {"blamed": False}, {"stayed": OPEN}):
            assert guilty(**{**again, **changes}) is None
        calm = running()
        assert proved_guilty(calm, service_of(calm), at(31)) is None


class TestWhatCountsAsBothFailing:
    VERDICTS: Mapping[str, Verdict] = {
        "errors": SHARED,
        "latency": Undecided("too few", Figures(), Why.SAMPLE),
        "other": Fail("it fails", Figures()),
    }

    def test_only_what_is_undecided_because_stable_fails_too(self) -> None:
        assert failing_with_stable(LONG, self.VERDICTS) == {"errors": SHARED}
        observed = replace(LONG, gates=(replace(ERRORS, on_fail=OnFail.OBSERVE), SLOW))
        assert failing_with_stable(observed, self.VERDICTS) == {}

    def test_it_is_over_once_nothing_does_or_the_test_says_so(self) -> None:
        assert not is_over(LONG, running(), self.VERDICTS)
        assert is_over(LONG, running(), {})
        for well, over in ((PROVED, True), (OPEN, False)):
            trial = Trial("errors", T0, 0.1, well=well)
            assert is_over(LONG, running(trial=trial), self.VERDICTS) is over


class TestTerms:
    """Who decides while a test may tell: the day before alone, or the test."""

    def decides(self, stage: int, gate: Any = ERRORS, **changes: Any) -> tuple[bool, bool]:
        terms = terms_of(LONG, running(stage, LONG, **changes), gate)
        return terms.reference_decides, terms.in_test

    def test_the_day_before_decides_where_no_test_can_come_any_more(self) -> None:
        assert self.decides(0) == (True, False)
        assert self.decides(1) == (False, False)
        assert self.decides(1, replace(ERRORS, on_fail=OnFail.ASK)) == (True, False)
        assert self.decides(1, tried=(1,)) == (True, False)
        assert self.decides(1, tried=(0,)) == (False, False)
        assert self.decides(1, ask=Ask(AskKind.GATE, "why", T0)) == (True, False)
        trial = Trial("errors", T0, 0.1)
        assert self.decides(1, tried=(1,), trial=trial) == (False, True)

    def test_evidence_begins_with_the_first_whole_minute_after_it_settled(self) -> None:
        def first(in_force: datetime) -> datetime:
            return watermark_at_first(LONG, running(in_force=in_force))

        assert (first(T0), first(T0 + SECOND)) == (at(1), at(2))
