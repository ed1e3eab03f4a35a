"""A gate looked at every minute fails a candidate at its limit no more often than its level says.

Two thousand streams a gate type, fewer of whole gates; `make calibrate` runs many more of the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from benchmarks.gates import calibrate
from benchmarks.gates.calibrate import (
    IMPROBABLE,
    TYPES,
    WHOLE,
    GateType,
    WholeGate,
    chance_of,
    fails,
    fraction_of,
    wealths,
    whole_fails,
)
from controller.gates.kernel import FAIL, Wealth, increments, settled

STREAMS = 2_000
ROLLOUTS = 100  # a whole gate's minute costs some ten times a kernel's


@pytest.mark.parametrize("name", TYPES)
def test_a_gate_is_wrong_no_more_often_than_its_level(name: str) -> None:
    chunks = range(STREAMS // calibrate.CHUNK)
    failed = sum(calibrate.failed_of_chunk((name, chunk)) for chunk in chunks)
    assert chance_of(failed, STREAMS, TYPES[name].level) >= IMPROBABLE


@pytest.mark.parametrize("name", TYPES)
def test_the_wealth_that_is_looked_at_is_the_controllers(name: str) -> None:
    gate = TYPES[name]
    for seed in range(10):
        rng, wealth = random.Random(seed), Wealth()
        for minute, plain in enumerate(wealths(gate, random.Random(seed))):
            wealth = settled(gate.grid, wealth, gate.draw(rng, minute), fraction_of(minute))
            assert wealth.log_evidence == pytest.approx(math.log(plain), abs=1e-9)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_gate_rolls_back_no_good_candidate_more_often_than_its_level(name: str) -> None:
    rng = random.Random(name)
    failed = sum(whole_fails(WHOLE[name], rng) for _ in range(ROLLOUTS))
    assert chance_of(failed, ROLLOUTS, WHOLE[name].level) >= IMPROBABLE


@pytest.mark.parametrize("rates", [(0.06, 0.02), (0.05, 0.001)])
def test_a_whole_gate_finds_what_is_over_its_limit_and_worse(rates: tuple[float, float]) -> None:
    rng = random.Random(2)
    assert all(whole_fails(WholeGate(0.01, lambda _: rates), rng) for _ in range(20))


def rate_of(rate: float) -> Callable[[random.Random, int], tuple[float, ...]]:
    """Draw minutes of 60 requests that fail with `rate`, against a limit of 1%."""
    return lambda rng, _: increments(FAIL, calibrate.binomial(rng, 60, rate), 60, 0.01)


def test_the_check_finds_a_candidate_over_its_limit() -> None:
    rng = random.Random(1)
    gate = GateType(FAIL, 0.01, rate_of(0.015))
    failed = sum(fails(gate, rng) for _ in range(200))
    assert chance_of(failed, 200, gate.level) < IMPROBABLE


def test_a_dead_candidate_fails_at_once() -> None:
    assert fails(GateType(FAIL, 0.01, rate_of(1.0)), random.Random(1))


@pytest.mark.parametrize(
    ("failed", "streams", "level", "chance"),
    [(0, 10, 0.01, 1.0), (1, 10, 0.01, 1 - 0.99**10), (10, 10, 0.5, 0.5**10)],
)
def test_the_binomial_tail(failed: int, streams: int, level: float, chance: float) -> None:
    assert chance_of(failed, streams, level) == pytest.approx(chance, abs=1e-9)
