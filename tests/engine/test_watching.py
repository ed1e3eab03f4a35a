"""Which minutes are read, by what they are judged, and what is carried from stage to stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.engine.observation import NotSeen, Observation, OwnRequest, Seen, Window
from controller.engine.record import Accumulated, Act, OwnCount, Record, Shift, Trial
from controller.engine.watching import (
    _moved_in_test,
    _tail,
    absorbing,
    covered,
    delay_of,
    entered,
    judged_stage,
    last_seen,
    queries,
    served_in_stage,
    stage_of,
    terms_of,
    warmed_up,
    watch,
    watermark,
    windows,
)
from controller.gates.betting import Question
from controller.gates.evidence import CodeCounts, Latencies, Minute, Query, Requests
from controller.gates.history import History
from controller.gates.kernel import wealth_of
from controller.gates.state import State
from controller.gates.tally import Side, Tally
from controller.plan.model import (
    CustomMetric,
    Gate,
    Limits,
    Needs,
    OnFail,
    Plan,
    RequestCount,
    Stage,
)
from tests.engine.builders import (
    ERRORS,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    SLOW,
    T0,
    at,
    running,
    service_of,
    starting,
)

SECOND = timedelta(seconds=1)
QUERY = CustomMetric("custom/score")
SCORE = Gate("score", QUERY, Limits(minimum=0.7, roll_back=0.6), None)
HALF = 30 * MINUTE
STAGES = (Stage(10, HALF), Stage(50, HALF), Stage(100, HALF))
BOTH: Plan = replace(PLAN, gates=(ERRORS, SCORE), stages=STAGES)


class TestWindows:
    def test_from_where_a_gate_is_to_what_has_settled_by_its_own_delay(self) -> None:
        found = windows(BOTH, running(), at(20.5))
        assert found == {Requests(): Window(at(1), at(16)), QUERY: Window(at(1), at(10))}
        assert (delay_of(BOTH, Requests()), delay_of(BOTH, Latencies())) == (4 * MINUTE, 4 * MINUTE)

    def test_a_gate_goes_on_from_its_watermark_the_one_furthest_back_decides(self) -> None:
        two = replace(PLAN, gates=(ERRORS, replace(ERRORS, name="other")))
        gates = {"errors": Accumulated(at(9)), "other": Accumulated(at(7))}
        own = [gate.name for gate in two.gates_at(0) if gate.name not in gates]
        known = {**gates, **{name: Accumulated(at(12)) for name in own}}
        assert windows(two, running(gates=known), at(20)) == {Requests(): Window(at(7), at(16))}

    @pytest.mark.parametrize(("minute", "some"), [(5, False), (5.99, False), (6, True)])
    def test_nothing_before_the_first_minute_has_settled(
        self,
        minute: float,
        some: bool,  # noqa: FBT001
    ) -> None:
        only = replace(PLAN, gates=(ERRORS,))
        assert bool(windows(only, running(), at(minute))) is some

    def test_nothing_before_the_first_shift_nor_of_a_stage_that_is_not_there(self) -> None:
        assert windows(BOTH, starting(), at(20)) == {}
        assert windows(BOTH, running(stage=0, came_from=-1, shift=Shift(T0, 0)), at(20)) == {}
        assert windows(BOTH, replace(running(), stage=3), at(20)) == {}

    def test_while_shifting_of_the_stage_before(self) -> None:
        later = replace(BOTH, stages=(STAGES[0], replace(STAGES[1]), STAGES[2]))
        record = running(1, later, shift=Shift(at(15), 10), came_from=0, in_force=None)
        record = replace(record, gates={"errors": Accumulated(at(9))})
        assert judged_stage(record) == 0
        assert judged_stage(running(1)) == 1
        assert windows(later, record, at(20)) == {Requests(): Window(at(9), at(16))}

    def test_a_gate_that_has_seen_nothing_begins_with_its_stage(self) -> None:
        assert watermark(BOTH, running(), "errors") == at(1)
        assert watermark(BOTH, running(in_force=T0 + SECOND), "errors") == at(2)
        assert watermark(BOTH, running(in_force=None), "errors") is None
        known = running(gates={"errors": Accumulated(at(7))}, in_force=None)
        assert watermark(BOTH, known, "errors") == at(7)


class TestStages:
    def test_before_the_first_and_after_the_last_there_is_none(self) -> None:
        assert stage_of(PLAN, starting()) is None
        assert stage_of(PLAN, replace(running(), stage=3)) is None
        assert stage_of(PLAN, running(2)) is PLAN.stages[2]

    def test_cold_starts_are_no_evidence_of_what_needs_warming_up(self) -> None:
        arrival = next(gate for gate in PLAN.gates_at(0) if gate.name not in ("errors", "latency"))
        found = {g.name: warmed_up(PLAN, running(), g) for g in (ERRORS, SLOW, SCORE, arrival)}
        assert found == {"errors": at(1), "latency": at(3), "score": at(3), arrival.name: at(3)}

    def test_each_gate_asks_its_own_metric(self) -> None:
        found = queries(BOTH, 0)
        assert (found["errors"], found["score"]) == (Requests(), QUERY)


class TestTerms:
    def test_the_weight_in_force_and_the_day_before(self) -> None:
        usual = {"errors": History(1.0, 900.0, None, 0.002)}
        here = terms_of(PLAN, running(1, history=usual), ERRORS)
        assert (here.weight, here.history) == (50, usual["errors"])
        assert terms_of(PLAN, running(1), ERRORS).history == History()
        shifting = running(1, shift=Shift(T0, 10), came_from=0, weight_before=10)
        assert terms_of(PLAN, shifting, ERRORS).weight == 10

    @pytest.mark.parametrize(
        ("hold", "per_minute", "updates"),
        [
            (HALF, 0.0, 120),
            (600 * MINUTE, 0.0, 600),
            (600 * MINUTE, 1e6, 600),
            (600 * MINUTE, 10.0, 379.27),
        ],
    )
    def test_bets_are_spread_over_the_minutes_that_will_have_a_request(
        self, hold: timedelta, per_minute: float, updates: float
    ) -> None:
        plan = replace(PLAN, stages=(Stage(10, hold), Stage(100, hold)))
        record = running(plan=plan, history={"errors": History(1.0, per_minute)})
        assert terms_of(plan, record, ERRORS).spread == pytest.approx(updates, rel=1e-4)

    def test_proofs_are_asked_for_where_the_plan_needs_them(self) -> None:
        assert not terms_of(PLAN, running(), ERRORS).proves
        proof = replace(PLAN, evidence=replace(PLAN.evidence, needs=Needs.PROOF))
        assert terms_of(proof, running(), ERRORS).proves


def minute(number: float, mine: int = 10, failed: int = 0, theirs: int = 90) -> Minute:
    return Minute(
        at(number), CodeCounts({"2xx": mine - failed, "5xx": failed}), CodeCounts({"2xx": theirs})
    )


def absorbed(
    record: Record, *minutes: Minute, gate: Gate = ERRORS, since: float = 0
) -> list[tuple[float, int]]:
    """Return the minutes that are evidence, each with the candidate's requests so far."""
    terms = terms_of(PLAN, record, gate)
    found = absorbing(PLAN, record, gate, terms, Accumulated(at(since)), minutes)
    return [((end - T0) / MINUTE, state.tally.candidate.total) for end, state in found]


