"""Points of Cloud Monitoring as our values."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.monitoring_v3 import types

from controller.cloud.points import Points, value_of
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
        (a_value(string_value="x"), None),
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


def a_series(revision: str, points: dict[int, Any], **labels: str) -> Any:
    series = SERIES()
    series.resource.labels["revision_name"] = revision
    series.metric.labels.update(labels)
    for minute, value in points.items():
        point = series.points.add(value=value)
        point.interval.end_time.seconds = minute * 60
    return series


def test_codes_of_one_minute_come_together_and_zeros_are_no_points() -> None:
    points = Points(LABEL, "response_code_class")
    one, none = a_value(int64_value=1), a_value(int64_value=0)
    points.add(a_series("r", {2: one, 1: one}, response_code_class="2xx"))
    points.add(a_series("r", {2: one, 3: none}, response_code_class="5xx"))
    points.add(a_series("idle", {2: none}, response_code_class="5xx"))
    assert [list(found.values()) for found in points.readings.values()] == [
        [CodeCounts({"2xx": 1}), CodeCounts({"2xx": 1, "5xx": 1})]
    ]


def test_interpolated_counts_are_rounded() -> None:
    points = Points(LABEL, "response_code")
    points.add(a_series("r", {1: a_value(double_value=1.6)}, response_code="200"))
    assert list(points.readings["r"].values()) == [CodeCounts({"200": 2})]


def test_a_minute_on_two_resources_is_merged() -> None:
    points = Points(LABEL)
    points.add(a_series("r", {1: a_value(double_value=1.0)}))
    points.add(a_series("r", {1: a_value(double_value=2.0)}))
    assert list(points.readings["r"].values()) == [Number(1.5)]


def test_a_series_without_the_revisions_label_is_left_out() -> None:
    points = Points("metric.labels.revision")
    points.add(a_series("r", {1: a_value(double_value=1.0)}))
    assert points.readings == {}
