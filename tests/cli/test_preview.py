"""`rollout preview`: a table for people, an object for scripts, no cloud where none is needed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli

PLAN = "rollout_plans/ion-api.yaml"


def preview(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["preview", *arguments])


def test_it_tells_from_a_rate_alone_what_each_stage_can_decide() -> None:
    result = preview(PLAN, "--rate", "0.0025/s", "--stable-errors", "0.3%")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "ion-api: 0.0025 requests a second"
    (header,) = [line for line in lines if "weight" in line]
    assert header.split() == [
        "stage",
        "weight",
        "hold",
        "requests",
        *["error-rate", "success", "latency"],
    ]
    assert "at most 1.0% of rollouts" in result.output
    assert "advice: stage 1 gives the candidate about 11 requests in 24 h" in result.output
    assert all(len(line) <= 100 for line in lines)


def test_it_asks_monitoring_for_what_stable_was_like() -> None:
    result = preview(PLAN, "--sandbox", "-o", "json")
    assert result.exit_code == 0, result.output
    (told,) = [json.loads(line) for line in result.output.splitlines()]
    assert (told["event"], told["version"]) == ("preview", 1)
    assert told["requests_per_minute"] == pytest.approx(600, rel=0.02)
    assert told["stable"]["error-rate"] == pytest.approx(0.002, rel=0.1)
    assert [stage["weight"] for stage in told["stages"]] == [5, 10, 25, 50, 100]
    dead = [one for one in told["regressions"] if one["gate"] == "error-rate"][-1]
    assert (dead["times"], dead["within_limits"]) == (20, False)
    assert dead["minutes"] < 120


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ion-api", "--region", "r", "--project", "p"), "preview takes a plan's file"),
        ((PLAN, "--rate", "ten"), "write 10/s, 2/min or 1500/week"),
        ((PLAN, "--rate", "0/s"), "write 10/s, 2/min or 1500/week"),
        ((PLAN, "--rate", "10/s", "--stable-errors", "5"), "write 5%"),
        ((PLAN, "--stable-errors", "1%"), "--stable-errors goes with --rate"),
    ],
)
def test_a_wrong_question_is_answered_with_how_to_ask(
    arguments: tuple[str, ...], told: str
) -> None:
    result = preview(*arguments)
    assert result.exit_code == 2
    assert told in result.output


@pytest.mark.timeout(120)
def test_it_tries_the_plan_on_the_services_own_past() -> None:
    asked = ("rollout_plans/quickstart.yaml", "--sandbox", "--history", "2d", "--runs", "2")
    result = preview(*asked, "-o", "json")
    assert result.exit_code == 0, result.output
    told = {one["fault"]: one for one in json.loads(result.output)["history"]}
    assert told["as good as stable"]["rolled_back"] == 0
    assert told["as good as stable"]["runs"] == 2
    assert told["x20 failures"]["rolled_back"] == 2
    assert told["x20 failures"]["failed_requests"] > 0


def test_a_past_that_is_too_short_is_said_with_what_is_needed() -> None:
    result = preview(PLAN, "--sandbox", "--history", "1d")
    assert result.exit_code == 1
    assert "the plan needs 9 d of it" in result.output
