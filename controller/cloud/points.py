"""Cloud Monitoring's time series as our values. Raw protobufs in: a read may hold thousands.

Field meanings: google/monitoring/v3/metric.proto, google/api/distribution.proto.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import Any

from controller.gates.evidence import (
    Buckets,
    CodeCounts,
    Explicit,
    Exponential,
    Histogram,
    Number,
    Readings,
    Value,
    merged,
)


class Points:
    """Gathers series of one answer.

    label: "resource.labels.X" or "metric.labels.X", the label that names the revision. code: the
    metric label with the response code where counts by code are wanted, else "".
    """

    def __init__(self, label: str, code: str = "") -> None:
        self._label = label
        self._code = code
        self._counts: dict[str, dict[datetime, dict[str, int]]] = {}
        self._values: dict[str, dict[datetime, list[Value]]] = {}

    def add(self, series: Any) -> None:
        """Take one TimeSeries message, or the part of one that a page holds."""
        revision = self._revision(series)
        if not revision:
            return
        if self._code:
            self._add_counts(revision, series)
            return
        minutes = self._values.setdefault(revision, {})
        for point in series.points:
            value = value_of(point.value)
            if value is not None:
                minutes.setdefault(_end(point), []).append(value)

    @property
    def readings(self) -> Readings:
        """Return what was gathered, by revision and end of the period."""
        if self._code:
            return {
                revision: {end: CodeCounts(codes) for end, codes in sorted(minutes.items())}
                for revision, minutes in self._counts.items()
                if minutes
            }
        read: dict[str, dict[datetime, Value]] = {}
        for revision, minutes in self._values.items():
            for end, values in sorted(minutes.items()):
                value = merged(values)
                if value is not None:
                    read.setdefault(revision, {})[end] = value
        return read

    def _add_counts(self, revision: str, series: Any) -> None:
        code = series.metric.labels.get(self._code) or "unknown"
        minutes = self._counts.setdefault(revision, {})
        for point in series.points:
            count = _count(point.value)
            if count:  # a minute without requests has no point at all
                codes = minutes.setdefault(_end(point), {})
                codes[code] = codes.get(code, 0) + count

    def _revision(self, series: Any) -> str:
        side, _, key = self._label.split(".", 2)
        labels = series.metric.labels if side == "metric" else series.resource.labels
        return str(labels.get(key) or "")


def value_of(value: Any) -> Value | None:
    """Return a TypedValue as a Histogram or a Number, None for what holds no observation."""
    match value.WhichOneof("value"):
        case "distribution_value":
            return _histogram(value.distribution_value)
        case "double_value":
            return Number(value.double_value) if math.isfinite(value.double_value) else None
        case "int64_value":
            return Number(float(value.int64_value))
        case "bool_value":
            return Number(float(value.bool_value))
        case _:
            return None


def _count(value: Any) -> int:
    if value.WhichOneof("value") == "int64_value":
        return int(value.int64_value)
    return round(value.double_value) if math.isfinite(value.double_value) else 0


def _histogram(found: Any) -> Histogram | None:
    if not found.count or not math.isfinite(found.mean):
        return None
    bucket_counts = tuple(found.bucket_counts)
    counts = dict(compress(enumerate(bucket_counts), bucket_counts))  # zeros left out
    buckets = _buckets(found.bucket_options)
    if buckets is None or not counts:  # only count and mean are known
        return Histogram(Explicit(()), {0: found.count}, found.mean)
    return Histogram(buckets, counts, found.mean)


def _buckets(options: Any) -> Buckets | None:
    match options.WhichOneof("options"):
        case "exponential_buckets":
            how = options.exponential_buckets
            return _exponential(how.scale, how.growth_factor, how.num_finite_buckets)
        case "explicit_buckets":
            return Explicit(tuple(options.explicit_buckets.bounds))
        case "linear_buckets":
            how = options.linear_buckets
            ends = range(how.num_finite_buckets + 1)
            return Explicit(tuple(how.offset + how.width * i for i in ends))
        case _:
            return None


@lru_cache(maxsize=16)  # one object for all histograms of a metric
def _exponential(scale: float, growth: float, finite: int) -> Exponential:
    return Exponential(scale, growth, finite)


def _end(point: Any) -> datetime:
    return _instant(point.interval.end_time.seconds)


@lru_cache(maxsize=1024)  # the series of an answer have the same minutes
def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
