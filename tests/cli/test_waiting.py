"""`wait`, `watch`, `history --all`: rollouts that others move are followed, and never touched."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from controller.cli import deeds
from controller.cli.app import cli
from controller.cli.looking import Looker
from controller.cli.sandbox import VARIABLES
from controller.cli.views.live import outline
from controller.cli.wiring import Connection, connections
from controller.cli.wiring.serving import Served, served
from controller.engine.decision import State
from controller.engine.events import Asked, Event, Message, Shifted
from controller.engine.observation import ServiceName
from controller.plan.reader import read_plan
from controller.plan.source import load
from controller.reconciler import Tick

PLAN = """
service: ion-api
project: demo
region: us-central1
stages:
  - {weight: 10%, hold: 10m}
  - {weight: 100%, hold: 5m, approval: required}
gates:
  errors: {metric: error_rate, max: 5%, roll_back: 10%}
"""
NAME = ServiceName("demo", "us-central1", "ion-api")
WHERE = ("--region", "us-central1", "--project", "demo")
STEP = timedelta(minutes=5)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "ion-api.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def world(plan: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    made = read_plan(load(str(plan)), env={}, variables={}).plan
    with served("healthy", NAME, made, port=0, speed=0, services=2) as one:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, one.address)
        monkeypatch.setenv("CLOUDSDK_CORE_ACCOUNT", "olga@example.com")
        monkeypatch.delenv("CI", raising=False)
        yield one


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def connection(world: Served, name: ServiceName = NAME) -> Connection:
    return connections(dict.fromkeys(VARIABLES, world.address))(name)


def roll_back(world: Served, service: str = "ion-api") -> None:
    """Roll back as a person does, who does not stay to see it in force."""
    name = replace(NAME, service=service)
    done = deeds.perform(connection(world, name).ports, name, "rollback", "olga", "a feeling")
    assert isinstance(done, Tick)


def passes(world: Served, most: int, *, until: str) -> None:
    """Let a schedule's passes go by until the last transition is this one."""
    for _ in range(most):
        world.clock.sleep(STEP)
        run("tick", "ion-api", *WHERE)
        told = run("history", "ion-api", *WHERE, "-o", "json")
        if json.loads(told.stdout)["transitions"][-1]["what"].startswith(until):
            return
    raise AssertionError(f"never {until}")


def to_the_approval(world: Served, plan: Path) -> None:
    assert run("apply", str(plan), "--no-wait").exit_code == 0
    passes(world, 12, until="asked")


def generation(world: Served) -> int:
    return world.sandbox.world.service("us-central1", "ion-api").generation


@pytest.mark.usefixtures("world")
def test_where_no_rollout_began_there_is_nothing_to_wait_for() -> None:
    for word in ("wait", "watch"):
        result = run(word, "ion-api", *WHERE)
        assert result.exit_code == 1
        assert "there is no rollout on this service" in result.stderr
    told = events(run("wait", "nosuch", *WHERE, "-o", "json"))
    assert (told[-1]["event"], told[-1]["outcome"]) == ("finished", "error")
    assert run("watch").exit_code == 2


def test_what_is_seen_has_the_controllers_events_and_writes_nothing(
    world: Served, plan: Path
) -> None:
    assert run("apply", str(plan), "--no-wait").exit_code == 0
    looker = Looker(connection(world).ports, NAME, "ion-api", measured=True)
    seen: list[Event] = []
    states: set[State] = set()
    for _ in range(30):
        before = generation(world)
        tick = looker.look()
        assert tick is not None
        assert generation(world) == before
        seen += tick.events
        states.add(tick.decision.state)
        if tick.decision.state is State.DONE:
            break
        if tick.decision.state is State.ASKING:
            run("approve", "ion-api", *WHERE)
        world.clock.sleep(STEP)
        run("tick", "ion-api", *WHERE)
    shifts = [(dict(e.split), e.in_force) for e in seen if isinstance(e, Shifted)]
    ten = {"ion-api-00041-abc": 90, "ion-api-00042-xyz": 10}
    whole = {"ion-api-00042-xyz": 100}
    assert shifts[-4:] == [(ten, False), (ten, True), (whole, False), (whole, True)]
    assert [e.kind for e in seen if isinstance(e, Asked)] == ["approval"]
    assert any("approved" in e.text for e in seen if isinstance(e, Message))
    assert states >= {State.RUNNING, State.SHIFTING, State.ASKING, State.DONE}
    result = run("wait", str(plan), "-o", "json")
    assert (result.exit_code, events(result)[-1]["outcome"]) == (0, "promoted")


