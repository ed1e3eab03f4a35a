from datetime import timedelta

import pytest

from controller.plan.diagnostics import PlanInvalid
from controller.plan.model import (
    Candidate,
    CheckWhen,
    CustomMetric,
    EvidenceRules,
    Latency,
    Limits,
    OnFail,
    Ref,
    ResponseRate,
    Text,
    Versus,
    When,
)
from controller.plan.reader import Reading, read_plan
from controller.plan.source import Source

STAGES = "service: ion-api\nstages: [{weight: 10%, hold: 1h}, {weight: 100%, hold: 1h}]\n"
ERRORS = "gates: {error-rate: {metric: error_rate, max: 1%}}\n"


def read(
    text: str, env: dict[str, str] | None = None, variables: dict[str, str] | None = None
) -> Reading:
    return read_plan(Source("p.yaml", text.encode()), env=env or {}, variables=variables or {})


def refused(text: str) -> list[str]:
    with pytest.raises(PlanInvalid) as invalid:
        read(text)
    return [f"{one.line}:{one.column} {one.message}" for one in invalid.value.diagnostics]


def test_what_is_not_said_has_its_default() -> None:
    plan = read(STAGES + ERRORS).plan

    assert plan.project is None
    assert plan.region is None
    assert plan.candidate == Candidate()
    assert plan.evidence == EvidenceRules()
    assert plan.when == When()
    gate = plan.gates[0]
    assert gate.metric == ResponseRate(("5xx",), counts_failures=True)
    assert gate.limits == Limits(maximum=0.01, roll_back=0.01)
    assert gate.versus_stable == Versus(ratio=1.25)
    assert gate.stages is None
    assert gate.on_fail is OnFail.ROLL_BACK


def test_every_error_of_a_plan_is_told_at_once_and_in_order() -> None:
    assert refused(
        "service: Ion\n"
        "stages:\n"
        "  - {weight: 110%, hold: 48}\n"
        "  - {wieght: 5%, weight: 20%, hold: 1h}\n"
        "  - {weight: 50%}\n"
        "gates: {error-rate: {metric: error_rate, min: 1%}}\n"
    ) == [
        "1:10 `Ion` is no service name",
        "3:14 weight goes over 100%: 110%",
        "3:26 a duration needs a unit: 48 what?",
        "4:6 unknown key `wieght` in stage 2",
        "5:14 the last stage has 50%: a rollout ends at 100%",
        "6:42 `min` is the wrong side: here small numbers are the good ones",
    ]


def test_a_gate_that_is_wrong_is_not_told_to_be_missing() -> None:
    told = refused(
        "service: a\n"
        "stages:\n"
        "  - {weight: 10%, hold: 1h, limits: {e: {max: 2%}}}\n"
        "  - {weight: 100%, hold: 1h}\n"
        "gates: {e: {metric: eror_rate, max: 1%}}\n"
    )
    assert told == ["5:21 `eror_rate` is no metric"]


def test_a_stages_own_limits_are_completed_with_the_gates() -> None:
    plan = read(
        "service: a\n"
        "stages:\n"
        "  - {weight: 10%, hold: 1h, limits: {e: {max: 1.5%}}}\n"
        "  - {weight: 50%, hold: 1h, limits: {e: {max: 3%, roll_back: 4%}}}\n"
        "  - {weight: 100%, hold: 1h}\n"
        "gates: {e: {metric: error_rate, max: 1%, roll_back: 2%, emergency: 5%}}\n"
    ).plan

    limits = [plan.gates_at(stage)[0].limits for stage in range(3)]
    assert limits == [
        Limits(maximum=0.015, roll_back=0.02, emergency=0.05),
        Limits(maximum=0.03, roll_back=0.04, emergency=0.05),
        Limits(maximum=0.01, roll_back=0.02, emergency=0.05),
    ]


def test_a_default_limit_to_roll_back_follows_the_stages_limit_to_advance() -> None:
    plan = read(
        "service: a\n"
        "stages:\n"
        "  - {weight: 10%, hold: 1h, limits: {e: {max: 3%}}}\n"
        "  - {weight: 100%, hold: 1h}\n"
        "gates: {e: {metric: error_rate, max: 1%}}\n"
    ).plan
    assert plan.stages[0].limits["e"] == Limits(maximum=0.03, roll_back=0.03)


