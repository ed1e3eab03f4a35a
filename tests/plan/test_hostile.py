"""Whatever the bytes are: a plan, or PlanInvalid with places; never anything else, never slow."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.diagnostics import PlanInvalid
from controller.plan.model import Plan
from controller.plan.reader import read_plan
from controller.plan.source import MOST_BYTES, Source

GOOD = """\
service: ion-api
project: demo
region: us-central1
candidate: {tag: candidate}
stages:
  - {weight: 5%, hold: 24h}
  - {weight: 50%, hold: 1d12h, limits: {error-rate: {max: 1.5%}}}
  - {weight: 100%, hold: 24h, approval: required}
gates:
  error-rate: {metric: error_rate, codes: [5xx, 429], max: 1%, roll_back: 2%, emergency: 5%}
  latency: {metric: latency, percentile: 95, max: 15s, versus_stable: {ratio: 1.5}}
  score: {metric: custom.googleapis.com/a/b, revision_label: metric.labels.r, min: 0.7}
checks:
  health: {get: "{{ candidate.url }}/h", expect: {status: 200, body: {ok: true, n: [1, 2]}}}
  chat: {post: "{{ stable.url }}/c", each: [a, b], body: {p: "{{ item }}"}, when: before}
evidence: {interval: auto, delay: 4m, needs: sample}
when: {undecided: {extend_by: 3d, then: ask}, nobody_answers: {after: 24h}}
"""


def read_or_refuse(data: bytes) -> Plan | str:
    try:
        return read_plan(Source("p.yaml", data), env={"A": "b"}, variables={"v": "w"}).plan
    except PlanInvalid as invalid:
        return str(invalid) or "nothing is said"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "p.yaml: the plan is empty"),
        (b"\xef\xbb\xbf", "p.yaml: the plan is empty"),
        (b"service: \xff\n", "p.yaml:1:10: this is not UTF-8: byte 0xff"),
        ("service: a".encode("utf-16"), "p.yaml: this is UTF-16"),
        (b"a" * (MOST_BYTES + 1), "p.yaml: a plan has at most 256 kB"),
        (b"service: a\x00b\n", "p.yaml:1:11: an invisible character, U+0000"),
        (b"[" * 200_000, "p.yaml:1:33: nested deeper than 32"),
        (b"a: " + b"- " * 100_000, "a list cannot begin on the line of its key"),
        (b"{a: " * 60_000, "p.yaml:1:129: nested deeper than 32"),
        (b"? " * 100_000, "p.yaml:1:65: nested deeper than 32"),
        (b"[a,b,c,d,e,f,g,h]\n" * 10, "p.yaml:2:1: "),
        (b"a: [" + b"b," * 100_000 + b"]", "more than 6000 values in one plan"),
        (b"service: '" + b"{{ b }} " * 30_000 + b"'", "more than 40 {{ … }} in one text"),
        (b"service: '{{ a." + b"1" * 5000 + b" }}'", "this is more than a substitution"),
        (b"a: &x [*x]\n", "p.yaml:1:4: anchors and aliases"),
        (b"%YAML 9.9\n--- a\n", "not readable as YAML"),
        (b"%TAG ! tag:x,2000:\n--- !a b\n", "tags (!) are not read"),
        (b'a: "\\ud800"\n', "an invisible character, U+D800"),
        (b"--- a\n...\n--- b\n", "a second document begins here"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:12]),
)
def test_hostile_bytes_are_refused_with_their_place(data: bytes, message: str) -> None:
    told = read_or_refuse(data)
    assert isinstance(told, str)
    assert message in told
    assert told.count("mend: ") <= 2


def test_a_billion_stages_are_refused_at_once() -> None:
    stages = "".join("  - {weight: 5%, hold: 24h}\n" for _ in range(9_000))
    told = read_or_refuse(("service: a\nstages:\n" + stages).encode())
    assert isinstance(told, str)
    assert "more than 6000 values in one plan" in told
    assert told.count("\n") < 4


def test_no_more_errors_are_told_than_anybody_reads() -> None:
    with pytest.raises(PlanInvalid) as invalid:
        read_plan(
            Source("p.yaml", b"".join(b"k%d: 1\n" % n for n in range(2_000))), env={}, variables={}
        )
    assert len(invalid.value.diagnostics) == 100


def test_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    plan = read_or_refuse(GOOD.encode())
    assert isinstance(plan, Plan)
    assert read_or_refuse(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == plan


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_refused(text: str) -> None:
    read_or_refuse(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_plan_or_refused(data: bytes) -> None:
    read_or_refuse(data)


BITS = r"""a 5% stages service - [ ] { } , " ' | > # & * ! % ? << {{ }} {% %} \ ~ 0"""
YAML_BITS = st.sampled_from([*BITS.split(), ": ", "- ", "\n", "  ", "\t"])


@settings(max_examples=300, deadline=None)
@given(st.lists(YAML_BITS, max_size=25))
def test_any_yaml_is_a_plan_or_refused(bits: list[str]) -> None:
    read_or_refuse("".join(bits).encode())


WORDS = r"""
~ {} [] [[]] {a:b} off 1e999 -1 0 101% 100% 0x1F 1:30 2026-13-45 !!int &a *a "\u0000" "\UFFFFFFFF"
'{{item}}' '{{env.A}}' '{{nope}}' '{{((((((((((((((((((((((((((((((((((((a' '{{a.b|d}}' '{{}}'
'{{-env.A-}}' '{{"}}"}}' '{#a#}' '{%raw%}' '}}'
"""
VALUES = st.sampled_from([*WORDS.split(), "", "\uff19%", "1" * 5000])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10_000), VALUES)
def test_a_good_plan_with_one_piece_changed_is_a_plan_or_refused(seed: int, value: str) -> None:
    pieces = GOOD.replace("{", " { ").replace("}", " } ").replace(",", " , ").split(" ")
    places = [at for at, piece in enumerate(pieces) if piece.strip(" {},\n")]
    pieces[random.Random(seed).choice(places)] = value
    read_or_refuse(" ".join(pieces).encode())


@settings(max_examples=150, deadline=None)
@given(st.text("{}%# .|()'\"envarAbx_-+*[]~\n", max_size=40))
def test_any_template_is_filled_in_or_refused(text: str) -> None:
    quoted = text.replace("'", "''")
    read_or_refuse(GOOD.replace('"{{ candidate.url }}/h"', f"'{quoted}'").encode())
