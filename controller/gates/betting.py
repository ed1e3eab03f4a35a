"""What a gate asks of one minute, as bets against "the candidate is within its limits".

A question is one null hypothesis; each minute gives the log increments of its bets
(`kernel`, `means`), the cap on them, and the wealth they settle on. Formulas: docs/gates.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from controller.gates import dispersion, kernel, means
from controller.gates.counting import (
    accused,
    allowed_share,
    doubted,
    failed_in,
    is_rate,
    percentile_of_gate,
)
from controller.gates.evidence import CodeCounts, Value
from controller.gates.history import REFERENCE_SHARE, History
from controller.gates.kernel import MINUTE, Grid, Prior
from controller.plan.model import (
    Arrival,
    FailedRequests,
    Gate,
    Needs,
    RequestCount,
    ResponseRate,
)

EMERGENCY_SHARE = 0.2  # of a gate's level; the rest is the main question's
BESIDE_SHARE = 0.8  # of that, for the comparison with stable's minutes; the rest: its last day
PROOF_LEVEL = 0.05
NO_CAP = math.inf
HALF = 0.5  # no reference is taken above this share: beyond it a rate says nothing


class Question(StrEnum):
    """One null hypothesis of a gate; the letter is the key of its wealth in the record."""

    LIMIT = "l"  # within the limit to roll back
    STABLE = "s"  # not worse than stable in the same minutes
    REFERENCE = "r"  # not worse than stable was on the day before
    EMERGENCY = "e"  # within the emergency limit
    PROOF = "p"  # beyond the limit to advance (rejected: proved to be good)
    RELIEF = "w"  # both revisions fail as they did (rejected: that is over)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a minute is judged by. level: the gate's share of `false_rollback` (fraction).

    weight: the stage's, whole percent. At 100 stable has no minutes of its own.
    """

    level: float
    weight: int
    needs: Needs = Needs.SAMPLE
    history: History = History()
    proves: bool = False  # whether proofs are wanted (needs: proof, or a stage left early)
    spread: float = 1 / MINUTE  # over how many updates a stage's cash is bet
    reference_decides: bool = True  # else it is tested beside live stable first
    in_test: bool = (
        False  # stable's missing minutes are the test's doing: nothing is proved by them
    )


@dataclass(frozen=True, slots=True)
class Bet:
    """One minute's increments (nats, one per bet of the grid) on one question."""

    question: Question
    grid: Prior
    increments: tuple[float, ...]
    cap: float = NO_CAP


def needed(gate: Gate, terms: Terms, question: Question) -> float:
    """Return the log evidence (nats) at which a question is decided."""
    return thresholds(terms.level, gate.limits.emergency is not None)[question]


@lru_cache(maxsize=64)
def thresholds(level: float, has_emergency: bool) -> Mapping[Question, float]:  # noqa: FBT001
    """Return the log evidence (nats) that decides each question of a gate with this level."""
    main = level * (1 - EMERGENCY_SHARE if has_emergency else 1)
    return {
        Question.LIMIT: -math.log(main),
        Question.STABLE: -math.log(BESIDE_SHARE * main),
        Question.REFERENCE: -math.log(REFERENCE_SHARE * main),
        Question.EMERGENCY: -math.log(EMERGENCY_SHARE * level),
        Question.PROOF: -math.log(PROOF_LEVEL),
        Question.RELIEF: -math.log(PROOF_LEVEL),
    }


