"""What a gate carries from minute to minute, and how one minute changes it.

Each minute is absorbed once, in order. The stage's tally begins anew with every stage; wealth,
once bet, goes through the whole rollout: that is what makes one error budget enough for all
stages and looks. A fail latches at the minute in which it was proved, however seldom anybody
looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from controller.gates import kernel, tally
from controller.gates.betting import (
    Bet,
    Compared,
    Question,
    Terms,
    bets_of,
    block_bets,
    compared_bets,
    comparison,
    thresholds,
)
from controller.gates.counting import accused, allowed_share, failed_in, is_rate
from controller.gates.dispersion import BLOCK_MAX
from controller.gates.evidence import CodeCounts, Histogram, Minute, Number, Value
from controller.gates.history import mean_of_minute
from controller.gates.kernel import FIRST, STAGE, Wealth
from controller.gates.tally import Tally
from controller.gates.trend import Trend, with_minute
from controller.plan.model import Arrival, FailedRequests, Gate, RequestCount, ResponseRate

LN2 = math.log(2)
NOTHING = Compared()


@dataclass(frozen=True, slots=True)
class Block:
    """Minutes of a mean that are not yet a whole block: counts and sums of minutes' means."""

    minutes: int = 0
    mine: float = 0.0
    pairs: int = 0
    mine_paired: float = 0.0
    theirs: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """A gate's evidence.

    tally: of this stage. wealth: by question, through the rollout. touched: the questions bet on
    in this stage. failed: what was proved against the candidate, and in which minute.
    rising, rose_at: how much the latest minutes speak for "over the limit" (nats, never below 0),
    and since which minute they do; suffered: the bad requests of both revisions since then, and
    all of them. failing_since: that minute, once it is proved, and stable is as bad. before:
    the stage's tally when that began, which is what counts once it is over. pending: a
    stretch in which one side had no request yet. excess: failed requests beyond stable's rate
    (`max_failed_requests`).
    """

    tally: Tally = Tally()
    wealth: Mapping[Question, Wealth] = field(default_factory=dict)
    touched: frozenset[Question] = frozenset()
    failed: Question | None = None
    failed_at: datetime | None = None
    rising: float = 0.0
    rose_at: datetime | None = None
    suffered: tuple[int, int] = (0, 0)
    failing_since: datetime | None = None
    before: Tally = Tally()
    pending: Compared = NOTHING
    block: Block = Block()
    trend: Trend = Trend()
    excess: float = 0.0

    def in_new_stage(self) -> State:
        """Return the state as it enters a stage: an empty tally, all wealth kept."""
        return replace(self, tally=Tally(), touched=frozenset(), before=Tally(), pending=NOTHING)

    def forgiven(self) -> State:
        """Return the state after its fail was acted upon and the rollout goes on: bets anew.

        Only a state that failed is ever forgiven, so the chance that a good candidate fails at
        all stays what it was.
        """
        if self.failed is None:
            return self
        over = {q for q in Question if q is not Question.EMERGENCY or q is self.failed}
        kept = {q: wealth for q, wealth in self.wealth.items() if q not in over}
        return replace(self, wealth=kept, touched=frozenset(kept), failed=None, failed_at=None)

    def log_evidence(self, question: Question) -> float:
        """Return the evidence on a question, in nats; 0 where nothing was bet."""
        found = self.wealth.get(question)
        return found.log_evidence if found is not None else 0.0


def absorb(gate: Gate, terms: Terms, state: State, minute: Minute, *, in_stage: bool) -> State:
    """Return the state with one more minute in it.

    in_stage: whether the minute belongs to the stage; else it is the tail of the stage before,
    which counts as evidence but not for the stage's own sample.
    """
    before = state.tally
    if in_stage:
        if state.pending is not NOTHING and state.tally == Tally():
            state = replace(state, pending=NOTHING)  # begun at another weight
        state = replace(state, tally=tally.absorb(gate, state.tally, minute))
    if isinstance(gate.metric, RequestCount):
        return state
    if is_rate(gate) or isinstance(gate.metric, Arrival | FailedRequests):
        alone = bets_of(gate, terms, minute.candidate, minute.stable)
        state, compared = _compared(gate, terms, state, minute)
        relief = _relief(gate, state, minute) if state.failing_since is not None else ()
        bets: Iterable[Bet] = (*alone, *compared, *relief)
        if isinstance(gate.metric, FailedRequests):
            state = _with_excess(terms, state, minute)
    else:
        state, bets = _mean_bets(gate, terms, state, minute)
    if gate.versus_stable is not None and is_rate(gate):
        state = _risen(gate, state, minute, before)
    return _concluded(gate, terms, _settled(terms, state, bets), minute.end)


