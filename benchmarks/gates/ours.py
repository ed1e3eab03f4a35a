"""Our gates as a policy.

BEGIN STAND-IN. Everything between here and END STAND-IN is a short direct reading of the kernel,
so that the runner can be tried before `controller.gates` has it; the adapter then calls the real
gates and the engine's stage rule, and nothing but `Ours` (begin, look, memory, reaction) is used
from outside. The stand-in has no test for a shared cause (`both_failing`): it never steps back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from benchmarks.gates.cells import DELAY, WEIGHTS, Cell, Metric
from benchmarks.gates.policy import History, Verdict
from benchmarks.gates.worlds import SCORE_FLOOR, MinuteSample

ALPHA = 0.01
RHO, RHO_REFERENCE_SPLIT = 1.25, 0.2
FAIL = tuple(
    zip((1.4, 2.0, 3.0, 6.0, 20.0, 500.0), (0.08, 0.12, 0.25, 0.25, 0.20, 0.10), strict=True)
)
PASS = ((1 / 1.3, 0.15), (1 / 1.7, 0.20), (1 / 2.5, 0.25), (1 / 5, 0.20), (1 / 1000, 0.20))
MEANS = tuple((k, 0.25) for k in (0.1, 0.25, 0.5, 0.9))
LEVEL = math.log(1 / ALPHA)
_LOG_G = tuple(math.log(g) for g, _ in FAIL)
_LOG_W = tuple(math.log(w) for _, w in FAIL)


def log_sum(logs: Sequence[float]) -> float:
    """Return the log of the sum of exponentials."""
    top = max(logs)
    return top + math.log(sum([math.exp(x - top) for x in logs])) if top > -math.inf else top


class Wealth:
    """A mixture of bets with a cash reserve; log_e is its log, latched its highest so far."""

    def __init__(self, cap: float, log_weights: Sequence[float] = _LOG_W) -> None:
        self.cap, self.log_w = cap, log_weights
        self.cash, self.bets = 0.0, [-math.inf] * len(log_weights)
        self.log_e = self.highest = 0.0
        self.stage = -9

    def settle(self, increments: Sequence[float], stage: int) -> None:
        """Invest part of the cash, then settle one minute's bets."""
        share = 1 / 120 if stage == self.stage else 0.5 if self.stage == -9 else 0.25
        self.stage = stage
        put, cap = self.cash + math.log(share), self.cap
        self.bets = [
            log_sum((b, put + w)) + min(i, cap)
            for b, w, i in zip(self.bets, self.log_w, increments, strict=True)
        ]
        self.cash += math.log1p(-share)
        self.log_e = log_sum([self.cash, *self.bets])
        self.highest = max(self.highest, self.log_e)

    def odds(self, x: int, m: int, th: float, stage: int, temper: float = 1.0) -> None:
        """Settle x hits in m trials against the null hit probability th."""
        if m:
            self.settle(
                [
                    (x * log_g - m * math.log1p((g - 1) * th)) / temper
                    for log_g, (g, _) in zip(_LOG_G, FAIL, strict=True)
                ],
                stage,
            )


def inflation(batches: list[tuple[int, int]]) -> float:
    """Return phi of stable's (requests, failures) a quarter of an hour."""
    used = [(n, x) for n, x in batches if n]
    n, x = sum(n for n, _ in used), sum(x for _, x in used)
    if not 0 < x < n:
        return 1.0
    p = x / n
    chi = sum((x - n * p) ** 2 / (n * p * (1 - p)) for n, x in used)
    return max(1.0, (chi + 10) / (max(len(used) - 1, 1) + 10))


def upper_bound(x: int, n: int, level: float) -> float:
    """Return the upper confidence bound of a rate: the least th that the PASS mixture refutes."""
    low, high = 0.0, 1.0
    for _ in range(40):
        th = (low + high) / 2
        evidence = log_sum(
            [math.log(w) + x * math.log(g) - n * math.log1p((g - 1) * th) for g, w in PASS]
        )
        low, high = (low, th) if evidence >= math.log(1 / level) else (th, high)
    return high


