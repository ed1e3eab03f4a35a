"""What we sent ourselves is no evidence: it is counted, forgotten in time, and taken out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from controller.engine.observation import OwnRequest, Window
from controller.engine.own import assume_own, remembered, users_minutes, with_sent
from controller.engine.record import OWN_KEPT, Accumulated, OwnCount, Record, Trial
from controller.engine.watching import continued
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Number, Readings, Value
from controller.plan.model import Check, CheckWhen, Ref, Text
from tests.engine.builders import HEALTH, MINUTE, NEW, OLD, PLAN, T0, at, running

LAYOUT = Explicit((100.0, 200.0, 400.0))
CHECKED = replace(PLAN, checks=(HEALTH,))
ON_STABLE = replace(HEALTH, name="stable", url=Text((Ref("stable.url"), "/health")))


def own(minute: float, code: int = 200, count: int = 1, latency: float = 150.0) -> OwnCount:
    return OwnCount(at(minute), NEW, code, count, latency)


def left_of(value: Value, *sent: OwnCount, revision: str = NEW) -> Value | None:
    """Return what users made of the candidate's fifth minute."""
    readings: Readings = {revision: {at(5): value}, OLD: {at(5): CodeCounts({"2xx": 1})}}
    (minute,) = users_minutes(running(own=sent), readings, Window(at(0), at(9)))
    return minute.candidate


class TestCounting:
    def test_requests_of_one_minute_and_code_are_one_entry_with_their_mean_latency(self) -> None:
        sent = (
            OwnRequest(at(1.5), NEW, 200, 100.0),
            OwnRequest(at(1.9), NEW, 200, 301.0),
            OwnRequest(at(2), NEW, 200, 100.0),
            OwnRequest(at(2.1), NEW, 200, 7.0),
            OwnRequest(at(2), NEW, 503, 9.0),
            OwnRequest(at(2), OLD, 200, 8.0),
        )
        assert with_sent(running(own=(own(2, count=3, latency=100.0),)), sent) == (
            OwnCount(at(2), NEW, 200, 6, 133.5),
            OwnCount(at(3), NEW, 200, 1, 7.0),
            OwnCount(at(2), NEW, 503, 1, 9.0),
            OwnCount(at(2), OLD, 200, 1, 8.0),
        )


class TestForgetting:
    def test_what_every_gate_has_passed_is_forgotten(self) -> None:
        gates = {"errors": Accumulated(at(5)), "latency": Accumulated(at(3))}
        record = running(own=tuple(own(n) for n in (2, 3, 4, 5)), gates=gates)
        assert [o.end for o in remembered(record).own] == [at(4), at(5)]

    def test_before_any_gate_has_seen_anything_all_is_kept(self) -> None:
        record = running(own=(own(3), own(2)))
        assert [o.end for o in remembered(record).own] == [at(2), at(3)]
        assert remembered(running()) == running()

    def test_of_too_many_the_oldest_go_and_their_minutes_are_no_evidence(self) -> None:
        many = tuple(own(n) for n in range(1, OWN_KEPT + 3))
        record = remembered(running(own=many, gates={"errors": Accumulated(at(0))}))
        assert len(record.own) == 40
        assert record.own[0].end == at(3)
        assert record.unknown_until == at(2)
        readings = {NEW: {at(n): CodeCounts({"2xx": 9}) for n in (1, 2, 3)}}
        minutes = users_minutes(record, readings, Window(at(0), at(9)))
        assert [minute.end for minute in minutes] == [at(3)]

    def test_exactly_so_many_are_all_kept(self) -> None:
        many = tuple(own(n) for n in range(1, OWN_KEPT + 1))
        record = remembered(running(own=many))
        assert (record.own, record.unknown_until) == (many, None)

    @pytest.mark.parametrize(("passed", "unknown"), [(6, at(7)), (7, None), (8, None)])
    def test_what_was_unknown_is_behind_once_every_gate_has_passed_it(
        self, passed: int, unknown: datetime | None
    ) -> None:
        record = running(unknown_until=at(7), gates={"errors": Accumulated(at(passed))})
        assert remembered(record).unknown_until == unknown
        assert remembered(running(unknown_until=at(7))).unknown_until == at(7)


