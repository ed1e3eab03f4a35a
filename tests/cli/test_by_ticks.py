"""A rollout driven by passes alone makes the moves of one long `apply`, hardly later."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.by_ticks import EVERY, by_apply, by_ticks, later
from controller.plan.reader import read_plan
from controller.plan.source import load

PLAN = """
service: ion-api
region: us-central1
stages:
  - {weight: 10%, hold: 10m}
  - {weight: 50%, hold: 15m}
  - {weight: 100%, hold: 5m, approval: required}
gates:
  errors:   {metric: error_rate, max: 1%, roll_back: 2%}
  latency:  {metric: latency, percentile: 95, max: 15s, roll_back: 20s}
checks:
  health: {get: "{{ candidate.url }}/health", expect: {status: 200}}
"""


@pytest.mark.parametrize("scenario", ["healthy", "errors"])
def test_the_same_transitions_in_the_same_order_each_at_most_five_minutes_later(
    tmp_path: Path, scenario: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    plan = read_plan(load(str(path)), env={}, variables={}).plan
    long = by_apply(plan, scenario)
    short = by_ticks(path, plan, scenario, one_process_in=8)
    assert [one.what for one in short.transitions] == [one.what for one in long.transitions]
    assert short.transitions[-1].what in {"promoted", "rolled back"}
    assert short.processes >= 2
    assert max(later(long.transitions, short.transitions)) <= EVERY
