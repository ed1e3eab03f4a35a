"""From a seed to a world: one region or several, aimed at a cell or not; played, shrunk, told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.simulation import regions
from tests.simulation.cells import Cell
from tests.simulation.drawing import draw
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Scene
from tests.simulation.service import REGION
from tests.simulation.wires import Wires

SEVERAL, OF = 3, 8  # one seed in eight means several regions; none of these is aimed at a cell


@dataclass(frozen=True, slots=True)
class World:
    """What a seed means, with an aim or without: a scene in each region, in the rollout's order."""

    seed: int
    scenes: Mapping[str, Scene]
    aim: Cell | None = None

    @property
    def replay(self) -> str:
        """Return the command that plays it again."""
        aim = f" AIM='{', '.join(self.aim)}'" if self.aim is not None else ""
        return f"make simulate SEED={self.seed}{aim}"

    @property
    def incidents(self) -> tuple[str, ...]:
        """Return what strikes, as text, by region where there are several."""
        several = len(self.scenes) > 1
        return tuple(
            f"{name}: {one}" if several else str(one)
            for name, scene in self.scenes.items()
            for one in scene.incidents
        )

    def less(self) -> Iterator[World]:
        """Yield the worlds with one incident less."""
        for name, scene in self.scenes.items():
            for index in range(len(scene.incidents)):
                yield replace(self, scenes={**self.scenes, name: scene.without(index)})


@dataclass(frozen=True, slots=True)
class Played:
    """What a world came to, by region."""

    world: World
    results: Mapping[str, Result]

    @property
    def violations(self) -> tuple[str, ...]:
        """Return what must never be, and was."""
        several = len(self.results) > 1
        return tuple(
            f"{text} in {name}" if several else text
            for name, result in self.results.items()
            for text in result.violations
        )

    @property
    def outcome(self) -> str:
        """Return how it ended, region after region."""
        return " → ".join(result.outcome for result in self.results.values())

    @property
    def trace(self) -> tuple[str, ...]:
        """Return every line, as they came; by region where there are several."""
        if len(self.results) == 1:
            return next(iter(self.results.values())).trace
        lines = [
            (line[:15], f"{line} [{name}]")
            for name, result in self.results.items()
            for line in result.trace
        ]
        return tuple(text for _, text in sorted(lines, key=lambda one: one[0]))


def world(seed: int, aim: Cell | None = None) -> World:
    """Return the world of a seed. aim: the cell that it is made for; else the seed says."""
    if aim is None and seed % OF == SEVERAL:
        return World(seed, regions.drawn(seed))
    return World(seed, {REGION: draw(seed, aim=aim)}, aim)


def play(it: World, wires: Wires, *, traced: bool = False) -> Played:
    """Play a world once."""
    if len(it.scenes) > 1:
        return Played(it, regions.play(it.scenes, wires, traced=traced))
    return Played(it, {n: Run(s, wires, traced=traced).play() for n, s in it.scenes.items()})


def shrunk(it: World, wires: Wires) -> World:
    """Return the world with as few incidents as still break the same invariant."""
    what = _broken(play(it, wires))
    smaller = True
    while smaller:
        smaller = False
        for tried in it.less():
            if what & _broken(play(tried, wires)):
                it, smaller = tried, True
                break
    return it


def _broken(played: Played) -> set[str]:
    return {text.partition(":")[0] for text in played.violations}
