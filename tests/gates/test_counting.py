"""A metric as so many bad of so many: what is counted, and where a limit lies inside a bucket."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.gates.counting import (
    accused,
    allowed_share,
    doubted,
    edge_at_or_above,
    is_rate,
    percentile_of_gate,
)
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Number
from controller.plan.model import CustomMetric, Gate, Limits, ResponseRate
from tests.gates.builders import ALONE, ERRORS, FASTER, MEAN, P95, REQUESTS, SCORE, SUCCESS

BOUNDS = Explicit((100.0, 200.0, 300.0))
ONE_EACH = Histogram(BOUNDS, {0: 1, 1: 10, 2: 100, 3: 1000}, 250.0)
GOOD_P10 = Gate("p10", CustomMetric("c/x", percentile=90), Limits(minimum=150, roll_back=100), None)


def test_an_error_rate_counts_failures_and_a_success_rate_all_but_successes() -> None:
    seen = CodeCounts({"2xx": 90, "3xx": 4, "4xx": 3, "5xx": 2, "503": 1})
    assert accused(ERRORS, seen, 0.02) == (3, 100)
    assert accused(SUCCESS, seen, 0.90) == (6, 100)
    assert doubted(SUCCESS, seen, 0.90) == (6, 100)  # no request is doubtful


def test_an_exact_code_belongs_to_its_class_and_not_the_other_way_round() -> None:
    only_429 = replace(ERRORS, metric=ResponseRate(("429",), counts_failures=True))
    assert accused(only_429, CodeCounts({"200": 95, "429": 5}), 0.02) == (5, 100)
    assert accused(only_429, CodeCounts({"2xx": 95, "4xx": 5}), 0.02) == (0, 100)


@pytest.mark.parametrize(
    ("limit", "surely", "perhaps"),
    [
        (150.0, 1100, 1110),  # inside 100..200: those ten are doubtful
        (200.0, 1100, 1100),  # on an edge nothing is
        (100.0, 1110, 1110),
        (50.0, 1110, 1111),
        (300.0, 1000, 1000),
        (5000.0, 0, 1000),  # beyond the last edge: none of them surely
    ],
)
def test_a_limit_inside_a_bucket_makes_only_that_bucket_doubtful(
    limit: float, surely: int, perhaps: int
) -> None:
    assert accused(P95, ONE_EACH, limit) == (surely, 1111)
    assert doubted(P95, ONE_EACH, limit) == (perhaps, 1111)


@pytest.mark.parametrize(
    ("limit", "surely", "perhaps"),
    [(150.0, 1, 11), (200.0, 11, 11), (50.0, 0, 1), (400.0, 111, 1111)],
)
def test_where_big_values_are_good_the_bad_ones_lie_below(
    limit: float, surely: int, perhaps: int
) -> None:
    assert accused(GOOD_P10, ONE_EACH, limit) == (surely, 1111)
    assert doubted(GOOD_P10, ONE_EACH, limit) == (perhaps, 1111)


def test_the_share_allowed_follows_from_limit_or_percentile() -> None:
    assert allowed_share(ERRORS, 0.02) == 0.02
    assert allowed_share(SUCCESS, 0.90) == pytest.approx(0.10)
    assert allowed_share(P95, 350) == pytest.approx(0.05)
    assert allowed_share(GOOD_P10, 100) == pytest.approx(0.90)


def test_what_is_tested_as_a_rate_and_what_as_a_mean() -> None:
    assert all(is_rate(gate) for gate in (ERRORS, ALONE, SUCCESS, P95, GOOD_P10))
    assert not any(is_rate(gate) for gate in (SCORE, MEAN, FASTER, REQUESTS))
    assert percentile_of_gate(P95) == 95
    assert percentile_of_gate(MEAN) is None
    assert percentile_of_gate(ERRORS) is None


def test_a_value_of_another_kind_is_no_request() -> None:
    assert accused(ERRORS, Number(0.5), 0.02) == (0, 0)
    assert accused(ERRORS, ONE_EACH, 0.02) == (0, 0)
    assert accused(P95, CodeCounts({"5xx": 9}), 350) == (0, 0)


def test_an_edge_is_never_below_what_is_wanted() -> None:
    assert edge_at_or_above(ONE_EACH, 150.0) == 200.0
    assert edge_at_or_above(ONE_EACH, 200.0) == 200.0
    assert edge_at_or_above(ONE_EACH, 301.0) is None
