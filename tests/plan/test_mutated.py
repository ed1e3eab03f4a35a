"""Plans that people run, damaged: still a plan, or errors with their place in the file.

HYPOTHESIS_EXAMPLES=20000 tries more of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.compact import from_json, to_json
from controller.plan.diagnostics import PlanInvalid
from controller.plan.reader import read_plan
from controller.plan.source import Source

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "80"))
PLANS = [file.read_bytes() for file in sorted(Path("rollout_plans").glob("*.yaml"))]
VALUES = {"ROLLOUT_WEBHOOK": "https://hooks.example.com/a"}
# YAML's own ends of lines; columns count characters.
LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
OTHER_TYPES = (
    *("~", "{}", "[]", "[[1]]", "{a: {b: 1}}", "true", "0", "-1", "1e400", "0x1F", "9" * 400, "5%"),
    *("101%", "1.5s", "2026-01-05", "12:30", '""', '"\\t"', "'{{ candidate.url }}'", "*a", "&a b"),
    *("'{{ env.NONE }}'", "'{{ item'", "|", ">-", "? a", "!!int 3", "안녕", "'\u202e'", "\t"),
)


def read_or_refuse(data: bytes, values: dict[str, str] | None = None) -> None:
    """Assert that the bytes are a plan that a record can hold, or errors that lead to their place.

    values: of the environment and of `--var`.
    """
    values = VALUES if values is None else values
    try:
        plan = read_plan(Source("p.yaml", data), env=values, variables={}).plan
    except PlanInvalid as invalid:
        check_the_places(invalid, LINE_END.split(data.decode("utf-8-sig", "replace")))
    else:
        assert from_json(to_json(plan)) == plan


def check_the_places(invalid: PlanInvalid, lines: list[str]) -> None:
    assert invalid.diagnostics
    assert not INVISIBLE.search(str(invalid))
    for told in invalid.diagnostics:
        assert told.file == "p.yaml"
        assert told.message
        if told.line or told.column:
            assert 1 <= told.line <= len(lines), told
            assert 1 <= told.column <= len(lines[told.line - 1]) + 1, told


PLAN = st.sampled_from(PLANS)
PLACES = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=EXAMPLES, deadline=None)
@given(PLAN, PLACES, st.sampled_from(("flip", "delete", "double", "cut")))
def test_a_plan_with_damaged_bytes(plan: bytes, places: list[tuple[int, int]], how: str) -> None:
    data = bytearray(plan)
    for place, byte in places:
        at = place % max(1, len(data))
        match how:
            case "flip":
                data[at : at + 1] = bytes([byte])
            case "delete":
                del data[at : at + 1 + byte % 8]
            case "double":
                data[at:at] = data[at : at + 1 + byte]
            case _:
                del data[at:]
    read_or_refuse(bytes(data))


@settings(max_examples=EXAMPLES, deadline=None)
@given(PLAN, PLACES, st.sampled_from(("swap", "delete", "double", "indent", "outdent")))
def test_a_plan_with_misplaced_lines(plan: bytes, places: list[tuple[int, int]], how: str) -> None:
    lines = plan.split(b"\n")
    for place, other in places:
        at, to = place % len(lines), other % len(lines)
        match how:
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
            case "delete":
                lines[at] = b""
            case "double":
                lines.insert(at, lines[at])
            case "indent":
                lines[at] = b" " * (1 + other % 5) + lines[at]
            case _:
                lines[at] = lines[at].removeprefix(b" " * (1 + other % 5))
    read_or_refuse(b"\n".join(lines))


SCALAR = re.compile(r"(?<=[:\[,{-] )[^\s{}\[\],#:][^{}\[\],#\n:]*")


@settings(max_examples=EXAMPLES, deadline=None)
@given(PLAN, st.integers(0, 10**6), st.sampled_from(OTHER_TYPES))
def test_a_plan_with_a_value_of_another_type(plan: bytes, which: int, value: str) -> None:
    text = plan.decode()
    places = list(SCALAR.finditer(text))
    found = places[which % len(places)]
    read_or_refuse((text[: found.start()] + value + text[found.end() :]).encode())


TEMPLATED = b"""\
service: '{{ env.SERVICE }}'
region: '{{ env.REGION }}'
stages: [{weight: 100%, hold: 1h}]
gates: {errors: {metric: error_rate, max: 1%}}
checks:
  c:
    post: '{{ candidate.url }}/{{ env.TEXT }}'
    headers: {X-Told: '{{ env.TEXT }}'}
    body: {a: '{{ env.TEXT }}'}
    expect: {status: 200, body: '{{ env.TEXT }}'}
"""


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.text(max_size=30) | st.sampled_from((*OTHER_TYPES, "{{ env.TEXT }}", "x" * 10**5)),
    st.sampled_from(("ion-api", "ion-api", "a\n- b: c", "x" * 64, "{{ env.TEXT }}", "\x1b[2J")),
    st.sampled_from(("us-central1", "us-central1", "[a, b]", "", "\ud800", "{{ item }}")),
)
def test_a_plan_with_any_value_filled_in(text: str, service: str, region: str) -> None:
    read_or_refuse(TEMPLATED, {"TEXT": text, "SERVICE": service, "REGION": region})


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_undamaged_they_are_plans(plan: bytes) -> None:
    assert read_plan(Source("p.yaml", plan), env=VALUES, variables={}).plan.stages
