"""The example plans and the reference page say what they promise."""

from datetime import timedelta
from pathlib import Path

import pytest

from controller.plan.keys import PLAN_KEYS, SECTIONS
from controller.plan.reader import Reading, read_plan
from controller.plan.source import Source, load

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/plan.md").read_text("utf-8")
BLOCKS = [block.split("```")[0] for block in REFERENCE.split("```yaml\n")[1:]]


def example(name: str) -> Reading:
    return read_plan(load(str(ROOT / "rollout_plans" / name)), env={}, variables={})


@pytest.mark.parametrize("name", ["ion-api.yaml", "quickstart.yaml", "two-regions.yaml"])
def test_an_example_is_read_without_a_warning(name: str) -> None:
    assert example(name).warnings == ()


@pytest.mark.parametrize("name", ["ion-api.yaml", "quickstart.yaml", "two-regions.yaml"])
def test_an_example_gives_its_schema_to_editors(name: str) -> None:
    first = (ROOT / "rollout_plans" / name).read_text("utf-8").split("\n", 1)[0]
    assert first == "# yaml-language-server: $schema=plan.schema.json"
    assert (ROOT / "rollout_plans" / "plan.schema.json").exists()


def test_ion_api_takes_eight_days_in_five_stages_and_a_person_approves_the_last() -> None:
    plan = example("ion-api.yaml").plan
    assert [stage.weight for stage in plan.stages] == [5, 10, 25, 50, 100]
    assert sum((stage.hold for stage in plan.stages), timedelta()) == timedelta(hours=192)
    assert [stage.approval for stage in plan.stages] == [False, False, False, False, True]


def test_ion_api_loosens_its_limits_from_stage_to_stage() -> None:
    plan = example("ion-api.yaml").plan
    by_name = [{gate.name: gate.limits for gate in plan.gates_at(stage)} for stage in range(4)]
    told = [
        (
            limits["error-rate"].maximum,
            limits["latency"].maximum,
            limits["success"].minimum,
            limits["confidence"].minimum,
        )
        for limits in by_name
    ]
    assert told == [
        (0.01, 15_000, 0.95, 0.75),
        (0.015, 18_000, 0.93, 0.73),
        (0.02, 20_000, 0.91, 0.71),
        (0.025, 22_000, 0.89, 0.69),
    ]
    fourth = by_name[3]
    assert fourth["error-rate"].roll_back == 0.03
    assert fourth["latency"].roll_back == 25_000
    assert fourth["success"].roll_back == 0.87
    assert fourth["confidence"].roll_back == 0.67


def test_the_quickstart_has_twenty_lines_and_leaves_the_project_out() -> None:
    text = (ROOT / "rollout_plans/quickstart.yaml").read_text("utf-8")
    plan = example("quickstart.yaml").plan
    assert len(text.splitlines()) <= 20
    assert plan.project is None
    assert [stage.weight for stage in plan.stages] == [10, 50, 100]
    assert [gate.name for gate in plan.gates] == ["error-rate"]


def test_the_reference_names_every_key() -> None:
    keys = {key.name for keys in (PLAN_KEYS, *SECTIONS.values()) for key in keys}
    assert {key for key in keys if f"`{key}`" not in REFERENCE} == set()


@pytest.mark.parametrize("block", BLOCKS)
def test_every_plan_of_the_reference_is_read(block: str) -> None:
    read_plan(Source("docs/plan.md", block.encode()), env={}, variables={})
