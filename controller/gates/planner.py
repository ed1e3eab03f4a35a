"""What a rate gate will see, before the rollout: a closed form instead of a simulation.

Each bet's logarithm is taken for a Brownian motion with the drift and the variance of its
increments; the chance that the gate has failed is the best bet's chance of first passage (the
inverse Gaussian law). Against simulation: within .11 in probability and 20 % in harm, except
where a gate fails within its first minutes at less than two requests a second (optimistic there).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from controller.gates.kernel import FAIL, FIRST, share_rate

_LOOKS = 10  # a hold, where only the end counts
_EXPONENT_MAX = 600  # beyond, the second term of the first passage is nothing times infinity
_HALVINGS = 20
_FINE = 120  # minutes of a hold that are looked at one by one
_CERTAIN = 0.9999
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Hold:
    """A stretch of the rollout. weight: the candidate's share of the traffic, 0..1."""

    weight: float
    minutes: int


@dataclass(frozen=True, slots=True)
class Service:
    """requests: a minute, both sides together; stable: its failure rate (fraction)."""

    requests: float
    stable: float


@dataclass(frozen=True, slots=True)
class FailRule:
    """What must be proved for a fail: each of `limit` and `ratio` that is not None.

    limit: the rate to roll back; ratio: allowed rate ÷ stable's; *_level: the chance of each to be
    wrong; cap: the most (in ln) that a minute may gain a bet.
    """

    limit: float | None
    ratio: float | None
    limit_level: float
    ratio_level: float
    cap: float


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of a candidate that is bad from the start.

    caught: the chance that it is rolled back before the last hold ends. minute: the first by which
    that is more likely than not (from 1, `delay` included), None: never. failed: the failed
    requests beyond stable's rate that are to be expected until then.
    """

    caught: float
    minute: int | None
    failed: float


# Drift and variance that one minute adds to the logarithm of a bet.
_Step = tuple[float, float]
_Span = tuple[Hold, int, FailRule]  # with the minutes of one step


def chances(
    holds: Sequence[Hold], service: Service, candidate: float, rule: FailRule
) -> tuple[float, ...]:
    """Return the probability that the gate has failed by the end of each minute of the holds.

    candidate: its true failure rate (fraction). Where stable gets no traffic the comparison learns
    nothing. Raises ValueError without a limit and without a ratio.
    """
    spans = ((hold, 1, rule) for hold in holds)
    return tuple(chance for _, _, chance in _walk(spans, service, candidate))


def excess(
    holds: Sequence[Hold],
    service: Service,
    candidate: float,
    failed: Sequence[float],
    delay: int,
) -> float:
    """Return the expected failed requests beyond stable's rate until the candidate is rolled back.

    failed: what `chances` returned; delay: minutes from the end of the minute that fails the gate
    until the traffic is back. Negative for a candidate that is better than stable.
    """
    total, minute = 0.0, 0
    for hold in holds:
        harm = service.requests * hold.weight * (candidate - service.stable)
        for _ in range(hold.minutes):
            seen = minute - delay - 1
            total += harm * (1 - (failed[seen] if seen >= 0 else 0.0))
            minute += 1
    return total


def detectable(
    holds: Sequence[Hold], service: Service, rule: FailRule, probability: float = 0.8
) -> float | None:
    """Return the smallest failure rate that fails the gate before the holds end; None: not even 1.

    Only rates above the limit and above ratio times stable's are looked at. Long holds are looked
    at in ten steps, so that a hold of a day costs no more than one of half an hour.
    """
    spans = [(hold, max(1, hold.minutes // _LOOKS), rule) for hold in holds]

    def found(candidate: float) -> bool:
        steps = _walk(spans, service, candidate)
        return any(chance >= probability for _, _, chance in steps)

    low = min(1.0, max(rule.limit or 0.0, (rule.ratio or 0.0) * service.stable))
    high = 1.0
    if not found(high):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def life(
    holds: Sequence[tuple[Hold, FailRule]], service: Service, candidate: float, delay: int
) -> Life:
    """Return how long a candidate lives that fails at this rate (fraction) from the start.

    holds: each with the rule of its stage. delay: as for `excess`. A hold is looked at minute by
    minute at first, then in steps of a hundredth of it.
    """
    spans: list[_Span] = []
    for hold, rule in holds:
        first = min(hold.minutes, _FINE)
        spans.append((Hold(hold.weight, first), 1, rule))
        if hold.minutes > first:
            rest = hold.minutes - first
            spans.append((Hold(hold.weight, rest), max(1, rest // 100), rule))
    harm, caught, passed = 0.0, 0.0, 0
    minute: int | None = None
    for hold, minutes, chance in _walk(spans, service, candidate):
        lost = service.requests * hold.weight * (candidate - service.stable)
        # What fails in these minutes stands until `delay` after the one in which it is proved.
        harm += lost * (minutes * (1 - chance) + (chance - caught) * (minutes / 2 + delay))
        caught, passed = chance, passed + minutes
        if minute is None and chance >= HALF:
            minute = passed + delay
        if caught > _CERTAIN:
            break
    return Life(caught, minute, harm)


def _walk(
    spans: Iterable[_Span], service: Service, candidate: float
) -> Iterator[tuple[Hold, int, float]]:
    """Yield each step's hold and minutes, and the chance of a fail by its end."""
    paths: dict[tuple[float, float], tuple[_Path, _Path]] = {}
    best = 0.0
    for hold, step, rule in spans:
        if rule.limit is None and rule.ratio is None:
            raise ValueError("a gate needs a limit or a ratio to fail by")
        key = (rule.limit_level, rule.ratio_level)
        if key not in paths:
            paths[key] = _Path(rule.limit_level, rule.cap), _Path(rule.ratio_level, rule.cap)
        limit, ratio = paths[key]
        limit_steps = _limit_steps(hold, service, candidate, rule.limit or 0.0)
        ratio_steps = _ratio_steps(hold, service, candidate, rule.ratio or 0.0)
        asked = [p for p, of in ((limit, rule.limit), (ratio, rule.ratio)) if of is not None]
        done = 0
        while done < hold.minutes:
            minutes = min(step, hold.minutes - done)
            limit.add(limit_steps, minutes)
            ratio.add(ratio_steps, minutes)
            best = max(best, min(path.chance() for path in asked))
            yield hold, minutes, best
            done += minutes


