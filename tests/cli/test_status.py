"""`status` and `history` against a served world, through Google's own clients; `sandbox` itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.examples import example_plan
from controller.cli.sandbox import VARIABLES
from controller.cli.wiring import connect
from controller.cli.wiring.serving import Served, served
from controller.engine.begin import Wish
from controller.engine.observation import ServiceName
from controller.plan.reader import read_plan
from controller.plan.source import load
from controller.reconciler import Reconciler, Tick

SERVICE = ("ion-api", "--region", "us-central1", "--project", "demo")
NAME = ServiceName("demo", "us-central1", "ion-api")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    plan = replace(read_plan(load(str(example_plan("ion-api"))), env={}, variables={}).plan)
    with served("healthy", NAME, plan, port=0, speed=0) as world:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, world.address)
        yield world


def begin(world: Served) -> None:
    """Start a rollout as `apply` does, and leave."""
    plan = read_plan(load(str(example_plan("ion-api"))), env={}, variables={}).plan
    environment = dict.fromkeys(VARIABLES, world.address)
    reconciler = Reconciler(connect(NAME, environment).ports, NAME)
    assert isinstance(reconciler.begin(Wish(plan, "kim@example.com", "r-1")), Tick)


def test_a_service_that_was_never_rolled_out_says_so(world: Served) -> None:
    result = run("status", *SERVICE)
    assert result.exit_code == 0, result.output
    assert "no rollout" in result.stdout
    assert f"traffic    {world.sandbox.world.setting.stable} 100%" in result.stdout
    assert "no rollout ever ran" in run("history", *SERVICE).stdout


def test_a_rollout_under_way_is_told_from_the_service(world: Served) -> None:
    begin(world)
    result = run("status", *SERVICE, "-o", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["rollout"] == "r-1"
    assert told["state"] in {"starting", "shifting"}
    assert told["unwatched"] is False


def test_now_asks_monitoring_and_writes_nothing(world: Served) -> None:
    begin(world)
    before = world.sandbox.world.service("us-central1", "ion-api").generation
    result = run("status", *SERVICE, "--now")
    assert result.exit_code == 0, result.output
    assert world.sandbox.world.service("us-central1", "ion-api").generation == before


def test_history_tells_the_transitions(world: Served) -> None:
    begin(world)
    result = run("history", *SERVICE)
    assert result.exit_code == 0, result.output
    assert "rollout r-1 of ion-api-00042-xyz, begun by kim@example.com" in result.stdout


def test_a_service_that_does_not_exist_ends_with_1_and_the_mend(world: Served) -> None:
    result = run("status", "ion-app", *SERVICE[1:])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "ion-app" in result.stderr


def test_the_served_world_says_when_it_is_ready_and_ends_when_asked() -> None:
    command = [sys.executable, "-m", "controller", "sandbox", "serve", "--port", "0", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert ready["event"] == "listening"
    assert set(ready["env"]) >= set(VARIABLES)


def test_every_packaged_scenario_is_listed_with_what_it_is_about() -> None:
    result = run("sandbox", "list")
    assert result.exit_code == 0, result.output
    assert "errors" in result.stdout
    assert "the candidate fails more from the second stage on" in result.stdout
