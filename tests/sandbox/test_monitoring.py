"""Cloud Monitoring's API, asked by Google's own client over the in-process channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import (
    Act,
    Incident,
    Load,
    Metrics,
    Moment,
    Outage,
    Scenario,
    Truth,
)
from controller.sandbox.setting import Gauge, Setting

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
COUNT = 'metric.type = "run.googleapis.com/request_count"'
LATENCY = 'metric.type = "run.googleapis.com/request_latencies"'
SCORE = "custom.googleapis.com/ion/confidence_score"
REVISION, CODES = "resource.labels.revision_name", "metric.labels.response_code_class"
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
TEN_PERCENT = Act("traffic", Moment(plus=HOUR), split={"candidate": 10, "stable": 90})
Query = monitoring_v3.ListTimeSeriesRequest
Aggregation = monitoring_v3.Aggregation


def a_world(**scenario: Any) -> Sandbox:
    """Build a world whose candidate gets 10% one hour after the start, unless people are given."""
    scenario.setdefault("people", (TEN_PERCENT,))
    return build(Scenario(**scenario), Setting(gauges=(Gauge(SCORE),)))


def client_of(sandbox: Sandbox) -> monitoring_v3.MetricServiceClient:
    transport = MetricServiceGrpcTransport(channel=sandbox.channel)
    return monitoring_v3.MetricServiceClient(transport=transport)


def ask(
    sandbox: Sandbox,
    text: str,
    *,
    minutes: int = 10,
    ago: int = 4,
    by: Iterable[str] = (REVISION,),
    aligner: str = "ALIGN_DELTA",
    reducer: str = "REDUCE_SUM",
    period: timedelta | None = MINUTE,
    **further: Any,
) -> list[Any]:
    """Ask for the `minutes` that ended `ago` minutes before the world's present."""
    end = sandbox.clock.now().replace(second=0, microsecond=0) - ago * MINUTE
    aggregation: dict[str, Any] = {"per_series_aligner": aligner, "cross_series_reducer": reducer}
    if period is not None:
        aggregation |= {"alignment_period": period, "group_by_fields": list(by)}
    request = {
        "name": "projects/demo",
        "filter": text,
        "interval": {"start_time": end - minutes * MINUTE, "end_time": end},
        "aggregation": aggregation,
        **further,
    }
    return list(client_of(sandbox).list_time_series(request, retry=None, timeout=10))


def raw(sandbox: Sandbox, text: str, **further: Any) -> list[Any]:
    """Ask for what is stored, not aggregated."""
    return ask(sandbox, text, aligner="ALIGN_NONE", reducer="REDUCE_NONE", period=None, **further)


def by_revision(series: Iterable[Any]) -> Mapping[str, float]:
    """Return revision -> sum of the points."""
    return {
        one.resource.labels["revision_name"]: sum(
            point.value.int64_value or point.value.double_value for point in one.points
        )
        for one in series
    }


def after(sandbox: Sandbox, pause: timedelta) -> Sandbox:
    sandbox.clock.sleep(pause)
    return sandbox


def test_requests_follow_the_split_and_the_rate() -> None:
    sandbox = after(a_world(), 12 * HOUR)
    counts = by_revision(ask(sandbox, COUNT, minutes=600))
    assert counts[STABLE] + counts[CANDIDATE] == pytest.approx(600 * 600, rel=0.01)
    assert counts[CANDIDATE] / (counts[STABLE] + counts[CANDIDATE]) == pytest.approx(0.1, rel=0.03)


def test_stable_has_a_week_of_history_before_the_world_began() -> None:
    counts = by_revision(ask(a_world(), COUNT, minutes=60, ago=6 * 24 * 60))
    assert set(counts) == {STABLE}
    assert counts[STABLE] == pytest.approx(36_000, rel=0.02)


def test_a_question_that_reaches_back_to_1970_is_answered_from_what_there_is() -> None:
    counts = ask(a_world(), COUNT, minutes=29_000_000, period=timedelta(days=30_000))
    assert by_revision(counts)[STABLE] == pytest.approx(7 * 24 * 36_000, rel=0.01)


def test_errors_have_the_rate_of_the_truth() -> None:
    sandbox = after(a_world(), 2 * HOUR)
    series = ask(sandbox, COUNT, minutes=2000, by=[CODES], period=2000 * MINUTE)
    counts = {
        one.metric.labels["response_code_class"]: one.points[0].value.int64_value for one in series
    }
    assert counts["5xx"] / sum(counts.values()) == pytest.approx(0.002, rel=0.1)
    assert set(counts) == {"2xx", "4xx", "5xx"}


