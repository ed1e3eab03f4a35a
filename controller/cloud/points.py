"""Cloud Monitoring's time series as our values. Raw protobufs in: a read may hold thousands.

An answer is not trusted: a minute of which any point cannot be read is no evidence at all. Were
only the point left out, failures that cannot be read would make a candidate look good.
Field meanings: google/monitoring/v3/metric.proto, google/api/distribution.proto.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress, pairwise
from typing import Any

from google.api import metric_pb2

from controller.gates.evidence import (
    Buckets,
    CodeCounts,
    Explicit,
    Exponential,
    Histogram,
    Number,
    Readings,
    Value,
    bounds_of,
    merged,
)
from controller.gates.tally import BUCKETS_MAX

COUNT_MOST = 10**9  # requests of one minute; what is added up for years stays exact in a float
NUMBER_MOST = 1e100  # of a metric's value, whose squares are added up
_DELTA = metric_pb2.MetricDescriptor.DELTA
_MINUTE_S = 60


class Unreadable(ValueError):
    """A point is not what Cloud Monitoring documents; str() says why."""


class Points:
    """Gathers the series of one answer.

    label: "resource.labels.X" or "metric.labels.X", the label that names the revision. code: the
    metric label with the response code where counts by code are wanted, else "". revisions, start,
    end: what was asked for, ends of periods in (start, end]; all else is left out.
    """

    def __init__(
        self,
        label: str,
        code: str,
        revisions: Container[str],
        start: datetime,
        end: datetime,
    ) -> None:
        self._side, _, self._key = label.split(".", 2)
        self._code = code
        self._revisions = revisions
        self._start = math.floor(start.timestamp())
        self._end = math.floor(end.timestamp())
        # revision → end of the period → code, or which series it is → its point there
        self._points: dict[str, dict[int, dict[Any, Any]]] = {}
        self._spoilt: dict[int, str] = {}

    def add(self, series: Any) -> None:
        """Take one TimeSeries message, or the part of one that a page holds."""
        metric, resource = series.metric, series.resource
        revision = (metric if self._side == "metric" else resource).labels.get(self._key)
        if not revision:
            self._gather({}, series, None, _of_nobody)
        elif revision in self._revisions:
            minutes = self._points.setdefault(revision, {})
            if self._code:
                self._gather(minutes, series, metric.labels.get(self._code) or "unknown", _count)
            else:
                which = (
                    metric.SerializeToString(deterministic=True),
                    resource.SerializeToString(deterministic=True),
                )
                self._gather(minutes, series, which, value_of)

    def _gather(
        self,
        minutes: dict[int, dict[Any, Any]],
        series: Any,
        which: object,
        read: Callable[[Any], Any],
    ) -> None:
        start, last, spoilt = self._start, self._end, self._spoilt
        must_last = series.metric_kind == _DELTA
        for point in series.points:
            interval = point.interval
            ended = interval.end_time
            end = ended.seconds
            if not start < end <= last:
                continue
            begun = interval.start_time.seconds  # 0 where it is not told
            if (last - end) % _MINUTE_S or ended.nanos:
                spoilt[end] = "a point between the minutes"
            elif begun > end or (must_last and begun == end):
                spoilt[end] = "a point that ends before it begins"
            else:
                try:
                    value = read(point.value)
                except Unreadable as error:
                    spoilt[end] = str(error)
                    continue
                known = minutes.get(end)
                if known is None:
                    minutes[end] = {which: value}
                elif known.setdefault(which, value) != value:  # the same twice counts once
                    spoilt[end] = "a point with two values"

    @property
    def unreadable(self) -> str:
        """Return why some minute cannot be read, "" where all can."""
        return next(iter(self._spoilt.values()), "")

    @property
    def readings(self) -> Readings:
        """Return what was gathered, by revision and end of the period."""
        read: dict[str, dict[datetime, Value]] = {}
        together = _requests if self._code else _observed
        for revision, minutes in self._points.items():
            found = {
                _instant(end): value
                for end, points in sorted(minutes.items())
                if end not in self._spoilt and (value := together(points)) is not None
            }
            if found:
                read[revision] = found
        return read


def _requests(by_code: Mapping[str, int]) -> CodeCounts | None:
    counts = {code: count for code, count in by_code.items() if count}
    return CodeCounts(counts) if counts else None  # a minute without requests has no point at all


def _observed(by_series: Mapping[object, Value | None]) -> Value | None:
    return merged([value for value in by_series.values() if value is not None])


def _of_nobody(_value: Any) -> None:
    raise Unreadable("a point of no revision")


def value_of(value: Any) -> Value | None:
    """Return a TypedValue as a Histogram or a Number, None for what holds no observation.

    Raises Unreadable.
    """
    match value.WhichOneof("value"):
        case "distribution_value":
            return _histogram(value.distribution_value)
        case "double_value":  # what a team measures may be NaN
            return _number(value.double_value) if math.isfinite(value.double_value) else None
        case "int64_value":
            return Number(float(value.int64_value))
        case "bool_value":
            return Number(float(value.bool_value))
        case None:
            return None
        case other:
            raise Unreadable(f"a {other.removesuffix('_value')} for a number")


def _number(value: float) -> Number:
    if abs(value) > NUMBER_MOST:
        raise Unreadable(f"the value {value:g}")
    return Number(value)


def _count(value: Any) -> int:
    match value.WhichOneof("value"):
        case "int64_value":
            return _possible(value.int64_value)
        case "double_value" if math.isfinite(value.double_value):
            return _possible(round(value.double_value))  # interpolated
        case _:
            raise Unreadable("a count that is no number")


def _possible(count: int) -> int:
    if not 0 <= count <= COUNT_MOST:
        raise Unreadable(f"a count of {count}")
    return count


def _histogram(found: Any) -> Histogram | None:
    total = _possible(found.count)
    if not total:
        return None
    mean = found.mean
    if not -NUMBER_MOST <= mean <= NUMBER_MOST:  # NaN is not either
        raise Unreadable(f"the mean {mean:g}")
    bucket_counts = tuple(found.bucket_counts)
    options = found.bucket_options
    how = options.WhichOneof("options")
    counts = dict(compress(enumerate(bucket_counts), bucket_counts))  # zeros left out
    if how is None or not counts:  # only count and mean are known
        return Histogram(Explicit(()), {0: total}, mean)
    buckets, most = _buckets(options, how)
    if len(bucket_counts) > most or min(bucket_counts) < 0:
        raise Unreadable("counts that do not fit their buckets")
    # Where Cloud Monitoring interpolates, each bucket was rounded by itself: one apart at most.
    if abs(sum(bucket_counts) - total) > most:
        raise Unreadable(f"{sum(bucket_counts)} in buckets of {total}")
    return Histogram(buckets, counts, mean)


def _buckets(options: Any, how: str) -> tuple[Buckets, int]:
    """Return a distribution's buckets and how many there are."""
    match how:
        case "exponential_buckets":
            given = options.exponential_buckets
            return _exponential(given.scale, given.growth_factor, given.num_finite_buckets)
        case "explicit_buckets":
            return _explicit(tuple(options.explicit_buckets.bounds))
        case _:
            given = options.linear_buckets
            return _linear(given.offset, given.width, given.num_finite_buckets)


