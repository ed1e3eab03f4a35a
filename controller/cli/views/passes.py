"""What one run over several services shows: a line for each as it comes, then how many of which.

Verdicts are shown to scripts only: a pass knows no more than the record, and would say them again
every time.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TextIO

from controller.cli.stops import Code
from controller.cli.views import json as wire
from controller.cli.views import text
from controller.cli.views.actions import ActionsPasses, disarmed, is_job
from controller.engine.events import Finished, Judged, Message
from controller.engine.split import split_text
from controller.report.actions import disarmed_json

if TYPE_CHECKING:
    from datetime import datetime

    import click

    from controller.cli.rounds import Passed
    from controller.engine.observation import ServiceName
    from controller.ports import PortError

NONE = "no rollout is under way"
NEEDS_SOMEBODY = (Code.WAITING, Code.SPLIT)


class PassesView(Protocol):
    """Shows what became of each service; `close` says what became of all."""

    def show(self, passed: Passed) -> None:
        """Show one service's pass."""

    def warn(self, region: str, at: datetime, why: PortError) -> None:
        """Show why a region could not be looked at."""

    def fail(self, at: datetime, stop: click.ClickException) -> None:
        """Show scripts that the command ends with an error; people read it on stderr."""

    def close(self, at: datetime) -> None:
        """Show the sum, where there was not just one."""


def make(output: str, stdout: TextIO, stderr: TextIO) -> PassesView:
    """Return the view for `-o text` or `-o json`; a job of GitHub Actions gets annotations too."""
    if not is_job(os.environ):
        return JsonPasses(stdout) if output == "json" else TextPasses(stdout, stderr)
    if output == "json":
        inner: PassesView = JsonPasses(disarmed(stdout, disarmed_json))
    else:
        inner = TextPasses(disarmed(stdout), disarmed(stderr))
    return ActionsPasses(inner, stderr, os.environ)


class TextPasses:
    """What happened on stderr, a line for each service on stdout."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._states: Counter[str] = Counter()

    def show(self, passed: Passed) -> None:
        """Write the service's events, then its line; what needs somebody has the commands."""
        name, end = passed.target.name, passed.end
        where = f"{name.service} ({name.region})"
        for tick in passed.ticks:
            events = [event for event in tick.events if not isinstance(event, Judged)]
            for line in text.tick_lines(events):
                text.write(self._stderr, f"{text.stamp(tick.at)}  {where}: {line}")
        state, why = _state(passed)
        self._states[state] += 1
        stream = self._stderr if passed.error is not None else self._stdout
        text.write(stream, f"{where}: {text.joined(state, why)}")
        if end.code in NEEDS_SOMEBODY:
            if end.finished.split:
                text.write(stream, f"  traffic: {split_text(end.finished.split)}")
            for command in end.finished.next:
                text.write(stream, f"  next: {command}")

    def warn(self, region: str, at: datetime, why: PortError) -> None:
        """Write it on stderr."""
        self._states["regions that cannot be seen"] += 1
        text.write(self._stderr, f"{text.stamp(at)}  {region}: warning: {_said(why)}")

    def fail(self, at: datetime, stop: click.ClickException) -> None:
        """Nothing: it is shown by whoever ends the command."""

    def close(self, at: datetime) -> None:
        """Write how many there are of each state."""
        total = self._states.total()
        if not total:
            text.write(self._stdout, NONE)
        if total > 1:
            told = ", ".join(f"{count} {state}" for state, count in self._states.most_common())
            text.write(self._stdout, f"in all: {told}")


def _state(passed: Passed) -> tuple[str, str]:
    """Return the state a service was left in, in words, and why."""
    outcome, reason = passed.end.finished.outcome, passed.end.finished.reason
    if passed.error is not None or not passed.ticks or outcome not in {"in_progress", "waiting"}:
        return text.OUTCOMES.get(outcome, outcome), reason
    tick = passed.ticks[-1]
    record, plan = tick.decision.record, tick.plan
    state = tick.decision.state.value.replace("_", " ")
    if plan is None or record.stage < 0:
        return state, tick.decision.reason
    stage = f"stage {record.stage + 1} of {len(plan.stages)} at {record.weight}%"
    return state, f"{stage}; {tick.decision.reason}"


class JsonPasses:
    """The events of every service, each line with its `service` and `region`."""

    def __init__(self, stdout: TextIO) -> None:
        self._view = wire.JsonView(stdout)
        self._is_finished = False

    def show(self, passed: Passed) -> None:
        """Write the service's events, its `finished` last."""
        view = self._view.about(about(passed.target.name))
        for tick in passed.ticks:
            view.tick(tick)
        view.show(passed.end.finished)
        self._is_finished = True

    def warn(self, region: str, at: datetime, why: PortError) -> None:
        """Write it as a message."""
        self._view.about({"region": region}).show(Message(at, "warning", _said(why)))

    def fail(self, at: datetime, stop: click.ClickException) -> None:
        """Write the end."""
        self._view.show(Finished(at, "error", stop.message))

    def close(self, at: datetime) -> None:
        """Write an end where there was no service to write one of."""
        if not self._is_finished:
            self._view.show(Finished(at, "nothing_to_do", NONE))


def _said(why: PortError) -> str:
    return f"{why.what} (mend: {why.mend})" if why.mend else why.what


def about(name: ServiceName) -> dict[str, str]:
    """Return what tells a line's service."""
    return {"service": name.service, "region": name.region}
