"""The schema for editors and the reader say the same of a plan's shape."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from controller.plan.diagnostics import PlanInvalid
from controller.plan.reader import read_plan
from controller.plan.schema import json_schema
from controller.plan.source import Source

ROOT = Path(__file__).parents[2]
BLOCKS = [
    block.split("```")[0]
    for block in (ROOT / "docs/plan.md").read_text("utf-8").split("```yaml\n")[1:]
]
PLANS = [file.read_text("utf-8") for file in sorted((ROOT / "rollout_plans").glob("*.yaml"))]
GOOD = (
    "service: ion-api\n"
    "stages: [{weight: 10%, hold: 1h}, {weight: 100%, hold: 1h}]\n"
    "gates: {e: {metric: error_rate, max: 1%}, n: {metric: request_count, min: 100}}\n"
    'checks: {h: {get: "{{ candidate.url }}/h", expect: {status: 200}}}\n'
    "when: {undecided: {then: ask}}\n"
    "evidence: {interval: auto}\n"
)
MISTAKES = [
    ("service: ion-api\n", ""),
    ("service:", "servce:"),
    ("service: ion-api", "service: [ion-api]"),
    ("[{weight: 10%, hold: 1h}, {weight: 100%, hold: 1h}]", "[]"),
    ("[{weight: 10%, hold: 1h}, {weight: 100%, hold: 1h}]", "10%"),
    ("weight: 10%", "weight: 10"),
    ("weight: 10%", "weight: 110%"),
    ("weight: 10%", "weight: 0%"),
    ("weight: 10%, ", ""),
    ("hold: 1h}, ", "hold: 60}, "),
    ("hold: 1h}, ", "hold: 30m1h}, "),
    ("hold: 1h}, ", "hold: 1h, approval: maybe}, "),
    ("hold: 1h}, ", "hold: 1h, pause: 1h}, "),
    ("hold: 1h}, ", "hold: 1h, limits: {e: {}}}, "),
    ("hold: 1h}, ", "hold: 1h, limits: {e: {maxi: 1%}}}, "),
    ("metric: error_rate, max: 1%", "max: 1%"),
    ("metric: error_rate, max: 1%", "metric: error_rate"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: [1%]"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, versus_stable: on"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, versus_stable: {}"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, versus_stable: {ratio: 0.5}"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, on_fail: rollback"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, codes: [600]"),
    ("metric: error_rate, max: 1%", "metric: error_rate, max: 1%, stages: [10]"),
    ("{e: {metric", "{E E: {metric"),
    ('get: "{{ candidate.url }}/h", ', ""),
    ("expect: {status: 200}", "expect: {status: ok}"),
    ("expect: {status: 200}", "expect: {code: 200}"),
    ("expect: {status: 200}", "post: 'https://x', expect: {status: 200}"),
    ("expect: {status: 200}", "when: never"),
    ("expect: {status: 200}", "each: []"),
    ("expect: {status: 200}", "id_token: on"),
    ("{then: ask}", "{then: pause}"),
    ("{then: ask}", "ask"),
    ("interval: auto", "interval: 60"),
    ("interval: auto", "needs: luck"),
    ("interval: auto", "false_rollback: often"),
    ("interval: auto", "arrival: on"),
    ("service: ion-api", "service: ion-api\nadvance: late"),
    ("service: ion-api", "service: ion-api\nmax_failed_requests: none"),
    ("service: ion-api", "service: ion-api\nnotify: {team: {}}"),
    ("service: ion-api", "service: ion-api\nnotify: {team: {slack: 'https://hooks/x'}}"),
    ("service: ion-api", "service: ion-api\nnotify: {t: {slack: env:A, webhook: env:B}}"),
    ("service: ion-api", "service: ion-api\nnotify: {t: {slack: env:A, events: [finished]}}"),
    ("service: ion-api", "service: ion-api\nregion: []"),
    ("service: ion-api", "service: ion-api\ncandidate: {name: x}"),
]


def reader_accepts(text: str) -> bool:
    try:
        read_plan(Source("p.yaml", text.encode()), env={}, variables={"revision": "ion-api-1"})
    except PlanInvalid:
        return False
    return True


def schema_accepts(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(json_schema())
    return bool(validator.is_valid(yaml.safe_load(text)))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("text", [GOOD, *BLOCKS, *PLANS])
def test_reader_and_schema_accept_the_same_plans(text: str) -> None:
    assert reader_accepts(text)
    assert schema_accepts(text)


@pytest.mark.parametrize(("good", "mistake"), MISTAKES)
def test_reader_and_schema_refuse_the_same_shapes(good: str, mistake: str) -> None:
    text = GOOD.replace(good, mistake, 1)
    assert text != GOOD
    assert not reader_accepts(text)
    assert not schema_accepts(text)


def test_the_schema_beside_the_example_plans_is_the_one_of_the_reader() -> None:
    written = json.loads((ROOT / "rollout_plans/plan.schema.json").read_text("utf-8"))
    assert written == json_schema(), "run: rollout schema > rollout_plans/plan.schema.json"
