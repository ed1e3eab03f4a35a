"""From a gate and its state to a verdict: pass, fail or undecided, with a sentence for people.

What has failed is settled in `state`, minute by minute; here is what the stage has shown, whether
that is enough to leave it, and how it is said.
"""

from __future__ import annotations

import math
from dataclasses import replace

from controller.gates import trend
from controller.gates.betting import NOTHING, Question, Terms, needed
from controller.gates.counting import allowed_share, doubted, is_rate, percentile_of_gate
from controller.gates.evidence import MINUTE, Histogram
from controller.gates.state import State, is_compared
from controller.gates.tally import Side, mean_of, percentile_of, rate_of
from controller.gates.verdict import Fail, Figures, Pass, Undecided, Verdict, Why
from controller.gates.wording import count_text, measured, shown, what_is_counted
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    Needs,
    RequestCount,
    ResponseRate,
)

MEAN_SAMPLE = 30  # requests before a mean says anything (the textbook's rule of thumb)
GAUGE_MINUTES = 10  # minutes with a value before a gauge's mean says anything
RATE_SAMPLE_MAX = 150


def judge(gate: Gate, terms: Terms, state: State) -> Verdict:
    """Judge one gate on what it has absorbed so far."""
    match gate.metric:
        case RequestCount():
            return _judge_count(gate, state.tally.candidate)
        case Arrival():
            return _judge_arrival(gate, terms, state)
        case FailedRequests(budget):
            return _judge_budget(gate, terms, state, budget)
        case _ if gate.only_advances:
            return _judge_improvement(gate, terms, state)
        case _:
            return _judge_limits(gate, terms, state)


def needed_sample(gate: Gate, limit: float | None, needs: Needs = Needs.SAMPLE) -> int:
    """Return the requests (gauges: minutes) below which a gate is undecided.

    For a rate: 1.5 / the share of bad requests allowed, at most 150: of a candidate at twice its
    limit all but 5% show a failure by then (the "rule of three", JAMA 249:1743, 1983, for twice
    the limit). For a percentile the same with the share beyond it. With twice as many a service of
    2 requests a second could not leave a first stage of 5% in half an hour, and later stages catch
    what such a sample lets through (docs/gates.md).
    """
    if isinstance(gate.metric, RequestCount):
        return int(gate.limits.minimum or 0)
    if needs is not Needs.SAMPLE:
        return 1
    match gate.metric:
        case ResponseRate():
            return _rule_of_three(allowed_share(gate, limit) if limit is not None else 0.0)
        case Latency(percentile) | CustomMetric(percentile=percentile) if percentile is not None:
            return _rule_of_three(1 - percentile / 100)
        case Latency():
            return MEAN_SAMPLE
        case _:
            return GAUGE_MINUTES


def estimate_of(gate: Gate, side: Side) -> float | None:
    """Return the gate's value for one side, in the metric's unit; None: nothing seen."""
    percentile = percentile_of_gate(gate)
    match gate.metric:
        case RequestCount():
            return float(side.total)
        case ResponseRate():
            return rate_of(side)
        case _ if percentile is not None:
            return percentile_of(side, percentile)
        case _:
            return mean_of(side)


def spent(gate: Gate, terms: Terms, state: State) -> float:
    """Return how much of the evidence that a fail needs there is (fraction, 1: it failed)."""
    if state.failed is not None:
        return 1.0
    parts = {q: _part(gate, terms, state, q) for q in state.wealth}
    beside = max(parts.get(Question.STABLE, 0.0), parts.get(Question.REFERENCE, 0.0))
    limit = parts.get(Question.LIMIT, 0.0)
    if gate.limits.roll_back is None and not isinstance(gate.metric, Arrival):
        main = beside
    elif is_compared(gate, terms, state):
        main = min(limit, beside)
    else:
        main = limit
    return min(max(main, parts.get(Question.EMERGENCY, 0.0)), 1.0)


def _part(gate: Gate, terms: Terms, state: State, question: Question) -> float:
    return math.exp(min(state.log_evidence(question) - needed(gate, terms, question), 0.0))


