"""The real gcloud on the served sandbox, beside `rollout`. Skipped where it is not installed.

Each command takes gcloud seconds: two here, all that docs/gcloud.md tells with `make check-gcloud`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli
from controller.cli.sandbox import environment_of
from controller.cli.target import find
from controller.cli.wiring.serving import Served, served

GCLOUD = shutil.which("gcloud") or ""
PLAN = "rollout_plans/quickstart.yaml"
AROUND = {"CLOUDSDK_CORE_PROJECT": "demo", "CLOUDSDK_RUN_REGION": "us-central1"}
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
ALL = os.environ.get("ROLLOUT_TEST_GCLOUD") == "all"

pytestmark = pytest.mark.skipif(not GCLOUD, reason="gcloud is not installed")
Gcloud = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def world() -> Iterator[Served]:
    here = find(PLAN, project="demo", region=None, scenario="healthy")
    with served("healthy", here.name, here.plan, port=0, speed=60) as running:
        yield running


@pytest.fixture
def env(world: Served) -> dict[str, str]:
    return environment_of(world.address, world.port, AROUND)


@pytest.fixture
def gcloud(env: dict[str, str], tmp_path: Path) -> Gcloud:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("CLOUDSDK_", "GOOGLE_"))}
    around = {**own, **env, "CLOUDSDK_CONFIG": str(tmp_path)}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        asked = [GCLOUD, "run", *arguments]
        done = subprocess.run(
            asked, env=around, check=False, capture_output=True, text=True, timeout=110
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def rollout(env: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=env)


def described(gcloud: Gcloud) -> Any:
    return json.loads(gcloud("services", "describe", "ion-api", "--format", "json").stdout)


def shares(service: Any) -> dict[str, int]:
    return {t["revisionName"]: t["percent"] for t in service["spec"]["traffic"] if "percent" in t}


@pytest.mark.timeout(240)
def test_traffic_that_gcloud_changes_in_the_middle_is_told_and_left_alone(
    world: Served, env: dict[str, str], gcloud: Gcloud
) -> None:
    begun = rollout(env, "apply", PLAN, "--no-wait")
    assert begun.exit_code == 0, begun.output
    raw = world.sandbox.world.services["us-central1", "ion-api"].raw
    for _ in range(200):
        ticked = rollout(env, "tick", PLAN)
        assert ticked.exit_code == 0, ticked.output
        if shares(world.sandbox.world.services["us-central1", "ion-api"].raw).get(CANDIDATE):
            break
    assert shares(world.sandbox.world.services["us-central1", "ion-api"].raw) != shares(raw)

    gcloud("services", "update-traffic", "ion-api", "--to-revisions", f"{CANDIDATE}=50")
    left = world.sandbox.world.services["us-central1", "ion-api"].raw
    told = rollout(env, "tick", PLAN)
    assert told.exit_code == 6, told.output
    assert f"changed the traffic to {STABLE} 50%, {CANDIDATE} 50%" in told.output
    assert "taken over" in told.output
    after = world.sandbox.world.services["us-central1", "ion-api"].raw
    assert after["spec"]["traffic"] == left["spec"]["traffic"]


@pytest.mark.skipif(not ALL, reason="make check-gcloud runs every command, which takes a minute")
@pytest.mark.timeout(600)
def test_every_command_works_as_it_does_on_cloud_run(gcloud: Gcloud) -> None:
    assert shares(described(gcloud)) == {STABLE: 100}
    assert "ion-api" in gcloud("services", "list").stdout
    listed = gcloud("revisions", "list", "--service", "ion-api", "--format", "value(name)")
    assert listed.stdout.split() == [CANDIDATE, STABLE]
    assert "images.example.com" in gcloud("revisions", "describe", CANDIDATE).stdout

    gcloud("services", "update-traffic", "ion-api", "--to-revisions", f"{CANDIDATE}=10")
    assert shares(described(gcloud)) == {STABLE: 90, CANDIDATE: 10}

    image = "images.example.com/ion-api:v43"
    deployed = gcloud("deploy", "ion-api", "--image", image, "--no-traffic", "--tag", "green")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", deployed.stderr)
    assert "serving 0 percent of traffic" in plain
    service = described(gcloud)
    (green,) = [t["revisionName"] for t in service["status"]["traffic"] if t.get("tag") == "green"]
    assert shares(service) == {STABLE: 90, CANDIDATE: 10}
    assert service["spec"]["template"]["spec"]["containers"][0]["image"] == image

    gcloud("services", "update", "ion-api", "--update-labels", "team=core")
    service = described(gcloud)
    assert service["metadata"]["labels"]["team"] == "core"
    updated = service["status"]["latestCreatedRevisionName"]
    assert updated not in {green, CANDIDATE}

    refused = gcloud("revisions", "delete", CANDIDATE, code=1)
    assert "actively serving" in refused.stderr
    gcloud(
        "services", "update-traffic", "ion-api", "--clear-tags", "--to-revisions", f"{STABLE}=100"
    )
    gcloud("revisions", "delete", green)
    gcloud("revisions", "describe", green, code=1)

    gcloud("services", "delete", "ion-api")
    missing = gcloud("services", "describe", "ion-api", code=1)
    assert "Cannot find service [ion-api]" in missing.stderr


@pytest.mark.skipif(not ALL, reason="make check-gcloud runs every command, which takes a minute")
@pytest.mark.timeout(240)
def test_the_whole_record_is_kept_as_docs_record_md_tells(
    world: Served, env: dict[str, str], gcloud: Gcloud
) -> None:
    assert rollout(env, "apply", PLAN, "--no-wait").exit_code == 0
    page = Path("docs/record.md").read_text("utf-8")
    (command,) = re.findall(r"^gcloud run (.*)$", page, re.MULTILINE)
    annotations = world.sandbox.world.services["us-central1", "ion-api"].raw["metadata"]
    assert gcloud(*shlex.split(command)).stdout == (
        annotations["annotations"]["rollout/record"] + "\n"
    )
