"""The same events, as lines for people and as JSON for scripts."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.cli import views
from controller.cli.views.text import tick_lines
from controller.engine.events import (
    Asked,
    Decided,
    Event,
    Finished,
    Judged,
    Message,
    Observed,
    Shifted,
    Started,
)
from controller.gates.evidence import CodeCounts, Minute
from controller.gates.verdict import Fail, Figures, Undecided, Why

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ROLLED_BACK = Finished(
    AT,
    "rolled_back",
    "at 10%: error-rate 4.1% of 1,203 requests, limit 2%",
    {"ion-api-00041-abc": 100},
    timedelta(hours=25),
    13_203,
    ("rollout history ion-api",),
)
TOO_LITTLE = Undecided("no data", Figures(), Why.NO_DATA)
EVERY: tuple[Event, ...] = (
    Started(AT, "r1", "ion-api", "new", "old", ((5, timedelta(hours=24)),), attached=False),
    Observed(AT, 0, {"request_count": (Minute(AT, CodeCounts({"5xx": 1}), None),)}),
    Judged(AT, "error-rate", Fail("4.1% of 1,203 requests", Figures(0.041, sample=1203))),
    Judged(AT, "latency", TOO_LITTLE),
    Decided(AT, "wait", "holding 5%", timedelta(minutes=1)),
    Shifted(AT, {"old": 95, "new": 5}, in_force=False, reason="checks passed"),
    Asked(AT, "approval", "100% needs an approval", 4),
    Message(AT, "warning", "김 changed the traffic"),
    ROLLED_BACK,
)


def text_of(*events: Event, encoding: str = "utf-8") -> tuple[str, str]:
    out, err = io.BytesIO(), io.BytesIO()
    stdout = io.TextIOWrapper(out, encoding=encoding)
    stderr = io.TextIOWrapper(err, encoding=encoding)
    view = views.make("text", stdout, stderr, live=True)
    for event in events:
        view.show(event)
    view.close()
    return out.getvalue().decode(encoding), err.getvalue().decode(encoding)


def json_of(*events: Event) -> str:
    out = io.StringIO()
    view = views.make("json", out, io.StringIO(), live=True)
    for event in events:
        view.show(event)
    return out.getvalue()


def test_the_end_is_one_sentence_with_its_reason_on_stdout() -> None:
    out, err = text_of(ROLLED_BACK)
    assert out.splitlines()[0] == (
        "rolled back at 10%: error-rate 4.1% of 1,203 requests, limit 2% "
        "(took 1 d 1 h, the candidate served at least 13,203 requests)"
    )
    assert out.splitlines()[1:] == [
        "traffic: ion-api-00041-abc 100%",
        "next: rollout history ion-api",
    ]
    assert err == ""


@pytest.mark.parametrize(
    ("served", "said"),
    [(1, "served at least 1 request)"), (0, "no request of the candidate was counted)")],
)
def test_what_the_candidate_served_is_no_more_than_what_was_counted(served: int, said: str) -> None:
    out, _ = text_of(replace(ROLLED_BACK, served=served))
    assert said in out.splitlines()[0]


def test_what_happens_on_the_way_is_a_line_with_its_time_on_stderr() -> None:
    out, err = text_of(EVERY[2])
    assert out == ""
    assert err == "2026-01-05 09:00:00Z  gate error-rate: fail, 4.1% of 1,203 requests\n"


def test_an_error_ends_on_stderr() -> None:
    out, err = text_of(Finished(AT, "error", "permission denied"))
    assert (out, err) == ("", "error: permission denied\n")


def test_a_terminal_that_knows_ascii_only_gets_ascii() -> None:
    _, err = text_of(EVERY[0], EVERY[7], encoding="ascii")
    assert "\\uae40 changed" in err


def test_json_is_one_object_a_line_and_the_first_says_the_version() -> None:
    values = [json.loads(line) for line in json_of(*EVERY).splitlines()]
    assert values[0]["version"] == 1
    assert all("version" not in value for value in values[1:])
    assert [value["event"] for value in values] == [
        "started", "observed", "verdict", "verdict", "decided", "shifted", "asked", "message",
        "finished",
    ]  # fmt: skip
    assert all(value["at"] == "2026-01-05T09:00:00Z" for value in values)


def test_json_counts_stages_from_one_as_people_do() -> None:
    assert json.loads(json_of(EVERY[6]))["stage"] == 5


def test_json_tells_why_a_gate_is_undecided() -> None:
    assert json.loads(json_of(EVERY[3]))["why"] == "no_data"


def test_json_tells_the_end_whole() -> None:
    assert json.loads(json_of(ROLLED_BACK)) == {
        "version": 1,
        "event": "finished",
        "at": "2026-01-05T09:00:00Z",
        "outcome": "rolled_back",
        "reason": "at 10%: error-rate 4.1% of 1,203 requests, limit 2%",
        "split": {"ion-api-00041-abc": 100},
        "took_s": 90_000,
        "served": 13_203,
        "next": ["rollout history ion-api"],
    }


@pytest.mark.parametrize("variable", ["CI", "NO_COLOR"])
def test_nothing_is_redrawn_where_the_environment_says_no(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv(variable, "1")
    terminal = Terminal()
    view = views.make("text", io.StringIO(), terminal, live=True)
    view.show(EVERY[7])
    view.close()
    assert "\x1b" not in terminal.getvalue()


def test_gates_that_have_seen_too_little_share_one_line() -> None:
    assert tick_lines((EVERY[2], EVERY[3], Judged(AT, "requests", TOO_LITTLE))) == (
        "gate error-rate: fail, 4.1% of 1,203 requests",
        "not enough evidence yet: latency, requests",
    )
