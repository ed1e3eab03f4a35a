"""A gate's state survives its JSON form to the last digit; what is not a state is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.evidence import Buckets, Explicit, Exponential
from controller.gates.tally import Side, Tally, from_json, to_json

COUNTS = st.integers(0, 2**53 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BUCKETS: st.SearchStrategy[Buckets] = st.one_of(
    st.builds(
        Exponential,
        st.floats(0.1, 100),
        st.floats(1.01, 3),
        st.integers(1, 120),
    ),
    st.builds(
        Explicit,
        st.lists(st.floats(0, 1e6), min_size=1, max_size=8).map(lambda b: tuple(sorted(b))),
    ),
)
PLAIN = st.builds(Side, COUNTS, COUNTS, COUNTS, NUMBERS)
FILLED = st.builds(
    Side,
    COUNTS,
    COUNTS,
    COUNTS,
    NUMBERS,
    BUCKETS,
    st.dictionaries(st.integers(0, 121), st.integers(1, 2**40), max_size=12),
)
SIDES = PLAIN | FILLED
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.builds(Tally, SIDES, SIDES))
def test_a_tally_is_read_back_as_it_was_written(tally: Tally) -> None:
    assert from_json(json.loads(json.dumps(to_json(tally)))) == tally


@given(JSON)
def test_whatever_is_no_tally_is_a_value_error(value: Any) -> None:
    try:
        from_json(value)
    except ValueError:
        return


@pytest.mark.parametrize(
    "side",
    [
        [0, 0, 0],
        [-1, 0, 0, "0x0.0p+0"],
        [True, 0, 0, "0x0.0p+0"],
        [0, 0, 0, 1.5],
        [0, 0, 0, "0x1p+9999"],
        [2**53, 0, 0, "0x0.0p+0"],
        [0, 0, 0, "0x0.0p+0", [["0x1p+1"]], 0, [-1]],
        [0, 0, 0, "0x0.0p+0", None, 0, []],
        [0, 9, 0, "nan"],
        [0, 9, 0, "inf"],
        [0, 9, 0, "0x0.0p+0", [["nan"]], 0, [9]],
        [0, 9, 0, "0x0.0p+0", ["0x1p+1", "0x1p+900", 120], 0, [9]],
        [0, 9, 0, "0x0.0p+0", ["0x1p+1", "0x1p+1", 10**12], 0, [9]],
    ],
)
def test_a_side_that_cannot_be_is_refused(side: list[Any]) -> None:
    good = [0, 0, 0, "0x0.0p+0"]
    with pytest.raises(ValueError, match=r"."):
        from_json([side, good])
