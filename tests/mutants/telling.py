"""The figures of a sample of mutants, as they stand in docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt

from tests.mutants.finders import SIMULATION
from tests.mutants.mutants import Mutant
from tests.mutants.sitting import Sittings

Z = 1.96  # 95%


def interval(part: int, of: int) -> tuple[float, float]:
    """Return where the true share lies with 95% confidence (Wilson's score interval)."""
    share = part / of
    middle = share + Z * Z / (2 * of)
    half = Z * sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    scale = 1 + Z * Z / of
    return (middle - half) / scale, (middle + half) / scale


def section(
    sample: Sequence[Mutant], population: int, sittings: Sittings, why: Mapping[str, str]
) -> str:
    """Return the section: what was played, what noticed it, and who survives why."""
    known = [(one, played) for one in sample if (played := sittings.of(one))]
    killed = [one for one, played in known if played.by]
    by_simulation = sum(played.by.startswith(SIMULATION) for _, played in known)
    left = sorted(one.name for one, played in known if not played.by)
    low, high = interval(len(killed), len(known))
    lines = [
        f"{len(known):,} of {population:,} mutants were played, drawn by a seed over all files: "
        f"{len(killed) - by_simulation:,} noticed by tests, {by_simulation:,} more by the "
        f"simulation, {len(left)} survive. {len(killed) / len(known):.1%} are killed; of all "
        f"{population:,} that is {low:.1%} to {high:.1%} (95% confidence).",
        "",
        "| file | played | killed |",
        "|---|---:|---:|",
    ]
    all_of = Counter(one.file for one, _ in known)
    killed_of = Counter(one.file for one in killed)
    lines += [f"| {file} | {all_of[file]} | {killed_of[file]} |" for file in sorted(all_of)]
    lines += ["", "| survivor | why |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(why.get(name, 'not looked at yet'))} |" for name in left]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
