"""The figures of a sample of mutants, as they stand in docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from tests.mutants.finders import SIMULATION
from tests.mutants.mutants import Mutant
from tests.mutants.sitting import Played, Sittings

Z = 1.96  # 95%


@dataclass(frozen=True)
class Whole:
    """What a sample is of. number: all mutants. aimed: tests were written for so many of the draw.

    Of those the share says nothing of the others any more; what was drawn after them does.
    """

    number: int
    aimed: int


def interval(part: int, of: int) -> tuple[float, float]:
    """Return where the true share lies with 95% confidence (Wilson's score interval)."""
    share = part / of
    middle = share + Z * Z / (2 * of)
    half = Z * sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    scale = 1 + Z * Z / of
    return (middle - half) / scale, (middle + half) / scale


def section(
    sample: Sequence[Mutant], whole: Whole, sittings: Sittings, why: Mapping[str, str]
) -> str:
    """Return the section: what was played, what noticed it, and who survives why."""
    known = [(one, played) for one in sample if (played := sittings.of(one))]
    killed = [one for one, played in known if played.by]
    by_simulation = sum(played.by.startswith(SIMULATION) for _, played in known)
    left = sorted(one.name for one, played in known if not played.by)
    same = sum(why.get(name, "").startswith("Equivalent") for name in left)
    lines = [
        f"{len(known):,} of {whole.number:,} mutants were played, drawn by a seed over all files: "
        f"{len(killed) - by_simulation:,} are noticed by tests, {by_simulation:,} more by the "
        f"simulation, {len(left)} survive ({same} of them do what the code does). That is "
        f"{len(killed) / len(known):.1%}, and {len(killed) / max(len(known) - same, 1):.1%} of "
        "those that differ.",
        "",
        *_fresh([played for one, played in known if one in sample[whole.aimed :]], whole),
        "| file | played | noticed |",
        "|---|---:|---:|",
    ]
    all_of = Counter(one.file for one, _ in known)
    killed_of = Counter(one.file for one in killed)
    lines += [f"| {file} | {all_of[file]} | {killed_of[file]} |" for file in sorted(all_of)]
    lines += ["", "| survivor | why |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(why.get(name, 'not looked at yet'))} |" for name in left]
    return "\n".join(lines)


def _fresh(played: Sequence[Played], whole: Whole) -> list[str]:
    """Return what those say of all that were drawn after tests were written for the others."""
    if not played:
        return []
    noticed = sum(not one.unnoticed for one in played)
    low, high = interval(noticed, len(played))
    return [
        f"For the first {whole.aimed:,} of the draw tests were written until this was so. Of the "
        f"{len(played):,} drawn after them, {noticed / len(played):.1%} were noticed when first "
        f"played: of all {whole.number:,} that is {low:.0%} to {high:.0%} (95% confidence).",
        "",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
