"""`rollout apply` on the sandbox's scenarios: the table of the README, and what comes out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli

PLAN = "rollout_plans/ion-api.yaml"

TABLE = [
    ("healthy", 0, "promoted", "pinned to ion-api-00042-xyz"),
    ("errors", 3, "rolled_back", "at 10%: error-rate"),
    ("slow", 3, "rolled_back", "at 10%: latency"),
    ("low-confidence", 3, "rolled_back", "confidence"),
    ("not-ready", 3, "rolled_back", "lost its readiness"),
    ("missing-persona", 3, "rolled_back", "check personas: sena"),
    ("low-traffic", 3, "rolled_back", "requests needed"),
    ("no-data", 3, "rolled_back", "no data of the candidate"),
    ("no-approval", 4, "waiting", "100% needs an approval"),
    ("drift", 6, "taken_over", "person@example.com changed the traffic"),
    ("wiped", 6, "taken_over", "the record vanished"),
    ("by-hand", 3, "rolled_back", "person@example.com put all traffic back"),
    ("new-revision", 0, "promoted", "pinned to ion-api-00042-xyz"),
    ("flaky-api", 0, "promoted", "pinned to ion-api-00042-xyz"),
    ("outage", 0, "promoted", "pinned to ion-api-00042-xyz"),
    ("incident", 0, "promoted", "pinned to ion-api-00042-xyz"),
    ("poison", 3, "rolled_back", "it was us"),
]


def apply(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["apply", *arguments])


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.timeout(240)  # eight days, a tick every few minutes, on a machine that may be busy
@pytest.mark.parametrize(
    ("scenario", "code", "outcome", "because"), TABLE, ids=[row[0] for row in TABLE]
)
def test_a_scenario_ends_as_the_table_says(
    scenario: str, code: int, outcome: str, because: str
) -> None:
    result = apply(PLAN, "--scenario", scenario, "-o", "json")
    told = events(result)
    finished = told[-1]
    assert (result.exit_code, finished["outcome"]) == (code, outcome), result.output
    assert because in finished["reason"]
    assert told[0]["version"] == 1
    assert [e["event"] for e in told].count("finished") == 1
    shifts = [e["split"] for e in told if e["event"] == "shifted"]
    assert all(sum(split.values()) == 100 for split in shifts)
    if outcome == "rolled_back":
        assert finished["split"] == {"ion-api-00041-abc": 100}


STRICT = """
service: api
stages:
  - {weight: 20%, hold: 1h}
  - {weight: 100%, hold: 30m}
gates:
  errors:  {metric: error_rate, max: 0.2%}
  fine:    {metric: success_rate, min: 99.5%, codes: [2xx, 3xx, 4xx]}
  tail:    {metric: latency, percentile: 99, max: 800ms}
  backlog: {metric: custom.googleapis.com/api/backlog, revision_label: metric.labels.revision,
            max: 40, roll_back: 60}
checks:
  ping:    {get: "{{ candidate.url }}/ping", expect: {status: 204}}
  version: {get: "{{ candidate.url }}/version", expect: {body: {name: "{{ candidate.revision }}"}}}
  mail:    {get: "https://mail.example.com/up?x=1", expect: {status: 200}}
