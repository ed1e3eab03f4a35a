"""What many runs came to, kept in a file where they are played in several sittings."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.worlds import Played, World


@dataclass(eq=False)
class Tally:
    """Counts over runs. seconds: virtual. ranges: the seeds played, first and last of each.

    broken: the seeds that violated something, or crashed. aimed: of the runs, those that were made
    for cells that seeds had not hit.
    """

    number: int = 0
    aimed: int = 0
    looks: int = 0
    seconds: float = 0.0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @property
    def bad(self) -> int:
        """Return how many runs violated something."""
        return len(self.broken)

    def count(self, played: Played) -> None:
        """Count one run, of one region or several."""
        self._one_more(played.world, broken=bool(played.violations))
        self.seconds += max(result.seconds for result in played.results.values())
        for result in played.results.values():
            self.looks += result.ticks
            self.counts.update(result.counts)
            self.cells.update(result.cells)
        self.outcomes[played.outcome] += 1

    def crashed(self, world: World) -> None:
        """Count a run that did not come to its end."""
        self._one_more(world, broken=True)

    def _one_more(self, world: World, *, broken: bool) -> None:
        self.number += 1
        self.aimed += world.aim is not None
        self.broken += [world.seed] if broken else []

    def claim(self, seeds: range) -> None:
        """Raise ValueError where some of these seeds are counted already."""
        for first, last in self.ranges if seeds else ():
            if seeds[0] <= last and first <= seeds[-1]:
                raise ValueError(f"seeds {first}-{last} are in the tally already")

    def add(self, other: Tally) -> None:
        """Add another's counts."""
        self.number += other.number
        self.aimed += other.aimed
        self.looks += other.looks
        self.seconds += other.seconds
        self.broken += other.broken
        self.counts.update(other.counts)
        self.outcomes.update(other.outcomes)
        self.cells.update(other.cells)
        for first, last in other.ranges:
            if self.ranges and self.ranges[-1][1] == first - 1:
                self.ranges[-1] = (self.ranges[-1][0], last)
            else:
                self.ranges.append((first, last))

    @classmethod
    def read(cls, path: Path) -> Tally:
        """Return the tally of a file, an empty one where there is none."""
        if not path.exists():
            return cls()
        value = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            value["number"],
            value.get("aimed", 0),
            value["looks"],
            value["seconds"],
            [(first, last) for first, last in value["ranges"]],
            value["broken"],
            Counter(value["counts"]),
            Counter(value["outcomes"]),
            Counter({(state, what, kind): n for state, what, kind, n in value["cells"]}),
        )

    def store(self, path: Path) -> None:
        """Write the tally to a file."""
        value = {
            "number": self.number,
            "aimed": self.aimed,
            "looks": self.looks,
            "seconds": self.seconds,
            "ranges": self.ranges,
            "broken": self.broken,
            "counts": self.counts,
            "outcomes": self.outcomes,
            "cells": [[*cell, number] for cell, number in sorted(self.cells.items())],
        }
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