def _compared(
    gate: Gate, terms: Terms, state: State, minute: Minute
) -> tuple[State, Iterable[Bet]]:
    """Bet on both sides' requests as soon as both have one; until then minutes add up."""
    seen = comparison(gate, terms, minute.candidate, minute.stable)
    if seen is None:
        return state, ()
    whole = state.pending + seen if state.pending is not NOTHING else seen
    if not whole.is_whole:
        return replace(state, pending=whole), ()
    if state.pending is not NOTHING:
        state = replace(state, pending=NOTHING)
    return state, compared_bets(gate, terms, whole)


def _relief(gate: Gate, state: State, minute: Minute) -> Iterator[Bet]:
    """Bet that what hit both revisions is over: together they fail half as often, or too little."""
    limit = gate.limits.roll_back
    bad, requests = total(gate, minute)
    if limit is None or not requests:
        return
    before = state.suffered[0] / state.suffered[1] if state.suffered[1] else 0.0
    allowed = max(allowed_share(gate, limit), before / 2)
    if 0 < allowed < 1:
        parts = kernel.increments(kernel.PASS, bad, requests, allowed)
        yield Bet(Question.RELIEF, kernel.PASS, parts)


def _risen(gate: Gate, state: State, minute: Minute, before: Tally) -> State:
    """Note since when the candidate's minutes have spoken for "over the limit".

    A cumulative sum of log likelihood ratios, for twice the odds of the limit, that is never
    below zero (Page 1954): it decides nothing, it only tells when what is proved later began.
    """
    limit = gate.limits.roll_back
    if limit is None:
        return state
    rising, rose_at, suffered = state.rising, state.rose_at, state.suffered
    if minute.candidate is not None and state.failing_since is None:
        bad, requests = accused(gate, minute.candidate, limit)
        rising += bad * LN2 - requests * math.log1p(allowed_share(gate, limit))
        if rising <= 0:
            if rose_at is None:
                return state
            return replace(state, rising=0.0, rose_at=None, suffered=(0, 0), before=Tally())
    if rose_at is None and rising <= 0:
        return state
    bad, requests = total(gate, minute)
    suffered = (suffered[0] + bad, suffered[1] + requests)
    if rose_at is not None:
        return replace(state, rising=rising, suffered=suffered)
    # Histograms would need too much room in the record: there the sample begins anew.
    kept = before if isinstance(gate.metric, ResponseRate) else Tally()
    return replace(state, rising=rising, rose_at=minute.end, suffered=suffered, before=kept)


def total(gate: Gate, minute: Minute) -> tuple[int, int]:
    """Return the bad requests of both revisions in a minute, by the limit to roll back, and all."""
    limit = gate.limits.roll_back
    sides = [side for side in (minute.candidate, minute.stable) if side is not None]
    if limit is None or not is_rate(gate):
        return 0, 0
    counted = [accused(gate, side, limit) for side in sides]
    return sum(bad for bad, _ in counted), sum(requests for _, requests in counted)


def _settled(terms: Terms, state: State, bets: Iterable[Bet]) -> State:
    wealth, touched = dict(state.wealth), state.touched
    for bet in bets:
        before = wealth.get(bet.question)
        if before is None:
            before, fraction = Wealth(), FIRST
        else:
            fraction = 1 / terms.spread if bet.question in touched else STAGE
        wealth[bet.question] = kernel.settled(bet.grid, before, bet.increments, fraction, bet.cap)
        if bet.question not in touched:
            touched = touched | {bet.question}
    return replace(state, wealth=wealth, touched=touched)


