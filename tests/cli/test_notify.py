"""Messages to people through the commands: into the inbox of a served world, and no secret out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.wiring import connect
from controller.cli.wiring.serving import Served, served
from controller.engine.observation import ServiceName

VARIABLES = (
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING",
    "ROLLOUT_SANDBOX_CLOCK",
)
URL_SECRET, TOKEN_SECRET, BROKEN_SECRET = "hooksecret", "tokensecret", "brokensecret"
PLAN = """\
service: ion-api
project: demo
region: us-central1
stages: [{weight: 10%, hold: 30m}, {weight: 100%, hold: 10m}]
gates: {error-rate: {metric: error_rate, max: 1%}}
notify:
  team:   {slack: env:TEAM_URL, events: [started, advanced, rolled_back]}
  pager:  {webhook: env:PAGER_URL, headers: {authorization: env:PAGER_TOKEN}, events: [rolled_back]}
  broken: {google_chat: env:BROKEN_URL, events: [started, rolled_back]}
  unset:  {slack: env:NOT_SET_URL, events: [started]}
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return str(file)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served("healthy", None, None, port=0, speed=60) as one:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, one.address)
        monkeypatch.setenv("CLOUDSDK_CORE_ACCOUNT", "olga@example.com")
        monkeypatch.setenv("TEAM_URL", f"{one.address}/sandbox/inbox/team-{URL_SECRET}")
        monkeypatch.setenv("PAGER_URL", f"{one.address}/sandbox/inbox/pager-{URL_SECRET}")
        monkeypatch.setenv("PAGER_TOKEN", f"Bearer {TOKEN_SECRET}")
        monkeypatch.setenv("BROKEN_URL", f"http://127.0.0.1:1/{BROKEN_SECRET}")
        monkeypatch.delenv("NOT_SET_URL", raising=False)
        monkeypatch.delenv("CI", raising=False)
        yield one


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def inbox(world: Served, name: str) -> list[dict[str, Any]]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{world.address}/sandbox/inbox/{name}-{URL_SECRET}", timeout=5)
    return list(answer.json()["messages"])


def after_a_while(world: Served, *arguments: str) -> Result:
    """Run a command when the schedule has left time to whoever acted before."""
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{world.address}/sandbox/clock", json={"advance_s": 120}, timeout=5)
    return run(*arguments)


def test_people_hear_of_a_rollout_and_no_secret_leaves_the_environment(
    world: Served, plan: str
) -> None:
    results = [
        run("apply", plan, "--no-wait"),
        run("apply", plan, "--no-wait", "-o", "json"),
        run("rollback", plan, "--yes", "--reason", "a <!channel> bad feeling"),
        after_a_while(world, "apply", plan, "--no-wait"),
        run("status", plan),
        run("history", plan, "-o", "json"),
        run("--debug", "notify", "test", plan),
        run("notify", "test", plan, "-o", "json"),
        run("--debug", "apply", plan, "--dry-run"),
        run("--debug", "explain", plan),
        run("validate", plan, "-o", "json"),
        run("status", plan, "-o", "json"),
    ]

    told = [message["body"]["text"].split("\n")[0] for message in inbox(world, "team")]
    assert told[0].endswith("starts*")
    assert "*ion-api: rolled back: traffic is ion-api-00041-abc 100%*" in told
    pager = inbox(world, "pager")
    assert pager[0]["body"]["event"] == "rolled_back"
    assert "a <!channel> bad feeling" in pager[0]["body"]["why"]
    assert pager[0]["headers"]["authorization"] == f"Bearer {TOKEN_SECRET}"
    assert "&lt;!channel&gt;" in "".join(m["body"]["text"] for m in inbox(world, "team"))

    name = ServiceName("demo", "us-central1", "ion-api")
    service = connect(name, dict.fromkeys(VARIABLES, world.address)).ports.router.observe(name)
    sinks = [one.stdout + one.stderr + repr(one.exception) for one in results]
    sinks.append(service.record_text or "")
    for secret in (URL_SECRET, TOKEN_SECRET, BROKEN_SECRET):
        assert all(secret not in sink for sink in sinks)
    assert "broken is not yet told: started: no connection" in sinks[0]
    assert "unset is not yet told: started: NOT_SET_URL is not set where rollout runs" in sinks[0]