class Ours:
    """Over the limit AND worse than stable, each proved; sample or clean to advance."""

    memory, reaction, sees_stable = 2, 0, True

    def begin(self, cell: Cell, history: History) -> None:
        """Start; history fixes the cap and the reference of the last stage."""
        self.cell, past = cell, history()
        hits = [b.slow_s if cell.metric is Metric.LATENCY else b.x_s for b in past]
        self.phi = inflation([(b.n_s, x) for b, x in zip(past, hits, strict=True)])
        cap = min(2.3, max(1.0, 2.3 / math.sqrt(self.phi)))
        bounded = cell.metric is Metric.SCORE
        weights = [math.log(w) for _, w in MEANS] if bounded else _LOG_W
        self.over = Wealth(math.inf if bounded else cap, weights)
        self.worse = Wealth(math.inf if bounded else cap, weights)
        self.reference = Wealth(cap)
        self.known = [sum(b.n_s for b in past), sum(hits)]
        self.per_minute = max(0.001, self.known[0] / 1440)
        # With less than a request a minute hardly any minute has both sides: there the comparison
        # takes blocks of minutes, long enough for five requests, their length fixed beforehand.
        self.block = max(1, math.ceil(5 / self.per_minute))
        self.pooled, self.until, self.pooled_at = [0, 0, 0, 0], 0, 5
        self.threshold: float | None = None
        self.stage, self.n, self.x, self.judged = 0, 0, 0.0, 0
        self.shifted: int | None = 0

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Score a minute once, then the stage rule."""
        if stage != self.stage:
            self.stage, self.n, self.x = stage, 0, 0.0
            self.shifted = minute + DELAY
        excluded = self.shifted is not None and minute < self.shifted + self.cell.warm_up
        here = WEIGHTS[stage]
        if sample is not None and not (excluded and sample.weight == here):
            self.score(sample, WEIGHTS.index(sample.weight))
            if sample.weight == here:
                self.count(sample)
        share = LEVEL - math.log(1 - RHO_REFERENCE_SPLIT)
        worse = self.worse.highest >= share or (
            self.reference.highest >= LEVEL - math.log(RHO_REFERENCE_SPLIT)
        )
        if self.over.highest >= LEVEL and worse:
            return Verdict.ROLL_BACK
        return self.at_the_end(held)

    def score(self, s: MinuteSample, stage: int) -> None:
        """Add one minute to the two tests, and to the reference where no stable is left."""
        if self.cell.metric is Metric.SCORE:
            self.mean(s, stage)
            return
        limit, x_c, x_s = self.cell.limit, s.x_c, s.x_s
        if self.cell.metric is Metric.LATENCY:
            limit = 0.05
            x_c, x_s = s.slow_c, s.slow_s
        temper = 1.0
        if self.cell.metric is Metric.LATENCY:
            temper = 1 + (self.phi - 1) * min(1.0, s.n_c / self.per_minute)
        self.over.odds(x_c, s.n_c, limit, stage, temper)
        if s.weight < 100:
            self.compare((s.n_c, x_c, s.n_s, x_s), s, stage, temper)
        else:
            if self.threshold is None:
                bound = upper_bound(self.known[1], self.known[0], 0.2 * ALPHA)
                self.threshold = min(RHO * bound, 0.5)
            self.reference.odds(x_c, s.n_c, self.threshold, stage)
        self.known[0] += s.n_s
        self.known[1] += x_s

    def compare(
        self, counts: tuple[int, int, int, int], s: MinuteSample, stage: int, temper: float
    ) -> None:
        """Settle the candidate's share of a block's failures; a block ends with its weight."""
        if s.minute >= self.until or s.weight != self.pooled_at:
            self.settle_block(stage, temper)
            self.until, self.pooled_at = s.minute + self.block, s.weight
        self.pooled = [a + b for a, b in zip(self.pooled, counts, strict=True)]
        if self.block == 1:
            self.settle_block(stage, temper)

    def settle_block(self, stage: int, temper: float) -> None:
        """Settle what was pooled, once."""
        n_c, x_c, n_s, x_s = self.pooled
        self.pooled = [0, 0, 0, 0]
        if n_c and n_s:
            self.worse.odds(x_c, x_c + x_s, RHO * n_c / (RHO * n_c + n_s), stage, temper)

    def mean(self, s: MinuteSample, stage: int) -> None:
        """Bet against the floor, and against stable's minute of the same time."""
        if s.score_c is None:
            return
        gap = (SCORE_FLOOR - s.score_c) / (1 - SCORE_FLOOR)
        self.over.settle([math.log1p(k * gap) for k, _ in MEANS], stage)
        if s.score_s is not None:
            apart = (s.score_s - s.score_c - 0.02) / 1.02
            self.worse.settle([math.log1p(k * apart) for k, _ in MEANS], stage)

    def count(self, s: MinuteSample) -> None:
        """Count the stage's own minutes for the rule to advance."""
        if self.cell.metric is Metric.SCORE:
            self.n += s.score_c is not None
            self.x += s.score_c or 0.0
            return
        self.n += s.n_c
        self.x += s.slow_c if self.cell.metric is Metric.LATENCY else s.x_c

    def at_the_end(self, held: int) -> Verdict:
        """Leave the stage when its hold is covered and the evidence is enough."""
        if held < self.cell.hold + DELAY:
            return Verdict.GO_ON
        if self.cell.metric is Metric.SCORE:
            good = self.n >= 10 and self.x >= SCORE_FLOOR * self.n
        else:
            limit = 0.05 if self.cell.metric is Metric.LATENCY else self.cell.limit
            needed = 1 if self.cell.needs == "clean" else min(3 / limit, 300)
            good = self.n >= needed and self.x <= limit * self.n
        return Verdict.ADVANCE if good else Verdict.GO_ON


# END STAND-IN

OURS: Callable[[], Ours] = Ours