def _concluded(gate: Gate, terms: Terms, state: State, end: datetime) -> State:
    """Latch what this minute has proved; note when both revisions fail, and when that is over."""
    if state.failed is Question.EMERGENCY or gate.only_advances:
        return state
    enough = thresholds(terms.level, gate.limits.emergency is not None)
    proved = {q for q, wealth in state.wealth.items() if wealth.log_evidence >= enough[q]}
    if not proved:
        return state
    failed = _failing(gate, terms, state, proved)
    if state.failed is not None and failed is not Question.EMERGENCY:
        return state  # latched already; only an emergency is worse
    if failed is not None:
        return replace(state, failed=failed, failed_at=end)
    if state.failing_since is None:
        if gate.versus_stable is not None and Question.LIMIT in proved:
            return replace(state, failing_since=state.rose_at or end)
        return state
    return relieved(state) if Question.RELIEF in proved else state


def _failing(gate: Gate, terms: Terms, state: State, proved: set[Question]) -> Question | None:
    """Return the question by which the candidate fails, None while it does not."""
    if Question.EMERGENCY in proved:
        return Question.EMERGENCY
    beyond_reference = Question.REFERENCE in proved and terms.reference_decides
    worse = Question.STABLE in proved or beyond_reference
    if isinstance(gate.metric, FailedRequests):
        return Question.STABLE if worse and state.excess >= gate.metric.budget else None
    if gate.limits.roll_back is None and not isinstance(gate.metric, Arrival):
        return Question.STABLE if worse else None
    if Question.LIMIT not in proved:
        return None
    return Question.LIMIT if worse or not is_compared(gate, terms, state) else None


def relieved(state: State) -> State:
    """Return the state after an incident: what accused both revisions accuses nobody now.

    Its minutes are no sample of the candidate either.

    The question is asked anew only because it had been decided, which a good candidate's alone is
    with at most the gate's level: both together stay within it.
    """
    asked_anew = (Question.LIMIT, Question.RELIEF)
    wealth = {q: w for q, w in state.wealth.items() if q not in asked_anew}
    return replace(
        state,
        tally=state.before,
        wealth=wealth,
        rising=0.0,
        rose_at=None,
        suffered=(0, 0),
        failing_since=None,
        before=Tally(),
    )


def is_compared(gate: Gate, terms: Terms, state: State) -> bool:
    """Tell whether there is anything of stable to compare with; else the limit decides alone."""
    if gate.versus_stable is None:
        return False
    if terms.weight == 100:
        return terms.history.reference is not None
    return state.tally.stable.total > 0 or Question.STABLE in state.wealth


def _with_excess(terms: Terms, state: State, minute: Minute) -> State:
    (mine, requests), (theirs, of_stable) = failed_in(minute.candidate), failed_in(minute.stable)
    if not requests:
        return state
    usual = theirs / of_stable if of_stable else (terms.history.reference or 0.0)
    return replace(state, excess=state.excess + mine - requests * usual)


# Means ----------------------------------------------------------------------------------------


def _mean_bets(
    gate: Gate, terms: Terms, state: State, minute: Minute
) -> tuple[State, Iterable[Bet]]:
    relief = state.failing_since is not None
    mine, theirs = mean_of_minute(minute.candidate), mean_of_minute(minute.stable)
    if mine is None:
        return state, ()
    if gate.only_advances:
        weights = (_observations(minute.candidate), _observations(minute.stable))
        return replace(
            state, trend=with_minute(gate, state.trend, minute.end, mine, theirs, weights)
        ), ()
    block = state.block
    block = replace(block, minutes=block.minutes + 1, mine=block.mine + mine)
    if theirs is not None:
        block = replace(
            block,
            pairs=block.pairs + 1,
            mine_paired=block.mine_paired + mine,
            theirs=block.theirs + theirs,
        )
    if block.minutes < _block_length(gate, terms):
        return replace(state, block=block), ()
    pair = (block.mine_paired / block.pairs, block.theirs / block.pairs) if block.pairs else None
    bets = block_bets(gate, terms, block.mine / block.minutes, pair, relief=relief)
    return replace(state, block=Block()), bets


def _block_length(gate: Gate, terms: Terms) -> int:
    """Return how many minutes count as one: a ratio of means needs five (see `means`)."""
    versus = gate.versus_stable
    by_ratio = versus is not None and versus.ratio is not None
    return max(terms.history.block, BLOCK_MAX if by_ratio else 1)


def _observations(value: Value | None) -> int:
    match value:
        case Histogram() | CodeCounts():
            return value.total
        case Number():
            return 1
        case _:
            return 0
