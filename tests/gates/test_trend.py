"""Is the mean better? By quarter hours, and no promise before there are twelve of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.gates.trend import BLOCKS_LEAST, Trend, gain, is_proved, with_minute
from controller.plan.model import Gate, Limits
from tests.gates.builders import FASTER, SCORE

NINE = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HIGHER = replace(FASTER, metric=SCORE.metric, limits=Limits(minimum=0.5))

Both = tuple[float, float | None]


def trend_of(
    gate: Gate, means: Iterable[Both], weights: tuple[int, int] = (10, 90), start: datetime = NINE
) -> Trend:
    """Return the trend after minutes of (candidate's mean, stable's)."""
    trend = Trend()
    for number, (mine, theirs) in enumerate(means, 1):
        end = start + timedelta(minutes=number)
        trend = with_minute(gate, trend, end, mine, theirs, weights)
    return trend


def hours(count: float, mine: float, theirs: float, *, noise: float = 0.02) -> list[Both]:
    """Return minutes that go up and down by a fixed pattern, and one more that closes the last."""
    return [
        (mine * math.exp(noise * math.sin(7 * n)), theirs * math.exp(noise * math.cos(5 * n)))
        for n in range(round(count * 60) + 1)
    ]


def test_a_quarter_hour_counts_once_it_is_over() -> None:
    assert trend_of(FASTER, [(90, 100)] * 15).blocks == 0
    assert trend_of(FASTER, [(90, 100)] * 16).blocks == 1
    assert trend_of(FASTER, [(90, 100)] * 31).blocks == 2


def test_quarters_are_those_of_the_clock() -> None:
    late = trend_of(FASTER, [(90, 100)] * 6, start=NINE + timedelta(minutes=10))
    assert late.blocks == 1  # 9:11 to 9:15 is one, 9:16 belongs to the next


def test_the_gain_is_the_share_by_which_it_is_better() -> None:
    assert gain(FASTER, Trend()) is None
    assert gain(FASTER, trend_of(FASTER, [(80, 100)] * 31)) == pytest.approx(0.2)
    assert gain(FASTER, trend_of(FASTER, [(120, 100)] * 31)) == pytest.approx(-0.2)
    assert gain(HIGHER, trend_of(HIGHER, [(0.6, 0.5)] * 31)) == pytest.approx(0.2)


def test_a_mean_weighs_every_minute_by_its_observations() -> None:
    trend = Trend()
    for number, (mine, weight) in enumerate([(100.0, 1), (50.0, 9), (100.0, 1)], 1):
        end = NINE + timedelta(minutes=number)
        trend = with_minute(FASTER, trend, end, mine, 100.0, (weight, 10))
    closing = NINE + timedelta(minutes=16)
    trend = with_minute(FASTER, trend, closing, 1.0, 1.0, (1, 1))
    assert gain(FASTER, trend) == pytest.approx(1 - 650 / 1100)


@pytest.mark.parametrize("minute", [(90.0, None), (0.0, 100.0), (90.0, 0.0)])
def test_a_quarter_without_both_sides_says_nothing(minute: Both) -> None:
    assert trend_of(FASTER, [minute] * 31).blocks == 0


def test_nothing_is_proved_before_three_hours() -> None:
    almost = trend_of(FASTER, hours(2.75, 10, 100))
    assert almost.blocks == BLOCKS_LEAST - 1
    assert not is_proved(FASTER, almost, 0.10)
    assert is_proved(FASTER, trend_of(FASTER, hours(3, 10, 100)), 0.10)


def test_what_is_not_better_by_enough_is_never_proved() -> None:
    for hour in (3, 6, 12, 24):
        assert not is_proved(FASTER, trend_of(FASTER, hours(hour, 91, 100)), 0.10)
        assert not is_proved(FASTER, trend_of(FASTER, hours(hour, 150, 100)), 0.10)
    assert is_proved(FASTER, trend_of(FASTER, hours(12, 80, 100)), 0.10)


def test_where_big_values_are_good_better_means_bigger() -> None:
    assert is_proved(HIGHER, trend_of(HIGHER, hours(12, 0.6, 0.5)), 0.10)
    assert not is_proved(HIGHER, trend_of(HIGHER, hours(12, 0.5, 0.6)), 0.10)
