"""The metrics of the world: which there are, and their series over an interval.

What lives here: the catalogue of metric types and how each is read off the traffic model, minute
by minute. Not here: aggregation, the API's rules (monitoring), what clients wrote (written).

Kinds, units and labels are those of Google's list of Cloud Run metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random

from controller.sandbox.filters import Condition, matches, required
from controller.sandbox.histogram import Histogram, lognormal
from controller.sandbox.series import MINUTE, Descriptor, Point, Series, Value, instant, micros
from controller.sandbox.setting import Gauge
from controller.sandbox.traffic import Traffic
from controller.sandbox.world import World

RUN = "run.googleapis.com/"
REVISION = "cloud_run_revision"
_CODES = ("response_code", "response_code_class", "route")
_CONCURRENCY = 25
_START = lognormal(6000.0, 12000.0)

Labels = tuple[tuple[str, str], ...]
Reading = Iterable[tuple[Labels, Value]]
_Fit = tuple[bool | None, dict[str, str], str, dict[str, str]]
_MOST_FITS = 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A metric type and how it is read: (service, revision, end of the minute) -> values.

    delay: how old a point is when it becomes visible.
    """

    metric: Descriptor
    delay: timedelta
    read: Callable[[Traffic, str, str, datetime], Reading]
    gauge: Gauge | None = None


