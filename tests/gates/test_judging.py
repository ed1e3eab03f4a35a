"""What a gate says of a stage's evidence: pass, fail or undecided, each for a named reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Histogram,
    Minute,
    Number,
    Value,
    minutes_of,
)
from controller.gates.judging import judge, needed_sample
from controller.gates.tally import Tally, absorb
from controller.gates.verdict import Fail, Pass, Undecided, Verdict, Why
from controller.plan.model import (
    CustomMetric,
    Gate,
    Latency,
    Limits,
    RequestCount,
    ResponseRate,
    Versus,
)

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RATIO = Versus(ratio=1.25)

ERRORS = Gate(
    "error-rate",
    ResponseRate(("5xx",), counts_failures=True),
    Limits(maximum=0.01, roll_back=0.02, emergency=0.05),
    RATIO,
)
SUCCESS = Gate(
    "success",
    ResponseRate(("2xx", "3xx"), counts_failures=False),
    Limits(minimum=0.95, roll_back=0.90),
    RATIO,
)
P95 = Gate("latency", Latency(95), Limits(maximum=250, roll_back=350), RATIO)
REQUESTS = Gate("requests", RequestCount(), Limits(minimum=100), None)
SCORE = Gate(
    "confidence",
    CustomMetric("custom.googleapis.com/score"),
    Limits(minimum=0.75, roll_back=0.70),
    Versus(worse_by=0.02),
)
FASTER = Gate("faster", Latency(None), Limits(), Versus(better_by=0.10))


def tally_of(gate: Gate, *pairs: tuple[Value | None, Value | None]) -> Tally:
    """Absorb one minute for each (candidate, stable)."""
    tally = Tally()
    for number, (candidate, stable) in enumerate(pairs):
        minute = Minute(START + timedelta(minutes=number + 1), candidate, stable)
        tally = absorb(gate, tally, minute)
    return tally


def codes(total: int, failed: int) -> CodeCounts:
    return CodeCounts({"2xx": total - failed, "5xx": failed})


def rated(
    gate: Gate, candidate: CodeCounts | None, stable: CodeCounts | None, *, compared: bool = True
) -> Verdict:
    return judge(gate, tally_of(gate, (candidate, stable)), compared=compared)


def mean_histogram(total: int, mean: float) -> Histogram:
    return Histogram(Explicit((1000.0,)), {0: total}, mean)


def why(verdict: Verdict) -> Why:
    assert isinstance(verdict, Undecided), verdict
    return verdict.why


class TestSample:
    def test_no_data_is_never_a_pass(self) -> None:
        for gate in (ERRORS, SUCCESS, P95, REQUESTS, SCORE, FASTER):
            for compared in (True, False):
                verdict = judge(gate, Tally(), compared=compared)
                if gate is FASTER and not compared:
                    continue  # nobody is left to be faster than
                assert why(verdict) is Why.NO_DATA
                assert verdict.reason

    def test_below_its_sample_a_gate_is_undecided_however_good_or_bad(self) -> None:
        assert needed_sample(ERRORS, 0.01) == 300
        assert why(rated(ERRORS, codes(299, 0), codes(5000, 5))) is Why.SAMPLE
        assert why(rated(ERRORS, codes(59, 59), codes(5000, 5))) is Why.SAMPLE
        assert isinstance(rated(ERRORS, codes(300, 0), codes(5000, 5)), Pass)

    @pytest.mark.parametrize(
        ("gate", "limit", "needed"),
        [
            (ERRORS, 0.02, 150),
            (ERRORS, 0.05, 60),
            (ERRORS, 0.001, 300),
            (ERRORS, 0.0, 300),
            (SUCCESS, 0.95, 60),
            (SUCCESS, 1.0, 300),
            (P95, 250, 60),
            (FASTER, None, 30),
            (SCORE, 0.75, 10),
            (REQUESTS, None, 100),
        ],
    )
    def test_the_sample_needed_follows_from_the_limit(
        self, gate: Gate, limit: float | None, needed: int
    ) -> None:
        assert needed_sample(gate, limit) == needed

    def test_a_request_gate_waits_for_its_number_and_never_fails(self) -> None:
        assert why(rated(REQUESTS, codes(99, 99), None)) is Why.SAMPLE
        assert isinstance(rated(REQUESTS, codes(100, 100), None), Pass)

    def test_the_verdict_carries_its_numbers(self) -> None:
        figures = rated(ERRORS, codes(1000, 30), codes(2000, 2)).figures
        assert (figures.estimate, figures.stable) == (0.03, 0.001)
        assert (figures.sample, figures.stable_sample) == (1000, 2000)


class TestLimits:
    def test_at_the_limit_to_advance_it_passes_and_beyond_it_is_undecided(self) -> None:
        assert isinstance(rated(ERRORS, codes(1000, 10), codes(1000, 1)), Pass)
        assert why(rated(ERRORS, codes(1000, 11), codes(1000, 1))) is Why.BETWEEN
        assert why(rated(ERRORS, codes(1000, 20), codes(1000, 1))) is Why.BETWEEN

    def test_beyond_the_limit_to_roll_back_it_fails_if_stable_is_better(self) -> None:
        verdict = rated(ERRORS, codes(1000, 41), codes(9000, 18))
        assert isinstance(verdict, Fail)
        assert not verdict.emergency
        assert "4.1%" in verdict.reason
        assert "0.2%" in verdict.reason

    def test_when_both_revisions_fail_it_is_not_the_candidates_fault(self) -> None:
        assert why(rated(ERRORS, codes(1000, 41), codes(1000, 40))) is Why.BOTH_FAILING

    def test_the_candidate_may_be_a_quarter_worse_than_stable_and_not_more(self) -> None:
        assert why(rated(ERRORS, codes(1000, 40), codes(1000, 32))) is Why.BOTH_FAILING
        assert isinstance(rated(ERRORS, codes(1000, 41), codes(1000, 32)), Fail)

    def test_an_emergency_is_not_compared_with_stable(self) -> None:
        verdict = rated(ERRORS, codes(60, 6), codes(1000, 900))
        assert isinstance(verdict, Fail)
        assert verdict.emergency
        assert "emergency" in verdict.reason

    def test_an_emergency_needs_only_the_sample_of_its_own_limit(self) -> None:
        assert why(rated(ERRORS, codes(59, 30), None)) is Why.SAMPLE
        assert isinstance(rated(ERRORS, codes(60, 30), None), Fail)

    def test_too_little_of_stable_does_not_excuse_a_candidate_over_its_limit(self) -> None:
        assert isinstance(rated(ERRORS, codes(1000, 41), codes(10, 10)), Fail)
        assert isinstance(rated(ERRORS, codes(1000, 41), None), Fail)

    def test_at_100_percent_the_limits_decide_alone(self) -> None:
        stale = codes(1000, 41)
        assert isinstance(rated(ERRORS, codes(1000, 41), stale, compared=False), Fail)
        assert isinstance(rated(ERRORS, codes(1000, 1), stale, compared=False), Pass)
        assert isinstance(rated(FASTER, None, None, compared=False), Pass)

    def test_without_comparison_the_limit_decides_alone(self) -> None:
        alone = replace(ERRORS, versus_stable=None)
        assert isinstance(rated(alone, codes(1000, 41), codes(1000, 41)), Fail)

    def test_a_gate_of_comparison_only_waits_for_stable(self) -> None:
        gate = replace(ERRORS, limits=Limits())
        assert why(rated(gate, codes(1000, 1), codes(10, 0))) is Why.STABLE
        assert isinstance(rated(gate, codes(1000, 10), codes(1000, 10)), Pass)
        assert isinstance(rated(gate, codes(1000, 20), codes(1000, 10)), Fail)


class TestSuccessRate:
    def test_redirects_are_successes_and_client_errors_are_not(self) -> None:
        both = CodeCounts({"2xx": 90, "3xx": 9, "4xx": 1})
        verdict = rated(SUCCESS, both, None)
        assert isinstance(verdict, Pass)
        assert verdict.figures.estimate == 0.99

    def test_an_exact_code_belongs_to_its_class(self) -> None:
        counted = CodeCounts({"200": 95, "429": 5})
        assert rated(SUCCESS, counted, None).figures.estimate == 0.95
        only_429 = replace(ERRORS, metric=ResponseRate(("429",), counts_failures=True))
        assert rated(only_429, counted, None).figures.estimate == 0.05

    def test_the_ratio_is_of_the_failures(self) -> None:
        # 88% against 90%: 12% of failures against 10% is 1.2 times, against 9% 1.33 times.
        assert why(rated(SUCCESS, codes(1000, 120), codes(1000, 100))) is Why.BOTH_FAILING
        assert isinstance(rated(SUCCESS, codes(1000, 120), codes(1000, 90)), Fail)


class TestLatency:
    BOUNDS = Explicit((100.0, 200.0, 300.0, 400.0))

    def test_the_percentile_is_taken_from_the_merged_histograms_of_all_minutes(self) -> None:
        # 40 + 50 below 100 ms and 10 in 200..300 ms: rank 95 is the fifth of those ten.
        tally = tally_of(
            P95,
            (Histogram(self.BOUNDS, {0: 40}, 50.0), None),
            (Histogram(self.BOUNDS, {0: 50, 2: 10}, 80.0), None),
        )
        assert judge(P95, tally).figures.estimate == pytest.approx(250.0)

    def test_what_lies_above_the_last_bound_is_given_as_that_bound(self) -> None:
        tally = tally_of(P95, (Histogram(self.BOUNDS, {4: 100}, 9000.0), None))
        verdict = judge(P95, tally)
        assert verdict.figures.estimate == 400.0
        assert isinstance(verdict, Fail)

    def test_minutes_with_other_buckets_do_not_count(self) -> None:
        tally = tally_of(
            P95,
            (Histogram(self.BOUNDS, {0: 60}, 50.0), None),
            (Histogram(Explicit((1.0, 2.0)), {2: 1000}, 9.0), None),
        )
        assert judge(P95, tally).figures.sample == 60

    def test_a_percentile_of_a_distribution_is_not_the_mean_of_percentiles(self) -> None:
        tally = tally_of(
            P95,
            (Histogram(self.BOUNDS, {0: 950}, 50.0), None),
            (Histogram(self.BOUNDS, {3: 10}, 350.0), None),
        )
        estimate = judge(P95, tally).figures.estimate
        assert estimate is not None
        assert estimate < 100


class TestImprovement:
    @pytest.mark.parametrize(("mean", "verdict"), [(89.0, Pass), (90.0, Pass), (91.0, Undecided)])
    def test_better_by_is_a_condition_to_advance(self, mean: float, verdict: type) -> None:
        tally = tally_of(FASTER, (mean_histogram(100, mean), mean_histogram(100, 100.0)))
        assert isinstance(judge(FASTER, tally), verdict)

    def test_however_bad_it_never_fails(self) -> None:
        tally = tally_of(FASTER, (mean_histogram(100, 900.0), mean_histogram(100, 100.0)))
        assert why(judge(FASTER, tally)) is Why.NOT_BETTER

    def test_it_needs_enough_of_both_sides(self) -> None:
        little, much = mean_histogram(29, 10.0), mean_histogram(30, 100.0)
        assert why(judge(FASTER, tally_of(FASTER, (little, much)))) is Why.SAMPLE
        assert why(judge(FASTER, tally_of(FASTER, (much, little)))) is Why.STABLE


class TestGauge:
    def test_the_mean_is_over_the_minutes_that_had_a_value(self) -> None:
        values = [0.7, 0.8] * 5
        tally = tally_of(SCORE, *((Number(v), Number(0.8)) for v in values), (None, Number(0.1)))
        verdict = judge(SCORE, tally)
        assert verdict.figures.estimate == pytest.approx(0.75)
        assert verdict.figures.sample == 10
        assert isinstance(verdict, Pass | Undecided)

    def test_below_the_minimum_it_fails_if_it_is_worse_than_stable_by_the_margin(self) -> None:
        bad = tally_of(SCORE, *[(Number(0.65), Number(0.80))] * 10)
        assert isinstance(judge(SCORE, bad), Fail)
        alike = tally_of(SCORE, *[(Number(0.65), Number(0.66))] * 10)
        assert why(judge(SCORE, alike)) is Why.BOTH_FAILING

    def test_nine_minutes_are_too_few(self) -> None:
        assert why(judge(SCORE, tally_of(SCORE, *[(Number(0.1), Number(0.9))] * 9))) is Why.SAMPLE

    def test_a_value_of_another_kind_is_no_evidence(self) -> None:
        tally = tally_of(SCORE, (CodeCounts({"2xx": 100}), None))
        assert why(judge(SCORE, tally)) is Why.NO_DATA


class TestMinutes:
    ONE, TWO = START + timedelta(minutes=1), START + timedelta(minutes=2)

    def test_several_stable_revisions_are_merged_by_minute(self) -> None:
        readings = {
            "new": {self.ONE: codes(10, 1)},
            "old-a": {self.ONE: codes(100, 2), self.TWO: codes(50, 0)},
            "old-b": {self.ONE: codes(30, 1)},
        }
        minutes = minutes_of(readings, "new", ("old-a", "old-b"), START, self.TWO)
        assert minutes == (
            Minute(self.ONE, codes(10, 1), CodeCounts({"2xx": 127, "5xx": 3})),
            Minute(self.TWO, None, codes(50, 0)),
        )

    def test_the_start_is_left_out_and_the_end_is_in(self) -> None:
        readings = {"new": {START: codes(1, 0), self.ONE: codes(2, 0), self.TWO: codes(3, 0)}}
        minutes = minutes_of(readings, "new", (), START, self.ONE)
        assert [minute.end for minute in minutes] == [self.ONE]

    def test_merged_histograms_keep_the_mean_of_all_observations(self) -> None:
        readings = {
            "a": {self.ONE: mean_histogram(1, 100.0)},
            "b": {self.ONE: mean_histogram(3, 200.0)},
        }
        (minute,) = minutes_of(readings, "new", ("a", "b"), START, self.ONE)
        assert minute.stable == mean_histogram(4, 175.0)

    def test_gauges_of_several_revisions_are_averaged(self) -> None:
        readings = {"a": {self.ONE: Number(0.5)}, "b": {self.ONE: Number(0.75)}}
        (minute,) = minutes_of(readings, "new", ("a", "b"), START, self.ONE)
        assert minute.stable == Number(0.625)

    def test_the_candidate_is_never_its_own_stable(self) -> None:
        readings = {"new": {self.ONE: codes(10, 1)}}
        (minute,) = minutes_of(readings, "new", ("new",), START, self.ONE)
        assert minute.stable is None
