"""The state a gate carries from minute to minute: what both sides have shown in this stage.

Minutes are absorbed once, in order; the state never holds what has not been absorbed. Its
JSON form stands in the record (floats in hexadecimal, so that a fresh process computes the same
to the last digit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.gates.counting import hits_in
from controller.gates.evidence import (
    Buckets,
    CodeCounts,
    Explicit,
    Exponential,
    Histogram,
    Minute,
    Number,
    Value,
    bounds_of,
)
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    RequestCount,
    ResponseRate,
)

_COUNTING = (RequestCount, Arrival, FailedRequests)
BUCKETS_MAX = 1000  # Cloud Monitoring itself allows 200


@dataclass(frozen=True, slots=True)
class Side:
    """One side's evidence. minutes: how many had a value. total: requests or observations.

    hits: requests with one of the gate's codes. weighted: sum of mean x observations (means), or
    of the minutes' numbers (gauges). counts: bucket index → observations (percentiles).
    """

    minutes: int = 0
    total: int = 0
    hits: int = 0
    weighted: float = 0.0
    buckets: Buckets | None = None
    counts: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tally:
    """Both sides' evidence over the same minutes."""

    candidate: Side = Side()
    stable: Side = Side()


def absorb(gate: Gate, tally: Tally, minute: Minute) -> Tally:
    """Return the tally with one more minute in it."""
    return Tally(
        _with(gate, tally.candidate, minute.candidate), _with(gate, tally.stable, minute.stable)
    )


def _with(gate: Gate, side: Side, value: Value | None) -> Side:
    metric = gate.metric
    match value:
        case CodeCounts(codes):
            if isinstance(metric, ResponseRate):
                hits, total = hits_in(codes, metric.codes)
                return Side(side.minutes + 1, side.total + total, side.hits + hits)
            if isinstance(metric, _COUNTING):
                return Side(side.minutes + 1, side.total + value.total)
        case Histogram():
            if isinstance(metric, Latency | CustomMetric):
                return _with_histogram(metric, side, value)
        case Number(number):
            if isinstance(metric, CustomMetric):
                return Side(side.minutes + 1, side.total + 1, 0, side.weighted + number)
        case None:
            pass
    return side  # nothing, or a value of another kind than the metric's, is no evidence


def _with_histogram(metric: Latency | CustomMetric, side: Side, value: Histogram) -> Side:
    total = value.total
    if metric.percentile is None:
        return Side(side.minutes + 1, side.total + total, 0, side.weighted + value.mean * total)
    if side.buckets is not None and side.buckets != value.buckets:
        return side  # buckets changed midway: such minutes cannot be added, so they do not count
    counts = dict(side.counts)
    for index, count in value.counts.items():
        counts[index] = counts.get(index, 0) + count
    return Side(side.minutes + 1, side.total + total, 0, 0.0, value.buckets, counts)


def mean_of(side: Side) -> float | None:
    """Return the mean of all observations (or of the minutes' numbers); None: nothing seen."""
    return side.weighted / side.total if side.total else None


def rate_of(side: Side) -> float | None:
    """Return hits per request as a fraction; None: no request."""
    return side.hits / side.total if side.total else None


def percentile_of(side: Side, percentile: float) -> float | None:
    """Return the percentile (50..100) of the merged histogram, linear inside its bucket.

    The overflow bucket has no end: what falls into it is given as its lower bound, which is an
    under-estimate. None: nothing seen, or in one bucket without an end.
    """
    bounds = bounds_of(side.buckets) if side.buckets is not None else ()
    if not bounds or not side.total:
        return None
    rank = side.total * percentile / 100
    below = 0
    for index in sorted(side.counts):
        count = side.counts[index]
        if below + count >= rank:
            low = bounds[index - 1] if index > 0 else 0.0
            high = bounds[index] if index < len(bounds) else low
            return low + (high - low) * (rank - below) / count
        below += count
    return bounds[-1]


def to_json(tally: Tally) -> list[Any]:
    """Return the tally's compact JSON form."""
    return [_side_to_json(tally.candidate), _side_to_json(tally.stable)]


def from_json(value: Any) -> Tally:
    """Read `to_json`'s form; it is untrusted. Raises ValueError."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("a gate's state has two sides")
    return Tally(_side_from_json(value[0]), _side_from_json(value[1]))


def _side_to_json(side: Side) -> list[Any]:
    plain = [side.minutes, side.total, side.hits, side.weighted.hex()]
    if side.buckets is None:
        return plain
    layout = _layout(side.buckets)
    first = min(side.counts, default=0)
    dense = [side.counts.get(i, 0) for i in range(first, max(side.counts, default=0) + 1)]
    return [*plain, layout, first, dense]


def _layout(buckets: Buckets) -> list[Any]:
    match buckets:
        case Exponential(scale, growth, finite):
            return [scale.hex(), growth.hex(), finite]
        case Explicit(bounds):
            return [[bound.hex() for bound in bounds]]


def _side_from_json(value: Any) -> Side:
    try:
        minutes, total, hits = (_count(value[i]) for i in range(3))
        weighted = _finite(value[3])
        if len(value) == 4:
            return Side(minutes, total, hits, weighted)
        layout, first, dense = value[4], _count(value[5]), value[6]
        buckets: Buckets = (
            Explicit(tuple(_finite(bound) for bound in layout[0]))
            if len(layout) == 1
            else Exponential(_finite(layout[0]), _finite(layout[1]), _few(layout[2]))
        )
        bounds_of(buckets)  # raises where growth leaves what a float can hold
        counts = {first + i: _count(n) for i, n in enumerate(dense) if n}
    except (TypeError, IndexError, KeyError, OverflowError, AttributeError) as error:
        raise ValueError(f"not a gate's state: {error}") from error
    return Side(minutes, total, hits, weighted, buckets, counts)


def _finite(value: Any) -> float:
    number = float.fromhex(value)
    if not math.isfinite(number):  # no limit is ever beyond NaN: it would pass for good
        raise ValueError(f"not a number: {value!r}")
    return number


def _few(value: Any) -> int:
    if _count(value) > BUCKETS_MAX:
        raise ValueError(f"too many buckets: {value!r}")
    return int(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"not a count: {value!r}")
    return value
