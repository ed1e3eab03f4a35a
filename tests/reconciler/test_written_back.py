"""Terraform writes a service back as it last read it: docs/terraform.md's table."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from controller.cloud.run import RECORD_KEY
from controller.engine.begin import Wish
from controller.engine.decision import State
from controller.plan.model import Candidate
from controller.ports import Ports
from controller.reconciler import Reconciler, Tick
from controller.sandbox import Sandbox
from controller.sandbox.setting import Setting
from tests.reconciler.test_deploying import NAME, PLAN, STABLE, a_world

CANDIDATE = "ion-api-00042-xyz"
URL = (
    "https://us-central1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo/services/"
    "ion-api"
)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "terraform.md"


@pytest.fixture
def at_ten() -> tuple[Sandbox, Ports, Reconciler, dict[str, Any]]:
    """A rollout at 10%, its controller, and the service as Terraform's last refresh read it."""
    sandbox, ports = a_world(Setting())
    reconciler = Reconciler(ports, NAME, "one-that-stays")
    plan = replace(PLAN, candidate=Candidate(revision=CANDIDATE))
    assert isinstance(reconciler.begin(Wish(plan, "ada", "r1")), Tick)
    refreshed = copy.deepcopy(sandbox.world.services["us-central1", "ion-api"].raw)
    for _ in range(20):
        tick = reconciler.tick()
        assert tick is not None
        if tick.decision.record.in_force:
            return sandbox, ports, reconciler, refreshed
        sandbox.clock.sleep(tick.decision.look_again)
    raise AssertionError("not at 10% after 20 ticks")


def write_back(sandbox: Sandbox, refreshed: dict[str, Any], *, record: bool, traffic: bool) -> None:
    """Write parts of what was read long ago, with no version."""
    body = copy.deepcopy(sandbox.world.services["us-central1", "ion-api"].raw)
    if record:
        old = refreshed["metadata"]["annotations"][RECORD_KEY]
        body["metadata"]["annotations"][RECORD_KEY] = old
    if traffic:
        body["spec"]["traffic"] = refreshed["spec"]["traffic"]
    session = requests.Session()
    session.mount("https://", sandbox.http_adapter)
    session.put(URL, json=body, timeout=5).raise_for_status()


@pytest.mark.parametrize("traffic", [False, True])
def test_an_old_record_is_noticed_and_nothing_is_written(
    at_ten: tuple[Sandbox, Ports, Reconciler, dict[str, Any]],
    traffic: bool,  # noqa: FBT001
) -> None:
    sandbox, _, reconciler, refreshed = at_ten
    write_back(sandbox, refreshed, record=True, traffic=traffic)
    left = copy.deepcopy(sandbox.world.services["us-central1", "ion-api"].raw)
    tick = reconciler.tick()
    assert tick is not None
    assert tick.decision.state is State.TAKEN_OVER
    assert "went back to an older one" in tick.decision.reason
    assert sandbox.world.services["us-central1", "ion-api"].raw == left


def test_a_pass_that_remembers_nothing_sees_that_the_split_is_not_the_old_records(
    at_ten: tuple[Sandbox, Ports, Reconciler, dict[str, Any]],
) -> None:
    sandbox, ports, _, refreshed = at_ten
    write_back(sandbox, refreshed, record=True, traffic=False)
    tick = Reconciler(ports, NAME).tick()
    assert tick is not None
    assert tick.decision.state is State.TAKEN_OVER
    assert "changed the traffic" in tick.decision.reason


def test_a_record_with_the_split_of_its_time_is_gone_on_with_from_there(
    at_ten: tuple[Sandbox, Ports, Reconciler, dict[str, Any]],
) -> None:
    sandbox, ports, _, refreshed = at_ten
    write_back(sandbox, refreshed, record=True, traffic=True)
    tick = Reconciler(ports, NAME).tick()
    assert tick is not None
    assert tick.decision.state is not State.TAKEN_OVER
    assert tick.decision.record.weight == 0


def test_everything_on_stable_by_its_configuration_ends_the_rollout(
    at_ten: tuple[Sandbox, Ports, Reconciler, dict[str, Any]],
) -> None:
    sandbox, _, reconciler, refreshed = at_ten
    write_back(sandbox, refreshed, record=False, traffic=True)
    tick = reconciler.tick()
    assert tick is not None
    outcome = tick.decision.record.outcome
    assert outcome is not None
    assert outcome.outcome == "rolled_back"
    sandbox.clock.sleep(timedelta(minutes=1))
    assert sandbox.world.services["us-central1", "ion-api"].shares_now() == {STABLE: 1.0}


def test_the_page_is_terraform_that_parses_and_ignores_what_a_rollout_writes(
    tmp_path: Path,
) -> None:
    told = re.search(r"```hcl\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert told is not None
    ignored = re.search(r"ignore_changes = \[(.*?)\n    \]", told[1], re.S)
    assert ignored is not None
    names = set(re.findall(r"^\s*([\w\[\].]+),", ignored[1], re.M))
    assert {"traffic", "annotations", "template[0].containers[0].image"} <= names
    terraform = shutil.which("terraform")
    if terraform is not None:
        (tmp_path / "main.tf").write_text(told[1], encoding="utf-8")
        asked = [terraform, f"-chdir={tmp_path}", "fmt", "-check", "-diff"]
        done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
