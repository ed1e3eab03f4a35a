"""Intervals that hold at every look, against their reference values and published identities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.intervals import beta_interval, lower, upper
from controller.gates.kernel import FAIL, PASS, one_shot

SIX = 6e-7

REFERENCE = [
    # hits, trials, lower 99%, upper 95%, Beta(1/2, 1/2) 95%
    (5, 100, 0.006580, 0.132819, 0.007149, 0.155794),
    (0, 500, 0.0, 0.007977, 0.0, 0.013263),
    (30, 1000, 0.014481, 0.048447, 0.014279, 0.054018),
    (50, 10000, 0.002820, 0.007418, 0.002701, 0.008328),
    (3, 10, 0.019072, 0.739459, 0.032515, 0.747587),
]


@pytest.mark.parametrize(("hits", "trials", "low", "high", "beta_low", "beta_high"), REFERENCE)
def test_the_bounds(
    hits: int, trials: int, low: float, high: float, beta_low: float, beta_high: float
) -> None:
    assert lower(hits, trials, 0.01) == pytest.approx(low, abs=SIX)
    assert upper(hits, trials, 0.05) == pytest.approx(high, abs=SIX)
    assert beta_interval(hits, trials, 0.05) == pytest.approx((beta_low, beta_high), abs=SIX)


@pytest.mark.parametrize(
    ("trials", "bound"), [(10, 0.336), (50, 0.077), (107, 0.037), (214, 0.019)]
)
def test_what_few_clean_requests_prove(trials: int, bound: float) -> None:
    assert upper(0, trials, 0.05) == pytest.approx(bound, abs=6e-4)


def test_robbins_sequence_at_no_hit_has_a_closed_form() -> None:
    low, high = beta_interval(0, 500, 0.05, a=1, b=1)
    assert low == 0
    assert high == pytest.approx(1 - (0.05 / 501) ** (1 / 500), abs=1e-12)
    assert high == pytest.approx(0.018256, abs=SIX)


def test_looking_at_every_minute_is_paid_for() -> None:
    at_one_look = 1 - 0.05 ** (1 / 500)  # Clopper and Pearson (1934)
    assert at_one_look == pytest.approx(0.005974, abs=SIX)
    assert upper(0, 500, 0.05) > at_one_look


def test_without_trials_nothing_is_excluded() -> None:
    assert (lower(0, 0, 0.05), upper(0, 0, 0.05)) == (0, 1)
    assert beta_interval(0, 0, 0.05) == (0, 1)


def test_when_all_fail_the_upper_bound_is_one() -> None:
    assert upper(20, 20, 0.05) == 1
    assert lower(20, 20, 0.05) > 0.5
    assert beta_interval(20, 20, 0.05)[1] == 1


COUNTS = st.tuples(st.integers(0, 50), st.integers(1, 5000)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
LEVELS = st.sampled_from([0.001, 0.01, 0.025, 0.05])


@given(COUNTS, LEVELS)
def test_the_bounds_enclose_the_estimate(counts: tuple[int, int], level: float) -> None:
    hits, trials = counts
    assert lower(hits, trials, level) <= hits / trials <= upper(hits, trials, level)


@given(COUNTS, LEVELS)
def test_a_bound_is_where_the_gates_mixture_proves_it(
    counts: tuple[int, int], level: float
) -> None:
    low, high = lower(*counts, level), upper(*counts, level)
    if low > 0:
        assert one_shot(FAIL, *counts, low) >= one_shot(FAIL, *counts, low * (1 + 1e-6))
        assert level * math.exp(one_shot(FAIL, *counts, low)) == pytest.approx(1)
    if high < 1:
        assert level * math.exp(one_shot(PASS, *counts, high)) == pytest.approx(1)
