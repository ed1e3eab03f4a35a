"""How often a gate fails a candidate that is exactly at its limit, looked at every minute.

Each gate type runs uncapped (a cap only lowers evidence) over 150 minutes in five stages, at the
boundary of its null hypothesis, where it is most likely to be wrong. Last come whole gates, over
their limit AND worse than stable, minute by minute through the state code, caps included. Goal:
no more streams fail than the gate's level allows, up to chance: a one-sided exact binomial test at
one in a thousand.
"""

import math
import random
import sys
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import accumulate
from multiprocessing import Pool

from controller.gates import means
from controller.gates.betting import Terms
from controller.gates.dispersion import tempering
from controller.gates.evidence import CodeCounts, Minute
from controller.gates.history import History
from controller.gates.kernel import (
    FAIL,
    FIRST,
    MARGIN,
    MINUTE,
    PASS,
    STAGE,
    Prior,
    increments,
    margin_increments,
    share_rate,
    tempered,
)
from controller.gates.state import State, absorb
from controller.plan.model import Gate, Limits, ResponseRate, Versus

STREAMS = 20_000
WHOLE_STREAMS = 5_000  # a whole gate's minute costs some ten times a kernel's
CHUNK = 500  # streams a seed
PROCESSES = 2
MINUTES = 150
HOLD = 30
IMPROBABLE = 0.001

# Requests a minute, two a second in all, at weights of 5, 10, 25, 50 and 90 %.
CANDIDATE = (6, 12, 30, 60, 108)
STABLE = (114, 108, 90, 60, 12)

Increments = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GateType:
    """One way to be wrong. draw: increments of a minute (0..149) at the boundary of the null."""

    grid: Prior
    level: float
    draw: Callable[[random.Random, int], Increments]


def binomial(rng: random.Random, trials: int, rate: float) -> int:
    """Draw how many of the trials hit."""
    return bisect(_cumulative(trials, rate), rng.random())


@lru_cache(maxsize=256)
def _cumulative(trials: int, rate: float) -> list[float]:
    chances = [
        math.comb(trials, x) * rate**x * (1 - rate) ** (trials - x) for x in range(trials + 1)
    ]
    return list(accumulate(chances))[:-1]


def stable_rate(minute: int) -> float:
    """Return stable's failure rate: an incident hits both sides in every tenth minute."""
    return 0.04 if minute % 10 == 7 else 0.004


# Minutes repeat, and their increments with them: most of the time goes into settling.
of_rate = lru_cache(maxsize=4096)(partial(increments, FAIL))
of_proof = lru_cache(maxsize=4096)(partial(increments, PASS))
of_margin = lru_cache(maxsize=4096)(margin_increments)


@lru_cache(maxsize=4096)
def of_slow(x_c: int, n_c: int, x_s: int, n_s: int) -> Increments:
    """Return a minute's tempered increments; stable's history: inflation 1.5, 120 a minute."""
    rate = share_rate(1.5, n_c, n_s)
    gains = increments(FAIL, x_c, x_c + x_s, rate)
    return tempered(gains, tempering(1.5, 120, n_c, n_s, rate))


