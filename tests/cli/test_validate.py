"""`validate` tells everything at once, `schema` prints what the reader knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.examples import example_plan
from controller.cli.schema import cli as schema
from controller.cli.validate import cli as validate

WRONG = """\
service: ion-api
stages:
  - {weight: 5%, hold: 10}
  - {weight: 90%, hold: 1h}
gatez: {}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(validate, arguments)


@pytest.mark.parametrize("name", ["ion-api", "quickstart"])
def test_the_example_plans_are_valid(name: str) -> None:
    result = run(str(example_plan(name)))
    assert result.exit_code == 0, result.output
    assert "valid" in result.stdout


def test_a_wrong_plan_ends_with_2_and_every_error_at_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(WRONG)
    result = run(str(plan))
    assert result.exit_code == 2
    assert result.stdout == ""
    for place in (":3:", ":4:", ":5:"):
        assert f"plan.yaml{place}" in result.stderr
    assert "did you mean `gates`?" in result.stderr


def test_json_tells_the_findings_with_their_places(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(WRONG)
    result = run(str(plan), str(example_plan("quickstart")), "-o", "json")
    wrong, right = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 2
    assert (wrong["valid"], right["valid"]) == (False, True)
    assert {one["line"] for one in wrong["diagnostics"]} >= {3, 5}


def test_a_plan_on_standard_input_is_read() -> None:
    text = example_plan("quickstart").read_text()
    result = CliRunner().invoke(validate, ["-"], input=text)
    assert result.exit_code == 0, result.output


def test_a_plan_whose_record_could_not_be_kept_is_refused(tmp_path: Path) -> None:
    gates = "".join(
        f"  latency-{n}: {{metric: latency, percentile: 95, max: {n}s}}\n" for n in range(1, 29)
    )
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"service: api\nstages:\n  - {{weight: 100%, hold: 1h}}\ngates:\n{gates}")
    result = run(str(plan))
    assert result.exit_code == 2
    assert "its record could grow to" in result.stderr


def test_a_variable_without_a_value_is_bad_usage() -> None:
    assert run(str(example_plan("quickstart")), "--var", "image").exit_code == 2


def test_a_missing_file_names_the_nearest() -> None:
    path = example_plan("ion-api")
    result = run(str(path.with_name("ion-app.yaml")))
    assert result.exit_code == 2
    assert "did you mean" in result.stderr


def test_the_schema_is_the_file_that_the_plans_name() -> None:
    result = CliRunner().invoke(schema)
    file = example_plan("ion-api").with_name("plan.schema.json")
    assert json.loads(result.stdout) == json.loads(file.read_text())
