"""Points of Cloud Monitoring as our values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud.monitoring_v3 import types

from controller.cloud.points import COUNT_MOST, Points, Unreadable, value_of
from controller.gates.evidence import CodeCounts, Explicit, Exponential, Histogram, Number, Value

SERIES = types.TimeSeries.pb()
LABEL = "resource.labels.revision_name"


def a_value(**fields: Any) -> Any:
    return types.TypedValue.pb()(**fields)


def a_distribution(**fields: Any) -> Any:
    return a_value(distribution_value=fields)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (a_value(double_value=0.5), Number(0.5)),
        (a_value(int64_value=3), Number(3.0)),
        (a_value(bool_value=True), Number(1.0)),
        (a_value(double_value=float("nan")), None),
        (a_value(double_value=float("inf")), None),
        (a_value(), None),
        (a_distribution(count=0), None),
        (
            a_distribution(
                count=3,
                mean=15.0,
                bucket_options={
                    "exponential_buckets": {
                        "num_finite_buckets": 4,
                        "growth_factor": 2.0,
                        "scale": 10.0,
                    }
                },
                bucket_counts=[1, 0, 2],
            ),
            Histogram(Exponential(10.0, 2.0, 4), {0: 1, 2: 2}, 15.0),
        ),
        (
            a_distribution(
                count=1,
                mean=1.5,
                bucket_options={"explicit_buckets": {"bounds": [1.0, 2.0]}},
                bucket_counts=[0, 1],
            ),
            Histogram(Explicit((1.0, 2.0)), {1: 1}, 1.5),
        ),
        (
            a_distribution(
                count=1,
                mean=7.0,
                bucket_options={
                    "linear_buckets": {"num_finite_buckets": 2, "width": 5.0, "offset": 1.0}
                },
                bucket_counts=[0, 0, 1],
            ),
            Histogram(Explicit((1.0, 6.0, 11.0)), {2: 1}, 7.0),
        ),
        (a_distribution(count=4, mean=2.0), Histogram(Explicit(()), {0: 4}, 2.0)),
    ],
)
def test_a_point_becomes_a_value(given: Any, expected: Value | None) -> None:
    assert value_of(given) == expected


def buckets(**options: Any) -> Any:
    return a_distribution(count=1, mean=1.0, bucket_counts=[1], bucket_options=options)


def exponential(scale: float, growth: float, finite: int) -> Any:
    how = {"scale": scale, "growth_factor": growth, "num_finite_buckets": finite}
    return buckets(exponential_buckets=how)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "given",
    [
        a_value(string_value="x"),
        a_value(double_value=1e200),
        a_distribution(count=-1),
        a_distribution(count=COUNT_MOST + 1, mean=1.0),
        a_distribution(count=1, mean=NAN),
        a_distribution(count=1, mean=INF),
        exponential(1.0, 2.0, 2**31 - 1),
        exponential(1.0, 2.0, 0),
        exponential(1.0, 1.0, 3),
        exponential(0.0, 2.0, 3),
        exponential(NAN, 2.0, 3),
        exponential(1e300, 1e300, 3),
        buckets(explicit_buckets={"bounds": [2.0, 1.0]}),
        buckets(explicit_buckets={"bounds": [1.0, NAN]}),
        buckets(explicit_buckets={"bounds": []}),
        buckets(linear_buckets={"num_finite_buckets": 2**31 - 1, "width": 1.0}),
        buckets(linear_buckets={"num_finite_buckets": 2, "width": 0.0}),
        *(
            a_distribution(
                count=count,
                mean=1.5,
                bucket_options={"explicit_buckets": {"bounds": [1.0, 2.0]}},
                bucket_counts=counts,
            )
            for count, counts in ((1, [0, 0, 0, 1]), (1, [2, -1]), (1, [9]), (9, [1]))
        ),
    ],
    ids=lambda value: str(value).replace("\n", " ")[:60],
)
def test_what_cannot_be_a_point_is_unreadable(given: Any) -> None:
    with pytest.raises(Unreadable):
        value_of(given)


def a_series(revision: str, points: dict[int, Any], **labels: str) -> Any:
    series = SERIES()
    series.resource.type = "cloud_run_revision"
    series.resource.labels["revision_name"] = revision
    series.metric.labels.update(labels)
    for minute, value in points.items():
        point = series.points.add(value=value)
        point.interval.end_time.seconds = minute * 60
    return series


def gathered(*series: Any, code: str = "", label: str = LABEL) -> Points:
    """Return the points of series that were asked for from minute 0 to 9."""
    zero, nine = (datetime.fromtimestamp(minute * 60, UTC) for minute in (0, 9))
    points = Points(label, code, ("r", "idle"), zero, nine)
    for one in series:
        points.add(one)
    return points


ONE, TWO, NONE = (a_value(int64_value=count) for count in (1, 2, 0))


def test_codes_of_one_minute_come_together_and_zeros_are_no_points() -> None:
    points = gathered(
        a_series("r", {2: ONE, 1: ONE}, response_code_class="2xx"),
        a_series("r", {2: ONE, 3: NONE}, response_code_class="5xx"),
        a_series("idle", {2: NONE}, response_code_class="5xx"),
        code="response_code_class",
    )
    assert [list(found.values()) for found in points.readings.values()] == [
        [CodeCounts({"2xx": 1}), CodeCounts({"2xx": 1, "5xx": 1})]
    ]


def test_interpolated_counts_are_rounded() -> None:
    series = a_series("r", {1: a_value(double_value=1.6)}, response_code="200")
    points = gathered(series, code="response_code")
    assert list(points.readings["r"].values()) == [CodeCounts({"200": 2})]


def test_a_minute_on_two_kinds_of_resource_is_merged() -> None:
    other = a_series("r", {1: a_value(double_value=2.0)})
    other.resource.type = "generic_task"
    points = gathered(a_series("r", {1: a_value(double_value=1.0)}), other)
    assert list(points.readings["r"].values()) == [Number(1.5)]


def test_a_point_that_comes_twice_counts_once() -> None:
    series = a_series("r", {1: ONE, 2: TWO}, code="2xx")
    points = gathered(series, a_series("r", {1: ONE}, code="2xx"), code="code")
    assert list(points.readings["r"].values()) == [CodeCounts({"2xx": 1}), CodeCounts({"2xx": 2})]


def test_a_revision_or_a_minute_that_nobody_asked_for_is_left_out() -> None:
    points = gathered(
        a_series("r", {0: ONE, 1: ONE, 10: ONE, 2**40: ONE, -5: ONE}, code="2xx"),
        a_series("another", {1: ONE}, code="5xx"),
        code="code",
    )
    assert [list(found.values()) for found in points.readings.values()] == [
        [CodeCounts({"2xx": 1})]
    ]
    assert not points.unreadable


UNREADABLE = (
    a_series("r", {2: a_value(int64_value=-1)}, code="5xx"),
    a_series("r", {2: a_value(int64_value=COUNT_MOST + 1)}, code="5xx"),
    a_series("r", {2: a_value(double_value=NAN)}, code="5xx"),
    a_series("r", {2: a_value(string_value="9")}, code="5xx"),
    a_series("r", {2: a_value(bool_value=True)}, code="5xx"),
    a_series("r", {2: a_value()}, code="5xx"),
    a_series("r", {2: TWO}, code="2xx"),  # another value than the same point has
    a_series("", {2: ONE}, code="5xx"),
    a_series("idle", {2: a_value(string_value="")}, code="2xx"),
)


@pytest.mark.parametrize("series", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_minute_of_which_a_point_cannot_be_read_is_no_evidence_at_all(series: Any) -> None:
    points = gathered(a_series("r", {1: ONE, 2: ONE}, code="2xx"), series, code="code")
    assert [list(found.values()) for found in points.readings.values()] == [
        [CodeCounts({"2xx": 1})]
    ]
    assert points.unreadable


@pytest.mark.parametrize(
    ("start", "end", "nanos"), [(180, 120, 0), (120, 120, 0), (60, 90, 0), (60, 120, 5)]
)
def test_a_period_that_cannot_be_is_no_evidence(start: int, end: int, nanos: int) -> None:
    series = a_series("r", {2: ONE}, code="2xx")
    series.metric_kind = 2  # DELTA
    interval = series.points[0].interval
    interval.start_time.seconds, interval.end_time.seconds = start, end
    interval.end_time.nanos = nanos
    points = gathered(series, code="code")
    assert points.readings == {}
    assert points.unreadable
