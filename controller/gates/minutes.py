"""The JSON form of a minute's evidence: what `observed` events carry, complete enough to judge by.

One minute: {"end": ISO time, "candidate": value, "stable": value}; a side without a point is
null. A value is {"codes": {code: requests}}, {"buckets": layout, "counts": {index: n}, "mean": m}
or {"value": number}. layout: {"scale", "growth", "finite"} or {"bounds": [...]}.
"""

from __future__ import annotations

from typing import Any

from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Exponential,
    Histogram,
    Latencies,
    Minute,
    Number,
    Query,
    Requests,
    Value,
)
from controller.plan.model import CustomMetric


def name_of(query: Query) -> str:
    """Return the metric's name in Cloud Monitoring's words, without Cloud Run's prefix."""
    match query:
        case Requests():
            return "request_count"
        case Latencies():
            return "request_latencies"
        case CustomMetric(type=metric_type):
            return metric_type


def to_json(minute: Minute) -> dict[str, Any]:
    """Return a minute as JSON values."""
    return {
        "end": minute.end.isoformat().replace("+00:00", "Z"),
        "candidate": _value(minute.candidate),
        "stable": _value(minute.stable),
    }


def _value(value: Value | None) -> dict[str, Any] | None:
    match value:
        case None:
            return None
        case CodeCounts(codes):
            return {"codes": {code: codes[code] for code in sorted(codes)}}
        case Number(number):
            return {"value": number}
        case Histogram(buckets, counts, mean):
            layout = _layout(buckets)
            ordered = {str(index): counts[index] for index in sorted(counts)}
            return {"buckets": layout, "counts": ordered, "mean": mean}


def _layout(buckets: Exponential | Explicit) -> dict[str, Any]:
    match buckets:
        case Exponential(scale, growth, finite):
            return {"scale": scale, "growth": growth, "finite": finite}
        case Explicit(bounds):
            return {"bounds": list(bounds)}
