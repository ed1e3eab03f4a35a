"""What people were told, and what they were owed: docs/notify.md's contract, from the outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.inbox import FOR_GOOD, RECEIVED, Arrived

SILENT = "Monitoring does not answer"
KEPT = 20  # transitions of a record; what is older cannot be told any more
AT_ONCE = 30.0  # seconds: two that make up for the same message at once both send it
LONGEST = 5.0  # seconds that all messages of a look may take
BY_WORDS = {
    "started": "started",
    "shift to": "advanced",
    "step back": "stepped_back",
    "test at": "stepped_back",
    "asked:": "asked",
    "shift failed": "asked",
    "rolled back": "rolled_back",
    "promoted": "promoted",
    "cancelled": "cancelled",
    "unwatched": "unwatched",
    "taken over": "taken_over",
    "roll back not in force": "stuck",
    "not rolled back": "not_rolled_back",
}


def event_of(transition: tuple[Any, ...]) -> str:
    """Return the event by which people are told of a transition, "" for none."""
    what, reason = transition[1], transition[2]
    if what == "hold stands still":
        return "outage" if reason.startswith(SILENT) else ""
    words = (words for words in BY_WORDS if what == words or what.startswith(f"{words} "))
    return next((BY_WORDS[found] for found in words), "")


@dataclass(eq=False)
class Told:
    """Messages as they arrived. wants: recipient → the events that the plan says for it.

    happened: of one rollout, the transitions by their number. got: when each message came to
    whom, in seconds. refused: the ones that were refused for good, which nobody sends again.
    """

    wants: Mapping[str, frozenset[str]]
    region: str
    rollout: str = ""
    happened: dict[int, str] = field(default_factory=dict)
    got: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)

    def wrote(
        self, rollout: str, transitions: tuple[tuple[Any, ...], ...], noted: int, *, anew: bool
    ) -> None:
        """Note what a write of rollout's says that happened. anew: it goes on from an older one."""
        if rollout != self.rollout or anew:
            self.rollout, self.happened = rollout, {}
        for number, one in enumerate(transitions, start=noted - len(transitions) + 1):
            self.happened[number] = event_of(one)
        self.happened = {n: e for n, e in self.happened.items() if n > noted - KEPT}

    def arrived(self, tries: tuple[Arrived, ...], now: float) -> None:
        """Note what came to whom."""
        for one in tries:
            if one.met in RECEIVED:
                self.got.setdefault((one.to, one.id), []).append(now)
            elif one.met == FOR_GOOD:
                self.refused.add((one.to, one.id))

    def owed(self) -> Iterator[str]:
        """Yield who was not told of what."""
        for number, event in self.happened.items():
            for to, events in self.wants.items():
                known = (to, self._id(number, event))
                if event in events and known not in self.got and known not in self.refused:
                    yield f"{to}: {known[1]}"

    def told_later(self) -> Iterator[str]:
        """Yield what somebody was told once more, not at the same moment by two processes."""
        for (to, key), times in self.got.items():
            if times[-1] - times[0] > AT_ONCE:
                yield f"{to}: {key}"

    def _id(self, number: int, event: str) -> str:
        return f"{self.rollout}/{self.region}/{number}/{event}"
