"""A plan tried on a service's own past: split at random, as it is and with faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from controller.engine.certificate import (
    AS_IT_IS,
    BEFORE,
    FAULTS,
    Minutes,
    Tried,
    at_most,
    drawn,
    faults_of,
    length_of,
    room_for,
    summary,
    tried,
)
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Latencies, Requests, Value
from tests.engine.builders import MINUTE, PLAN, T0

SLOWER = FAULTS[-1]
X20 = FAULTS[2]


def past(minutes: int, failing: int = 1) -> Minutes:
    """Return minutes of 200 requests, `failing` of them failed, a tenth of them slow."""
    counts: dict[datetime, Value] = {}
    latencies: dict[datetime, Value] = {}
    layout = Explicit((100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0))
    for number in range(minutes):
        end = T0 + MINUTE * number
        counts[end] = CodeCounts({"2xx": 200 - failing, "5xx": failing})
        latencies[end] = Histogram(layout, {1: 180, 3: 20}, 200.0)
    return {Requests(): counts, Latencies(): latencies}


def test_a_candidate_that_is_stable_itself_is_not_rolled_back() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    found = [tried(PLAN, minutes, AS_IT_IS, Random(seed)) for seed in range(6)]
    assert not any(one.verdict == "fail" for one in found)
    assert all(one.failed == 0 for one in found)


def test_a_fault_is_caught_and_its_failed_requests_are_counted() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    found = [tried(PLAN, minutes, X20, Random(seed)) for seed in range(6)]
    assert all(one.gate == "errors" for one in found)
    assert all(one.minute is not None and one.minute < 60 for one in found)
    assert all(0 < one.failed < 600 for one in found)


def test_a_slower_candidate_is_caught_by_its_latency() -> None:
    plan = replace(PLAN, gates=PLAN.gates[1:])
    minutes = past(BEFORE + length_of(PLAN) + 30)
    tenfold = replace(SLOWER, pace=10.0)
    assert tried(plan, minutes, tenfold, Random(1)).gate == "latency"


def test_the_same_seed_gives_the_same_rollout() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    assert tried(PLAN, minutes, X20, Random(7)) == tried(PLAN, minutes, X20, Random(7))


def test_a_past_shorter_than_the_plan_and_a_day_has_no_room() -> None:
    assert not room_for(PLAN, past(BEFORE + length_of(PLAN) - 10))
    assert not room_for(PLAN, {})
    with pytest.raises(ValueError, match="shorter than the plan"):
        tried(PLAN, past(100), AS_IT_IS, Random(1))
    room = room_for(PLAN, past(BEFORE + length_of(PLAN) + 31))
    assert room[1] - room[0] == timedelta(minutes=30)


def test_only_faults_that_some_gate_measures_are_tried() -> None:
    assert faults_of(PLAN) == (AS_IT_IS, *FAULTS)
    assert SLOWER not in faults_of(replace(PLAN, gates=PLAN.gates[:1]))


@pytest.mark.parametrize(("count", "share"), [(40, 0.1), (5000, 0.1), (5000, 0.9)])
def test_a_draw_takes_its_share(count: int, share: float) -> None:
    rng = Random(1)
    mean = sum(drawn(rng, count, share) for _ in range(400)) / 400
    assert mean == pytest.approx(count * share, rel=0.05)
    assert drawn(rng, count, 1.0) == count


def test_bounds_and_medians_are_those_of_the_tables() -> None:
    assert at_most(0, 240) == pytest.approx(0.0124, abs=2e-4)  # 1 - 0.05 ** (1 / 240)
    assert at_most(1, 20) == pytest.approx(0.2161, abs=2e-4)  # Clopper & Pearson
    many = [Tried("f", "fail", "g", minute, minute) for minute in (3, 9, 30)]
    assert summary(many) == (3, 3, 9, 14.0)
    assert summary([Tried("f", "pass", "", None, 5)]) == (1, 0, None, 5.0)
