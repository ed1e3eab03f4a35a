"""A record that vanished or cannot be read: said by every command, replaced by three, if asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.wiring.serving import Served, served
from controller.engine.record import Phase
from tests.cli.test_acts import PLAN, SERVICE, live_in, record_of, run, started

STORED = json.loads((Path("tests/engine/records/running.json")).read_text("utf-8"))
NEXT = json.dumps({**STORED, "v": 2, "weather": "fine"})
HOSTILE = "\x1b[2J\x1b]0;x\x07::error::x\n::error::y <b>[red]{{ 7*7 }}"
PLACE = " ".join(SERVICE)
AREA = SERVICE[1:]


@pytest.fixture(scope="module")
def lost() -> Iterator[Served]:
    """Return a world in which a rollout began; its record is written over by each test."""
    with (
        pytest.MonkeyPatch.context() as patched,
        served("healthy", None, None, port=0, speed=60) as world,
    ):
        live_in(world, patched)
        started()
        yield world


def annotations_of(world: Served) -> dict[str, str]:
    found: dict[str, str] = world.sandbox.world.service("us-central1", "ion-api").raw["metadata"][
        "annotations"
    ]
    return found


def write(world: Served, text: str | None) -> None:
    """Let another hand write this in the record's place, or delete it."""
    annotations_of(world).pop("rollout/record", None)
    if text is not None:
        annotations_of(world)["rollout/record"] = text
    world.sandbox.world.service("us-central1", "ion-api").stamp += 1


COMMANDS = [
    ("apply", PLAN, "--no-wait"),
    ("apply", PLAN, "--no-wait", "--replace"),  # there is no terminal, and no --yes
    ("tick", *SERVICE),
    ("wait", *SERVICE),
    ("pause", *SERVICE),
    ("advance", *SERVICE),
    ("cancel", *SERVICE),
    ("approve", *SERVICE, "--yes"),
    ("status", *SERVICE),
    ("history", *SERVICE),
    ("list", *AREA),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NEXT, "its format is 2, this version reads 1; a newer rollout wrote it"),
        (NEXT[:99], "it begins as a record of format 2 and is cut off"),
        (HOSTILE, "it is not a record of rollout"),
        (None, "was here (tag rollout-new), and its record vanished; traffic is ion-api-00041-abc"),
    ],
    ids=["next", "cut", "hostile", "vanished"],
)
def test_it_is_said_and_left_as_it_is(
    lost: Served, command: tuple[str, ...], text: str | None, told: str
) -> None:
    write(lost, text)
    result = run(*command)
    assert told in result.output
    assert "went wrong" not in result.output
    assert "\x1b" not in result.output
    assert "\n::" not in result.output
    assert annotations_of(lost).get("rollout/record") == text


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("apply", PLAN, "--no-wait"), 6),
        (("tick", *SERVICE), 6),
        (("tick", "--all", *AREA), 6),
        (("wait", *SERVICE), 6),
        (("pause", *SERVICE), 1),
        (("status", *SERVICE), 0),
        (("list", *AREA), 0),
    ],
    ids=str,
)
def test_a_rollout_whose_record_vanished_is_taken_over(
    lost: Served, command: tuple[str, ...], code: int
) -> None:
    write(lost, None)
    result = run(*command)
    assert result.exit_code == code, result.output
    assert "nobody goes on with it" in result.output
    if command[0] == "apply":
        assert f"next: rollout apply {PLAN} --replace" in result.output
    elif command[0] != "list":
        for way in (f"rollback {PLACE}", f"cancel {PLACE}", "apply PLAN --replace"):
            assert f"rollout {way}" in result.output


def test_scripts_are_told_of_a_vanished_record_as_of_any_takeover(lost: Served) -> None:
    write(lost, None)
    for command in (("tick", *SERVICE), ("wait", *SERVICE), ("apply", PLAN, "--no-wait")):
        *_, finished = map(json.loads, run(*command, "-o", "json").stdout.splitlines())
        assert finished["outcome"] == "taken_over"
        assert finished["split"] == {"ion-api-00041-abc": 100}
        assert any(line.startswith("rollout cancel ") for line in finished["next"])
    assert json.loads(run("status", *SERVICE, "-o", "json").stdout)["state"] == "taken_over"
    assert "vanished" in json.loads(run("history", *SERVICE, "-o", "json").stdout)["gone"]


