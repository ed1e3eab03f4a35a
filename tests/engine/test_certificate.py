"""A plan tried on a service's own past: split at random, as it is and with faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from controller.engine.certificate import (
    AS_IT_IS,
    BEFORE,
    FAULTS,
    Fault,
    Minutes,
    Tried,
    _broken,
    _failing,
    _schedule,
    _split,
    at_most,
    drawn,
    faults_of,
    length_of,
    room_for,
    summary,
    tried,
)
from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Histogram,
    Latencies,
    Number,
    Requests,
    Value,
)
from tests.engine.builders import MINUTE, PLAN, T0

SLOWER = FAULTS[-1]
X20 = FAULTS[2]


def past(minutes: int, failing: int = 1) -> Minutes:
    """Return minutes of 200 requests, `failing` of them failed, a tenth of them slow."""
    counts: dict[datetime, Value] = {}
    latencies: dict[datetime, Value] = {}
    layout = Explicit((100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0))
    for number in range(minutes):
        end = T0 + MINUTE * number
        counts[end] = CodeCounts({"2xx": 200 - failing, "5xx": failing})
        latencies[end] = Histogram(layout, {1: 180, 3: 20}, 200.0)
    return {Requests(): counts, Latencies(): latencies}


def test_a_candidate_that_is_stable_itself_is_not_rolled_back() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    found = [tried(PLAN, minutes, AS_IT_IS, Random(seed)) for seed in range(6)]
    assert not any(one.verdict == "fail" for one in found)
    assert all(one.failed == 0 for one in found)


def test_a_fault_is_caught_and_its_failed_requests_are_counted() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    found = [tried(PLAN, minutes, X20, Random(seed)) for seed in range(6)]
    assert all(one.gate == "errors" for one in found)
    assert all(one.minute is not None and one.minute < 60 for one in found)
    assert all(0 < one.failed < 600 for one in found)


def test_a_slower_candidate_is_caught_by_its_latency() -> None:
    plan = replace(PLAN, gates=PLAN.gates[1:])
    minutes = past(BEFORE + length_of(PLAN) + 30)
    tenfold = replace(SLOWER, pace=10.0)
    assert tried(plan, minutes, tenfold, Random(1)).gate == "latency"


def test_the_same_seed_gives_the_same_rollout() -> None:
    minutes = past(BEFORE + length_of(PLAN) + 30)
    assert tried(PLAN, minutes, X20, Random(7)) == tried(PLAN, minutes, X20, Random(7))


def test_a_past_shorter_than_the_plan_and_a_day_has_no_room() -> None:
    assert not room_for(PLAN, past(BEFORE + length_of(PLAN) - 10))
    assert not room_for(PLAN, {})
    with pytest.raises(ValueError, match="shorter than the plan"):
        tried(PLAN, past(100), AS_IT_IS, Random(1))
    room = room_for(PLAN, past(BEFORE + length_of(PLAN) + 31))
    assert room[1] - room[0] == timedelta(minutes=30)


def test_each_fault_is_what_it_is_called() -> None:
    assert [(one.name, one.errors, one.pace) for one in (AS_IT_IS, *FAULTS)] == [
        ("as good as stable", 1.0, 1.0),
        ("x2 failures", 2.0, 1.0),
        ("x5 failures", 5.0, 1.0),
        ("x20 failures", 20.0, 1.0),
        ("1.5x slower", 1.0, 1.5),
        ("2x slower", 1.0, 2.0),
    ]


def test_only_faults_that_some_gate_measures_are_tried() -> None:
    assert faults_of(PLAN) == (AS_IT_IS, *FAULTS)
    assert SLOWER not in faults_of(replace(PLAN, gates=PLAN.gates[:1]))


@pytest.mark.parametrize(("count", "share"), [(40, 0.1), (5000, 0.1), (5000, 0.9)])
def test_a_draw_takes_its_share(count: int, share: float) -> None:
    rng = Random(1)
    mean = sum(drawn(rng, count, share) for _ in range(400)) / 400
    assert mean == pytest.approx(count * share, rel=0.05)
    assert drawn(rng, count, 1.0) == count


def test_bounds_and_medians_are_those_of_the_tables() -> None:
    assert at_most(0, 240) == pytest.approx(0.0124, abs=2e-4)  # 1 - 0.05 ** (1 / 240)
    assert at_most(1, 20) == pytest.approx(0.2161, abs=2e-4)  # Clopper & Pearson
    many = [Tried("f", "fail", "g", minute, minute) for minute in (3, 9, 30)]
    assert summary(many) == (3, 3, 9, 14.0)
    assert summary([Tried("f", "pass", "", None, 5)]) == (1, 0, None, 5.0)
    assert at_most(3, 10) == pytest.approx(0.6066, abs=1e-4)
    assert at_most(1, 2) == pytest.approx(0.9747, abs=1e-4)
    assert (at_most(0, 0), at_most(5, 5)) == (1.0, 1.0)
    assert summary([]) == (0, 0, None, 0.0)
    assert summary([many[0], many[2]])[2] == 30


class TestTheCandidatesMinutes:
    LAYOUT = Explicit((100.0, 200.0, 400.0))

    def test_a_slower_one_has_each_request_where_twice_its_latency_lies(self) -> None:
        """The middles 50, 150, 300 become 100, 300, 600; what is beyond all limits stays."""
        value = Histogram(self.LAYOUT, {0: 3, 1: 5, 2: 2, 3: 1}, 150.0)
        slower, failed = _broken(value, Fault("2x", pace=2.0), 0.1, Random(1))
        assert slower == Histogram(self.LAYOUT, {1: 3, 2: 5, 3: 3}, 300.0)
        assert failed == 0

    def test_a_failing_one_turns_so_many_good_answers_into_errors(self) -> None:
        value = CodeCounts({"2xx": 60, "4xx": 40, "5xx": 5})
        worse, failed = _broken(value, Fault("x5", errors=5.0), 0.05, Random(1))
        assert isinstance(worse, CodeCounts)
        assert sum(worse.codes.values()) == 105
        assert worse.codes["5xx"] == 5 + failed
        assert 8 <= failed <= 32  # a fifth of a hundred
        assert worse.codes["4xx"] < 40
        all_fail, failed = _broken(value, Fault("x99", errors=99.0), 0.05, Random(1))
        assert (all_fail, failed) == (CodeCounts({"5xx": 105}), 100)

    def test_where_codes_are_told_exactly_it_answers_500(self) -> None:
        worse, _ = _broken(CodeCounts({"200": 4}), Fault("all", errors=2.0), 1.0, Random(1))
        assert worse == CodeCounts({"500": 4})

    def test_one_as_good_as_stable_and_what_a_fault_is_not_about_stay_as_they_are(self) -> None:
        counts, spread = CodeCounts({"2xx": 9}), Histogram(self.LAYOUT, {1: 9}, 150.0)
        for value in (counts, spread, Number(0.8)):
            assert _broken(value, AS_IT_IS, 0.5, Random(1)) == (value, 0)
        assert _broken(counts, SLOWER, 0.5, Random(1)) == (counts, 0)
        assert _broken(spread, X20, 0.5, Random(1)) == (spread, 0)

    def test_what_is_dealt_out_is_all_there_was(self) -> None:
        counts = CodeCounts({"2xx": 90, "5xx": 30})
        mine, rest = _split(counts, 0.5, Random(3))
        assert isinstance(mine, CodeCounts)
        assert isinstance(rest, CodeCounts)
        for code, count in counts.codes.items():
            assert mine.codes[code] + rest.codes[code] == count
        assert _split(counts, 1.0, Random(3)) == (counts, None)
        assert _split(counts, 0.0, Random(3)) == (None, counts)
        spread = Histogram(self.LAYOUT, {0: 50, 2: 50}, 120.0)
        one, other = _split(spread, 0.5, Random(3))
        assert isinstance(one, Histogram)
        assert isinstance(other, Histogram)
        assert one.mean == other.mean == 120.0
        assert one.total + other.total == 100
        assert 30 < one.total < 70

    def test_a_number_is_of_both_sides_while_both_serve(self) -> None:
        assert _split(Number(0.8), 0.5, Random(1)) == (Number(0.8), Number(0.8))
        assert _split(Number(0.8), 1.0, Random(1)) == (Number(0.8), None)


class TestOneRollout:
    MINUTES = past(BEFORE + length_of(PLAN) + 30)

    def test_a_fail_is_dated_and_what_the_fault_cost_until_it_could_be_seen_is_counted(
        self,
    ) -> None:
        one = tried(PLAN, self.MINUTES, X20, Random(1))
        assert one == Tried("x20 failures", "fail", "errors", 6, 22)
        late = replace(PLAN, evidence=replace(PLAN.evidence, delay=timedelta(minutes=20)))
        found = tried(late, self.MINUTES, X20, Random(1))
        assert (found.minute, found.failed > one.failed) == (6, True)

    def test_one_that_is_not_caught_costs_its_failures_to_the_end(self) -> None:
        twice = tried(PLAN, self.MINUTES, FAULTS[0], Random(1))
        assert (twice.verdict, twice.minute, twice.failed) == ("pass", None, 45)

    def test_it_goes_through_the_plans_stages_after_stables_day(self) -> None:
        schedule = list(_schedule(PLAN))
        assert schedule[0] == (-1440, 0)
        assert [schedule.index((n, w)) for n, w in ((-1, 0), (0, 10), (30, 50), (89, 100))] == [
            1439, 1440, 1470, 1529,
        ]  # fmt: skip
        assert len(schedule) == 1530

    def test_the_past_itself_fails_at_a_rate(self) -> None:
        assert _failing(self.MINUTES) == pytest.approx(0.005)
        assert _failing({}) == 0.0


def test_of_many_the_normal_approximation_is_drawn_and_never_more_than_there_are() -> None:
    class Far:
        def __init__(self, sigmas: float) -> None:
            self.sigmas = sigmas

        def random(self) -> float:
            raise AssertionError("few are dealt out one by one, many are not")

        def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
            return mu + self.sigmas * sigma

    assert drawn(Far(0), 100, 0.2) == 20
    assert drawn(Far(1), 100, 0.2) == 24  # a standard deviation is 4
    assert drawn(Far(99), 100, 0.2) == 100
    assert drawn(Far(-99), 100, 0.2) == 0
    with pytest.raises(AssertionError):
        drawn(Far(0), 60, 0.2)
    assert drawn(Far(0), 61, 0.2) == 12
