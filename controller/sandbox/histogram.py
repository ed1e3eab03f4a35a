"""Latency histograms as Cloud Run's `request_latencies` has them, and the draws that fill them.

What lives here: the buckets, sums and percentiles over them, lognormal latencies. Not here: which
revision has which latencies (truth) and what Cloud Monitoring makes of a histogram (aggregation).

Buckets are exponential: scale 10 ms, growth 1.1, as the published bounds of the real metric fit
(`10 * 1.1^k`). Index 0 is the underflow, the last one the overflow; a lower bound is inclusive, an
upper bound exclusive (google.api.Distribution).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import add, mul
from random import Random
from statistics import NormalDist
from zlib import crc32

SCALE_MS = 10.0
GROWTH = 1.1
FINITE_BUCKETS = 120
BUCKETS = FINITE_BUCKETS + 2
BOUNDS_MS: tuple[float, ...] = tuple(SCALE_MS * GROWTH**i for i in range(FINITE_BUCKETS + 1))

_P95 = NormalDist().inv_cdf(0.95)
_FEW = 80  # below this many requests every single one is drawn, above it every bucket
_NORMALS = 4096
_NORMAL = [NormalDist().inv_cdf((i + 0.5) / _NORMALS) for i in range(_NORMALS)]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket with the exact sum and sum of squares of what was counted (ms, ms²).

    per_unit: how many of the "milliseconds" of the buckets make one unit of the metric; 1 for
    latencies, 1000 for an app's own distribution of values around 1.
    """

    counts: tuple[int, ...]
    total_ms: float
    squares: float
    per_unit: float = 1.0

    @property
    def count(self) -> int:
        """Return how many values were counted."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Return the mean in milliseconds; 0 where nothing was counted."""
        return self.moments()[1]

    @property
    def sum_of_squared_deviation(self) -> float:
        """Return the sum of squared deviations from the mean, in ms²."""
        return self.moments()[2]

    def moments(self) -> tuple[int, float, float]:
        """Return count, mean and sum of squared deviations, the buckets summed up once."""
        count = self.count
        mean = self.total_ms / count if count else 0.0
        return count, mean, max(0.0, self.squares - self.total_ms * mean)


EMPTY = Histogram((0,) * BUCKETS, 0.0, 0.0)


def bucket_of(latency_ms: float) -> int:
    """Return the index of the bucket that counts this latency."""
    return bisect_right(BOUNDS_MS, latency_ms)


def merge(histograms: list[Histogram]) -> Histogram:
    """Return one histogram of everything counted in these."""
    if len(histograms) == 1:
        return histograms[0]
    first, *others = histograms
    counts, total, squares = first.counts, first.total_ms, first.squares
    for histogram in others:
        counts = tuple(map(add, counts, histogram.counts))
        total += histogram.total_ms
        squares += histogram.squares
    return Histogram(counts, total, squares, first.per_unit)


def with_value(histogram: Histogram, latency_ms: float) -> Histogram:
    """Return the histogram with one more latency counted."""
    counts = list(histogram.counts)
    counts[bucket_of(latency_ms)] += 1
    return Histogram(
        tuple(counts), histogram.total_ms + latency_ms, histogram.squares + latency_ms * latency_ms
    )


def percentile(histogram: Histogram, percent: float) -> float | None:
    """Return the percentile (percent 0..100) in ms, linear within its bucket; None when empty.

    Cloud Monitoring interpolates within the bucket too; the underflow reaches down to 0, and of
    the overflow only the lower bound is known.
    """
    counts = histogram.counts
    rank = histogram.count * percent / 100
    if not any(counts):
        return None
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS_MS[index - 1] if index else 0.0
            high = BOUNDS_MS[index] if index < len(BOUNDS_MS) else low
            return low + (high - low) * max(0.0, rank - seen) / count
        seen += count
    return BOUNDS_MS[-1]


