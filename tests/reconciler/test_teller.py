"""Telling people, letter by letter: what is repeated, what is marked, and who is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from controller.engine import moves
from controller.engine.codec import decode, encode
from controller.engine.decision import Decision, State
from controller.engine.events import Event, Message
from controller.engine.observation import ServiceState
from controller.engine.record import Phase, Record, stamp
from controller.engine.telling import Letter
from controller.plan.compact import to_json
from controller.plan.model import Form, Heard, Notify, Plan
from controller.ports import Change, Conflict, Delivered, Delivery, Ports, Unavailable
from controller.reconciler.telling import Teller
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, at, running, service_of

TEAM = Notify("team", Form.WEBHOOK, "env:HOOK", events=tuple(Heard))
TOLD: Plan = replace(PLAN, notify=(TEAM,))
ASKED = running(plan=TOLD, duty="me", seq=3, nonce="n3").noting(at(1), "asked: gate", "errors")
SECOND = timedelta(seconds=1)


@dataclass
class World:
    """A service, and a recipient: what each answers next is listed, else all goes well."""

    service: ServiceState
    answers: list[Delivered] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    written: list[Record] = field(default_factory=list)

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        found = []
        for letter in letters:
            outcome = self.answers.pop(0) if self.answers else Delivered.SENT
            self.letters.append(f"{letter.to.name}: {letter.news.heard.value}")
            found.append(Delivery(outcome, "" if outcome is Delivered.SENT else "it answers 500"))
        return found

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        if self.refusals:
            raise self.refusals.pop(0)
        assert change.targets == expected.targets
        assert not change.raises
        record = decode(change.record_text or "")
        assert change.rollout == record.rollout
        self.written.append(record)
        self.service = replace(expected, record_text=change.record_text)
        return self.service

    def fresh(self, name: Any) -> ServiceState:
        return self.service

    @property
    def ports(self) -> Ports:
        wires: Any = self
        return Ports(wires, wires, wires, wires, wires)


def a_world(record: Record = ASKED, **more: Any) -> World:
    return World(service_of(record, record_text=encode(record)), **more)


def teller(world: World, controller: str = "me") -> Teller:
    return Teller(world.ports, world.service.name, controller)


def decided(record: Record, state: State = State.ASKING) -> Decision:
    return replace(moves.wait(record, "why", MINUTE), state=state)


def tell(
    one: Teller,
    world: World,
    record: Record | None = None,
    minute: float = 5,
    state: State = State.ASKING,
) -> tuple[Record, tuple[Event, ...]]:
    there = record or decode(world.service.record_text or "")
    return one.tell(there, there, decided(there, state), world.service, at(minute))


def said(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


def test_what_is_owed_is_sent_and_marked_with_one_write() -> None:
    world = a_world()
    record, events = tell(teller(world), world)
    assert world.letters == ["team: asked"]
    assert said(events) == ["told team: asked"]
    assert [one.heard for one in world.written] == [{"team": 1}]
    assert record == world.written[0]
    assert record.seq == 4
    again, nothing = tell(teller(world), world)
    assert (again, nothing, world.letters) == (record, (), ["team: asked"])


class TestWhoTells:
    @pytest.mark.parametrize(
        "record",
        [
            replace(ASKED, plan=to_json(PLAN)),
            replace(ASKED, plan="{}", phase=Phase.DONE),
            replace(ASKED, duty="other", at=at(4)),
        ],
        ids=["nobody to tell", "made by hand", "another on duty"],
    )
    def test_not_where_it_is_nobodys_or_anothers(self, record: Record) -> None:
        world = a_world(record)
        assert tell(teller(world), world) == (record, ())
        assert (world.letters, world.written) == ([], [])

    @pytest.mark.parametrize("text", [None, "garbage", encode(replace(ASKED, nonce="theirs"))])
    def test_not_where_another_record_stands_there(self, text: str | None) -> None:
        world = a_world()
        world.service = replace(world.service, record_text=text)
        assert tell(teller(world), world, ASKED) == (ASKED, ())
        assert world.letters == []

    def test_what_this_process_wrote_is_told_at_once_what_another_did_after_a_minute(self) -> None:
        fresh = replace(
            ASKED, duty="schedule", transitions=(replace(ASKED.transitions[0], at=at(5)),)
        )
        for wrote, heard in ((False, 0), (True, 1)):
            world = a_world(fresh)
            one = teller(world, "schedule")
            if wrote:
                one.wrote(service_of(fresh, record_text=None), fresh)
            tell(one, world)
            assert len(world.letters) == heard

    def test_of_what_stood_there_before_only_what_is_new_is_ours(self) -> None:
        fresh = replace(
            ASKED, duty="schedule", transitions=(replace(ASKED.transitions[0], at=at(5)),)
        )
        world = a_world(fresh)
        one = teller(world, "schedule")
        one.wrote(world.service, fresh)
        tell(one, world)
        assert world.letters == []
        other = replace(fresh, rollout="r0")
        one.wrote(service_of(other, record_text=encode(other)), fresh)
        tell(one, world)
        assert world.letters == ["team: asked"]


class TestWhatIsNotRepeated:
    def test_a_mark_that_could_not_be_written_is_remembered(self) -> None:
        world = a_world(refusals=[Unavailable("503")])
        one = teller(world)
        record, _ = tell(one, world)
        assert record.heard == {"team": 1}
        assert world.written == []
        paused = replace(ASKED, seq=4, nonce="n4")  # another's write does not know of it
        world.service = replace(world.service, record_text=encode(paused))
        tell(one, world)
        assert world.letters == ["team: asked"]
        assert [one.heard for one in world.written] == [{"team": 1}]

    def test_it_is_written_over_what_another_wrote_meanwhile(self) -> None:
        later = replace(ASKED, seq=4, nonce="n4")
        world = a_world(refusals=[Conflict("changed")])
        one = teller(world)
        shown = world.service
        world.service = replace(shown, record_text=encode(later))
        one.tell(ASKED, ASKED, decided(ASKED), shown, at(5))
        (written,) = world.written
        assert (written.heard, written.seq) == ({"team": 1}, 5)

    @pytest.mark.parametrize(
        "changes",
        [
            {"record_text": None},
            {"record_text": encode(replace(ASKED, rollout="r2", seq=4, nonce="n4"))},
            {"record_text": encode(replace(ASKED, seq=3, nonce="older"))},
            {"uid": "another"},
            {"targets": service_of(ASKED, {OLD: 50, NEW: 50}).targets},
        ],
        ids=["vanished", "another rollout", "an older one", "made anew", "another hand"],
    )
    def test_but_over_nothing_that_is_not_ours(self, changes: dict[str, Any]) -> None:
        world = a_world(refusals=[Conflict("changed")])
        shown = world.service
        later = replace(ASKED, seq=4, nonce="n4")
        world.service = replace(shown, **{"record_text": encode(later), **changes})
        teller(world).tell(ASKED, ASKED, decided(ASKED), shown, at(5))
        assert world.written == []

    def test_who_is_no_more_in_the_plan_loses_its_mark(self) -> None:
        record = replace(ASKED, heard={"gone": 7})
        world = a_world(record)
        tell(teller(world), world)
        assert world.written[0].heard == {"team": 1}

    def test_another_rollouts_marks_are_not_this_ones(self) -> None:
        world = a_world()
        one = teller(world)
        tell(one, world)
        other = replace(ASKED, rollout="r2", nonce="m")
        world.service = service_of(other, record_text=encode(other))
        tell(one, world)
        assert world.letters == ["team: asked"] * 2

    def test_one_that_was_written_back_and_gone_on_with_is_told_of_what_comes_then(self) -> None:
        world = a_world(ASKED.noting(at(2), "asked: gate", "again"))
        one = teller(world)
        tell(one, world)
        assert len(world.letters) == 2
        back = replace(ASKED, heard={"team": 1}, nonce="b").noting(at(4), "unwatched", "gap")
        world.service = service_of(back, record_text=encode(back))
        tell(one, world)
        assert world.letters[2:] == ["team: unwatched"]


class TestWhoDoesNotAnswer:
    def test_is_tried_again_after_a_minute_then_two_and_so_on(self) -> None:
        world = a_world(answers=[Delivered.LATER] * 20)
        one = teller(world)
        tried: list[float] = []
        now = 5.0
        while len(tried) < 7:
            before = len(world.letters)
            tell(one, world, minute=now)
            if len(world.letters) > before:
                tried.append(now)
            now += 0.25
        assert [late - early for early, late in pairwise(tried)] == [
            1, 2, 4, 8, 16, 16,
        ]  # fmt: skip
        assert world.written == []

    def test_is_said_once_for_each_reason_until_it_answers(self) -> None:
        world = a_world(answers=[Delivered.LATER, Delivered.LATER])
        one = teller(world)
        _, first = tell(one, world, minute=5)
        assert said(first) == [
            "team is not yet told: asked: it answers 500; a later look tries again"
        ]
        _, second = tell(one, world, minute=6)
        assert second == ()
        _, third = tell(one, world, minute=8)
        assert said(third) == ["told team: asked"]
        anew = decode(world.service.record_text or "").noting(at(9), "asked: gate", "more")
        world.service = replace(world.service, record_text=encode(anew))
        world.answers = [Delivered.LATER]
        _, fourth = tell(one, world, minute=9)
        assert len(said(fourth)) == 1
        assert len(world.letters) == 4

    def test_for_good_is_said_and_marked(self) -> None:
        world = a_world(answers=[Delivered.NEVER])
        record, events = tell(teller(world), world)
        assert said(events) == ["team cannot be told: asked: it answers 500"]
        assert record.heard == {"team": 1}

    def test_what_is_only_shown_is_shown(self) -> None:
        world = a_world(answers=[Delivered.SHOWN])
        _, events = tell(teller(world), world)
        assert said(events) == ["message to team:\n    it answers 500"]


class TestAnotherHand:
    def test_it_is_noted_and_told_and_the_traffic_is_left(self) -> None:
        record = replace(ASKED, heard={"team": 1})
        world = a_world(record)
        theirs = service_of(record, {OLD: 50, NEW: 50}, last_modifier="eve")
        world.service = replace(theirs, record_text=encode(record))
        after, events = tell(teller(world), world, state=State.TAKEN_OVER)
        assert world.letters == ["team: taken_over"]
        assert said(events) == ["told team: taken over"]
        noted, marked = world.written
        assert (noted.transitions[-1].what, noted.transitions[-1].by) == ("taken over", "eve")
        assert (marked.heard, after) == ({"team": 2}, marked)
        again = tell(teller(world), world, state=State.TAKEN_OVER)
        assert (again, len(world.letters)) == ((after, ()), 1)

    def test_where_that_cannot_be_noted_nothing_is_told_yet(self) -> None:
        record = replace(ASKED, heard={"team": 1})
        world = a_world(record, refusals=[Unavailable("503")])
        theirs = service_of(record, {OLD: 50, NEW: 50}, last_modifier="eve")
        world.service = replace(theirs, record_text=encode(record))
        assert tell(teller(world), world, state=State.TAKEN_OVER) == (record, ())
        assert world.letters == []

    def test_a_record_that_was_taken_is_told_once_by_who_saw_it_happen(self) -> None:
        world = a_world()
        gone = moves.taken_over(ASKED, at(5), "it vanished", MINUTE)
        one = teller(world)
        assert one.shout(TOLD, gone, at(5)) == ()
        one.saw(State.RUNNING)
        assert said(one.shout(TOLD, gone, at(5))) == ["told team: taken over"]
        one.saw(State.TAKEN_OVER)
        assert one.shout(TOLD, gone, at(6)) == ()
        one.saw(State.RUNNING)
        assert one.shout(TOLD, moves.wait(ASKED, "holding", MINUTE), at(6)) == ()
        assert world.letters == ["team: taken_over"]

    def test_one_on_a_service_that_was_made_anew_marks_nothing(self) -> None:
        world = a_world()
        world.service = replace(world.service, uid="another")
        one = teller(world)
        one.saw(State.RUNNING)
        record, events = tell(one, world, ASKED)
        assert (record, said(events)) == (ASKED, ["told team: taken over"])
        assert world.written == []


def test_a_stamp_is_of_the_service_that_was_seen() -> None:
    world = a_world()
    world.service = replace(world.service, generation=12)
    tell(teller(world), world)
    expected = stamp(replace(ASKED, heard={"team": 1}), 12, at(5))
    assert world.written == [expected]
    assert SECOND < MINUTE
