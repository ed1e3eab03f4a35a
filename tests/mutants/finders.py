"""What may notice a mutant: tests, then rollouts of the simulation; and which lines each runs.

A test or rollout that runs no line of a mutant cannot notice it. So each is run once with a trace,
and what it reached is kept; a changed test is traced anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.mutants.mutants import ROOT, Mutant, files, made_of, places_of

KEPT = ROOT / "build" / "mutants" / "reached.json"
SIMULATION = "simulation: "
# The tests of the altered code itself come first, the slow ones through the command line last.
ORDER = ("tests/engine/", "tests/reconciler/", "tests/simulation/", SIMULATION, "tests/")
TESTS = ("tests/engine", "tests/reconciler", "tests/simulation", "tests/cli", "tests/notify")
# They start processes of their own, in which there is no mutant: it would differ from them.
LEFT_OUT = (
    "tests/simulation/test_wire",
    "tests/simulation/test_simulation.py::test_a_seed_means_the_same_run_whatever_the_hashes",
    "tests/cli/test_gcloud",
    "tests/cli/test_streams",
)


@dataclass(frozen=True)
class Finder:
    """A test or a rollout. seconds: of CPU, traced. reached: place → its lines, as bits.

    source: a digest of its own text.
    """

    name: str
    seconds: float
    passed: bool
    source: str
    reached: Mapping[str, int]
    outcome: str = ""

    @property
    def by_simulation(self) -> bool:
        return self.name.startswith(SIMULATION)

    @property
    def rank(self) -> tuple[int, float]:
        """Return its place in the order in which they are tried."""
        first = next(n for n, start in enumerate(ORDER) if self.name.startswith(start))
        return max(first, 2) if first < ORDER.index(SIMULATION) else first, self.seconds


# Which lines are reached ------------------------------------------------------------------------


@dataclass
class Trace:
    """Lines of the altered files that were run, while it is switched on."""

    lines: dict[str, set[int]] = field(default_factory=dict)
    _left: dict[CodeType, set[int]] = field(default_factory=dict)

    def __enter__(self) -> Trace:
        self.lines = {str(ROOT / file): set() for file in files()}
        self._left = {}
        threading.settrace(self._called)
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _called(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        code = frame.f_code
        seen = self.lines.get(code.co_filename)
        if seen is None:
            return None
        left = self._left.get(code)
        if left is None:
            left = self._left[code] = {line for _, _, line in code.co_lines() if line}
            left.discard(code.co_firstlineno)
        if not left:
            return None

        def ran(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
            if event == "line":
                seen.add(frame.f_lineno)
                left.discard(frame.f_lineno)
            return ran

        seen.add(code.co_firstlineno)
        return ran

    def reached(self) -> dict[str, int]:
        """Return place → the lines of it that were run, counted from its first, as bits."""
        bits: dict[str, int] = {}
        for file in files():
            seen = self.lines[str(ROOT / file)]
            for place, (first, last) in places_of(file).items():
                found = sum(1 << (line - first) for line in range(first, last + 1) if line in seen)
                if found:
                    bits[f"{file}:{place}"] = found
        return bits


# Kept between sittings --------------------------------------------------------------------------


def digest_of(text: str) -> str:
    """Return a digest of what a finder is made of."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class Finders:
    """All that may notice. digests: of every place when it was traced; a changed one is not known
    line by line any more. there: who can be run in this sitting."""

    known: dict[str, Finder]
    digests: dict[str, str]
    there: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> Finders:
        """Return what is known from earlier sittings."""
        if not path.exists():
            return cls({}, {})
        kept = json.loads(path.read_text(encoding="utf-8"))
        known = {name: Finder(name, **one) for name, one in kept["known"].items()}
        return cls(known, kept["digests"])

    def store(self, path: Path) -> None:
        """Keep it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        known = {
            name: {key: value for key, value in vars(one).items() if key != "name"}
            for name, one in self.known.items()
        }
        path.write_text(json.dumps({"known": known, "digests": self.digests}), encoding="utf-8")

    def to_trace(self, sources: Mapping[str, str]) -> list[str]:
        """Return those not known, changed since, or of no use then. sources: a digest, by name."""
        self.there = frozenset(sources)
        return [
            name
            for name, source in sources.items()
            if name not in self.known
            or self.known[name].source != source
            or not self.known[name].passed
        ]

    def of(self, mutant: Mutant) -> list[Finder]:
        """Return who may notice a mutant, in the order to try them."""
        may = [one for one in self.known.values() if one.name in self.there and one.passed]
        place = f"{mutant.file}:{mutant.place}"
        if place in self.digests:
            spots = self._spots(mutant)
            words = {part for part in mutant.place.split(".")[:1] if place not in self._functions}
            may = [
                one
                for one in may
                if any(one.reached.get(p, 0) & b for p, b in spots.items())
                or words & _names_in(one.name)
            ]
        else:  # it is newer than most traces
            may = [one for one in may if place in one.reached] or may
        return sorted(may, key=lambda one: one.rank)

    def _spots(self, mutant: Mutant) -> dict[str, int]:
        place = f"{mutant.file}:{mutant.place}"
        if place not in self._functions:
            tree = ast.parse((ROOT / mutant.file).read_text(encoding="utf-8"))
            spots: dict[str, int] = {}
            for name in (mutant.place, *(name for name, _ in made_of(tree, mutant.place))):
                spots.update(self._mentions(name))
            return spots
        first = places_of(mutant.file)[mutant.place][0]
        if self.digests.get(place) != mutant.digest:
            return {place: -1}
        lines = range(mutant.lines[0] - first, mutant.lines[1] - first + 1)
        bits = sum(1 << line for line in lines if line >= 0)
        return {place: bits}

    @cached_property
    def _functions(self) -> dict[str, tuple[str, ast.FunctionDef]]:
        found = {}
        for file in files():
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            spans = places_of(file)
            starts = {(first, name) for name, (first, _) in spans.items()}
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                    for first, name in starts:
                        if first == start and name.rpartition(".")[2] == node.name:
                            found[f"{file}:{name}"] = (file, node)
        return found

    def _mentions(self, place: str) -> dict[str, int]:
        """Return the functions that name a constant, or a class with the default of a field."""
        owner, _, name = place.rpartition(".")
        wanted = owner or name
        spots: dict[str, int] = defaultdict(int)
        for function, (_, node) in self._functions.items():
            for one in ast.walk(node):
                named = one.id if isinstance(one, ast.Name) else getattr(one, "attr", "")
                if named == wanted or (owner and named == name):
                    spots[function] = -1
        return spots


@lru_cache(maxsize=1024)
def _names_in(finder: str) -> frozenset[str]:
    """Return the names in the file of a test: of a constant it may tell without any function."""
    file = ROOT / finder.partition("::")[0]
    if "::" not in finder or not file.is_file():
        return frozenset()
    tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(one.id for one in tree if isinstance(one, ast.Name))


def within(finders: list[Finder], seconds: float, first: Iterable[str] = ()) -> Iterator[Finder]:
    """Yield finders of each kind until they took so long; those named first, first.

    Of a test with many parameters each comes later than the one before: they are much alike.
    """
    early = set(first)
    alike: Counter[str] = Counter()
    order = []
    for one in sorted(finders, key=lambda one: one.rank):
        test = one.name.partition("[")[0]
        alike[test] += 1
        order.append((one.name not in early, one.rank[0], alike[test] * one.seconds, one.name, one))
    spent: dict[int, float] = defaultdict(float)
    for _, kind, _, _, one in sorted(order, key=lambda row: row[:4]):
        if spent[kind] and spent[kind] + one.seconds > seconds:
            continue
        spent[kind] += one.seconds
        yield one


def clock() -> float:
    """Return the seconds of CPU this process took."""
    return time.process_time()
