"""Bets on means: reference values, and no gain on average for any distribution with the mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.kernel import pooled
from controller.gates.means import (
    MEANS,
    bounded_increments,
    improvement_bound,
    nonnegative_increments,
    paired_increments,
    share_increments,
)

SIX = 6e-7
UNIT = st.floats(0, 1)
CHANCES = st.floats(0.001, 0.999)


def test_four_minutes_against_a_floor() -> None:
    minutes = [bounded_increments(value, 0.6) for value in (0.52, 0.61, 0.40, 0.55)]
    total = [math.fsum(gains) for gains in zip(*minutes, strict=True)]
    assert total == pytest.approx([0.078512, 0.191075, 0.366500, 0.620931], abs=SIX)
    mixture = pooled([w + gain for w, gain in zip(MEANS.log_weights, total, strict=True)])
    assert mixture == pytest.approx(0.335679, abs=SIX)


def test_what_one_minute_may_gain_is_bounded() -> None:
    assert max(bounded_increments(0, 0.6)) == pytest.approx(math.log(1 + 0.9 * 0.6 / 0.4))


def mean_factors(
    bet: Callable[[float], tuple[float, ...]], low: float, high: float, chance: float
) -> list[float]:
    """Return E[exp(increment)] for a value that is `high` with this chance, else `low`."""
    pairs = zip(bet(low), bet(high), strict=True)
    return [(1 - chance) * math.exp(a) + chance * math.exp(b) for a, b in pairs]


@given(UNIT, UNIT, CHANCES)
def test_at_the_floor_a_factor_has_mean_one(one: float, other: float, chance: float) -> None:
    low, high = sorted((one, other))
    floor = (1 - chance) * low + chance * high
    if floor > 0.999:
        return
    found = mean_factors(lambda y: bounded_increments(y, floor), low, high, chance)
    assert found == pytest.approx([1] * 4, abs=1e-9)


@given(st.floats(-1, 1), st.floats(-1, 1), CHANCES)
def test_at_the_paired_margin_a_factor_has_mean_one(
    one: float, other: float, chance: float
) -> None:
    margin = (1 - chance) * one + chance * other
    if margin < -0.99:
        return
    found = mean_factors(lambda d: paired_increments(d, margin), one, other, chance)
    assert found == pytest.approx([1] * 4, abs=1e-9)


@given(st.floats(0, 1e6), st.floats(0, 1e6), CHANCES)
def test_at_the_ceiling_a_factor_of_an_unbounded_value_has_mean_one(
    one: float, other: float, chance: float
) -> None:
    ceiling = (1 - chance) * one + chance * other
    if ceiling < 1e-6:
        return
    found = mean_factors(lambda y: nonnegative_increments(y, ceiling), one, other, chance)
    assert found == pytest.approx([1] * 4, rel=1e-9)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6), st.floats(0.1, 10))
def test_two_sides_that_take_turns_share_evenly(one: float, other: float, ratio: float) -> None:
    straight = share_increments(one * ratio, other, ratio)
    swapped = share_increments(other * ratio, one, ratio)
    pairs = zip(straight, swapped, strict=True)
    means = [(math.exp(a) + math.exp(b)) / 2 for a, b in pairs]
    assert means == pytest.approx([1] * 4, abs=1e-9)


def test_a_share_is_a_bounded_mean_against_a_half() -> None:
    candidate, stable, ratio = 3.0, 2.0, 1.25
    share = candidate / (candidate + ratio * stable)
    expected = bounded_increments(1 - share, 0.5)
    assert share_increments(candidate, stable, ratio) == pytest.approx(expected)


def test_two_zeros_bet_nothing() -> None:
    assert share_increments(0, 0, 1.25) == (0, 0, 0, 0)


def test_one_wild_minute_decides_no_share() -> None:
    assert max(share_increments(1e9, 1, 1)) <= math.log(1.9)


@given(UNIT, UNIT, st.floats(0, 0.9))
def test_a_lower_value_never_has_less_evidence(one: float, other: float, floor: float) -> None:
    low, high = sorted((one, other))
    pairs = zip(bounded_increments(low, floor), bounded_increments(high, floor), strict=True)
    assert all(at_low >= at_high for at_low, at_high in pairs)


@pytest.mark.parametrize(
    ("bet", "arguments"),
    [
        (bounded_increments, (1.01, 0.6)),
        (bounded_increments, (-0.01, 0.6)),
        (bounded_increments, (math.nan, 0.6)),
        (bounded_increments, (0.5, 1.0)),
        (paired_increments, (1.01, 0.05)),
        (paired_increments, (0.5, -1.0)),
        (paired_increments, (math.nan, 0.05)),
        (nonnegative_increments, (-1.0, 2.0)),
        (nonnegative_increments, (math.inf, 2.0)),
        (nonnegative_increments, (1.0, 0.0)),
        (share_increments, (-1.0, 1.0, 1.0)),
        (share_increments, (1.0, math.nan, 1.0)),
        (share_increments, (1.0, 1.0, 0.0)),
    ],
)
def test_a_value_outside_its_range_is_an_error(
    bet: Callable[..., tuple[float, ...]], arguments: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match=r"not a|not two"):
        bet(*arguments)


def test_an_improvement_needs_twelve_blocks() -> None:
    assert improvement_bound(11, -9, 0.0) == math.inf
    assert improvement_bound(12, -9, 0.0) == -9


def test_the_improvement_bound_by_hand() -> None:
    # 12 x .05 + 1 = 1.6; 2 x 1.6 / (144 x .05) = .444444; ln(1 + 1.264911 / .1) = 2.613674
    assert improvement_bound(12, 0.0, 1.0) == pytest.approx(1.077791, abs=SIX)
    assert improvement_bound(12, -0.2, 0.04) == pytest.approx(-0.2 + 0.2 * 1.077791, abs=SIX)


def test_more_blocks_prove_more() -> None:
    bounds = [improvement_bound(blocks, -0.1, 0.04) for blocks in (12, 24, 96, 672)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 0 > bounds[-1]