def test_a_revision_without_requests_has_no_series() -> None:
    assert set(by_revision(ask(after(a_world(people=()), HOUR), COUNT))) == {STABLE}


@pytest.mark.parametrize(("reducer", "expected"), [("95", 9000), ("50", 4000)])
def test_latencies_have_the_percentiles_of_the_truth(reducer: str, expected: float) -> None:
    sandbox = after(a_world(), 3 * HOUR)
    series = ask(
        sandbox, LATENCY, minutes=60, reducer=f"REDUCE_PERCENTILE_{reducer}", period=60 * MINUTE
    )
    value = series[0].points[0].value.double_value
    assert value == pytest.approx(expected, rel=0.05)


def test_a_distribution_tells_its_buckets_count_and_mean() -> None:
    series = ask(after(a_world(), 3 * HOUR), LATENCY, minutes=60, period=60 * MINUTE)
    value = series[0].points[0].value.distribution_value
    buckets = value.bucket_options.exponential_buckets
    assert (buckets.num_finite_buckets, buckets.growth_factor, buckets.scale) == (120, 1.1, 10)
    assert sum(value.bucket_counts) == value.count == pytest.approx(32_400, rel=0.03)
    assert value.bucket_counts[-1] > 0
    assert value.mean == pytest.approx(4517, rel=0.02)


def test_points_come_newest_first_and_carry_the_end_of_their_period() -> None:
    sandbox = after(a_world(), HOUR)
    points = ask(sandbox, COUNT, minutes=6, period=2 * MINUTE)[0].points
    ends = [point.interval.end_time for point in points]
    last = sandbox.clock.now() - 4 * MINUTE
    assert ends == [last, last - 2 * MINUTE, last - 4 * MINUTE]
    assert points[0].interval.start_time == last - 2 * MINUTE


def test_the_start_of_an_interval_is_outside_and_its_end_inside() -> None:
    sandbox = after(a_world(), HOUR)
    points = raw(sandbox, f'{COUNT} AND metric.labels.response_code = "200"', minutes=3)[0].points
    assert len(points) == 3
    assert points[0].interval.end_time == sandbox.clock.now() - 4 * MINUTE


def test_raw_series_tell_all_their_labels() -> None:
    series = raw(after(a_world(), HOUR), f'{COUNT} AND metric.label.response_code = "500"')
    assert dict(series[0].metric.labels) == {
        "response_code": "500",
        "response_code_class": "5xx",
        "route": "ion-api",
    }
    assert dict(series[0].resource.labels) == {
        "project_id": "demo",
        "location": "us-central1",
        "service_name": "ion-api",
        "revision_name": STABLE,
        "configuration_name": "ion-api",
    }
    assert series[0].resource.type == "cloud_run_revision"


@pytest.mark.parametrize(
    ("text", "delay"),
    [(COUNT, 3 * MINUTE), (LATENCY, 4 * MINUTE), (f'metric.type = "{SCORE}"', 2 * MINUTE)],
)
def test_a_point_is_visible_only_some_minutes_after_its_end(text: str, delay: timedelta) -> None:
    sandbox = after(a_world(), HOUR)
    newest = max(one.points[0].interval.end_time for one in raw(sandbox, text, ago=0))
    assert sandbox.clock.now() - newest == delay


def test_what_was_asked_too_early_is_complete_later() -> None:
    sandbox = after(a_world(), HOUR)
    early = ask(sandbox, COUNT, minutes=10, ago=0)
    late = ask(after(sandbox, 10 * MINUTE), COUNT, minutes=10, ago=10)
    assert len(early[0].points) == 7
    assert len(late[0].points) == 10
    assert [p.value for p in late[0].points][3:] == [p.value for p in early[0].points]


def test_asking_in_another_order_changes_no_number() -> None:
    def answers(hours: Iterable[int]) -> dict[int, list[Any]]:
        sandbox = after(a_world(), 8 * HOUR)
        return {hour: raw(sandbox, LATENCY, minutes=5, ago=hour * 60) for hour in hours}

    forwards, backwards = answers([1, 2, 5]), answers([5, 2, 1])
    assert forwards == {hour: backwards[hour] for hour in (1, 2, 5)}


def test_another_seed_is_another_world() -> None:
    one, two = (ask(after(a_world(seed=seed), HOUR), COUNT) for seed in (1, 2))
    assert one != two