# One object for all histograms of a metric, and checked once.
@lru_cache(maxsize=16)
def _exponential(scale: float, growth: float, finite: int) -> tuple[Buckets, int]:
    _must_be_few(finite)
    buckets = Exponential(scale, growth, finite)
    try:
        _must_rise(bounds_of(buckets))
    except OverflowError:
        raise Unreadable("buckets that do not rise") from None
    return buckets, finite + 2


@lru_cache(maxsize=16)
def _linear(offset: float, width: float, finite: int) -> tuple[Buckets, int]:
    _must_be_few(finite)
    return _explicit(tuple(offset + width * i for i in range(finite + 1)))


@lru_cache(maxsize=16)
def _explicit(bounds: tuple[float, ...]) -> tuple[Buckets, int]:
    _must_be_few(len(bounds))
    _must_rise(bounds)
    return Explicit(bounds), len(bounds) + 1


def _must_be_few(buckets: int) -> None:
    if not 0 < buckets <= BUCKETS_MAX:
        raise Unreadable(f"{buckets} buckets")


def _must_rise(bounds: tuple[float, ...]) -> None:
    if not all(map(math.isfinite, bounds)) or any(low >= high for low, high in pairwise(bounds)):
        raise Unreadable("buckets that do not rise")


@lru_cache(maxsize=1024)  # the series of an answer have the same minutes
def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
