"""What people are told of a rollout: which transitions, by which controller, and once. Pure.

A message is owed for a transition that is written, until the record says that it was told: by the
number of the last one told, for each whom the plan notifies. So a process killed after the write
is made up for by the next look, and a fresh one does not repeat. How a message reads is in
`notify`; it is sent by a port.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice, takewhile

from controller.engine import hints
from controller.engine.decision import Decision
from controller.engine.duty import SCHEDULE
from controller.engine.events import Message
from controller.engine.moves import expected_split
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import (
    HAND_DIGEST,
    TRANSITIONS_KEPT,
    Hand,
    Phase,
    Record,
    Transition,
    cut,
)
from controller.engine.split import split_text
from controller.engine.watching import interval, unwatched_after
from controller.engine.wording import minutes_shown
from controller.plan.compact import from_json
from controller.plan.model import Heard, Notify, Plan

# Transitions that are told of, as they stand in a record.
SILENT = "Monitoring does not answer"
STUCK = "roll back not in force"
UNWATCHED = "unwatched"
TAKEN_OVER = "taken over"
NOT_ROLLED_BACK = "not rolled back"

GRACE = timedelta(minutes=1)  # whoever wrote a transition has told it by then, or was killed
OWED_MOST = timedelta(days=1)  # after the end of a rollout
AT_ONCE_MOST = 5  # messages to one recipient in one look


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell. number: the transition's in its rollout; 0 where none was written.

    what, why: sentences; what does not name the service. do: commands that make sense now. stage:
    1-based, 0 before the first shift. weight: the candidate's, whole percent. is_test: nothing
    happened, somebody tries whether messages arrive.
    """

    heard: Heard
    number: int
    at: datetime
    what: str
    why: str
    by: str
    do: tuple[str, ...]
    name: ServiceName
    rollout: str
    candidate: str
    stable: str
    stage: int
    stages: int
    weight: int
    is_test: bool = False

    @property
    def event(self) -> str:
        """Return the event's name; no receiver may take a test for what happened."""
        return "test" if self.is_test else self.heard.value

    @property
    def id(self) -> str:
        """Return what no other message has, for receivers that want to know a repeated one.

        A rollout has one id in all its regions, and in each of them transitions of its own.
        """
        return f"{self.rollout}/{self.name.region}/{self.number}/{self.event}"


@dataclass(frozen=True, slots=True)
class Letter:
    """Who is to be told what."""

    to: Notify
    news: News


# Who tells ------------------------------------------------------------------------------------


def patience(plan: Plan, before: Record, controller: str, now: datetime) -> timedelta | None:
    """Return how old another's transition must be before this controller tells it.

    None: telling is another's. It is for the one on duty; of a schedule's passes, which may
    overlap, for the one that wrote. Where nobody is on duty, or the one who was has not been heard
    of for too long, whoever looks tells. before: the record as it was read.
    """
    if before.duty == controller:
        return GRACE if controller == SCHEDULE else timedelta(0)
    if not before.duty:
        return GRACE
    if before.phase is Phase.DONE:  # no heartbeat tells any more whether the one on duty lives
        return 2 * interval(plan, before, now) + GRACE
    stale = before.at is None or now - before.at > unwatched_after(plan, before, now)
    return GRACE if stale else None


def owed(
    plan: Plan,
    record: Record,
    name: ServiceName,
    now: datetime,
    wait: timedelta,
    own: frozenset[int] = frozenset(),
) -> tuple[Letter, ...]:
    """Return what is to be told now: written transitions that were not told yet, in order.

    wait: see `patience`. own: numbers of transitions that this process wrote, told at once. Of a
    rollout that ended nothing is told any more after a day.
    """
    if record.phase is Phase.DONE and record.at is not None and now - record.at > OWED_MOST:
        return ()
    numbered = record.numbered()
    news = [
        (number, t, heard)
        for place, (number, t) in enumerate(numbered)
        if (heard := _heard(record, t, is_last=place == len(numbered) - 1)) is not None
    ]
    letters: list[Letter] = []
    for one in plan.notify:
        told = record.heard.get(one.name, 0)
        mine = [new for new in news if new[0] > told and new[2] in one.events]
        # What may be told already by whoever wrote it is waited for: none overtakes another.
        ripe = takewhile(lambda new: new[0] in own or now - new[1].at >= wait, mine)
        letters += [
            Letter(one, _news(plan, record, name, *new)) for new in islice(ripe, AT_ONCE_MOST)
        ]
    return tuple(letters)


