"""The command: seeds in, a tally out; a seed that breaks something is shrunk and shown."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.aiming import CELLS
from tests.simulation.cells import Cell, not_reached
from tests.simulation.report import cells, figures, write_section
from tests.simulation.scene import Scene
from tests.simulation.tally import Tally
from tests.simulation.wires import Wires
from tests.simulation.worlds import World, play, shrunk, world

PART = 50  # seeds that a process plays before it tells
TRIES = 8  # worlds aimed at a cell, until one hits it
FIRST = "500"


def seeds_of(text: str) -> range:
    """Return the seeds that "500" (the first so many) or "7000-7400" means."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(1, int(text) + 1)


def cell_of(text: str) -> Cell:
    """Return the cell that "paused, kill, the last" names. Raises ValueError for none."""
    found = tuple(part.strip() for part in text.split(","))
    if found not in CELLS:
        raise ValueError(f"{text!r} is no cell that can be reached: state, incident, kind of stage")
    return CELLS[CELLS.index(found)]


def main(arguments: list[str]) -> int:
    """Play seeds; return 1 where something was violated."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        aim = cell_of(given.aim) if given.aim else None
    except ValueError as error:
        parser.error(str(error))
    if given.until_broken:
        return _until_broken(given.seeds or FIRST, Wires())
    if given.seed is not None:
        return _replay(world(given.seed, aim), Wires(), shrink=not given.keep_going)
    seeds = seeds_of(given.seeds or ("0" if given.aim_missing else FIRST))
    total = Tally.read(given.into) if given.into else Tally()
    try:
        total.claim(seeds)  # before the hours, not after them
    except ValueError as error:
        parser.error(str(error))
    began = time.perf_counter()
    play_part = partial(_play_part, shrink=not given.keep_going)
    parts = [Part(seeds[at : at + PART]) for at in range(0, len(seeds), PART)]
    tally = _played(play_part, parts, given.jobs)
    if given.aim_missing:
        known = total.cells + tally.cells
        first = total.aimed + 1
        missing = [cell for cell in CELLS if not known[cell]]
        aims = [Part(range(first, first + TRIES), (cell,)) for cell in missing]
        tally.add(_played(play_part, aims, given.jobs))
    _tell(tally, time.perf_counter() - began)
    total.add(tally)
    if given.into:
        total.store(given.into)
    if given.write:
        write_section("simulation", figures(total))
        write_section("cells", f"{cells(total.cells)}\n\n{not_reached(total.cells)}")
    return 1 if tally.bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", help="500 for the first 500 (the default), or 7000-7400")
    parser.add_argument("--seed", type=int, help="replay one with its trace")
    parser.add_argument("--aim", help="replay it aimed at a cell: 'paused, kill, the last'")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes share the seeds")
    parser.add_argument("--keep-going", action="store_true", help="do not shrink what broke")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first violation")
    parser.add_argument(
        "--aim-missing", action="store_true", help="then play worlds aimed at each cell never hit"
    )
    parser.add_argument("--into", type=Path, help="add the tally to this file's, for --write")
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    return parser


@dataclass(frozen=True, slots=True)
class Part:
    """What a process plays before it tells: seeds, or a few until they hit a cell."""

    seeds: range
    aims: tuple[Cell, ...] = ()


def _played(
    play_part: Callable[[Part], tuple[Tally, list[str]]], parts: Sequence[Part], jobs: int
) -> Tally:
    """Play in so many processes; tell of what broke as it comes."""
    tally = Tally()
    if jobs == 1:
        for part in parts:
            _heard(tally, play_part(part))
        return tally
    # A run has threads, which a fork would tear: each process begins afresh.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in pool.map(play_part, parts):
            _heard(tally, done)
    return tally


def _heard(tally: Tally, done: tuple[Tally, list[str]]) -> None:
    tally.add(done[0])
    for line in done[1]:
        print(line, flush=True)


def _play_part(part: Part, *, shrink: bool) -> tuple[Tally, list[str]]:
    wires, lines = Wires(), []
    tally = Tally() if part.aims else Tally(ranges=[(part.seeds[0], part.seeds[-1])])
    for aim in part.aims or (None,):
        for seed in part.seeds:
            lines += _counted(world(seed, aim), wires, tally, shrink=shrink)
            if aim is not None and tally.cells[aim]:
                break
    return tally, lines


def _counted(it: World, wires: Wires, tally: Tally, *, shrink: bool) -> list[str]:
    """Play a world into a tally; return what is to be said of it."""
    try:
        played = play(it, wires)
    except Exception as error:
        tally.crashed(it)
        text = f"crashed: {type(error).__name__}: {str(error)[:300]}"
        return [f"seed {it.seed}: {text}", f"  replay: {it.replay}"]
    tally.count(played)
    if not played.violations:
        return []
    lines = [f"seed {it.seed}: {'; '.join(played.violations[:2])}"]
    if shrink:
        lines.append("  shrunk to: " + "; ".join(shrunk(it, wires).incidents))
    return [*lines, f"  replay: {it.replay}"]


def _tell(tally: Tally, took: float) -> None:
    print(
        f"{tally.number} rollouts, {tally.looks} looks, {tally.seconds / 86400:.1f} virtual days "
        f"in {took:.1f} s: {tally.number / took * 60:.0f} a minute; {tally.bad} with violations"
    )
    print(not_reached(tally.cells).partition(". ")[0])
    for name, count in sorted(tally.outcomes.items()):
        print(f"  {name}: {count}")
    for name, count in sorted(tally.counts.items()):
        print(f"    {name}: {count}")


def _until_broken(seeds: str, wires: Wires) -> int:
    """Play until something breaks, and say after how many seeds."""
    for number, seed in enumerate(seeds_of(seeds), start=1):
        try:
            broken = play(world(seed), wires).violations
        except Exception as error:
            broken = (f"crashed: {type(error).__name__}: {error}",)
        if broken:
            print(f"seed {seed}, {number} played: {broken[0][:160]}")
            return 1
    return 0


def _replay(it: World, wires: Wires, *, shrink: bool) -> int:
    for name, scene in it.scenes.items():
        _show(name, scene)
    small = it
    if shrink and play(it, wires).violations:
        small = shrunk(it, wires)
    print("incidents:", *it.incidents, sep="\n  ")
    if small is not it:
        print("enough of them:", *small.incidents, sep="\n  ")
    played = play(small, wires, traced=True)
    print(*played.trace, sep="\n")
    for name, one in played.results.items():
        took = f"{one.ticks} looks, {one.calls} calls, {one.seconds:.0f} s"
        print(f"{name}: {one.outcome}, {took}")
    print(*(f"VIOLATED {text}" for text in played.violations), sep="\n")
    return 1 if played.violations else 0


def _show(region: str, scene: Scene) -> None:
    print(
        f"{scene.plan}\n{region}: {scene.shape}\n"
        f"candidate: {scene.character}, {scene.rate:g}/s, lag {scene.lag:g} s\n"
        f"people: {scene.answers} after {scene.react:g} s\nprocesses: {scene.processes}"
    )
