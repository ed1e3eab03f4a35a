"""What a process remembers and what stands in the service: which of the two it goes on from."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.engine.codec import encode
from controller.engine.observation import ServiceName, Target
from controller.engine.own import assume_own
from controller.engine.record import Accumulated, Outcome, OwnCount, Phase, Record, Shift
from controller.plan.model import Plan
from controller.reconciler import Reconciler
from tests.engine.builders import HEALTH, NEW, OLD, PLAN, at, running, service_of
from tests.reconciler.test_reconciler import a_world

CHECKED: Plan = replace(PLAN, checks=(HEALTH,))
KNOWN = running(
    plan=CHECKED, seq=7, nonce="ours", duty="me", at=at(5), gates={"errors": Accumulated(at(4))}
)
NOW = at(9.5)
GUESSED = assume_own(CHECKED, KNOWN, timedelta(minutes=1), NOW + timedelta(minutes=1)).own
PORTS = a_world().ports  # nothing is asked of it here


def knowing(record: Record | None, controller: str = "me") -> Reconciler:
    reconciler = Reconciler(PORTS, ServiceName("demo", "us-central1", "api"), controller)
    reconciler._memory = record
    return reconciler


def believed(
    known: Record | None, written: Record, controller: str = "me", **service: Any
) -> tuple[Record | None, str]:
    """Return the record that is gone on from, and why ours is lost if it is."""
    tagged = (*service_of(written).targets, Target(NEW, 0, "rollout-new"))
    shown = service_of(written, **{"targets": tagged, "record_text": encode(written), **service})
    return knowing(known, controller)._record(shown, NOW)


class TestNothingIsRemembered:
    def test_what_is_written_is_believed_and_what_its_writer_may_have_sent_is_guessed(self) -> None:
        record, lost = believed(None, KNOWN, "another")
        assert lost == ""
        assert record is not None
        assert record.own == GUESSED
        assert replace(record, own=()) == KNOWN

    def test_without_a_record_there_is_no_rollout(self) -> None:
        assert believed(None, KNOWN, record_text=None) == (None, "")

    def test_an_active_one_without_our_tag_was_written_back(self) -> None:
        bare = service_of(KNOWN).targets
        assert believed(None, KNOWN, targets=bare)[1] == (
            "the record is older than the tags: somebody wrote it back"
        )
        back = replace(KNOWN, phase=Phase.ROLLING_BACK, weight=0, shift=Shift(at(5), 10))
        for over in (replace(KNOWN, phase=Phase.DONE), back):
            assert believed(None, over, targets=bare)[1] == ""
        assert believed(None, replace(KNOWN, uid="other"), targets=bare)[1] == ""
        long = ServiceName("demo", "us-central1", "x" * 36)  # it can have no tag of ours
        assert believed(None, KNOWN, targets=bare, name=long)[1] == ""

    def test_an_active_one_without_our_tag_is_believed_while_its_own_write_was_the_last(
        self,
    ) -> None:
        bare = service_of(KNOWN).targets
        written = replace(KNOWN, generation=4)
        lost = [believed(None, written, targets=bare, generation=g)[1] for g in (4, 5, 6)]
        assert [bool(why) for why in lost] == [False, False, True]


class TestTheSameRollout:
    def test_our_own_write_leaves_us_with_what_we_know_beyond_it(self) -> None:
        further = replace(KNOWN, gates={"errors": Accumulated(at(8))})
        assert believed(further, KNOWN) == (further, "")

    def test_who_is_not_on_duty_guesses_what_was_sent_since(self) -> None:
        record, _ = believed(KNOWN, KNOWN, "another")
        assert record is not None
        assert record.own == GUESSED
        ended = replace(KNOWN, phase=Phase.DONE)
        assert believed(ended, ended, "another") == (ended, "")

    def test_what_another_wrote_on_top_is_gone_on_from_with_what_we_measured(self) -> None:
        further = replace(KNOWN, gates={"errors": Accumulated(at(8))})
        paused = replace(KNOWN, seq=8, nonce="theirs", at=at(9))
        record, lost = believed(further, paused)
        assert (record, lost) == (replace(paused, gates=further.gates), "")

    def test_one_that_another_is_on_duty_of_is_taken_as_it_is_written(self) -> None:
        further = replace(KNOWN, gates={"errors": Accumulated(at(8))})
        theirs = replace(KNOWN, seq=8, nonce="theirs", duty="another", at=at(9))
        record, _ = believed(further, theirs)
        assert record is not None
        assert record.gates == KNOWN.gates
        assert {o.count for o in record.own} == {1}
        ended = replace(KNOWN, seq=8, nonce="theirs", phase=Phase.DONE)
        assert believed(further, ended) == (ended, "")

    @pytest.mark.parametrize(("written_at", "lost"), [(at(5), True), (at(4), True), (at(6), False)])
    def test_one_with_a_lower_number_is_an_older_one_unless_it_was_written_later(
        self,
        written_at: Any,
        lost: bool,  # noqa: FBT001
    ) -> None:
        older = replace(KNOWN, seq=6, nonce="older", at=written_at)
        record, why = believed(KNOWN, older)
        assert bool(why) is lost
        if lost:
            assert (record, why) == (
                KNOWN,
                "the record went back to an older one (somebody wrote it back)",
            )
        same = replace(KNOWN, nonce="theirs", at=at(4))
        assert believed(KNOWN, same)[1] == ""

    def test_one_whose_time_is_not_known_is_not_later(self) -> None:
        assert believed(KNOWN, replace(KNOWN, seq=6, nonce="older", at=None))[1]
        assert believed(replace(KNOWN, at=None), replace(KNOWN, seq=6, nonce="older"))[1]


class TestAnotherRollout:
    OTHER = replace(KNOWN, rollout="r2", nonce="theirs", at=at(4))

    def test_it_replaced_ours_unless_ours_had_ended(self) -> None:
        assert believed(KNOWN, self.OTHER) == (
            KNOWN, "another rollout's record (r2) replaced ours",
        )  # fmt: skip
        record, lost = believed(replace(KNOWN, phase=Phase.DONE), self.OTHER, "another")
        assert lost == ""
        assert record is not None
        assert record.rollout == "r2"

    def test_an_earlier_one_of_our_candidate_that_a_person_resumed_is_gone_on_with(self) -> None:
        resumed = replace(self.OTHER, at=at(6))
        assert believed(KNOWN, resumed)[1] == ""
        assert believed(KNOWN, replace(resumed, candidate=OLD))[1]

    def test_ours_may_have_ended_before_it_began(self) -> None:
        ended = Outcome("cancelled", NEW, at(6), "why", "ada")
        record, lost = believed(KNOWN, replace(self.OTHER, outcomes=(ended,)))
        assert lost == ""
        assert record is not None
        assert (record.rollout, record.phase, record.outcomes) == ("r1", Phase.DONE, (ended,))
        assert (record.ask, record.paused) == (None, None)
        before = replace(ended, at=at(-1))
        of_another = replace(ended, candidate=OLD)
        for one in (before, of_another):
            assert believed(KNOWN, replace(self.OTHER, outcomes=(one,)))[1]
        at_once = replace(ended, at=KNOWN.started)
        assert believed(KNOWN, replace(self.OTHER, outcomes=(at_once,)))[1] == ""


class TestALostRecord:
    def test_one_that_vanished_or_cannot_be_read_is_told_apart_from_one_that_ended(self) -> None:
        assert believed(KNOWN, KNOWN, record_text=None) == (
            KNOWN, "the record vanished from the service (deleted, or written over)",
        )  # fmt: skip
        ended = replace(KNOWN, phase=Phase.DONE)
        assert believed(ended, KNOWN, record_text=None) == (None, "")
        record, why = believed(KNOWN, KNOWN, record_text="garbage")
        assert record == KNOWN
        assert why.startswith("the record on the service cannot be read any more: ")

    def test_a_write_whose_answer_was_lost_is_known_once_its_nonce_is_seen(self) -> None:
        reconciler = knowing(KNOWN)
        sent = replace(KNOWN, seq=8, nonce="sent", gates={"errors": Accumulated(at(8))})
        reconciler._unsure = (sent, ())
        written = replace(sent, gates=KNOWN.gates)
        shown = service_of(written, record_text=encode(written))
        assert reconciler._record(shown, NOW) == (sent, "")
        assert reconciler._unsure is None
        other = knowing(KNOWN)
        other._unsure = (sent, ())
        assert other._record(service_of(KNOWN, record_text=encode(KNOWN)), NOW) == (KNOWN, "")
        assert other._unsure is None


def test_own_requests_that_are_known_are_not_guessed_again() -> None:
    known = replace(KNOWN, own=(OwnCount(at(6), NEW, 200, 3, 20.0),))
    record, _ = believed(None, known, "another")
    assert record is not None
    assert [o.count for o in record.own if o.end == at(6)] == [3]