"""


def test_a_world_made_from_any_plan_is_healthy_by_that_plan(tmp_path: Path) -> None:
    plan = tmp_path / "strict.yaml"
    plan.write_text(STRICT, encoding="utf-8")
    result = apply(str(plan), "--sandbox")
    assert result.exit_code == 0, result.output


def test_a_failed_pre_check_means_that_the_candidate_never_got_traffic() -> None:
    told = events(apply(PLAN, "--scenario", "missing-persona", "-o", "json"))
    shares = [e["split"].get("ion-api-00042-xyz", 0) for e in told if e["event"] == "shifted"]
    assert not any(shares)
    assert told[-1]["served"] == 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = apply(PLAN, "--scenario", "low-confidence", "-o", "json")
    second = apply(PLAN, "--scenario", "low-confidence", "-o", "json")
    assert first.stdout_bytes == second.stdout_bytes


def test_the_last_words_are_one_sentence_on_stdout() -> None:
    result = apply(PLAN, "--scenario", "low-confidence")
    assert result.stdout.startswith("rolled back at 5%: confidence ")


def test_one_look_is_enough_where_nobody_wants_to_wait() -> None:
    result = apply(PLAN, "--sandbox", "--no-wait", "-o", "json")
    assert (result.exit_code, events(result)[-1]["outcome"]) == (0, "in_progress")


def test_a_time_limit_ends_with_in_progress() -> None:
    result = apply(PLAN, "--sandbox", "--timeout", "2h", "-o", "json")
    finished = events(result)[-1]
    assert (result.exit_code, finished["outcome"]) == (5, "in_progress")
    assert 7200 <= finished["took_s"] < 7260
    assert finished["next"][0].startswith("rollout apply ")


def test_a_dry_run_says_what_would_be_done_and_shifts_nothing() -> None:
    result = apply(PLAN, "--sandbox", "--dry-run", "-o", "json")
    told = events(result)
    assert (result.exit_code, told[-1]["outcome"]) == (0, "nothing_to_do")
    assert not [e for e in told if e["event"] == "shifted"]
    assert any("stage 5: after an approval" in e.get("text", "") for e in told)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("no-such.yaml", "--sandbox"), 2, "there is no such file"),
        (("ion-api", "--sandbox"), 2, "is no plan"),
        ((PLAN, "--scenario", "no-such"), 2, "healthy"),
        ((PLAN, "--scenario", "eror"), 2, "did you mean errors?"),
        ((PLAN, "--sandbox", "--revision", "other-00001-abc"), 2, "begin with ion-api-"),
        ((PLAN, "--sandbox", "--revision", "ion-api-NOT ONE"), 2, "no revision of ion-api"),
        ((PLAN, "--sandbox", "--timeout", "2"), 2, "unit"),
        ((PLAN, "--sandbox", "--var", "x"), 2, "NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = apply(*arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_an_error_ends_the_json_with_finished() -> None:
    result = apply("no-such.yaml", "--sandbox", "-o", "json")
    finished = events(result)[-1]
    assert finished["outcome"] == "error"
    assert finished["at"] >= "2026-"  # the system's time: there is no world yet


def test_a_missing_permission_is_named_with_its_role_before_anything_is_written(
    tmp_path: Path,
) -> None:
    denied = tmp_path / "denied.yaml"
    denied.write_text("about: may not write\ndenied: [run.services.update]\n", encoding="utf-8")
    result = apply(PLAN, "--scenario", str(denied), "--no-wait")
    assert result.exit_code == 1, result.output
    assert "run.services.update" in result.stderr
    assert "roles/run.developer" in result.stderr


IMAGE = "images.example.com/ion-api:v43"


def test_an_image_is_deployed_and_walked_through_the_plan() -> None:
    result = apply("rollout_plans/quickstart.yaml", "--image", IMAGE, "--sandbox", "-o", "json")
    told = events(result)
    assert (result.exit_code, told[-1]["outcome"]) == (0, "promoted"), result.output
    assert told[0]["candidate"].startswith("ion-api-")
    assert f"image: images.example.com/ion-api:v41 → {IMAGE}" in told[0]["changed"]


def test_a_dry_run_shows_the_deploy() -> None:
    result = apply("rollout_plans/quickstart.yaml", "--image", IMAGE, "--sandbox", "--dry-run")
    assert result.exit_code == 0
    assert f"of {IMAGE}, at 0%" in result.stderr
    assert f"--image {IMAGE}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--image", IMAGE, "--revision", "ion-api-1"), "which is the candidate"),
        (("--image", "two words"), "is no image"),
        (("--image", ""), "is no image"),
    ],
)
def test_an_image_that_cannot_be_meant_is_bad_usage(arguments: tuple[str, ...], what: str) -> None:
    result = apply("rollout_plans/quickstart.yaml", "--sandbox", *arguments)
    assert result.exit_code == 2
    assert what in result.stderr
