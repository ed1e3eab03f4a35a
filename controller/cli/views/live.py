"""The live view: where the rollout is, redrawn in place on stderr; changes scroll above it.

rich draws from a thread of its own, a few times a second, whatever is the last tick: a rehearsal
that ticks a thousand times a second costs no more than a real rollout.
"""

from __future__ import annotations

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


class LiveView:
    """Draws the last tick, and writes every change above the drawing."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout = stdout
        self._console = Console(file=stderr, highlight=False)
        self._changes = Changes()
        self._last: Tick | None = None
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, event: Event) -> None:
        """Write an event above the drawing; the result ends the drawing and goes to stdout."""
        if not isinstance(event, Finished):
            for line in text.lines(event):
                self._say(f"{text.stamp(event.at)}  {line}")
            return
        self.close()
        for line in text.lines(event):
            text.write(self._console.file if event.outcome == "error" else self._stdout, line)

    def tick(self, tick: Tick) -> None:
        """Take a pass to be drawn next."""
        self._last = tick
        for line in (*text.tick_lines(tick.events), *self._changes.of(tick)):
            self._say(f"{text.stamp(tick.at)}  {line}")

    def close(self) -> None:
        """Take the drawing away and give the terminal back."""
        self._live.stop()

    def _say(self, line: str) -> None:
        self._console.print(Text(text.fitting(line, self._console.file)))

    def _render(self) -> RenderableType:
        return Text("looking …") if self._last is None else drawing(self._last)


def drawing(tick: Tick) -> RenderableType:
    """Return a tick as it is drawn: stages, split, gates, and when the next look is."""
    decision = tick.decision
    state = decision.state.value.replace("_", " ")
    next_look = tick.at + decision.look_again
    # What matters most comes first: a terminal that is too low cuts the end off.
    parts: list[RenderableType] = [
        Text(),
        Text(f"{state}: {decision.reason}", style="bold"),
        Text(f"traffic  {split_text(_split(tick))}"),
        Text(f"{text.stamp(tick.at)}   next look {next_look:%H:%M:%S}", style="dim"),
    ]
    if tick.plan is not None and tick.plan.when.advance_only is not None:
        parts.append(Text(f"window   {state_text(tick.plan.when.advance_only, tick.at)}"))
    if tick.plan is not None:
        parts += [_stages(tick, tick.plan), _gates(tick, tick.plan)]
    return Group(*parts)


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
        verdict = tick.decision.verdicts.get(gate.name)
        table.add_row(gate.name, *_measured(gate, verdict))
    return table


def _measured(gate: Gate, verdict: Verdict | None) -> tuple[str | Text, ...]:
    limits = (shown(gate, gate.limits.to_advance), shown(gate, gate.limits.roll_back))
    if verdict is None:
        return ("-", "-", *limits, "-", Text("not judged yet", style="dim"))
    figures = verdict.figures
    told = word(verdict)
    return (
        shown(gate, figures.estimate),
        shown(gate, figures.stable),
        *limits,
        count_text(figures.sample),
        Text(told, style=COLOURS[told]),
    )
