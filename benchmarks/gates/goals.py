"""The goals, and what misses them.

A share is measured on finitely many rollouts: it misses a goal when chance alone would bring it so
far beyond in less than 2.3% of the cases, so that a slice of 100 rollouts does not fail by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gates.cells import Cell, Metric, Noise
from benchmarks.gates.contestants import OURS, peer_of, usual
from benchmarks.gates.driver import End
from benchmarks.gates.evidence import Ratio
from benchmarks.gates.tally import Tally

ROLLED_BACK = End.ROLLED_BACK
FALSE = 0.01
FALSE_OWN = 0.02
FALSE_INCIDENT = 0.02
FAIR_PEER = 0.05
HARM_OF_BEST = 1.5
HARM_OF_TUNED = 0.5
EVIDENCE = 1.6
POISON = 0.95
X3_PROMOTED = 0.01
IN_TIME, IN_TIME_ION = 0.95, 0.90
CHANCE = 0.023

By = dict[tuple[str, str], Tally]


@dataclass(frozen=True, slots=True)
class Missed:
    """A goal that a cell misses, with the numbers."""

    goal: str
    cell: str
    text: str


def check(
    chosen: dict[str, Cell], results: list[Tally], tuned: list[str], ratios: list[Ratio]
) -> list[Missed]:
    """Return everything that misses a goal."""
    by = {(t.cell, t.contestant): t for t in results}
    found: list[Missed] = []
    for cell in chosen.values():
        ours = by[cell.name, OURS]
        found += _good(cell, ours) if not cell.candidate.bad else _bad(cell, ours, by)
    found += _tuned(chosen, by, tuned)
    found += [
        Missed(
            f"evidence ≤ {EVIDENCE} × floor", f"{r.factor:g}x of {r.limit:.1%}", f"{r.ratio:.2f}"
        )
        for r in ratios
        if r.factor >= 3 and r.ratio > EVIDENCE
    ]
    return found


def allowed_false(cell: Cell) -> float | None:
    """Return the share of good releases that may be rolled back; None where it is only reported."""
    match cell.noise:
        case Noise.STORMS_10:
            return None
        case Noise.INCIDENT_LONG | Noise.INCIDENT_SHIFT:
            return FALSE_INCIDENT
        case Noise.CLUSTERS | Noise.STORMS_3 | Noise.BETA | Noise.AR_OWN:
            return FALSE_OWN
        case _:
            return FALSE


def _good(cell: Cell, ours: Tally) -> Iterator[Missed]:
    allowed = allowed_false(cell)
    if allowed is not None and _beyond(ours.rolled_back, allowed, ours.runs):
        yield Missed(f"good rolled back ≤ {allowed:.0%}", cell.name, f"{ours.rolled_back:.1%}")
    wanted = in_time_goal(cell)
    if wanted is not None and _beyond(1 - ours.in_time, 1 - wanted, ours.runs):
        text = f"{ours.in_time:.1%}, held {ours.held:.1%}"
        yield Missed(f"good finished in 1.25 × holds ≥ {wanted:.0%}", cell.name, text)


def in_time_goal(cell: Cell) -> float | None:
    """Return the share of good releases that must finish in time; None where none is set.

    A hold of 10 minutes and the delay of 4 are 1.4 holds: there no rule that waits for its
    evidence can be in time.
    """
    if cell.noise is not Noise.NONE or cell.hold < 30:
        return None
    if cell.rate >= 2:
        return IN_TIME
    return IN_TIME_ION if cell.rate < 0.01 else None


def _bad(cell: Cell, ours: Tally, by: By) -> Iterator[Missed]:
    poison = cell.candidate.poison and cell.rate >= 2
    if poison and _beyond(1 - ours.within_30, 1 - POISON, ours.runs):
        text = f"{ours.within_30:.1%} in 30 minutes of data, {ours.rolled_back:.1%} at all"
        yield Missed(f"poison rolled back ≥ {POISON:.0%}", cell.name, text)
    if cell.candidate.kind == "x3" and _beyond(ours.promoted, X3_PROMOTED, ours.runs):
        yield Missed(f"×3 promoted ≤ {X3_PROMOTED:.0%}", cell.name, f"{ours.promoted:.1%}")
    best = best_fair(cell, by)
    if best is not None:
        most = HARM_OF_BEST * (best.excess + 2 * best.excess_error)
        if ours.excess - 2 * ours.excess_error > max(most, 1.0):
            text = f"{ours.excess:.1f} against {best.excess:.1f} of {best.contestant}"
            yield Missed(f"excess ≤ {HARM_OF_BEST} × best fair peer", cell.name, text)


def best_fair(cell: Cell, by: By) -> Tally | None:
    """Return the peer with the least excess among those that roll back few of the good twins."""
    fair = [
        by[cell.name, name]
        for name in usual()[1:]
        if (cell.twin, name) in by and by[cell.twin, name].rolled_back <= FAIR_PEER
    ]
    return min(fair, key=lambda t: t.excess) if fair else None


def _tuned(chosen: dict[str, Cell], by: By, tuned: list[str]) -> Iterator[Missed]:
    ours = total_excess(chosen, by, OURS)
    for name in tuned:
        theirs = total_excess(chosen, by, name)
        if ours > HARM_OF_TUNED * theirs:
            text = f"{ours:,.0f} against {theirs:,.0f} ({ours / theirs:.2f})"
            yield Missed(f"excess ≤ {HARM_OF_TUNED} × tuned {peer_of(name).name}", "the grid", text)


def total_excess(chosen: dict[str, Cell], by: By, contestant: str) -> float:
    """Return the mean excess failures summed over the bad cells that count errors."""
    return sum(
        by[c.name, contestant].excess
        for c in chosen.values()
        if c.candidate.bad and c.metric is Metric.ERRORS
    )


def mean_ratio(chosen: dict[str, Cell], by: By, contestant: str) -> float:
    """Return the geometric mean over the bad cells of our excess over the contestant's.

    Every cell weighs the same here; in the sum those with most traffic do. One failed request is
    added on both sides, so that cells where hardly anything fails do not decide.
    """
    logs = [
        math.log(
            (max(0.0, by[c.name, OURS].excess) + 1) / (max(0.0, by[c.name, contestant].excess) + 1)
        )
        for c in chosen.values()
        if c.candidate.bad and c.metric is Metric.ERRORS
    ]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def _beyond(share: float, allowed: float, runs: int) -> bool:
    """Tell whether so many of the runs are too many for a true share of `allowed` (0..1)."""
    count = round(share * runs)
    fewer = sum(math.comb(runs, k) * allowed**k * (1 - allowed) ** (runs - k) for k in range(count))
    return share > allowed and 1 - fewer < CHANCE
