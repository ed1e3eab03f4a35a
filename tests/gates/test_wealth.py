"""Wealth from minute to minute: what must hold for any of them, and its JSON form."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.kernel import (
    FAIL,
    FIRST,
    MINUTE,
    STAGE,
    Wealth,
    from_json,
    increments,
    pooled,
    settled,
    to_json,
    wealth_of,
)


def looks(minutes: Sequence[tuple[float, float, float]], cap: float) -> list[float]:
    """Return the log evidence after each minute (hits, trials, rate)."""
    wealth, found = Wealth(), []
    for index, (hits, trials, rate) in enumerate(minutes):
        fraction = FIRST if index == 0 else MINUTE
        wealth = settled(FAIL, wealth, increments(FAIL, hits, trials, rate), fraction, cap)
        found.append(wealth.log_evidence)
    return found


RATES = st.floats(1e-4, 0.5)
COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda pair: (pair[0], sum(pair)))
MINUTES = st.lists(COUNTS, min_size=1, max_size=20)
FRACTIONS = st.sampled_from([FIRST, STAGE, MINUTE])
LOGS = st.floats(-500, 500)
WEALTHS = st.builds(
    wealth_of,
    st.floats(-500, 0),
    st.one_of(st.just(()), st.tuples(*[LOGS | st.just(-math.inf)] * len(FAIL.weights))),
)


@given(WEALTHS, COUNTS, COUNTS, RATES)
def test_splitting_a_minute_changes_nothing(
    wealth: Wealth, one: tuple[int, int], other: tuple[int, int], rate: float
) -> None:
    whole = increments(FAIL, one[0] + other[0], one[1] + other[1], rate)
    at_once = settled(FAIL, wealth, whole, 0)
    in_two = settled(FAIL, wealth, increments(FAIL, *one, rate), 0)
    in_two = settled(FAIL, in_two, increments(FAIL, *other, rate), 0)
    assert in_two.log_evidence == pytest.approx(at_once.log_evidence, rel=1e-9, abs=1e-9)


@given(MINUTES, st.data(), RATES, st.sampled_from([math.inf, 2.3, 1.0]))
def test_one_more_failure_never_lowers_the_evidence(
    minutes: list[tuple[int, int]], data: st.DataObject, rate: float, cap: float
) -> None:
    which = data.draw(st.integers(0, len(minutes) - 1))
    worse = [(x + (i == which), n + (i == which)) for i, (x, n) in enumerate(minutes)]
    same_n = [(x, n + (i == which)) for i, (x, n) in enumerate(minutes)]
    before = looks([(x, n, rate) for x, n in same_n], cap)
    after = looks([(x, n, rate) for x, n in worse], cap)
    assert all(b >= a - 1e-9 for a, b in zip(before, after, strict=True))


@given(MINUTES, RATES, RATES, st.sampled_from([math.inf, 2.3, 1.0]))
def test_a_higher_limit_never_raises_the_evidence(
    minutes: list[tuple[int, int]], one: float, other: float, cap: float
) -> None:
    strict, loose = sorted((one, other))
    at_strict = looks([(x, n, strict) for x, n in minutes], cap)
    at_loose = looks([(x, n, loose) for x, n in minutes], cap)
    assert all(b <= a + 1e-9 for a, b in zip(at_strict, at_loose, strict=True))


@given(WEALTHS, FRACTIONS)
def test_investing_leaves_the_total_as_it_was(wealth: Wealth, fraction: float) -> None:
    invested = settled(FAIL, wealth, (0.0,) * 6, fraction)
    assert invested.log_evidence == pytest.approx(wealth.log_evidence, rel=1e-9, abs=1e-9)


def test_nothing_is_settled_before_something_is_invested() -> None:
    assert settled(FAIL, Wealth(), increments(FAIL, 9, 9, 0.01), 0) == Wealth()


def test_a_wrong_number_of_increments_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        settled(FAIL, Wealth(), (0.0,) * 5, FIRST)


def test_far_too_much_evidence_does_not_overflow() -> None:
    (evidence,) = looks([(10**6, 10**6, 1e-4)], math.inf)
    assert evidence > 1e6


def test_the_sum_of_nothing_is_nothing() -> None:
    assert pooled(()) == -math.inf
    assert pooled((-math.inf, -math.inf)) == -math.inf
    assert pooled((-math.inf, 0.0)) == 0.0


# ---- the JSON form ----


@given(WEALTHS)
def test_wealth_is_read_back_bit_for_bit(wealth: Wealth) -> None:
    assert from_json(json.loads(json.dumps(to_json(wealth))), FAIL) == wealth


@given(MINUTES, st.data())
def test_a_saved_rollout_goes_on_to_the_same_bit(
    minutes: list[tuple[int, int]], data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, len(minutes)))
    straight, restored = Wealth(), Wealth()
    for index, (x, n) in enumerate(minutes):
        gains = increments(FAIL, x, n, 0.01)
        if index == stop:
            restored = from_json(json.loads(json.dumps(to_json(restored))), FAIL)
        fraction = FIRST if index == 0 else MINUTE
        straight = settled(FAIL, straight, gains, fraction, 2.3)
        restored = settled(FAIL, restored, gains, fraction, 2.3)
    assert restored.log_evidence.hex() == straight.log_evidence.hex()


BET = (-1.0).hex()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "0x0p+0",
        [None],
        [0.0],
        [True],
        ["nan"],
        ["inf"],
        ["-inf"],
        ["0x1p+9999"],
        ["one"],
        [(0.5).hex()],  # cash never grows
        [BET, BET],
        [BET, *[BET] * 5],
        [BET, *[BET] * 7],
        [BET, *[BET] * 5, "inf"],
        [BET, *[BET] * 5, "-inf"],
        [BET, *[BET] * 5, "nan"],
        [BET, *[BET] * 5, -1.0],
        [None, *[BET] * 6],
    ],
)
def test_what_is_no_wealth_of_this_grid_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not a|more cash|hexadecimal"):
        from_json(value, FAIL)


def test_the_largest_float_is_still_a_number() -> None:
    wealth = wealth_of(-sys.float_info.max, ())
    assert from_json(to_json(wealth), FAIL) == wealth
