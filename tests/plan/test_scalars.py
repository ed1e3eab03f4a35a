from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan.model import CustomMetric, Latency, RequestCount, ResponseRate
from controller.plan.scalars import (
    Unreadable,
    duration_text,
    latency_text,
    parse_bool,
    parse_count,
    parse_duration,
    parse_latency,
    parse_number,
    parse_percentile,
    parse_rate,
    parse_weight,
    rate_text,
    value_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1d12h30m", 131_400), ("2w", 1_209_600), ("0s", 0), ("90s", 90)],
)
def test_a_duration_is_the_sum_of_its_units(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "-5m", "5m5m", "5m1h", "1.5h", "1mo", "\uff15m", "1 h", "1H", "1:30", "1e3s"]
)
def test_a_duration_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_duration(text)


@given(st.integers(0, 10**8))
def test_a_duration_written_is_read_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("hours", "text"), [(72, "3d"), (36, "1d12h"), (0.5, "30m"), (0, "0s"), (-2, "-2h")]
)
def test_a_duration_is_written_from_big_to_small(hours: float, text: str) -> None:
    assert duration_text(timedelta(hours=hours)) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5%", 0.05), ("0.05", 0.05), ("1%", 0.01), ("1.5%", 0.015), ("100%", 1.0), ("0", 0.0)],
)
def test_a_rate_is_a_percent_or_a_fraction(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["1", "5", "1.0", "100"])
def test_a_bare_one_or_more_is_asked_about(text: str) -> None:
    with pytest.raises(Unreadable, match="what"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "latency_ms"), [("15s", 15_000), ("250ms", 250), ("1.5s", 1500), ("1m", 60_000)]
)
def test_a_latency_is_read_as_milliseconds(text: str, latency_ms: float) -> None:
    assert parse_latency(text) == latency_ms


Parse = Callable[[str], object]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_latency, "15"),
        (parse_latency, "0s"),
        (parse_latency, "2h"),
        (parse_rate, "101%"),
        (parse_rate, "-1%"),
        (parse_rate, "1e-2"),
        (parse_rate, "nan"),
        (parse_weight, "0%"),
        (parse_weight, "101%"),
        (parse_weight, "5"),
        (parse_weight, "5.0%"),
        (parse_weight, "\u0665%"),
        (parse_number, "inf"),
        (parse_number, "0x1F"),
        (parse_number, "1_000"),
        (parse_number, "5%"),
        (parse_count, "0"),
        (parse_count, "1.5"),
        (parse_percentile, "49"),
        (parse_percentile, "99.95"),
        (parse_percentile, "p95"),
        (parse_bool, "yes"),
        (parse_bool, "True"),
    ],
)
def test_what_is_no_value_of_its_place_is_refused_with_a_mend(parse: Parse, text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        parse(text)
    assert refused.value.mend


def test_a_value_is_written_in_the_unit_of_its_metric() -> None:
    assert value_text(ResponseRate(("5xx",), counts_failures=True), 0.041) == "4.1%"
    assert value_text(Latency(95), 15_000.0) == "15s"
    assert value_text(RequestCount(), 100.0) == "100"
    assert value_text(CustomMetric("a.b/c"), 0.75) == "0.75"


def test_rates_and_latencies_are_written_as_a_plan_would() -> None:
    assert [rate_text(rate) for rate in (0.0, 0.01, 0.015, 1.0, 1 / 3)] == [
        "0%",
        "1%",
        "1.5%",
        "100%",
        "33.333%",
    ]
    assert [latency_text(ms) for ms in (0.5, 250, 999.96, 1500, 15_000)] == [
        "0.5ms",
        "250ms",
        "1000ms",
        "1.5s",
        "15s",
    ]
