"""Figures into docs/reliability.md: each command writes its own section, between two marks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.simulation.cells import PLACES, Cell, names, reachable, why_not
from tests.simulation.tally import Tally

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Replace a section of the page. Raises ValueError where its marks are missing."""
    head, _, tail = _parted(name, page)
    page.write_text(head + text.rstrip() + "\n" + tail, encoding="utf-8")


def read_section(name: str, page: Path = PAGE) -> str:
    """Return what stands in a section. Raises ValueError where its marks are missing."""
    return _parted(name, page)[1]


def _parted(name: str, page: Path) -> tuple[str, str, str]:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    text, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page.name} has no section {name}")
    return head + begin, text, end + tail


def figures(tally: Tally) -> str:
    """Return the tables of many runs: what was played, what struck, what was checked."""
    counts = tally.counts
    faults = {k.removeprefix("fault "): n for k, n in counts.items() if k.startswith("fault ")}
    checks = {k.removeprefix("checked "): n for k, n in counts.items() if k.startswith("checked ")}
    seeds = ", ".join(f"{first}-{last}" for first, last in tally.ranges)
    aimed = f", and {tally.aimed:,} more aimed at cells that those had not hit"
    seeds += aimed if tally.aimed else ""
    return "\n".join(
        (
            f"Seeds {seeds}: {tally.number:,} rollouts, {tally.looks:,} looks, "
            f"{counts['calls observed']:,} calls watched, "
            f"{tally.seconds / 86400 / 365:.2f} virtual years, "
            f"{sum(faults.values()):,} incidents, {sum(checks.values()):,} invariants checked, "
            f"{tally.bad:,} rollouts with a violation.",
            "",
            *_table("incident", faults),
            "",
            *_table("invariant", checks),
        )
    )


def cells(counts: Counter[Cell]) -> str:
    """Return the table incident × state: how often it struck there, by kind of stage."""
    lines = [f"| incident | {' | '.join(PLACES)} |", "|---|" + "---:|" * len(PLACES)]
    for what in names():
        row = " | ".join(_struck(counts, state, what, kinds) for state, kinds in PLACES.items())
        lines.append(f"| {what} | {row} |")
    reasons = dict.fromkeys(
        f"{what.partition(' ')[0]}, {state}: {why_not(state, what)}"
        for what in names()
        for state in PLACES
        if why_not(state, what)
    )
    unforeseen = sorted(", ".join(cell) for cell in counts.keys() - set(reachable()))
    return "\n".join(
        (
            "How often each struck: before the first stage/in the first/in one between/in the "
            "last. `none` and `starting` are before the first, `running` never is.",
            "",
            *lines,
            "",
            *(f"What cannot be (–): {reason}." for reason in reasons),
            *(f"Held for impossible, and hit: {cell}." for cell in unforeseen),
        )
    )


def _struck(counts: Counter[Cell], state: str, what: str, kinds: tuple[str, ...]) -> str:
    if why_not(state, what):
        return "–"
    return "/".join(f"{counts[state, what, kind]}" for kind in kinds)


def _table(what: str, found: dict[str, int]) -> list[str]:
    lines = [f"| {what} | times |", "|---|---:|"]
    return lines + [f"| {name} | {number:,} |" for name, number in sorted(found.items())]