class TestWhichMinutesAreEvidence:
    def test_those_after_the_watermark_and_after_the_split_has_settled(self) -> None:
        many = tuple(minute(n) for n in range(1, 6))
        assert absorbed(running(), *many, since=2) == [(3, 10), (4, 20), (5, 30)]
        assert absorbed(running(), *many) == [(2, 10), (3, 20), (4, 30), (5, 40)]
        assert absorbed(running(), *many, since=5) == []

    def test_until_it_has_settled_the_stage_before_judges_and_nothing_counts_for_this_one(
        self,
    ) -> None:
        record = running(1, came_from=0, weight_before=10, in_force=at(10))
        many = tuple(minute(n) for n in range(9, 14))
        assert absorbed(record, *many, since=8) == [(9, 0), (10, 0), (11, 0), (12, 10), (13, 20)]
        first = running(0, came_from=-1, in_force=at(10))
        assert absorbed(first, *many, since=8) == [(12, 10), (13, 20)]

    def test_what_needs_warming_up_is_the_stage_befores_until_it_came_into_force(self) -> None:
        record = running(1, came_from=0, weight_before=10, in_force=at(10.5))
        earlier, until = _tail(PLAN, record, SLOW) or (None, None)
        assert (earlier, until) == (SLOW, at(11))
        assert (_tail(PLAN, record, ERRORS) or (None, None))[1] == at(12)
        assert _tail(PLAN, record, SCORE) is None

    def test_while_shifting_all_of_it_is_the_stage_befores(self) -> None:
        record = running(1, came_from=0, weight_before=10, in_force=None, shift=Shift(at(5), 10))
        assert absorbed(record, minute(1), minute(2)) == [(1, 10), (2, 20)]

    def test_of_a_stage_that_was_stepped_back_from_only_an_emergency_leads_further(self) -> None:
        steps = replace(ERRORS, on_fail=OnFail.STEP_BACK)
        plan = replace(PLAN, gates=(steps, SLOW))
        back = running(0, plan, came_from=1, weight_before=50, in_force=at(10))
        earlier, _ = _tail(plan, back, steps) or (None, None)
        assert earlier is not None
        assert earlier.limits == Limits(maximum=0.01, roll_back=None, emergency=0.5)
        assert earlier.versus_stable is None
        forward = running(1, plan, came_from=0, weight_before=10, in_force=at(10))
        assert (_tail(plan, forward, steps) or (None,))[0] == steps
        other = replace(back, came_from=0)
        assert (_tail(plan, other, steps) or (None,))[0] == steps
        assert (_tail(PLAN, replace(back, plan=""), ERRORS) or (None,))[0] == ERRORS

    def test_in_a_test_what_arrived_while_its_split_settled_is_left_out(self) -> None:
        trial = Trial("errors", at(10.5), 0.1)
        record = running(1, trial=trial, weight=10, weight_before=50, came_from=1)
        assert _moved_in_test(PLAN, record, ERRORS) == (at(12), at(12))
        assert _moved_in_test(PLAN, record, SLOW) == (at(11), at(14))
        raised = replace(record, trial=replace(trial, raised=at(20)))
        assert _moved_in_test(PLAN, raised, ERRORS) == (at(21), at(21))
        many = tuple(minute(n) for n in range(8, 16))
        seen = absorbed(record, *many, since=8)
        assert seen == [(9, 10), (10, 20), (11, 30), (12, 40), (13, 50), (14, 60), (15, 70)]
        slow = [end for end, _ in absorbed(record, *many, gate=SLOW, since=8)]
        assert slow == [9, 10, 11, 15]
        assert _moved_in_test(PLAN, running(), ERRORS) is None
        assert _moved_in_test(PLAN, replace(record, shift=Shift(T0, 50)), ERRORS) is None


