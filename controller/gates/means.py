"""Increments for means, by betting on the value itself.

A minute's mean is one value, however many samples it has: they share a cause. The bets are those
of Waudby-Smith & Ramdas (2024) with a grid of stakes instead of a running estimate.
Every factor is >= 1 - K > 0 and has mean <= 1 under its null, given the past, whatever the
variance. The increments go into `kernel.settled` with MEANS; they need no cap. Where minutes
correlate, hand in the mean of a block of them (`dispersion.block_length`).
"""

from __future__ import annotations

import math

from controller.gates.kernel import Stakes

# What part of the wealth a value at the far end of its range can lose.
MEANS = Stakes((0.1, 0.25, 0.5, 0.9), (0.25, 0.25, 0.25, 0.25))

BLOCKS_MIN = 12  # the asymptotic bound is not to be trusted with fewer
_TUNING = 0.05  # of the asymptotic bound: it is tightest at about 140 blocks
_EVEN = 0.5


def bounded_increments(value: float, floor: float) -> tuple[float, ...]:
    """Return ln(1 + K/(1-floor) (floor - value)) a stake; null: the mean is >= floor.

    value: a minute's mean in 0..1 (map another range to it first); floor: 0 <= floor < 1. For a
    ceiling hand in 1 - value and 1 - ceiling. Raises ValueError outside of these.
    """
    if not 0 <= value <= 1 or not 0 <= floor < 1:
        raise ValueError(f"not a mean in 0..1 with a floor below 1: {value}, {floor}")
    return _bets((floor - value) / (1 - floor))


def paired_increments(difference: float, margin: float) -> tuple[float, ...]:
    """Return ln(1 + K/(1+margin) (difference - margin)) a stake; null: mean difference <= margin.

    difference: stable's mean minus the candidate's in one minute, -1..1 (both in 0..1), so that
    what moves both cancels; margin > -1. Raises ValueError outside of these.
    """
    if not -1 <= difference <= 1 or not -1 < margin <= 1:
        raise ValueError(f"not a difference in -1..1 with a margin: {difference}, {margin}")
    return _bets((difference - margin) / (1 + margin))


def nonnegative_increments(value: float, ceiling: float) -> tuple[float, ...]:
    """Return ln(1 + K (value/ceiling - 1)) a stake; null: the mean is <= ceiling.

    value >= 0 without an upper bound (ceiling > 0, the same unit): the factor is >= 1-K and its
    mean is <= 1 under the null by linearity alone. Raises ValueError outside of these.
    """
    if not 0 <= value < math.inf or not 0 < ceiling < math.inf:
        raise ValueError(f"not a value >= 0 with a ceiling above 0: {value}, {ceiling}")
    return _bets(value / ceiling - 1)


def share_increments(candidate: float, stable: float, ratio: float) -> tuple[float, ...]:
    """Return the increments of c/(c + ratio s) against a mean share of at most 1/2.

    candidate, stable: the same minute's means, >= 0, unbounded; ratio > 0. This is the robust form
    of "the candidate's mean is at most ratio times stable's": one wild minute moves a share by at
    most 1/2. The null it tests exactly is that of the SHARE; the null of the means implies it only
    while stable's minutes are no noisier than the candidate's (the share is concave in c, convex
    in s: noise of s alone lifts its mean by an eighth of the squared relative deviation). Ratio
    exactly met, 150 minutes, level 1 %: relative deviations of stable .3 and candidate .07 fail
    .2 % of the time, .5 and .1 18 %; means of five minutes 0. Two zeros bet nothing.
    Raises ValueError for negative or infinite values.
    """
    if not (0 <= candidate < math.inf and 0 <= stable < math.inf and 0 < ratio < math.inf):
        raise ValueError(f"not two means >= 0 and a ratio: {candidate}, {stable}, {ratio}")
    scaled = ratio * stable
    total = candidate + scaled
    return _bets((candidate / total - _EVEN) / _EVEN if total else 0.0)


def improvement_bound(blocks: int, mean: float, variance: float, level: float = 0.05) -> float:
    """Return the upper bound of the mean of d, valid at every look as the blocks grow many.

    d: ln(candidate's mean / stable's) - ln(1 - improvement) of a block of 15 minutes; mean,
    variance: of the blocks' d. The improvement is proven while the bound is below 0. Infinite with
    fewer than 12 blocks. One-sided asymptotic confidence sequence, Waudby-Smith, Arbour, Sinha,
    Kennedy & Ramdas (2021): only approximate, so it may promote and never rolls back.
    """
    if blocks < BLOCKS_MIN:
        return math.inf
    grown = blocks * _TUNING + 1
    spread = 2 * grown / (blocks**2 * _TUNING) * math.log1p(math.sqrt(grown) / (2 * level))
    return mean + math.sqrt(variance * spread)


def _bets(gain: float) -> tuple[float, ...]:
    """Return ln(1 + K gain) a stake; gain >= -1 is what a stake of all the wealth would earn."""
    return tuple([math.log1p(stake * gain) for stake in MEANS.stakes])
