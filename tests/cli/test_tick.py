"""`tick` and `list`: rollouts that nobody stays with, against a served world of three services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.ending import Ending
from controller.cli.rounds import Job, Passed, in_rounds, pass_over, worst
from controller.cli.sandbox import VARIABLES
from controller.cli.target import Target
from controller.cli.wiring import connections, wall_clock
from controller.cli.wiring.serving import Served, served
from controller.engine.codec import decode
from controller.engine.events import Finished
from controller.engine.observation import ServiceName
from controller.engine.record import Record
from controller.plan.reader import read_plan
from controller.plan.source import load

PLAN = """
service: {service}
project: demo
region: us-central1
stages:
  - {{weight: 10%, hold: 10m}}
  - {{weight: 100%, hold: 5m}}
gates:
  errors: {{metric: error_rate, max: 5%, roll_back: 10%}}
"""
MINUTE = timedelta(minutes=1)
STEP = 5 * MINUTE
SERVICES = ("ion-api", "ion-api-2", "ion-api-3")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path, "ion-api")


def written(folder: Path, service: str) -> Path:
    path = folder / f"{service}.yaml"
    path.write_text(PLAN.format(service=service), encoding="utf-8")
    return path


@pytest.fixture
def world(plan: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with a_world(plan) as one:
        live_in(one, monkeypatch)
        yield one


def a_world(plan: Path, scenario: str = "healthy") -> Served:
    name = ServiceName("demo", "us-central1", "ion-api")
    made = read_plan(load(str(plan)), env={}, variables={}).plan
    return served(scenario, name, made, port=0, speed=0, services=3)


def live_in(world: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, world.address)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "demo")
    monkeypatch.setenv("CLOUDSDK_RUN_REGION", "us-central1")
    monkeypatch.delenv("CI", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def begin(plan: Path) -> None:
    result = run("apply", str(plan), "--no-wait")
    assert result.exit_code == 0, result.output


def record_of(world: Served, service: str = "ion-api") -> Record:
    raw = world.sandbox.world.service("us-central1", service).raw
    return decode(raw["metadata"]["annotations"]["rollout/record"])


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def to_the_end(world: Served, *arguments: str) -> Result:
    """Tick every five minutes until the rollouts of all services are done."""
    for _ in range(30):
        world.clock.sleep(STEP)
        result = run("tick", *arguments)
        if "promoted" in result.stdout or "rolled back" in result.stdout:
            return result
        assert result.exit_code == 0, result.output
    raise AssertionError("no end in sight")


def test_a_rollout_is_promoted_by_passes_that_have_no_plan(plan: Path, world: Served) -> None:
    begin(plan)
    plan.unlink()
    result = to_the_end(world, "ion-api")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ion-api (us-central1): promoted")
    assert record_of(world).duty == "schedule"


def test_a_bad_candidate_is_rolled_back_and_the_code_says_so_until_it_was_told(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_world(plan, "errors") as world:
        live_in(world, monkeypatch)
        plan.write_text(plan.read_text().replace("10%, hold: 10m", "10%, hold: 40m"))
        world.clock.sleep(MINUTE)
        begin(plan)
        sick = world.sandbox.world.service("us-central1", "ion-api").revisions
        sick["ion-api-00042-xyz"].become("failed", world.clock.now())
        assert to_the_end(world, "--all").exit_code == 3
        assert run("tick", "--all").stdout == "no rollout is under way\n"
        again = run("tick", "ion-api")
        assert (again.exit_code, "rolled back" in again.stdout) == (3, True)


def test_every_rollout_of_the_region_is_found_by_its_record_and_the_region_listed_once(
    world: Served, tmp_path: Path
) -> None:
    for service in SERVICES[:2]:
        begin(written(tmp_path, service))
    world.clock.sleep(STEP)
    asked = counted(world)
    result = run("tick", "--all", "-o", "json")
    assert result.exit_code == 0, result.output
    told = events(result)
    ends = [e["service"] for e in told if e["event"] == "finished"]
    assert sorted(ends) == list(SERVICES[:2])
    assert [e.get("version") for e in told].count(1) == 1
    assert told[0]["version"] == 1
    assert asked["ListServices"] == 1
    assert asked["GetService"] == 0


def counted(world: Served) -> dict[str, int]:
    """Count the calls of Cloud Run's v2 API from now on."""
    counts = dict.fromkeys(("ListServices", "GetService"), 0)
    table: Any = world.sandbox.handlers
    for path, method in dict(table).items():
        name = path.rsplit("/", 1)[-1]
        if name not in counts:
            continue

        def handle(request: Any, name: str = name, method: Any = method) -> Any:
            counts[name] += 1
            return method.handler(request)

        table[path] = type(method)(method.request, handle)
    return counts


def test_one_failing_service_never_holds_up_another(
    plan: Path, world: Served, tmp_path: Path
) -> None:
    for service in SERVICES:
        begin(written(tmp_path, service))
    world.clock.sleep(STEP)
    broken = world.sandbox.world.service("us-central1", "ion-api-2")
    broken.raw["metadata"]["annotations"]["rollout/record"] = '{"v": 99}'
    broken.stamp += 1
    result = run("tick", "--all", "--workers", "1")
    assert result.exit_code == 1, result.output
    assert "ion-api (us-central1): starting" in result.stdout
    assert "ion-api-3 (us-central1): starting" in result.stdout
    assert "in all: 2 starting, 1 error" in result.stdout
    assert "ion-api-2 (us-central1): error: the record on the service cannot be read" in (
        result.stderr
    )
    assert "Traceback" not in result.output


