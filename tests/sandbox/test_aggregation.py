"""Aligners and reducers against small cases worked out by hand."""

from __future__ import annotations

import pytest

from controller.sandbox.aggregation import Aggregation, aggregate
from controller.sandbox.errors import RpcError
from controller.sandbox.histogram import EMPTY, merge, with_value
from controller.sandbox.series import MINUTE, Descriptor, Point, Series, Value

COUNT = Descriptor("run.googleapis.com/request_count", "DELTA", "INT64")
LATENCY = Descriptor("run.googleapis.com/request_latencies", "DELTA", "DISTRIBUTION", "ms")
GAUGE = Descriptor("custom.googleapis.com/score", "GAUGE", "DOUBLE")
COUNTER = Descriptor("custom.googleapis.com/total", "CUMULATIVE", "INT64")
REVISION = "resource.labels.revision_name"


def a_series(revision: str, code: str, values: dict[int, Value], *, gauge: bool = False) -> Series:
    """Make a series of one-minute points; keys are the minutes at whose end they are."""
    points = tuple(
        Point((minute - (not gauge)) * MINUTE, minute * MINUTE, value)
        for minute, value in values.items()
    )
    resource = {"project_id": "demo", "revision_name": revision}
    return Series({"response_code": code}, "cloud_run_revision", resource, points)


