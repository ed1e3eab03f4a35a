"""Seeded worlds: what a minute of a rollout serves, given the weight a policy chose for it.

`World.minute(t, weight, …)` is a pure function of the seed and its arguments: policies that are at
the same weight at the same time see the same minute, whatever happened before. Minutes < 0 are the
24 hours before the rollout, all stable.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean

from benchmarks.gates.cells import BURSTS, WEIGHTS, Cell, Metric, Noise
from benchmarks.gates.draws import binomial, geometric, poisson
from benchmarks.gates.paths import DAY, Incidents, Path
from controller.sandbox.histogram import Histogram, lognormal, merge

BATCH = 15
CLUSTER = 5.5
INCIDENT = 0.2
STABLE_P50_MS, SIGMA = 400.0, 0.8
P95_OF_P50 = math.exp(1.6448536269514722 * SIGMA)
LIMIT_BUCKET = (
    56  # the first bucket above the limit: p95 <= 10 ms · 1.1^55 = 1.89 s, stable's 1.49 s
)
STABLE_SLOW = 1 - NormalDist().cdf(math.log(10 * 1.1**55 / STABLE_P50_MS) / SIGMA)
SCORE_FLOOR, SCORE_SD = 0.7, 0.05
_PLAIN = {Noise.NONE, Noise.COLD, Noise.INCIDENT_LONG, Noise.INCIDENT_SHIFT}  # a quiet day before
_BIRTHS = 50_000  # later than any minute: where clusters get their seeds
_SPARSE = 0.05  # below so many requests a second most minutes are empty: only the others are kept
_AR_LOG_SD = math.sqrt(math.log(2.0))  # a coefficient of variation of 1


@dataclass(frozen=True, slots=True)
class MinuteSample:
    """What Cloud Monitoring would show of one minute, and `excess`, which it would not.

    n_c, x_c, n_s, x_s: requests and failures of candidate and stable. excess: failures the
    candidate cost beyond what stable's rate makes of its requests (of both sides where it poisons).
    """

    minute: int
    weight: int
    n_c: int
    x_c: int
    n_s: int
    x_s: int
    excess: float
    latency_c: Histogram | None = None
    latency_s: Histogram | None = None
    score_c: float | None = None
    score_s: float | None = None

    @property
    def slow_c(self) -> int:
        """Return the candidate's requests slower than the limit of the 95th percentile."""
        return sum(self.latency_c.counts[LIMIT_BUCKET:]) if self.latency_c else 0

    @property
    def slow_s(self) -> int:
        """Return stable's requests slower than the limit of the 95th percentile."""
        return sum(self.latency_s.counts[LIMIT_BUCKET:]) if self.latency_s else 0


