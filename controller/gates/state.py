"""What a gate carries from minute to minute, and how one minute changes it.

Each minute is absorbed once, in order. The stage's tally begins anew with every stage; wealth,
once bet, goes through the whole rollout: that is what makes one error budget enough for all
stages and looks. A fail latches at the minute in which it was proved, however seldom anybody
looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from controller.gates import kernel, tally
from controller.gates.betting import (
    NOTHING,
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
from controller.gates.counting import allowed_share, failed_in, is_rate
from controller.gates.dispersion import BLOCK_MAX
from controller.gates.evidence import CodeCounts, Histogram, Minute, Number, Value
from controller.gates.history import mean_of_minute
from controller.gates.kernel import FIRST, STAGE, Wealth
from controller.gates.rise import NOTABLE, Rise, followed, relief_bets
from controller.gates.tally import Tally
from controller.gates.trend import Trend, with_minute
from controller.plan.model import Arrival, FailedRequests, Gate, RequestCount

_BET_ON_COUNTS = (Arrival, FailedRequests)
_ASKED_ANEW = (Question.LIMIT, Question.RELIEF)


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
    in this stage. failed: what was proved against the candidate, and in which minute. rise: the
    minutes that speak against it now. failing_since: since when it is proved to be over its limit
    while stable is as bad. pending: a stretch in which one side had no request yet. excess: failed
    requests beyond stable's rate (`max_failed_requests`).
    """

    tally: Tally = Tally()
    wealth: Mapping[Question, Wealth] = field(default_factory=dict)
    touched: frozenset[Question] = frozenset()
    failed: Question | None = None
    failed_at: datetime | None = None
    rise: Rise | None = None
    failing_since: datetime | None = None
    pending: Compared = NOTHING
    block: Block = Block()
    trend: Trend = Trend()
    excess: float = 0.0

    def in_new_stage(self) -> State:
        """Return the state as it enters a stage: an empty tally, all wealth kept."""
        rise = self.rise and replace(self.rise, before=Tally())
        return replace(self, tally=Tally(), touched=frozenset(), rise=rise, pending=NOTHING)

    def forgiven(self) -> State:
        """Return the state after its fail was acted upon and the rollout goes on: bets anew.

        Only a state that failed is ever forgiven, so the chance that a good candidate fails at
        all stays what it was.
        """
        if self.failed is None:
            return self
        over = {q for q in Question if q is not Question.EMERGENCY or q is self.failed}
        kept = {q: wealth for q, wealth in self.wealth.items() if q not in over}
        return replace(
            self,
            wealth=kept,
            touched=frozenset(kept),
            failed=None,
            failed_at=None,
            rise=None,
            failing_since=None,
        )

    def without(self, question: Question) -> State:
        """Return the state with a question asked anew."""
        return replace(self, wealth={q: w for q, w in self.wealth.items() if q != question})

    def log_evidence(self, question: Question) -> float:
        """Return the evidence on a question, in nats; 0 where nothing was bet."""
        found = self.wealth.get(question)
        return found.log_evidence if found is not None else 0.0


