"""What a point-value rule reads: one number over the last minutes, and is it over the limit.

Windows run over the candidate revision's minutes whatever the stage, as a query in Prometheus or
Cloud Monitoring does.
"""

from __future__ import annotations

from collections import deque
from operator import add, sub

from benchmarks.gates.cells import Cell, Metric
from benchmarks.gates.worlds import LIMIT_BUCKET, SCORE_FLOOR, MinuteSample
from controller.sandbox.histogram import BOUNDS_MS, BUCKETS, Histogram, percentile

LATENCY_LIMIT_MS = BOUNDS_MS[LIMIT_BUCKET - 1]


class Window:
    """The cell's metric of the candidate over the last `minutes` minutes.

    strictness: the limit is this many times the cell's; for the score, whose limit is a floor, the
    distance to 1 is. 1 as plans have it, more to tune a rule.
    """

    def __init__(self, cell: Cell, minutes: int, strictness: float = 1.0) -> None:
        self._metric, self._minutes = cell.metric, minutes
        self._limit = {
            Metric.ERRORS: cell.limit * strictness,
            Metric.LATENCY: LATENCY_LIMIT_MS * strictness,
            Metric.SCORE: 1 - (1 - SCORE_FLOOR) * strictness,
        }[cell.metric]
        self._kept: deque[tuple[int, float, float, tuple[int, ...]]] = deque()
        self._number = self._sum = 0.0
        self._counts: list[int] = [0] * BUCKETS

    def add(self, minute: int, sample: MinuteSample | None) -> None:
        """Take in a minute, let go of what is older than the window."""
        if sample is not None:
            self._take(minute, sample)
        kept = self._kept
        while kept and kept[0][0] <= minute - self._minutes:
            _, number, total, counts = kept.popleft()
            self._number -= number
            self._sum -= total
            if counts:
                self._counts = list(map(sub, self._counts, counts))

    def _take(self, minute: int, sample: MinuteSample) -> None:
        new: tuple[int, float, float, tuple[int, ...]]
        match self._metric:
            case Metric.ERRORS:
                new = (minute, float(sample.n_c), float(sample.x_c), ())
            case Metric.LATENCY:
                new = (minute, float(sample.n_c), 0.0, _counts_of(sample.latency_c))
            case Metric.SCORE:
                known = sample.score_c is not None
                new = (minute, float(known), sample.score_c or 0.0, ())
        if not new[1]:
            return
        self._kept.append(new)
        self._number += new[1]
        self._sum += new[2]
        if new[3]:
            self._counts = list(map(add, self._counts, new[3]))

    def over(self) -> bool | None:
        """Tell whether the value is over the limit (below the floor); None without data."""
        if not self._kept:
            return None
        if self._metric is Metric.LATENCY:
            p95 = percentile(Histogram(tuple(self._counts), 0.0, 0.0), 95)
            return p95 is not None and p95 > self._limit
        value = self._sum / self._number
        return value < self._limit if self._metric is Metric.SCORE else value > self._limit


def _counts_of(histogram: Histogram | None) -> tuple[int, ...]:
    return histogram.counts if histogram else ()
