"""What others wrote is shown as text: no terminal is steered, no runner commanded, no line forged.

Hostile text stands in every place of an event, a decision and a record that another hand can fill:
names, reasons, labels, answers of servers, people.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import controller.cli
from controller.cli import views
from controller.cli.app import cli
from controller.cli.history import lines as history_lines
from controller.cli.stops import InvalidPlan, Stop
from controller.cli.views import text
from controller.cli.views.json import write_line
from controller.cli.views.standing import lines as standing_lines
from controller.cli.views.standing import standing
from controller.cli.wiring import rehearse
from controller.engine.begin import Wish
from controller.engine.codec import encode
from controller.engine.events import Asked, Event, Finished, Judged, Message, Shifted, Started
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import Act, Transition
from controller.engine.telling import News
from controller.gates.verdict import Fail, Figures
from controller.notify.forms import google_chat, slack
from controller.plan.model import Heard
from controller.plan.reader import read_plan
from controller.plan.source import Source
from controller.reconciler import Reconciler, Tick

NAME = ServiceName("demo", "us-central1", "ion-api")
PLAN = """\
service: ion-api
stages: [{weight: 10%, hold: 5m}, {weight: 100%}]
gates: {error-rate: {metric: error_rate, max: 1%}}
"""
HOSTILE = (
    "evil\x1b[2J\x1b[31m\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x1b]52;c;cm0=\x07"
    "\r\x08\x7f\x9b1m\u202egnp\u2066\u200b\ufeff\u2028[red]x[/red][link=https://e]y[/link]:boom:"
    "{{ 7*7 }}<b>&<!channel>`x`##[error]z%0A::error::a\n::error::forged\n"
    "a ##vso[task.complete result=Failed]a ##VSO[x]y ##teamcity[buildStop]\n"
    "::add-mask::rollout\npromoted\n| 2026-01-05"
)
RUNNERS = re.compile(r"##(?:vso|teamcity)?\[", re.IGNORECASE)
"""Commands that a runner finds anywhere in a line: GitHub's older ones, Azure's, TeamCity's."""
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def hostile_events(at: Tick) -> tuple[Event, ...]:
    now = at.at
    stages = ((10, timedelta(minutes=5)),)
    fail = Fail(HOSTILE, Figures(0.5, sample=10))
    return (
        Started(
            now, HOSTILE, HOSTILE, HOSTILE, HOSTILE, stages, attached=False, changed=(HOSTILE,)
        ),
        Judged(now, HOSTILE, fail),
        Shifted(now, {HOSTILE: 90, "new": 10}, in_force=False, reason=HOSTILE),
        Shifted(now, {HOSTILE: 90, "new": 10}, in_force=True, reason=HOSTILE),
        Asked(now, HOSTILE, HOSTILE, 0),
        *(Message(now, level, HOSTILE) for level in ("info", "warning", "shout")),
        Finished(now, "rolled_back", HOSTILE, {HOSTILE: 100}, next=(HOSTILE,)),
    )


@pytest.fixture(scope="module")
def started() -> tuple[Tick, ServiceState]:
    """A rollout under way, whose every text another hand could have written."""
    plan = read_plan(Source("plan.yaml", PLAN.encode()), env={}, variables={}).plan
    ports = rehearse(NAME, plan, "healthy", {}).ports
    tick = Reconciler(ports, NAME).begin(Wish(plan, "kim@example.com", "r-1"))
    assert isinstance(tick, Tick)
    record = replace(
        tick.decision.record,
        by=HOSTILE,
        candidate=HOSTILE,
        stage=0,
        weight=10,
        paused=Act(HOSTILE, tick.at, HOSTILE),
        transitions=(Transition(tick.at, HOSTILE, HOSTILE, HOSTILE),),
    )
    verdicts = {"error-rate": Fail(HOSTILE, Figures(0.5, sample=10))}
    decision = replace(tick.decision, record=record, reason=HOSTILE, verdicts=verdicts)
    service = ports.router.observe(NAME)
    hostile = replace(tick, decision=decision, problem=HOSTILE, events=hostile_events(tick)[:-1])
    service = replace(
        service, record_text=encode(record), last_modifier=HOSTILE, ready_message=HOSTILE
    )
    return hostile, service


def shown(view: views.View, tick: Tick) -> None:
    for event in hostile_events(tick)[:-1]:
        view.show(event)
    view.tick(tick)
    view.show(hostile_events(tick)[-1])
    view.close()


def plain_view(tick: Tick, _service: ServiceState, out: io.StringIO) -> None:
    shown(views.make("text", out, out, live=False), tick)


def observed_view(tick: Tick, _service: ServiceState, out: io.StringIO) -> None:
    shown(views.make("text", out, out, live=False, observed=True), tick)


def several_views(tick: Tick, _service: ServiceState, out: io.StringIO) -> None:
    for view in views.make_each("text", out, out, [NAME, replace(NAME, service="other")]):
        shown(view, tick)


def status(_tick: Tick, service: ServiceState, out: io.StringIO) -> None:
    for line in standing_lines(standing(service, _tick.at, HOSTILE)):
        text.write(out, line)


def history(tick: Tick, _service: ServiceState, out: io.StringIO) -> None:
    for line in history_lines(tick.decision.record):
        text.write(out, line)