def _rule_of_three(share: float) -> int:
    return RATE_SAMPLE_MAX if share <= 0 else min(math.ceil(1.5 / share - 1e-9), RATE_SAMPLE_MAX)


# Gates that nobody wrote, and those that only let advance -------------------------------------


def _judge_count(gate: Gate, side: Side) -> Verdict:
    wanted = needed_sample(gate, None)
    figures = Figures(float(side.total), None, side.total, wanted, 0, gate.limits.minimum)
    if side.total >= wanted:
        text = f"{count_text(side.total)}, at least {count_text(wanted)} wanted"
        return Pass(text, figures)
    missing = f"{count_text(side.total)} of {count_text(wanted)} requests needed"
    return Undecided(missing, figures, Why.SAMPLE if side.total else Why.NO_DATA)


def _judge_arrival(gate: Gate, terms: Terms, state: State) -> Verdict:
    assert isinstance(gate.metric, Arrival)
    mine, theirs = state.tally.candidate.total, state.tally.stable.total
    share = mine / (mine + theirs) if mine + theirs else None
    least = gate.metric.share * terms.weight / 100
    figures = Figures(share, None, mine, 1, theirs, least, spent=spent(gate, terms, state))
    if state.failed is not None:
        got = "none" if not share else f"{shown(gate, share)}"
        return Fail(
            f"the candidate got {got} of the requests, {terms.weight}% asked: they are refused "
            "before a container, or do not arrive",
            figures,
        )
    if share is None:
        return Undecided("no request was seen, of either revision", figures, Why.NO_DATA)
    told = f"{count_text(mine)} of {count_text(mine + theirs)} requests ({shown(gate, share)})"
    return Pass(f"{told} arrive, {terms.weight}% asked", figures)


def _judge_budget(gate: Gate, terms: Terms, state: State, budget: int) -> Verdict:
    excess = max(state.excess, 0.0)
    side = state.tally.candidate
    figures = Figures(
        excess, None, side.total, 0, state.tally.stable.total, float(budget),
        spent=spent(gate, terms, state),
    )  # fmt: skip
    text = f"about {count_text(round(excess))} failed requests more than stable's rate"
    if state.failed is not None:
        return Fail(f"{text}, at most {count_text(budget)} allowed", figures)
    return Pass(f"{text}, at most {count_text(budget)} allowed", figures)


def _judge_improvement(gate: Gate, terms: Terms, state: State) -> Verdict:
    versus = gate.versus_stable
    assert versus is not None
    assert versus.better_by is not None
    figures = replace(_figures(gate, terms, state, None), bad=None, spent=0.0)
    if terms.weight == 100:
        return Pass("not judged: no stable left to compare with", figures)
    if figures.estimate is None:
        return Undecided("no data of the candidate", figures, Why.NO_DATA)
    if figures.stable is None:
        return Undecided("too little of stable to compare with", figures, Why.STABLE)
    wanted = f"{versus.better_by:.0%} better wanted"
    beside = f"{measured(gate, figures)}, stable {shown(gate, figures.stable)}"
    if is_rate(gate):
        proved = state.log_evidence(Question.PROOF) >= needed(gate, terms, Question.PROOF)
        better = _gain_of(gate, figures.estimate, figures.stable)
    else:
        proved = trend.is_proved(gate, state.trend, versus.better_by)
        better = trend.gain(gate, state.trend)
        if state.trend.blocks < trend.BLOCKS_LEAST:
            missing = f"{state.trend.blocks} of {trend.BLOCKS_LEAST} quarter hours needed"
            return Undecided(f"{beside}: {missing}", figures, Why.SAMPLE)
    told = "as good" if not better else f"{abs(better):.1%} {'better' if better > 0 else 'worse'}"
    if proved:
        return Pass(f"{beside}: {told}, {wanted}", figures)
    doubt = ", not yet proved" if (better or 0) >= versus.better_by else ""
    return Undecided(f"{beside}: {told}{doubt}, {wanted}", figures, Why.NOT_BETTER)


