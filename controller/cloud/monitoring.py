"""Cloud Monitoring behind the `MetricSource` port: one ListTimeSeries a read.

What lives here: which aggregation fits a query, the filter, pages, errors. How points become our
values is in `points`. Nothing is retried: ticks are the retries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from google.api import metric_pb2
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3 import types

from controller.cloud.clients import within
from controller.cloud.points import Points
from controller.cloud.translate import sentence, translating
from controller.engine.observation import ServiceName
from controller.gates.evidence import Latencies, Query, Readings, Requests
from controller.plan.model import CustomMetric
from controller.ports import Denied, Missing, Refused, Unavailable

READ_SECONDS = 30.0
PAGES_MOST = 100  # of one answer: ten million points
REVISION = "resource.labels.revision_name"
PREFIX = "run.googleapis.com/"
_AGGREGATION = types.Aggregation.pb()
_REQUEST = types.ListTimeSeriesRequest.pb()
_KINDS = metric_pb2.MetricDescriptor
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What a series aligned so is added up (or averaged) with, where the plan does not say.
_REDUCER_OF = {
    "ALIGN_DELTA": "REDUCE_SUM",
    "ALIGN_SUM": "REDUCE_SUM",
    "ALIGN_RATE": "REDUCE_SUM",
    "ALIGN_COUNT": "REDUCE_SUM",
    "ALIGN_MIN": "REDUCE_MIN",
    "ALIGN_MAX": "REDUCE_MAX",
}


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question. labels: what it is grouped by, the revision's first; code: "" or a label."""

    metric: str
    aligner: str
    reducer: str
    label: str = REVISION
    code: str = ""
    filter: str = ""


class CloudMonitoring:
    """Metrics of any project.

    returned: time series returned so far, which is what Cloud Monitoring charges for.
    """

    def __init__(self, client: monitoring_v3.MetricServiceClient) -> None:
        self.returned = 0
        self._client = client
        self._defaults: dict[tuple[str, str], str] = {}

    def read(
        self,
        name: ServiceName,
        query: Query,
        revisions: Sequence[str],
        start: datetime,
        end: datetime,
        period: timedelta = timedelta(minutes=1),
    ) -> Readings:
        """Return the points in (start, end], by revision and end of the period.

        Minutes that cannot be read are left out; Unavailable where that leaves nothing.
        """
        if not revisions or start >= end:
            return {}
        try:
            ask = self._ask(name.project, query)
            request = _request(name, ask, tuple(revisions), start=start, end=end, period=period)
            points = Points(ask.label, ask.code, revisions, start, end)
            with translating():
                self._read_into(points, request)
        except Missing:  # nobody ever wrote the metric in this project
            return {}
        readings = points.readings
        if points.unreadable and not readings:
            raise Unavailable(f"Cloud Monitoring's answer cannot be read: {points.unreadable}")
        return readings

    def exists(self, project: str, metric_type: str) -> bool:
        """Tell whether the metric type is known in the project."""
        try:
            self._descriptor(project, metric_type)
        except Missing:
            return False
        return True

    def _read_into(self, points: Points, request: Any) -> None:
        pager = self._client.list_time_series(
            types.ListTimeSeriesRequest.wrap(request), retry=None, timeout=within(READ_SECONDS)
        )
        for number, wrapped in enumerate(pager.pages, 1):
            page = type(wrapped).pb(wrapped)
            if page.execution_errors:
                why = "; ".join(error.message for error in page.execution_errors[:3])
                raise Unavailable(f"Cloud Monitoring answered in part only: {sentence(why)}")
            if page.next_page_token and number >= PAGES_MOST:
                raise Unavailable(f"Cloud Monitoring's answer has more than {PAGES_MOST} pages")
            self.returned += len(page.time_series)
            for series in page.time_series:
                points.add(series)

    def _ask(self, project: str, query: Query) -> _Ask:
        match query:
            case Requests(exact_codes):
                code = "response_code" if exact_codes else "response_code_class"
                return _Ask(f"{PREFIX}request_count", "ALIGN_DELTA", "REDUCE_SUM", code=code)
            case Latencies():
                return _Ask(f"{PREFIX}request_latencies", "ALIGN_DELTA", "REDUCE_SUM")
            case CustomMetric() as metric:
                aligner = metric.aligner or self._aligner(project, metric)
                reducer = metric.reducer or _REDUCER_OF.get(aligner, "REDUCE_MEAN")
                return _Ask(
                    metric.type, aligner, reducer, metric.revision_label, filter=metric.filter
                )

    def _aligner(self, project: str, metric: CustomMetric) -> str:
        """Return the aligner that fits the metric's kind; asked once, unless it is not known."""
        key = (project, metric.type)
        if key not in self._defaults:
            try:
                found = self._descriptor(project, metric.type)
            except Denied:
                # timeSeries.list alone is enough for everything else: guess, and let Cloud
                # Monitoring refuse a guess that does not fit.
                self._defaults[key] = "ALIGN_MEAN" if metric.percentile is None else "ALIGN_DELTA"
            else:
                self._defaults[key] = _fitting(found)
        return self._defaults[key]

    def _descriptor(self, project: str, metric_type: str) -> Any:
        with translating():
            return self._client.get_metric_descriptor(
                name=f"projects/{project}/metricDescriptors/{metric_type}",
                retry=None,
                timeout=within(READ_SECONDS),
            )


