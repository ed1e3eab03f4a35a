"""Aligners and reducers: what Cloud Monitoring computes from points.

What lives here: which aligner and reducer is valid for what, and their arithmetic. Not here: which
points there are and which are visible yet (metrics, monitoring).

Validity and result types are those of google.monitoring.v3.Aggregation's reference. Where a period
has no data there is no point: ALIGN_DELTA's interpolation of gaps is left out, since between
minutes without requests there is nothing to interpolate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc

from controller.sandbox.errors import RpcError
from controller.sandbox.filters import canonical
from controller.sandbox.histogram import Histogram, merge, percentile
from controller.sandbox.series import Descriptor, Point, Series, Value

ANY_KIND = frozenset({"GAUGE", "DELTA", "CUMULATIVE"})
GAUGE_DELTA = frozenset({"GAUGE", "DELTA"})
COUNTED = frozenset({"DELTA", "CUMULATIVE"})
ONLY_GAUGE = frozenset({"GAUGE"})
NUMERIC = frozenset({"INT64", "DOUBLE"})
SUMMABLE = NUMERIC | {"DISTRIBUTION"}
DISTRIBUTIONS = frozenset({"DISTRIBUTION"})
PERCENTILES: Mapping[str, float] = {
    "PERCENTILE_99": 99,
    "PERCENTILE_95": 95,
    "PERCENTILE_50": 50,
    "PERCENTILE_05": 5,
}


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How series are combined. period_us: 0 where nothing is aligned. group_by: canonical names."""

    aligner: str = "ALIGN_NONE"
    reducer: str = "REDUCE_NONE"
    period_us: int = 0
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Of what kinds and types an aligner or reducer is valid; None as a result: unchanged."""

    kinds: frozenset[str]
    types: frozenset[str]
    combine: Callable[[Sequence[Value]], Value]
    kind: str | None = None
    value_type: str | None = None


def aggregate(
    metric: Descriptor, series: Sequence[Series], how: Aggregation, end: int
) -> tuple[Descriptor, list[Series]]:
    """Return the series aligned and reduced, and the metric as which they now count.

    end: of the asked interval, in µs; periods are counted back from it. Series left without points
    are dropped. Raises RpcError INVALID_ARGUMENT for what does not fit the metric, data or not.
    """
    if how.aligner == "ALIGN_NONE":
        return metric, [one for one in series if one.points]
    metric, aligned = _align(metric, series, how, end)
    if how.reducer != "REDUCE_NONE":
        metric, aligned = _reduce(metric, aligned, how)
    return metric, [one for one in aligned if one.points]


def refused(field: str, value: str, why: str) -> RpcError:
    """Return an INVALID_ARGUMENT in Cloud Monitoring's words."""
    text = f'Field {field} had an invalid value of "{value}": {why}'
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, text)


def _total(values: Sequence[Value]) -> Value:
    if len(values) == 1:
        return values[0]
    histograms = [value for value in values if isinstance(value, Histogram)]
    return merge(histograms) if histograms else sum(_numbers(values))


def _numbers(values: Sequence[Value]) -> list[float]:
    return [value for value in values if not isinstance(value, Histogram)]


def _mean(values: Sequence[Value]) -> Value:
    total = _total(values)
    if isinstance(total, Histogram):
        return total.mean / total.per_unit
    return total / len(values)


def _deviation(values: Sequence[Value]) -> Value:
    total = _total(values)
    if isinstance(total, Histogram):
        return math.sqrt(total.sum_of_squared_deviation / max(1, total.count)) / total.per_unit
    return statistics.pstdev(_numbers(values))


def _percentile(percent: float) -> Callable[[Sequence[Value]], Value]:
    def combine(values: Sequence[Value]) -> Value:
        total = _total(values)
        if isinstance(total, Histogram):
            return (percentile(total, percent) or 0.0) / total.per_unit
        numbers = sorted(_numbers(values))
        place = (len(numbers) - 1) * percent / 100
        low = math.floor(place)
        high = min(low + 1, len(numbers) - 1)
        return numbers[low] + (numbers[high] - numbers[low]) * (place - low)

    return combine


