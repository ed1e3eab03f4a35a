"""Reading scenarios: what is understood, and what a mistake is answered with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.sandbox.scenario import (
    Act,
    CallFault,
    HttpRule,
    Load,
    Moment,
    Poison,
    Scenario,
    ScenarioError,
    ShiftFault,
    load,
)
from controller.sandbox.scenario_reader import read

HOUR = timedelta(hours=1)


def of(text: str) -> Scenario:
    return read(text.encode(), "my.yaml")


def test_what_is_not_said_is_as_in_the_healthy_world() -> None:
    assert of("about: nothing happens") == Scenario(about="nothing happens")


def test_a_rate_is_read_per_any_time() -> None:
    assert of("traffic: {rate: 10/s}").traffic == Load(10)
    assert of("traffic: {rate: 1500/week}").traffic.rate_per_s == pytest.approx(1500 / 604_800)


def test_moments_are_counted_from_the_start_or_from_a_shift() -> None:
    def since(text: str) -> Moment:
        return of(f"metrics: {{outages: [{{from: {text}, for: 1h}}]}}").metrics.outages[0].since

    assert since("3h") == Moment(plus=3 * HOUR)
    assert since("shift 2") == Moment(2)
    assert since("shift 2 + 1d12h") == Moment(2, plus=36 * HOUR)
    assert since("shift 3 of stable + 90s") == Moment(3, "stable", timedelta(seconds=90))


def test_a_truth_overrides_another_and_changes() -> None:
    revision = of(
        """
        revisions:
          candidate:
            like: stable
            faster: 20%
            errors: {5xx: 0.2%, "404": 1%}
            latency: {p50: 400ms, p95: 9s}
            gauges: {custom.googleapis.com/q: 0.82}
            changes: [{from: shift 2, until: 5h, slower: 100%, gauges: bad}]
        """
    ).revisions["candidate"]
    assert revision.like == "stable"
    assert revision.truth.pace == pytest.approx(0.8)
    assert dict(revision.truth.errors or {}) == pytest.approx({"5xx": 0.002, "404": 0.01})
    assert (revision.truth.p50_ms, revision.truth.p95_ms) == (400, 9000)
    assert revision.truth.gauges == {"custom.googleapis.com/q": 0.82}
    change = revision.changes[0]
    assert (change.since, change.until) == (Moment(2), Moment(plus=5 * HOUR))
    assert (change.truth.pace, change.truth.gauges_are) == (2.0, "bad")


def test_poison_is_read() -> None:
    text = "poison: [{errors: {5xx: 40%}}, {from: shift 2, until: 5h, errors: {503: 1%}}]"
    always, later = of(text).poison
    assert always == Poison({"5xx": 0.4})
    assert later == Poison({"503": 0.01}, Moment(2), Moment(plus=5 * HOUR))


@pytest.mark.parametrize("text", ["poison: [{from: 2h}]", "poison: [{errors: {5xx: 1}, for: 1h}]"])
def test_poison_without_errors_or_with_a_length_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError):
        of(text)


def test_faults_people_and_answers_are_read() -> None:
    scenario = of(
        """
        start: 2026-03-01T00:00:00+09:00
        run: {reconcile: 0s, etag: enforce}
        denied: [run.services.update]
        faults:
          - {call: PUT, nth: [2, 5], error: CONFLICT, applied: true, takes: 3s, from: 1h}
          - {shift: every 2, takes: 6m}
          - {shift: 3, fails: quota}
        people:
          - {when: asked, after: 1h, do: approve, person: a@example.com, reason: fine}
          - {from: 2h, do: traffic, split: {candidate: 7%, stable: 93%}}
        http:
          - {post: /chat, body_has: {n: 1, s: "1", l: [true, null, 1.5]}, status: none}
        """
    )
    assert scenario.start == datetime(2026, 2, 28, 15, tzinfo=UTC)
    assert (scenario.run.reconcile, scenario.run.etag_enforced) == (timedelta(0), True)
    assert scenario.denied == ("run.services.update",)
    assert scenario.faults == (
        CallFault(
            "PUT",
            nth=(2, 5),
            error="CONFLICT",
            applied=True,
            takes=timedelta(seconds=3),
            since=Moment(plus=HOUR),
        ),
        ShiftFault(every=2, takes=timedelta(minutes=6)),
        ShiftFault(nth=(3,), fails="quota"),
    )
    approve, traffic = scenario.people
    assert approve == Act(
        "approve",
        trigger="asked",
        after=HOUR,
        person="a@example.com",
        details={"reason": "fine"},
    )
    assert traffic.split == {"candidate": 7, "stable": 93}
    assert scenario.http == (
        HttpRule("POST", "/chat", body_has={"n": 1, "s": "1", "l": [True, None, 1.5]}, status=None),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "my.yaml: empty"),
        ("- a", "my.yaml:1: a mapping"),
        ("about: x\ntrafic: {}", "my.yaml:2: unknown key 'trafic'; did you mean 'traffic'?"),
        ("about: x\nabout: y", "my.yaml:2: 'about' stands here twice"),
        ("seed: -1", "my.yaml:1: '-1' is no whole number"),
        ("seed: [1]", "my.yaml:1: a single value"),
        ("start: 2026-13-01T00:00:00Z", "is no time"),
        ("start: 2026-01-01T00:00:00", "has no zone"),
        ("traffic: {rate: 10}", "is no rate; write 10/s"),
        ("traffic: {by_hour: [1, 2]}", "24 factors"),
        ("revisions: {candidate: {errors: {5xx: 120%}}}", "more than 100%"),
        ("revisions: {candidate: {errors: {5xx: 60%, 4xx: 60%}}}", "more than 100%"),
        ("revisions: {candidate: {errors: {oops: 1%}}}", "no response code"),
        ("revisions: {candidate: {latency: {p95: 9}}}", "is no duration"),
        ("revisions: {candidate: {gauges: fine}}", "none of good, bad"),
        ("revisions: {candidate: {faster: 20%, slower: 20%}}", "only one of"),
        ("incidents: [{from: shift 0, for: 1h}]", "counted from 1"),
        ("incidents: [{from: soon, for: 1h}]", "is no moment"),
        ("incidents: [{from: 1h}]", "`for` is missing"),
        ("faults: [{call: PUT, error: OOPS}]", "is no gRPC status"),
        ("faults: [{shift: sometimes}]", "write `every 2`"),
        ("people: [{do: dance, from: 1h}]", "a person can traffic"),
        ("people: [{do: approve}]", "either `from: 3h` or `when: asked`"),
        ("people: [{do: traffic, from: 1h}]", "needs `split`"),
        ("people: [{do: traffic, from: 1h, split: {candidate: 7%}}]", "sum to 7"),
        ("http: [{status: 200}]", "one of get, post"),
        ("run: {etag: on}", "none of ignore, enforce"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: [", "not YAML"),
        ("about: \x00", "not YAML"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        of(text)
    assert said in str(refused.value)
    assert str(refused.value).startswith("my.yaml")


def test_bytes_that_are_not_text_and_too_many_are_refused() -> None:
    with pytest.raises(ScenarioError, match="not UTF-8"):
        read(b"\xff\xfe", "my.yaml")
    with pytest.raises(ScenarioError, match="at most 256 kB"):
        read(b"#" * 300_000, "my.yaml")


def test_a_file_is_found_by_its_path_and_an_unknown_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("about: 한국어", encoding="utf-8")
    assert load(path).about == "한국어"
    assert load(str(path)).name == "mine"
    with pytest.raises(ScenarioError, match=r"no scenario 'helthy'.* healthy"):
        load("helthy")
    with pytest.raises(ScenarioError):
        load(tmp_path)