def owes(record: Record, name: ServiceName, now: datetime) -> bool:
    """Tell whether a rollout that ended still owes somebody a message."""
    if '"notify"' not in record.plan:
        return False
    try:
        plan = from_json(record.plan)
    except ValueError:
        return False
    return bool(owed(plan, record, name, now, timedelta(0)))


def told(record: Record, letters: Sequence[Letter], done: Sequence[bool]) -> dict[str, int]:
    """Return the marks after telling. done: whether a letter need not be sent again, by place."""
    marks = dict(record.heard)
    stuck: set[str] = set()
    for letter, is_done in zip(letters, done, strict=True):
        if not is_done:
            stuck.add(letter.to.name)
        if letter.to.name not in stuck:
            marks[letter.to.name] = letter.news.number
    return marks


def _heard(record: Record, transition: Transition, *, is_last: bool) -> Heard | None:
    """Return what people call a transition; None where they are not told of its kind."""
    match transition.what.split():
        case ["started"]:
            return Heard.STARTED
        case ["shift", "to", _]:
            return Heard.ADVANCED
        case ["step", "back", "to", _] | ["test", "at", _]:
            return Heard.STEPPED_BACK
        case ["asked:", _] | ["shift", "failed"]:
            return Heard.ASKED
        case ["rolled", "back"]:
            return Heard.ROLLED_BACK
        case ["roll", "back"] if is_last and record.phase is Phase.DONE:  # to a named revision
            return Heard.ROLLED_BACK
        case ["promoted"]:
            return Heard.PROMOTED
        case ["cancelled"]:
            return Heard.CANCELLED
        case ["hold", "stands", "still"] if transition.reason.startswith(SILENT):
            return Heard.OUTAGE
        case _:
            return _BY_NAME.get(transition.what)


_BY_NAME = {
    STUCK: Heard.STUCK,
    UNWATCHED: Heard.UNWATCHED,
    TAKEN_OVER: Heard.TAKEN_OVER,
    NOT_ROLLED_BACK: Heard.NOT_ROLLED_BACK,
}


# What is told ---------------------------------------------------------------------------------


def _news(
    plan: Plan, record: Record, name: ServiceName, number: int, t: Transition, heard: Heard
) -> News:
    place = name.place
    return News(
        heard,
        number,
        t.at,
        _what(record, t, heard),
        t.reason,
        t.by,
        _commands(record, heard, place),
        name,
        record.rollout,
        record.candidate,
        record.stable,
        record.stage + 1,
        len(plan.stages),
        record.weight,
    )


_WHAT: Mapping[Heard, str] = {
    Heard.STARTED: "the rollout of {candidate} starts",
    Heard.ADVANCED: "{candidate} gets {to} of the requests",
    Heard.STEPPED_BACK: "{candidate} steps back to {to}",
    Heard.ASKED: "a person is needed {here}",
    Heard.OUTAGE: "Monitoring does not answer: nothing advances {here}",
    Heard.STUCK: "the roll back does not come into force",
    Heard.TAKEN_OVER: "taken over by {by}: the rollout changes nothing any more",
    Heard.NOT_ROLLED_BACK: "{candidate} fails, and is not rolled back",
    Heard.UNWATCHED: "the rollout was unwatched, and is watched again",
    Heard.ROLLED_BACK: "rolled back: traffic is {split}",
    Heard.PROMOTED: "promoted: {candidate} serves everything",
    Heard.CANCELLED: "cancelled: the traffic stays as it is, and nobody watches",
}


def _what(record: Record, transition: Transition, heard: Heard) -> str:
    words = transition.what.split()
    told = "both revisions fail: {candidate} is lowered to {to} as a test"
    return (told if words[0] == "test" else _WHAT[heard]).format(
        candidate=record.candidate,
        to=words[-1],
        here=f"at {record.weight}%" if record.stage >= 0 else "before the first shift",
        by=transition.by,
        split=split_text(record.outcomes[-1].before if record.outcomes else record.before),
    )


def _commands(record: Record, heard: Heard, place: str) -> tuple[str, ...]:
    match heard:
        case Heard.ASKED | Heard.NOT_ROLLED_BACK if record.ask is not None:
            return hints.of_a_person(record, place)
        case Heard.TAKEN_OVER if record.phase is not Phase.DONE:
            words = ["resume", "rollback", "cancel"]
        case Heard.NOT_ROLLED_BACK if record.phase is not Phase.DONE:
            words = ["rollback", "status"]
        case Heard.PROMOTED:
            words = ["history", "rollback"]
        case Heard.CANCELLED:
            words = ["rollback", "history"]
        case Heard.STUCK if record.phase is not Phase.DONE:
            words = ["status", "rollback"]
        case _ if record.phase is Phase.DONE:
            words = ["history"]
        case _:
            words = ["status", "rollback"]
    return tuple(f"rollout {word} {place}" for word in words)


