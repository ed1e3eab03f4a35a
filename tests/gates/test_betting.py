"""What a gate asks of a minute: which questions, by which edges, against which reference."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from controller.gates.betting import (
    Bet,
    Compared,
    Question,
    Terms,
    bets_of,
    block_bets,
    bounds_of_gate,
    compared_bets,
    compared_edge,
    comparison,
    needed,
    requests_in,
)
from controller.gates.counting import accused
from controller.gates.dispersion import CAP_UNKNOWN
from controller.gates.evidence import CodeCounts, Explicit, Exponential, Histogram, Value
from controller.gates.history import History, history_of
from controller.plan.model import CustomMetric, Gate, Limits, OnFail, Versus
from tests.engine.builders import PLAN
from tests.gates.builders import (
    ALONE,
    ARRIVAL,
    AT_100,
    BUDGET,
    COMPARED,
    ERRORS,
    FASTER,
    LEVEL,
    MEAN,
    P95,
    REQUESTS,
    SCORE,
    SUCCESS,
    TERMS,
    WITH_EMERGENCY,
    codes,
    failed_after,
    grown,
)

CLOUD_RUN = Exponential(10.0, 1.1, 100)


def asked(
    gate: Gate, candidate: Value | None, stable: Value | None, terms: Terms = TERMS
) -> dict[Question, Bet]:
    """Return the bets of one minute, those of the comparison with stable among them."""
    bets = [*bets_of(gate, terms, candidate, stable)]
    seen = comparison(gate, terms, candidate, stable)
    if seen is not None and seen.is_whole:
        bets += compared_bets(gate, terms, seen)
    return {bet.question: bet for bet in bets}


class TestQuestions:
    def test_each_gate_asks_what_it_has_limits_for(self) -> None:
        both = (codes(100, 2), codes(900, 9))
        limit, stable = Question.LIMIT, Question.STABLE
        assert set(asked(ALONE, *both)) == {limit}
        assert set(asked(ERRORS, *both)) == {limit, stable}
        assert set(asked(WITH_EMERGENCY, *both)) == {limit, stable, Question.EMERGENCY}
        assert set(asked(COMPARED, *both)) == {stable}
        assert set(asked(BUDGET, *both)) == {stable}
        assert set(asked(ARRIVAL, *both)) == {limit}
        assert set(asked(REQUESTS, *both)) == set()

    def test_a_proof_is_asked_only_where_it_is_wanted(self) -> None:
        both = (codes(100, 2), codes(900, 9))
        assert Question.PROOF in asked(ERRORS, *both, replace(TERMS, proves=True))
        assert Question.PROOF not in asked(ERRORS, *both)

    def test_minutes_are_taken_together_until_both_sides_had_a_request(self) -> None:
        quiet = [(codes(1, 1), None), (None, codes(7, 0)), (codes(1, 1), codes(2, 0))]
        apart = grown(ERRORS, quiet)
        together = grown(ERRORS, [(codes(1, 1), codes(7, 0)), (codes(1, 1), codes(2, 0))])
        assert apart.wealth[Question.STABLE] == together.wealth[Question.STABLE]
        assert grown(ERRORS, quiet[:1]).pending == Compared(1, 1, 0, 0)

    def test_a_dead_candidate_shows_beside_stable_at_a_request_in_ten_minutes(self) -> None:
        mine = [(codes(1, 1), None), *[(None, None)] * 4]
        theirs = [(None, codes(1, 0)), *[(None, None)] * 4]
        found = failed_after(ERRORS, [*mine, *theirs] * 60)
        assert found is not None
        assert found < 200

    def test_a_minute_without_the_candidate_asks_nothing(self) -> None:
        for gate in (ERRORS, SUCCESS, P95, BUDGET):
            assert not asked(gate, None, codes(900, 900))
            assert not asked(gate, CodeCounts({}), codes(900, 900))

    def test_a_minute_without_stable_or_without_a_failure_compares_nothing(self) -> None:
        for stable in (None, CodeCounts({})):
            assert Question.STABLE not in asked(ERRORS, codes(100, 50), stable)
        assert Question.STABLE not in asked(ERRORS, codes(100, 0), codes(900, 0))

    def test_the_emergency_takes_a_fifth_of_the_level_and_the_rest_is_shared_with_nobody(
        self,
    ) -> None:
        assert needed(ALONE, TERMS, Question.LIMIT) == pytest.approx(-math.log(LEVEL))
        assert needed(WITH_EMERGENCY, TERMS, Question.EMERGENCY) == pytest.approx(
            -math.log(0.2 * LEVEL)
        )
        assert needed(WITH_EMERGENCY, TERMS, Question.LIMIT) == pytest.approx(
            -math.log(0.8 * LEVEL)
        )

    def test_all_by_which_a_gate_can_fail_adds_up_to_its_level(self) -> None:
        # the limit must be proved too, so of limit and comparison the larger counts
        beside = (
            sum(
                math.exp(-needed(WITH_EMERGENCY, TERMS, q))
                for q in (Question.STABLE, Question.REFERENCE)
            )
            + 0.1 * 0.8 * LEVEL
        )  # and the reference's own bound
        limit = math.exp(-needed(WITH_EMERGENCY, TERMS, Question.LIMIT))
        emergency = math.exp(-needed(WITH_EMERGENCY, TERMS, Question.EMERGENCY))
        assert max(limit, beside) + emergency <= LEVEL * (1 + 1e-9)

    def test_only_gates_that_can_roll_back_take_a_share_of_the_level(self) -> None:
        sharing = (ERRORS, SCORE, ARRIVAL, BUDGET)
        watched = replace(ERRORS, on_fail=OnFail.OBSERVE)
        plan = replace(PLAN, gates=(*sharing, REQUESTS, FASTER, watched))
        own = len(plan.own_gates)
        assert plan.level == plan.evidence.false_rollback / (len(sharing) + own)

    def test_what_one_minute_may_say_is_capped_the_more_the_noisier_stable_was(self) -> None:
        both = (codes(100, 2), codes(900, 9))
        unknown = asked(ERRORS, *both)
        assert {bet.cap for bet in unknown.values()} == {CAP_UNKNOWN}
        calm, stormy = (
            asked(ERRORS, *both, replace(TERMS, history=History(phi)))[Question.STABLE].cap
            for phi in (1.0, 9.0)
        )
        assert calm == 2.3
        assert stormy == 1.0


class TestLatencyBesideStable:
    """p95 against stable's: two fixed edges, so that it is a comparison of shares."""

    GATE = replace(P95, limits=Limits(), versus_stable=Versus(ratio=1.25))

    def drawn(self, rng: random.Random, count: int, pace: float) -> Histogram:
        counts: dict[int, int] = {}
        empty = Histogram(CLOUD_RUN, {}, 0.0)
        for _ in range(count):
            index = empty.bucket_of(pace * rng.lognormvariate(math.log(100), 0.6))
            counts[index] = counts.get(index, 0) + 1
        return Histogram(CLOUD_RUN, counts, 0.0)

    def history(self, rng: random.Random) -> History:
        day = [self.drawn(rng, 300, 1.0) for _ in range(96)]
        return history_of(self.GATE, day, 15, LEVEL)

    def failed(self, pace: float, seed: int) -> int | None:
        rng = random.Random(seed)
        terms = replace(TERMS, history=self.history(rng))
        pairs = [(self.drawn(rng, 30, pace), self.drawn(rng, 120, 1.0)) for _ in range(90)]
        return failed_after(self.GATE, pairs, terms)

    def test_a_tenth_slower_passes_a_ratio_of_a_quarter(self) -> None:
        assert [self.failed(1.1, seed) for seed in range(5)] == [None] * 5

    def test_twice_as_slow_fails(self) -> None:
        assert all(self.failed(2.0, seed) for seed in range(5))

    def test_the_candidates_edge_is_the_ratio_times_stables(self) -> None:
        edge, ratio = compared_edge(self.GATE, History(edge=400.0))
        assert (edge, ratio) == (500.0, 1.0)
        by_margin = replace(self.GATE, versus_stable=Versus(worse_by=50.0))
        assert compared_edge(by_margin, History(edge=400.0)) == (450.0, 1.0)

    def test_a_candidate_edge_inside_a_bucket_accuses_only_what_surely_lies_beyond(self) -> None:
        bounds = Explicit((100.0, 400.0, 600.0))  # the edge 500 lies inside 400 to 600
        edge, _ = compared_edge(self.GATE, History(edge=400.0))
        assert accused(self.GATE, Histogram(bounds, {2: 100}, 450.0), edge) == (0, 100)
        terms = replace(TERMS, history=History(1.0, 10.0, 400.0, 0.06))
        slow = (Histogram(bounds, {0: 40, 2: 60}, 450.0), Histogram(bounds, {0: 950}, 50.0))
        assert failed_after(self.GATE, [slow] * 60, terms) is None
        slower = (Histogram(bounds, {0: 40, 3: 60}, 700.0), Histogram(bounds, {0: 950, 2: 1}, 50.0))
        assert failed_after(self.GATE, [slower] * 60, terms) is not None

    def test_without_a_history_both_are_asked_about_the_gates_own_limit(self) -> None:
        assert compared_edge(P95, History()) == (350, 1.25)
        edge, _ = compared_edge(self.GATE, History())
        assert edge == math.inf  # nothing is beyond it: nobody is accused

    def test_latency_that_was_noisy_is_believed_less(self) -> None:
        bounds = Explicit((100.0, 400.0, 500.0))
        pair = (Histogram(bounds, {0: 20, 3: 10}, 200.0), Histogram(bounds, {0: 100, 3: 5}, 100.0))
        calm, noisy = (
            asked(self.GATE, *pair, replace(TERMS, history=History(phi, 10.0, 400.0, 0.06)))
            for phi in (1.0, 4.0)
        )
        one, other = (bets[Question.STABLE].increments for bets in (calm, noisy))
        assert all(abs(b) < abs(a) for a, b in zip(one, other, strict=True))