def bets_of(
    gate: Gate, terms: Terms, candidate: Value | None, stable: Value | None
) -> Iterator[Bet]:
    """Yield a rate gate's bets on the candidate's minute alone; means bet by the block.

    The comparison with stable is `comparison` and `compared_bets`.
    """
    match gate.metric:
        case RequestCount():
            return
        case Arrival(share):
            yield from _arrival_bets(share, terms, candidate, stable)
        case FailedRequests():
            yield from _budget_reference(terms, candidate)
        case _ if is_rate(gate) and candidate is not None and not gate.only_advances:
            yield from _limit_bets(gate, terms, candidate)
            yield from _reference_bets(gate, terms, candidate)


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides' bad requests and all of them, over the same minutes."""

    mine: int = 0
    of_mine: int = 0
    theirs: int = 0
    of_theirs: int = 0

    def __add__(self, other: Compared) -> Compared:
        """Return both stretches together."""
        return Compared(
            self.mine + other.mine,
            self.of_mine + other.of_mine,
            self.theirs + other.theirs,
            self.of_theirs + other.of_theirs,
        )

    @property
    def is_whole(self) -> bool:
        """Tell whether both sides had a request: before that nothing can be compared.

        Which minutes are taken together depends on how many requests there were, never on how
        many failed: so the test stays fair.
        """
        return self.of_mine > 0 and self.of_theirs > 0


NOTHING = Compared()


def comparison(
    gate: Gate, terms: Terms, candidate: Value | None, stable: Value | None
) -> Compared | None:
    """Return what a minute says of both sides; None where the gate compares no shares."""
    if isinstance(gate.metric, FailedRequests):
        return Compared(*failed_in(candidate), *failed_in(stable))
    if gate.versus_stable is None or not is_rate(gate):
        return None
    edge, beside = _edges(gate, terms.history)
    if edge is None:
        return None
    count = doubted if gate.only_advances else accused
    mine = count(gate, candidate, edge) if candidate is not None else (0, 0)
    theirs = accused(gate, stable, beside) if stable is not None else (0, 0)
    return Compared(*mine, *theirs)


def _edges(gate: Gate, history: History) -> tuple[float | None, float]:
    """Return where slow begins for the candidate and for stable, in the metric's unit."""
    versus = gate.versus_stable
    assert versus is not None
    if versus.better_by is not None and not isinstance(gate.metric, ResponseRate):
        if history.edge is None:
            return None, 0.0
        better = -versus.better_by if gate.limits.lower_is_better else versus.better_by
        return history.edge * (1 + better), history.edge
    edge = compared_edge(gate, history)[0]
    return edge, history.edge if history.edge is not None else edge


def compared_bets(gate: Gate, terms: Terms, seen: Compared) -> Iterator[Bet]:
    """Yield the bet on a whole stretch of both sides' requests."""
    hits = seen.mine + seen.theirs
    versus, cap = gate.versus_stable, dispersion.cap(terms.history.inflation)
    if versus is not None and versus.worse_by is not None and _is_response(gate):
        parts = kernel.margin_increments(
            seen.mine, seen.of_mine, seen.theirs, seen.of_theirs, versus.worse_by
        )
        yield Bet(Question.STABLE, kernel.MARGIN, parts, cap)
        return
    if not hits:
        return
    if versus is not None and versus.better_by is not None:
        ratio = 1 - versus.better_by if _is_response(gate) else 1.0
        share = kernel.share_rate(ratio, seen.of_mine, seen.of_theirs)
        parts = kernel.increments(kernel.PASS, seen.mine, hits, share)
        yield Bet(Question.PROOF, kernel.PASS, parts)
        return
    ratio = compared_edge(gate, terms.history)[1] if versus is not None else 1.0
    share = kernel.share_rate(ratio, seen.of_mine, seen.of_theirs)
    parts = kernel.increments(kernel.FAIL, seen.mine, hits, share)
    if percentile_of_gate(gate) is not None and terms.history.inflation is not None:
        noise = dispersion.tempering(
            terms.history.inflation, terms.history.per_minute, seen.of_mine, seen.of_theirs, share
        )
        parts = kernel.tempered(parts, noise)
    yield Bet(Question.STABLE, kernel.FAIL, parts, cap)


def _is_response(gate: Gate) -> bool:
    return isinstance(gate.metric, ResponseRate)


def _rate(grid: Grid, counted: tuple[int, int], allowed: float) -> tuple[float, ...]:
    return kernel.increments(grid, counted[0], counted[1], allowed)


