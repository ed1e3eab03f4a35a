"""What a plan can decide, before it runs: numbers by calculation, and advice in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from controller.engine.forecast import Outlook, _days, assumed_outlook, forecast
from controller.plan.model import (
    EvidenceRules,
    Gate,
    Latency,
    Limits,
    Needs,
    Plan,
    ResponseRate,
    Stage,
)
from controller.plan.reader import read_plan
from controller.plan.source import load
from tests.engine.builders import PLAN

EXAMPLES = Path(__file__).parents[2] / "rollout_plans"
DAY = timedelta(days=1)


def example(name: str) -> Plan:
    return read_plan(load(str(EXAMPLES / f"{name}.yaml")), env={}, variables={}).plan


def test_each_stage_tells_how_many_requests_the_candidate_will_get() -> None:
    found = forecast(PLAN, assumed_outlook(PLAN, 600, 0.001))
    assert [stage.requests for stage in found.stages] == [1800, 9000, 18000]


def test_what_is_caught_is_beyond_the_limit_and_smaller_with_more_traffic() -> None:
    caught = [
        forecast(PLAN, assumed_outlook(PLAN, rate, 0.001)).stages[0].gates[0].catches
        for rate in (60, 600, 6000)
    ]
    assert all(one is not None and one > 0.02 for one in caught)
    assert caught == sorted(caught, key=lambda one: -(one or 0))


def test_a_later_stage_catches_what_the_ones_before_did_not() -> None:
    stages = forecast(PLAN, assumed_outlook(PLAN, 60, 0.001)).stages
    first, second = (stage.gates[0].catches for stage in stages[:2])
    assert first is not None
    assert second is not None
    assert second < first


def test_worse_regressions_live_shorter() -> None:
    found = forecast(PLAN, assumed_outlook(PLAN, 600, 0.01)).regressions
    errors = {one.times: one for one in found if one.gate == "errors"}
    assert errors[2].within  # 2% is the limit itself
    assert not errors[5].within
    assert errors[5].life.minute is not None
    assert errors[20].life.minute is not None
    assert errors[20].life.minute < errors[5].life.minute
    assert errors[20].life.caught > 0.99


def test_a_stage_that_sees_too_little_is_told_with_what_to_do_instead() -> None:
    plan = example("ion-api")
    advice = forecast(plan, assumed_outlook(plan, 0.15, 0.003)).advice
    assert advice[0].startswith(
        "stage 1 gives the candidate about 11 requests in 24 h, 150 are needed: error-rate"
    )
    assert "hold 14 days" in advice[0]
    assert "needs: clean, which would let a release with 20% failures pass" in advice[0]
    assert "1 of 11 cases" in advice[0]
    assert "start at 70%" in advice[0]


def test_clean_is_not_offered_to_a_plan_that_has_it() -> None:
    plan = replace(PLAN, evidence=EvidenceRules(needs=Needs.CLEAN))
    assert not any("needs: clean" in one for one in forecast(plan, Outlook(0.01, {})).advice)


def test_stable_over_a_limit_is_told_as_a_plan_that_can_never_advance() -> None:
    advice = forecast(PLAN, assumed_outlook(PLAN, 600, 0.031)).advice
    assert "stable itself is at 3.1%, the limit at 10% is 1%: this can never advance" in advice[0]


def test_where_not_even_a_dead_candidate_shows_it_is_said() -> None:
    plan = replace(PLAN, stages=(Stage(1, timedelta(minutes=5)), Stage(100, DAY)))
    advice = forecast(plan, assumed_outlook(plan, 1, 0.001)).advice
    assert any("cannot tell even a dead candidate" in one for one in advice)


def test_a_budget_that_is_spent_before_anything_shows_is_told() -> None:
    plan = replace(PLAN, max_failed_requests=10)
    advice = forecast(plan, assumed_outlook(plan, 6000, 0.01)).advice
    assert any("max_failed_requests: 10 is spent before" in one for one in advice)
    assert not any(
        "is spent" in one
        for one in forecast(
            replace(plan, max_failed_requests=5000), assumed_outlook(plan, 6000, 0.01)
        ).advice
    )


def test_without_traffic_it_asks_for_a_rate() -> None:
    found = forecast(PLAN, Outlook(0.0, {}))
    assert found.advice == (
        "nothing is known of the traffic: say it with --rate, such as --rate 0.5/s",
    )
    assert not found.regressions


@pytest.mark.parametrize("name", ["ion-api", "ion-api-low-traffic", "quickstart"])
def test_looks_and_calls_are_counted_for_the_whole_plan(name: str) -> None:
    plan = example(name)
    found = forecast(plan, assumed_outlook(plan, 600, 0.001))
    assert found.hold == sum((stage.hold for stage in plan.stages), timedelta())
    assert found.ticks >= found.hold / timedelta(minutes=5)
    assert found.calls >= 4 * found.ticks


HOUR = timedelta(hours=1)
SLOWLY = replace(
    PLAN, stages=(Stage(1, 0 * HOUR), Stage(10, 2 * HOUR), Stage(50, DAY), Stage(100, 3 * DAY))
)


class TestFigures:
    """To the digit: as they were when `benchmarks/gates` played what they foretell."""

    def test_what_each_stage_catches_by_each_gate(self) -> None:
        stages = forecast(PLAN, assumed_outlook(PLAN, 600, 0.001)).stages
        gates = [(s.number, g) for s in stages for g in s.gates]
        assert [(number, g.name, g.limit, g.needed) for number, g in gates] == [
            (1, "errors", 0.02, 150), (1, "latency", 2000, 30),
            (2, "errors", 0.02, 150), (2, "latency", 2000, 30),
            (3, "errors", 0.02, 150), (3, "latency", 2000, 30),
        ]  # fmt: skip
        assert [g.catches for _, g in gates] == pytest.approx(
            [0.03813780, 0.07778945, 0.02709736, 0.06237583, 0.02503656, 0.06015887], rel=1e-6
        )

    def test_how_long_worse_candidates_live_and_what_they_cost(self) -> None:
        found = forecast(PLAN, assumed_outlook(PLAN, 600, 0.001)).regressions
        assert [(one.gate, one.times, one.within, one.life.minute) for one in found] == [
            ("errors", 2, True, None), ("errors", 5, True, None), ("errors", 20, True, None),
            ("latency", 2, True, None), ("latency", 5, True, None), ("latency", 20, False, 11),
        ]  # fmt: skip
        assert [one.rate for one in found] == pytest.approx([0.002, 0.005, 0.02, 0.02, 0.05, 0.2])
        assert found[2].life.caught == pytest.approx(4.508045e-05, rel=1e-4)
        assert found[2].life.failed == pytest.approx(547.1816, rel=1e-6)
        assert found[5].life.caught == pytest.approx(0.9999171, rel=1e-6)
        assert found[5].life.failed == pytest.approx(119.6948, rel=1e-6)

    def test_no_candidate_fails_more_than_always(self) -> None:
        found = forecast(PLAN, assumed_outlook(PLAN, 600, 0.3)).regressions
        assert [one.rate for one in found if one.gate == "errors"] == [0.6, 1.0, 1.0]

    def test_looks_and_calls(self) -> None:
        """Each minute for two hours, then each 288 s of 24 h, each 5 min of 72 h."""
        found = forecast(SLOWLY, assumed_outlook(SLOWLY, 600, 0.001))
        assert (found.ticks, found.hold) == (120 + (120 + 275) + (120 + 840), 98 * HOUR)
        assert found.calls == found.ticks * 5  # the service, two revisions, two metrics
        often = replace(SLOWLY, evidence=EvidenceRules(interval=timedelta(minutes=7)))
        assert forecast(often, Outlook(0, {})).ticks == 18 + 206 + 618

    def test_of_a_gate_of_which_nothing_is_known_nothing_is_foretold(self) -> None:
        found = forecast(PLAN, Outlook(600, {"errors": 0.001}))
        assert {one.gate for one in found.regressions} == {"errors"}
        assert [gate.catches is None for gate in found.stages[0].gates] == [False, True]

    def test_a_stage_without_hold_catches_nothing_and_is_not_complained_of(self) -> None:
        found = forecast(SLOWLY, assumed_outlook(SLOWLY, 3, 0.001))
        assert [gate.catches for gate in found.stages[0].gates] == [None, None]
        assert found.advice == (
            "stage 2 gives the candidate about 36 requests in 2 h, 150 are needed: errors cannot "
            "be decided there: hold 24 h, or start at 45%, or use needs: clean, which would let a "
            "release with 20% failures pass this stage in no cases",
        )

    def test_the_limits_of_a_stage_without_hold_are_nobodys(self) -> None:
        strict = {"errors": Limits(maximum=0.0001, roll_back=0.0001)}
        plan = replace(PLAN, stages=(Stage(1, 0 * HOUR, limits=strict), *PLAN.stages))
        found = forecast(plan, assumed_outlook(plan, 600, 0.001)).regressions
        assert [one.within for one in found if one.gate == "errors"] == [True, True, True]

    def test_half_of_the_slow_that_the_limit_allows_is_not_assumed_but_a_fifth(self) -> None:
        assert assumed_outlook(PLAN, 5, 0.2).bad == {"errors": 0.2, "latency": pytest.approx(0.01)}

    def test_of_a_latency_without_a_limit_to_roll_back_nothing_is_assumed(self) -> None:
        slow = Gate("latency", Latency(95), Limits(maximum=1000), None)
        plan = replace(PLAN, gates=(*PLAN.gates[:1], slow))
        assert set(assumed_outlook(plan, 5, 0.2).bad) == {"errors"}


class TestAdvice:
    LAST = (
        "from 90% to 95% as the last stage before 100%, a regression under full load could still "
        "be told from an incident by the few percent left on stable"
    )

    @pytest.mark.parametrize(("rate", "given"), [(1200, True), (1199, False)])
    def test_a_busy_service_is_advised_to_keep_a_remainder_on_stable(
        self,
        rate: float,
        given: bool,  # noqa: FBT001
    ) -> None:
        assert (self.LAST in forecast(PLAN, assumed_outlook(PLAN, rate, 0.001)).advice) is given

    @pytest.mark.parametrize(("weight", "given"), [(89, True), (90, False)])
    def test_a_plan_that_keeps_one_is_not(
        self,
        weight: int,
        given: bool,  # noqa: FBT001
    ) -> None:
        plan = replace(PLAN, stages=(Stage(10, HOUR), Stage(weight, HOUR), Stage(100, HOUR)))
        assert (self.LAST in forecast(plan, assumed_outlook(plan, 1200, 0.001)).advice) is given

    @pytest.mark.parametrize(("budget", "given"), [(33, True), (34, False)])
    def test_a_budget_that_a_tenfold_regression_spends_unseen_is_too_small(
        self,
        budget: int,
        given: bool,  # noqa: FBT001
    ) -> None:
        """Within the 4 minutes' delay, at 10% of 6,000 requests a minute: 24, and 10 to spare."""
        plan = replace(PLAN, max_failed_requests=budget)
        advice = forecast(plan, assumed_outlook(plan, 6000, 0.001)).advice
        said = (
            "max_failed_requests: 33 is spent before anything can be seen: a tenfold regression "
            "fails about 34 requests within the delay"
        )
        assert (said in advice) is given

    @pytest.mark.parametrize(("failing", "given"), [(0.06, True), (0.05, False)])
    def test_a_success_rate_is_told_as_such(
        self,
        failing: float,
        given: bool,  # noqa: FBT001
    ) -> None:
        metric = ResponseRate(("2xx",), counts_failures=False)
        ok = Gate("ok", metric, Limits(minimum=0.95, roll_back=0.9), None)
        plan = replace(PLAN, gates=(ok,))
        told = "ok: stable itself is at 94%, the limit at 10% is 95%: this can never advance"
        assert (told in forecast(plan, Outlook(600, {"ok": failing})).advice) is given

    def test_a_stage_whose_own_limit_stable_breaks_is_named(self) -> None:
        stricter = {"errors": Limits(maximum=0.0001, roll_back=0.02)}
        stages = (PLAN.stages[0], replace(PLAN.stages[1], limits=stricter), PLAN.stages[2])
        plan = replace(PLAN, stages=stages)
        assert forecast(plan, assumed_outlook(plan, 600, 0.001)).advice == (
            "errors: stable itself is at 0.1%, the limit at 50% is 0.01%: this can never advance",
        )


def test_spans_are_told_in_minutes_hours_and_days() -> None:
    spans = (0.5, 0.9, 1, 47, 48, 60)
    told = [_days(HOUR * hours) for hours in spans]
    assert told == ["30 min", "54 min", "1 h", "47 h", "2 days", "2 days"]