def _gain_of(gate: Gate, mine: float, stable: float) -> float | None:
    """Return by which share the candidate is better (a success rate: has fewer failures)."""
    if isinstance(gate.metric, ResponseRate) and not gate.metric.counts_failures:
        mine, stable = 1 - mine, 1 - stable
    if not stable:
        return None
    gain = (stable - mine) / stable
    return gain if gate.limits.lower_is_better or isinstance(gate.metric, ResponseRate) else -gain


# Gates with limits, or compared with stable ---------------------------------------------------


def _judge_limits(gate: Gate, terms: Terms, state: State) -> Verdict:
    limits = gate.limits
    figures = _figures(gate, terms, state, limits.to_advance)
    if state.failed is not None:
        return _fail(gate, terms, state, figures)
    if figures.estimate is None:
        return Undecided("no data of the candidate", figures, Why.NO_DATA)
    if state.failing_since is not None:
        return _both_failing(gate, terms, state, figures)
    if figures.sample < figures.needed:
        counted = what_is_counted(gate)
        missing = f"{count_text(figures.sample)} of {count_text(figures.needed)} {counted} needed"
        return Undecided(missing, figures, Why.SAMPLE)
    if limits.to_advance is None:
        return _compared_only(gate, terms, figures)
    if not _within(gate, figures, limits.to_advance):
        limit = shown(gate, limits.to_advance)
        return Undecided(
            f"{measured(gate, figures)}, limit to advance {limit}", figures, Why.BETWEEN
        )
    wanted = (
        f"{'at most' if limits.lower_is_better else 'at least'} {shown(gate, limits.to_advance)}"
    )
    if terms.needs is Needs.PROOF and not _is_proved_good(gate, terms, state):
        return Undecided(
            f"{measured(gate, figures)}, {wanted} wanted, which is not yet proved",
            figures,
            Why.PROOF,
        )
    return Pass(f"{measured(gate, figures)}, {wanted} wanted", figures)


def is_proved_good(gate: Gate, terms: Terms, state: State) -> bool:
    """Tell whether the candidate is proved to be within the limit to advance.

    Gates that have no such limit need no proof: they are judged as ever.
    """
    if gate.limits.to_advance is None or isinstance(gate.metric, RequestCount):
        return True
    return _is_proved_good(gate, terms, state)


def _is_proved_good(gate: Gate, terms: Terms, state: State) -> bool:
    return state.log_evidence(Question.PROOF) >= needed(gate, terms, Question.PROOF)


def _within(gate: Gate, figures: Figures, limit: float) -> bool:
    """Tell whether what was seen in the stage is within a limit; doubtful buckets are not."""
    if figures.bad is not None:
        return figures.bad <= allowed_share(gate, limit) * figures.sample + 1e-9
    assert figures.estimate is not None
    return figures.estimate <= limit if gate.limits.lower_is_better else figures.estimate >= limit


def _both_failing(gate: Gate, terms: Terms, state: State, figures: Figures) -> Verdict:
    figures = replace(figures, limit=gate.limits.roll_back)
    assert state.failing_since is not None
    since = f"since {state.failing_since:%H:%M}Z"
    requests = state.rise.seen.of_mine + state.rise.seen.of_theirs if state.rise else 0
    if terms.weight == 100:
        known = state.log_evidence(Question.REFERENCE) >= needed(gate, terms, Question.REFERENCE)
        beside = (
            "worse than stable in its last 24 h, which is no live comparison"
            if known
            else "not proved to be worse than stable in its last 24 h (nothing is left on it now)"
        )
    elif state.rise is not None and requests:
        what = "failed" if isinstance(gate.metric, ResponseRate) else "were beyond the limit"
        beside = f"{state.rise.share:.1%} of both revisions' {count_text(requests)} requests {what}"
    else:
        beside = f"stable {shown(gate, figures.stable)}"
    limit = f"limit {shown(gate, gate.limits.roll_back)}"
    text = f"over its {limit} {since}, {'and' if beside.startswith('worse') else 'but'} {beside}"
    if terms.weight < 100:
        text += ": both revisions are failing, not the candidate"
    return Undecided(text, figures, Why.BOTH_FAILING)


