"""Acts of people, and leaving `apply`: separate commands against one served world."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli import questions
from controller.cli.app import cli
from controller.cli.wiring import connect
from controller.cli.wiring.serving import Served, served
from controller.engine.codec import decode
from controller.engine.duty import SCHEDULE
from controller.engine.observation import ServiceName
from controller.engine.record import Record

PLAN = "rollout_plans/ion-api.yaml"
SERVICE = ("ion-api", "--region", "us-central1", "--project", "demo")
VARIABLES = (
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING",
    "ROLLOUT_SANDBOX_CLOCK",
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served("healthy", None, None, port=0, speed=60) as one:
        live_in(one, monkeypatch)
        yield one


def live_in(world: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command of this test talk to the world."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, world.address)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "demo")
    monkeypatch.setenv("CLOUDSDK_CORE_ACCOUNT", "olga@example.com")
    monkeypatch.delenv("CI", raising=False)


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=answer)


def record_of(world: Served) -> Record:
    """Return the record on the service of a served world."""
    name = ServiceName("demo", "us-central1", "ion-api")
    text = connect(name, dict.fromkeys(VARIABLES, world.address)).ports.router.observe(name)
    assert text.record_text is not None
    return decode(text.record_text)


def started() -> Result:
    result = run("apply", PLAN, "--no-wait")
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.usefixtures("world")
def test_a_running_rollout_is_paused_resumed_and_cancelled_by_name() -> None:
    started()
    assert run("pause", *SERVICE, "--reason", "lunch").stdout.startswith("paused: ")
    assert run("resume", *SERVICE, "--yes").stdout.startswith("resumed: ")
    assert run("cancel", *SERVICE, "--yes").stdout.startswith("cancelled: traffic is ")


@pytest.mark.usefixtures("world")
def test_a_rollback_puts_everything_on_stable_and_forbids_the_same_candidate() -> None:
    started()
    result = run("rollback", *SERVICE, "--yes", "--reason", "a bad feeling")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("rolled back: traffic is ion-api-00041-abc 100%")
    again = run("apply", PLAN, "--no-wait")
    assert again.exit_code == 3
    assert "was rolled back before" in again.stderr


@pytest.mark.usefixtures("world")
def test_an_approval_of_what_is_not_asked_is_refused() -> None:
    started()
    result = run("approve", *SERVICE)
    assert result.exit_code == 1
    assert "asks for nothing" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("word", ["rollback", "cancel", "advance", "promote"])
def test_without_a_terminal_what_would_be_asked_needs_yes(word: str) -> None:
    result = run(word, *SERVICE)
    assert result.exit_code == 2
    assert "--yes" in result.stderr


@pytest.mark.usefixtures("world")
def test_what_has_nothing_to_ask_needs_neither_a_terminal_nor_yes() -> None:
    started()
    run("pause", *SERVICE)
    assert run("resume", *SERVICE).stdout.startswith("resumed: ")


@pytest.mark.usefixtures("world")
def test_a_rollback_to_a_revision_that_is_not_there_changes_nothing() -> None:
    result = run("rollback", *SERVICE, "--to-revision", "ion-api-00041-abd", "--yes")
    assert result.exit_code == 1
    assert "no revision ion-api-00041-abd" in result.stderr
    assert "did you mean ion-api-00041-abc" in result.stderr
    assert "ion-api-00041-abc 100%" in run("status", *SERVICE).stdout


@pytest.mark.usefixtures("world")
def test_an_act_without_a_rollout_says_so() -> None:
    result = run("pause", *SERVICE)
    assert (result.exit_code, "there is no rollout" in result.stderr) == (1, True)


@pytest.mark.usefixtures("world")
def test_a_service_that_does_not_exist_is_answered_with_the_nearest() -> None:
    result = run("pause", "ion-apo", *SERVICE[1:])
    assert result.exit_code == 1
    assert "ion-api" in result.stderr


def test_a_command_nobody_knows_is_answered_with_the_nearest() -> None:
    assert "Did you mean approve" in run("aprove").stderr
    assert "rollback (to stable) or cancel (leave as it is)?" in run("abort").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM to be sent")
@pytest.mark.usefixtures("world")
def test_a_signal_detaches_and_the_last_line_says_how_to_go_on() -> None:
    command = [sys.executable, "-m", "controller", "apply", PLAN, "-o", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().splitlines()
        assert process.wait(timeout=20) == 5
    finished = json.loads(rest[-1] if rest else first)
    assert finished["outcome"] == "in_progress"
    assert "SIGTERM" in finished["reason"]
    assert finished["next"] == [f"rollout {w} {PLAN}" for w in ("apply", "status", "rollback")]


def test_an_apply_that_leaves_in_order_gives_the_duty_up(world: Served) -> None:
    result = run("apply", PLAN, "--timeout", "2m")
    assert result.exit_code == 5, result.output
    assert record_of(world).duty == ""


def test_runs_of_one_pass_keep_the_duty_between_them(world: Served) -> None:
    started()
    assert record_of(world).duty == SCHEDULE


def test_a_promotion_is_said_to_be_done_once_everybody_gets_the_candidate(world: Served) -> None:
    started()
    result = run("promote", *SERVICE, "--yes", "--reason", "a hotfix")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("promoted: traffic is ion-api-00042-xyz 100%")
    assert "; in force after " in result.stdout
    outcome = record_of(world).outcome
    assert outcome is not None
    assert (outcome.outcome, outcome.by) == ("promoted", "olga@example.com")


STUCK = """
about: no shift ever comes into force
faults:
  - {shift: every 1, takes: 9h}
"""


def test_a_promotion_that_does_not_come_into_force_is_not_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tmp_path / "stuck.yaml"
    scenario.write_text(STUCK, encoding="utf-8")
    with served(str(scenario), None, None, port=0, speed=300) as stuck:
        live_in(stuck, monkeypatch)
        started()
        result = run("promote", *SERVICE, "--yes")
        assert result.exit_code == 6, result.output
        assert "not seen in force after 3 minutes" in result.stderr
        assert "promoted" not in result.stdout
        assert record_of(stuck).outcome is None


CLOSED = """
region: us-central1
service: ion-api
stages: [{weight: 50%, hold: 10m, approval: required}, {weight: 100%}]
when: {advance_only: {hours: "03:00-04:00", zone: UTC}}
"""


def test_while_the_window_is_closed_an_approval_is_kept_and_going_on_asks(
    world: Served, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(CLOSED)
    assert run("apply", str(plan), "--no-wait").exit_code == 0
    told = run("approve", *SERVICE)
    assert "kept until the window opens" in told.output
    name = ServiceName("demo", "us-central1", "ion-api")
    asked = questions.skipping(connect(name, dict.fromkeys(VARIABLES, world.address)))
    assert asked.startswith("The window is closed (opens Tue 2026-01-06 03:00 UTC). Go on without")
    assert run("advance", *SERVICE).exit_code == 2
    assert run("advance", *SERVICE, "--yes", "--reason", "hotfix").exit_code == 0
    last = [entry.reason for entry in record_of(world).transitions]
    assert "advanced by olga@example.com outside the window: hotfix" in last
