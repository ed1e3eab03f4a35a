"""What may strike in which state, in which kind of stage: what can be reached, and what was.

A cell is (state, incident, kind of stage). What cannot be has its reason here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.simulation.incidents import HOWS
from tests.simulation.mailing import MET

Cell = tuple[str, str, str]
BEFORE, FIRST, BETWEEN, LAST = "before the first", "the first", "between", "the last"
STAGES = (FIRST, BETWEEN, LAST)
PLACES: Mapping[str, tuple[str, ...]] = {
    "none": (BEFORE,),
    "starting": (BEFORE,),
    "running": STAGES,
    "paused": (BEFORE, *STAGES),
    "asking": (BEFORE, *STAGES),
    "shifting": (BEFORE, *STAGES),
    "taken over": (BEFORE, *STAGES),
    "rolling back": (BEFORE, *STAGES),  # before: promoted by hand from there
    "done": (BEFORE, *STAGES),
}


def names() -> tuple[str, ...]:
    """Return the incidents as they are counted."""
    found = []
    for kind, how in HOWS.items():
        plain = how.kind or kind
        kinds = how.targets if plain == "say" else how.statuses
        found += [f"{plain} {one}" for one in kinds] or [plain]
    return tuple(sorted({*found, "edit", *(f"message {met}" for met in MET)}))


def why_not(state: str, what: str) -> str:
    """Return why something cannot strike in a state, "" where it can."""
    if what.startswith("message ") and state == "none":
        return "nobody is told before something is written"
    return ""


def reachable() -> Iterator[Cell]:
    """Yield the cells that can be reached."""
    for what in names():
        for state, kinds in PLACES.items():
            if not why_not(state, what):
                yield from ((state, what, kind) for kind in kinds)


def not_reached(counts: Counter[Cell]) -> str:
    """Return, by incident, where it can strike and never did; and how much was reached."""
    cells = list(reachable())
    missing: dict[str, dict[str, list[str]]] = {}
    for state, what, kind in cells:
        if not counts[state, what, kind]:
            missing.setdefault(what, {}).setdefault(state, []).append(kind)
    hit = len(cells) - sum(len(kinds) for one in missing.values() for kinds in one.values())
    figure = f"{hit:,} of {len(cells):,} reachable cells were hit."
    if not missing:
        return figure
    lines = [f"{figure} Where an incident never struck:", ""]
    for what, states in missing.items():
        told = (_told(state, kinds) for state, kinds in states.items())
        lines.append(f"- {what}: {'; '.join(told)}")
    return "\n".join(lines)


def _told(state: str, kinds: list[str]) -> str:
    return state if len(kinds) == len(PLACES[state]) else f"{state} ({', '.join(kinds)})"