def test_the_app_reports_its_own_metric_for_each_minute_with_users() -> None:
    sandbox = after(a_world(), 3 * HOUR)
    text = f'metric.type = "{SCORE}" AND resource.type = "generic_task"'
    series = raw(sandbox, text, minutes=60)
    assert [one.metric.labels["revision"] for one in series] == [STABLE, CANDIDATE]
    values = [point.value.double_value for point in series[0].points]
    assert len(values) == 60
    assert sum(values) / 60 == pytest.approx(0.82, abs=0.01)
    assert max(values) - min(values) < 0.2


def test_a_revision_that_is_missing_has_no_series_but_its_metric_exists() -> None:
    sandbox = after(a_world(metrics=Metrics(missing=("candidate",))), 3 * HOUR)
    assert set(by_revision(ask(sandbox, COUNT))) == {STABLE}
    assert ask(sandbox, f'{COUNT} AND {REVISION} = "{CANDIDATE}"') == []


def test_an_incident_hits_every_revision_for_its_time() -> None:
    incident = Incident(Moment(plus=2 * HOUR), 20 * MINUTE, Truth(errors={"5xx": 0.3}))
    sandbox = after(a_world(incidents=(incident,)), 3 * HOUR)
    failed = f'{COUNT} AND metric.labels.response_code_class = "5xx"'
    during = by_revision(ask(sandbox, failed, minutes=20, ago=40))
    total = by_revision(ask(sandbox, COUNT, minutes=20, ago=40))
    later = by_revision(ask(sandbox, failed, minutes=20, ago=20))
    assert {name: during[name] / total[name] for name in total} == {
        STABLE: pytest.approx(0.3, rel=0.1),
        CANDIDATE: pytest.approx(0.3, rel=0.1),
    }
    assert later[STABLE] < 100


def test_an_outage_answers_unavailable_and_then_tells_what_happened_meanwhile() -> None:
    outage = Outage(Moment(plus=HOUR), 6 * HOUR)
    sandbox = after(a_world(metrics=Metrics(outages=(outage,))), 3 * HOUR)
    with pytest.raises(exceptions.ServiceUnavailable):
        ask(sandbox, COUNT)
    assert len(ask(after(sandbox, 5 * HOUR), COUNT, minutes=300)[0].points) == 300


def test_traffic_by_the_hour_of_day_follows_its_factors() -> None:
    load = Load(rate_per_s=10.0, by_hour=(0.5,) * 12 + (2.0,) * 12)
    sandbox = after(a_world(traffic=load), 10 * HOUR)  # 19:00
    morning, evening = (by_revision(ask(sandbox, COUNT, minutes=60, ago=ago)) for ago in (480, 60))
    assert sum(morning.values()) == pytest.approx(18_000, rel=0.03)
    assert sum(evening.values()) == pytest.approx(72_000, rel=0.03)


def test_pages_count_points_and_together_are_the_whole() -> None:
    sandbox = after(a_world(), 3 * HOUR)
    whole = raw(sandbox, COUNT)
    pager = client_of(sandbox).list_time_series(
        {
            "name": "projects/demo",
            "filter": COUNT,
            "interval": {
                "start_time": sandbox.clock.now() - 14 * MINUTE,
                "end_time": sandbox.clock.now() - 4 * MINUTE,
            },
            "page_size": 7,
        }
    )
    pages = list(pager.pages)
    sizes = [sum(len(one.points) for one in page.time_series) for page in pages]
    assert sum(sizes) == sum(len(one.points) for one in whole)
    assert set(sizes[:-1]) == {7}


def test_the_headers_view_has_no_points() -> None:
    series = raw(after(a_world(), HOUR), COUNT, view="HEADERS")
    assert [len(one.points) for one in series] == [0] * len(series)
    assert series


@pytest.mark.parametrize(
    ("text", "aligner", "said"),
    [
        (
            LATENCY,
            "ALIGN_MAX",
            'Field aggregation.perSeriesAligner had an invalid value of "ALIGN_MAX": The aligner '
            "cannot be applied to metrics with kind DELTA and value type DISTRIBUTION.",
        ),
        (
            f'{COUNT} AND resource.type = "generic_task"',
            "ALIGN_DELTA",
            "The supplied filter does not specify a valid combination of metric and monitored",
        ),
        (f'{COUNT} OR metric.type = "x"', "ALIGN_DELTA", "must name exactly one metric type"),
        ('resource.type = "global"', "ALIGN_DELTA", "must name exactly one metric type"),
        (f"{COUNT} AND nonsense", "ALIGN_DELTA", "Field filter had an invalid value"),
        (COUNT, "ALIGN_NONE", "A reducer needs an aligner"),
    ],
)
def test_a_wrong_question_is_refused_in_googles_words(text: str, aligner: str, said: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=re.escape(said)):
        ask(a_world(), text, aligner=aligner)


