"""How many bytes a plan's record can grow to: what a plan asks for is counted, no more, no less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.engine.largest import largest_record
from controller.plan.compact import to_json
from controller.plan.model import (
    Check,
    CustomMetric,
    Expect,
    Form,
    Gate,
    Heard,
    Latency,
    Limits,
    Needs,
    Notify,
    Plan,
    RequestCount,
    Stage,
    Text,
    Versus,
)
from tests.engine.builders import ERRORS, HEALTH, MINUTE, PLAN, SLOW

PLAIN = replace(PLAN, gates=(ERRORS,))
REQUESTS = Gate("requests", RequestCount(), Limits(minimum=100), None)
SCORE = Gate("score", CustomMetric("custom/score"), Limits(minimum=0.7, roll_back=0.6), None)
BETTER = Gate("better", Latency(None), Limits(), Versus(better_by=0.1))
TEAM = Notify("team", Form.WEBHOOK, "env:HOOK", events=tuple(Heard))


def grown(plan: Plan) -> int:
    """Return by how much the record grows beside the plan's own text, which is quoted in it."""
    text = [to_json(one) for one in (PLAIN, plan)]
    first, other = (len(one) + one.count('"') for one in text)
    return largest_record(plan) - largest_record(PLAIN) - (other - first)


def test_a_plan_of_one_gate_and_three_stages_can_grow_to_twelve_kilobytes() -> None:
    assert largest_record(PLAIN) == 12_757


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"gates": ()}, -2_234),
        ({"gates": (ERRORS, SLOW)}, 2_073),
        ({"gates": (ERRORS, REQUESTS)}, 793),
        ({"gates": (ERRORS, SCORE)}, 641),
        ({"gates": (ERRORS, BETTER)}, 1_235),
        ({"gates": (replace(ERRORS, versus_stable=None),)}, -726),
        ({"gates": (replace(ERRORS, limits=Limits(maximum=0.01, roll_back=0.02)),)}, -182),
        ({"gates": (replace(ERRORS, limits=Limits(maximum=0.01)),)}, -546),
        ({"evidence": replace(PLAN.evidence, needs=Needs.PROOF)}, 364),
        ({"stages": (Stage(10, 30 * MINUTE, early=True), *PLAN.stages[1:])}, 364),
        ({"stages": PLAN.stages[1:]}, -6),
        ({"max_failed_requests": 50}, 853),
        ({"checks": (HEALTH,)}, 1_608),
        ({"notify": (TEAM,)}, 170),
        ({"notify": (TEAM, replace(TEAM, name="other"))}, 184),
        ({"later_regions": ("europe-west1",)}, 23),
    ],
)
def test_what_a_plan_asks_for_beside_makes_it_so_much_larger(
    changes: dict[str, Any], size: int
) -> None:
    assert grown(replace(PLAIN, **changes)) == size


def test_a_check_of_a_dependency_has_no_requests_of_ours_to_remember() -> None:
    other = Check("gateway", "GET", Text(("https://gateway.example",)), Expect())
    assert grown(replace(PLAIN, checks=(other,))) == 0
