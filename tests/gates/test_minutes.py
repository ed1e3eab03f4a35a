"""The JSON form of a minute tells everything a gate would need to judge it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from controller.gates.evidence import CodeCounts, Exponential, Histogram, Minute, Number
from controller.gates.minutes import to_json

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
