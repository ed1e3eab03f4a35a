"""google.monitoring.v3.MetricService over the world: requests in, raw protobuf answers out.

What lives here: the API's own rules: names, filters' metric type, intervals, views, pages, what is
visible yet, outages. Not here: the arithmetic (aggregation), the metrics (metrics), written points
(written).

Answers are raw protobufs, never proto-plus: a rehearsal reads thousands of them.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import compress
from typing import Any

import grpc
from google.api import metric_pb2
from google.cloud.monitoring_v3 import types
from google.protobuf import empty_pb2

from controller.sandbox import aggregation
from controller.sandbox.aggregation import Aggregation, refused
from controller.sandbox.errors import Method, RpcError
from controller.sandbox.filters import Condition, canonical, invalid, matches, parse, required
from controller.sandbox.histogram import FINITE_BUCKETS, GROWTH, SCALE_MS, Histogram
from controller.sandbox.metrics import Metrics
from controller.sandbox.series import MINUTE, Descriptor, Series, Value, instant, micros
from controller.sandbox.traffic import Traffic
from controller.sandbox.world import World
from controller.sandbox.written import KINDS, TYPES, Written

SERVICE = "/google.monitoring.v3.MetricService/"
MOST_POINTS = 100_000
_KIND_NUMBERS = {name: number for number, name in KINDS.items()}
_TYPE_NUMBERS = {name: number for number, name in TYPES.items()}
_AGGREGATION = types.Aggregation.pb()
_ENUMS = _AGGREGATION.DESCRIPTOR.enum_types_by_name
_ALIGNERS = {value.number: value.name for value in _ENUMS["Aligner"].values}
_REDUCERS = {value.number: value.name for value in _ENUMS["Reducer"].values}
_HEADERS = int(types.ListTimeSeriesRequest.TimeSeriesView.HEADERS)
_LIST_RESPONSE = types.ListTimeSeriesResponse.pb()
_DESCRIPTORS_RESPONSE = types.ListMetricDescriptorsResponse.pb()


@dataclass(frozen=True, slots=True)
class _Query:
    """A ListTimeSeries request that was understood. start, end: µs. now: as of when it is read."""

    metric: Descriptor
    condition: Condition
    start: int
    end: int
    how: Aggregation
    headers_only: bool
    page_size: int
    offset: int
    now: datetime


class Monitoring:
    """The API over one world. Handlers raise RpcError as Google's servers answer."""

    def __init__(self, world: World, traffic: Sequence[Traffic]) -> None:
        self._world = world
        self._metrics = Metrics(world, traffic)
        self._written = Written()
        self.handlers: Mapping[str, Method] = {
            SERVICE + name: Method(request.pb(), handler)
            for name, request, handler in (
                ("ListTimeSeries", types.ListTimeSeriesRequest, self.list_time_series),
                ("CreateTimeSeries", types.CreateTimeSeriesRequest, self.create_time_series),
                ("ListMetricDescriptors", types.ListMetricDescriptorsRequest, self.list_metrics),
                ("GetMetricDescriptor", types.GetMetricDescriptorRequest, self.get_metric),
                ("CreateMetricDescriptor", types.CreateMetricDescriptorRequest, self.create_metric),
            )
        }

    def list_time_series(self, request: Any) -> Any:
        """Answer ListTimeSeries: what is visible by now, aligned, reduced, newest point first."""
        self._check_up(request.name)
        query = self._understood(request)
        metric, series = aggregation.aggregate(
            query.metric, self._read(query), query.how, query.end
        )
        return _answer(metric, series, query)

    def create_time_series(self, request: Any) -> Any:
        """Answer CreateTimeSeries."""
        self._check_up(request.name)
        self._written.create(list(request.time_series), self._world.clock.now())
        return empty_pb2.Empty()

    def create_metric(self, request: Any) -> Any:
        """Answer CreateMetricDescriptor."""
        self._check_up(request.name)
        metric = self._written.create_metric(request.name, request.metric_descriptor)
        return self._descriptor(metric)

    def get_metric(self, request: Any) -> Any:
        """Answer GetMetricDescriptor."""
        project, _, metric_type = request.name.partition("/metricDescriptors/")
        self._check_up(project)
        return self._descriptor(self._metric(metric_type))

    def list_metrics(self, request: Any) -> Any:
        """Answer ListMetricDescriptors; the filter may speak of metric.type."""
        self._check_up(request.name)
        condition = parse(request.filter)
        known = {**{t: s.metric for t, s in self._metrics.sources.items()}, **self._written.metrics}
        found = [
            known[name]
            for name in sorted(known)
            if matches(condition, {"metric.type": name}, partial=True) is not False
        ]
        offset = _offset(request.page_token)[0] if request.page_token else 0
        size = request.page_size or 10_000
        answer = _DESCRIPTORS_RESPONSE()
        answer.metric_descriptors.extend(map(self._descriptor, found[offset : offset + size]))
        if offset + size < len(found):
            answer.next_page_token = _token(offset + size, self._world.clock.now())
        return answer

    def _check_up(self, name: str) -> None:
        """Refuse during an outage, and for another project than the world's."""
        now, world = self._world.clock.now(), self._world
        for outage in world.scenario.metrics.outages:
            start = world.when(outage.since)
            if start is not None and start <= now < start + outage.lasts:
                raise RpcError(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable.")
        if name not in {
            f"projects/{world.setting.project}",
            f"projects/{world.project_number}",
        }:
            text = "Permission monitoring.timeSeries.list denied (or the resource may not exist)."
            raise RpcError(grpc.StatusCode.PERMISSION_DENIED, text)

    def _understood(self, request: Any) -> _Query:
        if request.order_by:
            raise refused("order_by", request.order_by, "Ordering is not supported.")
        if request.HasField("secondary_aggregation"):
            raise refused("secondary_aggregation", "", "The sandbox does not aggregate twice.")
        condition = parse(request.filter)
        metric = self._metric(_metric_type(request.filter))
        self._check_resource(metric, condition)
        start, end = _interval(request.interval, metric)
        offset, now = _offset(request.page_token) if request.page_token else (0, None)
        return _Query(
            metric,
            condition,
            start,
            end,
            _how(request.aggregation.SerializeToString()),
            request.view == _HEADERS,
            min(request.page_size or MOST_POINTS, MOST_POINTS),
            offset,
            now or self._world.clock.now(),
        )

    def _read(self, query: _Query) -> list[Series]:
        series = []
        source = self._metrics.sources.get(query.metric.type)
        if source is not None:
            series = self._metrics.series(
                source, query.condition, query.start, query.end, query.now
            )
        visible = micros(query.now - self._world.scenario.metrics.gauge_delay)
        end = min(query.end, visible)
        return series + self._written.series(query.metric, query.condition, query.start, end)

    def _metric(self, metric_type: str) -> Descriptor:
        source = self._metrics.sources.get(metric_type)
        metric = source.metric if source else self._written.metrics.get(metric_type)
        if metric is None:
            text = (
                f'Cannot find metric(s) that match type = "{metric_type}". '
                "If a metric was created recently, it could take up to 10 minutes to become "
                "available. Please try again soon."
            )
            raise RpcError(grpc.StatusCode.NOT_FOUND, text)
        return metric

    def _check_resource(self, metric: Descriptor, condition: Condition) -> None:
        """Refuse a metric together with a resource that it is never on."""
        for wanted in required(condition, "resource.type"):
            if (
                wanted.function == "="
                and metric.resources
                and wanted.operands[0] not in metric.resources
            ):
                raise RpcError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "The supplied filter does not specify a valid combination of metric and "
                    "monitored resource descriptors. The query will not return any time series.",
                )

    def _descriptor(self, metric: Descriptor) -> Any:
        answer = metric_pb2.MetricDescriptor(
            name=f"projects/{self._world.setting.project}/metricDescriptors/{metric.type}",
            type=metric.type,
            metric_kind=_KIND_NUMBERS[metric.kind],
            value_type=_TYPE_NUMBERS[metric.value_type],
            unit=metric.unit,
            description=metric.description,
            monitored_resource_types=metric.resources,
        )
        for name in metric.labels:
            answer.labels.add(key=name)
        return answer


