"""A plan of several regions: one after the other, and what people do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli import seen
from controller.cli.app import cli
from controller.cli.ending import Ending, Part, of_all
from controller.cli.stops import Stop
from controller.cli.target import find
from controller.cli.wiring.serving import Served, served
from controller.cloud.run import CloudRun
from controller.engine.events import Finished
from controller.engine.observation import ServiceName, ServiceState
from controller.ports import Change, Unavailable
from controller.reconciler import Reconciler, Tick
from tests.cli.test_acts import live_in

EAST, WEST = "us-central1", "europe-west1"
PLAN = """
service: ion-api
project: demo
region: [us-central1, europe-west1]
stages: [{weight: 50%, hold: 20m}, {weight: 100%, hold: 5m, approval: required}]
gates: {error-rate: {metric: error_rate, max: 1%, roll_back: 2%, emergency: 20%}}
"""
WORSE_LATER = """
about: the candidate turns bad after an hour, when the first region is done
revisions: {candidate: {like: stable, changes: [{from: 1h, errors: {5xx: 30%}}]}}
people: [{when: asked, after: 10m, do: approve}]
"""


@pytest.fixture(autouse=True)
def _no_region_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSDK_RUN_REGION", raising=False)
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(PLAN, "utf-8")
    return str(path)


@pytest.fixture
def world(plan: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    found = find(plan, project=None, region=None, scenario="healthy")
    with served("healthy", found.name, found.plan, port=0, speed=60) as one:
        live_in(one, monkeypatch)
        yield one


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def shifts(told: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [
        (one["region"], one["split"].get("ion-api-00042-xyz", 0))
        for one in told
        if one["event"] == "shifted" and not one["in_force"]
    ]


def test_each_region_is_promoted_before_the_next_begins(plan: str) -> None:
    result = run("apply", plan, "--sandbox", "-o", "json")
    told = objects(result)
    assert result.exit_code == 0
    assert shifts(told) == [(EAST, 50), (EAST, 100), (WEST, 50), (WEST, 100)]
    assert told[-1]["regions"] == {EAST: "promoted", WEST: "promoted"}
    assert told[-1]["next"][-1] == f"rollout rollback {plan} --all-regions"
    ended = max(one["at"] for one in told if one.get("gate") and one["region"] == EAST)
    assert ended < min(one["at"] for one in told if one.get("gate") and one["region"] == WEST)


def test_a_rollback_in_the_first_region_stops_the_second(plan: str) -> None:
    result = run("apply", plan, "--scenario", "errors", "-o", "json")
    told = objects(result)
    assert result.exit_code == 3
    assert {region for region, weight in shifts(told) if weight} == {EAST}
    assert told[-1]["regions"] == {EAST: "rolled_back", WEST: "rolled_back"}


def test_a_rollback_in_the_second_leaves_the_first_and_tells_how_to_revert_it(
    plan: str, tmp_path: Path
) -> None:
    scenario = tmp_path / "later.yaml"
    scenario.write_text(WORSE_LATER, "utf-8")
    result = run("apply", plan, "--scenario", str(scenario))
    assert result.exit_code == 3
    assert "us-central1: promoted\neurope-west1: rolled back" in result.stdout
    assert "next: rollout rollback ion-api --region us-central1 --project demo" in result.stdout


def test_a_region_that_an_earlier_run_promoted_is_reverted_by_a_command_too() -> None:
    done = Finished(datetime(2026, 1, 5, tzinfo=UTC), "nothing_to_do", "it was promoted")
    bad = replace(done, outcome="rolled_back", reason="errors")
    parts = [
        Part(EAST, "api --region us", Ending(done, 0, is_done=True)),
        Part(WEST, "api --region eu", Ending(bad, 3, is_done=True)),
    ]
    assert of_all(parts, "plan.yaml").finished.next == ("rollout rollback api --region us",)


@pytest.mark.usefixtures("world")
def test_what_goes_on_with_it_goes_on_in_every_region(plan: str) -> None:
    told = objects(run("apply", plan, "--no-wait", "-o", "json"))
    assert told[-1]["next"] == [
        f"rollout apply {plan}",
        f"rollout status {plan}",
        f"rollout rollback {plan} --all-regions",
    ]


def test_each_region_has_requests_of_its_own(plan: str) -> None:
    told = objects(run("apply", plan, "--sandbox", "-o", "json"))
    seen = {
        region: [
            m
            for one in told
            if one["event"] == "observed"
            for m in one["minutes"].values()
            if one["region"] == region
        ]
        for region in (EAST, WEST)
    }
    assert seen[EAST]
    assert seen[EAST][0] != seen[WEST][0]


def test_a_region_by_flag_is_the_only_one(plan: str) -> None:
    told = objects(run("apply", plan, "--region", WEST, "--sandbox", "-o", "json"))
    assert told[-1]["outcome"] == "promoted"
    assert "regions" not in told[-1]


def test_the_dry_run_tells_each_region(plan: str) -> None:
    result = run("apply", plan, "--sandbox", "--dry-run")
    assert result.exit_code == 0
    assert "europe-west1, when us-central1 is promoted:" in result.stderr


def test_a_list_of_regions_around_chooses_among_the_plans(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_RUN_REGION", f"asia-east1,{WEST},{EAST}")
    found = find(plan, project=None, region=None)
    assert [name.region for name in found.names] == [EAST, WEST]
    monkeypatch.setenv("CLOUDSDK_RUN_REGION", f"asia-east1,{WEST}")
    assert [name.region for name in find(plan, project=None, region=None).names] == [WEST]
    assert [one.region for one in find("api", project="p", region=None).names] == [
        "asia-east1",
        WEST,
    ]
    monkeypatch.setenv("CLOUDSDK_RUN_REGION", "asia-east1,asia-east2")
    with pytest.raises(Stop, match="is a region of the plan"):
        find(plan, project=None, region=None)


def test_no_list_around_makes_several_rollouts_of_a_plan_without_regions(tmp_path: Path) -> None:
    path = tmp_path / "anywhere.yaml"
    path.write_text(PLAN.replace("region: [us-central1, europe-west1]\n", ""), "utf-8")
    result = run("apply", str(path), "--region", f"{EAST},{WEST}")
    assert result.exit_code == 2
    assert "several regions are named" in result.stderr


@pytest.mark.usefixtures("world")
def test_a_region_that_the_environment_leaves_out_is_warned_of(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_RUN_REGION", EAST)
    result = run("apply", plan, "--no-wait")
    assert "the plan's europe-west1 is left out" in result.stderr
    assert "left out" not in run("apply", plan, "--no-wait", "--region", EAST).stderr


@pytest.mark.usefixtures("world")
def test_an_act_of_a_person_needs_to_know_the_region(plan: str) -> None:
    result = run("approve", plan)
    assert result.exit_code == 2
    assert "several regions (us-central1, europe-west1)" in result.stderr
    assert "--all-regions" in result.stderr


@pytest.mark.usefixtures("world")
def test_status_shows_each_region_and_whom_it_waits_for(plan: str) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    standing = [json.loads(line) for line in run("status", plan, "-o", "json").stdout.splitlines()]
    assert [one["region"] for one in standing] == [EAST, WEST]
    assert standing[1]["waits_for"] == "us-central1 to be promoted; then this begins"


@pytest.mark.usefixtures("world")
def test_one_command_puts_every_region_back(plan: str) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    result = run("rollback", plan, "--all-regions", "--yes")
    assert result.exit_code == 0
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [EAST, WEST]
    outcomes = [
        json.loads(line)["outcomes"][-1]["outcome"]
        for line in run("history", plan, "-o", "json").stdout.splitlines()
    ]
    assert outcomes == ["rolled_back", "rolled_back"]


@pytest.mark.usefixtures("world")
def test_what_one_region_refuses_holds_up_no_other(plan: str) -> None:
    assert run("apply", plan, "--no-wait", "--region", WEST).exit_code == 0
    result = run("pause", plan, "--all-regions")
    assert result.exit_code == 0
    assert "us-central1: there is no rollout" in result.stderr
    assert "europe-west1: paused" in result.stdout


@pytest.mark.usefixtures("world")
def test_a_rollback_is_written_in_every_region_before_any_is_waited_for(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    order: list[str] = []
    write, waited = CloudRun.write, seen.rolled_back

    def noted(self: CloudRun, expected: ServiceState, change: Change, at: datetime) -> ServiceState:
        order.append(f"written in {expected.name.region}")
        return write(self, expected, change, at)

    def then(reconciler: Reconciler, done: Tick) -> tuple[Tick, str]:
        order.append(f"waited for in {reconciler.name.region}")
        return waited(reconciler, done)

    monkeypatch.setattr(CloudRun, "write", noted)
    monkeypatch.setattr(seen, "rolled_back", then)
    assert run("rollback", plan, "--all-regions", "--yes").exit_code == 0
    assert order[:3] == [f"written in {EAST}", f"written in {WEST}", f"waited for in {EAST}"]


@pytest.mark.usefixtures("world")
def test_a_region_that_could_not_be_rolled_back_is_an_error(
    plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    fresh = CloudRun.fresh

    def only_west(self: CloudRun, name: ServiceName) -> ServiceState:
        if name.region == EAST:
            raise Unavailable("Cloud Run does not answer", "try again")
        return fresh(self, name)

    monkeypatch.setattr(CloudRun, "fresh", only_west)
    result = run("rollback", plan, "--all-regions", "--yes")
    assert result.exit_code == 1
    assert "us-central1: Cloud Run does not answer" in result.stderr
    assert "europe-west1: rolled back" in result.stdout


@pytest.mark.usefixtures("world")
def test_a_region_in_which_nothing_can_be_rolled_back_is_an_error(plan: str) -> None:
    assert run("apply", plan, "--no-wait", "--region", WEST).exit_code == 0
    result = run("rollback", plan, "--all-regions", "--yes")
    assert result.exit_code == 1
    assert "us-central1: no record tells what stable is" in result.stderr
    assert "europe-west1: rolled back" in result.stdout


@pytest.mark.usefixtures("world")
def test_a_region_that_has_no_earlier_stage_is_no_error_beside_one_that_has(plan: str) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    assert run("advance", plan, "--region", EAST, "--yes").exit_code == 0
    assert run("advance", plan, "--region", EAST, "--yes").exit_code == 0
    result = run("rollback", plan, "--to-stage", "1", "--all-regions", "--yes")
    assert result.exit_code == 0
    assert "us-central1: rolled back" in result.stdout
    assert "europe-west1: no rollout is running" in result.stderr


@pytest.mark.usefixtures("world")
def test_all_regions_advanced_leaves_one_in_line_alone(plan: str) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    result = run("advance", plan, "--all-regions", "--yes")
    assert result.exit_code == 0
    assert "us-central1: advanced" in result.stdout
    assert "europe-west1: its turn comes when us-central1 is promoted" in result.stderr


def test_who_advances_a_region_in_line_is_told_whose_turn_it_is(
    plan: str, world: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    assert run("apply", plan, "--no-wait").exit_code == 0
    monkeypatch.setattr("controller.cli.questions.at_terminal", lambda: True)
    result = run("advance", plan, "--region", WEST)
    assert "It is not this region's turn before us-central1 is promoted." in result.stderr


@pytest.mark.parametrize("text", [None, "garbage"])
def test_where_one_regions_record_is_lost_the_others_are_looked_after(
    plan: str, world: Served, text: str | None
) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    service = world.sandbox.world.service(EAST, "ion-api")
    del service.raw["metadata"]["annotations"]["rollout/record"]
    if text is not None:
        service.raw["metadata"]["annotations"]["rollout/record"] = text
    service.stamp += 1
    again = run("apply", plan, "--no-wait")
    assert again.exit_code == (1 if text else 6), again.output
    assert ("cannot be read" if text else "its record vanished") in again.stderr
    assert "Z  europe-west1: " in again.stderr  # what its look saw


def test_a_record_that_is_lost_in_one_region_is_shown_for_it_and_replaced(
    plan: str, world: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    for region, text in ((EAST, None), (WEST, "garbage")):
        service = world.sandbox.world.service(region, "ion-api")
        del service.raw["metadata"]["annotations"]["rollout/record"]
        if text is not None:
            service.raw["metadata"]["annotations"]["rollout/record"] = text
        service.stamp += 1
    assert "us-central1: a rollout of ion-api-00042-xyz was here" in run("apply", plan).stderr
    refused = run("apply", plan, "--replace")
    assert (refused.exit_code, "its record vanished" in refused.stderr) == (2, True)
    monkeypatch.setattr("controller.cli.questions.at_terminal", lambda: True)
    asked = CliRunner().invoke(cli, ["apply", plan, "--replace", "--no-wait"], input="y\nn\n")
    assert asked.exit_code == 1
    assert "europe-west1: the record on the service cannot be read" in asked.stderr
    told = objects(run("apply", plan, "--replace", "--yes", "--no-wait", "-o", "json"))
    replaced = {one["region"]: one["text"] for one in told if "replace" in one.get("text", "")}
    assert "7 bytes: `garbage`" in replaced[WEST]
    assert "no record was there" in replaced[EAST]
    assert told[-1]["outcome"] == "in_progress"


@pytest.mark.usefixtures("world")
def test_run_again_it_goes_on_under_the_same_id(plan: str) -> None:
    first = objects(run("apply", plan, "--no-wait", "-o", "json"))
    again = objects(run("apply", plan, "--no-wait", "-o", "json"))
    ids = {one["rollout"] for one in (*first, *again) if one["event"] == "started"}
    assert len(ids) == 1
    assert all(one["attached"] for one in again if one["event"] == "started")


def test_a_job_of_several_regions_has_one_summary_with_each_ones_outcome(
    plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run("apply", plan, "--scenario", "errors")
    text = summary.read_text("utf-8")
    assert text.count("###") == 1
    assert "- `us-central1`: rolled back\n- `europe-west1`: rolled back" in text


def test_one_region_is_observed_at_a_time(plan: str) -> None:
    result = run("apply", plan, "--sandbox", "--observe")
    assert result.exit_code == 2
    assert "--observe --region us-central1" in result.stderr


@pytest.mark.usefixtures("world")
def test_a_time_limit_that_comes_at_once_still_tells_of_every_region(plan: str) -> None:
    assert run("apply", plan, "--no-wait").exit_code == 0
    result = run("apply", plan, "--timeout", "1s", "-o", "json")
    assert result.exit_code == 5
    assert objects(result)[-1]["regions"] == {EAST: "in_progress", WEST: "in_progress"}
