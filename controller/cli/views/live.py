"""The live view: where the rollout is, redrawn in place on stderr; changes scroll above it.

rich draws from a thread of its own, a few times a second, whatever is the last tick: a rehearsal
that ticks a thousand times a second costs no more than a real rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.cli.views import text
from controller.cli.views.human import Changes
from controller.engine.events import Event, Finished
from controller.engine.split import split_text
from controller.engine.watching import held, hold_of
from controller.engine.wording import minutes_shown
from controller.gates.verdict import Verdict, word
from controller.gates.wording import count_text, shown
from controller.plan.window import state_text

if TYPE_CHECKING:
    from controller.plan.model import Gate, Plan
    from controller.reconciler import Tick

BAR = 24
COLOURS = {"pass": "green", "fail": "bold red", "undecided": "yellow"}


class Screen:
    """What is drawn on a terminal, at one time for all that draw on it."""

    def __init__(self, stderr: TextIO) -> None:
        self.console = Console(file=stderr, highlight=False)
        self.last: dict[str, Tick | None] = {}
        self._results: list[tuple[TextIO, str]] = []
        self._live = Live(
            get_renderable=self._render,
            console=self.console,
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Take the drawing away, give the terminal back, and write the results."""
        self._live.stop()
        results, self._results = self._results, []
        for stream, line in results:
            text.write(stream, line)

    def leave(self, title: str, stream: TextIO, lines: Sequence[str]) -> None:
        """Draw one less; with the last one, or with the whole of them, the drawing ends.

        A result waits for that: written into the drawing it would break it.
        """
        is_the_whole = title not in self.last
        self.last.pop(title, None)
        self._results += [(stream, line) for line in lines]
        if is_the_whole or not self.last:
            self.close()

    def _render(self) -> RenderableType:
        if len(self.last) > 1:
            return Group(*(outline(title, tick) for title, tick in self.last.items()))
        tick = next(iter(self.last.values()), None)
        return Text("looking …") if tick is None else drawing(tick)


