"""What a plan can decide, before it runs: numbers by calculation, and advice in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from controller.engine.forecast import Outlook, assumed_outlook, forecast
from controller.plan.model import EvidenceRules, Needs, Plan, Stage
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
