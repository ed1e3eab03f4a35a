"""The examples that --help shows are run, against a served world of the plan.

As they stand; but an `apply` that would stay for days says what it would do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.target import find
from controller.cli.wiring.serving import served
from tests.cli.test_acts import VARIABLES

PLAN = "plans/ion-api.yaml"
ORDER = ("apply", "list", "tick", "status", "history", "explain", "approve", "rollback")
ENDED = {0, 1, 3, 4}  # done; refused, and said why; rolled back; a person is needed


@pytest.fixture(scope="module")
def world() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CI", "")
        patched.delenv("CLOUDSDK_RUN_REGION", raising=False)
        found = find(PLAN, project=None, region=None, scenario="healthy")
        with served("healthy", found.name, found.plan, port=0, speed=30) as one:
            for variable in VARIABLES:
                patched.setenv(variable, one.address)
            patched.setenv("CLOUDSDK_CORE_ACCOUNT", "olga@example.com")
            yield


def run(line: str, *more: str) -> Result:
    words = [w for word in shlex.split(line) for w in _expanded(word)]
    return CliRunner().invoke(cli, [*words, *more])


def _expanded(word: str) -> list[str]:
    """Do what a shell does of a word with a star."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def examples(command: str) -> list[str]:
    """Return the lines of a command's examples, without `rollout` and the remark behind them."""
    told = run(command, "--help").output.partition("Example")[2]
    lines = (line.strip() for line in told.splitlines() if line.strip().startswith("rollout "))
    return [re.split(r"\s{3,}", line)[0].removeprefix("rollout ") for line in lines]


@pytest.mark.usefixtures("world")
def test_each_example_of_a_command_ends_with_what_it_says(tmp_path: Path) -> None:
    events = tmp_path / "rollout.jsonl"
    rehearsed = run(f"apply {PLAN} --scenario errors --timeout 2h -o json")
    events.write_text(rehearsed.stdout, "utf-8")
    for command in ORDER:
        lines = examples(command)
        assert lines, command
        for line in lines:
            stays = command == "apply" and "--no-wait" not in line
            if stays and ("--observe" in line or "--scenario" in line):
                continue  # whole rollouts, which have tests of their own
            planned = ("--dry-run",) if stays and "--dry-run" not in line else ()
            result = run(line.replace("rollout.jsonl", str(events)), *planned)
            too_early = "2h ago" in line and "began" in result.output
            assert result.exit_code in ENDED or too_early, f"{line}: {result.output}"
            assert result.exit_code or result.stdout, line
