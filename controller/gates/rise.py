"""Since when have a gate's minutes spoken against the candidate, and does stable suffer as well?

It decides no fail: it tells when what is proved later began, what both revisions suffered
since, and which sample counts once that is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from controller.gates import kernel
from controller.gates.betting import NOTHING, Bet, Compared, Question
from controller.gates.counting import accused, allowed_share
from controller.gates.evidence import Minute
from controller.gates.tally import Tally
from controller.plan.model import Gate, ResponseRate

LN2 = math.log(2)
NOTABLE = 3.0  # nats, from which on it is asked whether it is over
MOST = 10.0  # nats: more is not remembered, so that a rise can end


@dataclass(frozen=True, slots=True)
class Rise:
    """A stretch of minutes that speak for "over the limit to roll back".

    since: its first minute. weight: how much they speak for it (nats, above 0). seen: what both
    sides suffered, by that limit. before: the stage's tally when it began.
    """

    since: datetime
    weight: float
    seen: Compared = NOTHING
    before: Tally = Tally()

    @property
    def share(self) -> float:
        """Return the bad share of both revisions' requests together (fraction)."""
        requests = self.seen.of_mine + self.seen.of_theirs
        return (self.seen.mine + self.seen.theirs) / requests if requests else 0.0

    def is_shared(self, allowed: float) -> bool:
        """Tell whether stable too was over the limit."""
        return self.seen.theirs > allowed * self.seen.of_theirs


def counted(gate: Gate, minute: Minute, limit: float) -> Compared:
    """Return both sides' requests beyond the limit to roll back in a minute, and all of them."""
    mine = accused(gate, minute.candidate, limit) if minute.candidate is not None else (0, 0)
    theirs = accused(gate, minute.stable, limit) if minute.stable is not None else (0, 0)
    return Compared(*mine, *theirs)


def followed(
    gate: Gate, rise: Rise | None, minute: Minute, tally: Tally, *, held: bool
) -> Rise | None:
    """Return the rise after one more minute; None where there is none.

    A cumulative sum of log likelihood ratios for twice the odds of the limit, never below zero
    (Page 1954). tally: the stage's before this minute. held: it is proved, and ends otherwise.
    """
    limit = gate.limits.roll_back
    if limit is None:
        return None
    bad, requests = accused(gate, minute.candidate, limit) if minute.candidate else (0, 0)
    weight = rise.weight if rise is not None else 0.0
    weight += bad * LN2 - requests * math.log1p(allowed_share(gate, limit))
    weight = min(weight, MOST)
    if weight <= 0 and not held:
        return None
    theirs = accused(gate, minute.stable, limit) if minute.stable is not None else (0, 0)
    seen = Compared(bad, requests, *theirs)
    if rise is not None:
        return Rise(rise.since, max(weight, 0.0), rise.seen + seen, rise.before)
    # Histograms would need too much room in the record: there the sample begins anew.
    kept = tally if isinstance(gate.metric, ResponseRate) else Tally()
    return Rise(minute.end, weight, seen, kept)


def relief_bets(gate: Gate, rise: Rise, minute: Minute) -> Iterator[Bet]:
    """Bet that what hit the revisions is over: all requests fail half as often, or too little."""
    limit = gate.limits.roll_back
    if limit is None:
        return
    seen = counted(gate, minute, limit)
    requests = seen.of_mine + seen.of_theirs
    allowed = max(allowed_share(gate, limit), rise.share / 2)
    if requests and 0 < allowed < 1:
        parts = kernel.increments(kernel.PASS, seen.mine + seen.theirs, requests, allowed)
        yield Bet(Question.RELIEF, kernel.PASS, parts)
