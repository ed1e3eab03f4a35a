"""`apply --observe`: what a rollout would do, by the same engine, and nothing that is written."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.observe import as_observed
from controller.cli.wiring import rehearse
from controller.cli.wiring.observed import ObservedRouter
from controller.engine.observation import ServiceName, Target
from controller.plan.model import BothFailing, Form, Notify
from controller.ports import Change, Conflict
from tests.engine.builders import HEALTH, NEW, OLD, PLAN, service_of, starting

PLAN_TEXT = """
service: ion-api
stages: [{weight: 10%, hold: 20m}, {weight: 100%, hold: 20m, approval: required}]
gates: {error-rate: {metric: error_rate, max: 1%}}
checks: {health: {get: "{{ candidate.url }}/health"}}
"""
# Whoever runs this may read, and nothing else.
READS_ONLY = "denied: [run.services.update]\n"
BY_HAND = "people: [{from: 0s, do: traffic, split: {candidate: 20%, stable: 80%}}]\n"
BAD = "revisions: {candidate: {errors: {5xx: 20%}}}\n"


def observe(folder: Path, scenario: str, *options: str) -> Result:
    (folder / "plan.yaml").write_text(PLAN_TEXT)
    (folder / "scenario.yaml").write_text(f"{READS_ONLY}{scenario}")
    files = [str(folder / "plan.yaml"), "--scenario", str(folder / "scenario.yaml")]
    return CliRunner().invoke(cli, ["apply", *files, "--observe", *options])


def test_a_good_candidate_with_some_traffic_by_hand_would_be_promoted(tmp_path: Path) -> None:
    told = observe(tmp_path, BY_HAND)
    assert told.exit_code == 0, told.output
    assert "would be promoted" in told.stdout
    assert "ion-api-00041-abc 80%, ion-api-00042-xyz 20% (nothing was moved)" in told.stdout
    assert "would shift to ion-api-00042-xyz 100%, because approved" in told.stderr
    assert "would ask (approval)" in told.stderr
    assert "pinned" not in told.stdout


def test_a_bad_one_would_be_rolled_back(tmp_path: Path) -> None:
    told = observe(tmp_path, BY_HAND + BAD)
    assert told.exit_code == 3, told.output
    assert "would be rolled back at 10%: error-rate" in told.stdout
    assert "verified" not in told.stderr


def test_every_line_of_json_says_that_it_was_observed(tmp_path: Path) -> None:
    told = observe(tmp_path, BY_HAND, "-o", "json")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert all(line["observed"] is True for line in lines)
    assert lines[-1]["event"] == "finished"
    assert lines[-1]["outcome"] == "promoted"
    assert lines[-1]["split"] == {"ion-api-00041-abc": 80, "ion-api-00042-xyz": 20}


def test_a_candidate_without_traffic_is_said_to_be_not_judged(tmp_path: Path) -> None:
    told = observe(tmp_path, "", "--timeout", "1h")
    assert told.exit_code == 5, told.output
    assert "the candidate gets no traffic: gates that need its requests cannot be judged" in (
        told.stderr
    )
    assert "no data of the candidate" in told.stderr
    assert told.stdout.startswith("observed: still in progress")


@pytest.mark.parametrize("option", ["--no-wait", "--dry-run", "--replace", "--replan"])
def test_what_makes_no_sense_beside_it_is_refused(tmp_path: Path, option: str) -> None:
    told = observe(tmp_path, "", option)
    assert told.exit_code == 2
    assert f"--observe and {option}" in told.output


def test_the_service_shows_what_would_be_written_and_is_as_it_was() -> None:
    name = ServiceName("demo", "us-central1", "ion-api")
    ports = rehearse(name, None, "healthy", {}).ports
    before = ports.router.observe(name)
    router = ObservedRouter(ports.router, ports.clock, "ion-api-00042-xyz")
    targets = (Target("ion-api-00041-abc", 90), Target("ion-api-00042-xyz", 10))
    change = Change(targets, "{}", raises=True)
    written = router.write(router.observe(name), change, ports.clock.now())
    assert written.asked == written.in_force == {"ion-api-00041-abc": 90, "ion-api-00042-xyz": 10}
    assert router.observe(name).record_text == "{}"
    after = ports.router.observe(name)
    assert (after.targets, after.record_text, after.generation) == (
        before.targets, before.record_text, before.generation,
    )  # fmt: skip
    assert router.split == before.in_force
    with pytest.raises(Conflict):
        router.write(before, change, ports.clock.now())
    late = ports.clock.now() - timedelta(seconds=61)
    with pytest.raises(Conflict):
        router.write(router.observe(name), change, late)


class TestWhatCannotBeJudged:
    def test_neither_arrival_nor_a_test_of_both_failing_is(self) -> None:
        plan, _ = as_observed(PLAN, service_of(starting(), {OLD: 95, NEW: 5}), NEW)
        assert plan.evidence.arrival == 0
        assert plan.when.both_failing is BothFailing.HOLD

    def test_nobody_is_told_of_what_did_not_happen(self) -> None:
        heard = Notify("team", Form.WEBHOOK, "env:TEAM_URL")
        plan, told = as_observed(replace(PLAN, notify=(heard,)), service_of(starting()), NEW)
        assert plan.notify == ()
        assert "the plan's messages are sent to nobody" in told

    def test_a_check_of_a_candidate_without_a_tag_is_not_sent_and_that_is_said(self) -> None:
        checked = replace(PLAN, checks=(HEALTH,))
        service = service_of(starting(), {OLD: 100})
        plan, told = as_observed(checked, service, NEW)
        assert plan.checks == ()
        assert any(line.endswith("no tag and no URL: health") for line in told)
        tagged = replace(
            service,
            statuses=(*service.statuses, Target(NEW, 0, "mine", "https://mine---x.run.app")),
        )
        assert as_observed(checked, tagged, NEW)[0].checks == (HEALTH,)
