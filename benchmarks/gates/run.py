"""Run the grid: `python -m benchmarks.gates.run`, `SLICE=ci` for the short list.

Prints a line per cell, then what the goals make of it; writes a JSON of all figures, and with
--report the tables for docs/gates.md. Ends with 1 where a goal is missed, naming the cells.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

from benchmarks.gates import evidence, figures, goals, tables
from benchmarks.gates.cells import Cell
from benchmarks.gates.contestants import OURS, PEERS, Peer, policy_of, usual
from benchmarks.gates.driver import Outcome, roll_out
from benchmarks.gates.grid import SLICE, cells
from benchmarks.gates.tally import Tally, tally
from benchmarks.gates.worlds import World

CHUNK = 25
TUNE_RUNS = 50  # rollouts a good cell for each value of a knob that is tried
Task = tuple[str, int, int, tuple[str, ...]]


def play(task: Task) -> tuple[str, dict[str, list[Outcome]]]:
    """Run some rollouts of a cell (name, first, count, contestants); a worker's errand."""
    name, first, count, contestants = task
    cell = cells()[name]
    outcomes: dict[str, list[Outcome]] = {c: [] for c in contestants}
    for rollout in range(first, first + count):
        world = World(cell, rollout)
        for contestant in contestants:
            outcomes[contestant].append(roll_out(world, policy_of(contestant)))
    return name, outcomes


def played(
    pool: Pool, names: Iterable[str], runs: int, contestants: Iterable[str]
) -> Iterator[tuple[str, dict[str, list[Outcome]]]]:
    """Yield each cell with all its rollouts, in the order of the names."""
    who = tuple(contestants)
    tasks = [
        (name, first, min(CHUNK, runs - first), who)
        for name in names
        for first in range(0, runs, CHUNK)
    ]
    gathered: dict[str, list[Outcome]] = {c: [] for c in who}
    for name, outcomes in pool.imap(play, tasks):
        for contestant in who:
            gathered[contestant] += outcomes[contestant]
        if len(gathered[who[0]]) == runs:
            yield name, gathered
            gathered = {c: [] for c in who}


def false_rate(pool: Pool, good: list[Cell], contestant: str, runs: int) -> float:
    """Return the share of good releases this contestant rolls back, over all good cells."""
    results = played(pool, [c.name for c in good], runs, [contestant])
    ends = [o.end for _, outcomes in results for o in outcomes[contestant]]
    return ends.count(goals.ROLLED_BACK) / len(ends)


def tuned(pool: Pool, good: list[Cell], peer: Peer, target: float, runs: int) -> str:
    """Return the peer with the first value of its ladder that meets the target, else the last."""
    low, high = 0, len(peer.ladder) - 1
    while low < high:
        middle = (low + high) // 2
        rate = false_rate(pool, good, f"{peer.name}({peer.ladder[middle]:g})", runs)
        low, high = (low, middle) if rate <= target else (middle + 1, high)
    return f"{peer.name}({peer.ladder[low]:g})"


def measure(pool: Pool, chosen: dict[str, Cell], runs: int) -> tuple[list[Tally], list[str]]:
    """Return all tallies, and the names of the tuned peers among their contestants."""
    results = []
    for name, outcomes in played(pool, chosen, runs, usual()):
        made = [tally(chosen[name], c, o) for c, o in outcomes.items()]
        print(tables.line(chosen[name], made), flush=True)
        results += made
    good = [c for c in chosen.values() if not c.candidate.bad]
    ours = [
        t.rolled_back for t in results if t.contestant == OURS and not chosen[t.cell].candidate.bad
    ]
    target = max(goals.FALSE, sum(ours) / len(ours))
    names = [tuned(pool, good, peer, target, min(runs // 2, TUNE_RUNS)) for peer in PEERS]
    print(f"tuned to {target:.1%} of the good releases: {', '.join(names)}", flush=True)
    fresh = [n for n in names if n not in usual()]
    if fresh:
        for name, outcomes in played(pool, chosen, runs, fresh):
            results += [tally(chosen[name], c, o) for c, o in outcomes.items()]
    return results, names


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench-gates", description=(__doc__ or "").split("\n")[0])
    short = os.environ.get("SLICE") == "ci"
    parser.add_argument("--runs", type=int, default=100 if short else 1000, help="rollouts a cell")
    parser.add_argument("--cells", default="", help="only cells whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("build/bench-gates"), help="folder")
    parser.add_argument("--report", type=Path, help="also write tables and plots into this folder")
    parser.set_defaults(short=short)
    return parser.parse_args()


def main() -> int:
    """Run, print, write; return 1 where a goal is missed."""
    asked = arguments()
    start = time.perf_counter()
    grid = cells()
    named = [n for n in grid if asked.cells in n and (not asked.short or n in SLICE)]
    wanted = {*named, *(grid[n].twin for n in named)}  # a bad cell's peers are judged by its twin
    chosen = {n: cell for n, cell in grid.items() if n in wanted}
    with get_context().Pool(asked.jobs) as pool:
        results, tuned_names = measure(pool, chosen, asked.runs)
        ratios = evidence.measure(pool, 400 if asked.short else 2000)
    missed = goals.check(chosen, results, tuned_names, ratios)
    minutes = (time.perf_counter() - start) / 60
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "results.json").write_text(
        json.dumps(
            {
                "runs": asked.runs,
                "minutes": round(minutes, 1),
                "tuned": tuned_names,
                "cells": [asdict(t) for t in results],
                "evidence": [asdict(r) for r in ratios],
                "missed": [asdict(m) for m in missed],
            },
            indent=1,
        ),
        encoding="utf-8",
    )
    report = tables.report(chosen, results, tuned_names, ratios)
    (asked.out / "tables.md").write_text(report, encoding="utf-8")
    if asked.report:
        figures.write(asked.report, chosen, results)
    print(tables.summary(chosen, results, tuned_names))
    for miss in missed:
        print(f"missed: {miss.goal}: {miss.cell}: {miss.text}")
    print(f"{len(chosen)} cells x {asked.runs} rollouts in {minutes:.1f} min, {len(missed)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
