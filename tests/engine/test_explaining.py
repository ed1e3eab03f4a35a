"""What the transitions tell of a rollout afterwards: its splits, its hold, its questions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller.engine import moves
from controller.engine.explaining import Stay, _difference, as_it_stood, explain, reads, stays
from controller.engine.record import Act, Ask, AskKind, Record, Transition
from controller.engine.replaying import Past, Span
from controller.gates.evidence import CodeCounts, Latencies, Minute, Query, Requests
from controller.plan.model import CustomMetric, Gate, Limits
from tests.engine.builders import ERRORS, MINUTE, PLAN, T0, at, running, service_of

SCORE = Gate("score", CustomMetric("custom.googleapis.com/score"), Limits(minimum=0.7), None)


def happened(*what: tuple[float, str]) -> tuple[Transition, ...]:
    return tuple(Transition(at(minute), text, "why", "ada") for minute, text in what)


WENT = happened(
    (0, "started"), (1, "shift to 10%"), (2, "10% in force"), (40, "shift to 50%"),
    (41, "50% in force"), (50, "test at 10%"), (51, "10% in force"), (60, "back to 50%"),
    (61, "50% in force"), (90, "step back to 10%"), (91, "10% in force"), (95, "7% in force"),
)  # fmt: skip


class TestStays:
    def test_each_split_has_its_stage_and_since_when_a_test_begins_none_anew(self) -> None:
        assert stays(PLAN, WENT, at(100)) == (
            Stay(0, 10, at(2), at(2)),
            Stay(1, 50, at(41), at(41)),
            Stay(1, 10, at(41), at(51), at(51)),
            Stay(1, 50, at(41), at(61), at(61)),
            Stay(0, 10, at(91), at(91)),
        )

    @pytest.mark.parametrize(("until", "number"), [(2, 0), (2.1, 1), (41, 1), (51.5, 3)])
    def test_only_those_before_a_time(self, until: float, number: int) -> None:
        assert len(stays(PLAN, WENT, at(until))) == number

    def test_where_what_was_asked_for_is_not_kept_any_more_it_was_a_stage(self) -> None:
        assert stays(PLAN, happened((2, "10% in force"), (41, "50% in force")), at(50)) == (
            Stay(0, 10, at(2), at(2)),
            Stay(1, 50, at(41), at(41)),
        )

    def test_a_test_needs_a_stage_to_be_of(self) -> None:
        assert stays(PLAN, happened((1, "test at 10%"), (2, "10% in force")), at(9)) == (
            Stay(0, 10, at(2), at(2)),
        )


class TestReads:
    PLAN = replace(PLAN, gates=(ERRORS, SCORE))

    def read(self, until: float, *spent: Stay) -> list[dict[str, tuple[datetime, datetime]]]:
        found = reads(self.PLAN, spent, at(until))
        return [{type(query).__name__: window for query, window in one.items()} for one in found]

    def test_up_to_what_monitoring_had_settled_when_the_next_split_came(self) -> None:
        spent = (Stay(0, 10, at(2.5), at(2.5)), Stay(1, 50, at(41.5), at(41.5)))
        assert self.read(60, *spent) == [
            {"Requests": (at(2), at(37)), "CustomMetric": (at(2), at(31))},
            {"Requests": (at(37), at(56)), "CustomMetric": (at(31), at(50))},
        ]

    def test_where_nothing_had_settled_nothing_is_read(self) -> None:
        spent = (Stay(0, 10, at(2), at(2)),)
        assert self.read(6, *spent) == [{}]
        assert self.read(7, *spent) == [{"Requests": (at(2), at(3))}]


class TestAsItStood:
    RECORD = running(
        1, in_force=at(10), ask=Ask(AskKind.GATE, "x", T0), waived=(1,), extended=True,
        stopped=at(11), uncounted=9 * MINUTE, paused=Act("bo", T0), approved=(2,),
        stepped_back=(0,), after="europe-west1",
    )  # fmt: skip

    def stood(self, *what: tuple[float, str], until: float = 30) -> Record:
        return as_it_stood(self.RECORD, happened(*what), at(until))

    def test_what_the_record_says_now_is_forgotten(self) -> None:
        there = self.stood()
        assert (there.ask, there.waived, there.extended, there.at) == (None, (), False, at(30))
        assert there.in_force == at(10)
        assert (there.stopped, there.uncounted, there.paused) == (None, timedelta(0), None)
        assert (there.approved, there.stepped_back, there.after) == ((), (), "")

    def test_a_pause_stops_the_hold_until_it_is_resumed(self) -> None:
        paused = self.stood((12, "paused"))
        assert (paused.paused, paused.stopped) == (Act("ada", at(12), "why"), at(12))
        going = self.stood((12, "paused"), (15, "resumed"))
        assert (going.paused, going.stopped, going.uncounted) == (None, None, 3 * MINUTE)

    def test_a_question_stops_it_until_it_is_answered(self) -> None:
        asked = self.stood((12, "asked: undecided"))
        assert (asked.ask, asked.stopped) == (Ask(AskKind.UNDECIDED, "why", at(12)), at(12))
        for word in ("hold goes on", "way back", "waits for the window"):
            going = self.stood((12, "asked: gate"), (16, word))
            assert (going.ask, going.stopped, going.uncounted) == (None, None, 4 * MINUTE)

    def test_what_stopped_it_first_counts(self) -> None:
        for second in ("paused", "asked: gate", "hold stands still"):
            assert self.stood((12, "hold stands still"), (14, second)).stopped == at(12)

    def test_what_was_before_the_stage_stops_nothing_of_it(self) -> None:
        before = self.stood((5, "paused"), (8, "extended"))
        assert (before.paused, before.extended) == (None, False)
        assert self.stood((10, "extended")).extended
        nowhere = replace(self.RECORD, in_force=None)
        assert as_it_stood(nowhere, happened((12, "paused")), at(30)).paused is None

    def test_approvals_and_steps_back_of_before_are_known(self) -> None:
        there = self.stood((5, "approved"), (8, "step back to 10%"), (9, "step back"))
        assert (there.approved, there.stepped_back) == ((2,), (2,))


class TestDifference:
    WAITS = moves.wait(running(), "holding 10%", MINUTE)
    BACK = moves.roll_back(running(), service_of(running()), T0, "errors")

    def said(self, what: str, reason: str = "errors", by: str = "") -> str:
        return _difference(Transition(T0, what, reason, by), self.WAITS)

    @pytest.mark.parametrize(
        "what", ["shift to 50%", "step back to 10%", "roll back", "promoted", "asked: gate"]
    )
    def test_it_is_told_where_the_gates_would_not_lead_there_now(self, what: str) -> None:
        assert self.said(what) == "with what is read now it would have been: holding 10%"

    def test_not_of_a_persons_act_nor_of_what_is_no_gates_doing(self) -> None:
        assert self.said("roll back", by="ada") == ""
        for reason in ("check health: 500", "the candidate api-2 was deleted", "no checks to send"):
            assert self.said("roll back", reason) == ""
        assert self.said("10% in force") == ""
        assert _difference(None, self.WAITS) == ""

    def test_nor_where_they_do(self) -> None:
        assert _difference(Transition(T0, "roll back", "errors"), self.BACK) == ""


def minute(number: float, failed: int = 0) -> Minute:
    return Minute(
        at(number), CodeCounts({"2xx": 100 - failed, "5xx": failed}), CodeCounts({"2xx": 900})
    )


class TestExplaining:
    def explained(self, *empty: Minute) -> tuple[Record, Past]:
        fine = tuple(minute(n) for n in range(1, 15))
        readings: dict[Query, tuple[Minute, ...]] = {Requests(): (*fine, *empty), Latencies(): ()}
        return running(), Past("r1", (Span(0, 10, T0, readings),))

    def test_before_anything_was_in_force_there_is_nothing_to_weigh(self) -> None:
        (started,) = happened((0, "started"))
        found = explain(PLAN, running(), (started,), Past("r1", ()), at(0), started)
        assert (found.record, found.decision, found.gates) == (None, None, ())
        assert found.rule.startswith("a rollout was begun")
        assert found.before is None

    def test_a_decision_stands_between_what_was_before_and_what_followed(self) -> None:
        record, past = self.explained()
        went = happened((0, "10% in force"), (16, "paused"), (17, "resumed"), (18, "x"), (19, "y"))
        found = explain(PLAN, record, went, past, at(15), None)
        assert found.before is went[0]
        assert found.then == went[1:4]
        assert found.decision is not None
        assert found.decision.reason.startswith("holding 10% for")
        assert found.hold == timedelta(minutes=30)
        assert found.rule == "no gate failed, and it is not yet time to go on"

    def test_the_decision_itself_is_neither_before_nor_after_it(self) -> None:
        record, past = self.explained()
        went = happened((0, "10% in force"), (15, "paused"), (15, "resumed"), (18, "x"))
        found = explain(PLAN, record, went, past, at(15), went[1])
        assert (found.before, found.then) == (went[0], went[2:])
        late = explain(PLAN, record, went, past, at(17), went[1])
        assert late.before is went[2]
        assert explain(PLAN, record, went[:2], past, at(17), went[1]).before is went[0]

    def test_each_gate_tells_its_minutes_and_which_were_left_out(self) -> None:
        record, past = self.explained(Minute(at(15), None, None))
        found = explain(PLAN, record, (), past, at(19), None)
        errors, latency = found.gates[:2]
        assert (errors.gate.name, errors.start, errors.end) == ("errors", at(1), at(15))
        assert [one.end for one in errors.minutes] == [at(n) for n in range(2, 16)]
        assert errors.left_out == (
            "the first 60 s, while the split settled",
            "1 min without a point of either side",
        )
        assert (latency.start, latency.end, latency.warm_up) == (at(3), at(3), 2 * MINUTE)
        assert latency.left_out == (
            "the first 60 s, while the split settled",
            "then 2 min of warm-up",
        )
        assert errors.delay == 4 * MINUTE