def at_limit(rng: random.Random, minute: int) -> Increments:
    """Draw a candidate that fails exactly as often as its limit allows."""
    n = CANDIDATE[minute // HOLD]
    return of_rate(binomial(rng, n, 0.01), n, 0.01)


def at_limit_to_prove(rng: random.Random, minute: int) -> Increments:
    """Draw the same for the proof that it fails less often."""
    n = CANDIDATE[minute // HOLD]
    return of_proof(binomial(rng, n, 0.01), n, 0.01)


def at_ratio(rng: random.Random, minute: int) -> Increments:
    """Draw a candidate that fails exactly 1.25 times as often as stable, incidents included."""
    n_c, n_s, p_s = CANDIDATE[minute // HOLD], STABLE[minute // HOLD], stable_rate(minute)
    x_c, x_s = binomial(rng, n_c, 1.25 * p_s), binomial(rng, n_s, p_s)
    return of_rate(x_c, x_c + x_s, share_rate(1.25, n_c, n_s))


def at_margin(rng: random.Random, minute: int) -> Increments:
    """Draw a candidate that fails one point in a hundred more often than stable."""
    n_c, n_s, p_s = CANDIDATE[minute // HOLD], STABLE[minute // HOLD], stable_rate(minute)
    x_c, x_s = binomial(rng, n_c, p_s + 0.01), binomial(rng, n_s, p_s)
    return of_margin(x_c, n_c, x_s, n_s, 0.01)


def at_slow_ratio(rng: random.Random, minute: int) -> Increments:
    """Draw a candidate that is slow 1.5 times as often as stable, whose history was noisy."""
    n_c, n_s = CANDIDATE[minute // HOLD], STABLE[minute // HOLD]
    x_c, x_s = binomial(rng, n_c, 1.5 * 0.05), binomial(rng, n_s, 0.05)
    return of_slow(x_c, n_c, x_s, n_s)


def at_floor(rng: random.Random, _minute: int) -> Increments:
    """Draw a mean at its floor: all or nothing, of all values with this mean the widest."""
    return means.bounded_increments(float(rng.random() < 0.6), 0.6)


def at_paired_margin(rng: random.Random, _minute: int) -> Increments:
    """Draw a mean of .55 beside stable's .6, both all or nothing, the two moving together."""
    draw = rng.random()
    stable, candidate = draw < 0.6, draw < 0.2 or rng.random() < 0.4375
    return means.paired_increments(float(stable) - float(candidate), 0.05)


def at_ceiling(rng: random.Random, _minute: int) -> Increments:
    """Draw an unbounded value whose mean is at the ceiling."""
    return means.nonnegative_increments(rng.expovariate(1.0), 1.0)


def at_mean_ratio(rng: random.Random, _minute: int) -> Increments:
    """Draw two unbounded means, the candidate's 1.25 times stable's and as noisy."""
    candidate, stable = rng.expovariate(1.0), rng.expovariate(1.0)
    return means.share_increments(1.25 * candidate, stable, 1.25)


TYPES = {
    "rate at the limit": GateType(FAIL, 0.01, at_limit),
    "proof at the limit": GateType(PASS, 0.05, at_limit_to_prove),
    "share at the ratio": GateType(FAIL, 0.01, at_ratio),
    "rate at stable's plus the margin": GateType(MARGIN, 0.01, at_margin),
    "slow share at the ratio, tempered": GateType(FAIL, 0.01, at_slow_ratio),
    "mean in 0..1 at the floor": GateType(means.MEANS, 0.01, at_floor),
    "paired means at the margin": GateType(means.MEANS, 0.01, at_paired_margin),
    "mean without bound at the ceiling": GateType(means.MEANS, 0.01, at_ceiling),
    "means without bound at the ratio": GateType(means.MEANS, 0.01, at_mean_ratio),
}


# Whole gates: what a plan writes, through the controller's own code -----------------------------

LIMIT, RATIO = 0.02, 1.25
WEIGHTS = (5, 10, 25, 50, 90)
ERRORS = Gate(
    "errors",
    ResponseRate(("5xx",), counts_failures=True),
    Limits(maximum=LIMIT / 2, roll_back=LIMIT),
    Versus(ratio=RATIO),
)


@dataclass(frozen=True, slots=True)
class WholeGate:
    """A gate with the default comparison. rates: a minute's failing shares, candidate, stable."""

    level: float
    rates: Callable[[int], tuple[float, float]]


def at_limit_beside_a_better_stable(_minute: int) -> tuple[float, float]:
    """Worse than stable for certain, and exactly at the limit: may not be rolled back."""
    return LIMIT, LIMIT / 10


def at_ratio_over_the_limit(minute: int) -> tuple[float, float]:
    """Over the limit for certain, and exactly RATIO times stable, in an incident and out of it."""
    stable = 0.20 if minute % 10 == 7 else 0.04
    return RATIO * stable, stable


def in_shared_incidents(minute: int) -> tuple[float, float]:
    """As good as stable and within the limit, but for the minutes in which both fail."""
    return stable_rate(minute), stable_rate(minute)


WHOLE = {
    "whole gate at the limit, worse than stable": WholeGate(0.01, at_limit_beside_a_better_stable),
    "whole gate over the limit, at the ratio": WholeGate(0.01, at_ratio_over_the_limit),
    "whole gate in shared incidents": WholeGate(0.01, in_shared_incidents),
}
LEVELS = {name: one.level for name, one in TYPES.items()} | {
    name: one.level for name, one in WHOLE.items()
}


def whole_fails(gate: WholeGate, rng: random.Random) -> bool:
    """Tell whether one rollout of five stages ever rolls back, looked at after every minute."""
    state, start = State(), datetime(2026, 1, 5, tzinfo=UTC)
    stable_day = History(inflation=1.0, per_minute=120.0, reference=0.1)
    for minute in range(MINUTES):
        stage = minute // HOLD
        if minute and not minute % HOLD:
            state = state.in_new_stage()
        n_c, n_s, (p_c, p_s) = CANDIDATE[stage], STABLE[stage], gate.rates(minute)
        seen = Minute(
            start + timedelta(minutes=minute + 1),
            _codes(n_c, binomial(rng, n_c, p_c)),
            _codes(n_s, binomial(rng, n_s, p_s)),
        )
        terms = Terms(gate.level, WEIGHTS[stage], history=stable_day)
        state = absorb(ERRORS, terms, state, seen, in_stage=True)
        if state.failed is not None:
            return True
    return False


def _codes(requests: int, failed: int) -> CodeCounts:
    return CodeCounts({"2xx": requests - failed, "5xx": failed})


# All of them ------------------------------------------------------------------------------------


def fraction_of(minute: int) -> float:
    """Return what part of the cash is invested in a minute of the five stages."""
    return FIRST if minute == 0 else MINUTE if minute % HOLD else STAGE


def wealths(gate: GateType, rng: random.Random) -> Iterator[float]:
    """Yield one stream's wealth after every minute.

    The sums of `kernel.settled` without its logarithms, which take four fifths of the time; a test
    holds the two together.
    """
    weights, exp = [math.exp(weight) for weight in gate.grid.log_weights], math.exp
    cash, bets = 1.0, [0.0] * len(weights)
    for minute in range(MINUTES):
        invested = cash * fraction_of(minute)
        cash -= invested
        gains = gate.draw(rng, minute)
        bets = [
            (bet + invested * weight) * exp(gain)
            for bet, weight, gain in zip(bets, weights, gains, strict=True)
        ]
        yield cash + sum(bets)


def fails(gate: GateType, rng: random.Random) -> bool:
    """Tell whether one stream ever reaches 1/level, looked at after every minute."""
    wanted = 1 / gate.level
    return any(wealth >= wanted for wealth in wealths(gate, rng))


def failed_of_chunk(job: tuple[str, int]) -> int:
    """Return how many of a chunk's streams fail. job: name of the gate type, number of the chunk.

    The chunk's number is its seed, so the figures depend on no number of processes.
    """
    name, chunk = job
    rng = random.Random(f"{name} {chunk}")
    if name in WHOLE:
        return sum(whole_fails(WHOLE[name], rng) for _ in range(CHUNK))
    return sum(fails(TYPES[name], rng) for _ in range(CHUNK))


def chance_of(failed: int, streams: int, level: float) -> float:
    """Return the probability of at least so many failed streams if each fails with `level`."""

    def log_chance(x: int) -> float:
        ways = math.lgamma(streams + 1) - math.lgamma(x + 1) - math.lgamma(streams - x + 1)
        return ways + x * math.log(level) + (streams - x) * math.log1p(-level)

    return max(0.0, 1 - math.fsum(math.exp(log_chance(x)) for x in range(failed)))


def jobs() -> Iterator[tuple[str, int]]:
    """Yield every chunk of every gate type."""
    for name in LEVELS:
        for chunk in range(streams_of(name) // CHUNK):
            yield name, chunk


def streams_of(name: str) -> int:
    """Return how many streams of a gate type are run."""
    return WHOLE_STREAMS if name in WHOLE else STREAMS


def main() -> int:
    """Print one line a gate type; return 0 when every level holds, else 1."""
    counts = dict.fromkeys(LEVELS, 0)
    work = list(jobs())
    with Pool(PROCESSES) as pool:
        for (name, _), failed in zip(work, pool.imap(failed_of_chunk, work), strict=True):
            counts[name] += failed
    met = True
    for name, failed in counts.items():
        level, streams = LEVELS[name], streams_of(name)
        chance = chance_of(failed, streams, level)
        met = met and chance >= IMPROBABLE
        print(
            f"calibrate: {name}: {failed} of {streams:,} failed, {failed / streams:.2%} "
            f"(goal <= {level:.0%}; so many by chance: {chance:.3f})"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
