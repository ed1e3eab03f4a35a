"""Many rollouts of one contestant in one cell, as figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median, stdev

from benchmarks.gates.cells import Cell, Metric, Noise
from benchmarks.gates.driver import End, Outcome

IN_TIME = 1.25


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of `runs` rollouts.

    rolled_back, promoted, held: shares of the runs. in_time: share promoted within 1.25 × the
    holds. excess, excess_error: mean failed requests beyond stable's until the rollback is in
    force, and its standard error. minute: median minute of data that decided the rollback, the
    first being 0; None without one. within_30: share rolled back on the first 30 minutes of data.
    seen: mean candidate requests behind a rollback. lasted: mean length of the promoted over the
    sum of the holds.
    """

    cell: str
    contestant: str
    runs: int
    rolled_back: float
    promoted: float
    held: float
    in_time: float
    excess: float
    excess_error: float
    minute: float | None
    within_30: float
    seen: float | None
    lasted: float | None


def tally(cell: Cell, contestant: str, outcomes: Iterable[Outcome]) -> Tally:
    """Sum up the rollouts of one contestant in one cell."""
    ran = list(outcomes)
    back = [o for o in ran if o.end is End.ROLLED_BACK]
    done = [o for o in ran if o.end is End.PROMOTED]
    excess = [o.excess for o in ran]
    return Tally(
        cell.name,
        contestant,
        len(ran),
        len(back) / len(ran),
        len(done) / len(ran),
        (len(ran) - len(back) - len(done)) / len(ran),
        sum(o.lasted <= IN_TIME * cell.nominal for o in done) / len(ran),
        fmean(excess),
        stdev(excess) / math.sqrt(len(ran)) if len(ran) > 1 else 0.0,
        median(o.minute for o in back) if back else None,
        sum(o.minute < 30 for o in back) / len(ran),
        fmean(o.seen for o in back) if back else None,
        fmean(o.lasted for o in done) / cell.nominal if done else None,
    )


def floor_requests(true_rate: float, limit: float, level: float = 0.01) -> float:
    """Return Wald's lower bound on the mean requests any test of power one needs (Wald 1945).

    ln(1/level) / KL(true_rate ‖ limit); rates are fractions, true_rate > limit.
    """
    kl = true_rate * math.log(true_rate / limit)
    if true_rate < 1:
        kl += (1 - true_rate) * math.log((1 - true_rate) / (1 - limit))
    return math.log(1 / level) / kl


def floor_of(cell: Cell) -> float | None:
    """Return the least mean candidate requests for this cell; None where there is no bound."""
    candidate = cell.candidate
    plain = cell.metric is Metric.ERRORS and cell.noise is Noise.NONE
    if not plain or candidate.late or candidate.poison or candidate.errors <= cell.limit:
        return None
    return floor_requests(candidate.errors, cell.limit)