def tried(to: Notify, name: ServiceName, now: datetime) -> Letter:
    """Return a message by which somebody sees whether messages arrive; nothing happened."""
    place = name.place
    news = News(
        to.events[0],
        0,
        now,
        "this is a test: messages about its rollouts arrive here",
        f"`rollout notify test` was run; what will be told: {', '.join(to.events)}",
        "",
        (f"rollout status {place}",),
        name,
        f"test-{now:%Y%m%d-%H%M%S}",
        "",
        "",
        0,
        0,
        0,
        is_test=True,
    )
    return Letter(to, news)


# What is noted so that it can be told -----------------------------------------------------------


def gap_noted(
    plan: Plan, before: Record, decision: Decision, service: ServiceState, now: datetime
) -> Decision:
    """Return the decision with what the record's age tells, where it is written: nobody watched.

    before: the record as it was read; service: as it was seen. What another hand holds is not
    written, so its record's age tells nothing, nor does that of one whose hand just let go.
    """
    if decision.write is None or before.at is None or before.phase is Phase.DONE:
        return decision
    if before.hand is not None or service.asked != expected_split(before):
        return decision
    if now - before.at <= unwatched_after(plan, before, now):
        return decision
    text = f"nobody watched for {minutes_shown(now - before.at)}"
    after = decision.record
    known = set(before.transitions)
    old = tuple(t for t in after.transitions if t in known)
    new = tuple(t for t in after.transitions if t not in known)
    gap = Transition(now, UNWATCHED, text)  # it was before whatever is decided now
    noted = replace(after, transitions=(*old, gap, *new)[-TRANSITIONS_KEPT:], noted=after.noted + 1)
    said = Message(now, "warning", text)
    return replace(decision, record=noted, events=(said, *decision.events))


def hand_noted(
    plan: Plan, record: Record, service: ServiceState, now: datetime, unanswered: str = ""
) -> Record | None:
    """Return the record with the other hand that holds the traffic, and that the candidate fails.

    unanswered: what would have led to a roll back. None where all of that is known, or nobody is
    to be told of it: it is the one thing written while another hand holds the service, and it
    leaves the traffic list as it was found.
    """
    if not any({Heard.TAKEN_OVER, Heard.NOT_ROLLED_BACK} & set(one.events) for one in plan.notify):
        return None
    marked, by = record, cut(whose_hand(record, service))
    if record.hand is None or record.hand.split != digest_of(service):
        marked = replace(record, hand=Hand(by, digest_of(service)))
        marked = marked.noting(now, TAKEN_OVER, f"traffic is {split_text(service.asked)}", by)
    taken = next((t.at for t in reversed(marked.transitions) if t.what == TAKEN_OVER), now)
    if unanswered and not said_since(marked, NOT_ROLLED_BACK, taken):
        marked = marked.noting(now, NOT_ROLLED_BACK, f"{unanswered}; but {by} holds the traffic")
    return None if marked is record else marked


def said_since(record: Record, what: str, since: datetime) -> bool:
    """Tell whether a transition of this name was noted since then."""
    return any(one.what == what and one.at >= since for one in record.transitions)


def whose_hand(record: Record, service: ServiceState) -> str:
    """Return who changed the traffic: once that was noted, the last to write were we ourselves."""
    if record.hand is not None and record.hand.split == digest_of(service):
        return record.hand.by
    return service.last_modifier or "somebody"


def digest_of(service: ServiceState) -> str:
    """Return a short name of the split that a service is asked for."""
    text = json.dumps(service.asked, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:HAND_DIGEST]


def unwritten(
    plan: Plan, record: Record, name: ServiceName, now: datetime, reason: str
) -> tuple[Letter, ...]:
    """Return what is told of a takeover that cannot be noted: the record itself was taken."""
    happened = Transition(now, TAKEN_OVER, cut(reason), "another hand")
    news = _news(plan, record, name, 0, happened, Heard.TAKEN_OVER)
    place = name.place
    news = replace(news, by="", do=(f"rollout status {place}",))
    return tuple(Letter(one, news) for one in plan.notify if Heard.TAKEN_OVER in one.events)


def without_strangers(plan: Plan, marks: Mapping[str, int]) -> dict[str, int]:
    """Return the marks of those that the plan notifies."""
    known = {one.name for one in plan.notify}
    return {name: number for name, number in marks.items() if name in known}
