"""The JSON form of a minute tells everything a gate would need to judge it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Exponential,
    Histogram,
    Minute,
    Number,
    Value,
)
from controller.gates.minutes import from_json, to_json

END = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)


def test_counts_are_told_by_code_and_a_missing_side_is_null() -> None:
    told = to_json(Minute(END, CodeCounts({"5xx": 1, "2xx": 9}), None))
    assert told == {
        "end": "2026-01-05T09:05:00Z",
        "candidate": {"codes": {"2xx": 9, "5xx": 1}},
        "stable": None,
    }


def test_a_histogram_is_told_with_its_buckets_and_gauges_with_their_number() -> None:
    histogram = Histogram(Exponential(10.0, 1.1, 120), {70: 2, 7: 1}, 12.5)
    told = json.loads(json.dumps(to_json(Minute(END, histogram, Number(0.8)))))
    assert told["candidate"]["counts"] == {"7": 1, "70": 2}
    assert told["candidate"]["buckets"] == {"scale": 10.0, "growth": 1.1, "finite": 120}
    assert told["candidate"]["mean"] == 12.5
    assert told["stable"] == {"value": 0.8}


@given(
    st.sampled_from(
        [
            None,
            CodeCounts({"2xx": 9, "404": 1}),
            Number(0.25),
            Histogram(Exponential(10.0, 1.1, 120), {70: 2, 7: 1}, 12.5),
            Histogram(Explicit((1.0, 2.0)), {0: 4, 2: 1}, 0.75),
        ]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_what_is_told_is_read_again(value: Value | None, number: float) -> None:
    minute = Minute(END, value, Number(number))
    assert from_json(json.loads(json.dumps(to_json(minute)))) == minute


@pytest.mark.parametrize(
    "side",
    [
        {"codes": {"2xx": -1}},
        {"codes": {"2xx": 1.5}},
        {"value": None},
        {"value": float("nan")},
        {"value": True},
        {"buckets": {"bounds": [2, 1]}, "counts": {}, "mean": 1},
        {"buckets": {"bounds": [1, 2]}, "counts": {"3": 1}, "mean": 1},
        {"buckets": {"scale": 1, "growth": 1, "finite": 3}, "counts": {}, "mean": 1},
        {"buckets": {"scale": 1, "growth": 2, "finite": 10**9}, "counts": {}, "mean": 1},
        {"buckets": {}, "counts": {}, "mean": 1},
        {"buckets": {"bounds": [1]}, "counts": {"one": 1}, "mean": 1},
        [],
    ],
)
def test_what_no_minute_can_be_is_refused(side: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json({"end": "2026-01-05T09:05:00Z", "candidate": side, "stable": None})


@pytest.mark.parametrize("end", [None, "soon", "2026-01-05T09:05:00", "2026-01-05T09:05:30Z"])
def test_a_minute_ends_on_a_whole_minute_of_a_zone(end: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json({"end": end, "candidate": None, "stable": None})