def absorb(gate: Gate, terms: Terms, state: State, minute: Minute, *, in_stage: bool) -> State:
    """Return the state with one more minute in it.

    in_stage: whether the minute belongs to the stage; else it is the tail of the stage before,
    which counts as evidence but not for the stage's own sample.
    """
    counted = tally.absorb(gate, state.tally, minute) if in_stage else state.tally
    pending, block, trend, excess = state.pending, state.block, state.trend, state.excess
    rise = state.rise
    bets: list[Bet] = []
    if is_rate(gate) or isinstance(gate.metric, _BET_ON_COUNTS):
        if in_stage and pending is not NOTHING and state.tally == Tally():
            pending = NOTHING  # begun at another weight
        bets += bets_of(gate, terms, minute.candidate, minute.stable)
        pending, compared = _compared(gate, terms, pending, minute)
        bets += compared
        if rise is not None and (rise.weight >= NOTABLE or state.failing_since is not None):
            bets += relief_bets(gate, rise, minute)
        if isinstance(gate.metric, FailedRequests):
            excess = _excess(terms, state, minute)
        elif gate.versus_stable is not None and not gate.only_advances:
            held = state.failing_since is not None
            rise = followed(gate, rise, minute, state.tally, held=held)
            if rise is None and _was_shared(gate, state.rise):
                kept = state.rise.before if state.rise is not None else Tally()
                counted = tally.absorb(gate, kept, minute) if in_stage else kept
    elif not gate.only_advances:
        block, found = _mean_bets(gate, terms, state, minute)
        bets += found
    elif not isinstance(gate.metric, RequestCount):
        trend = _trend(gate, trend, minute)
    wealth, touched = _settled(terms, state, bets, in_stage=in_stage)
    # Written out, and once: `replace` takes several times as long, for every minute of every gate.
    after = State(
        counted, wealth, touched, state.failed, state.failed_at, rise, state.failing_since,
        pending, block, trend, excess,
    )  # fmt: skip
    return _concluded(gate, terms, after, minute.end)


def _was_shared(gate: Gate, rise: Rise | None) -> bool:
    """Tell whether a rise that just ended was one of both revisions: no sample of the candidate."""
    limit = gate.limits.roll_back
    if rise is None or limit is None or rise.weight < NOTABLE:
        return False
    return rise.is_shared(allowed_share(gate, limit))


def _compared(
    gate: Gate, terms: Terms, pending: Compared, minute: Minute
) -> tuple[Compared, Iterable[Bet]]:
    """Bet on both sides' requests as soon as both have one; until then minutes add up."""
    seen = comparison(gate, terms, minute.candidate, minute.stable)
    if seen is None:
        return pending, ()
    whole = pending + seen if pending is not NOTHING else seen
    return (NOTHING, compared_bets(gate, terms, whole)) if whole.is_whole else (whole, ())


def _settled(
    terms: Terms, state: State, bets: Iterable[Bet], *, in_stage: bool
) -> tuple[Mapping[Question, Wealth], frozenset[Question]]:
    """Return the wealth after these bets, and the questions bet on in this stage.

    What a new stage puts in at first is for its own minutes, not for the tail of the one before.
    """
    wealth, touched = dict(state.wealth), state.touched
    for bet in bets:
        question = bet.question
        before = wealth.get(question)
        if before is None or (before.bets and len(before.bets) != len(bet.increments)):
            before, fraction = Wealth(), FIRST
        else:
            is_first = in_stage and question not in touched
            fraction = STAGE if is_first else 1 / terms.spread
        wealth[question] = kernel.settled(bet.grid, before, bet.increments, fraction, bet.cap)
        if in_stage and question not in touched:
            touched = touched | {question}
    return wealth, touched


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
    if Question.RELIEF in proved:
        return _over(gate, state)
    if state.failing_since is None and Question.LIMIT in proved and _is_shared(gate, terms, state):
        return replace(state, failing_since=state.rise.since if state.rise is not None else end)
    return state


def _is_shared(gate: Gate, terms: Terms, state: State) -> bool:
    """Tell whether stable is over the limit as well, or nothing is left on it.

    Else it is only not yet proved that the candidate is worse.
    """
    limit = gate.limits.roll_back
    if gate.versus_stable is None or limit is None:
        return False
    if terms.weight == 100:
        return True
    if state.rise is None:
        return not is_rate(gate)  # only of rates are the minutes known that speak against it
    return state.rise.is_shared(allowed_share(gate, limit))


