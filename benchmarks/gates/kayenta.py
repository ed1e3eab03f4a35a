"""Kayenta's judge: the candidate's minutes against stable's by a Mann-Whitney interval.

A metric is High when the interval of the location shift lies above a quarter of the estimated
shift itself. The interval inverts the normal approximation with R's continuity and tie correction;
the estimate is the median of the pairwise differences (Hodges and Lehmann 1963).
"""

from __future__ import annotations

import math
from enum import Enum
from statistics import NormalDist, fmean, median

from benchmarks.gates.cells import WEIGHTS, Cell, Metric
from benchmarks.gates.policy import History, Verdict
from benchmarks.gates.worlds import MinuteSample
from controller.sandbox.histogram import percentile

CONFIDENCE = 0.98
TOLERANCE = 0.25
PASS, MARGINAL = 95.0, 75.0


class Class(Enum):
    """What the judge makes of a metric."""

    PASS = "Pass"  # noqa: S105
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"


def shifted_above(
    experiment: list[float], control: list[float], shift: float, confidence: float = CONFIDENCE
) -> bool:
    """Tell whether the two-sided interval of experiment − control lies above this shift.

    Its lower end is where the standardised rank sum, which falls with the shift, passes z: so the
    statistic at the shift tells, and the end itself need not be searched.
    """
    return _z_at(experiment, control, shift) > NormalDist().inv_cdf(0.5 + confidence / 2)


def classify(
    control: list[float],
    experiment: list[float],
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    allowed_increase: float = 1.0,
) -> Class:
    """Classify a metric whose values are one a minute; no order of the minutes is kept."""
    if not experiment or not control:
        return Class.NODATA
    if sorted(experiment) == sorted(control) or len({*experiment, *control}) == 1:
        return Class.PASS
    higher = shifted_above(experiment, control, 0.0, confidence)
    if not higher and not shifted_above(control, experiment, 0.0, confidence):
        return Class.PASS
    bound = tolerance * abs(median([e - c for e in experiment for c in control]))
    if not higher:
        below = shifted_above(control, experiment, bound, confidence)
        return Class.LOW if below else Class.PASS
    mean = fmean(control)
    ratio = fmean(experiment) / mean if mean else math.inf
    high = ratio >= allowed_increase and shifted_above(experiment, control, bound, confidence)
    return Class.HIGH if high else Class.PASS


def _z_at(experiment: list[float], control: list[float], shift: float) -> float:
    """Return the standardised rank sum of experiment − shift against control."""
    m, n = len(experiment), len(control)
    marked = sorted([(e - shift, 1) for e in experiment] + [(c, 0) for c in control])
    ranks = ties = 0.0
    start = 0
    while start < len(marked):
        end = start
        ours = 0
        while end < len(marked) and marked[end][0] == marked[start][0]:
            ours += marked[end][1]
            end += 1
        ranks += ours * (start + 1 + end) / 2
        size = end - start
        ties += size**3 - size
        start = end
    excess = ranks - m * (m + 1) / 2 - m * n / 2
    variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1)))
    if variance <= 0:
        return 0.0
    return (excess - math.copysign(0.5, excess) * (excess != 0)) / math.sqrt(variance)


class Kayenta:
    """Judgements at each third of the hold over all its minutes so far.

    One metric has score 100 (Pass, Low where lower is better) or 0; at most MARGINAL ends it, and
    the last one must reach PASS. Without stable's minutes there is no judgement (100% stage).
    """

    reaction, sees_stable = 0, True

    def __init__(self, allowed_increase: float = 1.0) -> None:
        self._allowed = allowed_increase
        self.memory = 10**9  # a judgement falls due without a request

    def begin(self, cell: Cell, history: History) -> None:
        """Start; what was before the rollout is not looked at."""
        self._cell, self._every = cell, max(1, cell.hold // 3)
        self._ours: list[float] = []
        self._theirs: list[float] = []
        self._stage = 0

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Take in the minute; judge when it is time."""
        if stage != self._stage:
            self._ours, self._theirs, self._stage = [], [], stage
        if sample is not None and sample.weight == WEIGHTS[stage]:
            ours, theirs = _values(sample, self._cell.metric)
            self._ours += ours
            self._theirs += theirs
        if held % self._every:
            return Verdict.GO_ON
        verdict = classify(self._theirs, self._ours, allowed_increase=self._allowed)
        score = 0.0 if verdict is Class.HIGH else 100.0
        if score <= MARGINAL:
            return Verdict.ROLL_BACK
        done = held >= self._cell.hold
        return Verdict.ADVANCE if done and score >= PASS else Verdict.GO_ON


def _values(sample: MinuteSample, metric: Metric) -> tuple[list[float], list[float]]:
    """Return the minute's value of either side, as a list of none or one; higher is worse."""
    if metric is Metric.ERRORS:
        sides = [(sample.n_c, sample.x_c), (sample.n_s, sample.x_s)]
        ours, theirs = ([x / n] if n else [] for n, x in sides)
    elif metric is Metric.LATENCY:
        p95 = [percentile(h, 95) if h else None for h in (sample.latency_c, sample.latency_s)]
        ours, theirs = ([] if p is None else [p] for p in p95)
    else:
        scores = (sample.score_c, sample.score_s)
        ours, theirs = ([] if score is None else [1 - score] for score in scores)
    return ours, theirs