ALIGNERS: Mapping[str, Rule] = {
    "ALIGN_DELTA": Rule(COUNTED, SUMMABLE, _total, "DELTA"),
    "ALIGN_RATE": Rule(COUNTED, NUMERIC, _total, "GAUGE", "DOUBLE"),
    "ALIGN_NEXT_OLDER": Rule(ONLY_GAUGE, SUMMABLE, lambda values: values[-1], "GAUGE"),
    "ALIGN_MIN": Rule(GAUGE_DELTA, NUMERIC, lambda values: min(_numbers(values)), "GAUGE"),
    "ALIGN_MAX": Rule(GAUGE_DELTA, NUMERIC, lambda values: max(_numbers(values)), "GAUGE"),
    "ALIGN_MEAN": Rule(GAUGE_DELTA, NUMERIC, _mean, "GAUGE", "DOUBLE"),
    "ALIGN_STDDEV": Rule(GAUGE_DELTA, NUMERIC, _deviation, "GAUGE", "DOUBLE"),
    "ALIGN_COUNT": Rule(GAUGE_DELTA, NUMERIC, len, "GAUGE", "INT64"),
    "ALIGN_SUM": Rule(GAUGE_DELTA, SUMMABLE, _total, "GAUGE"),
    **{
        f"ALIGN_{name}": Rule(GAUGE_DELTA, DISTRIBUTIONS, _percentile(percent), "GAUGE", "DOUBLE")
        for name, percent in PERCENTILES.items()
    },
}

REDUCERS: Mapping[str, Rule] = {
    "REDUCE_SUM": Rule(GAUGE_DELTA, SUMMABLE, _total),
    "REDUCE_MEAN": Rule(GAUGE_DELTA, SUMMABLE, _mean, None, "DOUBLE"),
    "REDUCE_MIN": Rule(GAUGE_DELTA, NUMERIC, lambda values: min(_numbers(values))),
    "REDUCE_MAX": Rule(GAUGE_DELTA, NUMERIC, lambda values: max(_numbers(values))),
    "REDUCE_STDDEV": Rule(GAUGE_DELTA, SUMMABLE, _deviation, None, "DOUBLE"),
    "REDUCE_COUNT": Rule(GAUGE_DELTA, SUMMABLE, len, None, "INT64"),
    **{
        f"REDUCE_{name}": Rule(GAUGE_DELTA, SUMMABLE, _percentile(percent), None, "DOUBLE")
        for name, percent in PERCENTILES.items()
    },
}


def _rule(rules: Mapping[str, Rule], field: str, name: str, metric: Descriptor) -> Rule:
    rule = rules.get(name)
    what = "aligner" if rules is ALIGNERS else "reducer"
    if rule is None:
        raise refused(field, name, f"The sandbox does not know this {what}.")
    if metric.kind not in rule.kinds or metric.value_type not in rule.types:
        why = (
            f"The {what} cannot be applied to metrics with kind {metric.kind} "
            f"and value type {metric.value_type}."
        )
        raise refused(field, name, why)
    return rule


def _as(metric: Descriptor, rule: Rule) -> Descriptor:
    """Return the metric with the kind and type that the rule's results have."""
    unit = "1" if rule.combine is len else metric.unit
    kind, value_type = rule.kind or metric.kind, rule.value_type or metric.value_type
    if (kind, value_type, unit) == (metric.kind, metric.value_type, metric.unit):
        return metric
    return Descriptor(
        metric.type,
        kind,
        value_type,
        unit,
        metric.labels,
        metric.resources,
        metric.description,
    )