class TestEntering:
    """Tallies begin anew with a stage, bets go on."""

    STATE = State(
        tally=Tally(Side(3, 30, 1), Side(3, 90, 1)),
        wealth={Question.PROOF: wealth_of(5.0, ()), Question.LIMIT: wealth_of(1.0, ())},
    )

    def enter(self, plan: Plan = BOTH, **changes: Any) -> Any:
        record = running(
            1,
            plan,
            **{"came_from": 0, "gates": {"errors": Accumulated(at(9), self.STATE)}, **changes},
        )
        return entered(plan, record)["errors"]

    def test_where_its_limit_stays_the_same_all_of_it_is_kept(self) -> None:
        kept = self.enter(in_force=at(20))
        assert kept.watermark == at(9)
        assert kept.state.tally == Tally()
        assert kept.state.wealth == self.STATE.wealth

    def test_another_limit_to_advance_is_another_question(self) -> None:
        stricter = {"errors": Limits(maximum=0.005, roll_back=0.02)}
        plan = replace(BOTH, stages=(STAGES[0], replace(STAGES[1], limits=stricter), STAGES[2]))
        assert set(self.enter(plan).state.wealth) == {Question.LIMIT}
        assert set(self.enter(plan, came_from=-1).state.wealth) == set(self.STATE.wealth)

    def test_a_gate_that_the_stage_before_did_not_judge_starts_here(self) -> None:
        late = replace(ERRORS, stages=frozenset({50}))
        plan = replace(BOTH, gates=(late, SCORE))
        assert self.enter(plan, in_force=at(20)).watermark == at(21)
        assert self.enter(plan, in_force=at(20), came_from=1).watermark == at(9)
        first = replace(BOTH, gates=(replace(ERRORS, stages=frozenset({10})), SCORE))
        back = running(0, first, came_from=1, in_force=at(20), gates={"errors": Accumulated(at(9))})
        assert entered(first, back)["errors"].watermark == at(21)


