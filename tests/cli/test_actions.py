"""In a job of GitHub Actions: annotations, a job summary, and nothing quoted becomes either."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from controller.cli.app import cli
from controller.engine.events import Asked, Finished, Message
from controller.report import actions

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PLAN = "rollout_plans/quickstart.yaml"
ANY = st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.from_regex(
    r"[`#:\[%\n\r]{1,8}[a-z]*", fullmatch=True
)


def run(tmp_path: Path, *arguments: str) -> tuple[Result, str]:
    summary = tmp_path / "summary.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    result = CliRunner().invoke(cli, arguments, env=env)
    return result, summary.read_text(encoding="utf-8") if summary.exists() else ""


def test_a_roll_back_is_an_error_and_the_summary_says_why(tmp_path: Path) -> None:
    result, summary = run(tmp_path, "apply", PLAN, "--scenario", "errors")
    assert result.exit_code == 3
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("::error ")]
    assert error.startswith("::error title=rollout ion-api%3A rolled back::at ")
    assert summary.startswith("### `ion-api`: rolled back\n")
    assert "- gate `error-rate`: fail, `" in summary
    assert "- traffic: `ion-api-00041-abc 100%`" in summary


def test_stdout_stays_json(tmp_path: Path) -> None:
    result, summary = run(tmp_path, "apply", PLAN, "--sandbox", "-o", "json")
    assert all(json.loads(line) for line in result.stdout.splitlines())
    assert "::notice title=rollout ion-api%3A promoted::" in result.stderr
    assert "promoted" in summary


def test_an_error_is_annotated_with_its_mend(tmp_path: Path) -> None:
    result, _ = run(tmp_path, "apply", "no-such-plan.yaml")
    assert result.exit_code == 2
    assert re.search(r"^::error title=rollout::.*no such file%0Amend: ", result.stderr, re.M)


def test_a_summary_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "none" / "summary.md")}
    result = CliRunner().invoke(cli, ["apply", PLAN, "--sandbox"], env=env)
    assert result.exit_code == 0
    assert "the job summary cannot be written" in result.stderr


def test_elsewhere_there_is_neither(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["apply", PLAN, "--sandbox"], env={"GITHUB_ACTIONS": None})
    assert "::" not in result.stdout
    assert "\n::" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Message(AT, "info", "x"), ""),
        (Message(AT, "warning", "x"), "warning"),
        (Message(AT, "shout", "x"), "error"),
        (Asked(AT, "approval", "x", 1), "warning"),
        (Finished(AT, "promoted", "x"), "notice"),
        (Finished(AT, "in_progress", "x"), "notice"),
        (Finished(AT, "waiting", "x"), "warning"),
        (Finished(AT, "rolled_back", "x"), "error"),
        (Finished(AT, "taken_over", "x"), "error"),
        (Finished(AT, "cancelled", "x"), "error"),
        (Finished(AT, "error", "x"), "error"),
    ],
)
def test_what_somebody_should_see_has_its_level(
    event: Message | Asked | Finished, level: str
) -> None:
    said = actions.annotation(event, "ion-api")
    assert said.startswith(f"::{level} ") if level else said == ""


@given(ANY, ANY)
def test_a_command_is_one_line_whatever_it_tells(title: str, text: str) -> None:
    said = actions.command("error", title, text)
    assert not re.search(r"[\r\n]", said)
    head, _, data = said.removeprefix("::").partition("::")
    assert head.startswith("error title=")
    assert not re.search(r"[:,]", head.removeprefix("error title="))
    back = data.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    assert back == text


@given(ANY)
def test_nothing_quoted_in_the_log_is_a_command(text: str) -> None:
    for line in re.split(r"\r\n|\r|\n", actions.disarmed(text)):
        assert not line.strip().startswith("::")
        assert "##[" not in line


@given(ANY)
def test_json_stays_the_same_value(text: str) -> None:
    line = actions.disarmed_json(json.dumps({"reason": f"##[error]{text}"}))
    assert "##[" not in line
    assert json.loads(line) == {"reason": f"##[error]{text}"}


@given(ANY)
def test_a_code_span_ends_where_it_ends(text: str) -> None:
    span = actions.code(text)
    fence = re.match(r"`+", span)
    assert fence is not None
    inside = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert "\n" not in span
    assert all(len(run) != len(fence[0]) for run in re.findall(r"`+", inside))
    assert not inside.startswith("`")
    assert not inside.endswith("`")