class LiveView:
    """Draws the last tick, and writes every change above the drawing.

    title: the service, of several on one screen.
    """

    def __init__(
        self, stdout: TextIO, stderr: TextIO, title: str = "", screen: Screen | None = None
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._title = title
        self._named = f"{title}: " if title else ""
        self._changes = Changes()
        self._screen = screen or Screen(stderr)
        self._screen.last[title] = None

    def about(self, named: Mapping[str, str]) -> LiveView:
        """Return a view on the same screen; from now on this one only says how it ends."""
        self._screen.last.pop(self._title, None)
        return LiveView(self._stdout, self._stderr, ": ".join(named.values()), self._screen)

    def show(self, event: Event) -> None:
        """Write an event above the drawing; the result ends the drawing and goes to stdout."""
        if not isinstance(event, Finished):
            for line in text.lines(event):
                self._say(f"{text.stamp(event.at)}  {self._named}{line}")
            return
        lines = [f"{self._named}{line}" for line in text.lines(event)]
        is_error = event.outcome == "error"
        self._screen.leave(self._title, self._stderr if is_error else self._stdout, lines)

    def tick(self, tick: Tick) -> None:
        """Take a pass to be drawn next."""
        self._screen.last[self._title] = tick
        for line in (*text.tick_lines(tick.events), *self._changes.of(tick)):
            self._say(f"{text.stamp(tick.at)}  {self._named}{line}")

    def close(self) -> None:
        """Take the drawing away and give the terminal back."""
        self._screen.close()

    def _say(self, line: str) -> None:
        console = self._screen.console
        console.print(Text(text.fitting(text.harmless(line), console.file)))


def live_views(stdout: TextIO, stderr: TextIO, titles: Sequence[str]) -> tuple[LiveView, ...]:
    """Return a view for each title, all on one screen."""
    screen = Screen(stderr)
    return tuple(LiveView(stdout, stderr, title, screen) for title in titles)


def outline(title: str, tick: Tick | None) -> RenderableType:
    """Return a tick as it is drawn where there are several: where it is, and why."""
    if tick is None:
        return Text(f"{title}  looking …", style="bold")
    state = tick.decision.state.value.replace("_", " ")
    parts: list[RenderableType] = [
        Text(),
        _text(f"{title}  {state}: {tick.decision.reason}", "bold"),
        _text(f"traffic  {split_text(_split(tick))}", "dim"),
    ]
    if tick.plan is not None:
        parts.append(_stages(tick, tick.plan))
    return Group(*parts)


def drawing(tick: Tick) -> RenderableType:
    """Return a tick as it is drawn: stages, split, gates, and when the next look is."""
    decision = tick.decision
    state = decision.state.value.replace("_", " ")
    next_look = tick.at + decision.look_again
    # What matters most comes first: a terminal that is too low cuts the end off.
    parts: list[RenderableType] = [
        Text(),
        _text(f"{state}: {decision.reason}", "bold"),
        _text(f"traffic  {split_text(_split(tick))}"),
        Text(f"{text.stamp(tick.at)}   next look {next_look:%H:%M:%S}", style="dim"),
    ]
    if tick.plan is not None and tick.plan.when.advance_only is not None:
        parts.append(Text(f"window   {state_text(tick.plan.when.advance_only, tick.at)}"))
    if tick.plan is not None:
        parts += [_stages(tick, tick.plan), _gates(tick, tick.plan)]
    return Group(*parts)


def _text(quoted: str, style: str = "") -> Text:
    """Return what comes from elsewhere as plain text: neither markup nor control characters."""
    return Text(text.harmless(" ".join(quoted.splitlines())), style=style)


def _split(tick: Tick) -> dict[str, int]:
    record = tick.decision.record
    if not record.weight:
        return dict(record.before)
    others = 100 - record.weight
    return {record.candidate: record.weight} | ({record.stable: others} if others else {})


def _stages(tick: Tick, plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    record = tick.decision.record
    for number, stage in enumerate(plan.stages):
        hold = hold_of(plan, record) if number == record.stage else stage.hold
        if number < record.stage:
            share, note = 1.0, "done"
        elif number > record.stage:
            share = 0.0
            note = minutes_shown(hold) + (", needs an approval" if stage.approval else "")
        else:
            done = held(record, tick.at)
            share = min(done / hold, 1.0) if hold else 1.0
            note = f"{minutes_shown(max(hold - done, timedelta(0)))} left of {minutes_shown(hold)}"
        here = number == record.stage
        table.add_row(
            Text(f"{stage.weight}%", style="bold" if here else "dim", justify="right"),
            Text(_bar(share), style="cyan" if here else "dim"),
            Text(note, style="" if here else "dim"),
        )
    return table


def _bar(share: float) -> str:
    full = round(share * BAR)
    return "#" * full + "." * (BAR - full)


def _gates(tick: Tick, plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for title in ("gate", "candidate", "stable", "to advance", "roll back", "sample", "verdict"):
        table.add_column(title)
    stage = tick.decision.record.stage
    for gate in plan.gates_at(stage) if 0 <= stage < len(plan.stages) else ():
        figures, told = _measured(gate, tick.decision.verdicts.get(gate.name))
        table.add_row(*map(_text, (gate.name, *figures)), told)
    return table


def _measured(gate: Gate, verdict: Verdict | None) -> tuple[tuple[str, ...], Text]:
    limits = (shown(gate, gate.limits.to_advance), shown(gate, gate.limits.roll_back))
    if verdict is None:
        return ("-", "-", *limits, "-"), Text("not judged yet", style="dim")
    figures = verdict.figures
    told = word(verdict)
    measured = (shown(gate, figures.estimate), shown(gate, figures.stable))
    return (*measured, *limits, count_text(figures.sample)), Text(told, style=COLOURS[told])