def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.cli.questions.at_terminal", lambda: True)


@pytest.mark.parametrize("word", [("cancel", *SERVICE), ("apply", PLAN, "--replace", "--no-wait")])
def test_on_a_terminal_it_is_shown_and_asked_about(
    lost: Served, monkeypatch: pytest.MonkeyPatch, word: tuple[str, ...]
) -> None:
    write(lost, HOSTILE)
    answered(monkeypatch)
    result = run(*word, answer="n\n")
    assert result.exit_code == 1
    assert f"{len(HOSTILE)} bytes: `<U+001B>[2J" in result.stderr
    assert "This replaces it." in result.stderr
    assert annotations_of(lost)["rollout/record"] == HOSTILE


def test_what_was_changed_while_it_was_asked_about_is_left(
    lost: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lost, HOSTILE)
    answered(monkeypatch)
    monkeypatch.setattr("click.confirm", lambda *_args, **_more: write(lost, NEXT))
    for command in (("cancel", *SERVICE), ("apply", PLAN, "--replace", "--no-wait")):
        write(lost, HOSTILE)
        result = run(*command)
        assert result.exit_code == 1, result.output
        assert "changed since it was shown, and was left" in result.stderr
        assert annotations_of(lost)["rollout/record"] == NEXT


@pytest.mark.parametrize("text", [NEXT, None], ids=["next", "vanished"])
def test_a_cancel_ends_it_and_keeps_what_it_replaced(lost: Served, text: str | None) -> None:
    anew(lost)
    write(lost, text)
    result = run("cancel", *SERVICE, "--yes", "-o", "json", "--reason", "mine")
    assert result.exit_code == 0, result.output
    message, finished = map(json.loads, result.stdout.splitlines())
    assert message["version"] == 1
    assert (
        "its format is 2" in message["text"] if text else "no record was there" in message["text"]
    )
    assert finished["outcome"] == "cancelled"
    assert finished["split"] == {"ion-api-00041-abc": 100}
    record = record_of(lost)
    kept = [t.reason for t in record.transitions if t.what == "record replaced"]
    assert kept[0].startswith("of format 2, " if text else "vanished; rollout-new was on ion-api")
    assert "cancelled by olga@example.com: mine" in run("history", *SERVICE).stdout
    assert f"next: rollout history {PLACE}" in run("status", *SERVICE).stdout


def test_replace_says_what_and_begins_anew(lost: Served) -> None:
    anew(lost)
    write(lost, NEXT[:99])
    preview = run("apply", PLAN, "--dry-run", "--replace")
    assert "would begin" in preview.stderr
    assert annotations_of(lost)["rollout/record"] == NEXT[:99]
    result = run("apply", PLAN, "--no-wait", "--replace", "--yes", "-o", "json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["version"] for e in events if "version" in e] == [1]
    assert any("replaced: a record" in e["text"] for e in events if e["event"] == "message")
    record = record_of(lost)
    assert record.phase is Phase.STARTING
    assert [t.what for t in record.transitions[:2]] == ["record replaced", "started"]
    assert "99 bytes" in record.transitions[0].reason


def test_a_roll_back_works_without_it_and_says_what_it_replaced(lost: Served) -> None:
    anew(lost)
    write(lost, NEXT)
    result = run("rollback", *SERVICE, "--yes")
    assert result.exit_code == 0, result.output
    assert "warning: replaced: a record that could not be read: its format is 2" in result.stderr
    assert "rolled back by olga" in run("history", *SERVICE).stdout
    assert run("apply", PLAN, "--no-wait").exit_code == 3
    write(lost, HOSTILE)
    result = run("rollback", *SERVICE, "--yes", "--to-revision", "ion-api-00041-abc")
    assert result.exit_code == 0, result.output
    assert record_of(lost).phase in (Phase.ROLLING_BACK, Phase.DONE)


def anew(world: Served) -> None:
    """Let a rollout begin, whatever there was before."""
    write(world, None)
    result = run("apply", PLAN, "--no-wait", "--replace", "--yes")
    assert result.exit_code == 0, result.output
