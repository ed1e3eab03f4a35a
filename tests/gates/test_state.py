"""What a gate carries from minute to minute: latched, forgiven, relieved, saved bit for bit."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gates.calibrate import binomial
from controller.gates.betting import Question, Terms
from controller.gates.evidence import Explicit, Histogram, Minute, Number, Value
from controller.gates.history import History
from controller.gates.judging import judge
from controller.gates.kernel import Wealth, wealth_of
from controller.gates.state import Block, State, absorb, relieved
from controller.gates.state_json import from_json, to_json
from controller.gates.tally import Tally
from controller.gates.verdict import Fail, Pass, Undecided, Why
from controller.plan.model import Gate, Limits, Versus
from tests.gates.builders import (
    ALONE,
    ARRIVAL,
    AT_100,
    BUDGET,
    COMPARED,
    ERRORS,
    FASTER,
    LEVEL,
    MEAN,
    MINUTE,
    P95,
    REQUESTS,
    SCORE,
    START,
    SUCCESS,
    TERMS,
    WITH_EMERGENCY,
    Pair,
    codes,
    failed_after,
    grown,
    mean_histogram,
    minutes,
)

GOOD: Pair = (codes(100, 0), codes(900, 1))
BAD: Pair = (codes(100, 8), codes(900, 1))
BOTH: Pair = (codes(100, 8), codes(900, 72))
DEAD: Pair = (codes(100, 100), codes(900, 1))


def restored(state: State) -> State:
    return from_json(json.loads(json.dumps(to_json(state))))


class TestAStage:
    def test_its_tally_begins_anew_and_its_wealth_goes_on(self) -> None:
        before = grown(ERRORS, [BAD] * 3)
        entered = before.in_new_stage()
        assert entered.tally == Tally()
        assert entered.wealth == before.wealth
        assert entered.log_evidence(Question.LIMIT) > 0

    def test_a_fail_in_two_stages_needs_no_more_than_in_one(self) -> None:
        at_once = failed_after(ERRORS, [BAD] * 20)
        assert at_once is not None
        state = grown(ERRORS, [BAD] * (at_once - 1)).in_new_stage()
        assert state.failed is None
        assert grown(ERRORS, [BAD] * 2, state=state).failed is Question.LIMIT

    def test_the_tail_of_the_stage_before_is_evidence_and_no_sample(self) -> None:
        state = State()
        for minute in minutes([BAD] * 20):
            state = absorb(ERRORS, TERMS, state, minute, in_stage=False)
        assert state.tally == Tally()
        assert state.failed is Question.LIMIT

    def test_a_release_that_turns_bad_after_hours_is_not_forgiven_for_its_past(self) -> None:
        early = failed_after(ERRORS, [BAD] * 60)
        late = failed_after(ERRORS, [*[GOOD] * 600, *[BAD] * 60])
        assert early is not None
        assert late is not None
        assert late - 600 <= 3 * early


class TestLatch:
    def test_a_fail_stays_however_well_it_goes_afterwards(self) -> None:
        failed = grown(ERRORS, [BAD] * 20)
        assert failed.failed is Question.LIMIT
        after = grown(ERRORS, [GOOD] * 3000, state=failed)
        assert (after.failed, after.failed_at) == (failed.failed, failed.failed_at)
        assert isinstance(judge(ERRORS, TERMS, after), Fail)

    def test_the_minute_of_the_fail_is_known_however_late_anybody_looks(self) -> None:
        number = failed_after(ERRORS, [BAD] * 60)
        assert number is not None
        assert grown(ERRORS, [BAD] * 60).failed_at == START + MINUTE * number

    def test_an_emergency_supersedes_another_fail_and_nothing_supersedes_it(self) -> None:
        first = grown(WITH_EMERGENCY, [BAD] * 20)
        assert first.failed is Question.LIMIT
        worse = grown(WITH_EMERGENCY, [DEAD] * 20, state=first)
        assert worse.failed is Question.EMERGENCY
        verdict = judge(WITH_EMERGENCY, TERMS, worse)
        assert isinstance(verdict, Fail)
        assert verdict.emergency
        assert grown(WITH_EMERGENCY, [BAD] * 60, state=worse).failed is Question.EMERGENCY

    def test_a_dead_candidate_fails_within_a_few_minutes_and_not_in_one(self) -> None:
        calm = replace(TERMS, history=History(1.0, 100.0, None, 0.002))
        number = failed_after(ERRORS, [DEAD] * 10, calm)
        assert number is not None
        assert 2 <= number <= 4  # ceil((ln(1/0.008) + ln 2) / 2.3) + 1

    def test_gates_that_only_advance_never_fail(self) -> None:
        slow = [(mean_histogram(100, 900.0), mean_histogram(100, 100.0))] * 300
        assert failed_after(FASTER, slow) is None
        assert failed_after(REQUESTS, [DEAD] * 60) is None


class TestForgiven:
    def test_it_bets_anew_on_what_it_had_failed_by(self) -> None:
        forgiven = grown(ERRORS, [BAD] * 20).forgiven()
        assert (forgiven.failed, forgiven.failed_at) == (None, None)
        assert forgiven.log_evidence(Question.LIMIT) == 0
        assert forgiven.log_evidence(Question.STABLE) == 0
        assert grown(ERRORS, [GOOD] * 60, state=forgiven).failed is None
        assert grown(ERRORS, [BAD] * 60, state=forgiven).failed is Question.LIMIT

    def test_what_spoke_for_an_emergency_is_kept_unless_it_was_the_emergency(self) -> None:
        some = grown(WITH_EMERGENCY, [(codes(100, 25), codes(900, 1))] * 8)
        assert some.failed is Question.LIMIT
        evidence = some.log_evidence(Question.EMERGENCY)
        assert some.forgiven().log_evidence(Question.EMERGENCY) == evidence
        emergency = grown(WITH_EMERGENCY, [DEAD] * 20)
        assert emergency.forgiven().log_evidence(Question.EMERGENCY) == 0

    def test_nothing_that_happened_before_is_held_against_both(self) -> None:
        both_then_alone = grown(ERRORS, [*[BOTH] * 30, *[DEAD] * 30])
        assert both_then_alone.failed is not None
        forgiven = both_then_alone.forgiven()
        assert (forgiven.failing_since, forgiven.rise) == (None, None)
        verdict = judge(ERRORS, TERMS, grown(ERRORS, [GOOD] * 10, state=forgiven.in_new_stage()))
        assert isinstance(verdict, Pass)

    def test_a_state_that_did_not_fail_has_nothing_to_be_forgiven(self) -> None:
        state = grown(ERRORS, [BAD] * 2)
        assert state.forgiven() is state


class TestBothFailing:
    def test_it_is_noted_when_it_began_and_not_when_it_was_proved(self) -> None:
        state = grown(ERRORS, [*[GOOD] * 30, *[BOTH] * 30])
        assert state.failing_since == START + MINUTE * 31
        assert state.failed is None

    def test_what_both_have_suffered_since_is_counted(self) -> None:
        state = grown(ERRORS, [*[GOOD] * 30, *[BOTH] * 30])
        assert state.rise is not None
        assert state.rise.share == pytest.approx(0.08)
        assert state.rise.seen.of_mine + state.rise.seen.of_theirs == 30 * 1000

    def test_a_rise_that_comes_to_nothing_is_forgotten(self) -> None:
        risen = grown(ERRORS, [GOOD, BOTH])
        assert risen.rise is not None
        assert risen.rise.since == START + MINUTE * 2
        assert grown(ERRORS, [GOOD] * 60, state=risen).rise is None

    def test_stable_must_fail_as_well_else_it_is_only_not_yet_proved(self) -> None:
        few = [(codes(1, 1), codes(30, 0))] * 4
        state = grown(ERRORS, few)
        assert state.failed is None
        assert state.failing_since is None

    def test_an_incident_that_was_not_proved_is_no_sample_either(self) -> None:
        short = (codes(12, 2), codes(228, 38))
        state = grown(ERRORS, [*[(codes(12, 0), codes(228, 0))] * 30, *[short] * 3])
        assert state.failing_since is None
        after = grown(ERRORS, [(codes(12, 0), codes(228, 0))] * 20, state=state)
        assert after.tally.candidate.hits == 0
        alone = grown(ERRORS, [(codes(12, 2), codes(228, 0))] * 3)
        kept = grown(ERRORS, [(codes(12, 0), codes(228, 0))] * 20, state=alone)
        assert kept.tally.candidate.hits == 6

    def test_nor_is_one_that_ends_within_a_single_minute_of_much_traffic(self) -> None:
        busy, hit = (codes(3000, 6), codes(9000, 18)), (codes(3000, 600), codes(9000, 1800))
        state = grown(ERRORS, [*[busy] * 10, hit, *[busy] * 10])
        assert state.failing_since is None
        assert state.tally.candidate.hits == 20 * 6

    def test_it_is_over_once_both_are_well_again(self) -> None:
        failing = grown(ERRORS, [BOTH] * 30)
        assert failing.failing_since is not None
        well = grown(ERRORS, [GOOD] * 30, state=failing)
        assert (well.failing_since, well.rise) == (None, None)
        assert well.log_evidence(Question.LIMIT) < 1  # asked anew
        assert well.tally.candidate.hits < 100  # the incident is no sample of the candidate
        still = grown(ERRORS, [BOTH] * 300, state=failing)
        assert still.failing_since == failing.failing_since

    def test_the_comparison_is_not_asked_anew(self) -> None:
        failing = grown(ERRORS, [BOTH] * 30)
        assert relieved(failing).wealth[Question.STABLE] == failing.wealth[Question.STABLE]

    def test_a_candidate_that_then_fails_alone_is_rolled_back(self) -> None:
        failing = grown(ERRORS, [BOTH] * 30)
        assert grown(ERRORS, [DEAD] * 30, state=failing).failed is Question.LIMIT

    def test_a_second_incident_is_noted_as_a_second_one(self) -> None:
        state = grown(ERRORS, [*[BOTH] * 30, *[GOOD] * 60, *[BOTH] * 30])
        assert state.failing_since == START + MINUTE * 91


class TestAnd:
    """Over the limit AND worse than stable, in seeded rollouts of noise and shared incidents."""

    KNOWN = replace(TERMS, history=History(1.0, 100.0, None, 0.01))

    def rollouts(self, candidate: float, stable: float, shared: float, count: int = 20) -> int:
        """Return how many rollouts of two hours fail; in every fifth minute `shared` is added."""
        failed = 0
        for seed in range(count):
            rng = random.Random(seed)
            pairs = []
            for number in range(120):
                more = shared if number % 5 == 0 else 0.0
                mine, theirs = (
                    binomial(rng, 60, candidate + more),
                    binomial(rng, 240, stable + more),
                )
                pairs.append((codes(60, mine), codes(240, theirs)))
            failed += failed_after(ERRORS, pairs, self.KNOWN) is not None
        return failed

    def test_over_the_limit_and_not_worse_never_fails(self) -> None:
        assert self.rollouts(0.005, 0.005, 0.20) == 0
        assert self.rollouts(0.05, 0.05, 0.0) == 0

    def test_worse_and_within_the_limit_never_fails(self) -> None:
        assert self.rollouts(0.015, 0.001, 0.0) == 0

    def test_over_the_limit_and_worse_fails(self) -> None:
        assert self.rollouts(0.06, 0.01, 0.0) == 20
        assert self.rollouts(0.08, 0.01, 0.05) == 20

    def test_worse_alone_and_over_the_limit_alone_would_have_failed(self) -> None:
        """So that the two above are no accident of too little evidence."""
        rng = random.Random(1)
        worse = [(codes(60, binomial(rng, 60, 0.015)), codes(240, binomial(rng, 240, 0.001)))
                 for _ in range(240)]  # fmt: skip
        assert failed_after(COMPARED, worse, self.KNOWN) is not None
        over = [(codes(60, binomial(rng, 60, 0.05)), codes(240, 12)) for _ in range(120)]
        assert failed_after(ALONE, over, self.KNOWN) is not None


class TestBudget:
    def test_the_excess_is_what_stables_rate_does_not_explain(self) -> None:
        assert grown(BUDGET, [(codes(100, 5), codes(900, 9))] * 10).excess == pytest.approx(40)
        assert grown(BUDGET, [(codes(100, 1), codes(900, 90))] * 10).excess == pytest.approx(-90)

    def test_a_minute_without_stable_is_held_against_its_last_day(self) -> None:
        known = replace(TERMS, history=History(reference=0.02))
        assert grown(BUDGET, [(codes(100, 5), None)] * 10, known).excess == pytest.approx(30)

    def test_it_is_counted_through_all_stages(self) -> None:
        state = grown(BUDGET, [(codes(100, 5), codes(900, 9))] * 5).in_new_stage()
        assert grown(BUDGET, [(codes(100, 5), codes(900, 9))] * 5, state=state).excess == (
            pytest.approx(40)
        )

    def test_chance_alone_spends_no_budget(self) -> None:
        for seed in range(20):
            rng = random.Random(seed)
            alike = [(codes(100, binomial(rng, 100, 0.05)), codes(100, binomial(rng, 100, 0.05)))
                     for _ in range(200)]  # fmt: skip
            assert failed_after(BUDGET, alike) is None

    def test_it_acts_within_every_limit(self) -> None:
        within = [(codes(1000, 8), codes(9000, 9))] * 120
        assert failed_after(ERRORS, within) is None
        assert failed_after(BUDGET, within) is not None


class TestBlocksOfMeans:
    def test_a_score_bets_by_the_minute_and_a_ratio_of_means_by_five(self) -> None:
        assert grown(SCORE, [(Number(0.8), Number(0.8))]).wealth
        four = grown(MEAN, [(mean_histogram(9, 300.0), mean_histogram(9, 300.0))] * 4)
        assert not four.wealth
        assert four.block.minutes == 4
        five = grown(MEAN, [(mean_histogram(9, 300.0), mean_histogram(9, 300.0))], state=four)
        assert five.wealth
        assert five.block == Block()

    def test_where_stables_minutes_were_alike_more_of_them_are_one(self) -> None:
        terms = replace(TERMS, history=History(block=3))
        assert not grown(SCORE, [(Number(0.8), Number(0.8))] * 2, terms).wealth
        assert grown(SCORE, [(Number(0.8), Number(0.8))] * 3, terms).wealth

    def test_stable_is_compared_over_the_minutes_in_which_both_had_a_value(self) -> None:
        terms = replace(TERMS, history=History(block=2))
        gap = grown(SCORE, [(Number(0.2), None), (Number(0.8), Number(0.8))], terms)
        both = grown(SCORE, [(Number(0.8), Number(0.8))] * 2, terms)
        assert gap.wealth[Question.STABLE] == both.wealth[Question.STABLE]
        assert gap.wealth[Question.LIMIT] != both.wealth[Question.LIMIT]

    def test_a_minute_without_the_candidate_is_no_minute(self) -> None:
        state = grown(SCORE, [(None, Number(0.1))] * 60)
        assert (state.wealth, state.block) == ({}, Block())

    def test_one_wild_minute_fails_no_mean(self) -> None:
        pairs: list[Pair] = [(Number(0.8), Number(0.8))] * 60
        assert failed_after(SCORE, [*pairs, (Number(0.0), Number(0.8)), *pairs]) is None
        usual: list[Pair] = [(mean_histogram(9, 200.0), mean_histogram(90, 200.0))] * 60
        wild: Pair = (mean_histogram(9, 90_000.0), mean_histogram(90, 200.0))
        assert failed_after(MEAN, [*usual, wild, *usual]) is None


# ---- for any minutes at all ----

BOUNDS = Explicit((100.0, 300.0, 350.0, 1000.0))
CODES = st.builds(
    lambda failed, more: codes(failed + more, failed), st.integers(0, 40), st.integers(0, 400)
)
HISTOGRAMS = st.builds(
    lambda counts: Histogram(BOUNDS, {i: n for i, n in enumerate(counts) if n}, 200.0),
    st.tuples(*[st.integers(0, 40)] * 5),
)
MEANS = st.builds(mean_histogram, st.integers(1, 40), st.floats(0, 2000))
NUMBERS = st.builds(Number, st.floats(0, 1))
ANY_GATE: st.SearchStrategy[tuple[Gate, st.SearchStrategy[Value]]] = st.sampled_from(
    [
        (ERRORS, CODES),
        (WITH_EMERGENCY, CODES),
        (COMPARED, CODES),
        (replace(COMPARED, versus_stable=Versus(worse_by=0.02)), CODES),
        (SUCCESS, CODES),
        (P95, HISTOGRAMS),
        (MEAN, MEANS),
        (FASTER, MEANS),
        (SCORE, NUMBERS),
        (ARRIVAL, CODES),
        (BUDGET, CODES),
        (REQUESTS, CODES),
    ]
)
TERMS_OF_ANY = st.builds(
    Terms,
    st.just(LEVEL),
    st.sampled_from([10, 50, 100]),
    history=st.sampled_from([History(), History(2.0, 50.0, 300.0, 0.05, 2)]),
    proves=st.booleans(),
)


@st.composite
def rollouts(draw: st.DrawFn) -> tuple[Gate, Terms, list[Minute]]:
    gate, values = draw(ANY_GATE)
    value: st.SearchStrategy[Value | None] = st.none() | values
    pairs = draw(st.lists(st.tuples(value, value), min_size=1, max_size=30))
    return gate, draw(TERMS_OF_ANY), minutes(pairs)


def states(gate: Gate, terms: Terms, seen: Sequence[Minute], state: State) -> State:
    for minute in seen:
        state = absorb(gate, terms, state, minute, in_stage=True)
    return state


@given(rollouts(), st.data())
@settings(max_examples=50)
def test_saved_and_read_again_anywhere_it_goes_on_to_the_same_bit(
    rollout: tuple[Gate, Terms, list[Minute]], data: st.DataObject
) -> None:
    gate, terms, seen = rollout
    straight, saved = State(), State()
    for minute in seen:
        straight = absorb(gate, terms, straight, minute, in_stage=True)
        saved = absorb(gate, terms, saved, minute, in_stage=True)
        if data.draw(st.booleans()):
            saved = restored(saved)
    assert to_json(saved) == to_json(straight)
    assert saved == straight
    assert judge(gate, terms, saved) == judge(gate, terms, straight)


@given(rollouts())
@settings(max_examples=50)
def test_once_failed_it_is_failed_and_no_minute_before_knows_it(
    rollout: tuple[Gate, Terms, list[Minute]],
) -> None:
    gate, terms, seen = rollout
    end = states(gate, terms, seen, State())
    state = State()
    for minute in seen:
        state = absorb(gate, terms, state, minute, in_stage=True)
        if end.failed_at is not None and minute.end >= end.failed_at:
            assert state.failed is not None
            assert state.failed_at is not None
            assert state.failed_at <= end.failed_at
        elif end.failed_at is None:
            assert state.failed is None


@given(rollouts())
@settings(max_examples=40)
def test_judging_changes_nothing_and_always_has_a_sentence(
    rollout: tuple[Gate, Terms, list[Minute]],
) -> None:
    gate, terms, seen = rollout
    state = states(gate, terms, seen, State())
    verdict = judge(gate, terms, state)
    assert verdict == judge(gate, terms, state)
    assert verdict.reason
    assert isinstance(verdict, Pass | Fail | Undecided)
    assert isinstance(verdict, Fail) == (state.failed is not None)
    assert 0 <= verdict.figures.spent <= 1
    if isinstance(verdict, Undecided):
        assert verdict.why in Why


def test_what_is_no_state_is_a_value_error() -> None:
    good = to_json(grown(ERRORS, [BOTH] * 30))
    for key, wrong in [
        ("t", None),
        ("w", {"?": good["w"]["l"]}),
        ("w", []),
        ("b", "?"),
        ("f", "?"),
        ("u", ["nan", None, 0, 0]),
        ("u", [good["u"][0], "2026-01-05T09:00", 0, 0]),
        ("u", [good["u"][0], None, -1, 0]),
        ("k", [1]),
        ("x", "inf"),
    ]:
        with pytest.raises(ValueError, match=r"."):
            from_json({**good, key: wrong})
    assert from_json(good) == grown(ERRORS, [BOTH] * 30)


def test_at_100_only_the_last_day_is_left_to_compare_with() -> None:
    known = replace(AT_100, history=History(1.0, 100.0, None, 0.10))
    assert failed_after(ERRORS, [(codes(100, 8), None)] * 60, known) is None
    assert failed_after(ERRORS, [(codes(100, 8), None)] * 60, AT_100) is not None


def test_a_gate_that_was_stepped_back_from_fails_by_an_emergency_only() -> None:
    """What its minutes still say has led to the step back already."""
    worse = [(codes(100, 30), codes(900, 1))] * 10
    left = replace(WITH_EMERGENCY, limits=Limits(emergency=0.9), versus_stable=None)
    grown_before = grown(replace(WITH_EMERGENCY, limits=Limits(0.01, None, 0.02, 0.9)), worse)
    assert grown_before.failed is not None
    again = replace(grown_before, failed=None, failed_at=None)
    assert grown(left, worse, state=again).failed is None


def test_bets_of_another_question_are_not_gone_on_with() -> None:
    """A gate whose limits changed places its bets elsewhere; it begins anew, and nothing breaks."""
    few = State(wealth={Question.LIMIT: wealth_of(-1.0, (0.0, 0.0))})
    state = grown(ERRORS, [(codes(100, 0), codes(900, 0))], state=few)
    fresh = grown(ERRORS, [(codes(100, 0), codes(900, 0))])
    assert state.wealth[Question.LIMIT] == fresh.wealth[Question.LIMIT]


def test_over_the_limit_with_no_rise_is_nobody_elses_failure_below_100() -> None:
    """The minutes that spoke against it have passed; nothing of stable is known to fail."""
    proved: Mapping[Question, Wealth] = {Question.LIMIT: wealth_of(10.0, ())}
    beside = (codes(1, 0), codes(9, 0))
    assert grown(ERRORS, [beside], state=State(wealth=proved)).failing_since is None
    alone = (codes(1, 0), None)
    usual = replace(AT_100, history=History(1.0, 1000.0, None, 0.05))
    assert grown(ERRORS, [alone], usual, State(wealth=proved)).failing_since is not None