class World:
    """One rollout's world. rollout: its number; the same number is the same world."""

    def __init__(self, cell: Cell, rollout: int, seed: int = 1) -> None:
        self.cell = cell
        base = Random(f"{seed} {cell.name} {rollout}")
        self._key = base.getrandbits(40) << 24
        self._rng, self._past = Random(0), Random(0)
        self._arrivals = Random(base.getrandbits(40))
        self._totals: list[int] = []
        self._busy: list[int] = []
        self._paths = [Path(base.getrandbits(40)) for _ in range(3)]  # candidate, stable, both
        self._incidents = Incidents(base.getrandbits(40))
        self._long = (base.randint(0, cell.nominal), base.randint(5, 60), base.randint(1, 10))
        self._known: dict[tuple[int, int, int, int], MinuteSample | None] = {}
        self._births: dict[tuple[int, int, bool], list[int]] = {}
        self._history: list[MinuteSample] = []

    def minute(self, t: int, weight: int, shifted: int = 0, third: int = -1) -> MinuteSample | None:
        """Return minute t at this weight (percent); None where nobody asked anything.

        shifted: the minute of the last shift. third: the minute the third stage was first
        entered, -1 before.
        """
        total = self._total(t)
        if not total and self.cell.metric is not Metric.SCORE:
            return None
        cold = self.cell.noise is Noise.COLD and t - shifted < 2 and shifted >= 0
        key = (t, weight, int(cold), third if self.cell.noise is Noise.INCIDENT_SHIFT else 0)
        if key not in self._known:
            self._known[key] = self._draw(t, weight, total, third, cold=cold)
        return self._known[key]

    def history(self) -> list[MinuteSample]:
        """Return stable's 24 hours before the rollout in batches of 15 minutes, oldest first."""
        if not self._history:
            plain = self.cell.metric is Metric.ERRORS and self.cell.noise in _PLAIN
            batch = self._plain_batch if plain else self._summed_batch
            self._past = Random(self._key)
            self._history = [batch(t) for t in range(-DAY, 0, BATCH)]
        return self._history

    def history_minutes(self) -> list[MinuteSample]:
        """Return stable's 24 hours before the rollout minute by minute, empty ones left out."""
        self._past = Random(self._key)
        return [m for t in range(-DAY, 0) if (m := self._past_minute(t)).n_s]

    def _plain_batch(self, t: int) -> MinuteSample:
        rng = self._past
        n = poisson(rng, self.cell.rate * 60 * BATCH)
        return MinuteSample(t, 0, 0, 0, n, binomial(rng, n, self.cell.stable), 0.0)

    def _summed_batch(self, t: int) -> MinuteSample:
        if self.cell.metric is Metric.LATENCY:
            return self._latency_batch(t)
        minutes = [self._past_minute(m) for m in range(t, t + BATCH)]
        n, x = sum(m.n_s for m in minutes), sum(m.x_s for m in minutes)
        scores = [m.score_s for m in minutes if m.score_s is not None]
        return MinuteSample(
            t,
            0,
            0,
            0,
            n,
            x,
            0.0,
            score_s=fmean(scores) if scores else None,
        )

    def _latency_batch(self, t: int) -> MinuteSample:
        """Draw five times three minutes: over a batch their effects vary as those of minutes do."""
        blocks = [
            self._draw(m + 1, 0, poisson(self._past, self.cell.rate * 180), -1, cold=False)
            for m in range(t, t + BATCH, 3)
        ]
        merged = merge([b.latency_s for b in blocks if b.latency_s is not None])
        return MinuteSample(t, 0, 0, 0, sum(b.n_s for b in blocks), 0, 0.0, latency_s=merged)

    def _past_minute(self, t: int) -> MinuteSample:
        return self._draw(t, 0, poisson(self._past, self.cell.rate * 60), -1, cold=False)

    def _seeded(self, t: int, what: int) -> Random:
        """Return the generator of this minute and purpose; the past is drawn once, in order."""
        if t < 0:
            return self._past
        self._rng.seed(self._key + (t << 7) + what)
        return self._rng

    def next_busy(self, t: int) -> int:
        """Return the first minute >= t (t >= 0) in which anybody asks anything."""
        while not self._busy or self._busy[-1] < t:
            self._total(len(self._totals))
            if not self.cell.rate:
                return len(self._totals)
        return self._busy[bisect_left(self._busy, t)]

    def _total(self, t: int) -> int:
        """Return the requests of minute t >= 0, both sides together."""
        totals, mean = self._totals, self.cell.rate * 60
        while len(totals) <= t:
            hour = [0] * 60
            if self.cell.rate >= _SPARSE:
                hour = [poisson(self._arrivals, mean) for _ in range(60)]
            else:
                for _ in range(poisson(self._arrivals, mean * 60)):
                    hour[int(self._arrivals.random() * 60)] += 1
            self._busy += [len(totals) + i for i, n in enumerate(hour) if n]
            totals += hour
        return totals[t]

    def _draw(self, t: int, weight: int, total: int, third: int, *, cold: bool) -> MinuteSample:
        cell, share = self.cell, weight / 100
        p_c, p_s, base = self._rates(t, weight, third, cold=cold)
        bursts = BURSTS.get(cell.noise)
        spread = bursts and [self._burst(t, weight, bursts, ours=ours) for ours in (True, False)]
        rng = self._seeded(t, weight)
        n_c = binomial(rng, total, share)
        n_s = total - n_c
        if spread:
            x_c, x_s = min(n_c, spread[0]), min(n_s, spread[1])
        else:
            x_c, x_s = binomial(rng, n_c, p_c), binomial(rng, n_s, p_s)
        excess = x_c - n_c * base
        if cell.candidate.poison:
            excess += x_s - n_s * base
        if cell.metric is Metric.ERRORS:
            return MinuteSample(t, weight, n_c, x_c, n_s, x_s, excess)
        if cell.metric is Metric.LATENCY:
            return self._with_latency(rng, t, weight, n_c, n_s)
        score_c, score_s = self._scores(rng, t)
        known_c, known_s = (score_c if share else None), (score_s if share < 1 else None)
        cost = max(0.0, score_s - score_c) * n_c
        return MinuteSample(t, weight, n_c, 0, n_s, 0, cost, score_c=known_c, score_s=known_s)

    def _rates(self, t: int, weight: int, third: int, *, cold: bool) -> tuple[float, float, float]:
        """Return the failure rates of candidate, stable, and stable were it not poisoned."""
        cell, candidate, noise = self.cell, self.cell.candidate, self.cell.noise
        early = candidate.late and weight < 50
        p_c, p_s = (cell.stable if early else candidate.errors), cell.stable
        if noise in {Noise.AR_OWN, Noise.AR_SHARED}:
            own = noise is Noise.AR_OWN
            p_c *= math.exp(_AR_LOG_SD * self._paths[0 if own else 2].at(t) - _AR_LOG_SD**2 / 2)
            p_s *= math.exp(_AR_LOG_SD * self._paths[1 if own else 2].at(t) - _AR_LOG_SD**2 / 2)
        elif noise is Noise.BETA:
            rng = self._seeded(t, 125)
            p_c, p_s = (
                p and rng.betavariate(99 * p, 99 * (1 - p)) if p < 1 else p for p in (p_c, p_s)
            )
        elif self._in_incident(t, third):
            p_c, p_s = p_c + INCIDENT, p_s + INCIDENT
        elif cold:
            p_c += 0.05
        base = p_s if noise is not Noise.BETA else cell.stable
        poison = candidate.poison * weight / 100
        return min(1.0, p_c + poison), min(1.0, p_s + poison), min(1.0, base)

    def _in_incident(self, t: int, third: int) -> bool:
        start, lasts, after = self._long
        match self.cell.noise:
            case Noise.INCIDENTS:
                return self._incidents.at(t)
            case Noise.INCIDENT_LONG:
                return t >= 0 and start <= t < start + lasts
            case Noise.INCIDENT_SHIFT:
                return third >= 0 and third + after <= t < third + after + lasts
            case _:
                return False

    def _burst(self, t: int, weight: int, minutes: int, *, ours: bool) -> int:
        if not (weight if ours else 100 - weight):
            return 0
        first = t - minutes + 1 if t < 0 else max(0, t - minutes + 1)
        return sum(self._born(s, weight, minutes, ours=ours)[t - s] for s in range(first, t + 1))

    def _born(self, s: int, weight: int, minutes: int, *, ours: bool) -> list[int]:
        """Return when the failures of the clusters born in minute s come: so many 0, 1, … later."""
        key = (s, weight, ours)
        if key not in self._births:
            candidate = self.cell.candidate
            early = not ours or (candidate.late and weight < 50)
            rate = self.cell.stable if early else candidate.errors
            share = (weight if ours else 100 - weight) / 100
            rng = self._seeded(s + _BIRTHS if s >= 0 else s, weight + 1 - ours)
            came = [0] * minutes
            for _ in range(poisson(rng, self.cell.rate * 60 * share * rate / CLUSTER)):
                for _ in range(geometric(rng, CLUSTER)):
                    came[int(rng.random() * minutes)] += 1
            self._births[key] = came
        return self._births[key]

    def _with_latency(self, rng: Random, t: int, weight: int, n_c: int, n_s: int) -> MinuteSample:
        jitter, slower = self.cell.jitter, self.cell.candidate.slower
        shapes = []
        for path, factor in ((self._paths[0], slower), (self._paths[1], 1.0)):
            # Steps of 2% keep the number of different distributions, and their tables, small.
            effect = 1.02 ** round(jitter * path.at(t) / math.log(1.02)) if jitter else 1.0
            p50 = STABLE_P50_MS * factor * effect
            shapes.append(lognormal(p50, p50 * P95_OF_P50))
        ours, theirs = shapes[0].draw(rng, n_c), shapes[1].draw(rng, n_s)
        cost = (
            sum(ours.counts[LIMIT_BUCKET:]) - STABLE_SLOW * n_c if self.cell.candidate.bad else 0.0
        )
        return MinuteSample(t, weight, n_c, 0, n_s, 0, cost, ours, theirs)

    def _scores(self, rng: Random, t: int) -> tuple[float, float]:
        start, end = self.cell.candidate.score
        mean = start + (end - start) * min(1.0, max(0.0, t / self.cell.nominal))
        common = SCORE_SD * self._paths[2].at(t)
        drawn = (mean + common + rng.gauss(0, SCORE_SD), 0.8 + common + rng.gauss(0, SCORE_SD))
        return min(1.0, max(0.0, drawn[0])), min(1.0, max(0.0, drawn[1]))


assert WEIGHTS[2] == 25, "INCIDENT_SHIFT speaks of the third stage"
