"""Is the candidate's mean better than stable's, by how much? A condition to advance.

A mean without an upper bound allows no exact test. By quarter hours (of the clock) the logarithm
of the two means' ratio is near enough to normal for an asymptotic confidence sequence
(Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021); docs/gates.md tells how near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.gates.means import improvement_bound
from controller.plan.model import Gate

QUARTER = timedelta(minutes=15)
BLOCKS_LEAST = 12


@dataclass(frozen=True, slots=True)
class Trend:
    """blocks: whole quarter hours; mean and squares (sum of squared deviations) of their log ratio.

    until: end of the quarter under way; the sums are its weighted sums and weights so far.
    """

    blocks: int = 0
    mean: float = 0.0
    squares: float = 0.0
    until: datetime | None = None
    mine: float = 0.0
    of_mine: int = 0
    theirs: float = 0.0
    of_theirs: int = 0


def with_minute(
    gate: Gate,
    trend: Trend,
    end: datetime,
    mine: float,
    theirs: float | None,
    weights: tuple[int, int],
) -> Trend:
    """Return the trend with one more minute: both sides' means and numbers of observations."""
    quarter = _quarter_end(end)
    if trend.until is not None and trend.until != quarter:
        trend = _closed(gate, trend)
    trend = replace(
        trend,
        until=quarter,
        mine=trend.mine + mine * weights[0],
        of_mine=trend.of_mine + weights[0],
    )
    if theirs is None:
        return trend
    return replace(
        trend, theirs=trend.theirs + theirs * weights[1], of_theirs=trend.of_theirs + weights[1]
    )


def _quarter_end(end: datetime) -> datetime:
    start = (end - timedelta(minutes=1)).replace(second=0, microsecond=0)
    return start - timedelta(minutes=start.minute % 15) + QUARTER


def _closed(gate: Gate, trend: Trend) -> Trend:
    """Take the quarter under way into the mean and variance (Welford)."""
    empty = replace(trend, until=None, mine=0.0, of_mine=0, theirs=0.0, of_theirs=0)
    if not trend.of_mine or not trend.of_theirs or trend.mine <= 0 or trend.theirs <= 0:
        return empty
    ratio = math.log(trend.mine / trend.of_mine) - math.log(trend.theirs / trend.of_theirs)
    if not gate.limits.lower_is_better:
        ratio = -ratio
    blocks = trend.blocks + 1
    off = ratio - trend.mean
    mean = trend.mean + off / blocks
    return replace(empty, blocks=blocks, mean=mean, squares=trend.squares + off * (ratio - mean))


def gain(gate: Gate, trend: Trend) -> float | None:
    """Return by which share the candidate is better so far (0.2: a fifth), None: no quarter yet."""
    if not trend.blocks:
        return None
    return 1 - math.exp(trend.mean) if gate.limits.lower_is_better else math.exp(-trend.mean) - 1


def is_proved(gate: Gate, trend: Trend, better_by: float) -> bool:
    """Tell whether the candidate is better by at least `better_by` (share), at the 5% level."""
    if trend.blocks < BLOCKS_LEAST:
        return False
    claim = math.log(1 - better_by) if gate.limits.lower_is_better else -math.log(1 + better_by)
    variance = trend.squares / trend.blocks
    return improvement_bound(trend.blocks, trend.mean - claim, variance) < 0