def _limit_bets(gate: Gate, terms: Terms, candidate: Value) -> Iterator[Bet]:
    limits, cap = gate.limits, dispersion.cap(terms.history.inflation)
    counted: tuple[int, int] | None = None
    for question, limit in (
        (Question.LIMIT, limits.roll_back),
        (Question.EMERGENCY, limits.emergency),
    ):
        if limit is None:
            continue
        if counted is None or not _is_response(gate):  # whose failures no limit decides
            counted = accused(gate, candidate, limit)
        allowed = allowed_share(gate, limit)
        if counted[1] and 0 < allowed < 1:
            yield Bet(question, kernel.FAIL, _rate(kernel.FAIL, counted, allowed), cap)
    if terms.proves and limits.to_advance is not None:
        limit = limits.to_advance
        counted, allowed = doubted(gate, candidate, limit), allowed_share(gate, limit)
        if counted[1] and 0 < allowed < 1:
            yield Bet(Question.PROOF, kernel.PASS, _rate(kernel.PASS, counted, allowed))


def compared_edge(gate: Gate, history: History) -> tuple[float, float]:
    """Return where the candidate's slow requests begin (metric's unit), and the allowed ratio.

    "p95 at most 1.25 times stable's" is asked as: no more of the candidate's requests lie beyond
    1.25 x edge than of stable's beyond the edge. Both edges are fixed, so it is a test of shares.
    Without a history the gate's own limit is the edge of both, and the ratio is one of shares.
    """
    versus = gate.versus_stable
    assert versus is not None
    if isinstance(gate.metric, ResponseRate):
        return 0.0, versus.ratio or 1.0
    if history.edge is None:
        limit = gate.limits.roll_back
        return (limit if limit is not None else math.inf), versus.ratio or 1.0
    if versus.ratio is not None:
        return history.edge * versus.ratio, 1.0
    margin = versus.worse_by or 0.0
    return history.edge + (margin if gate.limits.lower_is_better else -margin), 1.0


def _reference_bets(gate: Gate, terms: Terms, candidate: Value) -> Iterator[Bet]:
    """Bet against stable's last day, where nothing is left on stable."""
    versus, history = gate.versus_stable, terms.history
    if versus is None or terms.weight != 100 or history.reference is None:
        return
    edge, ratio = compared_edge(gate, history)
    mine = accused(gate, candidate, edge)
    margin = versus.worse_by if isinstance(gate.metric, ResponseRate) else None
    allowed = min(history.reference * ratio + (margin or 0.0), HALF)
    if mine[1] and allowed > 0:
        cap = dispersion.cap(history.inflation)
        yield Bet(Question.REFERENCE, kernel.FAIL, _rate(kernel.FAIL, mine, allowed), cap)


def _arrival_bets(
    share: float, terms: Terms, candidate: Value | None, stable: Value | None
) -> Iterator[Bet]:
    """Bet that fewer of the requests reach the candidate than `share` of those promised."""
    mine, theirs = requests_in(candidate), requests_in(stable)
    if terms.weight < 100 and mine + theirs:
        promised = share * terms.weight / 100
        parts = kernel.increments(kernel.PASS, mine, mine + theirs, promised)
        cap = dispersion.cap(1.0)  # a minute more or less: at least three must say so
        yield Bet(Question.LIMIT, kernel.PASS, parts, cap)


def _budget_reference(terms: Terms, candidate: Value | None) -> Iterator[Bet]:
    """Bet that the candidate fails more often than stable did, where nothing is left on stable."""
    mine, reference = failed_in(candidate), terms.history.reference
    if terms.weight == 100 and reference and mine[1]:
        parts = _rate(kernel.FAIL, mine, min(reference, HALF))
        yield Bet(Question.REFERENCE, kernel.FAIL, parts, dispersion.cap(terms.history.inflation))


def requests_in(value: Value | None) -> int:
    """Return the requests of a minute."""
    return value.total if isinstance(value, CodeCounts) else 0


