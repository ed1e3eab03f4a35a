"""What clients write to Cloud Monitoring themselves: CreateTimeSeries and CreateMetricDescriptor.

What lives here: the rules for written points and their store. Not here: the app's own metrics,
which the traffic model makes (metrics), and reading (monitoring).

Rules from the reference of CreateTimeSeriesRequest and TimeInterval: at most 200 series a call, one
point each, newer than the last one, at most 25 hours old and 5 minutes ahead; a new type is made by
its first point, as GAUGE or CUMULATIVE.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import grpc

from controller.sandbox.aggregation import refused
from controller.sandbox.errors import RpcError
from controller.sandbox.filters import Condition, matches
from controller.sandbox.histogram import BUCKETS, GROWTH, SCALE_MS, Histogram
from controller.sandbox.series import EPOCH, Descriptor, Point, Series, Value, micros

PREFIXES = ("custom.googleapis.com/", "external.googleapis.com/", "workload.googleapis.com/")
RESOURCES = frozenset(
    {"generic_task", "generic_node", "global", "gce_instance", "k8s_container", "k8s_pod"}
)
KINDS = {1: "GAUGE", 2: "DELTA", 3: "CUMULATIVE"}
TYPES = {1: "BOOL", 2: "INT64", 3: "DOUBLE", 4: "STRING", 5: "DISTRIBUTION"}
OLDEST, NEWEST = timedelta(hours=25), timedelta(minutes=5)
MOST_SERIES = 200

Identity = tuple[str, tuple[tuple[str, str], ...], str, tuple[tuple[str, str], ...]]


class Written:
    """The metric types and points that clients created."""

    def __init__(self) -> None:
        self.metrics: dict[str, Descriptor] = {}
        self._points: dict[Identity, list[Point]] = {}

    def create_metric(self, name: str, given: Any) -> Descriptor:
        """Store a google.api.MetricDescriptor; raises RpcError INVALID_ARGUMENT."""
        _check_type(given.type)
        metric = Descriptor(
            given.type,
            KINDS.get(given.metric_kind, "GAUGE"),
            TYPES.get(given.value_type, "DOUBLE"),
            given.unit or "1",
            tuple(label.key for label in given.labels),
            description=given.description,
        )
        if not name.startswith("projects/"):
            raise refused("name", name, 'It must be "projects/PROJECT".')
        self.metrics[metric.type] = metric
        return metric

    def create(self, series: list[Any], now: datetime) -> None:
        """Store one point of each raw TimeSeries; raises RpcError, having stored the good ones."""
        if not series:
            raise refused("timeSeries", "", "At least one time series must be given.")
        if len(series) > MOST_SERIES:
            why = f"No more than {MOST_SERIES} TimeSeries can be written in a single request."
            raise refused("timeSeries", str(len(series)), why)
        identities = [_identity(one) for one in series]
        if len(set(identities)) < len(identities):
            raise refused("timeSeries", "", "Each TimeSeries may be given once in a request.")
        problems = []
        for identity, one in zip(identities, series, strict=True):
            try:
                self._store(identity, one, now)
            except RpcError as error:
                problems.append(error.text)
        if problems:
            text = f"One or more TimeSeries could not be written: {problems[0]}"
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, text)

    def series(
        self, metric: Descriptor, condition: Condition, start: int, end: int
    ) -> list[Series]:
        """Return the matching series with their points in (start, end], in a settled order."""
        found = []
        for identity in sorted(self._points):
            if identity[0] != metric.type:
                continue
            points = tuple(p for p in self._points[identity] if start < p.end <= end)
            one = Series(dict(identity[1]), identity[2], dict(identity[3]), points)
            if matches(condition, one.fields(metric.type)):
                found.append(one)
        return found

    def _store(self, identity: Identity, given: Any, now: datetime) -> None:
        _check_type(given.metric.type)
        if given.resource.type not in RESOURCES:
            why = "The monitored resource cannot be used for writing user-defined metrics."
            raise refused("resource.type", given.resource.type, why)
        if len(given.points) != 1:
            why = "Only one point can be written per TimeSeries per request."
            raise refused("points", str(len(given.points)), why)
        point = _point(given.points[0])
        if point.end > micros(now + NEWEST):
            raise refused("points.interval.endTime", str(point.end), "It is in the future.")
        if point.end < micros(now - OLDEST):
            raise refused("points.interval.endTime", str(point.end), "It is over 25 hours old.")
        known = self._points.get(identity, [])
        if known and point.end <= known[-1].end:
            why = (
                "Points must be written in order. One or more of the points specified had an "
                "older end time than the most recent point."
            )
            raise refused("points", str(point.end), why)
        metric = _metric_of(given)
        stored = self.metrics.setdefault(metric.type, metric)
        if (stored.kind, stored.value_type) != (metric.kind, metric.value_type):
            why = f"The metric is {stored.kind} {stored.value_type}."
            raise refused("valueType", f"{metric.kind} {metric.value_type}", why)
        self._points.setdefault(identity, []).append(point)


def _check_type(metric_type: str) -> None:
    if not metric_type.startswith(PREFIXES):
        why = f"The type must start with one of {', '.join(PREFIXES)}."
        raise refused("metric.type", metric_type, why)


def _identity(given: Any) -> Identity:
    return (
        given.metric.type,
        tuple(sorted(given.metric.labels.items())),
        given.resource.type,
        tuple(sorted(given.resource.labels.items())),
    )


def _metric_of(given: Any) -> Descriptor:
    """Return the type that the first point makes: its kind, unsaid, is GAUGE."""
    which = given.points[0].value.WhichOneof("value") or "double_value"
    names = {"int64_value": "INT64", "double_value": "DOUBLE", "distribution_value": "DISTRIBUTION"}
    if which not in names:
        raise refused("points.value", which, "The sandbox stores numbers and distributions only.")
    kind = KINDS.get(given.metric_kind, "GAUGE")
    if kind == "DELTA":
        raise refused("metricKind", kind, "Only GAUGE and CUMULATIVE can be written.")
    return Descriptor(
        given.metric.type, kind, names[which], given.unit or "1", tuple(sorted(given.metric.labels))
    )


def _point(given: Any) -> Point:
    end = given.interval.end_time.ToMicroseconds()
    start = given.interval.start_time.ToMicroseconds() or end
    if start > end or end <= micros(EPOCH):
        raise refused(
            "points.interval", str(end), "The end time must be set and not before the start."
        )
    return Point(start, end, _value(given.value))


def _value(given: Any) -> Value:
    match given.WhichOneof("value"):
        case "int64_value":
            return int(given.int64_value)
        case "distribution_value":
            return _histogram(given.distribution_value)
        case _:
            return float(given.double_value)


def _histogram(given: Any) -> Histogram:
    """Read a distribution with the world's own buckets; others are refused."""
    options = given.bucket_options.exponential_buckets
    if (options.growth_factor, options.scale) != (GROWTH, SCALE_MS):
        why = f"The sandbox stores exponential buckets of growth {GROWTH} and scale {SCALE_MS:g}."
        raise refused("distributionValue.bucketOptions", str(options.scale), why)
    counts = (*given.bucket_counts, *(0,) * (BUCKETS - len(given.bucket_counts)))
    total = given.mean * given.count
    return Histogram(counts, total, given.sum_of_squared_deviation + total * given.mean)
