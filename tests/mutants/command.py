"""The command: alter the code, see who notices, tell; see the package's docstring."""

from __future__ import annotations

import argparse
import ast
import difflib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.mutants.finders import KEPT, SIMULATION, TESTS, Finders
from tests.mutants.hunting import Field, Verdict, hunt
from tests.mutants.mutants import ROOT, Mutant, altered_text
from tests.mutants.rollouts import play, rollouts
from tests.mutants.sitting import Sittings, every, reasons
from tests.mutants.telling import Whole, section
from tests.simulation.report import write_section


def main(arguments: Sequence[str]) -> int:
    """Play mutants and tell who survives; return 2 where there is no mutant to show."""
    given = _parser().parse_args(arguments)
    mutants = every()
    if given.show:
        return _show(mutants, given.show)
    sittings = Sittings.read()
    sittings.forget_others(mutants)
    sample = [one for one in mutants[: given.sample] if given.only in one.name]
    if not given.tell:
        to_play = [one for one in sample if _is_open(sittings, one, again=given.again)]
        _play(to_play, sittings, given)
    if given.write:
        whole = Whole(len(mutants), given.aimed)
        write_section("mutants", section(mutants[: given.sample], whole, sittings, reasons()))
    left = [one.name for one in sample if (r := sittings.of(one)) and not r.by]
    print(*left, sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--sample", type=int, default=500, help="the first so many of the draw (500)"
    )
    parser.add_argument(
        "--aimed", type=int, default=600, help="so many of them had tests written for them (600)"
    )
    parser.add_argument("--only", default="", help="only those with this text in their name")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="folders or files of tests")
    parser.add_argument(
        "--again", action="store_true", help="play those again that survive without a reason"
    )
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    parser.add_argument(
        "--seconds", type=float, default=15, help="of CPU, for each kind of test, a mutant"
    )
    parser.add_argument("--minutes", type=float, default=1e6, help="begin none after so long")
    parser.add_argument("--show", help="show the change that a mutant makes, and end")
    parser.add_argument("--tell", action="store_true", help="play nothing, tell what is kept")
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    return parser


def _is_open(sittings: Sittings, mutant: Mutant, *, again: bool) -> bool:
    known = sittings.of(mutant)
    return known is None or (again and not known.by and mutant.name not in reasons())


def _play(mutants: list[Mutant], sittings: Sittings, given: argparse.Namespace) -> None:
    began = time.monotonic()
    counts: Counter[str] = Counter()

    def ask(_: Finders) -> Iterator[Mutant]:
        print(f"{len(mutants)} to play", flush=True)
        for one in mutants:
            if time.monotonic() - began > given.minutes * 60:
                return
            yield one

    def tell(verdict: Verdict) -> None:
        mutant = verdict.mutant
        sittings.note(mutant, verdict.by)
        sittings.store()
        kind = "simulation" if verdict.by.startswith(SIMULATION) else "tests"
        counts[kind if verdict.by else "survived"] += 1
        said = (
            f"{verdict.by}: {verdict.why}"
            if verdict.by
            else f"SURVIVES ({verdict.why or verdict.tried})"
        )
        print(f"{counts.total()}: {mutant.name}: {said[:200]}", flush=True)

    if mutants:
        hunt(Field(given.tests, KEPT, rollouts(), play, given.jobs, given.seconds), ask, tell)
        print(f"{dict(counts)} in {time.monotonic() - began:.0f} s", flush=True)


def _show(mutants: Iterable[Mutant], name: str) -> int:
    for mutant in mutants:
        if mutant.name == name:
            old = ast.unparse(ast.parse((ROOT / mutant.file).read_text(encoding="utf-8")))
            new = altered_text(mutant)
            print(*difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm=""), sep="\n")
            return 0
    print(f"there is no mutant {name}")
    return 2