def test_what_an_ended_rollout_owes_is_told_by_the_next_tick_of_all(
    world: Served, plan: str
) -> None:
    run("apply", plan, "--no-wait")
    run("rollback", plan, "--yes")  # where the machine is slow, a minute of the world is over here
    everything = ("tick", "--all", "--region", "us-central1", "--project", "demo")
    told = after_a_while(world, *everything)
    assert told.exit_code == 0
    after_a_while(world, *everything)
    assert [one["body"]["event"] for one in inbox(world, "pager")] == ["rolled_back"]


def test_a_test_message_goes_to_each_and_what_became_of_it_is_told(
    world: Served, plan: str
) -> None:
    result = run("notify", "test", plan)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "team (slack): told",
        "pager (webhook): told",
        "broken (google chat): not told: no connection",
        "unset (slack): not told: NOT_SET_URL is not set where rollout runs",
    ]
    assert "this is a test" in inbox(world, "team")[0]["body"]["text"]
    assert inbox(world, "pager")[0]["body"]["event"] == "test"
    assert run("notify", "test", plan, "--to", "team").exit_code == 0
    assert len(inbox(world, "team")) == 2


@pytest.mark.usefixtures("world")
def test_whoever_stays_is_warned_at_once_of_a_variable_that_is_not_set(plan: str) -> None:
    result = run("apply", plan, "--timeout", "1m")
    assert "unset cannot be told from here: set NOT_SET_URL" in result.stderr
    assert "team cannot be told" not in result.stderr


def test_in_the_sandbox_messages_are_shown_and_not_sent(plan: str) -> None:
    result = run("notify", "test", plan, "--sandbox", "--to", "team")
    assert result.exit_code == 0
    assert "team (slack): shown\n  ion-api: this is a test" in result.stdout
    rehearsal = run("apply", plan, "--sandbox")
    assert rehearsal.exit_code == 0
    told = "message to team:\n    ion-api: ion-api-00042-xyz gets 10% of the requests\n    why: "
    assert told in rehearsal.stderr


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--to", "nobody"], "it has: team, pager, broken, unset"),
        ([], "add notify: {team: {slack: env:SLACK_URL}}"),
    ],
)
def test_whom_the_plan_does_not_notify_is_bad_usage(
    plan: str, arguments: list[str], mend: str
) -> None:
    target = plan if arguments else "rollout_plans/quickstart.yaml"
    result = run("notify", "test", target, "--project", "demo", *arguments)
    assert result.exit_code == 2
    assert mend in result.stderr


def test_the_inbox_lists_what_came_by_recipient_and_is_emptied() -> None:
    with served("healthy", None, None, port=0, speed=1) as world, requests.Session() as session:
        session.trust_env = False
        base = f"{world.address}/sandbox/inbox"
        assert session.post(f"{base}/a", json={"n": 1}, timeout=5).status_code == 200
        assert session.post(f"{base}/b", data=b"plain", timeout=5).status_code == 200
        assert session.post(base, json={}, timeout=5).status_code == 404
        assert session.post(f"{base}/a", data=b"x" * 70_000, timeout=5).status_code == 413
        found = session.get(base, timeout=5).json()["messages"]
        assert [(one["to"], one["body"]) for one in found] == [("a", {"n": 1}), ("b", "plain")]
        assert len(session.get(f"{base}/b", timeout=5).json()["messages"]) == 1
        session.delete(base, timeout=5)
        assert session.get(base, timeout=5).json()["messages"] == []