@lru_cache(maxsize=512)
def _metric_type(text: str) -> str:
    """Return the one metric type that the filter asks for."""
    condition = parse(text)
    wanted = {one.operands[0] for one in required(condition, "metric.type") if one.function == "="}
    if len(wanted) != 1:
        raise invalid('it must name exactly one metric type, as metric.type = "TYPE"')
    return wanted.pop()


def _interval(given: Any, metric: Descriptor) -> tuple[int, int]:
    if not given.HasField("end_time"):
        raise refused("interval.endTime", "", "The end time must be set.")
    end = given.end_time.ToMicroseconds()
    start = given.start_time.ToMicroseconds() if given.HasField("start_time") else end
    if start >= end:
        why = (
            f"The start time must be before the end time ({instant(end).isoformat()}) "
            f"for the metric '{metric.type}'."
        )
        raise refused("interval.startTime", instant(start).isoformat(), why)
    return start, end


@lru_cache(maxsize=64)  # clients ask the same way again and again, for other times
def _how(serialized: bytes) -> Aggregation:
    given = _AGGREGATION.FromString(serialized)
    aligner = _ALIGNERS.get(given.per_series_aligner, str(given.per_series_aligner))
    reducer = _REDUCERS.get(given.cross_series_reducer, str(given.cross_series_reducer))
    if aligner == "ALIGN_NONE":
        if reducer != "REDUCE_NONE":
            why = "A reducer needs an aligner other than ALIGN_NONE."
            raise refused("aggregation.perSeriesAligner", aligner, why)
        return Aggregation()
    period = given.alignment_period.ToMicroseconds()
    if period < MINUTE:
        why = "The alignment period must be at least 60 seconds."
        raise refused("aggregation.alignmentPeriod", f"{period / 1e6:g}s", why)
    return Aggregation(aligner, reducer, period, tuple(map(canonical, given.group_by_fields)))


