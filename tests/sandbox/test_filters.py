"""The filter language: what is understood, and that nothing else is."""

from __future__ import annotations

import grpc
import pytest

from controller.sandbox.errors import RpcError
from controller.sandbox.filters import matches, parse, required

SERIES = {
    "metric.type": "run.googleapis.com/request_count",
    "resource.type": "cloud_run_revision",
    "metric.labels.response_code": "503",
    "metric.labels.response_code_class": "5xx",
    "resource.labels.revision_name": "web-00002-xyz",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        'metric.type = "run.googleapis.com/request_count"',
        'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"',
        'metric.type="run.googleapis.com/request_count" resource.type="cloud_run_revision"',
        'metric.label.response_code_class = "5xx"',
        'metric.labels.response_code != "200"',
        'metric.labels.response_code = one_of("500", "503")',
        "metric.labels.response_code = 503",
        'resource.label.revision_name = starts_with("web-")',
        'resource.labels.revision_name = ends_with("xyz")',
        'resource.labels.revision_name = has_substring("00002")',
        'metric.labels.response_code = monitoring.regex.full_match("5..")',
        'metric.labels.response_code != monitoring.regex.full_match("50")',
        'metric.labels.response_code = "200" OR metric.labels.response_code = "503"',
        'NOT (metric.labels.response_code = "200" OR metric.labels.response_code = "404")',
        'metric.labels.not_there != "x"',
        'metric.labels.not_there = ""',
    ],
)
def test_a_series_is_found_by(text: str) -> None:
    assert matches(parse(text), SERIES) is True


@pytest.mark.parametrize(
    "text",
    [
        'metric.type = "run.googleapis.com/request_latencies"',
        'metric.labels.response_code = monitoring.regex.full_match("50")',
        'metric.labels.response_code = "503" AND resource.type = "global"',
        'metric.labels.response_code != one_of("500", "503")',
        'NOT metric.labels.response_code = "503"',
        'metric.labels.not_there = "x"',
    ],
)
def test_a_series_is_not_found_by(text: str) -> None:
    assert matches(parse(text), SERIES) is False


@pytest.mark.parametrize(
    "text",
    [
        'revision = "web"',
        'metric.labels.response_code > "400"',
        'metric.labels.response_code = one_of("500"',
        'metric.labels.response_code = sounds_like("500")',
        'metric.labels.response_code = starts_with("a", "b")',
        'metric.labels.response_code = monitoring.regex.full_match("5(")',
        'metric.labels.response_code = "500" AND',
        'metric.labels.response_code = "500" )',
        'metric.labels.response_code = "500',
        "metric.labels.response_code ~ 5",
        "(" * 5000,
        "NOT " * 5000,
    ],
)
def test_what_is_not_understood_is_refused_and_never_ignored(text: str) -> None:
    with pytest.raises(RpcError) as refusal:
        parse(text)
    assert refusal.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.text.startswith("Field filter had an invalid value: ")


def test_quotes_are_escaped_with_a_backslash() -> None:
    condition = parse(r'metric.labels.note = "say \"no\""')
    assert matches(condition, {"metric.labels.note": 'say "no"'}) is True


def test_a_label_that_is_not_known_yet_decides_only_where_it_must() -> None:
    condition = parse('resource.labels.revision_name = "a" AND metric.labels.response_code = "200"')
    assert matches(condition, {"resource.labels.revision_name": "a"}, partial=True) is None
    assert matches(condition, {"resource.labels.revision_name": "b"}, partial=True) is False


def test_only_what_every_match_must_meet_is_required() -> None:
    both = parse('metric.type = "a" AND resource.type = "global"')
    either = parse('metric.type = "a" OR metric.type = "b"')
    assert [one.operands for one in required(both, "metric.type")] == [("a",)]
    assert required(either, "metric.type") == ()
