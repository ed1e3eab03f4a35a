"""Figures into docs/reliability.md: each command writes its own section, between two marks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.simulation.tally import Tally

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
STATES = (
    "none", "starting", "running", "paused", "asking", "shifting", "taken over", "rolling back",
    "done",
)  # fmt: skip


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


def cells(counts: Counter[tuple[str, str, str]]) -> str:
    """Return the table incident × state; each count is over all kinds of stage."""
    rows = sorted({what for _, what, _ in counts})
    lines = [f"| incident | {' | '.join(STATES)} |", "|---|" + "---:|" * len(STATES)]
    for what in rows:
        in_state: Counter[str] = Counter()
        for (state, one, _), number in counts.items():
            if one == what:
                in_state[state] += number
        row = " | ".join(str(in_state[state] or "–") for state in STATES)
        lines.append(f"| {what} | {row} |")
    kinds = sorted({kind for _, _, kind in counts})
    reached = len(counts)
    return "\n".join(
        (f"{reached:,} cells with the kind of stage ({', '.join(kinds)}).", "", *lines)
    )


def _table(what: str, found: dict[str, int]) -> list[str]:
    lines = [f"| {what} | times |", "|---|---:|"]
    return lines + [f"| {name} | {number:,} |" for name, number in sorted(found.items())]
