"""A Cloud Monitoring of that service: what its requests were, minute by minute, and what is told.

Minutes are drawn once each, from the seed, the revision and the minute alone; what is told of them
may be late, have holes, change, or be nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from google.api import metric_pb2
from google.cloud import monitoring_v3

from tests.simulation.baton import SECOND
from tests.simulation.cloud import Answer, Cloud
from tests.simulation.scene import Truth
from tests.simulation.service import START

ListRequest = monitoring_v3.ListTimeSeriesRequest.pb()
ListResponse = monitoring_v3.ListTimeSeriesResponse.pb()
MINUTE = 60 * SECOND
BOUNDS = tuple(10.0 * 1.6**step for step in range(22))
GAUGE = "custom.googleapis.com/web/score"
_TYPE = re.compile(r'metric\.type = "([^"]+)"')
_ONE_OF = re.compile(r"= one_of\(([^)]*)\)")
_EPOCH = round(START.timestamp())


@dataclass(frozen=True, slots=True)
class Served:
    """What one revision served in one minute. buckets: by `BOUNDS`."""

    good: int = 0
    bad: int = 0
    buckets: tuple[tuple[int, int], ...] = ()
    mean: float = 0.0
    gauge: float | None = None


NOTHING = Served()


@dataclass(eq=False)
class Measured:
    """Requests of every revision, and the answers about them.

    truth: how a revision behaves at a time (µs). hidden: the minutes (revision, end) that are not
    told now, and how a told one is changed. told: requests of the candidate that were told of, by
    the end of their minute.
    """

    cloud: Cloud
    truth: Callable[[str, int], Truth] = lambda _revision, _at: Truth()
    own: dict[tuple[str, int], list[tuple[int, float]]] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    lag: Callable[[], float] = lambda: 60.0
    hole: Callable[[str, int], bool] = lambda _revision, _end: False
    factor: Callable[[int], float] = lambda _end: 1.0
    spoiled: Callable[[], str] = lambda: ""
    _drawn: dict[tuple[str, int], Served] = field(default_factory=dict)

    def minute(self, revision: str, end: int) -> Served:
        """Return what a revision served in the minute that ends at `end` (µs since the start)."""
        found = self._drawn.get((revision, end))
        if found is None:
            found = self._drawn[revision, end] = self._draw(revision, end)
        return found

    def list_time_series(self, request: Any) -> bytes:
        """Answer ListTimeSeries."""
        spoiled = self.spoiled()
        metric = _TYPE.search(request.filter)
        names = _ONE_OF.search(request.filter)
        if metric is None or names is None:
            raise Answer("INVALID_ARGUMENT", f"the filter is not understood: {request.filter}")
        answer = ListResponse()
        if spoiled == "nothing":
            return bytes(answer.SerializeToString())
        revisions = [name.strip(' "') for name in names[1].split(",")]
        period = request.aggregation.alignment_period.seconds * SECOND
        start, end = (
            (getattr(request.interval, side).seconds - _EPOCH) * SECOND
            for side in ("start_time", "end_time")
        )
        group = list(request.aggregation.group_by_fields)
        visible = self.cloud.baton.now - round(self.lag() * SECOND)
        for revision in revisions:
            minutes = self._told(revision, start, min(end, visible), period)
            _add_series(answer, metric[1], group, revision, minutes, period, spoiled)
            if revision == self.cloud.scene.candidate:
                self.told.update(
                    (at, sum(one.good + one.bad for one in seen)) for at, seen in minutes
                )
        return bytes(answer.SerializeToString())

    def descriptor(self, request: Any) -> bytes:
        """Answer GetMetricDescriptor."""
        kind = metric_pb2.MetricDescriptor.GAUGE
        value = metric_pb2.MetricDescriptor.DOUBLE
        name = request.name.rpartition("metricDescriptors/")[2]
        if name != GAUGE:
            raise Answer("NOT_FOUND", f"Could not find descriptor for metric '{name}'.")
        found = metric_pb2.MetricDescriptor(type=name, metric_kind=kind, value_type=value)
        return bytes(found.SerializeToString())

    def count_own(self, revision: str, code: int, latency: float) -> None:
        """Note a request of rollout's own: it is counted like any other."""
        end = math.ceil(max(self.cloud.baton.now, 1) / MINUTE) * MINUTE
        self.own.setdefault((revision, end), []).append((code, latency))
        self._drawn.pop((revision, end), None)

    def _told(
        self, revision: str, start: int, end: int, period: int
    ) -> list[tuple[int, list[Served]]]:
        """Return (end of period, its minutes) for periods in (start, end] with requests."""
        found: list[tuple[int, list[Served]]] = []
        born = self.cloud.spans[0][0]
        at = start + period
        if at + period < born:
            at += (born - at) // period * period
        while at <= end:
            ends = range(at - period + MINUTE, at + 1, MINUTE)
            seen = [
                self._changed(self.minute(revision, one), one)
                for one in ends
                if not self.hole(revision, one)
            ]
            seen = [one for one in seen if one.good + one.bad]
            if seen:
                found.append((at, seen))
            at += period
        return found

    def _changed(self, served: Served, end: int) -> Served:
        factor = self.factor(end)
        if factor == 1.0:
            return served
        return Served(
            round(served.good * factor), served.bad, served.buckets, served.mean, served.gauge
        )

    def _draw(self, revision: str, end: int) -> Served:
        seconds = self.cloud.share_in(revision, end - MINUTE, end)
        own = self.own.get((revision, end), ())
        if seconds <= 0 and not own:
            return NOTHING
        scene = self.cloud.scene
        salt = sum(map(ord, revision)) * 1_000_003
        rng = Random((scene.seed * 7_919 + end // MINUTE) * 1_000_033 + salt)
        truth = self.truth(revision, end - MINUTE // 2)
        number = poisson(rng, scene.rate * seconds)
        bad = min(poisson(rng, number * truth.errors), number)
        buckets, mean = _latencies(rng, number, truth.latency)
        gauge = truth.gauge + rng.uniform(-0.02, 0.02) if number else None
        counts = dict(buckets)
        total = mean * number
        good = number - bad
        for code, latency in own:
            good, bad = (good, bad + 1) if code >= 500 else (good + 1, bad)
            at = _bucket(latency)
            counts[at] = counts.get(at, 0) + 1
            total += latency
        everything = good + bad
        return Served(good, bad, tuple(counts.items()), total / max(everything, 1), gauge)


def poisson(rng: Random, mean: float) -> int:
    """Draw a number of events; from the normal curve where there are many."""
    if mean <= 0:
        return 0
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, number = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        number += 1
    return number


def _bucket(latency: float) -> int:
    if latency < BOUNDS[0]:
        return 0
    return min(1 + int(math.log(latency / BOUNDS[0], 1.6)), len(BOUNDS) - 1)


def _latencies(
    rng: Random, number: int, median: float
) -> tuple[tuple[tuple[int, int], ...], float]:
    """Return (bucket, count) and the mean of that many latencies around a median."""
    if number <= 0:
        return (), 0.0
    middle, left = _bucket(median), number
    counts: list[tuple[int, int]] = []
    for at, share in ((middle + 1, 0.25), (middle - 1, 0.22), (middle + 2, 0.03)):
        part = min(poisson(rng, number * share), left)
        left -= part
        if part and 0 <= at < len(BOUNDS):
            counts.append((at, part))
        else:
            left += part
    if left:
        counts.append((middle, left))
    return tuple(counts), median * (1 + rng.gauss(0, 0.3) / math.sqrt(number))


def _add_series(
    answer: Any,
    metric: str,
    group: list[str],
    revision: str,
    minutes: list[tuple[int, list[Served]]],
    period: int,
    spoiled: str,
) -> None:
    if metric.endswith("request_count"):
        label = next((g for g in group if "response_code" in g), "").rpartition(".")[2]
        by_class = label == "response_code_class"
        for code, side in (
            (("2xx" if by_class else "200"), "good"),
            (("5xx" if by_class else "500"), "bad"),
        ):
            counts = [(at, sum(getattr(one, side) for one in seen)) for at, seen in minutes]
            _series(
                answer,
                revision,
                ((at, n) for at, n in counts if n),
                period,
                _put_count,
                {label: code},
            )
    elif metric.endswith("request_latencies"):
        put = _put_nan_mean if spoiled == "nan" else _put_histogram
        _series(answer, revision, minutes, period, put, {})
    else:
        gauges = [
            (at, [one.gauge for one in seen if one.gauge is not None]) for at, seen in minutes
        ]
        values = [(at, math.nan if spoiled == "nan" else sum(g) / len(g)) for at, g in gauges if g]
        _series(answer, revision, values, period, _put_number, {})


def _series(
    answer: Any,
    revision: str,
    points: Iterable[tuple[int, Any]],
    period: int,
    put: Callable[[Any, Any], None],
    labels: dict[str, str],
) -> None:
    series = None
    for at, value in sorted(points, key=lambda point: -point[0]):  # the newest first, as documented
        if series is None:
            series = answer.time_series.add()
            series.resource.labels["revision_name"] = revision
            series.metric.labels.update({**labels, "revision": revision})
        point = series.points.add()
        point.interval.start_time.seconds = _EPOCH + (at - period) // SECOND
        point.interval.end_time.seconds = _EPOCH + at // SECOND
        put(point.value, value)


def _put_count(value: Any, number: int) -> None:
    value.int64_value = number


def _put_number(value: Any, number: float) -> None:
    value.double_value = number


def _put_histogram(value: Any, minutes: list[Served]) -> None:
    counts = [0] * (len(BOUNDS) + 1)
    number, total = 0, 0.0
    for one in minutes:
        here = sum(count for _, count in one.buckets)
        number, total = number + here, total + one.mean * here
        for at, count in one.buckets:
            counts[at] += count
    shown = value.distribution_value
    shown.count, shown.mean = number, total / max(number, 1)
    shown.bucket_options.explicit_buckets.bounds.extend(BOUNDS)
    shown.bucket_counts.extend(counts)


def _put_nan_mean(value: Any, minutes: list[Served]) -> None:
    _put_histogram(value, minutes)
    value.distribution_value.mean = math.nan
