"""Before the first shift: what stable's last day says, what is refused, what is warned of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine.forecast import Outlook, outlook_of
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

    def test_a_mean_that_only_has_to_be_better_is_read_as_a_rate_is(self) -> None:
        faster = Gate("faster", Latency(None), Limits(), Versus(better_by=0.1))
        count = Gate("n", RequestCount(), Limits(minimum=9), None)
        looks = looks_back(replace(PLAN, gates=(faster, count)), at(0))
        assert {look.period for look in looks.values()} == {QUARTER}


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
            ((replace(ERRORS, limits=Limits(), versus_stable=Versus(better_by=0.1)),), 0, True),
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


class TestWhatIsWarnedOf:
    MEAN = Gate("mean", Latency(None), Limits(maximum=499, roll_back=900), None)

    @pytest.mark.parametrize(("limit", "told"), [(500, True), (499, False)])
    def test_a_limit_ten_times_stables_mean_and_none_below(
        self,
        limit: float,
        told: bool,  # noqa: FBT001
    ) -> None:
        gate = replace(self.MEAN, limits=Limits(maximum=limit, roll_back=900))
        found = looked(replace(PLAN, gates=(gate, ERRORS))).warnings
        said = "mean: the limit is 10x stable's mean (50 ms): a tenfold slowdown would pass"
        assert (said in found) is told

    def test_other_metrics_limits_are_no_slowdown(self) -> None:
        score = replace(SCORE, limits=Limits(maximum=100))
        found = looked(replace(PLAN, gates=(score, ERRORS)), score=0.01).warnings
        assert found == ()
        still = looked(replace(PLAN, gates=(self.MEAN, ERRORS)), latency=None).warnings
        assert not [one for one in still if "slowdown" in one]

    @pytest.mark.parametrize(("a_quarter", "told"), [(716, True), (721, False)])
    def test_fewer_requests_than_are_needed_in_the_first_stage_that_lacks_them(
        self,
        a_quarter: int,
        told: bool,  # noqa: FBT001
    ) -> None:
        """150 of 10% in half an hour are 750 a quarter hour; of the last day two minutes lack."""
        plan = replace(PLAN, gates=(ERRORS,), stages=(Stage(10, 0 * MINUTE), *PLAN.stages))
        found = looked(plan, codes(a_quarter + 30, 0)).warnings
        assert bool(found) is told
        if told:
            assert found[0].startswith("errors: 10% for 30 min will see about 1")
            assert found[0].endswith("requests, 150 are needed: it will stay undecided")

    def test_what_is_odd_about_the_service_is_said_first(self) -> None:
        service = service_of(starting(), unusual=("session affinity is on",))
        found = preflight(PLAN, service, NEW, {}, at(0)).warnings
        assert found[0] == "session affinity is on"
        assert not any("LATEST" in one for one in found)
        tagged = replace(service, targets=(*service.targets, Target(None, 0, "next")))
        assert not any("LATEST" in one for one in preflight(PLAN, tagged, NEW, {}, at(0)).warnings)

    def test_only_stable_is_judged_not_the_candidate_beside_it(self) -> None:
        looks = looks_back(PLAN, at(0))
        both: dict[Query, Seen[Readings] | NotSeen] = {}
        for query, look in looks.items():
            count = (look.window.end - look.window.start) // look.period
            ends = [look.window.start + look.period * (n + 1) for n in range(count)]
            fine: Value = FAST if isinstance(query, Latencies) else codes(1500, 3)
            bad: Value = FAST if isinstance(query, Latencies) else codes(1500, 900)
            both[query] = Seen({OLD: dict.fromkeys(ends, fine), NEW: dict.fromkeys(ends, bad)})
        service = service_of(starting(), {OLD: 60, NEW: 40})
        assert preflight(PLAN, service, NEW, both, at(0)).refusals == ()


class TestOutlook:
    """What a preview knows of stable, from the same day."""

    def outlook(self, plan: Plan, **values: Value) -> Outlook:
        looks = looks_back(plan, at(0))
        seen: dict[Query, Seen[Readings]] = {}
        for query, look in looks.items():
            count = (look.window.end - look.window.start) // look.period
            ends = [look.window.start + look.period * (n + 1) for n in range(count)]
            value = values.get(type(query).__name__)
            if value is not None:
                seen[query] = Seen({OLD: dict.fromkeys(ends, value)})
        return outlook_of(plan, [OLD], seen, looks)

    def test_requests_a_minute_and_the_bad_share_of_each_gate(self) -> None:
        found = self.outlook(PLAN, Requests=codes(1500, 3), Latencies=FAST)
        assert found.requests == pytest.approx(100)
        assert found.bad == {"errors": pytest.approx(0.002), "latency": 0.0}
        assert found.history["errors"].per_minute == 100

    def test_of_what_was_not_read_nothing_is_said(self) -> None:
        found = self.outlook(PLAN, Latencies=FAST)
        assert set(found.bad) == {"latency"}
        assert set(found.history) == {"latency"}
        assert found.requests == pytest.approx(100)

    def test_of_a_latency_without_a_limit_to_roll_back_nothing_is_bad(self) -> None:
        """Every one of stable's requests counted as beyond it."""
        slow = replace(SLOW, limits=Limits(maximum=1000))
        bare = replace(ERRORS, limits=Limits(maximum=0.01))
        found = self.outlook(
            replace(PLAN, gates=(slow, bare)), Requests=codes(1500, 3), Latencies=FAST
        )
        assert found.bad == {"errors": pytest.approx(0.002)}
        assert self.outlook(replace(PLAN, gates=(slow,)), Latencies=FAST).requests > 0
        assert set(found.history) >= {"errors", "latency"}

    def test_an_applications_own_metric_tells_no_rate_of_requests(self) -> None:
        found = self.outlook(replace(PLAN, gates=(SCORE,)), CustomMetric=Number(0.8))
        assert (found.requests, found.bad) == (0.0, {})
        assert found.history["score"].reference == pytest.approx(0.8)


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
