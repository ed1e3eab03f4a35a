"""Draws and percentiles: what the traffic model is made of."""

from __future__ import annotations

from random import Random
from statistics import fmean, pvariance

import pytest

from controller.sandbox.histogram import (
    BOUNDS_MS,
    BUCKETS,
    EMPTY,
    binomial,
    bucket_of,
    lognormal,
    merge,
    percentile,
    poisson,
    with_value,
)


def test_a_lower_bound_is_inside_its_bucket_and_an_upper_bound_is_not() -> None:
    assert bucket_of(9.99) == 0
    assert bucket_of(10.0) == 1
    assert bucket_of(BOUNDS_MS[7]) == 8
    assert bucket_of(1e9) == BUCKETS - 1


def test_the_bounds_are_those_that_the_real_metric_publishes() -> None:
    assert BOUNDS_MS[7] == pytest.approx(19.48717100000001)
    assert BOUNDS_MS[21] == pytest.approx(74.00249944258171)
    assert BOUNDS_MS[83] == pytest.approx(27264.20685613271)


@pytest.mark.parametrize("count", [1, 7, 80, 81, 600, 20_000])
def test_a_draw_has_exactly_as_many_requests_as_asked(count: int) -> None:
    for seed in range(20):
        drawn = lognormal(4000.0, 9000.0).draw(Random(seed), count)
        assert drawn.count == count
        assert len(drawn.counts) == BUCKETS


def test_many_draws_have_the_percentiles_and_the_mean_of_their_truth() -> None:
    truth = lognormal(4000.0, 9000.0)
    for count in (10, 300):
        drawn = merge([truth.draw(Random(f"{count}/{i}"), count) for i in range(60_000 // count)])
        assert percentile(drawn, 50) == pytest.approx(4000, rel=0.03)
        assert percentile(drawn, 95) == pytest.approx(9000, rel=0.03)
        assert drawn.mean == pytest.approx(4517, rel=0.02)
        deviation = (drawn.sum_of_squared_deviation / drawn.count) ** 0.5
        assert deviation == pytest.approx(2380, rel=0.04)


def test_percentiles_are_linear_within_a_bucket() -> None:
    histogram = EMPTY
    for _ in range(4):
        histogram = with_value(histogram, 11.5)  # in [11, 12.1)
    assert percentile(histogram, 50) == pytest.approx(11 + 1.1 * 0.5)
    assert percentile(histogram, 100) == pytest.approx(12.1)
    assert percentile(EMPTY, 95) is None


def test_merging_adds_counts_sums_and_squares() -> None:
    one, two = with_value(EMPTY, 20.0), with_value(with_value(EMPTY, 40.0), 60.0)
    both = merge([one, two])
    assert (both.count, both.mean) == (3, 40.0)
    assert both.sum_of_squared_deviation == pytest.approx(800.0)


@pytest.mark.parametrize("mean", [0.2, 3.0, 49.0, 400.0])
def test_poisson_counts_have_their_mean_as_variance(mean: float) -> None:
    rng = Random(1)
    counts = [poisson(rng, mean) for _ in range(4000)]
    assert fmean(counts) == pytest.approx(mean, rel=0.08)
    assert pvariance(counts) == pytest.approx(mean, rel=0.12)


@pytest.mark.parametrize(("tries", "chance"), [(20, 0.3), (500, 0.004), (500, 0.3), (500, 0.97)])
def test_binomial_counts_have_their_mean_and_never_exceed_the_tries(
    tries: int, chance: float
) -> None:
    rng = Random(2)
    counts = [binomial(rng, tries, chance) for _ in range(3000)]
    assert fmean(counts) == pytest.approx(tries * chance, rel=0.06)
    assert 0 <= min(counts) <= max(counts) <= tries
    assert binomial(rng, tries, 0.0) == 0
    assert binomial(rng, tries, 1.0) == tries
