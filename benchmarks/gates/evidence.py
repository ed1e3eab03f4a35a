"""How much evidence our rate test needs, against the least that any test needs.

The rate test alone, uncapped: no delay, no comparison. A sixtieth of the least evidence comes each
minute, one request at least. What a rollout adds to it is in the cells' own figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from multiprocessing.pool import Pool
from random import Random

from benchmarks.gates.draws import binomial
from benchmarks.gates.tally import floor_requests
from controller.gates.kernel import FAIL, FIRST, MINUTE, Wealth, increments, settled

LIMITS, FACTORS = (0.001, 0.01, 0.05), (2.0, 3.0, 5.0, 10.0)
MINUTES = 60
NEEDED = math.log(100)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Mean requests until the test fails a rate of factor × limit, over Wald's floor."""

    limit: float
    factor: float
    requests: float
    floor: float

    @property
    def ratio(self) -> float:
        """Return how many times the floor was needed."""
        return self.requests / self.floor


def requests_needed(rng: Random, rate: float, limit: float, a_minute: int) -> int:
    """Draw one path; return its requests until the test is over its level."""
    wealth, requests = Wealth(), 0
    while wealth.log_evidence < NEEDED:
        requests += a_minute
        gains = increments(FAIL, binomial(rng, a_minute, rate), a_minute, limit)
        wealth = settled(FAIL, wealth, gains, MINUTE if wealth.bets else FIRST)
    return requests


def _mean(task: tuple[float, float, int]) -> Ratio:
    limit, factor, paths = task
    rate = limit * factor
    floor = floor_requests(rate, limit)
    rng, a_minute = Random(f"{limit} {factor}"), max(1, round(floor / MINUTES))
    needed = [requests_needed(rng, rate, limit, a_minute) for _ in range(paths)]
    return Ratio(limit, factor, sum(needed) / paths, floor)


def measure(pool: Pool, paths: int) -> list[Ratio]:
    """Return the ratios for every limit and factor (rates below 100%)."""
    tasks = [(limit, factor, paths) for limit, factor in product(LIMITS, FACTORS)]
    return pool.map(_mean, tasks, chunksize=1)
