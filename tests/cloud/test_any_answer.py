"""Whatever Cloud Monitoring answers: minutes that can be judged, or Unavailable; no false verdict.

Through Google's own client and the adapter. HYPOTHESIS_EXAMPLES=20000 tries more of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from google.cloud.monitoring_v3 import types
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cloud.clients import metric_client_on
from controller.cloud.monitoring import CloudMonitoring
from controller.engine.observation import ServiceName
from controller.gates import minutes as minutes_json
from controller.gates.evidence import (
    CodeCounts,
    Histogram,
    Latencies,
    Number,
    Query,
    Readings,
    Requests,
    minutes_of,
    query_of,
)
from controller.gates.judging import judge
from controller.gates.state import State, absorb
from controller.gates.state_json import from_json, to_json
from controller.gates.verdict import Fail, Pass
from controller.plan.model import CustomMetric
from controller.ports import Unavailable
from controller.sandbox.channel import InProcessChannel
from controller.sandbox.errors import Method
from tests.gates.builders import ERRORS, EVERY, P95, TERMS

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "100"))
NAME = ServiceName("demo", "us-central1", "ion-api")
CANDIDATE, STABLE, OTHER = "new", "old", "another"
START, LONG = datetime(2026, 1, 5, 9, 0, tzinfo=UTC), 20
END = START + LONG * timedelta(minutes=1)
SECONDS = int(START.timestamp())
SCORE = CustomMetric("custom.googleapis.com/score", aligner="ALIGN_MEAN")

_COUNTS = st.one_of(st.integers(0, 200), st.integers(-3, 3), st.just(2**63 - 1), st.just(-(2**63)))
_FLOATS = st.one_of(st.floats(0, 100), st.floats())
_LAYOUTS = st.one_of(
    st.builds(
        lambda scale, growth, finite: {
            "exponential_buckets": {
                "scale": scale, "growth_factor": growth, "num_finite_buckets": finite,
            }
        },
        st.one_of(st.just(10.0), _FLOATS),
        st.one_of(st.just(1.5), _FLOATS),
        st.one_of(st.integers(-2, 30), st.sampled_from((-(2**31), 2**31 - 1))),
    ),
    st.builds(
        lambda offset, width, finite: {
            "linear_buckets": {"offset": offset, "width": width, "num_finite_buckets": finite}
        },
        _FLOATS,
        _FLOATS,
        st.one_of(st.integers(-2, 30), st.just(2**31 - 1)),
    ),
    st.lists(_FLOATS, max_size=6).map(lambda bounds: {"explicit_buckets": {"bounds": bounds}}),
    st.just({}),
)  # fmt: skip
_VALUES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda count: {"int64_value": count}, _COUNTS),
    st.builds(lambda number: {"double_value": number}, _FLOATS),
    st.sampled_from(({"string_value": "9"}, {"bool_value": True}, {})),
    st.builds(
        lambda count, mean, layout, counts: {
            "distribution_value": {
                "count": count, "mean": mean, "bucket_options": layout, "bucket_counts": counts,
            }
        },
        _COUNTS,
        _FLOATS,
        _LAYOUTS,
        st.lists(_COUNTS, max_size=8),
    ),
)  # fmt: skip
_ENDS = st.one_of(
    st.integers(1, LONG).map(lambda minute: SECONDS + 60 * minute),
    st.integers(-2, LONG + 3).map(lambda minute: SECONDS + 30 * minute),
    st.sampled_from((-62_135_596_800, 0, 253_402_300_799)),
)
_POINTS = st.lists(st.tuples(_ENDS, st.integers(-60, 60), _VALUES), max_size=4)
_SERIES = st.tuples(
    st.sampled_from((CANDIDATE, STABLE, OTHER, "", None)),
    st.sampled_from(("2xx", "5xx", "", "\x1b[2J", None)),
    st.sampled_from(("cloud_run_revision", "generic_task")),
    st.integers(0, 3),
    _POINTS,
)


def a_series(revision: str | None, code: str | None, resource: str, kind: int, points: Any) -> Any:
    series = types.TimeSeries.pb()(metric_kind=kind)
    series.resource.type = resource
    if revision is not None:
        series.resource.labels["revision_name"] = revision
    if code is not None:
        series.metric.labels["response_code_class"] = code
    for end, long, value in points:
        point = series.points.add(value=value)
        point.interval.end_time.seconds = end
        if long:
            point.interval.start_time.seconds = end - long
    return series


def answering(pages: Sequence[Sequence[Any]]) -> CloudMonitoring:
    """Return an adapter whose every read is answered by these pages of series."""
    make = types.ListTimeSeriesResponse.pb()

    def answer(request: Any) -> Any:
        number = int(request.page_token or 0)
        token = str(number + 1) if number + 1 < len(pages) else ""
        return make(time_series=pages[number], next_page_token=token)

    method = Method(types.ListTimeSeriesRequest.pb(), answer)
    handlers = {"/google.monitoring.v3.MetricService/ListTimeSeries": method}
    return CloudMonitoring(metric_client_on(InProcessChannel(handlers), "rollout/test"))


def read(pages: Sequence[Sequence[Any]], query: Query) -> Readings:
    return answering(pages).read(NAME, query, (CANDIDATE, STABLE), START, END)


def check_what_was_read(readings: Readings) -> None:
    """Assert of readings what everything that judges them counts on."""
    assert set(readings) <= {CANDIDATE, STABLE}
    for series in readings.values():
        for end, value in series.items():
            assert START < end <= END
            assert not end.second
            match value:
                case CodeCounts(codes):
                    assert all(0 < count < 2**53 for count in codes.values())
                case Histogram(_, counts, mean):
                    assert all(0 < count < 2**53 for count in counts.values())
                    assert abs(mean) < 1e150
                case Number(number):
                    assert abs(number) < 1e150


def check_the_judging(readings: Readings) -> None:
    """Judge every gate by what was read; what is remembered and told must be readable again."""
    for gate in EVERY:
        state = State()
        for minute in minutes_of(readings, CANDIDATE, (STABLE,), START, END):
            state = absorb(gate, TERMS, state, minute, in_stage=True)
            told = json.loads(json.dumps(minutes_json.to_json(minute), allow_nan=False))
            assert minutes_json.from_json(told) == minute
        assert judge(gate, TERMS, state).reason
        assert from_json(json.loads(json.dumps(to_json(state)))) == state


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.lists(_SERIES, max_size=4), min_size=1, max_size=3),
    st.sampled_from((Requests(), Latencies(), SCORE)),
)
def test_any_answer_is_readings_that_can_be_judged_or_unavailable(
    pages: list[list[Any]], query: Query
) -> None:
    answer = [[a_series(*series) for series in page] for page in pages]
    try:
        readings = read(answer, query)
    except Unavailable as error:
        assert "cannot be read" in error.what  # noqa: PT017 another Unavailable is a fault
        return
    check_what_was_read(readings)
    check_the_judging(readings)


def honest(rng: Random, *, failing: float) -> list[Any]:
    """Return the series of a plain answer: minute by minute, both revisions, two classes."""
    return [
        a_series(
            revision,
            code,
            "cloud_run_revision",
            2,
            [
                (SECONDS + 60 * minute, 60, {"int64_value": round(share * rng.randint(80, 120))})
                for minute in range(LONG, 0, -1)
            ],
        )
        for revision, bad in ((CANDIDATE, failing), (STABLE, 0.0))
        for code, share in (("2xx", 1 - bad), ("5xx", bad))
    ]


def disturbed(rng: Random, series: list[Any]) -> list[list[Any]]:
    """Return the same answer cut into pages, out of order, with doubles and with what is foreign.

    What is foreign: another revision that fails all the time, minutes before and after.
    """
    foreign = honest(rng, failing=1.0)[:2]
    for one in foreign:
        one.resource.labels["revision_name"] = OTHER
    parts = [*foreign]
    for one in series:
        points = list(one.points) + rng.sample(list(one.points), 5)
        for minute in (-1, 0, LONG + 1, 10**6):
            outside = deepcopy(one.points[0])
            outside.interval.start_time.seconds = SECONDS + 60 * (minute - 1)
            outside.interval.end_time.seconds = SECONDS + 60 * minute
            points.append(outside)
        rng.shuffle(points)
        half = rng.randrange(len(points))
        for some in (points[:half], points[half:]):
            part = deepcopy(one)
            del part.points[:]
            part.points.extend(some)
            parts.append(part)
    rng.shuffle(parts)
    return [parts[:3], [], parts[3:]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("failing", [0.0, 0.5])
def test_doubles_disorder_and_foreign_series_change_nothing(seed: int, failing: float) -> None:
    rng = Random(seed)
    series = honest(rng, failing=failing)
    plain = read([series], Requests())
    assert read(disturbed(rng, series), Requests()) == plain
    assert len(plain[CANDIDATE]) == LONG


def verdict_of(pages: list[list[Any]]) -> object:
    state = State()
    for minute in minutes_of(read(pages, Requests()), CANDIDATE, (STABLE,), START, END):
        state = absorb(ERRORS, TERMS, state, minute, in_stage=True)
    return judge(ERRORS, TERMS, state)


def test_a_candidate_whose_failures_cannot_be_read_does_not_pass() -> None:
    series = honest(Random(1), failing=0.5)
    assert isinstance(verdict_of([series]), Fail)
    for point in series[1].points:  # the candidate's 5xx
        point.value.int64_value = -point.value.int64_value
    with pytest.raises(Unavailable, match="cannot be read: a count of -"):
        verdict_of([series])
    for point in list(series[1].points)[::2]:
        point.value.int64_value = -point.value.int64_value
    assert isinstance(verdict_of([series]), Fail)


def test_what_cannot_be_read_of_another_revision_is_nothing_to_us() -> None:
    foreign = a_series(OTHER, "5xx", "cloud_run_revision", 2, [(SECONDS + 60, 60, {})])
    assert isinstance(verdict_of([[foreign, *honest(Random(1), failing=0.0)]]), Pass)


def test_an_answer_without_an_end_is_given_up() -> None:
    class Endless(list[Any]):
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, at: Any) -> Any:
            return []

    with pytest.raises(Unavailable, match="more than 100 pages"):
        read(Endless(), Requests())


def test_latencies_of_no_known_bucket_pass_no_gate_and_fail_none() -> None:
    value = {"distribution_value": {"count": 99, "mean": 5.0}}
    points = [(SECONDS + 60 * minute, 60, value) for minute in range(1, LONG)]
    pages = [[a_series(CANDIDATE, None, "cloud_run_revision", 2, points)]]
    state = State()
    readings = read(pages, query_of(P95, exact_codes=False))
    for minute in minutes_of(readings, CANDIDATE, (STABLE,), START, END):
        state = absorb(P95, TERMS, state, minute, in_stage=True)
    assert not isinstance(judge(P95, TERMS, state), Pass | Fail)
