"""What a gate says of what it absorbed: pass, fail or undecided, each for a named reason.

And the sentence that a person reads, word for word where somebody will act on it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.gates.betting import Question, Terms
from controller.gates.evidence import MINUTE, CodeCounts, Explicit, Histogram, Number, Value
from controller.gates.history import History
from controller.gates.judging import is_proved_good, judge, needed_sample
from controller.gates.kernel import wealth_of
from controller.gates.state import State
from controller.gates.verdict import Fail, Figures, Pass, Undecided, Why, word
from controller.plan.model import Gate, Limits, Needs, ResponseRate, Versus
from tests.gates.builders import (
    ALONE,
    ARRIVAL,
    AT_100,
    BUDGET,
    COMPARED,
    ERRORS,
    EVERY,
    FASTER,
    MEAN,
    P95,
    REQUESTS,
    SCORE,
    START,
    SUCCESS,
    TERMS,
    WITH_EMERGENCY,
    Pair,
    codes,
    failed_after,
    grown,
    judged,
    mean_histogram,
    why,
)

KNOWN_100 = replace(AT_100, history=History(1.0, 1000.0, None, 0.002))


def shares(candidate: tuple[int, int], stable: tuple[int, int], count: int = 10) -> list[Pair]:
    """Return `count` minutes of (requests, failed) on both sides."""
    return [(codes(*candidate), codes(*stable))] * count


class TestTurnsBadLate:
    """The stage as a whole is still within the limit: the sentence names the minutes that fail."""

    def late(self, gate: Gate, good: Pair, bad: Pair) -> str:
        verdict = judged(gate, [good] * 600 + [bad] * 12)
        assert isinstance(verdict, Fail), gate.name
        return verdict.reason

    def test_the_minutes_that_fail_come_first(self) -> None:
        stable = codes(1000, 2)
        told = self.late(ERRORS, (codes(100, 0), stable), (codes(100, 30), stable))
        begun = START + 600 * MINUTE
        assert told.startswith(f"30% of 1,200 requests since {begun:%H:%M}Z, ")
        assert told.endswith("Z, limit 2%, stable 0.2% (0.588% of 61,200 requests in the stage)")
        told = self.late(SUCCESS, (codes(100, 0), stable), (codes(100, 50), stable))
        assert told.startswith("50% of ")
        assert told.endswith("limit 90%, stable 99.8% (99% of 61,200 requests in the stage)")

    def test_of_latencies_the_share_beyond_the_limit(self) -> None:
        buckets = Explicit((200.0, 350.0, 400.0))
        fast, slow = Histogram(buckets, {0: 100}, 150.0), Histogram(buckets, {0: 60, 3: 40}, 300.0)
        told = self.late(P95, (fast, fast), (slow, fast))
        assert told.startswith("40.0% of 1,200 requests since ")
        assert "Z beyond the limit, limit 350 ms, stable " in told
        assert told.endswith(" (p95 192 ms of 61,200 requests in the stage)")

    def test_where_nothing_tells_since_when_its_last_minutes_are_named(self) -> None:
        told = self.late(ALONE, (codes(100, 0), None), (codes(100, 30), None))
        assert told.startswith("its last minutes are beyond the limit, limit 2% (0.588% of ")

    def test_an_emergency_is_told_so_as_well(self) -> None:
        stable = codes(1000, 2)
        told = self.late(WITH_EMERGENCY, (codes(100, 0), stable), (codes(100, 90), stable))
        assert told.startswith("90% of 1,200 requests since ")
        assert "emergency limit 20%" in told


class TestSample:
    def test_no_data_is_never_a_pass(self) -> None:
        for gate in EVERY:
            for terms in (TERMS, replace(TERMS, needs=Needs.CLEAN), AT_100):
                if gate in (FASTER, BUDGET, ARRIVAL) and (terms is AT_100 or gate is BUDGET):
                    continue  # nobody is left to be faster than; no request, no failed one
                verdict = judge(gate, terms, State())
                assert why(verdict) is Why.NO_DATA, gate.name
                assert verdict.reason

    def test_below_its_sample_a_gate_is_undecided_however_good(self) -> None:
        assert why(judged(ERRORS, shares((14, 0), (500, 0)))) is Why.SAMPLE
        verdict = judged(ERRORS, shares((15, 0), (500, 0)))
        assert isinstance(verdict, Pass)
        assert verdict.reason == "0% of 150 requests (may be 2.64%), at most 1% wanted"
        assert judged(ERRORS, shares((30, 0), (500, 0))).reason.startswith("0% of 300 requests,")

    def test_what_is_missing_is_said(self) -> None:
        assert judged(ERRORS, shares((14, 0), (1, 0))).reason == "140 of 150 requests needed"
        assert judged(SCORE, [(Number(0.8), None)] * 3).reason == "3 of 10 minutes needed"
        assert judged(REQUESTS, shares((9, 0), (0, 0))).reason == "90 of 100 requests needed"

    @pytest.mark.parametrize(
        ("gate", "limit", "needed"),
        [
            (ERRORS, 0.02, 75),
            (ERRORS, 0.05, 30),
            (ERRORS, 0.001, 150),
            (ERRORS, 0.0, 150),
            (SUCCESS, 0.95, 30),
            (SUCCESS, 1.0, 150),
            (P95, 250, 30),
            (MEAN, 300, 30),
            (FASTER, None, 30),
            (SCORE, 0.75, 10),
            (REQUESTS, None, 100),
        ],
    )
    def test_the_sample_needed_follows_from_the_limit(
        self, gate: Gate, limit: float | None, needed: int
    ) -> None:
        assert needed_sample(gate, limit) == needed

    def test_clean_is_content_with_one_request(self) -> None:
        clean = replace(TERMS, needs=Needs.CLEAN)
        assert isinstance(judged(ERRORS, [(codes(1, 0), None)], clean), Pass)
        assert why(judged(ERRORS, [(codes(18, 1), codes(400, 1))], clean)) is Why.BETWEEN
        assert needed_sample(REQUESTS, None, Needs.CLEAN) == 100  # a person asked for that many

    def test_proof_waits_until_the_candidate_is_proved_to_be_good(self) -> None:
        proof = replace(TERMS, needs=Needs.PROOF, proves=True)
        verdict = judged(ERRORS, shares((100, 0), (900, 0), 4), proof)
        assert why(verdict) is Why.PROOF
        assert verdict.reason == "0% of 400 requests, at most 1% wanted, which is not yet proved"
        assert isinstance(judged(ERRORS, shares((100, 0), (900, 0), 10), proof), Pass)
        assert why(judged(ERRORS, shares((100, 1), (900, 9), 100), proof)) is Why.PROOF
        assert why(judged(ERRORS, shares((100, 2), (900, 18), 100), proof)) is Why.BETWEEN

    def test_gates_without_a_limit_need_no_proof(self) -> None:
        for gate in (REQUESTS, FASTER, ARRIVAL, BUDGET, COMPARED):
            assert is_proved_good(gate, TERMS, State())
        assert not is_proved_good(ERRORS, TERMS, State())

    def test_a_request_gate_waits_for_its_number_and_never_fails(self) -> None:
        assert why(judged(REQUESTS, [(codes(99, 99), None)])) is Why.SAMPLE
        assert isinstance(judged(REQUESTS, [(codes(100, 100), None)]), Pass)

    def test_the_verdict_carries_its_numbers(self) -> None:
        figures = judged(ERRORS, shares((100, 1), (200, 1))).figures
        assert (figures.estimate, figures.stable) == (0.01, 0.005)
        assert (figures.sample, figures.stable_sample, figures.bad) == (1000, 2000, 10)
        assert figures.limit == 0.01
        assert 0 < figures.spent < 1
        assert figures.interval is not None
        low, high = figures.interval
        assert low < 0.01 < high

    def test_where_nothing_was_seen_or_a_mean_is_meant_there_is_no_interval(self) -> None:
        assert Figures().interval is None
        assert judged(SCORE, [(Number(0.8), None)] * 10).figures.interval is None


class TestLimits:
    def test_at_the_limit_to_advance_it_passes_and_beyond_it_is_undecided(self) -> None:
        assert isinstance(judged(ERRORS, shares((100, 1), (900, 1))), Pass)
        verdict = judged(ERRORS, [*shares((100, 1), (900, 1)), (codes(0, 0), codes(1, 0)),
                                  (codes(1, 1), codes(9, 0))])  # fmt: skip
        assert why(verdict) is Why.BETWEEN
        assert verdict.reason == "1.1% of 1,001 requests, limit to advance 1%"

    def test_beyond_the_limit_to_roll_back_it_fails_if_stable_is_better(self) -> None:
        verdict = judged(ERRORS, shares((100, 5), (900, 2), 30))
        assert isinstance(verdict, Fail)
        assert not verdict.emergency
        assert verdict.reason == "5% of 3,000 requests, limit 2%, stable 0.222%"
        assert verdict.figures.spent == 1.0
        assert word(verdict) == "fail"

    def test_a_few_failures_are_no_proof(self) -> None:
        # the point estimate is 10%, five times the limit; the evidence is two requests
        verdict = judged(ERRORS, [(codes(20, 2), codes(900, 0))])
        assert not isinstance(verdict, Fail)

    def test_when_both_revisions_fail_it_is_not_the_candidates_fault(self) -> None:
        verdict = judged(ERRORS, shares((100, 5), (900, 45), 30))
        assert why(verdict) is Why.BOTH_FAILING
        assert verdict.reason == (
            "over its limit 2% since 09:01Z, but 5.0% of both revisions' 30,000 requests failed: "
            "both revisions are failing, not the candidate"
        )

    def test_latency_over_its_limit_on_both_says_beyond_the_limit(self) -> None:
        bounds = Explicit((100.0, 350.0, 1000.0))
        both = (
            Histogram(bounds, {0: 80, 2: 20}, 200.0),
            Histogram(bounds, {0: 720, 2: 180}, 200.0),
        )
        verdict = judged(P95, [both] * 30)
        assert why(verdict) is Why.BOTH_FAILING
        assert "20.0% of both revisions' 30,000 requests were beyond the limit" in verdict.reason

    def test_the_candidate_may_be_a_quarter_worse_than_stable_and_not_much_more(self) -> None:
        assert why(judged(ERRORS, shares((1000, 40), (1000, 32), 60))) is Why.BOTH_FAILING
        assert isinstance(judged(ERRORS, shares((1000, 60), (1000, 32), 60)), Fail)

    def test_an_emergency_is_not_compared_with_stable(self) -> None:
        verdict = judged(WITH_EMERGENCY, shares((60, 45), (900, 675), 10))
        assert isinstance(verdict, Fail)
        assert verdict.emergency
        assert verdict.reason == "75% of 600 requests, emergency limit 20%"
        assert verdict.figures.limit == 0.20

    def test_over_the_limit_and_short_of_the_emergency_it_is_compared(self) -> None:
        verdict = judged(WITH_EMERGENCY, shares((100, 15), (900, 135), 60))
        assert why(verdict) is Why.BOTH_FAILING

    def test_too_little_of_stable_does_not_excuse_a_candidate_over_its_limit(self) -> None:
        verdict = judged(ERRORS, [(codes(100, 5), None)] * 60)
        assert isinstance(verdict, Fail)
        assert verdict.reason.endswith("limit 2%; nothing of stable to compare with")

    def test_without_comparison_the_limit_decides_alone(self) -> None:
        verdict = judged(ALONE, shares((100, 5), (900, 45), 60))
        assert isinstance(verdict, Fail)
        assert verdict.reason == "5% of 6,000 requests, limit 2%"

    def test_a_fail_is_said_although_the_stage_has_shown_nothing_yet(self) -> None:
        failed = replace(grown(ALONE, shares((100, 9), (900, 0), 30)).in_new_stage())
        verdict = judge(ALONE, TERMS, failed)
        assert isinstance(verdict, Fail)
        assert verdict.reason == "proved by its last minutes, limit 2%"


class TestComparedOnly:
    def test_it_passes_as_good_as_stable_and_fails_worse(self) -> None:
        alike = judged(COMPARED, shares((100, 3), (900, 27), 30))
        assert isinstance(alike, Pass)
        assert alike.reason == "3% of 3,000 requests, stable 3%"
        worse = judged(COMPARED, shares((100, 9), (900, 27), 30))
        assert isinstance(worse, Fail)
        assert worse.reason == "9% of 3,000 requests, stable 3%"

    def test_it_fails_although_stable_has_no_failure_at_all(self) -> None:
        assert isinstance(judged(COMPARED, shares((100, 1), (900, 0), 60)), Fail)

    def test_it_waits_for_stable(self) -> None:
        verdict = judged(COMPARED, [(codes(1000, 1), None)])
        assert why(verdict) is Why.STABLE
        assert verdict.reason == "0.1% of 1,000 requests; no stable to compare with"

    def test_by_a_margin_it_is_worse_by_so_many_points(self) -> None:
        gate = replace(COMPARED, versus_stable=Versus(worse_by=0.02))
        assert isinstance(judged(gate, shares((100, 3), (900, 18), 200)), Pass)
        assert isinstance(judged(gate, shares((100, 8), (900, 18), 200)), Fail)

    def test_its_own_limit_is_not_in_the_sentence(self) -> None:
        fail = judged(COMPARED, shares((100, 9), (900, 9), 30))
        assert "limit" not in fail.reason

    def test_at_100_it_passes_unless_it_is_worse_than_stables_last_day(self) -> None:
        for terms, beside in (
            (AT_100, "not compared"),
            (KNOWN_100, "not proved worse than stable in its last 24 h"),
        ):
            verdict = judged(COMPARED, [(codes(1000, 2), None)] * 30, terms)
            assert isinstance(verdict, Pass)
            assert verdict.reason == (
                f"0.2% of 30,000 requests; {beside}: nothing is left on stable"
            )
        worse = judged(COMPARED, [(codes(1000, 20), None)] * 30, KNOWN_100)
        assert isinstance(worse, Fail)
        assert worse.reason.endswith(
            "worse than stable in its last 24 h (not live: nothing is left on stable)"
        )


class TestAt100:
    def test_over_the_limit_and_worse_than_stables_last_day_it_fails(self) -> None:
        verdict = judged(ERRORS, [(codes(1000, 40), None)] * 10, KNOWN_100)
        assert isinstance(verdict, Fail)
        assert verdict.reason == (
            "4% of 10,000 requests, limit 2%, worse than stable in its last 24 h "
            "(not live: nothing is left on stable)"
        )

    def test_over_the_limit_and_no_worse_than_stable_was_is_an_incident(self) -> None:
        usual = replace(AT_100, history=History(1.0, 1000.0, None, 0.05))
        verdict = judged(ERRORS, [(codes(1000, 40), None)] * 30, usual)
        assert why(verdict) is Why.BOTH_FAILING
        assert "not proved to be worse than stable in its last 24 h" in verdict.reason

    def test_where_nothing_is_known_of_stable_the_limit_decides_alone(self) -> None:
        verdict = judged(ERRORS, [(codes(1000, 40), None)] * 10, AT_100)
        assert isinstance(verdict, Fail)
        assert verdict.reason.endswith("; nothing of stable to compare with")

    def test_within_the_limit_it_passes(self) -> None:
        assert isinstance(judged(ERRORS, [(codes(1000, 5), None)] * 10, KNOWN_100), Pass)


class TestSuccessRate:
    def test_redirects_are_successes_and_client_errors_are_not(self) -> None:
        both = CodeCounts({"2xx": 90, "3xx": 9, "4xx": 1})
        verdict = judged(SUCCESS, [(both, None)])
        assert isinstance(verdict, Pass)
        assert verdict.figures.estimate == 0.99
        assert verdict.figures.bad == 1
        assert verdict.reason == "99% of 100 requests (may be 93.2%), at least 95% wanted"

    def test_an_exact_code_belongs_to_its_class(self) -> None:
        counted = CodeCounts({"200": 95, "429": 5})
        assert judged(SUCCESS, [(counted, None)]).figures.estimate == 0.95
        only_429 = replace(ERRORS, metric=ResponseRate(("429",), counts_failures=True))
        assert judged(only_429, [(counted, None)]).figures.estimate == 0.05

    def test_the_ratio_is_of_the_failures(self) -> None:
        # 80% against 83%: failures of 20% against 17% are 1.18 times as many, against 8% 2.5
        assert why(judged(SUCCESS, shares((1000, 200), (1000, 170), 60))) is Why.BOTH_FAILING
        verdict = judged(SUCCESS, shares((1000, 200), (1000, 80), 60))
        assert isinstance(verdict, Fail)
        assert verdict.reason == "80% of 60,000 requests, limit 90%, stable 92%"

    def test_between_its_limits_it_is_undecided(self) -> None:
        verdict = judged(SUCCESS, shares((100, 8), (900, 18), 10))
        assert why(verdict) is Why.BETWEEN
        assert verdict.reason == "92% of 1,000 requests, limit to advance 95%"


class TestLatency:
    BOUNDS = Explicit((100.0, 200.0, 300.0, 400.0))

    def seen(self, counts: dict[int, int]) -> list[tuple[Value, None]]:
        return [(Histogram(self.BOUNDS, counts, 50.0), None)]

    def test_the_percentile_is_taken_from_the_merged_histograms_of_all_minutes(self) -> None:
        # 40 + 50 below 100 ms and 10 in 200..300 ms: rank 95 is the fifth of those ten.
        pairs = [*self.seen({0: 40}), *self.seen({0: 50, 2: 10})]
        assert judged(P95, pairs).figures.estimate == pytest.approx(250.0)

    def test_a_doubtful_bucket_does_not_let_it_advance(self) -> None:
        # The limit, 250 ms, lies inside 200..300: those six may all be above it.
        assert why(judged(P95, self.seen({0: 94, 2: 6}))) is Why.BETWEEN
        assert isinstance(judged(P95, self.seen({0: 95, 2: 5})), Pass)
        on_edge = replace(P95, limits=Limits(300, None, 400))
        assert isinstance(judged(on_edge, self.seen({0: 94, 2: 6})), Pass)

    def test_a_doubtful_bucket_does_not_roll_it_back_either(self) -> None:
        # The limit, 350 ms, lies inside 300..400: nobody says that they are above it.
        alone = replace(P95, versus_stable=None)
        assert failed_after(alone, self.seen({3: 100}) * 60) is None
        assert failed_after(alone, self.seen({4: 100}) * 60) is not None

    def test_what_lies_above_the_last_bound_is_given_as_that_bound(self) -> None:
        verdict = judged(P95, self.seen({4: 100}) * 10)
        assert isinstance(verdict, Fail)
        assert verdict.reason == (
            "p95 400 ms of 1,000 requests, limit 350 ms; nothing of stable to compare with"
        )

    def test_minutes_with_other_buckets_do_not_count(self) -> None:
        pairs = [*self.seen({0: 60}), (Histogram(Explicit((1.0, 2.0)), {2: 1000}, 9.0), None)]
        assert judged(P95, pairs).figures.sample == 60

    def test_a_percentile_of_a_distribution_is_not_the_mean_of_percentiles(self) -> None:
        estimate = judged(P95, [*self.seen({0: 950}), *self.seen({3: 10})]).figures.estimate
        assert estimate is not None
        assert estimate < 100

    def test_a_mean_latency_fails_beside_a_fast_stable(self) -> None:
        slow = judged(MEAN, [(mean_histogram(50, 700.0), mean_histogram(500, 200.0))] * 100)
        assert isinstance(slow, Fail)
        assert slow.reason == "mean 700 ms of 5,000 requests, limit 400 ms, stable 200 ms"
        both = judged(MEAN, [(mean_histogram(50, 700.0), mean_histogram(500, 700.0))] * 100)
        assert why(both) is Why.BOTH_FAILING
        assert "but stable 700 ms: both revisions are failing" in both.reason
        fine = judged(MEAN, [(mean_histogram(50, 250.0), mean_histogram(500, 200.0))] * 100)
        assert isinstance(fine, Pass)


class TestImprovement:
    def test_a_tenth_faster_is_proved_in_hours_and_not_before(self) -> None:
        pair = (mean_histogram(100, 70.0), mean_histogram(100, 100.0))
        early = judged(FASTER, [pair] * 60)
        assert why(early) is Why.SAMPLE
        assert early.reason.endswith("3 of 12 quarter hours needed")
        verdict = judged(FASTER, [pair] * 240)
        assert isinstance(verdict, Pass)
        assert verdict.reason.endswith("stable 100 ms: 30.0% better, 10% better wanted")

    def test_however_bad_it_never_fails(self) -> None:
        verdict = judged(FASTER, [(mean_histogram(100, 900.0), mean_histogram(100, 100.0))] * 240)
        assert why(verdict) is Why.NOT_BETTER
        assert "800.0% worse, 10% better wanted" in verdict.reason

    def test_better_and_not_yet_proved_is_said(self) -> None:
        noisy = [
            (mean_histogram(100, 60.0 if (n // 15) % 2 else 115.0), mean_histogram(100, 100.0))
            for n in range(240)
        ]
        verdict = judged(FASTER, noisy)
        assert why(verdict) is Why.NOT_BETTER
        assert "not yet proved, 10% better wanted" in verdict.reason

    def test_it_needs_both_sides(self) -> None:
        assert why(judged(FASTER, [(None, mean_histogram(30, 100.0))])) is Why.NO_DATA
        assert why(judged(FASTER, [(mean_histogram(30, 90.0), None)])) is Why.STABLE

    def test_at_100_nobody_is_left_to_be_better_than(self) -> None:
        verdict = judged(FASTER, [], AT_100)
        assert isinstance(verdict, Pass)
        assert verdict.reason == "not judged: no stable left to compare with"

    def test_fewer_failures_by_half_are_proved_of_a_rate(self) -> None:
        gate = replace(ERRORS, limits=Limits(), versus_stable=Versus(better_by=0.5))
        assert isinstance(judged(gate, shares((1000, 10), (1000, 50), 60)), Pass)
        assert why(judged(gate, shares((1000, 40), (1000, 50), 60))) is Why.NOT_BETTER
        success = replace(SUCCESS, limits=Limits(), versus_stable=Versus(better_by=0.5))
        better = judged(success, shares((1000, 10), (1000, 50), 60))
        assert isinstance(better, Pass)
        assert better.reason.endswith("80.0% better, 50% better wanted")


class TestGauge:
    def test_the_mean_is_over_the_minutes_that_had_a_value(self) -> None:
        values = [0.72, 0.78] * 5
        verdict = judged(SCORE, [*((Number(v), Number(0.8)) for v in values), (None, Number(0.1))])
        assert verdict.figures.estimate == pytest.approx(0.75)
        assert verdict.figures.sample == 10

    def test_below_the_minimum_it_fails_if_it_is_worse_than_stable_by_the_margin(self) -> None:
        bad = judged(SCORE, [(Number(0.45), Number(0.80))] * 60)
        assert isinstance(bad, Fail)
        assert bad.reason == "mean 0.45 of 60 minutes, limit 0.7, stable 0.8"
        alike = judged(SCORE, [(Number(0.45), Number(0.46))] * 60)
        assert why(alike) is Why.BOTH_FAILING
        assert "but stable 0.46: both revisions are failing" in alike.reason

    def test_between_its_limits_it_is_undecided(self) -> None:
        verdict = judged(SCORE, [(Number(0.72), Number(0.80))] * 10)
        assert why(verdict) is Why.BETWEEN
        assert verdict.reason == "mean 0.72 of 10 minutes, limit to advance 0.75"

    def test_nine_minutes_are_too_few_to_advance(self) -> None:
        assert why(judged(SCORE, [(Number(0.9), Number(0.9))] * 9)) is Why.SAMPLE
        assert isinstance(judged(SCORE, [(Number(0.9), Number(0.9))] * 10), Pass)

    def test_a_value_of_another_kind_is_no_evidence(self) -> None:
        assert why(judged(SCORE, [(CodeCounts({"2xx": 100}), None)])) is Why.NO_DATA


class TestGatesNobodyWrote:
    def test_requests_that_do_not_arrive_are_a_verdict_of_their_own(self) -> None:
        verdict = judged(ARRIVAL, [(codes(2, 0), codes(998, 0))] * 10)
        assert isinstance(verdict, Fail)
        assert verdict.reason == (
            "the candidate got 0.2% of the requests, 10% asked: they are refused before a "
            "container, or do not arrive"
        )
        none = judged(ARRIVAL, [(None, codes(998, 0))] * 10)
        assert none.reason.startswith("the candidate got none of the requests, 10% asked")

    def test_requests_that_arrive_pass(self) -> None:
        verdict = judged(ARRIVAL, [(codes(9, 0), codes(91, 0))] * 10)
        assert isinstance(verdict, Pass)
        assert verdict.reason == "90 of 1,000 requests (9%) arrive, 10% asked"
        assert why(judged(ARRIVAL, [(None, None)])) is Why.NO_DATA

    def test_the_budget_needs_the_excess_and_the_proof(self) -> None:
        over = judged(BUDGET, shares((100, 5), (900, 1), 30))
        assert isinstance(over, Fail)
        assert over.reason == (
            "about 147 failed requests more than stable's rate, at most 30 allowed"
        )
        shared = judged(BUDGET, shares((100, 50), (900, 450), 30))
        assert isinstance(shared, Pass)
        assert shared.reason.startswith("about 0 failed requests more")
        little = judged(BUDGET, shares((100, 2), (900, 0), 10))
        assert isinstance(little, Pass)  # proved to be worse, and only twenty requests so far

    def test_at_100_the_budget_counts_beyond_stables_last_day(self) -> None:
        usual = replace(AT_100, history=History(1.0, 1000.0, None, 0.01))
        fine = judged(BUDGET, [(codes(1000, 10), None)] * 60, usual)
        assert isinstance(fine, Pass)
        assert fine.reason.startswith("about 0 failed requests more")
        assert isinstance(judged(BUDGET, [(codes(1000, 40), None)] * 60, usual), Fail)


class TestSpent:
    def test_it_grows_with_the_evidence_and_ends_at_one(self) -> None:
        found = [
            judged(ERRORS, shares((100, 5), (900, 9), count)).figures.spent
            for count in (1, 3, 5, 60)
        ]
        assert found == sorted(found)
        assert 0 < found[0] < 0.1
        assert found[-1] == 1.0

    def test_of_a_limit_with_stable_the_lesser_evidence_counts(self) -> None:
        both_failing = judged(ERRORS, shares((100, 5), (900, 45), 60)).figures.spent
        alone = judged(ALONE, shares((100, 5), (900, 45), 60)).figures.spent
        assert both_failing < 0.1
        assert alone == 1.0

    def test_enough_evidence_for_a_question_is_never_more_than_all(self) -> None:
        rich = {Question.LIMIT: wealth_of(0.0, (50.0,) * 6)}
        figures = judge(ALONE, Terms(0.01, 10), State(wealth=rich)).figures
        assert figures.spent == 1.0


def test_every_undecided_verdict_says_why_in_words() -> None:
    for gate in EVERY:
        verdict = judge(gate, TERMS, State())
        assert isinstance(verdict, Undecided | Pass)
        assert verdict.reason
        assert word(verdict) in {"undecided", "pass"}
