"""Kayenta's judge as its classifier and its Mann-Whitney interval define it."""

from __future__ import annotations

from random import Random
from statistics import median

from benchmarks.gates.cells import Candidate, Cell
from benchmarks.gates.driver import End, roll_out
from benchmarks.gates.kayenta import Class, Kayenta, classify, shifted_above
from benchmarks.gates.policy import Verdict
from benchmarks.gates.worlds import MinuteSample, World


def minutes(mean: float, seed: int, count: int = 30) -> list[float]:
    rng = Random(seed)
    return [rng.gauss(mean, 2.0) for _ in range(count)]


def test_a_metric_twice_as_high_is_high_half_as_high_is_low_and_alike_passes() -> None:
    assert classify(minutes(10, 1), minutes(20, 2)) is Class.HIGH
    assert classify(minutes(20, 1), minutes(10, 2)) is Class.LOW
    assert classify(minutes(10, 1), minutes(10, 2)) is Class.PASS


def test_no_values_are_no_data_and_equal_values_pass() -> None:
    assert classify([], [1.0]) is Class.NODATA
    assert classify([1.0], []) is Class.NODATA
    assert classify([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]) is Class.PASS
    assert classify([0.0] * 5, [0.0] * 9) is Class.PASS


def test_the_interval_holds_the_median_of_the_differences() -> None:
    ours, theirs = minutes(12, 3), minutes(10, 4)
    middle = median(a - b for a in ours for b in theirs)
    assert not shifted_above(ours, theirs, middle)
    assert not shifted_above(theirs, ours, -middle)


def test_the_interval_ends_at_an_ordered_difference() -> None:
    # Inverting a rank test gives order statistics of the differences (Hodges and Lehmann 1963):
    # at 30 x 30, 95%, normal approximation, the 317th from below (Conover 1999, §5.1).
    ours, theirs = minutes(12, 3), minutes(10, 4)
    differences = sorted(a - b for a in ours for b in theirs)
    assert shifted_above(ours, theirs, differences[313], confidence=0.95)
    assert not shifted_above(ours, theirs, differences[319], confidence=0.95)


def test_a_shift_smaller_than_a_quarter_of_the_estimate_is_not_high() -> None:
    # Significant (above 0), but its interval begins below a quarter of the estimated shift.
    ours = [10.06, 10.07, 10.08, 12.0, 10.1, 13.0, 14.0, 13.0]
    theirs = [10.0, 9.9, 9.8, 10.05, 9.7, 9.6, 10.01, 9.5]
    assert shifted_above(ours, theirs, 0.0)
    assert classify(theirs, ours) is Class.PASS
    assert classify(theirs, ours, tolerance=0.01) is Class.HIGH


def test_a_larger_allowed_increase_lets_more_pass() -> None:
    assert classify(minutes(10, 1), minutes(20, 2), allowed_increase=3) is Class.PASS


def test_the_score_of_a_high_metric_ends_the_analysis_at_the_next_judgement() -> None:
    cell = Cell("k", 20.0, 0.005, Candidate("x", 0.2, bad=True))
    policy = Kayenta()
    policy.begin(cell, list)
    verdicts = [
        policy.look(t, 0, t + 1, MinuteSample(t, 5, 60, 10 + t % 3, 1140, 5 + t % 2, 0.0))
        for t in range(10)
    ]
    assert verdicts == [Verdict.GO_ON] * 9 + [Verdict.ROLL_BACK]


def test_an_incident_that_hits_both_sides_passes() -> None:
    cell = Cell("k", 20.0, 0.005, Candidate("equal", 0.005, bad=False))
    policy = Kayenta()
    policy.begin(cell, list)
    rng = Random(5)
    for t in range(30):
        rate = 0.2 if 10 <= t < 20 else 0.005
        ours, theirs = (round(n * rate * rng.uniform(0.8, 1.2)) for n in (600, 5400))
        verdict = policy.look(t, 0, t + 1, MinuteSample(t, 5, 600, ours, 5400, theirs, 0.0))
        assert verdict is not Verdict.ROLL_BACK


def test_a_dead_candidate_does_not_pass_its_first_stage() -> None:
    cell = Cell("dead", 20.0, 0.005, Candidate("dead", 1.0, bad=True))
    outcome = roll_out(World(cell, 0), Kayenta())
    assert outcome.end is End.ROLLED_BACK
    assert outcome.minute < cell.hold
