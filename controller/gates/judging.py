"""From a gate and its evidence to a verdict: the point estimate over the stage.

The rule of this version is the simplest right one: below a minimum sample a gate is undecided;
above it the estimate is held against the limits, and a candidate over its limit to roll back
fails only if stable did not do as badly in the same minutes. The interface (`Tally` in, `Verdict`
out, minute by minute) is what a sequential test will stand behind.
"""

from __future__ import annotations

import math

from controller.gates.tally import Side, Tally, mean_of, percentile_of, rate_of
from controller.gates.verdict import Fail, Figures, Pass, Undecided, Verdict, Why
from controller.gates.wording import count_text, shown, statistic, what_is_counted
from controller.plan.model import CustomMetric, Gate, Latency, RequestCount, ResponseRate, Versus

MEAN_SAMPLE = 30  # requests before a mean says anything (the textbook's rule of thumb)
GAUGE_MINUTES = 10  # minutes with a value before a gauge's mean says anything
RATE_SAMPLE_MAX = 300


def judge(gate: Gate, tally: Tally, *, compared: bool = True) -> Verdict:
    """Judge one gate on a stage's evidence so far.

    compared: whether stable serves beside the candidate; at 100% it does not, and the limits
    decide alone.
    """
    match gate.metric:
        case RequestCount():
            return _judge_count(gate, tally.candidate)
        case _ if gate.versus_stable is not None and gate.versus_stable.better_by is not None:
            return _judge_improvement(gate, tally, gate.versus_stable.better_by, compared=compared)
        case _:
            return _judge_limits(gate, tally, compared=compared)


def needed_sample(gate: Gate, limit: float | None) -> int:
    """Return the requests (gauges: minutes) below which a gate is undecided.

    For a rate: 3 / the share of bad requests allowed, at most 300 (with fewer, a candidate far
    over the limit has a fair chance of showing no failure at all: the "rule of three",
    JAMA 249:1743, 1983). For a percentile the same with the share beyond it.
    """
    match gate.metric:
        case RequestCount():
            return int(gate.limits.minimum or 0)
        case ResponseRate(counts_failures=failures):
            allowed = limit if limit is not None else 0.0
            return _rule_of_three(allowed if failures else 1 - allowed)
        case Latency(percentile) if percentile is not None:
            return _rule_of_three(1 - percentile / 100)
        case CustomMetric(percentile=percentile) if percentile is not None:
            return _rule_of_three(1 - percentile / 100)
        case Latency():
            return MEAN_SAMPLE
        case CustomMetric():
            return GAUGE_MINUTES


def estimate_of(gate: Gate, side: Side) -> float | None:
    """Return the gate's value for one side, in the metric's unit; None: nothing seen."""
    match gate.metric:
        case RequestCount():
            return float(side.total)
        case ResponseRate():
            return rate_of(side)
        case Latency(percentile) if percentile is not None:
            return percentile_of(side, percentile)
        case CustomMetric(percentile=percentile) if percentile is not None:
            return percentile_of(side, percentile)
        case _:
            return mean_of(side)


def _rule_of_three(share: float) -> int:
    return RATE_SAMPLE_MAX if share <= 0 else min(math.ceil(3 / share - 1e-9), RATE_SAMPLE_MAX)


def _judge_count(gate: Gate, side: Side) -> Verdict:
    wanted = needed_sample(gate, None)
    figures = Figures(float(side.total), None, side.total, wanted, 0, gate.limits.minimum)
    if side.total >= wanted:
        text = f"{count_text(side.total)}, at least {count_text(wanted)} wanted"
        return Pass(text, figures)
    missing = f"{count_text(side.total)} of {count_text(wanted)} requests needed"
    return Undecided(missing, figures, Why.SAMPLE if side.total else Why.NO_DATA)


def _judge_limits(gate: Gate, tally: Tally, *, compared: bool) -> Verdict:
    limits, side = gate.limits, tally.candidate
    estimate = estimate_of(gate, side)
    needed = needed_sample(gate, limits.to_advance)
    if estimate is None:
        figures = Figures(None, estimate_of(gate, tally.stable), 0, needed, tally.stable.total)
        return Undecided("no data of the candidate", figures, Why.NO_DATA)
    emergency = _over_emergency(gate, tally, estimate)
    if emergency is not None:
        return emergency
    figures = _figures(gate, tally, needed, limits.to_advance)
    if side.total < needed:
        missing = f"{count_text(side.total)} of {count_text(needed)} {what_is_counted(gate)} needed"
        return Undecided(missing, figures, Why.SAMPLE)
    if _beyond(gate, estimate, limits.roll_back) or limits.to_advance is None:
        return _judge_against_stable(gate, tally, compared=compared)
    if _beyond(gate, estimate, limits.to_advance):
        reason = f"{_measured(gate, figures)}, limit to advance {shown(gate, limits.to_advance)}"
        return Undecided(reason, figures, Why.BETWEEN)
    side_word = "at most" if limits.lower_is_better else "at least"
    return Pass(
        f"{_measured(gate, figures)}, {side_word} {shown(gate, limits.to_advance)} wanted", figures
    )