class TestTakingOut:
    def test_counts_lose_what_was_ours_by_code_or_by_its_class(self) -> None:
        value = CodeCounts({"200": 5, "2xx": 4, "5xx": 3})
        assert left_of(value, own(5)) == CodeCounts({"200": 4, "2xx": 4, "5xx": 3})
        assert left_of(value, own(5, 204, 2)) == CodeCounts({"200": 5, "2xx": 2, "5xx": 3})
        assert left_of(value, own(5, 503, 3)) == CodeCounts({"200": 5, "2xx": 4})
        assert left_of(value, own(5, 503, 9)) == CodeCounts({"200": 5, "2xx": 4})
        assert left_of(value, own(5, 404)) == value
        both = left_of(value, own(5), own(5, 503))
        assert both == CodeCounts({"200": 4, "2xx": 4, "5xx": 2})

    def test_another_minute_or_revision_keeps_what_it_had(self) -> None:
        value = CodeCounts({"2xx": 4})
        assert left_of(value, own(4)) == value
        assert left_of(value, OwnCount(at(5), OLD, 200, 1, 150.0)) == value

    def test_where_nothing_of_users_is_left_there_is_no_minute_of_that_side(self) -> None:
        assert left_of(CodeCounts({"2xx": 2}), own(5, count=2)) is None
        assert left_of(Histogram(LAYOUT, {1: 2}, 150.0), own(5, count=2)) is None
        assert left_of(Histogram(LAYOUT, {1: 2}, 150.0), own(5, count=3)) is None

    def test_a_guess_that_could_be_all_of_it_leaves_nothing(self) -> None:
        """Else what is left of it would be its errors only."""
        guess = own(5, count=3, latency=0.0)
        assert left_of(CodeCounts({"2xx": 1, "5xx": 2}), guess) is None
        assert left_of(CodeCounts({"2xx": 2, "5xx": 2}), guess) == CodeCounts({"5xx": 2})
        assert left_of(CodeCounts({"2xx": 1, "5xx": 2}), own(5, count=3)) == CodeCounts({"5xx": 2})
        assert left_of(Histogram(LAYOUT, {1: 3}, 150.0), guess) is None

    def test_a_histogram_loses_each_request_where_it_was_or_next_to_that(self) -> None:
        value = Histogram(LAYOUT, {0: 2, 1: 1, 3: 1}, 200.0)
        once = left_of(value, own(5, latency=150.0))
        assert once == Histogram(LAYOUT, {0: 2, 3: 1}, (800.0 - 150.0) / 3)
        twice = left_of(value, own(5, count=2, latency=150.0))  # then the lower neighbour
        assert twice == Histogram(LAYOUT, {0: 1, 3: 1}, (800.0 - 300.0) / 2)
        slow = left_of(value, own(5, latency=300.0))
        assert slow == Histogram(LAYOUT, {0: 2, 3: 1}, (800.0 - 300.0) / 3)
        guessed = left_of(value, own(5, latency=0.0))  # of a mean latency
        assert guessed == Histogram(LAYOUT, {0: 2, 3: 1}, 200.0)
        most = left_of(value, own(5, latency=900.0))
        assert most == Histogram(LAYOUT, {0: 2, 1: 1}, 0.0)  # never below nothing

    def test_a_number_of_an_applications_own_is_left_as_it_is(self) -> None:
        assert left_of(Number(0.8), own(5)) == Number(0.8)

    def test_where_nothing_was_read_there_are_no_minutes(self) -> None:
        assert users_minutes(running(), {NEW: {}, OLD: {}}, Window(at(0), at(9))) == ()
        assert users_minutes(running(), {}, Window(at(0), at(9))) == ()


def assumed(record: Record, *checks: Check, until: float = 4.5, **more: Any) -> dict[Any, int]:
    plan = replace(PLAN, checks=checks)
    found = assume_own(plan, record, MINUTE, at(until), **more)
    assert found.own[: len(record.own)] == record.own
    guessed = found.own[len(record.own) :]
    assert {(o.code, o.latency_ms) for o in guessed} <= {(200, 0.0)}
    return {((o.end - T0) / MINUTE, o.revision): o.count for o in guessed}