def _align(
    metric: Descriptor, series: Sequence[Series], how: Aggregation, end: int
) -> tuple[Descriptor, list[Series]]:
    rule = _rule(ALIGNERS, "aggregation.perSeriesAligner", how.aligner, metric)
    if metric.kind == "CUMULATIVE":
        series = [_as_deltas(one) for one in series]
    result = _as(metric, rule)
    combine = rule.combine
    if how.aligner == "ALIGN_RATE":
        combine = _per_second(how.period_us)
    before = how.period_us if result.kind == "DELTA" else 0
    aligned = []
    for one in series:
        if combine is _total and _is_aligned(one.points, how.period_us, before, end):
            aligned.append(one)
            continue
        buckets: dict[int, list[Value]] = {}
        for point in one.points:
            edge = end - (end - point.end) // how.period_us * how.period_us
            buckets.setdefault(edge, []).append(point.value)
        if how.aligner == "ALIGN_NEXT_OLDER":
            _carry(buckets, end, how.period_us)
        points = tuple(
            Point(edge - before, edge, combine(buckets[edge])) for edge in sorted(buckets)
        )
        aligned.append(Series(one.metric_labels, one.resource_type, one.resource_labels, points))
    return result, aligned


def _is_aligned(points: Sequence[Point], period_us: int, before: int, end: int) -> bool:
    """Tell whether each point is the total of a period of its own, as the world's minutes are."""
    seen = -1
    for start, edge, _ in points:
        if edge <= seen or edge - start != before or (end - edge) % period_us:
            return False
        seen = edge
    return True


def _per_second(period_us: int) -> Callable[[Sequence[Value]], Value]:
    def rate(values: Sequence[Value]) -> Value:
        return sum(_numbers(values)) * 1_000_000 / period_us

    return rate


def _carry(buckets: dict[int, list[Value]], end: int, period_us: int) -> None:
    """Give every period after the first point, if it has none, the newest value before it."""
    for edge in range(min(buckets, default=end) + period_us, end + 1, period_us):
        buckets.setdefault(edge, buckets[edge - period_us][-1:])


def _as_deltas(series: Series) -> Series:
    """Turn a counter's points into the increases between them; a new start time is a reset."""
    points = []
    for older, newer in zip(series.points, series.points[1:], strict=False):
        if isinstance(older.value, Histogram) or isinstance(newer.value, Histogram):
            continue
        base = older.value if newer.start == older.start else 0
        points.append(Point(older.end, newer.end, newer.value - base))
    return Series(series.metric_labels, series.resource_type, series.resource_labels, tuple(points))


def _reduce(
    metric: Descriptor, series: Sequence[Series], how: Aggregation
) -> tuple[Descriptor, list[Series]]:
    rule = _rule(REDUCERS, "aggregation.crossSeriesReducer", how.reducer, metric)
    names = tuple(canonical(name) for name in how.group_by)
    groups: dict[tuple[str, ...], list[Series]] = {}
    for one in series:
        key = (one.resource_type, *[one.field(name, metric.type) for name in names])
        groups.setdefault(key, []).append(one)
    result = _as(metric, rule)
    return result, [_reduced(groups[key], key, names, rule) for key in sorted(groups)]


def _reduced(
    members: Sequence[Series], key: tuple[str, ...], names: tuple[str, ...], rule: Rule
) -> Series:
    """Combine the series of one group, period by period; only the grouped labels remain."""
    labels = {name: value for name, value in zip(names, key[1:], strict=True) if value}
    project = members[0].resource_labels.get("project_id", "")
    return Series(
        _short(labels, "metric.labels."),
        key[0],
        {"project_id": project, **_short(labels, "resource.labels.")},
        _reduced_points(members, rule),
    )


def _reduced_points(members: Sequence[Series], rule: Rule) -> tuple[Point, ...]:
    if len(members) == 1 and rule.combine is _total:  # a sum of one: aligned points are unique
        return members[0].points
    periods: dict[int, list[Value]] = {}
    starts: dict[int, int] = {}
    for member in members:
        for point in member.points:
            periods.setdefault(point.end, []).append(point.value)
            starts[point.end] = point.start
    return tuple(Point(starts[end], end, rule.combine(periods[end])) for end in sorted(periods))


def _short(labels: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the labels under this prefix by their short names."""
    return {
        name.removeprefix(prefix): value
        for name, value in labels.items()
        if name.startswith(prefix)
    }
