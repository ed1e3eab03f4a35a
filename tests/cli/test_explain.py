"""`rollout explain`: the rule that decided, and the verdicts it was decided by, once more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.sandbox import VARIABLES
from controller.cli.wiring.serving import Served, served
from controller.engine.observation import ServiceName
from controller.plan.reader import read_plan
from controller.plan.source import load

PLAN = """
service: ion-api
project: demo
region: us-central1
stages:
  - {weight: 10%, hold: 10m}
  - {weight: 50%, hold: 10m}
  - {weight: 100%, hold: 5m, approval: required}
gates:
  errors: {metric: error_rate, max: 1%, roll_back: 2%}
"""
NAME = ServiceName("demo", "us-central1", "ion-api")
WHERE = ("--region", "us-central1", "--project", "demo")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "ion-api.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def world(
    plan: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Served]:
    made = read_plan(load(str(plan)), env={}, variables={}).plan
    with served(getattr(request, "param", "healthy"), NAME, made, port=0, speed=0) as one:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, one.address)
        monkeypatch.setenv("CLOUDSDK_CORE_ACCOUNT", "olga@example.com")
        monkeypatch.delenv("CI", raising=False)
        yield one


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def applied(plan: Path, *arguments: str) -> tuple[str, list[dict[str, Any]]]:
    """Apply the plan; return its events as text and as values."""
    text = run("apply", str(plan), "-o", "json", *arguments).stdout
    return text, [json.loads(line) for line in text.splitlines()]


def ticked(world: Served, plan: Path, *ends: str) -> str:
    """Apply by passes a minute apart until an event has one of the words; return all events."""
    text = run("apply", str(plan), "--no-wait", "-o", "json").stdout
    for _ in range(60):
        world.clock.sleep(timedelta(minutes=1))
        new = run("tick", str(plan), "-o", "json").stdout
        text += new
        if any(f'"{end}"' in new for end in ends):
            return text
    raise AssertionError(text)


def explained(*arguments: str, stdin: str | None = None) -> dict[str, Any]:
    result = run("explain", *arguments, "-o", "json", stdin=stdin)
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def figures(gate: dict[str, Any]) -> dict[str, Any]:
    return {key: gate[key] for key in ("verdict", "reason", "estimate", "sample", "bad", "spent")}


def test_a_roll_back_is_explained_with_the_verdict_that_led_to_it(plan: Path) -> None:
    text, events = applied(plan, "--scenario", "errors")
    judged = [e for e in events if e["event"] == "verdict" and e["gate"] == "errors"][-1]
    told = explained(str(plan), "--evidence", "-", stdin=text)
    assert told["decision"]["what"] == "roll back"
    assert figures(told["gates"]["errors"]) == figures(judged)
    assert told["would_decide"]["action"] == "roll_back"
    assert "whose on_fail is roll_back failed (errors)" in told["rule"]
    assert told["then"][0]["what"] == "rolled back"
    assert (
        sum(
            int(point["candidate"]["codes"].get("5xx", 0))
            for point in told["gates"]["errors"]["points"]
        )
        == told["gates"]["errors"]["bad"]
    )


@pytest.mark.parametrize("world", ["errors"], indirect=True)
def test_monitoring_and_the_events_explain_alike(world: Served, plan: Path) -> None:
    text = ticked(world, plan, "rolled_back")
    file = explained(str(plan), "--evidence", "-", stdin=text)
    there = explained("ion-api", *WHERE)
    assert there["source"] == "Monitoring"
    for key in ("at", "rule", "stage", "weight", "would_decide"):
        assert there[key] == file[key]
    assert there["decision"]["what"] == "roll back"
    for gate, seen in file["gates"].items():
        assert figures(there["gates"][gate]) == figures(seen)
        assert there["gates"][gate]["points"] == seen["points"]
    shown = run("explain", str(plan)).stdout
    assert f"gate errors: fail, {file['gates']['errors']['reason']}"[:70] in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_in_the_middle_of_a_stage_what_is_missing_is_said(world: Served, plan: Path) -> None:
    text = ticked(world, plan, "pass")
    events = [json.loads(line) for line in text.splitlines()]
    begun = next(
        e for e in events if e["event"] == "shifted" and len(e["split"]) > 1 and e["in_force"]
    )
    at = (datetime.fromisoformat(begun["at"]) + timedelta(minutes=4)).isoformat()
    for told in (
        explained(str(plan), "--evidence", "-", "--at", at, stdin=text),
        explained("ion-api", *WHERE, "--at", at),
    ):
        assert told["decision"] is None
        assert told["would_decide"]["reason"] == "holding 10% for 7 min more"
        assert told["held_s"] == 180
        assert told["rule"] == "no gate failed, and it is not yet time to go on"


def test_an_ask_and_a_persons_word_need_no_gate_to_be_explained(world: Served, plan: Path) -> None:
    ticked(world, plan, "asked")
    asked = explained("ion-api", *WHERE)
    assert asked["decision"]["what"] == "asked: approval"
    assert asked["rule"] == "the next stage needs a person's approval"
    assert asked["would_decide"]["action"] == "ask"
    assert run("pause", str(plan), "--reason", "a feeling", "--yes").exit_code == 0
    told = explained("ion-api", *WHERE)
    assert told["decision"]["what"] == "paused"
    assert told["rule"].startswith("a person's word (olga@example.com)")


def test_a_candidate_that_was_lost_is_no_matter_of_gates(plan: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "lost.yaml"
    scenario.write_text(
        "about: the candidate is lost\n"
        "people:\n"
        "  - {from: shift 1 of candidate + 3m, do: unready, revision: candidate}\n"
    )
    text, events = applied(plan, "--scenario", str(scenario))
    assert events[-1]["outcome"] == "rolled_back", events[-1]
    told = explained(str(plan), "--evidence", "-", stdin=text)
    assert told["rule"] == "the candidate was lost, and no evidence stands before that"
    assert told["differs"] is None


@pytest.mark.usefixtures("world")
def test_a_service_without_a_record_is_an_error(plan: Path) -> None:
    result = run("explain", str(plan))
    assert result.exit_code == 1
    assert "no rollout ever ran on ion-api" in result.stderr


@pytest.mark.usefixtures("world")
def test_what_one_region_cannot_tell_holds_up_no_other(plan: Path) -> None:
    plan.write_text(PLAN.replace("region: us-central1", "region: [us-central1, europe-west1]"))
    result = run("explain", str(plan))
    assert result.exit_code == 1
    assert "us-central1: no rollout ever ran" in result.stderr
    assert "europe-west1: " in result.stderr


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-01-05T08:00", "after 2026-01-05 08:00:00Z"),
        ("2030-01-05T08:00+09:00", "2030-01-04 23:00:00Z is later than"),
        ("yesterday", '"2h ago"'),
        ("1 ago", "ago"),
    ],
)
def test_a_time_that_cannot_be_explained_is_bad_usage(plan: Path, at: str, said: str) -> None:
    text, _ = applied(plan, "--scenario", "errors", "--timeout", "3m")
    result = run("explain", str(plan), "--evidence", "-", "--at", at, stdin=text)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("text", ["", "[]\n", "{}\n", '{"event": "decided", "at": "2026"}\n'])
def test_a_file_that_is_no_events_is_named(plan: Path, text: str) -> None:
    result = run("explain", str(plan), "--evidence", "-", stdin=text)
    assert result.exit_code == 2
    assert "standard input" in result.stderr
    assert "Traceback" not in result.stderr
