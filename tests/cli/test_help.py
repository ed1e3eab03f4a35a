"""The help reads like a manual page: every command is in it, with an example."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from controller.cli.app import COMMANDS, SECTIONS, cli

HEAVY = ("google", "grpc", "rich", "requests")


def test_the_overview_has_every_command() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    assert {name for _, names in SECTIONS for name in names} == set(COMMANDS)
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"rollout {name}" in result.stdout
    assert "Example" in result.stdout


@pytest.mark.parametrize("name", ["serve", "list"])
def test_the_sandbox_commands_have_an_example_each(name: str) -> None:
    assert f"rollout sandbox {name}" in CliRunner().invoke(cli, ["sandbox", name, "--help"]).stdout


def test_abort_is_answered_with_what_it_may_mean() -> None:
    result = CliRunner().invoke(cli, ["abort"])
    assert result.exit_code == 2
    assert "rollback (to stable) or cancel (leave as it is)?" in result.output


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    assert "rollback" in CliRunner().invoke(cli, ["rolback"]).output


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["validate", "rollout_plans/quickstart.yaml"]]
)
def test_what_needs_no_cloud_imports_no_library_of_it(arguments: list[str]) -> None:
    code = (
        "import sys; from controller.cli.app import run; "
        f"sys.argv = ['rollout', *{arguments!r}]; run(); "
        f"sys.exit(str([m for m in {HEAVY!r} if m in sys.modules] or ''))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.stderr.strip() in {"", "[]"}, ended.stderr


def test_every_command_is_a_click_command() -> None:
    context = click.Context(cli)
    assert all(isinstance(cli.get_command(context, name), click.Command) for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rollout rollb", "plain,rollback"),
        ("rollout apply --scen", "plain,--scenario"),
        ("rollout apply --scenario no-a", "plain,no-approval"),
        ("rollout apply rollout_", "file,rollout_"),
        ("rollout validate rollout_", "file,rollout_"),
        ("rollout sandbox serve --plan rollout_", "file,rollout_"),
    ],
)
def test_a_shell_completes_commands_options_scenarios_and_files(words: str, offered: str) -> None:
    around = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_ROLLOUT_COMPLETE": "bash_complete",
    }
    result = CliRunner().invoke(cli, [], env=around, prog_name="rollout")
    assert result.stdout.splitlines() == [offered]