def test_a_service_that_hangs_is_left_at_the_time_limit_and_the_others_are_not() -> None:
    hang = Event()
    jobs = [Job(Target(s, ServiceName("demo", "r", s))) for s in SERVICES]

    def work(job: Job) -> Passed:
        if job.target.name.service == "ion-api":
            hang.wait(20)
        end = Finished(wall_clock(), "promoted", "")
        return Passed(job.target, (), Ending(end, 0))

    until = wall_clock() + timedelta(seconds=1)
    told = list(in_rounds(work, jobs, workers=2, until=until, called=lambda: ""))
    hang.set()
    assert [(p.target.name.service, p.end.code) for p in told] == [
        ("ion-api-2", 0),
        ("ion-api-3", 0),
        ("ion-api", 5),
    ]
    assert "the time limit came" in told[-1].end.finished.reason


def test_after_a_signal_no_further_service_is_begun() -> None:
    jobs = [Job(Target(s, ServiceName("demo", "r", s))) for s in SERVICES]
    begun = Event()
    go_on = Event()

    def work(job: Job) -> Passed:
        begun.set()
        go_on.wait(20)
        return Passed(job.target, (), Ending(Finished(wall_clock(), "promoted", ""), 0))

    def called() -> str:
        if begun.is_set():
            go_on.set()
            return "SIGTERM"
        return ""

    until = wall_clock() + timedelta(seconds=20)
    told = list(in_rounds(work, jobs, workers=1, until=until, called=called))
    assert len(told) == 3
    assert "SIGTERM" in told[-1].end.finished.reason
    assert worst([p.end.code for p in told]) == 5


def test_overlapping_passes_make_the_moves_of_one(plan: Path, world: Served) -> None:
    begin(plan)
    world.clock.sleep(STEP)
    run("tick", "ion-api")
    world.clock.sleep(STEP)
    connect = connections(dict.fromkeys(VARIABLES, world.address))
    job = Job(Target("ion-api", ServiceName("demo", "us-central1", "ion-api")))
    found: list[Passed] = []
    both = [Thread(target=lambda: found.append(pass_over(connect, job))) for _ in range(2)]
    for one in both:
        one.start()
    while any(one.is_alive() for one in both):
        world.clock.sleep(timedelta(seconds=6))  # who was refused waits a little
        both[0].join(0.05)
    assert [passed.error for passed in found] == [None, None]
    whats = [t.what for t in record_of(world).transitions]
    assert whats.count("shift to 10%") == 1


SECRET = """
checks:
  health: {get: "{{ candidate.url }}/health", headers: {Authorization: "env:TOKEN"},
           expect: {status: 200}}
"""


def test_a_check_with_a_secret_is_sent_only_where_the_plan_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "secret.yaml"
    plan.write_text(PLAN.format(service="ion-api") + SECRET, encoding="utf-8")
    monkeypatch.setenv("TOKEN", "t")
    with a_world(plan) as world:
        live_in(world, monkeypatch)
        begin(plan)
        for _ in range(3):
            world.clock.sleep(STEP)
            run("tick", "--all")
        assert record_of(world).stage == -1
        result = run("tick", "--all", str(plan))
        assert result.exit_code == 0, result.output
        assert record_of(world).stage == 0


@pytest.mark.usefixtures("world")
def test_nothing_named_is_bad_usage_and_no_rollout_is_none() -> None:
    assert run("tick").exit_code == 2
    assert "--all" in run("tick").stderr
    none = run("tick", "--all", "-o", "json")
    assert (none.exit_code, events(none)[-1]["outcome"]) == (0, "nothing_to_do")
    named = run("tick", "ion-api", "nosuch")
    assert named.exit_code == 1
    assert "there is no rollout on this service" in named.stdout
    assert "there are the services" in named.stderr


def test_the_list_has_unwatched_rollouts_first(plan: Path, world: Served, tmp_path: Path) -> None:
    assert "no rollout ever ran" in run("list").stdout
    for service in SERVICES[:2]:
        begin(written(tmp_path, service))
    world.clock.sleep(timedelta(hours=5))
    run("tick", "ion-api")
    header, first, second = run("list").stdout.splitlines()
    assert header.split()[:3] == ["SERVICE", "STATE", "STAGE"]
    assert first.startswith("ion-api-2  UNWATCHED, ")
    assert second.startswith("ion-api    starting")
    told = [json.loads(line) for line in run("list", "-o", "json").stdout.splitlines()]
    assert [(one["service"], one["unwatched"]) for one in told] == [
        ("ion-api-2", True),
        ("ion-api", False),
    ]


DENIED = "about: nobody may list\ndenied: [run.services.list]\n"


def test_a_region_that_cannot_be_listed_is_told_with_what_is_missing(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tmp_path / "denied.yaml"
    scenario.write_text(DENIED, encoding="utf-8")
    with a_world(plan, str(scenario)) as world:
        live_in(world, monkeypatch)
        for words in (("tick", "--all"), ("list",)):
            result = run(*words)
            assert result.exit_code == 1, result.output
            assert "run.services.list" in result.stderr
            assert "roles/" in result.stderr
            assert "no rollout" not in result.stdout
