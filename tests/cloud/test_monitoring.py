"""Cloud Monitoring's adapter through Google's own client, on the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.monitoring_v3 import types

from controller.cloud.clients import metric_client_on
from controller.cloud.monitoring import CloudMonitoring, quoted
from controller.engine.observation import ServiceName
from controller.gates.evidence import (
    CodeCounts,
    Exponential,
    Histogram,
    Latencies,
    Number,
    Query,
    Readings,
    Requests,
)
from controller.plan.model import CustomMetric
from controller.ports import Denied, Refused, Unavailable
from controller.sandbox import Sandbox, build
from controller.sandbox.channel import InProcessChannel
from controller.sandbox.errors import Method
from controller.sandbox.scenario import Act, Metrics, Moment, Outage, Scenario
from controller.sandbox.setting import Gauge, Setting

NAME = ServiceName("demo", "us-central1", "ion-api")
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
SCORE = "custom.googleapis.com/ion/confidence_score"
SCORE_BY_REVISION = CustomMetric(SCORE, revision_label="metric.labels.revision")
MINUTE = timedelta(minutes=1)
TEN_PERCENT = Act("traffic", Moment(), split={"candidate": 10, "stable": 90})


def a_world(**scenario: Any) -> Sandbox:
    """Build a world that is an hour old and in which the candidate has 10%."""
    scenario.setdefault("people", (TEN_PERCENT,))
    sandbox = build(Scenario(**scenario), Setting(gauges=(Gauge(SCORE),)))
    sandbox.clock.sleep(timedelta(hours=1))
    return sandbox


def monitoring_in(sandbox: Sandbox) -> CloudMonitoring:
    return CloudMonitoring(metric_client_on(sandbox.channel, "rollout/test"))


def window(sandbox: Sandbox, minutes: int = 20) -> tuple[datetime, datetime]:
    end = sandbox.clock.now().replace(second=0, microsecond=0) - 5 * MINUTE
    return end - minutes * MINUTE, end


def read(
    sandbox: Sandbox, query: Query, revisions: tuple[str, ...] = (STABLE, CANDIDATE)
) -> Readings:
    return monitoring_in(sandbox).read(NAME, query, revisions, *window(sandbox))


def test_requests_are_counted_by_minute_revision_and_class() -> None:
    sandbox = a_world()
    start, end = window(sandbox)
    readings = read(sandbox, Requests())
    assert set(readings) == {STABLE, CANDIDATE}
    assert list(readings[STABLE]) == [start + n * MINUTE for n in range(1, 21)]
    totals = {}
    for revision, minutes in readings.items():
        counts = [value for value in minutes.values() if isinstance(value, CodeCounts)]
        assert len(counts) == len(minutes)
        assert {code for one in counts for code in one.codes} <= {"2xx", "4xx", "5xx"}
        totals[revision] = sum(one.total for one in counts)
    assert sum(totals.values()) == pytest.approx(12_000, rel=0.05)
    assert totals[CANDIDATE] == pytest.approx(1_200, rel=0.15)
    assert max(readings[STABLE]) == end


def test_exact_codes_add_up_to_the_classes() -> None:
    sandbox = a_world()
    classes, exact = read(sandbox, Requests()), read(sandbox, Requests(exact_codes=True))
    for end, value in classes[STABLE].items():
        precise = exact[STABLE][end]
        assert isinstance(value, CodeCounts)
        assert isinstance(precise, CodeCounts)
        assert "200" in precise.codes
        assert precise.total == value.total


def test_latencies_are_histograms_of_all_the_requests() -> None:
    sandbox = a_world()
    counts, latencies = read(sandbox, Requests()), read(sandbox, Latencies())
    for end, value in latencies[STABLE].items():
        requests = counts[STABLE][end]
        assert isinstance(value, Histogram)
        assert isinstance(requests, CodeCounts)
        assert value.buckets == Exponential(10.0, 1.1, 120)
        assert value.total == requests.total
        assert 3_000 < value.mean < 7_000


def test_a_gauge_is_a_number_by_its_own_label() -> None:
    values = read(a_world(), SCORE_BY_REVISION)[CANDIDATE].values()
    numbers = [value.value for value in values if isinstance(value, Number)]
    assert len(numbers) == 20
    assert sum(numbers) / len(numbers) == pytest.approx(0.82, abs=0.02)


def test_aligner_reducer_and_filter_of_the_plan_are_used() -> None:
    sandbox = a_world()
    metric = CustomMetric(
        SCORE,
        filter=f'metric.labels.revision != "{STABLE}"',
        aligner="ALIGN_MAX",
        revision_label="metric.labels.revision",
    )
    assert set(read(sandbox, metric)) == {CANDIDATE}


def test_a_count_of_the_plan_is_summed_by_minute() -> None:
    sandbox = a_world()
    readings = read(sandbox, CustomMetric("run.googleapis.com/request_count"))
    counts = read(sandbox, Requests())
    for end, value in readings[STABLE].items():
        total = counts[STABLE][end]
        assert isinstance(total, CodeCounts)
        assert value == Number(total.total)


def test_a_distribution_of_the_plan_stays_a_histogram() -> None:
    metric = CustomMetric("run.googleapis.com/request_latencies", percentile=95)
    readings = read(a_world(), metric)
    assert readings == read(a_world(), Latencies())


def test_only_the_revisions_asked_for_come_back() -> None:
    sandbox = a_world()
    assert set(read(sandbox, Requests(), (CANDIDATE,))) == {CANDIDATE}
    assert read(sandbox, Requests(), ()) == {}
    assert read(sandbox, Requests(), ('no"such\\one',)) == {}


def test_a_metric_nobody_wrote_is_an_empty_answer() -> None:
    sandbox = a_world()
    missing = CustomMetric("custom.googleapis.com/none")
    assert read(sandbox, missing) == {}
    assert read(sandbox, CustomMetric("custom.googleapis.com/none", aligner="ALIGN_MEAN")) == {}
    monitoring = monitoring_in(sandbox)
    assert not monitoring.exists("demo", "custom.googleapis.com/none")
    assert monitoring.exists("demo", SCORE)


def test_an_outage_is_unavailable_and_not_retried() -> None:
    outage = Outage(Moment(plus=30 * MINUTE), timedelta(hours=2))
    sandbox = a_world(metrics=Metrics(outages=(outage,)))
    before = sandbox.clock.now()
    with pytest.raises(Unavailable):
        read(sandbox, Requests())
    assert sandbox.clock.now() == before


def test_a_missing_permission_is_named_with_its_role() -> None:
    with pytest.raises(Denied, match=r"monitoring\.timeSeries\.list") as caught:
        read(a_world(denied=("monitoring.timeSeries.list",)), Requests())
    assert "roles/monitoring.viewer" in caught.value.mend


def test_without_the_right_to_read_descriptors_a_gauge_is_guessed() -> None:
    sandbox = a_world(denied=("monitoring.metricDescriptors.get",))
    assert set(read(sandbox, SCORE_BY_REVISION)) == {STABLE, CANDIDATE}


@pytest.mark.parametrize(
    "metric",
    [
        CustomMetric(SCORE, aligner="ALIGN_DELTA", revision_label="metric.labels.revision"),
        CustomMetric(SCORE, aligner="ALIGN_SIDEWAYS"),
        CustomMetric(SCORE, filter="metric.labels.revision ="),
    ],
)
def test_what_monitoring_cannot_do_is_refused(metric: CustomMetric) -> None:
    with pytest.raises(Refused):
        read(a_world(), metric)


def test_two_days_are_read_whole() -> None:
    sandbox = a_world()
    end = window(sandbox)[1]
    monitoring = monitoring_in(sandbox)
    readings = monitoring.read(NAME, Requests(), (STABLE,), end - timedelta(days=2), end)
    assert len(readings[STABLE]) == 2 * 24 * 60


def answering(*pages: Any) -> CloudMonitoring:
    """Return an adapter whose reads are answered by these pages, in order."""
    left = list(pages)
    method = Method(types.ListTimeSeriesRequest.pb(), lambda _request: left.pop(0))
    handlers = {"/google.monitoring.v3.MetricService/ListTimeSeries": method}
    return CloudMonitoring(metric_client_on(InProcessChannel(handlers), "rollout/test"))


def a_page(seconds: int, token: str = "") -> Any:
    page = types.ListTimeSeriesResponse.pb()(next_page_token=token)
    series = page.time_series.add()
    series.resource.labels["revision_name"] = STABLE
    series.metric.labels["response_code_class"] = "2xx"
    point = series.points.add(value={"int64_value": 7})
    point.interval.end_time.seconds = seconds
    return page


def test_a_series_that_goes_on_on_the_next_page_is_read_whole() -> None:
    monitoring = answering(a_page(120, "more"), a_page(60))
    end = datetime.fromtimestamp(120, UTC)
    readings = monitoring.read(NAME, Requests(), (STABLE,), end - 2 * MINUTE, end)
    assert readings == {STABLE: {end - MINUTE: CodeCounts({"2xx": 7}), end: CodeCounts({"2xx": 7})}}
    assert monitoring.returned == 2


def test_an_answer_in_part_is_no_answer() -> None:
    partial = a_page(60)
    partial.execution_errors.add(code=14, message="a shard was down")
    monitoring = answering(a_page(120, "more"), partial)
    end = datetime.fromtimestamp(120, UTC)
    with pytest.raises(Unavailable, match="a shard was down"):
        monitoring.read(NAME, Requests(), (STABLE,), end - 2 * MINUTE, end)


def test_the_series_returned_are_counted() -> None:
    sandbox = a_world()
    monitoring = monitoring_in(sandbox)
    monitoring.read(NAME, Latencies(), (STABLE, CANDIDATE), *window(sandbox))
    assert monitoring.returned == 2


def test_a_text_in_a_filter_is_quoted() -> None:
    assert quoted('a"b\\c') == '"a\\"b\\\\c"'