@pytest.mark.parametrize(
    ("gate", "limits", "versus"),
    [
        ("metric: success_rate, min: 95%", Limits(minimum=0.95, roll_back=0.95), Versus(1.25)),
        ("metric: latency, mean: on, max: 2s", Limits(2000.0, roll_back=2000.0), Versus(1.25)),
        ("metric: request_count, min: 100", Limits(minimum=100.0), None),
        ("metric: a.b/c, min: 0.75", Limits(minimum=0.75, roll_back=0.75), Versus(worse_by=0.02)),
        ("metric: a.b/c, max: 2", Limits(2.0, roll_back=2.0), Versus(1.25)),
        ("metric: error_rate, max: 1%, versus_stable: off", Limits(0.01, roll_back=0.01), None),
        (
            "metric: latency, percentile: 50, max: 2s, versus_stable: {better_by: 10%}",
            Limits(2000.0),
            Versus(better_by=0.1),
        ),
        (
            "metric: error_rate, versus_stable: {worse_by: 0.5%}",
            Limits(),
            Versus(worse_by=0.005),
        ),
    ],
)
def test_limits_and_the_comparison_have_the_defaults_of_their_metric(
    gate: str, limits: Limits, versus: Versus | None
) -> None:
    found = read(f"{STAGES}gates: {{g: {{{gate}}}}}\n").plan.gates[0]
    assert found.limits == limits
    assert found.versus_stable == versus


def test_a_custom_metric_is_read_with_everything_that_finds_it() -> None:
    gate = read(
        STAGES + "gates:\n"
        "  g:\n"
        "    metric: custom.googleapis.com/ion/score\n"
        "    revision_label: metric.labels.revision\n"
        "    filter: 'metric.labels.class = \"{{ var.class }}\"'\n"
        "    aligner: ALIGN_MEAN\n"
        "    reducer: REDUCE_MIN\n"
        "    min: -1.5\n",
        variables={"class": "chat"},
    ).plan.gates[0]
    assert gate.metric == CustomMetric(
        "custom.googleapis.com/ion/score",
        'metric.labels.class = "chat"',
        "ALIGN_MEAN",
        "REDUCE_MIN",
        "metric.labels.revision",
    )


def test_a_gate_can_be_judged_in_some_stages_only() -> None:
    plan = read(
        STAGES + "gates: {f: {metric: latency, percentile: 99.9, max: 1s, stages: [100%]}}\n"
    ).plan
    assert plan.gates[0].metric == Latency(99.9)
    assert [gate.name for gate in plan.gates_at(0)] == ["arrival"]
    assert plan.gates_at(1) == plan.gates


def test_gates_that_nobody_wrote_are_there_only_where_something_is_measured() -> None:
    gates = "gates: {e: {metric: error_rate, max: 1%}}\nmax_failed_requests: 500\n"
    written = read(STAGES + gates).plan
    quiet = read(STAGES + gates + "evidence: {arrival: off}\n").plan

    assert [gate.name for gate in written.gates_at(0)] == ["e", "arrival", "failed-requests"]
    assert [gate.name for gate in written.gates_at(1)] == ["e", "failed-requests"]
    assert [gate.name for gate in quiet.gates_at(0)] == ["e", "failed-requests"]
    assert read(STAGES).plan.gates_at(0) == ()


def test_the_gates_that_can_roll_back_share_the_chance_of_a_false_one() -> None:
    gates = (
        "gates:\n"
        "  e: {metric: error_rate, max: 1%}\n"
        "  n: {metric: request_count, min: 100}\n"
        "  f: {metric: latency, mean: true, versus_stable: {better_by: 10%}}\n"
        "  o: {metric: latency, percentile: 95, max: 1s, on_fail: observe}\n"
    )
    assert read(STAGES + gates).plan.level == pytest.approx(0.01 / 2)  # e, and arrival
    rules = "evidence: {false_rollback: 3%, arrival: off}\n"
    assert read(STAGES + gates + rules).plan.level == pytest.approx(0.03)


def test_a_stage_is_left_early_where_it_or_the_whole_plan_says_so() -> None:
    gates = "gates: {e: {metric: error_rate, max: 1%}}\n"
    stages = "stages: [{weight: 5%, hold: 1h, advance: off}, {weight: 100%, hold: 1h}]\n"
    plan = read("service: web\nadvance: early\n" + stages + gates).plan
    assert [stage.early for stage in plan.stages] == [False, True]


