"""Output that cannot be written: closed, full, or nobody reads it. The work is done as ever."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirections")
ROLLOUT = f"{shlex.quote(sys.executable)} -m controller"
APPLY = f"{ROLLOUT} apply rollout_plans/quickstart.yaml --sandbox"
ROLLED_BACK = f"{ROLLOUT} apply rollout_plans/quickstart.yaml --scenario errors"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("options", ["", "-o json"])
def test_a_reader_that_goes_away_does_not_end_a_rollout(options: str) -> None:
    ended = shell(f"{{ {ROLLED_BACK} {options} 2>&1; echo $? >&2; }} | head -n 1")
    assert ended.stderr.split() == ["3"]


def test_without_standard_streams_a_rollout_ends_as_ever() -> None:
    assert shell(f"{APPLY} <&- >&- 2>&-").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("options", ["", "-o json"])
def test_a_full_disk_does_not_change_how_a_rollout_ends(options: str) -> None:
    ended = shell(f"{ROLLED_BACK} {options} >/dev/full")
    assert ended.returncode == 3
    assert "output is lost: No space left" in ended.stderr


@pytest.mark.parametrize("command", ["schema", "--help", "sandbox list -o json"])
def test_a_pager_that_is_left_early_hears_nothing(command: str) -> None:
    assert shell(f"{ROLLOUT} {command} | true").stderr == ""
