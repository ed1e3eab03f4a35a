"""The e-process behind every gate: wealth that bets against "the candidate is within its limit".

A minute is a bet. If the null hypothesis holds, no bet gains on average, whatever the traffic and
however the rate moves, so the wealth (it starts at 1) reaches 1/level with probability <= level at
ANY time (Ville 1939): looking every minute costs nothing. Everything is in natural logarithms.

Part of the wealth stays in cash and flows into the bets slowly (a fixed-share schedule, Herbster &
Warmuth 1998), so that a release which turns bad after hours is not forgiven for its past.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# What part of the cash is invested: at the first update of a rollout, at the first of a later
# stage, at any other.
FIRST, STAGE, MINUTE = 0.5, 0.25, 1 / 120

_NOTHING = -math.inf  # the logarithm of a bet in which there is nothing

# The margin's bets stay away from losing everything when stable has most of the failures.
_STAKE_MAX = 0.9

_log, _log1p, _exp = math.log, math.log1p, math.exp


class Prior(Protocol):
    """What `settled` needs of a grid: the logarithms of the alternatives' prior weights."""

    @property
    def log_weights(self) -> tuple[float, ...]:
        """Return ln w, one an alternative."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Alternatives "the odds are g times what the null says", and their prior weights (sum 1)."""

    odds: tuple[float, ...]
    weights: tuple[float, ...]
    log_weights: tuple[float, ...] = field(init=False, repr=False, compare=False)
    # (ln g, g - 1) an alternative: what `increments` runs over
    terms: tuple[tuple[float, float], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_weights", _logs(self.weights))
        object.__setattr__(self, "terms", tuple((math.log(g), g - 1) for g in self.odds))


@dataclass(frozen=True, slots=True)
class Stakes:
    """Bets that are no odds (shares of the wealth that may be lost), with their prior weights."""

    stakes: tuple[float, ...]
    weights: tuple[float, ...]
    log_weights: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_weights", _logs(self.weights))


@dataclass(frozen=True, slots=True)
class Wealth:
    """Natural logarithms of the cash and of each bet; no bets: nothing has been invested yet.

    log_evidence: ln(cash + bets), computed once: a gate fails when it reaches ln(1/level).
    """

    cash: float = 0.0
    bets: tuple[float, ...] = ()
    log_evidence: float = 0.0


def wealth_of(cash: float, bets: tuple[float, ...]) -> Wealth:
    """Return the wealth in cash and bets, with their sum."""
    return Wealth(cash, bets, pooled((cash, *bets)))


def _logs(weights: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.log(w) for w in weights)


# Evidence that a rate is above the null's; the far points react to a dead candidate.
FAIL = Grid((1.4, 2, 3, 6, 20, 500), (0.08, 0.12, 0.25, 0.25, 0.20, 0.10))
# Evidence that a rate is below the null's.
PASS = Grid((1 / 1.3, 1 / 1.7, 1 / 2.5, 1 / 5, 1 / 1000), (0.15, 0.20, 0.25, 0.20, 0.20))
# Pairs of identical requests (McNemar 1947): few, so the points are far from 1.
PAIRED = Grid((1.5, 3, 9, 99), (0.2, 0.3, 0.3, 0.2))
# Candidate against stable plus an absolute margin.
MARGIN = Stakes((0.25, 1, 3, 10, 50), (0.15, 0.25, 0.25, 0.20, 0.15))


def increments(grid: Grid, hits: float, trials: float, rate: float) -> tuple[float, ...]:
    """Return ln(likelihood ratio) of `hits` in `trials`, one an alternative of the grid.

    rate: the hit probability under the null, 0..1. Each factor exp(increment) has mean <= 1 for
    every true rate on the null's side (FAIL: <= rate, PASS: >= rate).
    """
    return tuple([hits * log_g - trials * _log1p(lift * rate) for log_g, lift in grid.terms])


def share_rate(ratio: float, candidate: float, stable: float) -> float:
    """Return the candidate's share of the failures if its rate is `ratio` times stable's.

    candidate, stable: requests of the SAME minute. With FAIL, hits = the candidate's failures and
    trials = both sides' failures, a factor has mean <= 1 for any rates with p_c <= ratio * p_s (by
    ln(1+z) <= z; independent requests). Raises ZeroDivisionError where both are 0.
    """
    weighted = ratio * candidate
    return weighted / (weighted + stable)


def margin_increments(
    hits: float, requests: float, stable_hits: float, stable_requests: float, margin: float
) -> tuple[float, ...]:
    """Return the increments of MARGIN for one minute; null: p_c <= p_s + margin (fraction).

    x_c ln(1 + e) + x_s ln(1 - e n_c/n_s) - n_c d e with e = min(eta, 0.9 n_s/n_c); mean of the
    factor <= 1 by ln(1+z) <= z. A minute without stable or candidate bets nothing.
    """
    if not stable_requests or not requests:
        return (0.0,) * len(MARGIN.stakes)
    ratio = requests / stable_requests
    most = _STAKE_MAX / ratio
    found = []
    for eta in MARGIN.stakes:
        stake = min(eta, most)
        gain = hits * _log1p(stake) + stable_hits * _log1p(-stake * ratio)
        found.append(gain - requests * margin * stake)
    return tuple(found)


def tempered(increments: Sequence[float], inflation: float) -> tuple[float, ...]:
    """Return the increments divided by a variance inflation >= 1 that was fixed beforehand.

    Still valid: E[LR^(1/phi)] <= (E[LR])^(1/phi) <= 1 (Jensen).
    """
    return tuple([value / inflation for value in increments])


def settled(
    grid: Prior,
    wealth: Wealth,
    increments: Sequence[float],
    fraction: float,
    cap: float = math.inf,
) -> Wealth:
    """Return the wealth after one minute: first invest `fraction` of the cash, then settle.

    fraction: FIRST, STAGE or MINUTE; 0 moves no cash; below 1. cap: the most (in ln) that one
    minute may gain a bet; capping only lowers a factor, so it never costs validity.
    """
    cash, bets = wealth.cash, wealth.bets
    if not fraction:
        pairs = zip(bets, increments, strict=True) if bets else ()
        settling = tuple([bet + (gain if gain < cap else cap) for bet, gain in pairs])
        return wealth_of(cash, settling)
    invested = cash + _log(fraction)
    moved = []
    # ln(exp(bet) + exp(stake)) written out: this runs several times for every minute of every gate
    triples = zip(bets or _nothing(grid), grid.log_weights, increments, strict=True)
    for bet, log_weight, gain in triples:
        stake = invested + log_weight
        apart = stake - bet
        total = bet + _log1p(_exp(apart)) if apart < 0 else stake + _log1p(_exp(-apart))
        moved.append(total + (gain if gain < cap else cap))
    return wealth_of(cash + _log1p(-fraction), tuple(moved))


def _nothing(grid: Prior) -> tuple[float, ...]:
    return (_NOTHING,) * len(grid.log_weights)


def one_shot(grid: Grid, hits: float, trials: float, rate: float) -> float:
    """Return ln of the mixture's likelihood ratio over all trials at once, all of it invested."""
    gains = increments(grid, hits, trials, rate)
    return pooled([log_w + gain for log_w, gain in zip(grid.log_weights, gains, strict=True)])


def pooled(log_values: Sequence[float]) -> float:
    """Return ln(sum of exp(value)); -inf counts as nothing, and is the sum of nothing."""
    most = max(log_values, default=_NOTHING)
    if most == _NOTHING:
        return most
    total = 0.0  # added one by one: `sum` rounds otherwise from Python 3.12 on
    for value in log_values:
        total += _exp(value - most)
    return most + _log(total)


def to_json(wealth: Wealth) -> list[str | None]:
    """Return [cash, bet…] as hexadecimal floats; a bet that holds nothing (-inf) is null."""
    return [
        wealth.cash.hex(),
        *(None if bet == -math.inf else bet.hex() for bet in wealth.bets),
    ]


def from_json(value: Any, grid: Prior) -> Wealth:
    """Read `to_json`'s form for this grid; it is untrusted. Raises ValueError."""
    if not isinstance(value, list) or len(value) not in {1, 1 + len(grid.log_weights)}:
        raise ValueError(f"not a gate's wealth: a list of 1 or {1 + len(grid.log_weights)} numbers")
    cash = _finite(value[0])
    if cash > 0:  # cash only ever leaves
        raise ValueError(f"more cash than there was: {value[0]!r}")
    return wealth_of(cash, tuple(-math.inf if bet is None else _finite(bet) for bet in value[1:]))


def _finite(value: Any) -> float:
    try:
        number = float.fromhex(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not a hexadecimal number: {value!r}") from error
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {value!r}")
    return number
