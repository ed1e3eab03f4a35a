"""The bets of a gate: reference values to six digits, and that none gains on average."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from controller.gates.kernel import (
    FAIL,
    FIRST,
    MARGIN,
    MINUTE,
    PAIRED,
    PASS,
    STAGE,
    Grid,
    Stakes,
    Wealth,
    increments,
    margin_increments,
    one_shot,
    pooled,
    settled,
    share_rate,
    tempered,
)

SIX = 6e-7  # the reference values are rounded to six digits


def looks(
    minutes: Sequence[tuple[float, float, float]],
    *,
    cap: float = math.inf,
    inflation: float = 1.0,
    stages: Sequence[int] = (),
) -> list[float]:
    """Return the log evidence after each minute (hits, trials, rate)."""
    wealth, found = Wealth(), []
    for index, (hits, trials, rate) in enumerate(minutes):
        fraction = FIRST if index == 0 else STAGE if index in stages else MINUTE
        gains = tempered(increments(FAIL, hits, trials, rate), inflation)
        wealth = settled(FAIL, wealth, gains, fraction, cap)
        found.append(wealth.log_evidence)
    return found


# ---- reference values ----


@pytest.mark.parametrize(
    ("hits", "trials", "limit", "expected"),
    [
        (5, 100, 0.01, 3.214659),
        (0, 500, 0.01, -4.447183),
        (30, 1000, 0.01, 11.816445),
        (3, 3, 0.01, 10.988074),
        (10, 100, 0.05, 0.845081),
        (2, 10, 0.01, 3.091261),
    ],
)
def test_the_fail_mixture_of_one_look(
    hits: int, trials: int, limit: float, expected: float
) -> None:
    assert one_shot(FAIL, hits, trials, limit) == pytest.approx(expected, abs=SIX)


@pytest.mark.parametrize(
    ("hits", "trials", "expected"),
    [(0, 500, 3.881558), (2, 1000, 3.833938), (0, 300, 2.174997), (40, 5000, -0.611587)],
)
def test_the_pass_mixture_of_one_look(hits: int, trials: int, expected: float) -> None:
    assert one_shot(PASS, hits, trials, 0.01) == pytest.approx(expected, abs=SIX)


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (math.inf, [-0.268363, -0.491654, 0.088726, 0.681813, 3.462666]),
        (2.3, [-0.268363, -0.491654, 0.086913, 0.679684, 2.640237]),
        (1.0, [-0.268363, -0.491654, -0.231047, 0.155973, 0.852349]),
    ],
)
def test_the_limit_gate_minute_by_minute(cap: float, expected: list[float]) -> None:
    minutes = [(x, n, 0.01) for x, n in [(1, 60), (0, 55), (3, 62), (2, 58), (4, 61)]]
    assert looks(minutes, cap=cap) == pytest.approx(expected, abs=SIX)


@pytest.mark.parametrize(
    ("ratio", "cap", "expected"),
    [
        (1.25, math.inf, [1.216289, 0.425786, 3.560788, 11.719996, 18.178738]),
        (1.25, 2.3, [1.216289, 0.425786, 2.282172, 4.539744, 6.830418]),
        (2, 1.5, [0.681364, 0.014248, 0.995846, 2.383983, 3.837464]),
    ],
)
def test_the_share_gate_minute_by_minute_over_two_stages(
    ratio: float, cap: float, expected: list[float]
) -> None:
    sides = [(2, 60, 3, 1140), (0, 58, 4, 1100), (3, 62, 2, 1150), (6, 120, 1, 1080)]
    minutes = [
        (x_c, x_c + x_s, share_rate(ratio, n_c, n_s))
        for x_c, n_c, x_s, n_s in [*sides, (5, 118, 2, 1085)]
    ]
    assert looks(minutes, cap=cap, stages=[3]) == pytest.approx(expected, abs=SIX)


def test_lone_failures_count_while_stable_has_none() -> None:
    minutes = [(1, 1, share_rate(1.25, 60, 1140))] * 4
    expected = [1.188189, 3.225140, 5.662774, 8.252804]
    assert looks(minutes) == pytest.approx(expected, abs=SIX)
    # Four digits of the same with the usual cap.
    assert looks(minutes, cap=2.3)[:3] == pytest.approx([1.097, 2.877, 4.964], abs=6e-4)


def test_the_tempered_share_of_slow_requests() -> None:
    minutes = [(9, 70, 0.095), (12, 80, 0.095), (15, 75, 0.1)]
    found = looks(minutes, cap=2.3, inflation=4)
    assert found == pytest.approx([-0.384091, -0.369543, -0.119344], abs=SIX)


def test_the_absolute_margin() -> None:
    first = margin_increments(6, 60, 3, 1140, 0.01)
    second = margin_increments(4, 58, 4, 1100, 0.01)
    both = [a + b for a, b in zip(first, second, strict=True)]
    assert both == pytest.approx([1.843622, 5.372597, 9.118628, 6.940363, -7.325841], abs=SIX)
    mixture = pooled([w + gain for w, gain in zip(MARGIN.log_weights, both, strict=True)])
    assert mixture == pytest.approx(7.840845, abs=SIX)


@pytest.mark.parametrize(
    ("candidate_alone", "stable_alone", "expected"),
    [(7, 0, 3.872656), (8, 0, 4.486984), (8, 1, 2.492310), (12, 2, 3.220661)],
)
def test_pairs_in_which_one_side_fails_alone(
    candidate_alone: int, stable_alone: int, expected: float
) -> None:
    pairs = candidate_alone + stable_alone
    assert one_shot(PAIRED, candidate_alone, pairs, 0.5) == pytest.approx(expected, abs=SIX)


def test_a_likelihood_ratio_is_walds() -> None:
    # Wald (1945), 1% against 3%: the odds are (.03/.97) / (.01/.99) times larger.
    grid = Grid((0.03 / 0.97 * 0.99 / 0.01,), (1.0,))
    (failure,), (success,) = increments(grid, 1, 1, 0.01), increments(grid, 0, 1, 0.01)
    assert failure == pytest.approx(1.098612, abs=SIX)
    assert success == pytest.approx(-0.020409, abs=SIX)


# ---- validity: no factor gains on average under the null ----


def binomial(x: int, n: int, p: float) -> float:
    return math.comb(n, x) * p**x * (1 - p) ** (n - x)


def mean_factor(p: float, alternative: int) -> float:
    """Return E[exp(increment)] of 40 requests failing with probability p, limit 5%."""
    return math.fsum(
        binomial(x, 40, p) * math.exp(increments(FAIL, x, 40, 0.05)[alternative]) for x in range(41)
    )


@pytest.mark.parametrize("alternative", range(6))
def test_at_the_limit_a_factor_has_mean_one(alternative: int) -> None:
    assert mean_factor(0.05, alternative) == pytest.approx(1, abs=1e-12)


def test_below_the_limit_a_factor_loses_on_average() -> None:
    found = [mean_factor(0.025, alternative) for alternative in (0, 1, 2)]
    assert found == pytest.approx([0.674292, 0.381402, 0.155548], abs=SIX)


def mean_share_factor(n_c: int, n_s: int, ratio: float, p_s: float) -> float:
    """Return E[exp(increment)] at odds 2 if the candidate fails exactly `ratio` times as often."""
    grid = Grid((2.0,), (1.0,))
    rate = share_rate(ratio, n_c, n_s)
    return math.fsum(
        binomial(x, n_c, ratio * p_s)
        * binomial(y, n_s, p_s)
        * math.exp(increments(grid, x, x + y, rate)[0])
        for x in range(n_c + 1)
        for y in range(n_s + 1)
    )


def test_a_share_factor_has_mean_at_most_one() -> None:
    assert mean_share_factor(3, 5, 1.25, 0.3) == pytest.approx(0.949075, abs=SIX)
    assert mean_share_factor(3, 50, 2, 0.01) == pytest.approx(0.999591, abs=SIX)


@pytest.mark.parametrize(("n_c", "n_s"), [(3, 20), (8, 8), (20, 3)])
@pytest.mark.parametrize("p_s", [0.0, 0.01, 0.2])
def test_a_margin_factor_has_mean_at_most_one(n_c: int, n_s: int, p_s: float) -> None:
    margin = 0.02
    for alternative in range(5):
        mean = math.fsum(
            binomial(x, n_c, p_s + margin)
            * binomial(y, n_s, p_s)
            * math.exp(margin_increments(x, n_c, y, n_s, margin)[alternative])
            for x in range(n_c + 1)
            for y in range(n_s + 1)
        )
        assert mean <= 1 + 1e-12


def test_a_margin_bets_nothing_without_the_other_side() -> None:
    assert margin_increments(3, 60, 0, 0, 0.01) == (0.0,) * 5
    assert margin_increments(0, 0, 3, 60, 0.01) == (0.0,) * 5


@pytest.mark.parametrize("grid", [FAIL, PASS, PAIRED, MARGIN])
def test_prior_weights_add_up_to_one(grid: Grid | Stakes) -> None:
    assert math.fsum(grid.weights) == pytest.approx(1)