def error(_tick: Tick, _service: ServiceState, out: io.StringIO) -> None:
    Stop(HOSTILE, HOSTILE).show(out)


SINKS: list[Callable[[Tick, ServiceState, io.StringIO], None]] = [
    plain_view, observed_view, several_views, status, history, error,
]  # fmt: skip


@pytest.mark.parametrize("sink", SINKS)
def test_for_people_hostile_text_is_text(
    sink: Callable[[Tick, ServiceState, io.StringIO], None], started: tuple[Tick, ServiceState]
) -> None:
    out = io.StringIO()
    sink(*started, out)
    told = out.getvalue()
    assert "evil<U+001B>" in told
    assert "[red]x[/red]" in told
    assert not UNSEEN.search(told)
    assert_no_line_is_forged(told)


def assert_no_line_is_forged(told: str) -> None:
    for line in told.split("\n"):
        assert not line.lstrip().startswith("::")
        assert not line.startswith("promoted")
        assert not line.startswith("| 2026")
    assert not RUNNERS.search(told)


def test_the_live_view_draws_it_without_its_markup(
    started: tuple[Tick, ServiceState], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CI", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out, terminal = io.StringIO(), Terminal()
    shown(views.make("text", out, terminal, live=True), started[0])
    told = terminal.getvalue()
    own = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")  # rich's: colours, the cursor
    assert "evil<U+001B>" in told
    assert "\x1b[2J" not in told
    assert "\x1b]" not in told
    assert not UNSEEN.search(own.sub("", told))
    assert "[red]x[/red]" in own.sub("", told)
    assert_no_line_is_forged(out.getvalue())


def test_json_holds_the_same_text_in_characters_that_steer_nothing(
    started: tuple[Tick, ServiceState],
) -> None:
    out = io.StringIO()
    shown(views.make("json", out, out, live=False), started[0])
    assert not UNSEEN.search(out.getvalue())
    assert not RUNNERS.search(out.getvalue())
    events = [json.loads(line) for line in out.getvalue().split("\n")[:-1]]
    assert events[0]["candidate"] == HOSTILE
    assert events[-1]["reason"] == HOSTILE


@given(st.text())
def test_any_text_is_the_same_value_in_json(value: str) -> None:
    out = io.StringIO()
    write_line(out, {"reason": value})
    assert json.loads(out.getvalue()) == {"reason": value}
    assert out.getvalue()[:-1].isprintable()


@given(st.text())
def test_any_text_is_printable_in_one_line_for_people(value: str) -> None:
    assert all(line.isprintable() for line in text.harmless(value).split("\n"))


def test_a_job_gets_only_the_commands_that_are_ours(
    started: tuple[Tick, ServiceState], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    out = io.StringIO()
    shown(views.make("text", out, out, live=False), started[0])
    commands = [line for line in out.getvalue().split("\n") if line.lstrip().startswith("::")]
    assert all(re.match(r"::(error|warning) title=rollout evil", line) for line in commands)
    assert len(commands) >= 3
    assert not UNSEEN.search(out.getvalue())
    for line in (tmp_path / "summary.md").read_text(encoding="utf-8").split("\n"):
        assert not re.search(r"<b>|<!channel>|\[red\]", re.sub(r"(`+)(?!`).*?\1(?!`)", "", line))
        assert not UNSEEN.search(line)


def test_a_message_to_people_mentions_links_and_breaks_nothing(
    started: tuple[Tick, ServiceState],
) -> None:
    tick = started[0]
    news = News(
        Heard.STARTED, 1, tick.at, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), NAME,
        HOSTILE, HOSTILE, HOSTILE, 1, 2, 10,
    )  # fmt: skip
    for body in (slack(news, None), google_chat(news, None)):
        assert not re.search(r"<[!b]", body["text"])
        assert not UNSEEN.search(body["text"])
        assert "\npromoted" not in body["text"]


def test_what_was_typed_is_not_echoed_raw() -> None:
    for arguments in (["\x1b[2Jx"], ["apply", "p", "--\x1b[2J"], ["apply", "\x1b[2Jno.yaml"]):
        result = CliRunner().invoke(cli, arguments, color=True)
        assert result.exit_code == 2
        assert "\x1b" not in result.stderr


def test_a_diagnostic_of_a_plan_stays_a_diagnostic() -> None:
    out = io.StringIO()
    InvalidPlan("plan.yaml:1:1: x\x1b[2J\n1 | y\u202e\n    ^").show(out)
    assert out.getvalue() == "plan.yaml:1:1: x<U+001B>[2J\n1 | y<U+202E>\n    ^\n"


def written_past_the_rim() -> Iterator[str]:
    """Find what writes to a stream by another way than `text.write` and `write_line`."""
    own = {"stops.py", "views/text.py", "views/actions.py"}  # where the two are made
    ours = {"sandbox.py", "schema.py", "certifying.py"}  # constants and numbers of our own
    root = Path(controller.cli.__file__).parent
    for file in root.rglob("*.py"):
        if str(file.relative_to(root)) in own | ours:
            continue
        source = file.read_text(encoding="utf-8")
        for found in re.finditer(
            r"click\.s?echo\(|\bprint\((?!Text)|std(?:out|err)\.write\(", source
        ):
            yield f"{file.relative_to(root)}: {found[0]}"


def test_every_command_writes_through_the_one_rim() -> None:
    assert list(written_past_the_rim()) == []