class TestAssuming:
    def test_one_for_each_look_since_the_record_was_written(self) -> None:
        assert assumed(running(at=at(0)), HEALTH) == {
            (1, NEW): 1, (2, NEW): 1, (3, NEW): 1, (4, NEW): 1,
        }  # fmt: skip

    def test_each_check_and_each_item_of_one_is_a_request_to_its_side(self) -> None:
        each = replace(HEALTH, name="each", each=("a", "b", "c"))
        found = assumed(running(at=at(0)), HEALTH, each, ON_STABLE, until=1.5)
        assert found == {(1, NEW): 4, (1, OLD): 1}

    def test_what_is_known_is_not_guessed_and_the_guess_begins_after_the_last_known(self) -> None:
        record = running(at=at(4), own=(own(2), OwnCount(at(3), OLD, 200, 1, 9.0)))
        assert assumed(record, HEALTH) == {(4, NEW): 1}
        known = running(at=at(0), own=(own(3),))
        assert assumed(known, HEALTH) == {(1, NEW): 1, (2, NEW): 1, (4, NEW): 1}

    def test_twelve_hours_back_are_the_most(self) -> None:
        found = assumed(running(at=T0), HEALTH, until=13 * 60)
        assert min(found) == (61, NEW)
        assert len(found) == 12 * 60 - 1

    @pytest.mark.parametrize(
        "record",
        [running(at=None), running(at=at(0), in_force=None)],
        ids=["unwritten", "shifting"],
    )
    def test_before_a_stage_is_in_force_nothing_is_guessed(self, record: Record) -> None:
        assert assumed(record, HEALTH) == {}

    def test_a_check_of_before_is_sent_in_no_stage(self) -> None:
        assert assumed(running(at=at(0)), replace(HEALTH, when=CheckWhen.BEFORE)) == {}
        assert assumed(running(at=at(0))) == {}

    def test_a_look_out_of_step_counts_beside_the_one_of_its_minute(self) -> None:
        found = assumed(running(at=at(0)), HEALTH, anew=at(2.5))
        assert found == {(1, NEW): 1, (2, NEW): 1, (3, NEW): 2, (4, NEW): 1}
        late = assumed(running(at=at(0)), HEALTH, anew=at(9))
        assert late == {(1, NEW): 1, (2, NEW): 1, (3, NEW): 1, (4, NEW): 1}
        at_a_look = assumed(running(at=at(0)), HEALTH, anew=at(3))
        assert at_a_look == {(1, NEW): 1, (2, NEW): 1, (3, NEW): 2, (4, NEW): 1}


class TestAnotherWriter:
    """Whose record is gone on with: what both have sent stays known."""

    GATES: ClassVar = {"errors": Accumulated(at(5))}

    def test_of_the_same_requests_the_greater_count_is_kept(self) -> None:
        known = running(
            own=(own(4, count=3), own(5, count=1)), gates=self.GATES, verdicts={"errors": "pass"}
        )
        written = running(
            own=(own(4, count=2), own(5, count=2), own(6)), gates=self.GATES, at=at(6)
        )
        going = continued(CHECKED, known, written, at(6))
        assert set(going.own) == {own(4, count=3), own(5, count=2), own(6)}
        assert going.verdicts == {"errors": "pass"}

    def test_where_it_went_further_what_it_may_have_sent_is_guessed(self) -> None:
        known = running(own=(own(4),), gates={"errors": Accumulated(at(4))})
        written = running(own=(own(5),), gates=self.GATES, at=at(6))
        going = continued(CHECKED, known, written, at(8.5))
        assert going.gates == self.GATES
        assert own(4) in going.own
        assert own(5) in going.own
        assert OwnCount(at(8), NEW, 200, 1, 0.0) in going.own

    def test_what_was_measured_here_is_kept_only_under_the_same_split(self) -> None:
        known = running(gates={"errors": Accumulated(at(7))})
        for changes in ({"weight": 11}, {"stage": 1}, {"in_force": at(1)}, {"tried": (0,)}):
            other = running(gates=self.GATES, at=at(6), **changes)
            assert continued(PLAN, known, other, at(8)).gates == self.GATES
        tested = replace(known, trial=Trial("errors", at(1), 0.1))
        for trial in (None, Trial("errors", at(2), 0.1), Trial("errors", at(1), 0.1, raised=at(3))):
            other = running(gates=self.GATES, at=at(6), trial=trial)
            assert continued(PLAN, tested, other, at(8)).gates == self.GATES
        blamed = replace(tested, trial=Trial("errors", at(1), 0.9))  # of the same test
        other = running(gates=self.GATES, at=at(6), trial=tested.trial)
        assert continued(PLAN, blamed, other, at(8)).gates == known.gates
        same = running(gates=self.GATES, at=at(6))
        assert continued(PLAN, known, same, at(8)).gates == known.gates
        assert continued(PLAN, running(), same, at(8)).gates == self.GATES


def test_half_a_minute_is_counted_in_the_minute_that_it_ends_in() -> None:
    sent = (OwnRequest(at(0) + timedelta(microseconds=1), NEW, 200, 1.0),)
    assert [o.end for o in with_sent(running(), sent)] == [at(1)]
