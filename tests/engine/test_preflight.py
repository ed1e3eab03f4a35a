"""Before the first shift: what stable's last day says, what is refused, what is warned of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine.largest import largest_record
from controller.engine.observation import NotSeen, Seen, Target
from controller.engine.preflight import Preflight, looks_back, preflight
from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Histogram,
    Latencies,
    Number,
    Query,
    Readings,
    Requests,
    Value,
)
from controller.plan.model import (
    CustomMetric,
    Gate,
    Latency,
    Limits,
    OnFail,
    Plan,
    RequestCount,
    Stage,
    Versus,
)
from tests.engine.builders import (
    ERRORS,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    SLOW,
    at,
    codes,
    service_of,
    starting,
)
from tests.engine.world import LONG, World, incident, poison

QUARTER = 15 * MINUTE
SCORE = Gate(
    "score",
    CustomMetric("custom.googleapis.com/score"),
    Limits(minimum=0.75, roll_back=0.70),
    Versus(worse_by=0.02),
)
FAST = Histogram(Explicit((100.0, 200.0, 5000.0)), {0: 1400, 1: 100}, 50.0)


def looked(
    plan: Plan, requests: Value | None = None, latency: Value | None = FAST, score: float = 0.8
) -> Preflight:
    """Judge a service whose every point of the last day was the same."""
    looks = looks_back(plan, at(0))
    history: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, look in looks.items():
        count = (look.window.end - look.window.start) // look.period
        ends = [look.window.start + look.period * (n + 1) for n in range(count)]
        value: Value | None
        match query:
            case Requests():
                value = codes(1500, 3) if requests is None else requests
            case Latencies():
                value = latency
            case _:
                value = Number(score)
        points: Mapping[str, Mapping[object, Value]] = (
            {} if value is None else {OLD: dict.fromkeys(ends, value)}
        )
        history[query] = Seen(points)  # type: ignore[arg-type]
    return preflight(plan, service_of(starting(plan)), NEW, history, at(0))


class TestLooksBack:
    def test_rates_are_read_by_the_quarter_hour_and_means_by_the_minute(self) -> None:
        looks = looks_back(replace(PLAN, gates=(ERRORS, SLOW, SCORE)), at(0))
        periods = {type(query): look.period for query, look in looks.items()}
        assert periods == {Requests: QUARTER, Latencies: QUARTER, CustomMetric: MINUTE}

    def test_it_is_the_day_up_to_what_has_settled(self) -> None:
        looks = looks_back(PLAN, at(0.5))
        assert {look.window.end for look in looks.values()} == {at(-4)}
        assert {look.window.start for look in looks.values()} == {at(-4) - timedelta(hours=24)}

    def test_two_gates_of_one_metric_are_read_once_at_the_finer_step(self) -> None:
        mean = Gate("mean", Latency(None), Limits(maximum=300, roll_back=400), Versus(ratio=1.25))
        looks = looks_back(replace(PLAN, gates=(SLOW, mean)), at(0))
        assert looks[Latencies()].period == MINUTE


class TestHistory:
    def test_each_gate_learns_what_stable_is_like(self) -> None:
        found = looked(replace(PLAN, gates=(ERRORS, SLOW, SCORE), max_failed_requests=50)).history
        assert set(found) == {"errors", "latency", "score", "failed-requests"}
        assert found["errors"].per_minute == 100
        assert found["latency"].edge == 200.0
        assert found["score"].reference == pytest.approx(0.8)
        reference = found["failed-requests"].reference
        assert reference is not None
        assert 0.002 < reference < 0.003

    def test_of_what_was_not_seen_nothing_is_known(self) -> None:
        assert looked(PLAN, CodeCounts({}), None).history == {}
        silent = dict.fromkeys(looks_back(PLAN, at(0)), NotSeen("quota"))
        found = preflight(PLAN, service_of(starting()), NEW, silent, at(0))
        assert found.history == {}
        assert "errors, latency: stable could not be judged first: quota" in found.warnings

    def test_the_candidates_own_points_are_not_stables(self) -> None:
        looks = looks_back(PLAN, at(0))
        history: dict[Query, Seen[Readings] | NotSeen] = {
            query: Seen({NEW: {look.window.end: codes(10**6, 10**5)}})
            for query, look in looks.items()
        }
        assert preflight(PLAN, service_of(starting()), NEW, history, at(0)).history == {}


class TestRefusals:
    def test_a_stable_within_its_limits_is_no_reason(self) -> None:
        assert looked(PLAN).refusals == ()

    def test_stable_over_the_limit_to_advance_can_never_advance(self) -> None:
        (refusal,) = looked(PLAN, codes(1500, 60)).refusals
        assert refusal == (
            "errors: stable itself is at 4%, the limit at 10% is 1%: this can never advance"
        )

    def test_a_stage_with_limits_of_its_own_is_named(self) -> None:
        later = Stage(50, timedelta(minutes=30), limits={"errors": Limits(0.001, None, 0.002)})
        plan = replace(PLAN, stages=(PLAN.stages[0], later, PLAN.stages[2]))
        (refusal,) = looked(plan).refusals
        assert "the limit at 50% is 0.1%" in refusal

    def test_a_low_score_is_one_too(self) -> None:
        (refusal,) = looked(replace(PLAN, gates=(SCORE,)), score=0.6).refusals
        assert refusal.startswith("score: stable itself is at mean 0.6")


class TestWarnings:
    def test_too_little_traffic_is_forecast(self) -> None:
        found = looked(PLAN, codes(15, 0)).warnings
        assert any(
            "10% for 30 min will see about 3 requests, 150 are needed" in one for one in found
        )

    def test_a_limit_far_above_stable_is_told(self) -> None:
        loose = replace(SLOW, limits=Limits(maximum=100_000, roll_back=200_000))
        found = looked(replace(PLAN, gates=(loose,))).warnings
        assert any("a tenfold slowdown would pass" in one for one in found)

    def test_what_is_the_same_for_several_gates_is_said_once(self) -> None:
        found = looked(PLAN, CodeCounts({}), None).warnings
        assert [one for one in found if one.startswith("errors, latency: Monitoring has no data")]

    @pytest.mark.parametrize(
        ("gates", "budget", "warned"),
        [
            ((SLOW,), 0, True),
            ((SLOW, replace(ERRORS, on_fail=OnFail.OBSERVE)), 0, True),
            ((SLOW,), 50, False),
            ((ERRORS,), 0, False),
        ],
    )
    def test_a_plan_that_overlooks_failed_requests_is_told_so(
        self, gates: tuple[Gate, ...], budget: int, *, warned: bool
    ) -> None:
        plan = replace(PLAN, gates=gates, max_failed_requests=budget)
        warnings = "\n".join(looked(plan).warnings)
        assert ("answers every one with an error" in warnings) is warned

    def test_traffic_to_latest_is_said_to_be_pinned(self) -> None:
        service = replace(service_of(starting()), targets=(Target(None, 100),))
        found = preflight(PLAN, service, NEW, {}, at(0))
        assert "traffic goes to LATEST; it is pinned to the revision that means now" in (
            found.warnings
        )


@pytest.mark.parametrize("truth", [poison(), incident(5, 90)], ids=["poison", "incident"])
def test_no_record_of_a_rollout_is_larger_than_its_plan_was_counted_on_to_need(
    truth: object,
) -> None:
    plan = replace(
        LONG, gates=(*LONG.gates, Gate("n", RequestCount(), Limits(minimum=9), None)),
        max_failed_requests=10**6,
    )  # fmt: skip
    world, most = World(plan, truth, stage=1), largest_record(plan)  # type: ignore[arg-type]
    while world.minute < 120 and not world.record.outcomes:
        world.tick()
        assert len(world.text.encode()) <= most