def _answer(metric: Descriptor, series: Sequence[Series], query: _Query) -> Any:
    """Write the series as one page of a ListTimeSeriesResponse.

    The page's size and offset count points (series in the HEADERS view); a series that does not fit
    goes on on the next page.
    """
    answer = _LIST_RESPONSE()
    skipped, left = query.offset, query.page_size
    for one in series:
        size = 1 if query.headers_only else len(one.points)
        if skipped >= size:
            skipped -= size
            continue
        if not left:
            answer.next_page_token = _token(query.offset + query.page_size, query.now)
            break
        written = _header(answer, metric, one)
        take = one.points[::-1][skipped : skipped + left]
        if not query.headers_only:
            for start, end, value in take:
                _write_point(written.points.add(), start, end, value)
        left -= 1 if query.headers_only else len(take)
        if skipped + len(take) < size:
            answer.next_page_token = _token(query.offset + query.page_size, query.now)
            break
        skipped = 0
    answer.unit = metric.unit if series else ""
    return answer


def _header(answer: Any, metric: Descriptor, series: Series) -> Any:
    written = answer.time_series.add()
    written.metric.type = metric.type
    _write_labels(written.metric.labels, series.metric_labels)
    written.resource.type = series.resource_type
    _write_labels(written.resource.labels, series.resource_labels)
    written.metric_kind = _KIND_NUMBERS[metric.kind]
    written.value_type = _TYPE_NUMBERS[metric.value_type]
    written.unit = metric.unit
    return written


def _write_labels(written: Any, labels: Mapping[str, str]) -> None:
    """Write label by label: a map's own `update` takes several times as long."""
    for name, value in labels.items():
        written[name] = value


def _write_point(point: Any, start: int, end: int, value: Value) -> None:
    interval = point.interval
    _write_time(interval.end_time, end)
    _write_time(interval.start_time, start)
    if isinstance(value, Histogram):
        _write_distribution(point.value.distribution_value, value)
    elif isinstance(value, int):
        point.value.int64_value = value
    else:
        point.value.double_value = value


def _write_time(written: Any, us: int) -> None:
    written.seconds, rest = divmod(us, 1_000_000)
    if rest:
        written.nanos = rest * 1000


def _write_distribution(written: Any, value: Histogram) -> None:
    counts = value.counts
    last = max(compress(range(1, len(counts) + 1), counts), default=0)  # trailing zeros left out
    count, mean, deviations = value.moments()
    written.count = count
    written.mean = mean / value.per_unit
    written.sum_of_squared_deviation = deviations / value.per_unit**2
    buckets = written.bucket_options.exponential_buckets
    buckets.num_finite_buckets = FINITE_BUCKETS
    buckets.growth_factor = GROWTH
    buckets.scale = SCALE_MS / value.per_unit
    written.bucket_counts.extend(counts[:last])


def _token(offset: int, now: datetime) -> str:
    """Return a page token; it keeps the instant, so that later pages show the same state."""
    return urlsafe_b64encode(json.dumps([offset, micros(now)]).encode()).decode()


def _offset(token: str) -> tuple[int, datetime]:
    try:
        offset, now = json.loads(urlsafe_b64decode(token))
        return max(0, int(offset)), instant(int(now))
    except (ValueError, TypeError, OverflowError) as error:
        raise refused("pageToken", token, "It is not a token of this list.") from error
