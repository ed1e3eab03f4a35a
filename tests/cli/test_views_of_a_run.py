"""What the views make of real ticks: a rehearsal of the quickstart plan, through the reconciler."""

from __future__ import annotations

import io
import json
from datetime import datetime

import pytest
from rich.console import Console

from controller.cli import views
from controller.cli.examples import example_plan
from controller.cli.views.human import HumanView
from controller.cli.views.live import drawing
from controller.cli.wiring import rehearse
from controller.engine.begin import Wish
from controller.engine.codec import encode
from controller.engine.decision import State
from controller.engine.largest import largest_record
from controller.engine.observation import ServiceName
from controller.plan.reader import read_plan
from controller.plan.source import load
from controller.reconciler import Reconciler, Tick

NAME = ServiceName("demo", "us-central1", "ion-api")


@pytest.fixture(scope="module")
def ticks() -> tuple[Tick, ...]:
    plan = read_plan(load(str(example_plan("quickstart"))), env={}, variables={}).plan
    reconciler = Reconciler(rehearse(NAME, plan, "healthy", {}).ports, NAME)
    begun = reconciler.begin(Wish(plan, "kim@example.com", "r-1"))
    assert isinstance(begun, Tick)
    return (begun, *reconciler.follow())


def drawn(tick: Tick) -> str:
    console = Console(file=io.StringIO(), width=110)
    with console.capture() as captured:
        console.print(drawing(tick))
    return captured.get()


def test_the_drawing_has_stages_split_gates_and_the_next_look(ticks: tuple[Tick, ...]) -> None:
    judged = [t for t in ticks if t.decision.verdicts and t.decision.state is State.RUNNING]
    text = drawn(judged[len(judged) // 3])
    for wanted in ("left of 30 min", "traffic", "error-rate", "to advance", "next look"):
        assert wanted in text


def test_every_tick_can_be_drawn(ticks: tuple[Tick, ...]) -> None:
    assert all(drawn(tick) for tick in ticks)


def test_plain_lines_are_one_a_change_not_one_a_tick(ticks: tuple[Tick, ...]) -> None:
    stderr = io.StringIO()
    view = HumanView(io.StringIO(), stderr)
    for tick in ticks:
        view.tick(tick)
    told = stderr.getvalue().splitlines()
    assert len(told) < len(ticks)
    assert len(set(told)) == len(told)


def test_the_live_view_draws_on_a_terminal_and_leaves_it_clean(
    ticks: tuple[Tick, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for variable in ("CI", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    view = views.make("text", io.StringIO(), terminal, live=True)
    for tick in ticks:
        view.tick(tick)
    view.close()
    view.close()
    assert "in force: ion-api-00042-xyz 100%" in terminal.getvalue()
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is shown again


def test_json_of_a_run_is_lines_of_json_with_times_that_never_go_back(
    ticks: tuple[Tick, ...],
) -> None:
    stdout = io.StringIO()
    view = views.make("json", stdout, io.StringIO(), live=True)
    for tick in ticks:
        view.tick(tick)
    values = [json.loads(line) for line in stdout.getvalue().splitlines()]
    times = [datetime.fromisoformat(value["at"]) for value in values]
    assert times == sorted(times)
    assert {"started", "observed", "verdict", "decided", "shifted"} <= {v["event"] for v in values}


def test_no_record_of_a_run_is_larger_than_validate_counts_on(ticks: tuple[Tick, ...]) -> None:
    plan = next(tick.plan for tick in ticks if tick.plan is not None)
    largest = max(len(encode(tick.decision.record).encode()) for tick in ticks)
    assert largest <= largest_record(plan)