def _limit_steps(hold: Hold, service: Service, candidate: float, limit: float) -> list[_Step]:
    n = service.requests * hold.weight
    return [
        (n * (candidate * log_g - math.log1p(lift * limit)), n * candidate * log_g**2)
        for log_g, lift in FAIL.terms
    ]


def _ratio_steps(hold: Hold, service: Service, candidate: float, ratio: float) -> list[_Step]:
    n_c, n_s = service.requests * hold.weight, service.requests * (1 - hold.weight)
    if n_c <= 0 or n_s <= 0:
        return [(0.0, 0.0)] * len(FAIL.terms)
    rate = share_rate(ratio, n_c, n_s)
    ours, theirs = n_c * candidate, n_s * service.stable  # failures a minute
    steps = []
    for log_g, lift in FAIL.terms:
        lost = math.log1p(lift * rate)
        gained = log_g - lost
        steps.append((ours * gained - theirs * lost, ours * gained**2 + theirs * lost**2))
    return steps


class _Path:
    """The bets of one test on their way to 1/level, all of them started by the first update."""

    def __init__(self, level: float, cap: float) -> None:
        needed = -math.log(level)
        self._bounds = [needed - math.log(FIRST) - w for w in FAIL.log_weights]
        self._minutes_min = math.ceil((needed - math.log(FIRST)) / cap)
        self._minutes = 0
        self._drift = [0.0] * len(self._bounds)
        self._variance = [0.0] * len(self._bounds)

    def add(self, steps: Sequence[_Step], minutes: int) -> None:
        self._minutes += minutes
        for index, (drift, variance) in enumerate(steps):
            self._drift[index] += minutes * drift
            self._variance[index] += minutes * variance

    def chance(self) -> float:
        if self._minutes < self._minutes_min:
            return 0.0
        return max(map(_passed, self._drift, self._variance, self._bounds))


def _passed(drift: float, variance: float, bound: float) -> float:
    """Return the chance that a Brownian motion has been at the bound: its state after some time."""
    if variance <= 0:
        return 0.0
    deviation = math.sqrt(variance)
    chance = _normal((drift - bound) / deviation)
    exponent = 2 * drift * bound / variance
    if exponent < _EXPONENT_MAX:
        chance += math.exp(exponent) * _normal(-(drift + bound) / deviation)
    return min(chance, 1.0)


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
