"""What stable's last day says: noise, where slow begins, what is usual. Fixed before the start."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gates.calibrate import binomial
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Number, Value
from controller.gates.history import (
    History,
    from_json,
    history_of,
    mean_of_minute,
    to_json,
)
from tests.gates.builders import (
    BUDGET,
    ERRORS,
    LEVEL,
    MEAN,
    P95,
    SCORE,
    SUCCESS,
    codes,
    mean_histogram,
)

QUARTERS = 96
BOUNDS = Explicit(tuple(float(b) for b in range(100, 1100, 100)))


def test_of_nothing_nothing_is_known() -> None:
    for gate in (ERRORS, P95, SCORE, MEAN, BUDGET):
        assert history_of(gate, [], 15, LEVEL) == History()


class TestRates:
    def test_a_steady_service_is_not_noisy(self) -> None:
        found = history_of(ERRORS, [codes(1500, 3)] * QUARTERS, 15, LEVEL)
        assert found.inflation == 1.0
        assert found.per_minute == 100.0
        assert found.edge is None

    def test_storms_make_it_noisy(self) -> None:
        stormy = [codes(1500, 60 if n % 8 == 0 else 0) for n in range(QUARTERS)]
        found = history_of(ERRORS, stormy, 15, LEVEL)
        assert found.inflation is not None
        assert found.inflation > 20

    def test_with_fifteen_quarters_the_noise_is_not_known_and_with_sixteen_it_is(self) -> None:
        assert history_of(ERRORS, [codes(150, 1)] * 15, 15, LEVEL).inflation is None
        assert history_of(ERRORS, [codes(150, 1)] * 16, 15, LEVEL).inflation is not None

    def test_quarters_without_a_request_are_not_counted(self) -> None:
        points: list[Value] = [codes(150, 0)] * 20
        found = history_of(ERRORS, [*points, *[CodeCounts({})] * 20], 15, LEVEL)
        assert found == history_of(ERRORS, points, 15, LEVEL)
        assert found.per_minute == 10.0

    def test_the_reference_is_above_stables_rate_and_near_it_where_much_was_seen(self) -> None:
        little = history_of(ERRORS, [codes(150, 1)] * QUARTERS, 15, LEVEL).reference
        much = history_of(ERRORS, [codes(15000, 100)] * QUARTERS, 15, LEVEL).reference
        assert little is not None
        assert much is not None
        assert 1 / 150 < much < little < 2 / 150

    def test_the_reference_covers_the_true_rate_of_all_but_one_day_in_a_thousand(self) -> None:
        rng, missed = random.Random(3), 0
        for _ in range(400):
            day = [codes(60, binomial(rng, 60, 0.01)) for _ in range(40)]
            bound = history_of(ERRORS, day, 15, LEVEL).reference
            missed += bound is None or bound < 0.01
        assert missed <= 3

    def test_a_success_rate_remembers_failures(self) -> None:
        reference = history_of(SUCCESS, [codes(15000, 150)] * QUARTERS, 15, LEVEL).reference
        assert reference is not None
        assert 0.01 < reference < 0.0115

    def test_the_budget_for_failed_requests_knows_stables_usual_rate_too(self) -> None:
        reference = history_of(BUDGET, [codes(15000, 150)] * QUARTERS, 15, LEVEL).reference
        assert reference is not None
        assert 0.01 < reference < 0.0115


class TestLatency:
    def test_slow_begins_at_the_first_edge_at_or_above_stables_own_percentile(self) -> None:
        # rank 95 of a hundred is the fifth of the ten between 300 and 400 ms: 350 ms
        point = Histogram(BOUNDS, {0: 90, 3: 10}, 150.0)
        assert history_of(P95, [point] * QUARTERS, 15, LEVEL).edge == 400.0

    def test_beyond_the_edge_at_most_the_percentiles_share_of_stable_lies(self) -> None:
        point = Histogram(BOUNDS, {0: 80, 3: 15, 7: 5}, 150.0)
        found = history_of(P95, [point] * QUARTERS, 15, LEVEL)
        assert found.edge == 400.0
        assert found.reference is not None
        assert 0.05 <= found.reference < 0.07

    def test_without_an_edge_above_it_nothing_is_known(self) -> None:
        beyond = Histogram(Explicit((1.0,)), {1: 100}, 9.0)
        found = history_of(P95, [beyond] * QUARTERS, 15, LEVEL)
        # what lies above the last edge is given as that edge, which then is where slow begins
        assert found.edge in (None, 1.0)

    def test_codes_are_no_latencies(self) -> None:
        assert history_of(P95, [codes(100, 1)] * QUARTERS, 15, LEVEL) == History()


class TestMeans:
    def test_an_hour_of_minutes_is_the_least(self) -> None:
        assert history_of(SCORE, [Number(0.8)] * 59, 1, LEVEL) == History()
        assert history_of(SCORE, [Number(0.8)] * 60, 1, LEVEL) != History()
        assert history_of(SCORE, [Number(0.8)] * 960, 15, LEVEL) == History()

    def test_the_reference_lies_on_the_bad_side_of_the_mean(self) -> None:
        rng = random.Random(1)
        scores = [Number(rng.gauss(0.8, 0.05)) for _ in range(1440)]
        low = history_of(SCORE, scores, 1, LEVEL).reference
        assert low is not None
        assert 0.79 < low < 0.8
        slow = [mean_histogram(10, rng.gauss(200, 20)) for _ in range(1440)]
        high = history_of(MEAN, slow, 1, LEVEL).reference
        assert high is not None
        assert 200 < high < 205

    def test_where_minutes_are_alike_more_of_them_count_as_one_and_the_bound_is_wider(self) -> None:
        rng = random.Random(2)
        walk, now = [], 0.0
        for _ in range(1440):
            now = 0.9 * now + rng.gauss(0, 0.02)
            walk.append(Number(0.8 + now))
        shuffled = rng.sample(walk, len(walk))
        alike, apart = (history_of(SCORE, one, 1, LEVEL) for one in (walk, shuffled))
        assert (alike.block, apart.block) == (5, 1)
        assert alike.reference is not None
        assert apart.reference is not None
        assert alike.reference < apart.reference

    def test_a_minute_without_observations_has_no_mean(self) -> None:
        assert mean_of_minute(None) is None
        assert mean_of_minute(Histogram(BOUNDS, {}, 0.0)) is None
        assert mean_of_minute(Number(0.5)) == 0.5
        assert mean_of_minute(mean_histogram(3, 120.0)) == 120.0


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
HISTORIES = st.builds(
    History,
    st.none() | st.floats(1, 1e6),
    st.floats(0, 1e9),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.integers(1, 60),
)


@given(HISTORIES)
def test_it_is_read_back_bit_for_bit(history: History) -> None:
    assert from_json(json.loads(json.dumps(to_json(history)))) == history


GOOD = to_json(History(1.5, 10.0, 200.0, 0.02, 1))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        GOOD[:4],
        [*GOOD, 1],
        [(0.5).hex(), *GOOD[1:]],  # an inflation below 1 would sharpen the bets
        [GOOD[0], None, *GOOD[2:]],
        [GOOD[0], (-1.0).hex(), *GOOD[2:]],
        ["nan", *GOOD[1:]],
        [*GOOD[:2], "inf", *GOOD[3:]],
        [*GOOD[:2], 200.0, *GOOD[3:]],
        [*GOOD[:4], 0],
        [*GOOD[:4], 61],
        [*GOOD[:4], True],
    ],
)
def test_what_is_no_history_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"history|block|number|hexadecimal"):
        from_json(value)


def test_a_gate_asked_in_another_order_of_points_learns_the_same_of_rates() -> None:
    rng = random.Random(4)
    points = [codes(150, binomial(rng, 150, 0.02)) for _ in range(QUARTERS)]
    shuffled = rng.sample(points, len(points))
    one, other = (history_of(ERRORS, p, 15, LEVEL) for p in (points, shuffled))
    assert replace(one, inflation=None) == replace(other, inflation=None)
    assert one.inflation == pytest.approx(other.inflation)
