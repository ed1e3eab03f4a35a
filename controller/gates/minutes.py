"""The JSON form of a minute's evidence: what `observed` events carry, complete enough to judge by.

One minute: {"end": ISO time, "candidate": value, "stable": value}; a side without a point is
null. A value is {"codes": {code: requests}}, {"buckets": layout, "counts": {index: n}, "mean": m}
or {"value": number}. layout: {"scale", "growth", "finite"} or {"bounds": [...]}. What is read of it
is untrusted.
"""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
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
    bounds_of,
)
from controller.gates.tally import BUCKETS_MAX
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


def from_json(value: Any) -> Minute:
    """Read `to_json`'s form. Raises ValueError."""
    if not isinstance(value, dict) or not isinstance(value.get("end"), str):
        raise ValueError("a minute needs its end")  # noqa: TRY004 untrusted text, not a bug
    end = datetime.fromisoformat(value["end"])
    if end.tzinfo is None or end.second or end.microsecond:
        raise ValueError(f"not the end of a minute: {value['end']!r}")
    return Minute(end, _read_value(value.get("candidate")), _read_value(value.get("stable")))


def _read_value(value: Any) -> Value | None:
    match value:
        case None:
            return None
        case {"codes": dict() as codes}:
            return CodeCounts({str(code): _count(count) for code, count in codes.items()})
        case {"value": number}:
            return Number(_number(number))
        case {"buckets": dict() as layout, "counts": dict() as counts, "mean": mean}:
            buckets = _read_layout(layout)
            read = {int(index): _count(count) for index, count in counts.items()}
            last = len(bounds_of(buckets))
            if any(not 0 <= index <= last for index in read):
                raise ValueError("a bucket that is not in its layout")
            return Histogram(buckets, read, _number(mean))
        case _:
            raise ValueError(f"not a value of a minute: {str(value)[:80]}")


def _read_layout(layout: dict[str, Any]) -> Exponential | Explicit:
    match layout:
        case {"scale": scale, "growth": growth, "finite": finite}:
            read = Exponential(_number(scale), _number(growth), _count(finite))
            if read.scale <= 0 or read.growth <= 1 or read.finite > BUCKETS_MAX:
                raise ValueError("buckets that do not rise")
            return read
        case {"bounds": list() as bounds}:
            edges = tuple(_number(bound) for bound in bounds)
            if any(low >= high for low, high in pairwise(edges)):
                raise ValueError("buckets that do not rise")
            return Explicit(edges)
        case _:
            raise ValueError("buckets of an unknown layout")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"not a count: {value!r}")
    return value


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise ValueError(f"not a number: {value!r}")
    return float(value)
