"""A gate's metric as "so many bad of so many": the form in which rates are tested.

An error rate counts failures, a success rate all but the successes, and "p95 at most 15 s" is
"at most 5% of the requests slower than 15 s". A limit inside a bucket makes that bucket doubtful:
it is counted as good where the candidate is accused, as bad where it is to be let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from controller.gates.evidence import CodeCounts, Histogram, Value, bounds_of
from controller.plan.model import CustomMetric, Gate, Latency, ResponseRate

Counted = tuple[int, int]  # bad ones, all
_WITH_PERCENTILE = (Latency, CustomMetric)


def percentile_of_gate(gate: Gate) -> float | None:
    """Return the percentile the gate is about, None where it is about none."""
    metric = gate.metric
    return metric.percentile if isinstance(metric, _WITH_PERCENTILE) else None


def is_rate(gate: Gate) -> bool:
    """Tell whether the gate is tested as a rate of bad requests; else it is about a mean."""
    return isinstance(gate.metric, ResponseRate) or percentile_of_gate(gate) is not None


def allowed_share(gate: Gate, limit: float) -> float:
    """Return the share of bad requests that a limit allows (fraction)."""
    percentile = percentile_of_gate(gate)
    if percentile is not None:
        share = percentile / 100
        return 1 - share if gate.limits.lower_is_better else share
    assert isinstance(gate.metric, ResponseRate)
    return limit if gate.metric.counts_failures else 1 - limit


def accused(gate: Gate, value: Value, limit: float) -> Counted:
    """Return the requests surely beyond the limit, and all. For rates the limit plays no part."""
    return _counted(gate, value, limit, doubtful_is_bad=False)


def doubted(gate: Gate, value: Value, limit: float) -> Counted:
    """Return the requests perhaps beyond the limit, and all."""
    return _counted(gate, value, limit, doubtful_is_bad=True)


def _counted(gate: Gate, value: Value, limit: float, *, doubtful_is_bad: bool) -> Counted:
    match value:
        case CodeCounts(codes) if isinstance(gate.metric, ResponseRate):
            hits, total = hits_in(codes, gate.metric.codes)
            return (hits if gate.metric.counts_failures else total - hits), total
        case Histogram() if not isinstance(gate.metric, ResponseRate):
            return _beyond(gate, value, limit, doubtful_is_bad=doubtful_is_bad)
        case _:  # a value of another kind than the metric's is no evidence
            return 0, 0


def hits_in(codes: Mapping[str, int], wanted: tuple[str, ...]) -> tuple[int, int]:
    """Return the requests with one of the wanted codes or classes ("429", "5xx"), and all."""
    hits = total = 0
    for code, count in codes.items():
        total += count
        if _is_one_of(code, wanted):
            hits += count
    return hits, total


@lru_cache(maxsize=1024)
def _is_one_of(code: str, wanted: tuple[str, ...]) -> bool:
    return code in wanted or f"{code[:1]}xx" in wanted


def _beyond(gate: Gate, value: Histogram, limit: float, *, doubtful_is_bad: bool) -> Counted:
    """Count what lies above the limit (below it, where high values are good)."""
    holder = value.bucket_of(limit)  # an edge belongs to the bucket above it
    bounds = bounds_of(value.buckets)
    on_edge = holder > 0 and bounds[holder - 1] == limit
    counts = value.counts
    if gate.limits.lower_is_better:
        first = holder if doubtful_is_bad or on_edge else holder + 1
        hits = sum([count for index, count in counts.items() if index >= first])
    else:
        last = holder if doubtful_is_bad and not on_edge else holder - 1
        hits = sum([count for index, count in counts.items() if index <= last])
    return hits, value.total


def failed_in(value: Value | None) -> Counted:
    """Return the failed requests (5xx) of a minute, and all."""
    if not isinstance(value, CodeCounts):
        return 0, 0
    return sum(n for code, n in value.codes.items() if code[:1] == "5"), value.total


def edge_at_or_above(value: Histogram, wanted: float) -> float | None:
    """Return the smallest bucket edge that is at least `wanted`, None where there is none."""
    return next(
        (bound for bound in bounds_of(value.buckets) if bound >= wanted * (1 - 1e-12)), None
    )