def _compared_only(gate: Gate, terms: Terms, figures: Figures) -> Verdict:
    if terms.weight == 100:
        known = terms.history.reference is not None
        beside = "not proved worse than stable in its last 24 h" if known else "not compared"
        return Pass(f"{measured(gate, figures)}; {beside}: nothing is left on stable", figures)
    if figures.stable is None:
        text = f"{measured(gate, figures)}; no stable to compare with"
        return Undecided(text, figures, Why.STABLE)
    return Pass(f"{measured(gate, figures)}, stable {shown(gate, figures.stable)}", figures)


def _fail(gate: Gate, terms: Terms, state: State, figures: Figures) -> Fail:
    limits = gate.limits
    emergency = state.failed is Question.EMERGENCY
    broken = limits.emergency if emergency else limits.roll_back
    figures = replace(figures, limit=broken)
    said, as_a_whole = _said_of_a_fail(gate, state, figures)
    limit = "" if broken is None else f", {'emergency ' * emergency}limit {shown(gate, broken)}"
    if emergency:
        return Fail(f"{said}{limit}{as_a_whole}", figures, emergency=True)
    if not is_compared(gate, terms, state):
        alone = "; nothing of stable to compare with" if gate.versus_stable is not None else ""
        return Fail(f"{said}{limit}{alone}{as_a_whole}", figures)
    if terms.weight == 100:
        beside = "worse than stable in its last 24 h (not live: nothing is left on stable)"
    else:
        beside = f"stable {shown(gate, figures.stable)}"
    return Fail(f"{said}{limit}, {beside}{as_a_whole}", figures)


def _said_of_a_fail(gate: Gate, state: State, figures: Figures) -> tuple[str, str]:
    """Return what proves a fail, and what the stage shows as a whole where that looks well.

    What turns bad late is proved by its last minutes, while the stage's own number is still within
    the limit: "4.5%, limit 20%" would explain nothing.
    """
    if figures.estimate is None:
        return "proved by its last minutes", ""
    whole, limit = measured(gate, figures), figures.limit
    low = gate.limits.lower_is_better
    if limit is None or (figures.estimate > limit if low else figures.estimate < limit):
        return whole, ""
    seen = state.rise.seen if state.rise is not None else NOTHING
    if state.rise is None or not seen.of_mine:
        return "its last minutes are beyond the limit", f" ({whole} in the stage)"
    requests = f"{count_text(seen.of_mine)} requests since {state.rise.since - MINUTE:%H:%M}Z"
    share = seen.mine / seen.of_mine
    if isinstance(gate.metric, ResponseRate):
        rate = share if gate.metric.counts_failures else 1 - share
        return f"{shown(gate, rate)} of {requests}", f" ({whole} in the stage)"
    return f"{share:.1%} of {requests} beyond the limit", f" ({whole} in the stage)"


def _figures(gate: Gate, terms: Terms, state: State, limit: float | None) -> Figures:
    mine, theirs = state.tally.candidate, state.tally.stable
    return Figures(
        estimate_of(gate, mine),
        estimate_of(gate, theirs),
        mine.total,
        needed_sample(gate, limit, terms.needs),
        theirs.total,
        limit,
        _bad(gate, mine, limit),
        spent(gate, terms, state),
    )


def _bad(gate: Gate, side: Side, limit: float | None) -> int | None:
    """Return how many of the stage's requests are (perhaps) beyond the limit to advance."""
    match gate.metric:
        case ResponseRate(counts_failures=failures):
            return side.hits if failures else side.total - side.hits
        case _ if percentile_of_gate(gate) is not None and limit is not None:
            if side.buckets is None:
                return 0
            return doubted(gate, Histogram(side.buckets, side.counts, 0.0), limit)[0]
        case _:
            return None
