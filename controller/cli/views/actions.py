"""In a job of GitHub Actions: the same view as elsewhere, with annotations and a job summary.

Workflow commands go to stderr, which the runner reads as well, so that stdout stays what `-o` says.
The summary is appended to the file that the runner names; that it cannot be written is only said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from controller.cli.views import text
from controller.engine.events import Event, Finished, Judged, Started
from controller.report import actions

if TYPE_CHECKING:
    from controller.cli.rounds import Passed
    from controller.cli.views import View
    from controller.cli.views.passes import PassesView
    from controller.gates.verdict import Verdict
    from controller.reconciler import Tick

SUMMARY = "GITHUB_STEP_SUMMARY"


def is_job(env: Mapping[str, str]) -> bool:
    """Tell whether this is a step of a job of GitHub Actions."""
    return env.get("GITHUB_ACTIONS") == "true"


class Disarmed:
    """A stream of a job's log on which nothing that is quoted is taken for a command."""

    def __init__(self, stream: TextIO, disarm: Callable[[str], str]) -> None:
        self._stream = stream
        self._disarm = disarm
        self.encoding = stream.encoding

    def write(self, line: str) -> int:
        """Write it, disarmed."""
        return self._stream.write(self._disarm(line))

    def flush(self) -> None:
        """Flush what is below."""
        self._stream.flush()

    def isatty(self) -> bool:
        """No log is a terminal."""
        return False


def disarmed(stream: TextIO, how: Callable[[str], str] = actions.disarmed) -> TextIO:
    """Return a stream of a job's log; views use of it what `Disarmed` has."""
    return cast("TextIO", Disarmed(stream, how))


class ActionsView:
    """Hands everything on to the view it is put around, and tells the runner what matters."""

    def __init__(self, inner: View, stderr: TextIO, env: Mapping[str, str]) -> None:
        self._inner = inner
        self._stderr = stderr
        self._summary = env.get(SUMMARY, "")
        self._started: Started | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._said: set[str] = set()
        self._whole = self

    def about(self, named: Mapping[str, str]) -> ActionsView:
        """Return a view of a part of this run; both know what the other annotated."""
        part = ActionsView(self._inner.about(named), self._stderr, {SUMMARY: self._summary})
        part._whole = self._whole
        return part

    def show(self, event: Event) -> None:
        """Show it, and annotate it where it is worth that."""
        self._inner.show(event)
        self._whole.note(event)

    def tick(self, tick: Tick) -> None:
        """Show a pass, and annotate its events."""
        self._inner.tick(tick)
        for event in tick.events:
            self._whole.note(event)

    def close(self) -> None:
        """End what is drawn."""
        self._inner.close()

    def note(self, event: Event) -> None:
        """Annotate an event where it is worth that; the last one makes the summary."""
        if isinstance(event, Started):
            self._started = event
        if isinstance(event, Judged):
            self._verdicts[event.gate] = event.verdict
        service = self._started.service if self._started else ""
        said = actions.annotation(event, service)
        if said and said not in self._said:  # the same warning every minute is one annotation
            self._said.add(said)
            text.write_raw(self._stderr, said)
        if isinstance(event, Finished):
            append(
                self._summary,
                actions.summary(service or "rollout", event, self._started, self._verdicts),
                self._stderr,
            )


class ActionsPasses:
    """The same for one run over several services: each that ends or needs somebody is annotated."""

    def __init__(self, inner: PassesView, stderr: TextIO, env: Mapping[str, str]) -> None:
        self._inner = inner
        self._stderr = stderr
        self._summary = env.get(SUMMARY, "")
        self.warn, self.fail, self.close = inner.warn, inner.fail, inner.close

    def show(self, passed: Passed) -> None:
        """Show one service's pass, and what is worth it to the runner."""
        self._inner.show(passed)
        service, end = passed.target.name.service, passed.end.finished
        events = [event for tick in passed.ticks for event in tick.events]
        for event in (*events, end):
            if said := actions.annotation(event, service):
                text.write_raw(self._stderr, said)
        told = actions.summary(service, end, verdicts=actions.judged(events))
        append(self._summary, told, self._stderr)


def append(path: str, markdown: str, stderr: TextIO) -> None:
    """Append to the job summary; a job has one only where the runner names it."""
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as error:
        text.write(stderr, f"warning: the job summary cannot be written: {error.strerror}")
