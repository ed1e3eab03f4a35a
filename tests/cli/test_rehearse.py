"""`rollout rehearse`: many seeded rollouts in the sandbox, and what they come to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.rehearsing import Rehearsed
from controller.cli.views.rehearsals import lines, reasons, summary

PLAN = "rollout_plans/quickstart.yaml"


def rehearse(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rehearse", PLAN, *arguments])


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_run_has_its_seed_and_the_last_line_is_the_distribution() -> None:
    result = rehearse("--scenario", "errors", "--runs", "3", "--seed", "7", "-o", "json")
    assert result.exit_code == 0, result.output
    *runs, all_of_them = lines_of(result)
    assert runs[0]["version"] == 1
    assert [(run["event"], run["run"], run["seed"]) for run in runs] == [
        ("rehearsed", n, n + 6) for n in (1, 2, 3)
    ]
    assert {run["outcome"] for run in runs} == {"rolled_back"}
    assert len({run["reason"] for run in runs}) == 3  # another seed, other numbers
    assert all(run["excess_failed"] > 0 for run in runs)
    assert all_of_them["event"] == "rehearsals"
    assert all_of_them["outcomes"] == {"rolled_back": 3}
    assert len(all_of_them["reasons"]) == 1


def test_the_same_seed_is_the_same_run() -> None:
    arguments = ("--scenario", "errors", "--runs", "1", "--seed", "3", "-o", "json")
    assert rehearse(*arguments).stdout == rehearse(*arguments).stdout


def test_a_good_candidate_costs_nothing() -> None:
    run, _ = lines_of(rehearse("--runs", "1", "-o", "json"))
    assert run["outcome"] == "promoted"
    assert run["excess_failed"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--runs", "0"), "1<=x<=1000"),
        (("--runs", "1001"), "1<=x<=1000"),
        (("--scenario", "eror"), "did you mean errors?"),
    ],
)
def test_what_cannot_be_rehearsed_is_bad_usage(arguments: tuple[str, ...], said: str) -> None:
    result = rehearse(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_a_service_is_no_plan() -> None:
    assert CliRunner().invoke(cli, ["rehearse", "ion-api"]).exit_code == 2


def rolled_back(number: int, reason: str, excess: float = 10.0) -> Rehearsed:
    took = timedelta(hours=number)
    return Rehearsed(number, number, "rolled_back", reason, took, excess)


def test_reasons_that_differ_in_numbers_only_are_one_but_stages_are_told_apart() -> None:
    done = [
        rolled_back(1, "at 10%: error-rate 7.46% of 67 requests"),
        rolled_back(2, "at 10%: error-rate 8.1% of 1,067 requests"),
        rolled_back(3, "at 25%: error-rate 8.1% of 1,067 requests"),
    ]
    assert reasons(done) == [
        (2, "rolled_back", "at 10%: error-rate 7.46% of 67 requests"),
        (1, "rolled_back", "at 25%: error-rate 8.1% of 1,067 requests"),
    ]


def test_the_distribution_is_told_in_ranks() -> None:
    done = [rolled_back(n, "at 10%: x", excess=float(n)) for n in range(1, 11)]
    assert summary(done)["excess_failed"] == {"p10": 1.0, "p50": 5.0, "p90": 9.0, "max": 10.0}
    assert "took: half at most 5 h; 8 of 10 from 1 h to 9 h" in list(lines(done))


def test_a_run_that_an_error_ended_is_told_among_the_others() -> None:
    done = [Rehearsed(1, 1, "error", "Cloud Run does not answer", None, 0.0)]
    told = list(lines(done))
    assert any("error" in line and "100%" in line for line in told)
    assert summary(done)["took_s"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_there_is(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "controller", "rehearse", PLAN, "--runs", "500", "-o", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert json.loads(out.splitlines()[-1])["event"] == "rehearsals"
    assert "interrupted after" in err
    assert "Traceback" not in err
