"""What a gate will see, in closed form: reference values, and what must hold for any plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.gates.planner import (
    FailRule,
    Hold,
    Service,
    chances,
    detectable,
    excess,
)

SIX = 6e-7
HOLDS = [Hold(weight, 30) for weight in (0.05, 0.10, 0.25, 0.50, 1.0)]
RULE = FailRule(limit=0.01, ratio=2, limit_level=0.01, ratio_level=0.01, cap=2.3)
BUSY = Service(requests=120, stable=0.005)


def first_minute(failed: Sequence[float], probability: float = 0.5) -> int | None:
    """Return the first minute (from 0) by which the gate has failed with this probability."""
    return next((index for index, chance in enumerate(failed) if chance >= probability), None)


@pytest.mark.parametrize(
    ("per_second", "candidate", "by_the_end", "even", "harm"),
    [
        (2, 0.03, 0.985586, 60, 23.193596),
        (20, 0.02, 1.000000, 30, 39.034223),
        (0.2, 0.10, 0.976112, 63, 10.236291),
    ],
)
def test_the_closed_form(
    per_second: float, candidate: float, by_the_end: float, even: int, harm: float
) -> None:
    service = Service(per_second * 60, 0.005)
    failed = chances(HOLDS, service, candidate, RULE)
    assert len(failed) == 150
    assert failed[-1] == pytest.approx(by_the_end, abs=SIX)
    assert first_minute(failed) == even
    assert excess(HOLDS, service, candidate, failed, delay=4) == pytest.approx(harm, abs=SIX)


def test_a_chance_never_falls() -> None:
    failed = chances(HOLDS, BUSY, 0.02, RULE)
    assert list(failed) == sorted(failed)
    assert 0 <= failed[0] <= failed[-1] <= 1


def test_the_cap_sets_the_first_minute_that_can_fail() -> None:
    busiest = Service(12_000, 0.005)
    for cap, first in ((2.3, 2), (1.0, 5)):  # ceil((ln 100 + ln 2) / cap) minutes
        assert first_minute(chances(HOLDS, busiest, 1.0, replace(RULE, cap=cap))) == first


def test_without_stable_traffic_a_comparison_learns_nothing() -> None:
    alone = [Hold(1.0, 600)]
    assert chances(alone, BUSY, 0.5, RULE)[-1] == 0
    assert chances(alone, BUSY, 0.5, replace(RULE, ratio=None))[-1] == 1


def test_a_gate_that_needs_both_is_the_slower_of_the_two() -> None:
    both = chances(HOLDS, BUSY, 0.03, RULE)
    limit = chances(HOLDS, BUSY, 0.03, replace(RULE, ratio=None))
    ratio = chances(HOLDS, BUSY, 0.03, replace(RULE, limit=None))
    assert both == tuple(min(pair) for pair in zip(limit, ratio, strict=True))


def test_each_test_is_held_to_its_own_level() -> None:
    strict = replace(RULE, ratio_level=0.001)
    assert sum(chances(HOLDS, BUSY, 0.03, strict)) < sum(chances(HOLDS, BUSY, 0.03, RULE))
    limit_alone = replace(RULE, ratio=None)
    stricter = replace(limit_alone, ratio_level=0.001)
    assert chances(HOLDS, BUSY, 0.03, stricter) == chances(HOLDS, BUSY, 0.03, limit_alone)


def test_without_traffic_nothing_fails_and_nothing_is_harmed() -> None:
    failed = chances(HOLDS, Service(0, 0.005), 1.0, RULE)
    assert set(failed) == {0.0}
    assert excess(HOLDS, Service(0, 0.005), 1.0, failed, delay=4) == 0


def test_a_gate_without_anything_to_fail_by_is_an_error() -> None:
    with pytest.raises(ValueError, match="a limit or a ratio"):
        chances(HOLDS, BUSY, 0.03, replace(RULE, limit=None, ratio=None))


def test_a_candidate_that_is_never_found_harms_to_the_end() -> None:
    failed = (0.0,) * 150
    expected = sum(120 * hold.weight * 30 * 0.025 for hold in HOLDS)
    assert excess(HOLDS, BUSY, 0.03, failed, delay=4) == pytest.approx(expected)
    at_once = (1.0,) * 150
    assert excess(HOLDS, BUSY, 0.03, at_once, delay=4) == pytest.approx(5 * 6 * 0.025)


@pytest.mark.parametrize("holds", [HOLDS, HOLDS[:1], [Hold(0.05, 1440), Hold(0.5, 1440)]])
def test_the_smallest_regression_found_is_on_the_edge(holds: list[Hold]) -> None:
    found = detectable(holds, BUSY, RULE)
    assert found is not None
    assert chances(holds, BUSY, found * 1.001, RULE)[-1] >= 0.8
    assert chances(holds, BUSY, found * 0.99, RULE)[-1] < 0.8


def test_more_traffic_finds_smaller_regressions() -> None:
    rates = [detectable(HOLDS, Service(60 * rps, 0.005), RULE) for rps in (0.2, 2, 20, 200)]
    assert None not in rates
    assert rates == sorted(rates, key=lambda rate: -(rate or 0))
    assert (rates[-1] or 0) > 0.01  # never at or below the limit


def test_ten_requests_a_day_find_no_regression_at_all() -> None:
    assert detectable([Hold(0.05, 60)], Service(0.15, 0.005), RULE) is None


def test_no_holds_find_nothing() -> None:
    assert chances([], BUSY, 0.5, RULE) == ()
    assert detectable([], BUSY, RULE) is None
    assert first_minute(()) is None
    assert not math.isnan(excess([], BUSY, 0.5, (), delay=4))