class TestCoverage:
    NAMES = tuple(gate.name for gate in PLAN.gates_at(0))

    def gates(self, **watermarks: float) -> dict[str, Accumulated]:
        return {name: Accumulated(at(watermarks.get(name, 30))) for name in self.NAMES}

    @pytest.mark.parametrize(("until", "is_covered"), [(30, True), (30.9, True), (31, False)])
    def test_every_gate_must_have_come_so_far(
        self,
        until: float,
        is_covered: bool,  # noqa: FBT001
    ) -> None:
        assert covered(PLAN, running(gates=self.gates()), at(until)) is is_covered
        assert not covered(PLAN, running(gates=self.gates(errors=29)), at(30))
        few = self.gates()
        del few["latency"]
        assert not covered(PLAN, running(gates=few), at(30))

    def test_monitoring_answered_last_when_the_slowest_was_read_or_could_first_be(self) -> None:
        assert last_seen(PLAN, running(gates=self.gates())) == at(34)
        assert last_seen(PLAN, running(gates=self.gates(errors=20))) == at(24)
        assert last_seen(PLAN, running()) == at(11)
        assert last_seen(PLAN, running(gates=self.gates(errors=5))) == at(11)
        late = replace(BOTH, evidence=replace(BOTH.evidence, delay=20 * MINUTE))
        assert last_seen(late, running(plan=late)) == at(21)

    def test_what_a_stage_served_is_what_its_requests_were_counted_to(self) -> None:
        plan = replace(
            PLAN, gates=(ERRORS, SLOW, Gate("n", RequestCount(), Limits(minimum=9), None))
        )

        def of(total: int) -> Accumulated:
            return Accumulated(at(9), State(tally=Tally(Side(1, total), Side(1, 7))))

        gates = {"errors": of(30), "n": of(31), "latency": of(99)}
        assert served_in_stage(plan, running(gates=gates)) == 31
        assert served_in_stage(plan, running()) == 0


class TestALook:
    def look(
        self, record: Record, readings: dict[Query, Any], plan: Plan = BOTH, **more: Any
    ) -> Any:
        asked = {query: Window(at(1), at(5)) for query in readings}
        seen = Observation(Seen(service_of(record)), readings=readings, windows=asked, **more)
        return watch(plan, record, seen)

    COUNTS = Seen({NEW: {at(2): CodeCounts({"2xx": 10})}, OLD: {at(2): CodeCounts({"2xx": 90})}})

    def test_what_is_read_moves_the_watermark_to_its_end_and_what_is_not_says_why(self) -> None:
        found = self.look(running(), {Requests(): self.COUNTS, QUERY: NotSeen("quota")})
        assert found.blind == "quota"
        assert found.record.gates["errors"].watermark == at(5)
        assert "score" not in found.record.gates
        assert [one.end for one in found.fresh[Requests()]] == [at(2)]
        assert {"errors", "score"} <= set(found.verdicts)

    def test_one_that_was_further_stays_so(self) -> None:
        record = running(gates={"errors": Accumulated(at(9))})
        assert self.look(record, {Requests(): self.COUNTS}).record.gates["errors"].watermark == at(
            9
        )

    def test_our_own_requests_are_remembered_until_they_are_behind(self) -> None:
        sent = (OwnRequest(at(10), NEW, 200, 20.0),)
        found = self.look(running(), {Requests(): self.COUNTS}, own=sent)
        assert found.record.own == (OwnCount(at(10), NEW, 200, 1, 20.0),)

    def test_before_any_stage_nothing_is_judged(self) -> None:
        found = self.look(starting(), {})
        assert (found.verdicts, found.record.gates) == ({}, {})

    def test_a_pause_changes_nothing_of_what_is_absorbed(self) -> None:
        plain = self.look(running(), {Requests(): self.COUNTS}).record.gates["errors"].state
        paused = running(paused=Act("ada", T0), stopped=T0)
        assert self.look(paused, {Requests(): self.COUNTS}).record.gates["errors"].state == plain