def _failing(gate: Gate, terms: Terms, state: State, proved: set[Question]) -> Question | None:
    """Return the question by which the candidate fails, None while it does not."""
    if Question.EMERGENCY in proved:
        return Question.EMERGENCY
    if not _is_judged(gate):
        return None
    beyond_reference = Question.REFERENCE in proved and terms.reference_decides
    worse = Question.STABLE in proved or beyond_reference
    if isinstance(gate.metric, FailedRequests):
        return Question.STABLE if worse and state.excess >= gate.metric.budget else None
    if gate.limits.roll_back is None and not isinstance(gate.metric, Arrival):
        return Question.STABLE if worse else None
    if Question.LIMIT not in proved:
        return None
    alone = not terms.in_test and not is_compared(gate, terms, state)
    return Question.LIMIT if worse or alone else None


def _is_judged(gate: Gate) -> bool:
    """Tell whether anything but an emergency fails the gate; not where it was stepped back from."""
    on_its_own = isinstance(gate.metric, _BET_ON_COUNTS)
    return on_its_own or gate.versus_stable is not None or gate.limits.roll_back is not None


def is_compared(gate: Gate, terms: Terms, state: State) -> bool:
    """Tell whether there is anything of stable to compare with; else the limit decides alone."""
    if gate.versus_stable is None:
        return False
    if terms.weight == 100:
        return terms.history.reference is not None
    return state.tally.stable.total > 0 or Question.STABLE in state.wealth


def _over(gate: Gate, state: State) -> State:
    """Return the state once what spoke against the candidate has ended.

    Where it was proved, or stable was over the limit as well, it was no sample of the candidate.
    """
    rise = state.rise
    if state.failing_since is not None:
        return relieved(state)
    wealth = {q: w for q, w in state.wealth.items() if q not in _ASKED_ANEW[1:]}
    if rise is None or not _was_shared(gate, rise):
        return replace(state, wealth=wealth, rise=None)
    return replace(state, tally=rise.before, wealth=wealth, rise=None)


def relieved(state: State) -> State:
    """Return the state after an incident: what accused both revisions accuses nobody now.

    Where both were failing, its minutes are no sample of the candidate either. The question is
    asked anew only because it had been decided, which a good candidate's alone is with at most the
    gate's level: both together stay within it.
    """
    wealth = {q: w for q, w in state.wealth.items() if q not in _ASKED_ANEW}
    kept = state.tally
    if state.failing_since is not None:
        kept = state.rise.before if state.rise is not None else Tally()
    return replace(state, tally=kept, wealth=wealth, rise=None, failing_since=None)


def _excess(terms: Terms, state: State, minute: Minute) -> float:
    (mine, requests), (theirs, of_stable) = failed_in(minute.candidate), failed_in(minute.stable)
    if not requests:
        return state.excess
    usual = theirs / of_stable if of_stable else (terms.history.reference or 0.0)
    return state.excess + mine - requests * usual


# Means ----------------------------------------------------------------------------------------


def _trend(gate: Gate, trend: Trend, minute: Minute) -> Trend:
    mine, theirs = mean_of_minute(minute.candidate), mean_of_minute(minute.stable)
    if mine is None:
        return trend
    weights = (_observations(minute.candidate), _observations(minute.stable))
    return with_minute(gate, trend, minute.end, mine, theirs, weights)


def _mean_bets(
    gate: Gate, terms: Terms, state: State, minute: Minute
) -> tuple[Block, Iterable[Bet]]:
    """Return the block with one more minute in it, or an empty one and the bets on a whole one."""
    mine, theirs = mean_of_minute(minute.candidate), mean_of_minute(minute.stable)
    block = state.block
    if mine is None:
        return block, ()
    minutes, total = block.minutes + 1, block.mine + mine
    pairs, paired, beside = block.pairs, block.mine_paired, block.theirs
    if theirs is not None:
        pairs, paired, beside = pairs + 1, paired + mine, beside + theirs
    if minutes < _block_length(gate, terms):
        return Block(minutes, total, pairs, paired, beside), ()
    pair = (paired / pairs, beside / pairs) if pairs else None
    relief = state.failing_since is not None
    return Block(), block_bets(gate, terms, total / minutes, pair, relief=relief)


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