class Metrics:
    """The series of a world, as its traffic in every region makes them."""

    def __init__(self, world: World, traffic: Sequence[Traffic]) -> None:
        self._world = world
        self._traffic = traffic
        self._fits: dict[tuple[str, Condition, str, str, str], _Fit] = {}
        gauges = (self._source_of(gauge) for gauge in world.setting.gauges)
        self.sources: Mapping[str, Source] = {
            source.metric.type: source for source in (*self._run_sources(), *gauges)
        }

    def series(
        self, source: Source, condition: Condition, start: int, end: int, now: datetime
    ) -> list[Series]:
        """Return the matching series with their points in (start, end] that are visible by now.

        start, end: µs. In a settled order: by service, revision and labels.
        """
        found = []
        for traffic in self._traffic:
            since = max(start, micros(traffic.begin))  # an ask may reach back to 1970
            ends = _minutes(since, end, now - source.delay)
            if not ends:
                continue
            for service, revision in traffic.served(
                ends[0][1] - timedelta(minutes=1), ends[-1][1], _only(condition)
            ):
                if revision not in self._missing():
                    found += self._of_revision(source, condition, traffic, service, revision, ends)
        return found

    def _of_revision(
        self,
        source: Source,
        condition: Condition,
        traffic: Traffic,
        service: str,
        revision: str,
        ends: list[tuple[int, datetime]],
    ) -> list[Series]:
        metric = source.metric
        fits, always, resource_type, resource = self._fit(
            source, condition, traffic.region, service, revision
        )
        if fits is False:
            return []
        points: dict[Labels, list[Point]] = {}
        before = 0 if metric.kind == "GAUGE" else MINUTE
        for us, end in ends:
            for labels, value in source.read(traffic, service, revision, end):
                point = Point(us - before, us, value)
                if labels in points:
                    points[labels].append(point)
                else:
                    points[labels] = [point]
        series = [
            Series({**always, **dict(labels)}, resource_type, resource, tuple(points[labels]))
            for labels in sorted(points)
        ]
        if fits:  # whatever the labels are that tell its series apart
            return series
        return [one for one in series if matches(condition, one.fields(metric.type))]

    def _fit(
        self, source: Source, condition: Condition, region: str, service: str, revision: str
    ) -> _Fit:
        """Return whether a revision's series meet the filter, and what labels they all have."""
        key = (source.metric.type, condition, region, service, revision)
        known = self._fits.get(key)
        if known is None:
            labels = self._labels(source.gauge, region, service, revision)
            bare = Series(*labels).fields(source.metric.type)
            known = (matches(condition, bare, partial=True), *labels)
            if len(self._fits) >= _MOST_FITS:
                self._fits.clear()
            self._fits[key] = known
        return known

    def _missing(self) -> frozenset[str]:
        setting = self._world.setting
        return frozenset(setting.revision(key) for key in self._world.scenario.metrics.missing)

    def _labels(
        self, gauge: Gauge | None, region: str, service: str, revision: str
    ) -> tuple[dict[str, str], str, dict[str, str]]:
        """Return the metric labels that every series of a revision has, and its resource."""
        setting = self._world.setting
        place = {"project_id": setting.project, "location": region}
        if gauge is None or gauge.resource == REVISION:
            names = {
                "service_name": service,
                "revision_name": revision,
                "configuration_name": service,
            }
            return {}, REVISION, {**place, **names}
        kind, _, label = gauge.revision_label.replace(".label.", ".labels.").rpartition(".")
        task = {**place, "namespace": service, "job": service, "task_id": "0"}
        if kind.startswith("resource"):
            return {}, gauge.resource, {**task, label: revision}
        return {label: revision}, gauge.resource, task

    def _run_sources(self) -> tuple[Source, ...]:
        delays = self._world.scenario.metrics
        counts, latencies = delays.count_delay, delays.latency_delay
        return (
            Source(_run("request_count", "DELTA", "INT64", labels=_CODES), counts, self._counts),
            Source(
                _run("request_latencies", "DELTA", "DISTRIBUTION", "ms", _CODES),
                latencies,
                self._latencies,
            ),
            Source(
                _run("container/instance_count", "GAUGE", "INT64", labels=("state",)),
                counts,
                self._instances,
            ),
            Source(
                _run("container/startup_latencies", "DELTA", "DISTRIBUTION", "ms"),
                latencies,
                self._starts,
            ),
            Source(_run("pending_queue/pending_requests", "GAUGE", "INT64"), counts, self._pending),
        )

    def _counts(self, traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
        sample = traffic.minute(service, revision, end)
        return [(_code(code, service), number) for code, number in sample.classes.items()]

    def _latencies(self, traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
        sample = traffic.minute(service, revision, end)
        return [(_code(code, service), drawn) for code, drawn in sample.latencies.items()]

    def _instances(self, traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
        """Return instances by Little's law: requests in flight over the concurrency of one."""
        drawn = list(traffic.minute(service, revision, end).latencies.values())
        if not drawn:
            return []
        in_flight = sum(histogram.total_ms for histogram in drawn) / 60_000
        active = max(1, math.ceil(in_flight / _CONCURRENCY))
        return [((("state", "active"),), active), ((("state", "idle"),), 1)]

    def _pending(self, traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
        return [((), 0)] if traffic.minute(service, revision, end).classes else []

    def _starts(self, traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
        """Return the starts of containers: two in a minute in which the share rose."""
        shifts = self._world.shifts_up(service, revision, traffic.region)
        if not any(end - timedelta(minutes=1) < at <= end for at in shifts):
            return []
        return [
            (
                (),
                _START.draw(
                    Random(f"{self._world.seed_of(traffic.region)}/start/{revision}/{end}"), 2
                ),
            )
        ]

    def _source_of(self, gauge: Gauge) -> Source:
        kind, _, label = gauge.revision_label.rpartition(".")
        labels = (label,) if kind.startswith("metric") else ()
        metric = Descriptor(
            gauge.metric_type, gauge.kind, gauge.value_type, "1", labels, (gauge.resource,)
        )

        def read(traffic: Traffic, service: str, revision: str, end: datetime) -> Reading:
            value = traffic.gauge(gauge.metric_type, service, revision, end)
            if value is None:
                return []
            if gauge.value_type == "DISTRIBUTION":
                users = traffic.minute(service, revision, end).users
                return [
                    (
                        (),
                        _spread(
                            value, users, f"{self._world.seed_of(traffic.region)}/{revision}/{end}"
                        ),
                    )
                ]
            return [((), max(0, round(value)) if gauge.value_type == "INT64" else value)]

        return Source(metric, self._world.scenario.metrics.gauge_delay, read, gauge)


def _run(
    name: str, kind: str, value_type: str, unit: str = "1", labels: tuple[str, ...] = ()
) -> Descriptor:
    return Descriptor(RUN + name, kind, value_type, unit, labels, (REVISION,))


@lru_cache(maxsize=512)
def _only(condition: Condition) -> str | None:
    """Return the one service that a filter asks for; None where it may be any."""
    wanted = required(condition, "resource.labels.service_name")
    return next((one.operands[0] for one in wanted if one.function == "="), None)


@lru_cache(maxsize=256)
def _code(code: str, service: str) -> Labels:
    """Return the labels of one response code, by name."""
    return (("response_code", code), ("response_code_class", f"{code[0]}xx"), ("route", service))


def _minutes(start: int, end: int, visible: datetime) -> list[tuple[int, datetime]]:
    """Return the ends of the minutes in (start, end] that are visible, as µs and as instants."""
    first = start // MINUTE * MINUTE + MINUTE
    last = min(end, int(visible.timestamp()) * 1_000_000)
    return [(us, _instant(us)) for us in range(first, last + 1, MINUTE)]


@lru_cache(maxsize=4096)  # every metric is asked for the same minutes
def _instant(us: int) -> datetime:
    return instant(us)


def _spread(value: float, count: int, seed: str) -> Histogram:
    """Return `count` values around this one as a distribution, in thousandths of its unit."""
    middle = max(1e-3, value) * 1000
    drawn = lognormal(middle, middle * 1.2).draw(Random(seed), count)
    return Histogram(drawn.counts, drawn.total_ms, drawn.squares, per_unit=1000.0)