def test_a_period_under_a_minute_and_an_empty_interval_are_refused() -> None:
    with pytest.raises(exceptions.InvalidArgument, match="at least 60 seconds"):
        ask(a_world(), COUNT, period=timedelta(seconds=30))
    with pytest.raises(exceptions.InvalidArgument, match="before the end time"):
        ask(a_world(), COUNT, minutes=0)


def test_a_metric_type_that_nobody_wrote_is_not_found() -> None:
    with pytest.raises(exceptions.NotFound, match=r"Cannot find metric\(s\) that match type = "):
        ask(a_world(), 'metric.type = "custom.googleapis.com/unheard/of"')


def test_another_project_is_refused() -> None:
    with pytest.raises(exceptions.PermissionDenied):
        ask(a_world(), COUNT, name="projects/elsewhere")


def test_metric_descriptors_are_listed_by_type_and_by_prefix() -> None:
    client = client_of(a_world())
    everything = list(client.list_metric_descriptors(name="projects/demo"))
    run = client.list_metric_descriptors(
        request={
            "name": "projects/demo",
            "filter": 'metric.type = starts_with("run.googleapis.com/request")',
        }
    )
    assert SCORE in {one.type for one in everything}
    assert [one.type for one in run] == [
        "run.googleapis.com/request_count",
        "run.googleapis.com/request_latencies",
    ]
    one = client.get_metric_descriptor(
        name="projects/demo/metricDescriptors/run.googleapis.com/request_latencies"
    )
    assert (one.metric_kind, one.value_type, one.unit) == (2, 5, "ms")


def a_point(value: float, end: datetime, **labels: str) -> dict[str, Any]:
    """Make the TimeSeries of one written point."""
    return {
        "metric": {"type": "custom.googleapis.com/load_test/passed", "labels": labels},
        "resource": {"type": "global", "labels": {"project_id": "demo"}},
        "points": [{"interval": {"end_time": end}, "value": {"double_value": value}}],
    }


def write(sandbox: Sandbox, *series: Mapping[str, Any]) -> None:
    request = {"name": "projects/demo", "time_series": list(series)}
    client_of(sandbox).create_time_series(request=request, retry=None, timeout=10)


def test_a_written_point_can_be_read_after_the_delay() -> None:
    sandbox = after(a_world(), HOUR)
    written = sandbox.clock.now()
    write(sandbox, a_point(1.0, written, suite="full"))
    text = 'metric.type = "custom.googleapis.com/load_test/passed"'
    assert raw(sandbox, text, ago=0) == []
    series = raw(after(sandbox, 5 * MINUTE), text, ago=0)
    assert [point.value.double_value for point in series[0].points] == [1.0]
    assert dict(series[0].metric.labels) == {"suite": "full"}


def test_written_points_must_be_new_recent_and_of_a_type_that_can_be_written() -> None:
    sandbox = after(a_world(), HOUR)
    now = sandbox.clock.now()
    write(sandbox, a_point(1.0, now))
    run = {**a_point(1.0, now), "metric": {"type": "run.googleapis.com/request_count"}}
    revision = {**a_point(1.0, now), "resource": {"type": "cloud_run_revision"}}
    for wrong, said in (
        ([a_point(2.0, now)], "must be written in order"),
        ([a_point(1.0, now + 6 * MINUTE, a="b")], "in the future"),
        ([a_point(1.0, now - 26 * HOUR, a="b")], "25 hours"),
        ([run], "must start with"),
        ([revision], "monitored resource"),
        ([a_point(1.0, now, n=str(n)) for n in range(201)], "No more than 200"),
        ([a_point(1.0, now, c="d")] * 2, "once in a request"),
    ):
        with pytest.raises(exceptions.InvalidArgument, match=said):
            write(sandbox, *wrong)


def test_containers_start_when_a_share_rises() -> None:
    sandbox = after(a_world(), 3 * HOUR)
    text = 'metric.type = "run.googleapis.com/container/startup_latencies"'
    series = raw(sandbox, text, minutes=170)
    assert [one.resource.labels["revision_name"] for one in series] == [CANDIDATE]
    assert series[0].points[0].interval.end_time == datetime(2026, 1, 5, 10, 1, tzinfo=UTC)


def test_more_requests_need_more_instances() -> None:
    sandbox = after(a_world(), 3 * HOUR)
    text = (
        'metric.type = "run.googleapis.com/container/instance_count" '
        'AND metric.labels.state = "active"'
    )
    series = raw(sandbox, text, minutes=1)
    counts = {o.resource.labels["revision_name"]: o.points[0].value.int64_value for o in series}
    assert counts == {STABLE: 2, CANDIDATE: 1}
