from __future__ import annotations

import json
import string
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.compact import differences, digest, from_json, to_json
from controller.plan.model import (
    AdvanceOnly,
    Check,
    CheckWhen,
    CustomMetric,
    EvidenceRules,
    Expect,
    Freeze,
    Gate,
    Latency,
    Limits,
    OnFail,
    Plan,
    Ref,
    RequestCount,
    ResponseRate,
    Stage,
    Text,
    Then,
    Versus,
    When,
    WhenNobodyAnswers,
    WhenUndecided,
)
from controller.plan.reader import read_plan
from controller.plan.source import load

ION = read_plan(
    load(str(Path(__file__).parents[2] / "rollout_plans/ion-api.yaml")), env={}, variables={}
).plan

names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
letters = st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))
words = st.text(letters, max_size=8)
keys = words.filter(lambda word: "{{" not in word)  # a body's key takes no substitution
open_names = st.sampled_from(["candidate.url", "stable.revision", "item"])
refs = st.builds(Ref, open_names, st.sampled_from([(), ("lower",), ("trim", "urlencode")]))
texts = st.one_of(
    words.map(lambda word: Text((word,) if word else ())),
    st.tuples(words.filter(bool), refs).map(Text),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
rising = st.floats(0, 1).flatmap(
    lambda low: st.floats(low, 2).map(lambda high: Limits(maximum=low, roll_back=high))
)
metrics = st.one_of(
    st.just(ResponseRate(("5xx", "429"), counts_failures=True)),
    st.builds(Latency, st.none() | st.floats(50, 99.9)),
    st.just(RequestCount()),
    st.builds(
        CustomMetric,
        st.just("custom.googleapis.com/a/b"),
        words,
        st.sampled_from([None, "ALIGN_MEAN"]),
    ),
)
versus = st.none() | st.builds(Versus, ratio=st.floats(1, 9)) | st.just(Versus(better_by=0.1))
holds = st.integers(0, 90 * 86_400).map(lambda seconds: timedelta(seconds=seconds))

freezes = st.dates().map(lambda day: (Freeze(day, day),))
windows = st.builds(
    AdvanceOnly,
    st.sampled_from(["UTC", "Asia/Seoul"]),
    st.sampled_from([(1, 2, 3, 4), (6,)]),
    st.integers(0, 700),
    st.integers(701, 1440),
    freezes | st.just(()),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    gate_names = draw(st.lists(names, unique=True, max_size=3))
    gates = tuple(
        Gate(
            name,
            draw(metrics),
            draw(rising),
            draw(versus),
            draw(st.none() | st.just(frozenset({100}))),
            draw(st.sampled_from(OnFail)),
        )
        for name in gate_names
    )
    weights = [*sorted(draw(st.sets(st.integers(1, 99), max_size=4))), 100]
    stages = tuple(
        Stage(
            weight,
            draw(holds),
            draw(st.booleans()),
            {name: draw(rising) for name in gate_names if draw(st.booleans())},
        )
        for weight in weights
    )
    checks = tuple(
        Check(
            f"c-{number}",
            "POST",
            Text((Ref("candidate.url"), "/x")),
            Expect((200, 204), draw(json_values), has_body=True),
            draw(st.dictionaries(names, texts, max_size=2)),
            draw(json_values),
            ("lua", "엘로"),
            draw(st.sampled_from(CheckWhen)),
        )
        for number in range(draw(st.integers(0, 2)))
    )
    when = When(
        undecided=WhenUndecided(draw(st.none() | holds), draw(st.sampled_from(Then))),
        approvals=draw(st.none() | st.builds(WhenNobodyAnswers, holds, st.just(Then.ADVANCE))),
        advance_only=draw(st.none() | windows),
    )
    evidence = EvidenceRules(interval=draw(st.none() | holds))
    return replace(
        ION, stages=stages, gates=gates, checks=checks, evidence=evidence, when=when, project=None
    )


@settings(max_examples=150, deadline=None)
@given(plans())
def test_a_plan_written_is_read_back_and_written_the_same(plan: Plan) -> None:
    text = to_json(plan)
    assert from_json(text) == plan
    assert to_json(from_json(text)) == text


def test_the_ion_plan_takes_a_small_part_of_a_record() -> None:
    assert from_json(to_json(ION)) == ION
    assert len(to_json(ION).encode()) < 3_000


def test_the_digest_is_of_what_a_plan_means() -> None:
    moved = replace(ION, gates=tuple(replace(gate, line=999) for gate in ION.gates))
    assert digest(moved) == digest(ION)
    assert len(digest(ION)) == 16
    assert digest(replace(ION, stages=ION.stages[1:])) != digest(ION)


def test_differences_are_told_in_the_plans_words() -> None:
    shorter = replace(ION.stages[2], hold=timedelta(hours=24))
    looser = replace(ION.gates[0], limits=Limits(0.02, None, 0.02, 0.05))
    new = replace(
        ION,
        stages=(*ION.stages[:2], shorter, *ION.stages[3:]),
        gates=(looser, *ION.gates[1:]),
        checks=ION.checks[:2],
    )
    told = differences(ION, new)
    assert told[:2] == ("stages[2].hold: 2d → 1d", "gates.error-rate.max: 1% → 2%")
    assert "checks.personas.post: {{ candidate.url }}/chat → nothing" in told
    assert differences(ION, ION) == ()


@settings(max_examples=60, deadline=None)
@given(plans(), plans())
def test_plans_that_differ_have_a_difference_to_tell(old: Plan, new: Plan) -> None:
    assert (differences(old, new) == ()) is (to_json(old) == to_json(new))


def forged(change: dict[str, Any]) -> str:
    return json.dumps(json.loads(to_json(ION)) | change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{" * 5000,
        "[" * 100_000 + "]" * 100_000,
        '{"service": NaN}',
        "1" * 5000,
        "x" * 300_000,
        forged({"service": "a/../b"}),
        forged({"service": None}),
        forged({"unknown": 1}),
        forged({"stages": []}),
        forged({"stages": [{"weight": 50, "hold": 1}]}),
        forged({"stages": [{"weight": 101, "hold": 1}]}),
        forged({"stages": [{"weight": True, "hold": 1}]}),
        forged({"stages": [{"weight": 100, "hold": -1}]}),
        forged({"stages": [{"weight": 100, "hold": 1e300}]}),
        forged({"stages": [{"weight": 100, "hold": 10**400}]}),
        forged({"stages": [{"weight": 100, "hold": "1h"}]}),
        forged({"stages": [{"weight": n, "hold": 1} for n in range(70, 101)]}),
        forged({"gates": [{"name": "x"}]}),
        forged({"gates": [json.loads(to_json(ION))["gates"][0] | {"limits": {"maximum": "1"}}]}),
        forged({"gates": [json.loads(to_json(ION))["gates"][0] | {"metric": {"is": "shell"}}]}),
        forged({"gates": [json.loads(to_json(ION))["gates"][0] | {"metric": {"is": []}}]}),
        forged({"gates": [json.loads(to_json(ION))["gates"][0] | {"on_fail": ["ask"]}]}),
        forged({"gates": [json.loads(to_json(ION))["gates"][0] | {"name": "A B"}]}),
        forged({"checks": [json.loads(to_json(ION))["checks"][0] | {"url": "file:///etc"}]}),
        forged({"checks": [json.loads(to_json(ION))["checks"][0] | {"url": {"{{": [["os.x"]]}}]}),
        forged({"checks": [json.loads(to_json(ION))["checks"][0] | {"url": {"{{": [[]]}}]}),
        forged({"checks": [json.loads(to_json(ION))["checks"][0] | {"method": "SH"}]}),
        forged({"checks": [json.loads(to_json(ION))["checks"][0] | {"body": "\ud800"}]}),
        forged({"project": "a\x1b[2J"}),
    ],
    ids=range(33),
)
def test_a_forged_plan_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        from_json(text)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_plan_changed_at_any_place_is_a_plan_or_refused(data: st.DataObject) -> None:
    tree = json.loads(to_json(ION))
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
        node = node[key]
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        1.5,
        10**400,
        "",
        "x",
        [],
        {},
        [[]],
        {"{{": [1]},
        {"is": "rate"},
    ]
    node[key] = data.draw(st.sampled_from(values))
    with suppress(ValueError):
        assert isinstance(from_json(json.dumps(tree)), Plan)


def test_a_record_is_read_without_what_reads_a_plans_file() -> None:
    """`status` waits for every import: a YAML parser and a template engine are half of them."""
    code = (
        "import sys, controller.plan.compact, controller.engine.codec; "
        "sys.exit(' '.join({'yaml', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""
