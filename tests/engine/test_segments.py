"""Weights read from request counts: the plan's nearest, and a quiet minute is no shift."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from controller.engine.segments import weights_of

PLAN = (5, 10, 25, 50, 100)


def drawn(rng: Random, requests: int, weight: int) -> tuple[int, int]:
    mine = sum(rng.random() * 100 < weight for _ in range(requests))
    return mine, requests - mine


def test_a_rollout_is_read_as_it_went() -> None:
    rng = Random(1)
    went = [w for w in (0, *PLAN) for _ in range(30)]
    assert list(weights_of(PLAN, [drawn(rng, 600, w) for w in went])) == went


def test_a_step_back_and_the_end_at_stable_are_seen() -> None:
    rng = Random(2)
    went = [5] * 20 + [10] * 20 + [5] * 20 + [0] * 20
    assert list(weights_of(PLAN, [drawn(rng, 600, w) for w in went])) == went


def test_at_one_request_a_minute_a_minute_without_the_candidate_is_no_shift() -> None:
    rng = Random(3)
    found = weights_of(PLAN, [drawn(rng, 1, 10) for _ in range(400)])
    assert set(found) <= {5, 10}
    assert sum(a != b for a, b in pairwise(found)) <= 1


def test_a_weight_between_two_of_the_plan_is_the_nearest() -> None:
    assert set(weights_of(PLAN, [(22, 78)] * 30)) == {25}
    assert set(weights_of(PLAN, [(7, 93)] * 30)) <= {5, 10}


def test_stray_requests_are_no_rollout() -> None:
    assert set(weights_of(PLAN, [(0, 600)] * 50 + [(1, 600)] + [(0, 600)] * 50)) == {0}


def test_no_minutes_have_no_weights() -> None:
    assert weights_of(PLAN, []) == ()
