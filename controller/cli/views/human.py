"""The plain view: one timestamped line a change on stderr, the result on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from controller.cli.views import text
from controller.engine.decision import Decision, State
from controller.engine.events import Asked, Event, Finished, Message, Shifted

if TYPE_CHECKING:
    from controller.reconciler import Tick

_TOLD_BY_EVENTS = (Asked, Message, Shifted)


class HumanView:
    """Writes a line when something changed, never one a tick. named: the service, of several."""

    def __init__(self, stdout: TextIO, stderr: TextIO, named: str = "") -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._named = f"{named}: " if named else ""
        self._changes = Changes()

    def about(self, named: Mapping[str, str]) -> HumanView:
        """Return a view whose lines begin with this."""
        return HumanView(self._stdout, self._stderr, ": ".join(named.values()))

    def show(self, event: Event) -> None:
        """Write an event's lines; a result goes to stdout, an error's to stderr."""
        told = text.lines(event)
        if isinstance(event, Finished):
            stream = self._stderr if event.outcome == "error" else self._stdout
            for line in told:
                text.write(stream, f"{self._named}{line}")
            return
        for line in told:
            text.write(self._stderr, f"{text.stamp(event.at)}  {self._named}{line}")

    def tick(self, tick: Tick) -> None:
        """Write what this pass changed."""
        for line in (*text.tick_lines(tick.events), *self._changes.of(tick)):
            text.write(self._stderr, f"{text.stamp(tick.at)}  {self._named}{line}")

    def close(self) -> None:
        """Nothing is left open."""


class Changes:
    """What a tick says beyond its events: another state, or a write that did not happen."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._problem = ""

    def of(self, tick: Tick) -> tuple[str, ...]:
        """Return lines for what is different from the tick before."""
        told: list[str] = []
        if tick.problem and tick.problem != self._problem:
            told.append(f"not written: {tick.problem}")
        if tick.decision.state is not self._state and not _told(tick.decision, tick.events):
            told.append(f"{tick.decision.state.value.replace('_', ' ')}: {tick.decision.reason}")
        self._state, self._problem = tick.decision.state, tick.problem
        return tuple(told)


def _told(decision: Decision, events: tuple[Event, ...]) -> bool:
    """Tell whether an event said the same already; the end is said by `Finished`."""
    return decision.state is State.DONE or any(isinstance(e, _TOLD_BY_EVENTS) for e in events)