def values_of(series: list[Series]) -> list[list[tuple[int, Value]]]:
    return [[(p.end // MINUTE, p.value) for p in one.points] for one in series]


def aligned(metric: Descriptor, aligner: str, values: dict[int, Value], period: int = 2) -> Value:
    """Return the one value of a series over the periods that end at minutes 6, 4, 2."""
    series = a_series("a", "200", values, gauge=metric.kind == "GAUGE")
    _, result = aggregate(
        metric, [series], Aggregation(aligner, period_us=period * MINUTE), 6 * MINUTE
    )
    assert len(result[0].points) == 1
    return result[0].points[0].value


def test_periods_are_counted_back_from_the_end_and_carry_their_end() -> None:
    series = a_series("a", "200", {1: 1, 2: 10, 3: 100, 4: 1000, 5: 10_000})
    how = Aggregation("ALIGN_DELTA", period_us=2 * MINUTE)
    metric, result = aggregate(COUNT, [series], how, 5 * MINUTE)
    assert values_of(result) == [[(1, 1), (3, 110), (5, 11_000)]]
    assert result[0].points[-1].start == 3 * MINUTE
    assert (metric.kind, metric.value_type) == ("DELTA", "INT64")


def test_a_period_without_data_has_no_point() -> None:
    series = a_series("a", "200", {1: 5, 6: 7})
    _, result = aggregate(COUNT, [series], Aggregation("ALIGN_DELTA", period_us=MINUTE), 6 * MINUTE)
    assert values_of(result) == [[(1, 5), (6, 7)]]


@pytest.mark.parametrize(
    ("metric", "aligner", "expected"),
    [
        (COUNT, "ALIGN_DELTA", 10),
        (COUNT, "ALIGN_SUM", 10),
        (COUNT, "ALIGN_RATE", 10 / 120),
        (COUNT, "ALIGN_COUNT", 2),
        (GAUGE, "ALIGN_MIN", 4),
        (GAUGE, "ALIGN_MAX", 6),
        (GAUGE, "ALIGN_MEAN", 5.0),
        (GAUGE, "ALIGN_STDDEV", 1.0),
        (GAUGE, "ALIGN_SUM", 10),
        (GAUGE, "ALIGN_NEXT_OLDER", 6),
    ],
)
def test_an_aligner_makes_one_value_of_4_and_6(
    metric: Descriptor, aligner: str, expected: float
) -> None:
    assert aligned(metric, aligner, {5: 4, 6: 6}) == pytest.approx(expected)


def test_next_older_carries_the_last_value_into_empty_periods() -> None:
    series = a_series("a", "200", {2: 0.5}, gauge=True)
    how = Aggregation("ALIGN_NEXT_OLDER", period_us=2 * MINUTE)
    _, result = aggregate(GAUGE, [series], how, 6 * MINUTE)
    assert values_of(result) == [[(2, 0.5), (4, 0.5), (6, 0.5)]]


def test_a_counter_aligns_to_its_increases_and_starts_anew_after_a_reset() -> None:
    points = (Point(0, MINUTE, 10), Point(0, 2 * MINUTE, 14), Point(2 * MINUTE, 3 * MINUTE, 3))
    series = Series({}, "global", {}, points)
    how = Aggregation("ALIGN_DELTA", period_us=MINUTE)
    _, result = aggregate(COUNTER, [series], how, 3 * MINUTE)
    assert values_of(result) == [[(2, 4), (3, 3)]]


def test_reducing_keeps_the_grouped_labels_and_sums_the_rest_away() -> None:
    series = [
        a_series("a", "200", {1: 90}),
        a_series("a", "500", {1: 10}),
        a_series("b", "200", {1: 7}),
    ]
    how = Aggregation("ALIGN_DELTA", "REDUCE_SUM", MINUTE, (REVISION,))
    _, result = aggregate(COUNT, series, how, MINUTE)
    assert values_of(result) == [[(1, 100)], [(1, 7)]]
    assert result[0].metric_labels == {}
    assert result[0].resource_labels == {"project_id": "demo", "revision_name": "a"}


def test_without_group_by_everything_becomes_one_series() -> None:
    series = [a_series("a", "200", {1: 1, 2: 2}), a_series("b", "200", {2: 3})]
    how = Aggregation("ALIGN_DELTA", "REDUCE_SUM", MINUTE)
    _, result = aggregate(COUNT, series, how, 2 * MINUTE)
    assert values_of(result) == [[(1, 1), (2, 5)]]


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        ("REDUCE_MEAN", 20.0),
        ("REDUCE_MIN", 10),
        ("REDUCE_MAX", 30),
        ("REDUCE_COUNT", 3),
        ("REDUCE_PERCENTILE_50", 20),
        ("REDUCE_STDDEV", (200 / 3) ** 0.5),
    ],
)
def test_a_reducer_makes_one_value_of_10_20_and_30(reducer: str, expected: float) -> None:
    series = [
        a_series(name, "200", {1: value}) for name, value in (("a", 10), ("b", 20), ("c", 30))
    ]
    how = Aggregation("ALIGN_DELTA", reducer, MINUTE)
    _, result = aggregate(COUNT, series, how, MINUTE)
    assert result[0].points[0].value == pytest.approx(expected)


def test_percentiles_of_a_group_are_of_the_merged_histogram() -> None:
    fast, slow = EMPTY, EMPTY
    for _ in range(95):
        fast = with_value(fast, 11.5)
    for _ in range(5):
        slow = with_value(slow, 1e4)
    series = [a_series("a", "200", {1: fast}), a_series("a", "500", {1: slow})]
    how = Aggregation("ALIGN_DELTA", "REDUCE_PERCENTILE_95", MINUTE, (REVISION,))
    metric, result = aggregate(LATENCY, series, how, MINUTE)
    assert result[0].points[0].value == pytest.approx(12.1)
    assert (metric.value_type, metric.unit) == ("DOUBLE", "ms")


def test_a_distribution_aligns_to_one_distribution_of_the_period() -> None:
    one, two = with_value(EMPTY, 20.0), with_value(EMPTY, 40.0)
    assert aligned(LATENCY, "ALIGN_DELTA", {5: one, 6: two}) == merge([one, two])
    assert aligned(LATENCY, "ALIGN_PERCENTILE_50", {5: one, 6: one}) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    ("metric", "aligner", "kind_and_type"),
    [
        (LATENCY, "ALIGN_MAX", "kind DELTA and value type DISTRIBUTION"),
        (LATENCY, "ALIGN_MEAN", "kind DELTA and value type DISTRIBUTION"),
        (LATENCY, "ALIGN_RATE", "kind DELTA and value type DISTRIBUTION"),
        (COUNT, "ALIGN_PERCENTILE_95", "kind DELTA and value type INT64"),
        (COUNT, "ALIGN_NEXT_OLDER", "kind DELTA and value type INT64"),
        (GAUGE, "ALIGN_DELTA", "kind GAUGE and value type DOUBLE"),
        (GAUGE, "ALIGN_RATE", "kind GAUGE and value type DOUBLE"),
        (COUNTER, "ALIGN_SUM", "kind CUMULATIVE and value type INT64"),
    ],
)
def test_an_aligner_that_does_not_fit_is_refused_even_where_there_is_no_data(
    metric: Descriptor, aligner: str, kind_and_type: str
) -> None:
    with pytest.raises(RpcError) as refusal:
        aggregate(metric, (), Aggregation(aligner, period_us=MINUTE), 0)
    assert refusal.value.text == (
        f'Field aggregation.perSeriesAligner had an invalid value of "{aligner}": '
        f"The aligner cannot be applied to metrics with {kind_and_type}."
    )


def test_a_reducer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RpcError, match="reducer cannot be applied"):
        aggregate(LATENCY, (), Aggregation("ALIGN_DELTA", "REDUCE_MAX", MINUTE), 0)