def _over_emergency(gate: Gate, tally: Tally, estimate: float) -> Fail | None:
    limit = gate.limits.emergency
    needed = needed_sample(gate, limit)
    if limit is None or tally.candidate.total < needed or not _beyond(gate, estimate, limit):
        return None
    figures = _figures(gate, tally, needed, limit)
    reason = f"{_measured(gate, figures)}, emergency limit {shown(gate, limit)}"
    return Fail(reason, figures, emergency=True)


def _judge_against_stable(gate: Gate, tally: Tally, *, compared: bool) -> Verdict:
    """Decide a gate whose limit is exceeded (or that has none): is the candidate worse?"""
    limits, versus = gate.limits, gate.versus_stable
    figures = _figures(gate, tally, needed_sample(gate, limits.to_advance), limits.roll_back)
    measured = _measured(gate, figures)
    limit = "" if limits.roll_back is None else f", limit {shown(gate, limits.roll_back)}"
    if versus is None:
        return Fail(f"{measured}{limit}", figures)
    if not compared:
        if limits.to_advance is None:
            return Pass(f"{measured}; no stable left to compare with", figures)
        return Fail(f"{measured}{limit}", figures)
    if figures.stable is None or figures.stable_sample < figures.needed:
        if limits.to_advance is None:
            return Undecided(f"{measured}; too little of stable", figures, Why.STABLE)
        return Fail(f"{measured}{limit}; too little of stable to compare with", figures)
    beside = f"stable {shown(gate, figures.stable)}"
    assert figures.estimate is not None
    if worse(gate, versus, figures.estimate, figures.stable):
        return Fail(f"{measured}{limit}, {beside}", figures)
    if limits.to_advance is None:
        return Pass(f"{measured}, {beside}", figures)
    both = f"{measured}{limit}, but {beside}: both revisions are failing, not the candidate"
    return Undecided(both, figures, Why.BOTH_FAILING)


def _judge_improvement(gate: Gate, tally: Tally, better_by: float, *, compared: bool) -> Verdict:
    needed = needed_sample(gate, None)
    figures = _figures(gate, tally, needed, None)
    if not compared:
        return Pass("not judged: no stable left to compare with", figures)
    if figures.estimate is None:
        return Undecided("no data of the candidate", figures, Why.NO_DATA)
    unit = what_is_counted(gate)
    if figures.sample < needed:
        missing = f"{count_text(figures.sample)} of {count_text(needed)} {unit} needed"
        return Undecided(missing, figures, Why.SAMPLE)
    if figures.stable is None or figures.stable_sample < needed:
        return Undecided("too little of stable to compare with", figures, Why.STABLE)
    good_is_low = gate.limits.lower_is_better and not _is_success(gate)
    gain = (figures.stable - figures.estimate) / figures.stable if figures.stable else 0.0
    gain = gain if good_is_low else -gain
    text = (
        f"{_measured(gate, figures)}, stable {shown(gate, figures.stable)}: "
        f"{abs(gain):.1%} {'better' if gain >= 0 else 'worse'}, {better_by:.0%} better wanted"
    )
    return Pass(text, figures) if gain >= better_by else Undecided(text, figures, Why.NOT_BETTER)


def worse(gate: Gate, versus: Versus, candidate: float, stable: float) -> bool:
    """Tell whether the candidate is worse than stable by more than the gate allows.

    A ratio on a success rate is of the failures (100% - rate); on any other value with a minimum
    it is of the value itself, the other way round.
    """
    low_is_good = gate.limits.lower_is_better
    if _is_success(gate):
        candidate, stable, low_is_good = 1 - candidate, 1 - stable, True
    if versus.ratio is not None:
        return (
            candidate > stable * versus.ratio if low_is_good else candidate * versus.ratio < stable
        )
    margin = versus.worse_by or 0.0
    return candidate > stable + margin if low_is_good else candidate < stable - margin


def _is_success(gate: Gate) -> bool:
    return isinstance(gate.metric, ResponseRate) and not gate.metric.counts_failures


def _beyond(gate: Gate, estimate: float, limit: float | None) -> bool:
    if limit is None:
        return False
    return estimate > limit if gate.limits.lower_is_better else estimate < limit


def _figures(gate: Gate, tally: Tally, needed: int, limit: float | None) -> Figures:
    return Figures(
        estimate_of(gate, tally.candidate),
        estimate_of(gate, tally.stable),
        tally.candidate.total,
        needed,
        tally.stable.total,
        limit,
    )


def _measured(gate: Gate, figures: Figures) -> str:
    sample = f"{count_text(figures.sample)} {what_is_counted(gate)}"
    return f"{statistic(gate)}{shown(gate, figures.estimate)} of {sample}"
