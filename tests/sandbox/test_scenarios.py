"""The packaged scenarios: they load, say what they are, and are true to the table."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from controller.sandbox import build
from controller.sandbox.scenario import load, names
from controller.sandbox.setting import Gauge, Setting

TABLE = {
    "healthy",
    "errors",
    "slow",
    "low-confidence",
    "not-ready",
    "missing-persona",
    "low-traffic",
    "no-data",
    "no-approval",
    "drift",
    "wiped",
    "by-hand",
    "new-revision",
    "flaky-api",
    "outage",
    "incident",
}
DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"


def test_every_row_of_the_table_is_packaged() -> None:
    assert set(names()) >= TABLE


@pytest.mark.parametrize("name", names())
def test_a_packaged_scenario_loads_and_says_in_a_line_what_happens(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert 10 < len(scenario.about) < 100
    assert "\n" not in scenario.about


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("service", ["ion-api", "web"])
def test_a_packaged_scenario_can_be_lived_through_for_any_service(name: str, service: str) -> None:
    sandbox = build(
        load(name), Setting(service=service, gauges=(Gauge("custom.googleapis.com/q"),))
    )
    sandbox.clock.sleep(timedelta(days=2))


def test_the_example_in_the_documentation_loads(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(text)
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    assert load(path).revisions["candidate"].changes