class TestReference:
    KNOWN = replace(AT_100, history=History(1.0, 100.0, None, 0.01))

    def test_at_100_the_candidate_is_held_against_stables_last_day(self) -> None:
        assert Question.REFERENCE in asked(ERRORS, codes(100, 2), None, self.KNOWN)
        assert Question.REFERENCE not in asked(ERRORS, codes(100, 2), None, AT_100)
        before = replace(self.KNOWN, weight=50)
        assert Question.REFERENCE not in asked(ERRORS, codes(100, 2), codes(100, 2), before)

    def test_within_the_ratio_of_the_reference_it_passes_however_long(self) -> None:
        assert failed_after(COMPARED, [(codes(100, 2), None)] * 600, self.KNOWN) is None
        assert failed_after(COMPARED, [(codes(100, 5), None)] * 600, self.KNOWN) is not None

    def test_a_margin_is_added_to_the_reference(self) -> None:
        gate = replace(COMPARED, versus_stable=Versus(worse_by=0.03))
        assert failed_after(gate, [(codes(100, 4), None)] * 600, self.KNOWN) is None
        assert failed_after(gate, [(codes(100, 9), None)] * 600, self.KNOWN) is not None

    def test_a_service_that_always_fails_has_no_reference_above_half(self) -> None:
        always = replace(AT_100, history=History(1.0, 100.0, None, 0.9))
        assert failed_after(COMPARED, [(codes(100, 50), None)] * 200, always) is None

    def test_the_budget_has_a_reference_too(self) -> None:
        assert Question.REFERENCE in asked(BUDGET, codes(100, 2), None, self.KNOWN)
        assert failed_after(BUDGET, [(codes(100, 1), None)] * 300, self.KNOWN) is None
        assert failed_after(BUDGET, [(codes(100, 6), None)] * 300, self.KNOWN) is not None

    def test_a_mean_is_held_against_stables_mean_plus_the_margin(self) -> None:
        known = replace(AT_100, history=History(reference=0.80))
        (bet,) = (b for b in block_bets(SCORE, known, 0.70, None, relief=False)
                  if b.question is Question.REFERENCE)  # fmt: skip
        assert all(part > 0 for part in bet.increments)
        (bet,) = (b for b in block_bets(SCORE, known, 0.785, None, relief=False)
                  if b.question is Question.REFERENCE)  # fmt: skip
        assert all(part < 0 for part in bet.increments)