def test_at_its_time_limit_it_says_what_is_missing(world: Served, plan: Path) -> None:
    to_the_approval(world, plan)
    result = run("wait", "ion-api", *WHERE, "--timeout", "0s", "-o", "json")
    told = events(result)
    assert result.exit_code == 4, result.output
    assert told[0]["event"] == "started"
    assert told[0]["version"] == 1
    assert told[-1]["outcome"] == "waiting"
    assert "asked" in [event["event"] for event in told]
    run("approve", "ion-api", *WHERE)
    later = run("wait", str(plan), "--timeout", "0s")
    assert later.exit_code == 5, later.output
    assert "still in progress: the time limit has come" in later.stdout


def test_a_rollback_of_somebody_else_is_seen_to_its_end(world: Served, plan: Path) -> None:
    to_the_approval(world, plan)
    service = world.sandbox.world.service("us-central1", "ion-api")
    percents = service.raw["spec"]["traffic"]
    looker = Looker(connection(world).ports, NAME, "ion-api", measured=False)
    assert looker.look() is not None
    roll_back(world)
    tick = looker.look()
    assert tick is not None
    assert tick.decision.state is State.ROLLING_BACK
    assert percents != service.raw["spec"]["traffic"]
    assert run("wait", "ion-api", *WHERE, "--timeout", "0s").exit_code == 5
    world.clock.sleep(STEP)
    run("tick", "ion-api", *WHERE)
    assert run("wait", "ion-api", *WHERE).exit_code == 3


def test_a_rollout_that_nobody_watches_is_shouted_once(world: Served, plan: Path) -> None:
    assert run("apply", str(plan), "--no-wait").exit_code == 0
    looker = Looker(connection(world).ports, NAME, "ion-api", measured=False)
    world.clock.sleep(timedelta(hours=5))
    shouts = []
    for _ in range(2):
        tick = looker.look()
        assert tick is not None
        shouts += [e.text for e in tick.events if isinstance(e, Message) and e.level == "shout"]
    assert len(shouts) == 1
    assert "nobody has watched for 5 h" in shouts[0]


def test_of_several_services_every_line_says_which_it_is(
    world: Served, plan: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.yaml"
    second.write_text(PLAN.replace("ion-api", "ion-api-2"), encoding="utf-8")
    for one, name in ((plan, "ion-api"), (second, "ion-api-2")):
        assert run("apply", str(one), "--no-wait").exit_code == 0
        world.clock.sleep(STEP)
        roll_back(world, name)
        world.clock.sleep(STEP)
        run("tick", name, *WHERE)
    result = run("watch", "ion-api", "ion-api-2", *WHERE)
    assert result.exit_code == 3, result.output
    assert "ion-api: rolled back" in result.stdout
    assert "ion-api-2: rolled back" in result.stdout
    told = events(run("watch", "ion-api", "ion-api-2", *WHERE, "-o", "json"))
    ends = [event for event in told if event["event"] == "finished"]
    assert sorted(event["service"] for event in ends) == ["ion-api", "ion-api-2"]
    header, newest, older = run("history", "--all", *WHERE).stdout.splitlines()
    assert header.startswith("ENDED")
    assert ("ion-api-2-00042-xyz" in newest, "ion-api-00042-xyz" in older) == (True, True)
    lines = run("history", "--all", *WHERE, "-o", "json").stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["rolled_back"] * 2


def test_history_of_all_and_of_some_cannot_both_be_meant() -> None:
    assert run("history", "--all", "ion-api", *WHERE).exit_code == 2
    assert run("history", *WHERE).exit_code == 2


def test_of_several_services_each_is_drawn_with_its_name(world: Served, plan: Path) -> None:
    to_the_approval(world, plan)
    tick = Looker(connection(world).ports, NAME, "ion-api", measured=False).look()
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(outline("ion-api", tick))
        console.print(outline("ion-api-2", None))
    text = captured.get()
    assert "ion-api  asking: " in text
    assert "needs an approval" in text
    assert "ion-api-2  looking" in text


def test_without_a_plan_the_way_on_is_a_tick(world: Served, plan: Path) -> None:
    assert run("apply", str(plan), "--no-wait").exit_code == 0
    result = run("wait", "ion-api", *WHERE, "--timeout", "0s", "-o", "json")
    finished = events(result)[-1]
    assert finished["next"][0] == "rollout tick ion-api --region us-central1 --project demo"