# Means ----------------------------------------------------------------------------------------


def bounds_of_gate(gate: Gate) -> tuple[float, float]:
    """Return the least and greatest value a minute's mean can have; what lies beyond is cut off.

    Where the plan does not say: 0 to 1 where all limits lie there, else 0 to twice the largest.
    """
    if gate.bounds is not None:
        return gate.bounds[0], gate.bounds[1]
    limits = gate.limits
    known = [
        abs(one)
        for one in (limits.to_advance, limits.roll_back, limits.emergency)
        if one is not None
    ]
    top = max(known, default=1.0)
    return 0.0, 1.0 if top <= 1 else 2 * top


def block_bets(
    gate: Gate, terms: Terms, mine: float, pair: tuple[float, float] | None, *, relief: bool
) -> Iterator[Bet]:
    """Yield a mean gate's bets on one block of minutes.

    mine: the candidate's mean over the block's minutes. pair: both sides' means over the minutes
    in which both had one.
    """
    limits = gate.limits
    for question, limit in (
        (Question.LIMIT, limits.roll_back),
        (Question.EMERGENCY, limits.emergency),
    ):
        if limit is not None:
            yield from _mean_beyond(gate, mine, limit, question)
    if terms.proves and limits.to_advance is not None:
        yield from _mean_within(gate, mine, limits.to_advance, Question.PROOF)
    if relief and limits.roll_back is not None:
        yield from _mean_within(gate, mine, limits.roll_back, Question.RELIEF)
    versus, reference = gate.versus_stable, terms.history.reference
    if versus is None:
        return
    if terms.weight == 100 and reference is not None:
        margin = versus.worse_by or 0.0
        low = gate.limits.lower_is_better
        bound = reference * (versus.ratio or 1.0) + (margin if low else -margin)
        yield from _mean_beyond(gate, mine, bound, Question.REFERENCE)
    if pair is not None:
        yield Bet(Question.STABLE, means.MEANS, _paired(gate, *pair))


def _mean_beyond(gate: Gate, mine: float, limit: float, question: Question) -> Iterator[Bet]:
    """Bet that the mean is beyond a limit: the candidate is accused."""
    if gate.limits.lower_is_better:
        yield from _above(gate, mine, limit, question)
    else:
        yield from _below(gate, mine, limit, question)


def _mean_within(gate: Gate, mine: float, limit: float, question: Question) -> Iterator[Bet]:
    """Bet that the mean is within a limit: the candidate is let through."""
    if gate.limits.lower_is_better:
        yield from _below(gate, mine, limit, question)
    else:
        yield from _above(gate, mine, limit, question)


def _above(gate: Gate, mine: float, limit: float, question: Question) -> Iterator[Bet]:
    least, _ = bounds_of_gate(gate)
    if limit > least:
        parts = means.nonnegative_increments(max(mine - least, 0.0), limit - least)
        yield Bet(question, means.MEANS, parts, dispersion.cap(1.0))


def _below(gate: Gate, mine: float, limit: float, question: Question) -> Iterator[Bet]:
    least, greatest = bounds_of_gate(gate)
    floor = (limit - least) / (greatest - least)
    if 0 < floor < 1:
        y = min(max((mine - least) / (greatest - least), 0.0), 1.0)
        yield Bet(question, means.MEANS, means.bounded_increments(y, floor))


def _paired(gate: Gate, mine: float, theirs: float) -> tuple[float, ...]:
    versus = gate.versus_stable
    assert versus is not None
    least, greatest = bounds_of_gate(gate)
    if versus.ratio is not None:
        return means.share_increments(
            max(mine - least, 0.0), max(theirs - least, 0.0), versus.ratio
        )
    worse = (mine - theirs) if gate.limits.lower_is_better else (theirs - mine)
    width = greatest - least
    return means.paired_increments(
        min(max(worse / width, -1.0), 1.0), min((versus.worse_by or 0.0) / width, 1.0)
    )
