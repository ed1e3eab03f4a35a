"""Who may write what: the one on duty, whoever attaches, and everybody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.engine import moves
from controller.engine.decision import Action, Decision
from controller.engine.duty import assumed, handed_over, settled
from controller.engine.events import Message
from controller.engine.own import assume_own
from controller.engine.record import Phase, Record, Shift
from tests.engine.builders import HEALTH, MINUTE, NEW, OLD, PLAN, T0, at, running, service_of

CHECKED = replace(PLAN, checks=(HEALTH,))
THEIRS = running(plan=CHECKED, duty="other", at=at(5))
MINE = replace(THEIRS, duty="me")
SERVICE = service_of(THEIRS)
NOW = at(10)


def wait(record: Record) -> Decision:
    said = (Message(NOW, "info", "hello"),)
    return moves.wait(record, "holding", 5 * MINUTE, events=said)


def beat(record: Record) -> Decision:
    return moves.note(record, SERVICE, NOW, "holding", MINUTE)


def shift(record: Record) -> Decision:
    return moves.enter_stage(PLAN, record, SERVICE, 1, NOW, "why")


def after(record: Record, decision: Decision, *, attaching: bool = False) -> Decision:
    return settled(CHECKED, record, decision, SERVICE, NOW, "me", attaching=attaching)


class TestWhoeverIsNot:
    def test_sends_no_heartbeat_for_another(self) -> None:
        quiet = after(THEIRS, beat(THEIRS))
        assert (quiet.action, quiet.write) == (Action.WAIT, None)
        assert quiet.reason == "holding"

    def test_writes_what_moves_the_rollout_and_leaves_the_duty(self) -> None:
        assert after(THEIRS, shift(THEIRS)) == shift(THEIRS)
        noted = moves.note(THEIRS, SERVICE, NOW, "why", MINUTE, transition="extended")
        assert after(THEIRS, noted) == noted

    def test_notes_that_a_shift_is_in_force(self) -> None:
        """That is no heartbeat, although nothing is said of it."""
        shifting = replace(THEIRS, shift=Shift(T0, 0))
        decision = beat(shifting)
        assert after(shifting, decision) == decision


class TestTakingItOver:
    NOBODY = replace(THEIRS, duty="")

    @pytest.mark.parametrize(
        ("record", "attaching"),
        [
            (NOBODY, False),
            (replace(THEIRS, at=None), False),
            (replace(THEIRS, at=at(-52)), False),
            (THEIRS, True),
        ],
    )
    def test_where_nobody_has_it_or_who_has_it_is_silent_or_somebody_attaches(
        self,
        record: Record,
        attaching: bool,  # noqa: FBT001
    ) -> None:
        moving = after(record, shift(record), attaching=attaching)
        assert moving == replace(shift(record), record=replace(shift(record).record, duty="me"))
        idle = after(record, wait(record), attaching=attaching)
        assert idle.record == replace(record, duty="me")
        assert idle.write is not None
        assert (idle.action, idle.reason) == (Action.NOTE, "holding")
        assert idle.look_again == timedelta(seconds=15)
        assert idle.events == wait(record).events

    def test_what_is_looked_at_sooner_stays_so(self) -> None:
        soon = replace(wait(self.NOBODY), look_again=timedelta(seconds=3), opens=at(60))
        taken = after(self.NOBODY, soon)
        assert taken.look_again == timedelta(seconds=3)
        assert taken.opens == at(60)

    def test_before_a_shift_is_in_force_nothing_is_written_for_it(self) -> None:
        shifting = replace(self.NOBODY, shift=Shift(T0, 0))
        assert after(shifting, wait(shifting)) == wait(shifting)

    @pytest.mark.parametrize(
        "changes",
        [
            {"duty": "me"},
            {"phase": Phase.DONE},
            {"phase": Phase.ROLLING_BACK},
        ],
    )
    def test_not_where_it_is_ours_or_over(self, changes: dict[str, Any]) -> None:
        record = replace(self.NOBODY, **changes)
        assert after(record, wait(record), attaching=True) == wait(record)

    def test_nor_where_the_decision_ends_it_or_another_hand_holds_it(self) -> None:
        back = moves.roll_back(self.NOBODY, SERVICE, NOW, "errors")
        assert after(self.NOBODY, back, attaching=True) == back
        done = moves.cancel(self.NOBODY, SERVICE, NOW, "why", "ada")
        assert after(self.NOBODY, done, attaching=True) == done
        taken = moves.taken_over(self.NOBODY, NOW, "why", MINUTE)
        assert after(self.NOBODY, taken, attaching=True) == taken


class TestGivingItUp:
    def test_one_write_takes_the_name_out_of_the_record(self) -> None:
        decision = handed_over(MINE, SERVICE, NOW, "me")
        assert decision is not None
        assert decision.record == replace(MINE, duty="")
        assert (decision.reason, decision.write is None) == ("off duty", False)

    @pytest.mark.parametrize(
        "changes",
        [{"duty": "other"}, {"duty": ""}, {"phase": Phase.DONE}, {"phase": Phase.ROLLING_BACK}],
    )
    def test_not_where_it_is_anothers_or_over(self, changes: dict[str, Any]) -> None:
        assert handed_over(replace(MINE, **changes), SERVICE, NOW, "me") is None

    @pytest.mark.parametrize(
        "service", [replace(SERVICE, uid="other"), service_of(MINE, {OLD: 50, NEW: 50})]
    )
    def test_nor_where_another_hand_holds_the_service(self, service: Any) -> None:
        assert handed_over(MINE, service, NOW, "me") is None


class TestWhatItsLikeMayHaveSent:
    def guessed(self, record: Record, step: timedelta, until: float, **more: Any) -> Record:
        return assume_own(CHECKED, record, step, at(until), **more)

    def test_nobody_on_duty_sent_nothing(self) -> None:
        nobody = replace(THEIRS, duty="")
        assert assumed(CHECKED, nobody, "me", NOW) is nobody

    def test_another_may_be_at_it_right_now(self) -> None:
        assert assumed(CHECKED, THEIRS, "me", NOW) == self.guessed(THEIRS, MINUTE, 11)

    def test_ones_own_like_looked_once_an_interval_and_at_the_holds_end(self) -> None:
        slow = replace(CHECKED, evidence=replace(CHECKED.evidence, interval=4 * MINUTE))
        found = assumed(slow, MINE, "me", at(40))
        end = at(31)  # a minute to settle, and the hold
        assert found == assume_own(slow, MINE, 4 * MINUTE, at(40), end)
        longer = replace(MINE, uncounted=2 * MINUTE)
        assert assumed(slow, longer, "me", at(40)).own == assume_own(
            slow, longer, 4 * MINUTE, at(40), at(33)
        ).own  # fmt: skip

    @pytest.mark.parametrize("changes", [{"stopped": at(6)}, {"in_force": None}])
    def test_a_hold_that_does_not_run_has_no_end(self, changes: dict[str, Any]) -> None:
        record = replace(MINE, **changes)
        assert assumed(CHECKED, record, "me", at(40)) == self.guessed(record, MINUTE, 40)
