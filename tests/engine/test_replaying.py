"""Replay is the controller's own judging, over minutes that are past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.engine.past import ORIGIN, Row, end_of, past_of
from controller.engine.replaying import Past, Replayed, Span, replay
from controller.engine.watching import SETTLE
from controller.gates.dispersion import BATCHES_MIN
from controller.gates.evidence import (
    MINUTE,
    CodeCounts,
    Explicit,
    Histogram,
    Latencies,
    Query,
    Requests,
    Value,
)
from controller.plan.model import (
    BothFailing,
    Candidate,
    EvidenceRules,
    Gate,
    Latency,
    Limits,
    OnFail,
    Plan,
    ResponseRate,
    Stage,
    Versus,
    When,
)

HALF_HOUR = timedelta(minutes=30)
ERRORS = Gate(
    "errors",
    ResponseRate(("5xx",), counts_failures=True),
    Limits(maximum=0.01, roll_back=0.02),
    Versus(ratio=1.25),
)
SLOW = Gate("latency", Latency(95), Limits(maximum=1000, roll_back=2000), Versus(ratio=1.25))
PLAN = Plan(
    "api",
    "demo",
    "us-central1",
    Candidate(),
    (Stage(10, HALF_HOUR), Stage(50, HALF_HOUR), Stage(100, HALF_HOUR)),
    (ERRORS, SLOW),
)
BUCKETS = Explicit((500.0, 1000.0, 2000.0))
REQUESTS = Requests()


def side(total: int, failed: int, slow: int = 0) -> dict[Query, Value]:
    histogram = Histogram(BUCKETS, {0: total - slow, 3: slow}, 200.0)
    return {REQUESTS: CodeCounts({"2xx": total - failed, "5xx": failed}), Latencies(): histogram}


def rows(
    minutes: Mapping[int, tuple[int, int, int]], stable_failed: int = 0, slow: int = 0
) -> dict[int, Row]:
    """Return minute → row from minute → (weight, requests of both, the candidate's failed)."""
    found = {}
    for n, (weight, total, failed) in minutes.items():
        mine = total * weight // 100
        theirs = side(total - mine, stable_failed) if weight < 100 else {}
        found[n] = Row(weight, side(mine, failed, slow), theirs)
    return found


def told(minutes: dict[int, Row], plan: Plan = PLAN) -> Replayed:
    return replay(plan, past_of(plan, "r", minutes))


def good(weight: int, first: int, last: int) -> dict[int, tuple[int, int, int]]:
    return dict.fromkeys(range(first, last), (weight, 2000, 0))


def test_a_good_run_passes_in_its_last_stage() -> None:
    found = told(rows(good(10, 0, 30) | good(50, 30, 60) | good(100, 60, 90)))
    assert (found.verdict, found.stage, found.gate) == ("pass", 2, "")
    assert found.end == end_of(89)


def test_a_bad_candidate_fails_in_the_minute_that_proved_it() -> None:
    minutes = good(10, 0, 30) | dict.fromkeys(range(30, 60), (50, 2000, 100))
    found = told(rows(minutes))
    assert (found.verdict, found.stage, found.gate) == ("fail", 1, "errors")
    assert found.end is not None
    proved = (found.end - ORIGIN) // MINUTE - 1
    assert 30 <= proved < 40
    cut = {n: row for n, row in rows(minutes).items() if n < proved}
    assert told(cut).verdict != "fail"


def test_what_stable_suffers_alike_is_not_the_candidates_fault() -> None:
    bad = dict.fromkeys(range(30), (50, 2000, 100))
    assert told(rows(bad, stable_failed=100)).verdict == "undecided"
    rolls_back = replace(PLAN, when=When(both_failing=BothFailing.ROLL_BACK))
    assert told(rows(bad, stable_failed=100), rolls_back).verdict == "fail"


def test_a_gate_that_is_only_observed_fails_nothing() -> None:
    observed = replace(PLAN, gates=(replace(ERRORS, on_fail=OnFail.OBSERVE), SLOW))
    bad = rows(dict.fromkeys(range(30), (50, 2000, 100)))
    assert told(bad).verdict == "fail"
    assert told(bad, observed).verdict == "pass"


def test_slow_minutes_of_the_warm_up_are_no_evidence_and_errors_are() -> None:
    patient = replace(PLAN, evidence=EvidenceRules(warm_up=timedelta(minutes=20)))
    cold = rows(dict.fromkeys(range(20), (50, 2000, 0)), slow=1000)
    found = told(cold, patient)
    assert (found.gate, found.reason) == ("latency", "no data of the candidate")
    assert told(cold).verdict == "fail"
    failing = rows(dict.fromkeys(range(20), (50, 2000, 900)))
    assert told(failing, patient).gate == "errors"


def test_the_warm_up_begins_with_the_rollout_even_where_its_first_minutes_are_silent() -> None:
    patient = replace(PLAN, evidence=EvidenceRules(warm_up=timedelta(minutes=20)))
    late = rows(dict.fromkeys(range(20, 40), (50, 2000, 0)), slow=1000)
    found = told(late, patient)
    assert (found.verdict, found.gate) == ("fail", "latency")


def test_a_run_in_which_the_candidate_got_nothing_is_undecided() -> None:
    found = told({-n: Row(0, {}, side(1000, 1)) for n in range(1, 60)})
    assert (found.verdict, found.end, found.stage) == ("undecided", None, -1)


def test_negative_minutes_are_stables_history_by_the_quarter_hour() -> None:
    before = {-n: Row(0, {}, side(1000, 10)) for n in range(1, 15 * BATCHES_MIN + 1)}
    history = past_of(PLAN, "r", before).history
    assert history["errors"].per_minute == 1000
    assert history["errors"].inflation is not None
    assert history["latency"].edge == 500.0
    too_few = {n: row for n, row in before.items() if n >= -15 * (BATCHES_MIN - 1)}
    assert past_of(PLAN, "r", too_few).history["errors"].inflation is None


def test_only_the_last_day_before_the_rollout_is_history() -> None:
    day = {-n: Row(0, {}, side(1000, 1)) for n in range(1, 1441)}
    older = {-n: Row(0, {}, side(1000, 900)) for n in range(1441, 2000)}
    assert past_of(PLAN, "r", day | older).history == past_of(PLAN, "r", day).history


def test_the_plan_asks_for_classes_unless_a_gate_names_a_code() -> None:
    assert not PLAN.exact_codes


RUN = st.lists(
    st.tuples(st.sampled_from([0, 40, 400, 2000]), st.integers(0, 40)), min_size=1, max_size=40
)


@settings(max_examples=40)
@given(RUN, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_told_changes_nothing(run: list[tuple[int, int]], rng) -> None:  # type: ignore[no-untyped-def]
    minutes = rows({n: (10 if n < 15 else 50, t, min(f, t // 10)) for n, (t, f) in enumerate(run)})
    shuffled = list(minutes.items())
    rng.shuffle(shuffled)
    assert told(dict(shuffled)) == told(minutes)


@example([(40, 2), (40, 3), (40, 5), (40, 5), (40, 5)], 1)
@settings(max_examples=40)
@given(RUN, st.integers(1, 39))
def test_looking_in_between_changes_nothing(run: list[tuple[int, int]], at: int) -> None:
    """One split seen in two looks: the same to the last digit as in one."""
    minutes = rows({n: (50, t, min(f, t // 2)) for n, (t, f) in enumerate(run)})
    (whole,) = past_of(PLAN, "r", minutes).spans
    looks = tuple(
        Span(0 + whole.stage, whole.weight, whole.in_force, part)
        for part in (
            {q: many[:at] for q, many in whole.minutes.items()},
            {q: many[at:] for q, many in whole.minutes.items()},
        )
    )
    in_two, at_once = replay(PLAN, Past("r", looks)), replay(PLAN, Past("r", (whole,)))
    assert in_two == at_once or len(run) <= at


def test_a_stage_begins_where_its_first_minute_does() -> None:
    first, second = past_of(PLAN, "r", rows(good(10, 0, 30) | good(50, 33, 60))).spans
    assert first.in_force + SETTLE == end_of(-1)
    assert second.in_force + SETTLE == end_of(33) - MINUTE
