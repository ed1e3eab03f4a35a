"""Confidence sequences for a rate: intervals that hold at every look at once.

`lower` and `upper` come from the same mixtures that the gates bet with, so what is printed and
what is decided cannot contradict each other. Two-sided, for people: lower and upper at level/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from controller.gates.kernel import FAIL, PASS, one_shot

_HALVINGS = 60


def lower(hits: float, trials: float, level: float) -> float:
    """Return the bound (fraction) that the rate is above, wrong at any look with chance <= level.

    The largest rate whose FAIL mixture is >= 1/level; the mixture falls as the rate rises. It is 0
    where the hits prove nothing.
    """
    wanted = -math.log(level)
    return _boundary(lambda rate: one_shot(FAIL, hits, trials, rate) >= wanted, 0.0, 1.0)


@lru_cache(maxsize=4096)  # the same counts are told at many looks, and in many rollouts
def upper(hits: float, trials: float, level: float) -> float:
    """Return the bound (fraction) that the rate is below, wrong at any look with chance <= level.

    The smallest rate whose PASS mixture is >= 1/level; the mixture rises with the rate. It is 1
    where the trials prove nothing.
    """
    wanted = -math.log(level)
    return _boundary(lambda rate: one_shot(PASS, hits, trials, rate) >= wanted, 1.0, 0.0)


def beta_interval(
    hits: float, trials: float, level: float, a: float = 0.5, b: float = 0.5
) -> tuple[float, float]:
    """Return the two-sided sequence of a Beta(a, b) mixture (Robbins 1970), as fractions.

    { p : B(x+a, n-x+b) / (B(a,b) p^x (1-p)^(n-x)) < 1/level }. Wider above at small rates than
    `upper`; it is here to check the others against published values.
    """
    missed = trials - hits
    constant = _log_beta(hits + a, missed + b) - _log_beta(a, b) + math.log(level)

    def excluded(rate: float) -> bool:
        return constant >= _times_log(hits, rate) + _times_log(missed, 1 - rate)

    middle = hits / trials if trials else 0.5
    return _boundary(excluded, 0.0, middle), _boundary(excluded, 1.0, middle)


def _boundary(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Return the last excluded rate on the way in from `outside`; `outside` if none is."""
    if not excluded(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _times_log(count: float, rate: float) -> float:
    if not count:
        return 0.0
    return count * math.log(rate) if rate > 0 else -math.inf
