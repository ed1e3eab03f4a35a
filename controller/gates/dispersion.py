"""How noisy a service is by itself: estimated from stable's history before the first shift.

A gate's bets assume independent requests. Bursts that hit both sides cancel in the comparison;
those of one side do not, so what one minute may say is capped the more, the burstier stable is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

BATCH = 15  # minutes: catches storms up to about ten minutes, which batches of five do not
BATCHES_MIN = 16  # four hours: with less history the inflation counts as unknown

CAP_MAX, CAP_MIN, CAP_UNKNOWN = 2.3, 1.0, 1.5
_PSEUDO_BATCHES = 10  # pull the estimate to 1 where failures are rare
BLOCK_MAX = 5  # minutes


def inflation(batches: Sequence[tuple[int, int]]) -> float:
    """Return the variance of the failures ÷ that of independent requests, >= 1.

    batches: (requests, failures) of 15 minutes each. Pearson's chi-square over its degrees of
    freedom, both with ten pseudo-batches at 1.
    """
    used = [(n, x) for n, x in batches if n > 0]
    total = sum(n for n, _ in used)
    rate = sum(x for _, x in used) / total if total else 0.0
    if not 0 < rate < 1:
        return 1.0
    chi = sum((x - n * rate) ** 2 / (n * rate * (1 - rate)) for n, x in used)
    return max(1.0, (chi + _PSEUDO_BATCHES) / (max(len(used) - 1, 1) + _PSEUDO_BATCHES))


@lru_cache(maxsize=256)  # a gate's never changes, and every minute asks for it
def cap(inflation: float | None) -> float:
    """Return the most (in ln) that one minute may gain a bet; None: the inflation is unknown."""
    if inflation is None:
        return CAP_UNKNOWN
    return min(max(CAP_MAX / math.sqrt(inflation), CAP_MIN), CAP_MAX)


def tempering(
    inflation: float, mean_requests: float, candidate: float, stable: float, rate: float
) -> float:
    """Return what a minute's share increments are divided by (latency's noise is each side's own).

    mean_requests: stable's a minute in the history; candidate, stable: this minute's requests;
    rate: `kernel.share_rate`. A side with fewer requests than the history had is less inflated.
    """
    extra = inflation - 1

    def of_side(requests: float) -> float:
        return 1 + extra * (min(1.0, requests / mean_requests) if mean_requests else 1.0)

    return (1 - rate) * of_side(candidate) + rate * of_side(stable)


def autocorrelation(series: Sequence[float]) -> float:
    """Return the correlation of a value with the next one, -1..1; 0 where nothing varies."""
    if len(series) < 2:
        return 0.0
    mean = math.fsum(series) / len(series)
    gaps = [value - mean for value in series]
    spread = math.fsum(gap * gap for gap in gaps)
    if spread <= 0:
        return 0.0
    return math.fsum(a * b for a, b in pairwise(gaps)) / spread


def block_length(autocorrelation: float) -> int:
    """Return how many minutes are averaged into one value, 1..5, so that blocks hardly correlate.

    ceil((1 + r) / (2 (1 - r))), the variance inflation of a mean of correlated minutes, halved.
    """
    if autocorrelation >= 1:
        return BLOCK_MAX
    wanted = (1 + autocorrelation) / (2 * (1 - autocorrelation))
    return min(max(math.ceil(wanted - 1e-9), 1), BLOCK_MAX)
