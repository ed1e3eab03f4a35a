"""How noisy stable is by itself: batches of history, and what follows from them for a gate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.dispersion import (
    autocorrelation,
    block_length,
    cap,
    inflation,
    tempering,
)


def test_the_inflation_of_four_batches() -> None:
    found = inflation([(100, 0), (100, 4), (100, 1), (100, 3)])
    assert found == pytest.approx(1.161695, abs=6e-7)


def test_batches_without_requests_are_not_used() -> None:
    batches = [(100, 0), (0, 0), (100, 4), (100, 1), (0, 0), (100, 3)]
    assert inflation(batches) == inflation([b for b in batches if b[0]])


@pytest.mark.parametrize(
    "batches", [[], [(0, 0)], [(100, 0), (50, 0)], [(100, 100), (50, 50)], [(100, 3)]]
)
def test_where_nothing_can_be_estimated_the_inflation_is_one(
    batches: list[tuple[int, int]],
) -> None:
    assert inflation(batches) == 1


def test_bursts_inflate() -> None:
    even = [(1000, 5)] * 96
    bursts = [(1000, 80 if i % 16 == 0 else 0) for i in range(96)]
    assert inflation(even) == 1
    assert inflation(bursts) > 10


@pytest.mark.parametrize(
    ("phi", "expected"), [(None, 1.5), (1, 2.3), (2.3**2, 1.0), (100, 1.0), (2.3, 2.3**0.5)]
)
def test_the_noisier_the_less_a_minute_may_say(phi: float | None, expected: float) -> None:
    assert cap(phi) == pytest.approx(expected)


def test_tempering_weighs_each_sides_inflation_with_the_others_share() -> None:
    # Candidate: half the history's requests, so half the extra variance; stable: all of it.
    assert tempering(5, 100, 50, 120, 0.25) == pytest.approx(0.75 * 3 + 0.25 * 5)
    assert tempering(1, 100, 50, 120, 0.25) == 1
    assert tempering(5, 0, 50, 120, 0.25) == 5  # no history to compare with: all of it


@given(st.floats(1, 100), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1))
def test_tempering_is_between_one_and_the_inflation(
    phi: float, mean: float, candidate: float, stable: float, rate: float
) -> None:
    assert 1 - 1e-9 <= tempering(phi, mean, candidate, stable, rate) <= phi + 1e-9


def test_autocorrelation_of_known_series() -> None:
    assert autocorrelation([1, 2, 3, 4]) == pytest.approx(0.25)
    assert autocorrelation([1, -1] * 50) == pytest.approx(-0.99)
    assert autocorrelation([0] * 25 + [1] * 25) == pytest.approx(0.94, abs=0.01)


@pytest.mark.parametrize("series", [[], [3.0], [2.0] * 9])
def test_what_does_not_vary_does_not_correlate(series: list[float]) -> None:
    assert autocorrelation(series) == 0


@pytest.mark.parametrize(
    ("r", "minutes"),
    [(-1, 1), (0, 1), (1 / 3, 1), (0.34, 2), (0.5, 2), (0.8, 5), (0.95, 5), (1, 5)],
)
def test_correlated_minutes_are_averaged_in_blocks(r: float, minutes: int) -> None:
    assert block_length(r) == minutes