class TestArrival:
    @pytest.mark.parametrize("mine", [0, 1, 2])
    def test_less_than_half_of_what_was_promised_fails(self, mine: int) -> None:
        pairs = [(codes(mine, 0), codes(100 - mine, 0))] * 120
        assert failed_after(ARRIVAL, pairs) is not None

    @pytest.mark.parametrize("mine", [5, 6, 10, 90])
    def test_more_than_half_of_it_passes(self, mine: int) -> None:
        pairs = [(codes(mine, 0), codes(100 - mine, 0))] * 600
        assert failed_after(ARRIVAL, pairs) is None

    def test_no_point_of_the_candidate_is_no_request_of_it(self) -> None:
        assert failed_after(ARRIVAL, [(None, codes(100, 0))] * 60) is not None

    def test_three_minutes_at_least_must_say_so(self) -> None:
        found = failed_after(ARRIVAL, [(None, codes(10**6, 0))] * 60)
        assert found is not None
        assert found >= 3

    def test_a_quiet_service_says_nothing(self) -> None:
        assert failed_after(ARRIVAL, [(None, None)] * 600) is None

    def test_at_100_and_at_0_nothing_is_promised_to_be_shared(self) -> None:
        for weight in (0, 100):
            terms = replace(TERMS, weight=weight)
            assert failed_after(ARRIVAL, [(None, codes(100, 0))] * 60, terms) is None

    def test_requests_are_counted_whatever_their_code(self) -> None:
        assert requests_in(CodeCounts({"2xx": 3, "4xx": 4, "5xx": 5})) == 12
        assert requests_in(None) == 0


