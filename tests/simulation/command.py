"""The command: seeds in, a tally out; a seed that breaks something is shrunk and shown."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.cells import not_reached
from tests.simulation.drawing import draw
from tests.simulation.playing import Result, Run
from tests.simulation.report import cells, figures, write_section
from tests.simulation.scene import Scene
from tests.simulation.tally import Tally
from tests.simulation.wires import Wires

PART = 50  # seeds that a process plays before it tells


def play(scene: Scene, wires: Wires, *, traced: bool = False) -> Result:
    """Play a scene once."""
    return Run(scene, wires, traced=traced).play()


def seeds_of(text: str) -> range:
    """Return the seeds that "500" (the first so many) or "7000-7400" means."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(1, int(text) + 1)


def shrunk(scene: Scene, wires: Wires) -> Scene:
    """Return the scene with as few incidents as still break the same invariant."""
    what = _broken(play(scene, wires))
    smaller = True
    while smaller:
        smaller = False
        for index in range(len(scene.incidents)):
            tried = scene.without(index)
            if what & _broken(play(tried, wires)):
                scene, smaller = tried, True
                break
    return scene


def _broken(result: Result) -> set[str]:
    return {text.partition(":")[0] for text in result.violations}


def main(arguments: list[str]) -> int:
    """Play seeds; return 1 where something was violated."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.until_broken:
        return _until_broken(given.seeds, Wires())
    if given.seed is not None:
        return _replay(given.seed, Wires(), shrink=not given.keep_going)
    seeds = seeds_of(given.seeds)
    total = Tally.read(given.into) if given.into else Tally()
    try:
        total.claim(seeds)  # before the hours, not after them
    except ValueError as error:
        parser.error(str(error))
    began = time.perf_counter()
    tally = _played(seeds, given.jobs, shrink=not given.keep_going)
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
    parser.add_argument("--seeds", default="500", help="500 for the first 500, or 7000-7400")
    parser.add_argument("--seed", type=int, help="replay one with its trace")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes share the seeds")
    parser.add_argument("--keep-going", action="store_true", help="do not shrink what broke")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first violation")
    parser.add_argument("--into", type=Path, help="add the tally to this file's, for --write")
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    return parser


def _played(seeds: range, jobs: int, *, shrink: bool) -> Tally:
    """Play seeds in so many processes; tell of what broke as it comes."""
    parts = [seeds[at : at + PART] for at in range(0, len(seeds), PART)]
    play_part = partial(_play_part, shrink=shrink)
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


def _play_part(seeds: range, *, shrink: bool) -> tuple[Tally, list[str]]:
    wires, tally, lines = Wires(), Tally(ranges=[(seeds[0], seeds[-1])]), []
    for seed in seeds:
        try:
            result = play(draw(seed), wires)
        except Exception as error:
            tally.crashed(seed)
            lines.append(f"seed {seed}: crashed: {type(error).__name__}: {str(error)[:300]}")
            continue
        tally.count(result)
        if result.violations:
            lines.append(f"seed {seed}: {'; '.join(result.violations[:2])}")
            small = shrunk(draw(seed), wires).incidents if shrink else ()
            lines += ["  shrunk to: " + "; ".join(map(str, small))] if shrink else []
            lines.append(f"  replay: make simulate SEED={seed}")
    return tally, lines


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
            broken = play(draw(seed), wires).violations
        except Exception as error:
            broken = (f"crashed: {type(error).__name__}: {error}",)
        if broken:
            print(f"seed {seed}, {number} played: {broken[0][:160]}")
            return 1
    return 0


def _replay(seed: int, wires: Wires, *, shrink: bool) -> int:
    scene = draw(seed)
    print(scene.plan)
    print(
        f"shape: {scene.shape}\ncandidate: {scene.character}, {scene.rate:g}/s, lag {scene.lag:g} s"
    )
    print(f"people: {scene.answers} after {scene.react:g} s\nprocesses: {scene.processes}")
    small = scene
    if shrink and play(scene, wires).violations:
        small = shrunk(scene, wires)
    print("incidents:", *scene.incidents, sep="\n  ")
    if small is not scene:
        print("enough of them:", *small.incidents, sep="\n  ")
    result = play(small, wires, traced=True)
    print(*result.trace, sep="\n")
    print(f"{result.outcome}, {result.ticks} looks, {result.calls} calls, {result.seconds:.0f} s")
    print(*(f"VIOLATED {text}" for text in result.violations), sep="\n")
    return 1 if result.violations else 0
