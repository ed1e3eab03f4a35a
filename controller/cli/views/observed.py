"""What an observed rollout says: what would happen, never that it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from controller.cli.views import View, text
from controller.cli.views.human import Changes
from controller.cli.views.json import JsonView
from controller.engine.events import Asked, Event, Finished, Message, Shifted
from controller.engine.split import split_text

if TYPE_CHECKING:
    from controller.reconciler import Tick

_PINNED = "; traffic stays pinned"


def observed_view(view: View, split: Callable[[], Mapping[str, int]], place: str) -> View:
    """Return a view of an observed rollout. split: the real one; place: what commands call it."""
    return _Truthful(view, split, place)


class _Truthful:
    """Tells the real split at the end, and what to do to let it happen."""

    def __init__(self, view: View, split: Callable[[], Mapping[str, int]], place: str) -> None:
        self._view = view
        self._split = split
        self._place = place
        self._known: dict[str, int] | None = None

    def show(self, event: Event) -> None:
        if isinstance(event, Finished):
            reason = event.reason.partition(_PINNED)[0]
            commands = (f"rollout apply {self._place}",)
            event = replace(event, reason=reason, split=self._split(), next=commands, observed=True)
        self._view.show(event)

    def tick(self, tick: Tick) -> None:
        split = dict(self._split())
        if self._known not in (None, split):
            self._view.show(Message(tick.at, "info", f"in truth, traffic is {split_text(split)}"))
        self._known = split
        self._view.tick(tick)

    def about(self, named: Mapping[str, str]) -> View:
        return _Truthful(self._view.about(named), self._split, self._place)

    def close(self) -> None:
        self._view.close()


class WouldView:
    """For people: every change as what would be."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._changes = Changes()

    def about(self, named: Mapping[str, str]) -> WouldView:
        """Return the same: one region is observed at a time."""
        del named
        return self

    def show(self, event: Event) -> None:
        """Write an event's lines; a result goes to stdout, an error's to stderr."""
        ends = isinstance(event, Finished)
        is_result = isinstance(event, Finished) and event.outcome != "error"
        stream = self._stdout if is_result else self._stderr
        for line in text.lines(_would(event)):
            text.write(stream, line if ends else f"{text.stamp(event.at)}  {line}")

    def tick(self, tick: Tick) -> None:
        """Write what this pass changed."""
        told = text.tick_lines([_would(event) for event in tick.events])
        changes = (f"would be {line}" for line in self._changes.of(tick))
        for line in (*told, *changes):
            text.write(self._stderr, f"{text.stamp(tick.at)}  {line}")

    def close(self) -> None:
        """Nothing is left open."""


def _would(event: Event) -> Event:
    match event:
        case Shifted(at, split, in_force, reason):
            shift = f"would be in force: {split_text(split)}"
            asked = f"would shift to {split_text(split)}, because {reason}"
            return Message(at, "info", shift if in_force else asked)
        case Asked(at, kind, reason):
            return Message(at, "info", f"would ask ({kind.replace('_', ' ')}): {reason}")
        case _:
            return event


def make(output: str, stdout: TextIO, stderr: TextIO) -> View:
    """Return the view for `-o text` or `-o json`, whose every line says that it was observed."""
    if output == "json":
        return JsonView(stdout, {"observed": True})
    return WouldView(stdout, stderr)
