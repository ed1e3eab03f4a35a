"""What stable's last day says, fixed before the first shift: noise, edges, reference.

Nothing here is estimated again while a rollout runs: a bound that moved with the data it judges
would make every test invalid (an edge chosen after seeing the candidate, a limit that follows an
incident).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev
from typing import Any

from controller.gates.counting import (
    Counted,
    accused,
    edge_at_or_above,
    failed_in,
    is_rate,
    percentile_of_gate,
)
from controller.gates.dispersion import BATCHES_MIN, autocorrelation, block_length, inflation
from controller.gates.evidence import Histogram, Number, Value, merged
from controller.gates.intervals import upper
from controller.gates.tally import Side, percentile_of
from controller.plan.model import FailedRequests, Gate, ResponseRate

SERIES_LEAST = 60  # minutes, for the likeness of one minute to the next
REFERENCE_SHARE = 0.1  # of the gate's level, for the bound itself; as much again for its test


@dataclass(frozen=True, slots=True)
class History:
    """What is known of stable before the rollout. The default: nothing.

    inflation: variance of the bad requests a quarter hour over that of independent ones (1: none).
    per_minute: mean requests a minute. edge: where slow begins, in the metric's unit. reference:
    an upper bound of stable's bad share (fraction), or the outer bound of its mean. block: minutes
    that count as one for a mean.
    """

    inflation: float | None = None
    per_minute: float = 0.0
    edge: float | None = None
    reference: float | None = None
    block: int = 1


def history_of(gate: Gate, points: Sequence[Value], minutes: int, level: float) -> History:
    """Return what stable's points of the last day say, oldest first.

    minutes: how many minutes one point stands for (15 for rates, 1 for means). level: the gate's
    share of `false_rollback`.
    """
    if isinstance(gate.metric, FailedRequests):
        return _of_counts([failed_in(value) for value in points], minutes, level, None)
    if is_rate(gate):
        return _of_rate(gate, points, minutes, level)
    return _of_mean(gate, points, minutes, level)


def _of_rate(gate: Gate, points: Sequence[Value], minutes: int, level: float) -> History:
    edge = None
    if not isinstance(gate.metric, ResponseRate):
        edge = _edge(gate, points)
        if edge is None:
            return History()
    counted = [accused(gate, value, edge or 0.0) for value in points]
    return _of_counts(counted, minutes, level, edge)


def _of_counts(
    counted: Sequence[Counted], minutes: int, level: float, edge: float | None
) -> History:
    hits, trials = sum(x for x, _ in counted), sum(n for _, n in counted)
    seen = [(n, x) for x, n in counted if n]
    return History(
        inflation(seen) if len(seen) >= BATCHES_MIN else None,
        trials / (minutes * len(seen)) if seen else 0.0,
        edge,
        upper(hits, trials, REFERENCE_SHARE * level) if trials else None,
    )


def _edge(gate: Gate, points: Sequence[Value]) -> float | None:
    """Return the smallest bucket edge at or above stable's own percentile."""
    day = merged(points)
    percentile = percentile_of_gate(gate)
    if not isinstance(day, Histogram) or percentile is None:
        return None
    side = Side(1, day.total, 0, 0.0, day.buckets, day.counts)
    value = percentile_of(side, percentile)
    return None if value is None else edge_at_or_above(day, value)


def _of_mean(gate: Gate, points: Sequence[Value], minutes: int, level: float) -> History:
    series = [value for value in map(mean_of_minute, points) if value is not None]
    if minutes != 1 or len(series) < SERIES_LEAST:
        return History()
    likeness = autocorrelation(series)
    independent = max(len(series) * (1 - likeness) / (1 + likeness), 1.0)
    spread = NormalDist().inv_cdf(1 - REFERENCE_SHARE * level) * pstdev(series)
    off = spread / math.sqrt(independent)
    bound = fmean(series) + (off if gate.limits.lower_is_better else -off)
    return History(None, 1.0, None, bound, block_length(likeness))


def mean_of_minute(value: Value | None) -> float | None:
    """Return a minute's mean, in the metric's unit; None where it has none."""
    match value:
        case Number(number):
            return number
        case Histogram(mean=mean) if value.counts:
            return mean
        case _:
            return None


def to_json(history: History) -> list[Any]:
    """Return the compact JSON form, floats in hexadecimal."""
    numbers = (history.inflation, history.per_minute, history.edge, history.reference)
    return [*(None if n is None else float(n).hex() for n in numbers), history.block]


def from_json(value: Any) -> History:
    """Read `to_json`'s form; it is untrusted. Raises ValueError."""
    if not isinstance(value, list) or len(value) != 5:
        raise ValueError("a gate's history has five parts")
    if type(value[4]) is not int or not 1 <= value[4] <= 60:
        raise ValueError(f"not a block: {value[4]!r}")
    phi, per_minute, edge, reference = (_number(one) for one in value[:4])
    if (phi is not None and phi < 1) or per_minute is None or per_minute < 0:
        raise ValueError("a history's numbers are out of range")
    return History(phi, per_minute, edge, reference, value[4])


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"not a number: {value!r}")  # noqa: TRY004 untrusted text, not a bug
    number = float.fromhex(value)
    if not math.isfinite(number):
        raise ValueError(f"not a number: {value!r}")
    return number