def test_a_check_keeps_open_what_is_known_only_later() -> None:
    check = (
        read(
            STAGES + "checks:\n"
            "  chat:\n"
            '    post: "{{ candidate.url }}/chat/{{ item | urlencode }}"\n'
            "    each: [lua, 010, '{{ env.WHO }}']\n"
            "    headers: {x-token: env:TOKEN, x-sha: '{{ env.SHA }}'}\n"
            "    body: {n: 3, on: on, yes: true, no: null, list: [1.5, x, '2'], t: '{{ item }}'}\n"
            "    when: before\n"
            "    on_fail: ask\n"
            "    timeout: 30s\n"
            "    expect: {status: [200, 204], body: {}}\n",
            env={"WHO": "{{ item }}", "SHA": "abc"},
        )
    ).plan.checks[0]

    assert check.method == "POST"
    assert check.url == Text((Ref("candidate.url"), "/chat/", Ref("item", ("urlencode",))))
    assert check.each == ("lua", "010", "{{ item }}")  # what is filled in is never read again
    assert check.headers == {"x-token": Text(("env:TOKEN",)), "x-sha": Text(("abc",))}
    assert check.body == {
        "n": 3,
        "on": Text(("on",)),
        "yes": True,
        "no": None,
        "list": (1.5, Text(("x",)), Text(("2",))),
        "t": Text((Ref("item"),)),
    }
    assert (check.when, check.on_fail) == (CheckWhen.BEFORE, OnFail.ASK)
    assert check.timeout == timedelta(seconds=30)
    assert check.expect.status == (200, 204)
    assert check.expect.has_body
    assert check.expect.body == {}
    assert check.refs == {"candidate.url", "item"}


def test_the_plan_tells_whether_any_check_needs_a_name() -> None:
    plan = read(STAGES + 'checks: {h: {get: "{{ stable.url }}/h"}}\n').plan
    assert plan.needs("stable.url")
    assert not plan.needs("candidate.url")


def test_env_and_variables_fill_in_texts() -> None:
    plan = read(
        'service: "{{ env.NAME | lower }}-api"\n'
        "project: \"{{ var.project | default('demo') }}\"\n"
        'candidate: "{{ env.NAME | lower }}-api-{{ var.n }}"\n'
        "stages: [{weight: 100%, hold: 1h}]\n",
        env={"NAME": "ION"},
        variables={"n": "00042-xyz"},
    ).plan
    assert (plan.service, plan.project) == ("ion-api", "demo")
    assert plan.candidate == Candidate(revision="ion-api-00042-xyz")


def test_a_filled_in_name_must_still_be_a_name() -> None:
    with pytest.raises(PlanInvalid, match=r"1:10: `\.\./x` is no service name"):
        read("service: '{{ env.X }}'\nstages: [{weight: 100%}]\n", env={"X": "../x"})


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (STAGES, "2:1 no gate and no check"),
        (STAGES + 'checks: {h: {get: "{{ stable.url }}/h"}}\n', "3:1 no gate: nothing is measured"),
        (STAGES + "gates: {n: {metric: request_count, min: 9}}\n", "3:1 no gate can roll back"),
        (
            STAGES + "gates: {e: {metric: error_rate, max: 1%, on_fail: observe}}\n",
            "3:9 gate e has no effect",
        ),
        ("service: a\nstages: [{weight: 100%}]\n" + ERRORS, "2:19 100% has no hold"),
        ("service: a\nstages: [{weight: 100%, hold: 6m}]\n" + ERRORS, "2:31 never decidable"),
        (
            "service: a\nstages: [{weight: 100%, hold: 12m}]\n"
            "gates: {c: {metric: a.b/c, max: 1}}\n",
            "2:31 never decidable",
        ),
        (
            STAGES + ERRORS + 'checks: {h: {get: "{{ stable.url }}/h", each: [a, b]}}\n',
            "4:10 check h sends the same request 2 times",
        ),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(text: str, warning: str) -> None:
    told = [f"{one.line}:{one.column} {one.message}" for one in read(text).warnings]
    assert any(one.startswith(warning) for one in told), told


def test_a_variable_that_nothing_names_is_warned_of() -> None:
    reading = read(
        "service: '{{ var.service }}'\nstages: [{weight: 100%, hold: 1h}]\n" + ERRORS,
        variables={"service": "a", "servce": "b"},
    )
    assert [one.message for one in reading.warnings] == [
        "the plan has no {{ var.servce }}: --var servce does nothing"
    ]


def test_the_whole_when_section_is_read() -> None:
    when = read(
        STAGES + ERRORS + "evidence: {interval: 30s, delay: 3m, custom_delay: 20m, warm_up: 0s}\n"
        "when:\n"
        "  undecided: {extend_by: 3d, then: roll_back}\n"
        "  monitoring_out: {hold: 1h, then: advance}\n"
        "  both_failing: roll_back\n"
        "  nobody_answers: {after: 2h, then: advance}\n"
        "  new_revision: replace\n"
    ).plan.when
    assert when.undecided.extend_by == timedelta(days=3)
    assert when.undecided.then == "roll_back"
    assert when.monitoring_out.hold == timedelta(hours=1)
    assert when.monitoring_out.then == "advance"
    assert when.both_failing == "roll_back"
    assert when.nobody_answers.after == timedelta(hours=2)
    assert when.nobody_answers.then == "advance"
    assert when.new_revision == "replace"
