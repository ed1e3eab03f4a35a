"""A short form of `python -m tests.simulation.wire`: real processes, killed and cut off."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulation.wire import runs
from tests.simulation.wire.runs import Case, Result

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL, no SIGSTOP"),
    pytest.mark.timeout(150),  # processes in real time, on a machine that may be busy
]
MINUTE = timedelta(minutes=1)


def held(result: Result) -> Result:
    assert not result.violations, "\n".join((*result.violations, result.said))
    return result


def test_killed_again_and_again_a_bad_candidate_is_still_rolled_back(tmp_path: Path) -> None:
    case = Case((10, 50, 100), 15 * MINUTE, speed=300, bad=1)
    result = held(runs.killed(tmp_path, case, kills=3, seed=8, start_up=1.5))
    assert result.outcome == "rolled_back"
    assert sum(result.counts.values()) == 3


def test_a_world_that_stops_at_a_write_and_is_away_later_is_come_back_to(tmp_path: Path) -> None:
    result = held(runs.stopped(tmp_path, Case((50, 100), 6 * MINUTE, speed=300), seconds=1))
    assert (result.outcome, result.processes) == ("promoted", 1)


def test_two_processes_at_once_move_a_rollout_as_one_does(tmp_path: Path) -> None:
    result = held(runs.two(tmp_path, Case((50, 100), 6 * MINUTE, speed=300)))
    assert (result.outcome, result.processes) == ("promoted", 2)