class TestMeansBets:
    def test_bounds_are_the_plans_or_follow_from_the_limits(self) -> None:
        assert bounds_of_gate(SCORE) == (0.0, 1.0)
        assert bounds_of_gate(MEAN) == (0.0, 800.0)
        assert bounds_of_gate(replace(SCORE, bounds=(-1.0, 3.0))) == (-1.0, 3.0)

    def test_a_value_beyond_the_bounds_counts_as_the_bound(self) -> None:
        def parts(mine: float) -> list[tuple[float, ...]]:
            return [b.increments for b in block_bets(SCORE, TERMS, mine, None, relief=False)]

        assert parts(-5.0) == parts(0.0)
        assert parts(7.0) == parts(1.0)

    def test_a_limit_at_or_below_the_least_value_asks_nothing(self) -> None:
        nothing = replace(SCORE, limits=Limits(minimum=0.0, roll_back=0.0), versus_stable=None)
        assert not list(block_bets(nothing, TERMS, 0.5, None, relief=False))


def test_better_by_asks_where_big_values_are_good_for_bigger_ones() -> None:
    gate = Gate(
        "speed",
        CustomMetric("c/speed", percentile=90),
        Limits(minimum=1.0),
        Versus(better_by=0.25),
    )
    bounds = Explicit((50.0, 100.0, 125.0, 200.0))
    terms = replace(TERMS, history=History(1.0, 10.0, 100.0, 0.5))
    stable = Histogram(bounds, {1: 50, 2: 50}, 100.0)
    alike = asked(gate, stable, stable, terms)[Question.PROOF]
    assert all(part < 0 for part in alike.increments)  # as good is not better
    better = Histogram(bounds, {3: 100}, 150.0)
    assert all(part > 0 for part in asked(gate, better, stable, terms)[Question.PROOF].increments)
