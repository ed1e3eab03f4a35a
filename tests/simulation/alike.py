"""Invariant 7 of DESIGN.md: two controllers on one service make the same moves as one.

`python -m tests.simulation.alike --seeds 1-200` plays scenes without incidents again and again,
each time with other controllers, and compares what happened to the world: the splits asked for,
the transitions that were written, and the outcome. Times may differ, for a second controller
looks in between; so may how long evidence was waited for, since which requests are counted follows
from the second at which a split came into force.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tests.simulation.command import seeds_of
from tests.simulation.drawing import draw
from tests.simulation.noted import noted
from tests.simulation.playing import Run
from tests.simulation.scene import Process, Scene
from tests.simulation.service import Service
from tests.simulation.wires import Wires

STAYING = Process("controller-a")
BESIDE = Process("controller-b", starts=0.5)
CREWS: Mapping[str, tuple[Process, ...]] = {
    "two": (STAYING, BESIDE),
    "one that comes later": (STAYING, Process("controller-b", starts=200.0)),
    "three": (STAYING, BESIDE, Process("controller-s", 90, starts=61.0)),
    "one and passes of tick": (STAYING, Process("controller-s", 60, starts=30.0, ticks=True)),
}


WAITING = ("extended", "asked: undecided", "hold goes on", "hold stands still")
ANSWERED = ("approved",)  # where it follows an ask of those
BY_LUCK = ("then: roll_back}\n  monitoring_out", "on_fail: ask")  # in a plan: what is seen first


@dataclass(frozen=True, slots=True)
class Moves:
    """What happened to the world, without time."""

    splits: tuple[tuple[tuple[str, int], ...], ...]
    transitions: tuple[str, ...]
    outcome: str


def moves(scene: Scene, wires: Wires) -> Moves:
    """Play a scene and return what happened. Raises ValueError where something was violated."""
    run = Run(scene, wires)
    splits: list[tuple[tuple[str, int], ...]] = []
    happened: dict[tuple[str, int], str] = {}

    def watch(_old: Service | None, new: Service | None, who: str) -> None:
        record = noted(new.record) if new is not None else None
        if new is None or record is None or not who:
            return
        asked = tuple(sorted(new.asked.items()))
        if splits[-1:] != [asked]:
            splits.append(asked)
        first = record.noted - len(record.transitions) + 1
        for number, one in enumerate(record.transitions, start=first):
            happened[record.rollout, number] = one[1]

    run.cloud.watchers.append(watch)
    result = run.play()
    if result.violations:
        raise ValueError(result.violations[0])
    return Moves(tuple(splits), tuple(_without_waiting(happened.values())), result.outcome)


def _without_waiting(transitions: Iterable[str]) -> Iterator[str]:
    before = ""
    for one in transitions:
        answers = one in ANSWERED and before in WAITING
        if one not in WAITING and not answers:
            yield one
        before = one


def scene_of(seed: int) -> Scene | None:
    """Return the calm scene of a seed; None where a few requests more or less decide.

    So it is where the candidate is at the very limit, where evidence that does not suffice in time
    rolls back, and where one gate asks and another would roll back. Its people approve what they
    are asked: how often they are is by luck as well.
    """
    scene = draw(seed, kinds=frozenset())
    if scene.character == "doubtful" or any(text in scene.plan for text in BY_LUCK):
        return None
    return replace(scene, answers="approve", react=60.0)


def compared(seed: int, wires: Wires) -> Iterator[str]:
    """Yield how other controllers' moves differ from one's."""
    scene = scene_of(seed)
    if scene is None:
        return
    one = moves(replace(scene, processes=(STAYING,)), wires)
    for crew, processes in CREWS.items():
        other = moves(replace(scene, processes=processes), wires)
        if other != one:
            yield f"seed {seed}, {crew}: {_difference(one, other)}"


def _difference(one: Moves, other: Moves) -> str:
    if one.outcome != other.outcome:
        return f"{other.outcome}, else {one.outcome}: {other.transitions}, else {one.transitions}"
    if one.splits != other.splits:
        return f"{other.splits}, else {one.splits}"
    return f"{other.transitions}, else {one.transitions}"


def main(arguments: list[str]) -> int:
    """Compare seeds; return 1 where moves differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.alike")
    parser.add_argument("--seeds", default="100", help="100 for the first 100, or 7000-7400")
    given = parser.parse_args(arguments)
    wires, bad, number = Wires(), 0, 0
    for seed in seeds_of(given.seeds):
        number += scene_of(seed) is not None
        for line in compared(seed, wires):
            bad += 1
            print(line, flush=True)
    print(f"{number} scenes, each with {len(CREWS)} other crews: {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