@dataclass(frozen=True)
class Lognormal:
    """Latencies that are lognormal with this median and 95th percentile (ms, p95 > p50 > 0)."""

    p50_ms: float
    p95_ms: float

    @cached_property
    def mu(self) -> float:
        """Return the mean of the logarithm."""
        return math.log(self.p50_ms)

    @cached_property
    def sigma(self) -> float:
        """Return the standard deviation of the logarithm; tiny where p95 is not above p50."""
        return max(1e-3, math.log(self.p95_ms / self.p50_ms) / _P95)

    @cached_property
    def buckets(self) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
        """Return (index, probability, mean latency in ms) of every bucket that matters.

        Each mean is that of the distribution inside the bucket, so that sums built from counts
        agree with the lognormal's own mean.
        """
        low, high = NormalDist(self.mu, self.sigma), NormalDist(self.mu + self.sigma**2, self.sigma)
        logs = [math.log(bound) for bound in BOUNDS_MS]
        edges = [0.0, *map(low.cdf, logs), 1.0]
        parts = [0.0, *map(high.cdf, logs), 1.0]
        whole = math.exp(self.mu + self.sigma**2 / 2)
        matter = [i for i in range(BUCKETS) if edges[i + 1] - edges[i] > 1e-7]
        chosen = range(matter[0], matter[-1] + 1)
        shares = [edges[i + 1] - edges[i] for i in chosen]
        means = [
            whole * (parts[i + 1] - parts[i]) / share
            for i, share in zip(chosen, shares, strict=True)
        ]
        size = sum(shares)
        return tuple(chosen), tuple(share / size for share in shares), tuple(means)

    @cached_property
    def cumulative(self) -> tuple[float, ...]:
        """Return the running sum of the buckets' probabilities, the last one 1."""
        sums: list[float] = []
        for share in self.buckets[1]:
            sums.append((sums[-1] if sums else 0.0) + share)
        return (*sums[:-1], 1.0)

    def one(self, rng: Random) -> float:
        """Draw one latency in milliseconds."""
        return rng.lognormvariate(self.mu, self.sigma)

    def draw(self, rng: Random, count: int) -> Histogram:
        """Draw `count` latencies as a histogram, in a time that hardly depends on `count`."""
        if count <= 0:
            return EMPTY
        places, _, means = self.buckets
        if count <= _FEW:
            return self._draw_each(rng, count)
        drawn = _draw_buckets(rng, count, _expected(self, count), self.cumulative)
        counts = (0,) * places[0] + tuple(drawn) + (0,) * (BUCKETS - 1 - places[-1])
        sums = list(map(mul, drawn, means))
        return Histogram(counts, sum(sums), sum(map(mul, sums, means)))

    def _draw_each(self, rng: Random, count: int) -> Histogram:
        places, _, means = self.buckets
        cumulative, top = self.cumulative, len(means) - 1
        counts = [0] * BUCKETS
        total = squares = 0.0
        for _ in range(count):
            index = bisect_right(cumulative, rng.random(), 0, top)
            counts[places[index]] += 1
            total += means[index]
            squares += means[index] ** 2
        return Histogram(tuple(counts), total, squares)


@lru_cache(maxsize=1024)  # a minute's counts are much like those of the minutes around it
def _expected(law: Lognormal, count: int) -> tuple[tuple[float, float], ...]:
    """Return what is to be drawn for each bucket, of `count` latencies.

    That is (mean, standard deviation) where a bucket expects more than 6; else (chance of none, 0).
    """
    means = [count * share for share in law.buckets[1]]
    return tuple((m, math.sqrt(m)) if m > 6 else (math.exp(-m), 0.0) for m in means)


def _draw_buckets(
    rng: Random,
    count: int,
    expected: tuple[tuple[float, float], ...],
    cumulative: tuple[float, ...],
) -> list[int]:
    """Draw a Poisson-like count per bucket, then add or take single requests until they sum."""
    one, normal, normals = rng.random, _NORMAL, _NORMALS
    drawn = []
    for level, spread in expected:
        if spread:
            number = int(level + spread * normal[int(one() * normals)] + one())
            drawn.append(number if number > 0 else 0)
            continue
        # The rare buckets are the tail that percentiles look at: no approximation there.
        number, product = 0, one()
        while product > level:
            product *= one()
            number += 1
        drawn.append(number)
    excess, top = sum(drawn) - count, len(drawn) - 1
    while excess:
        place = bisect_right(cumulative, one(), 0, top)
        if excess < 0:
            drawn[place] += 1
            excess += 1
        elif drawn[place]:
            drawn[place] -= 1
            excess -= 1
    return drawn


@lru_cache(maxsize=512)
def lognormal(p50_ms: float, p95_ms: float) -> Lognormal:
    """Return the lognormal with these percentiles; one object per pair, so its tables are kept."""
    return Lognormal(p50_ms, p95_ms)


def normal_of(key: str) -> float:
    """Return a standard normal number that belongs to this key; cheaper than seeding for one."""
    return _NORMAL[crc32(key.encode()) % _NORMALS]


def poisson(rng: Random, mean: float) -> int:
    """Draw a Poisson count; the normal approximation above a mean of 50."""
    if mean <= 0:
        return 0
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def binomial(rng: Random, tries: int, chance: float) -> int:
    """Draw a binomial count (chance 0..1); normal or Poisson approximations for many tries."""
    if tries <= 0 or chance <= 0:
        return 0
    if chance >= 1:
        return tries
    if chance > 0.5:
        return tries - binomial(rng, tries, 1 - chance)
    mean = tries * chance
    if tries <= 40:
        return sum(rng.random() < chance for _ in range(tries))
    if mean < 20:
        return min(tries, poisson(rng, mean))
    return min(tries, max(0, round(rng.gauss(mean, math.sqrt(mean * (1 - chance))))))