def _fitting(descriptor: Any) -> str:
    """Return the aligner that keeps a distribution whole, counts events, averages a gauge."""
    if descriptor.metric_kind != _KINDS.GAUGE:
        return "ALIGN_DELTA"
    return "ALIGN_SUM" if descriptor.value_type == _KINDS.DISTRIBUTION else "ALIGN_MEAN"


def _request(
    name: ServiceName,
    ask: _Ask,
    revisions: tuple[str, ...],
    *,
    start: datetime,
    end: datetime,
    period: timedelta,
) -> Any:
    request = _REQUEST()
    request.CopyFrom(_timeless(name, ask, revisions, period))
    _set_time(request.interval.start_time, start)
    _set_time(request.interval.end_time, end)
    return request


def _set_time(written: Any, at: datetime) -> None:
    """Write an aware time; protobuf's own FromDatetime goes by way of the calendar."""
    seconds, rest = divmod((at - _EPOCH) // _MICROSECOND, 1_000_000)
    written.seconds, written.nanos = seconds, rest * 1000


@lru_cache(maxsize=256)
def _timeless(name: ServiceName, ask: _Ask, revisions: tuple[str, ...], period: timedelta) -> Any:
    """Return a request without its interval: all that is the same from tick to tick."""
    request = _REQUEST(name=f"projects/{name.project}", filter=_filter(name, ask, revisions))
    how = request.aggregation
    how.alignment_period.FromTimedelta(period)
    how.per_series_aligner = _number(_AGGREGATION.Aligner, ask.aligner)
    how.cross_series_reducer = _number(_AGGREGATION.Reducer, ask.reducer)
    how.group_by_fields.append(ask.label)
    if ask.code:
        how.group_by_fields.append(f"metric.labels.{ask.code}")
    return request


def _number(enum: Any, name: str) -> int:
    try:
        number: int = enum.Value(name)
    except ValueError as error:
        raise Refused(
            f"Cloud Monitoring has no {name}", f"one of {', '.join(enum.keys())}"
        ) from error
    return number


def _filter(name: ServiceName, ask: _Ask, revisions: Sequence[str]) -> str:
    parts = [f"metric.type = {quoted(ask.metric)}"]
    if ask.metric.startswith(PREFIX):
        parts.append('resource.type = "cloud_run_revision"')
    if ask.label == REVISION:  # names of revisions are unique in their service only
        parts.append(f"resource.labels.location = {quoted(name.region)}")
        parts.append(f"resource.labels.service_name = {quoted(name.service)}")
    parts.append(f"{ask.label} = one_of({', '.join(map(quoted, revisions))})")
    if ask.filter:
        parts.append(f"({ask.filter})")
    return " AND ".join(parts)


def quoted(text: str) -> str:
    """Return the text as a string of Cloud Monitoring's filter language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
