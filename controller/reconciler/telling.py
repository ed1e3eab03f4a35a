"""Telling people, after the write: what is owed is sent, and the record marked that it was.

Nothing here decides or raises: a message that cannot be sent, and a mark that cannot be written,
are said in events and tried again at a later look.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from controller.engine import moves
from controller.engine.codec import Unreadable, decode, encode
from controller.engine.decision import Decision, State
from controller.engine.events import Event, Message
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import Record, stamp
from controller.engine.telling import (
    Letter,
    hand_noted,
    owed,
    patience,
    told,
    unwritten,
    without_strangers,
)
from controller.plan.compact import from_json
from controller.plan.model import Plan
from controller.ports import Change, Conflict, Delivered, Delivery, PortError, Ports

PAUSE = timedelta(minutes=1)  # before one who could not be told is tried again; it doubles
PAUSE_MOST = timedelta(minutes=16)


class Teller:
    """Tells of one service's rollout.

    controller: the id of this process (`engine.duty`). Holds marks that could not be written, and
    who is not to be tried again yet: what a fresh process does without.
    """

    def __init__(self, ports: Ports, name: ServiceName, controller: str) -> None:
        self.ports = ports
        self.name = name
        self.controller = controller
        self._rollout = ""
        self._own: frozenset[int] = frozenset()
        self._marks: dict[str, int] = {}
        self._at: dict[int, datetime] = {}  # the transitions that both are the numbers of
        self._rests: dict[str, tuple[datetime, timedelta]] = {}
        self._said: set[tuple[str, str]] = set()
        self._was: State | None = None

    # What it is told of this process's looks ----------------------------------------------------

    def wrote(self, before: ServiceState, record: Record) -> None:
        """Remember which transitions this process itself has written."""
        plan = _plan_of(record)
        if plan is None or not plan.notify:
            return
        earlier = _record_on(before)
        since = earlier.noted if earlier and earlier.rollout == record.rollout else 0
        self._follow(record)
        self._own |= frozenset(range(since + 1, record.noted + 1))

    def saw(self, state: State) -> None:
        """Remember the state of the last look."""
        self._was = state

    # Telling ------------------------------------------------------------------------------------

    def tell(
        self,
        before: Record,
        record: Record,
        decision: Decision,
        service: ServiceState,
        now: datetime,
    ) -> tuple[Record, tuple[Event, ...]]:
        """Tell what is owed; return the record as it is known now, and what is said of it.

        before: the record as it was read in this look. record: as it stands on `service`, or that
        with what was measured since.
        """
        plan = _plan_of(record)
        if plan is None or not plan.notify:
            return record, ()
        wait = patience(plan, before, self.controller, now)
        on_it = _record_on(service)
        if wait is None or on_it is None or on_it.nonce != record.nonce:
            return record, ()
        if service.uid != record.uid:  # made anew with the old record: it can be no one's to mark
            reason = "the service was deleted and made anew"
            return record, self._shouted(plan, record, reason, now)
        self._follow(record)
        if decision.state is State.TAKEN_OVER:
            record, service = self._hand_noted(plan, record, decision.unanswered, service, now)
        known = replace(record, heard=self._heard(plan, record))
        letters = self._rested(owed(plan, known, self.name, now, wait, self._own), now)
        done, events = self._sent(letters, now)
        self._marks = told(known, letters, done)
        if self._marks == dict(on_it.heard):
            return record, events
        marked = replace(record, heard=self._marks)
        return self._written(marked, service, now) or marked, events

    def shout(self, plan: Plan, decision: Decision, now: datetime) -> tuple[Event, ...]:
        """Tell once of a takeover that no record can be marked with: it is gone, or another's."""
        if decision.state is not State.TAKEN_OVER:
            return ()
        return self._shouted(plan, decision.record, decision.reason, now)

    def _shouted(self, plan: Plan, record: Record, reason: str, now: datetime) -> tuple[Event, ...]:
        # A fresh process cannot know whether that was told; one that saw it happen does.
        if self._was is None or self._was is State.TAKEN_OVER:
            return ()
        _, events = self._sent(unwritten(plan, record, self.name, now, reason), now)
        return events

    # Parts --------------------------------------------------------------------------------------

    def _follow(self, record: Record) -> None:
        """Forget what was told of another rollout, and what an older record goes on without.

        Who goes on from one that was written back numbers its transitions as those that are lost.
        """
        if record.rollout != self._rollout:
            self._rollout, self._own, self._marks, self._at = record.rollout, frozenset(), {}, {}
        at = {number: transition.at for number, transition in record.numbered()}
        gone = [n for n, when in self._at.items() if n > record.noted or at.get(n, when) != when]
        if gone:
            last = min(gone) - 1
            self._own = frozenset(n for n in self._own if n <= last)
            self._marks = {name: min(n, last) for name, n in self._marks.items()}
        self._at = at

    def _heard(self, plan: Plan, record: Record) -> dict[str, int]:
        both = {
            name: max(record.heard.get(name, 0), self._marks.get(name, 0))
            for name in (*record.heard, *self._marks)
        }
        return without_strangers(plan, both)

    def _rested(self, letters: Sequence[Letter], now: datetime) -> tuple[Letter, ...]:
        """Return the letters to those who are not left alone for now."""
        return tuple(
            one
            for one in letters
            if one.to.name not in self._rests or now >= self._rests[one.to.name][0]
        )

    def _sent(
        self, letters: Sequence[Letter], now: datetime
    ) -> tuple[list[bool], tuple[Event, ...]]:
        if not letters:
            return [], ()
        deliveries = self.ports.notifier.tell(letters)
        events: list[Event] = []
        for letter, delivery in zip(letters, deliveries, strict=True):
            event = self._said_of(letter, delivery, now)
            events += [event] if event is not None else []
            self._rest(letter.to.name, delivery, now)
        return [one.outcome is not Delivered.LATER for one in deliveries], tuple(events)

    def _rest(self, name: str, delivery: Delivery, now: datetime) -> None:
        if delivery.outcome is not Delivered.LATER:
            self._rests.pop(name, None)
            self._said = {one for one in self._said if one[0] != name}
            return
        _, last = self._rests.get(name, (now, PAUSE / 2))
        pause = min(2 * last, PAUSE_MOST)
        self._rests[name] = (now + pause, pause)

    def _said_of(self, letter: Letter, delivery: Delivery, now: datetime) -> Message | None:
        """Return what is said of a delivery; of one that fails again and again, once."""
        name, what = letter.to.name, letter.news.heard.value.replace("_", " ")
        match delivery.outcome:
            case Delivered.SENT:
                return Message(now, "info", f"told {name}: {what}")
            case Delivered.SHOWN:
                text = delivery.why.replace("\n", "\n    ")
                return Message(now, "info", f"message to {name}:\n    {text}")
            case Delivered.NEVER:
                text = f"{name} cannot be told: {what}: {delivery.why}"
                return Message(now, "warning", text)
            case Delivered.LATER:
                if (name, delivery.why) in self._said:
                    return None
                self._said.add((name, delivery.why))
                text = f"{name} is not yet told: {what}: {delivery.why}; a later look tries again"
                return Message(now, "warning", text)

    def _hand_noted(
        self, plan: Plan, record: Record, unanswered: str, service: ServiceState, now: datetime
    ) -> tuple[Record, ServiceState]:
        """Note whose hand holds the traffic, which is left as it was found, and what it costs."""
        noted = hand_noted(plan, record, service, now, unanswered)
        if noted is None:
            return record, service
        stamped = stamp(noted, service.generation, now)
        change = Change(service.targets, encode(stamped), raises=False, rollout=record.rollout)
        try:
            after = self.ports.router.write(service, change, now)
        except PortError:
            return record, service  # seen again by the next look
        self._own |= frozenset(range(record.noted + 1, stamped.noted + 1))
        return stamped, after

    def _written(self, marked: Record, service: ServiceState, now: datetime) -> Record | None:
        """Write the marks and nothing else; None where it was refused: the next write has them."""
        stamped = stamp(marked, service.generation, now)
        change = Change(service.targets, encode(stamped), raises=False, rollout=marked.rollout)
        try:
            self.ports.router.write(service, change, now)
        except Conflict:
            self._mark_later_record(marked, now)
            return None
        except PortError:
            return None
        return stamped

    def _mark_later_record(self, marked: Record, now: datetime) -> None:
        """Write the marks over what another controller has written meanwhile.

        It does not know of them, and would tell the same again. What hinders it is left.
        """
        with suppress(PortError):
            later = self.ports.router.fresh(self.name)
            on_it = _record_on(later)
            ours = on_it is not None and on_it.rollout == marked.rollout and later.uid == marked.uid
            if on_it is None or not ours or later.asked != moves.expected_split(on_it):
                return
            if on_it.seq <= marked.seq and on_it.nonce != marked.nonce:
                return  # an older record, written back
            marks = {name: max(n, on_it.heard.get(name, 0)) for name, n in marked.heard.items()}
            stamped = stamp(replace(on_it, heard=marks), later.generation, now)
            change = Change(later.targets, encode(stamped), raises=False, rollout=marked.rollout)
            self.ports.router.write(later, change, now)


@lru_cache(maxsize=8)
def _parsed(text: str) -> Plan | None:
    try:
        return from_json(text)
    except ValueError:
        return None


def _plan_of(record: Record) -> Plan | None:
    """Return a record's plan; one that was made by hand has none, and nobody to tell."""
    return _parsed(record.plan)


def _record_on(service: ServiceState) -> Record | None:
    return _decoded(service.record_text) if service.record_text is not None else None


@lru_cache(maxsize=8)
def _decoded(text: str) -> Record | None:
    try:
        return decode(text)
    except Unreadable:
        return None
