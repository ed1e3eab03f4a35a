"""The command: seeds in, a tally out; a seed that breaks something is shrunk and shown."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.drawing import draw
from tests.simulation.playing import Result, Run
from tests.simulation.report import cells, figures, write_section
from tests.simulation.scene import Scene
from tests.simulation.wires import Wires


def play(scene: Scene, wires: Wires, *, traced: bool = False) -> Result:
    """Play a scene once."""
    return Run(scene, wires, traced=traced).play()


def seeds_of(text: str) -> Iterable[int]:
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


@dataclass(eq=False)
class _Tally:
    """What many runs came to."""

    number: int = 0
    bad: int = 0
    looks: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one run."""
        self.number += 1
        self.bad += bool(result.violations)
        self.looks += result.ticks
        self.seconds += result.seconds
        self.counts.update(result.counts)
        self.outcomes[result.outcome] += 1
        self.cells.update(result.cells)


def main(arguments: list[str]) -> int:
    """Play seeds; return 1 where something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="500", help="500 for the first 500, or 7000-7400")
    parser.add_argument("--seed", type=int, help="replay one with its trace")
    parser.add_argument("--keep-going", action="store_true", help="do not shrink what broke")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first violation")
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    given = parser.parse_args(arguments)
    wires = Wires()
    if given.until_broken:
        return _until_broken(given.seeds, wires)
    if given.seed is not None:
        return _replay(given.seed, wires, shrink=not given.keep_going)
    began = time.perf_counter()
    tally = _Tally()
    for seed in seeds_of(given.seeds):
        _play_one(seed, wires, tally, shrink=not given.keep_going)
    _tell(tally, time.perf_counter() - began)
    if given.write:
        tally.counts["violations"] = tally.bad
        days = tally.seconds / 86400
        text = figures(given.seeds, tally.number, tally.looks, days, tally.counts)
        write_section("simulation", text)
        write_section("cells", cells(tally.cells))
    return 1 if tally.bad else 0


def _play_one(seed: int, wires: Wires, tally: _Tally, *, shrink: bool) -> None:
    try:
        result = play(draw(seed), wires)
    except Exception as error:
        tally.bad += 1
        print(f"seed {seed}: crashed: {type(error).__name__}: {str(error)[:300]}", flush=True)
        return
    tally.add(result)
    if not result.violations:
        return
    print(f"seed {seed}: {'; '.join(result.violations[:2])}", flush=True)
    if shrink:
        small = shrunk(draw(seed), wires)
        print("  shrunk to: " + "; ".join(map(str, small.incidents)))
        print(f"  replay: make simulate SEED={seed}", flush=True)


def _tell(tally: _Tally, took: float) -> None:
    print(
        f"{tally.number} rollouts, {tally.looks} looks, {tally.seconds / 86400:.1f} virtual days "
        f"in {took:.1f} s: {tally.number / took * 60:.0f} a minute; {tally.bad} with violations"
    )
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
