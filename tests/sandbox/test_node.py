"""Google's own client for Node on the served world: the lines of docs/gcloud.md, as they stand.

Skipped where node or its package is not found; NODE_PATH says where packages are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.sandbox.scenario import Scenario
from controller.sandbox.serve import serve
from controller.sandbox.setting import Setting

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gcloud.md"


def node(script: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    env = {**os.environ, "METADATA_SERVER_DETECTION": "none"}
    asked = [found, "-e", script]
    return subprocess.run(asked, env=env, check=False, capture_output=True, text=True, timeout=50)


def test_googles_client_for_node_reads_the_service() -> None:
    if node("require.resolve('@google-cloud/run')").returncode:
        pytest.skip("@google-cloud/run is not installed where NODE_PATH says")
    told = re.search(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert told is not None
    with serve(Scenario(), Setting(), real=lambda: 0.0) as world:
        done = node(told[1].replace("8085", str(world.port)))
    assert done.returncode == 0, done.stderr
    assert "revision: 'ion-api-00041-abc'" in done.stdout
    assert "percent: 100" in done.stdout
