"""Looking at a rollout without acting: what its record tells, look after look, as ticks and events.

A look is one read of the service, and with `measured` a question to Monitoring for the minutes
since the record was written. Nothing is ever written. The events are those that the controller told
when it wrote: what happened between two looks is read off the record's transitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from controller.cli.views.standing import Standing, standing
from controller.engine import moves
from controller.engine.codec import Unreadable
from controller.engine.decision import Decision, State
from controller.engine.duty import assumed
from controller.engine.events import Asked, Decided, Event, Judged, Message, Shifted, Started
from controller.engine.lost import Vanished, lost_of
from controller.engine.observation import NotSeen, Observation, Seen, ServiceName
from controller.engine.record import Phase, Record, Transition
from controller.engine.split import shares
from controller.engine.watching import watch, windows
from controller.engine.wording import minutes_shown
from controller.gates.evidence import Query, Readings
from controller.gates.verdict import word
from controller.plan.compact import from_json
from controller.plan.model import Plan
from controller.ports import MetricSource, PortError, Ports
from controller.reconciler import Tick

EVERY = timedelta(seconds=30)  # between looks while nothing is in flight
_IN_FLIGHT = (State.STARTING, State.SHIFTING, State.ROLLING_BACK)
_ASKED_FOR = re.compile(r"(?:shift to|step back to|test at|back to) (\d{1,3})%")
_IN_FORCE = re.compile(r"(\d{1,3})% in force")
_ASKED = "asked: "
_TOLD_OTHERWISE = re.compile(r"rolled back|promoted|cancelled|started")


class Looker:
    """Looks at the rollout of one service: the one that it saw first.

    place: what commands call the service. measured: ask Monitoring as well.
    """

    def __init__(self, ports: Ports, name: ServiceName, place: str, *, measured: bool) -> None:
        self._ports = ports
        self._name = name
        self._place = place
        self._measured = measured
        self._record: Record | None = None  # as of the last look
        self._verdicts: dict[str, str] = {}
        self._state: State | None = None
        self._is_unwatched = False

    def look(self) -> Tick | None:
        """Look once; None: there is no rollout.

        Raises PortError; Unreadable and Vanished where nothing was seen of it before.
        """
        service = self._ports.router.observe(self._name)
        here = standing(service, self._ports.clock.now(), self._place)
        if here.unreadable:
            raise Unreadable(here.unreadable)
        if self._record is None and here.record is None:
            lost = lost_of(service)
            if lost is not None:
                raise Vanished(lost)
            return None
        if self._measured:
            here = measured(here, self._ports.metrics)
        decision = self._decision(here)
        events = tuple(self._events(decision, here))
        self._record, self._state = decision.record, decision.state
        self._verdicts |= {name: word(verdict) for name, verdict in decision.verdicts.items()}
        self._is_unwatched = here.unwatched
        plan = here.plan if decision.record is here.record else None
        return Tick(
            here.at, decision, Observation(Seen(service)), events, plan, decision.look_again
        )

    def _decision(self, here: Standing) -> Decision:
        """Return where it stands, in the form in which a controller would say it."""
        record, known = here.record, self._record
        if known is not None and (record is None or here.state is None):
            why = "the record vanished from the service"
            return moves.taken_over(known, here.at, why, EVERY)
        assert record is not None
        if known is not None and record.rollout != known.rollout:
            return _replaced(known, record, here.at)
        if here.state is State.TAKEN_OVER:
            return moves.taken_over(record, here.at, here.waits, EVERY, here.verdicts)
        soon = moves.POLL if here.state in _IN_FLIGHT else EVERY
        waiting = moves.wait(record, here.waits or here.word, soon)
        return replace(waiting, verdicts=here.verdicts)

    def _events(self, decision: Decision, here: Standing) -> Iterator[Event]:
        record, known = decision.record, self._record
        if known is None:
            yield _started(here, record)
        for gate, verdict in decision.verdicts.items():
            if self._verdicts.get(gate) != word(verdict):
                yield Judged(here.at, gate, verdict)
        if known is not None:
            for one in _since(record.transitions, known.transitions[-1:]):
                yield from _told(one, record)
        if record.ask is not None and known is None:
            ask = record.ask
            yield Asked(ask.since, ask.kind.value, ask.reason, record.stage)
        if decision.state is State.TAKEN_OVER is not self._state:
            yield from decision.events
        if here.unwatched and not self._is_unwatched and here.age is not None:
            text = f"nobody has watched for {minutes_shown(here.age)}: no gate can roll it back"
            yield Message(here.at, "shout", text)
        if decision.state is not self._state:
            yield Decided(here.at, decision.action.value, decision.reason, decision.look_again)


def _started(here: Standing, record: Record) -> Started:
    plan = here.plan or _plan_of(record)
    stages = tuple((stage.weight, stage.hold) for stage in plan.stages) if plan else ()
    names = (record.rollout, here.name.service, record.candidate, record.stable)
    return Started(here.at, *names, stages, attached=True, history=record.history)


def _plan_of(record: Record) -> Plan | None:
    try:
        return from_json(record.plan)
    except ValueError:
        return None


def _since(
    transitions: tuple[Transition, ...], seen: tuple[Transition, ...]
) -> tuple[Transition, ...]:
    """Return the transitions after the last one seen; all of them where that fell off the end."""
    if not seen or seen[0] not in transitions:
        return transitions
    return transitions[transitions.index(seen[0]) + 1 :]


def _told(one: Transition, record: Record) -> Iterator[Event]:
    """Yield what the controller told when it wrote this transition."""
    asked, in_force = _ASKED_FOR.fullmatch(one.what), _IN_FORCE.fullmatch(one.what)
    found = asked or in_force
    if found is not None or one.what == "roll back":
        weight = int(found[1]) if found is not None else 0
        split = shares(record.before, record.candidate, weight)
        reason = "in force" if in_force else one.reason
        yield Shifted(one.at, split, in_force=in_force is not None, reason=reason)
    elif one.what.startswith(_ASKED):
        yield Asked(one.at, one.what.removeprefix(_ASKED), one.reason, record.stage)
    elif not _TOLD_OTHERWISE.fullmatch(one.what):
        who = f" (by {one.by})" if one.by and one.by not in one.reason else ""
        yield Message(one.at, "info", f"{one.what}: {one.reason}{who}")


def _replaced(known: Record, record: Record, now: datetime) -> Decision:
    """Another rollout is on the service: ours ended unseen, or somebody wrote over it."""
    for outcome in record.outcomes:
        if outcome.candidate == known.candidate and outcome.at >= known.started:
            outcomes = (*known.outcomes, outcome)
            ended = replace(known, phase=Phase.DONE, ask=None, paused=None, outcomes=outcomes)
            return moves.wait(ended, "done", EVERY)
    why = f"another rollout's record ({record.rollout}) replaced the one that was followed"
    return moves.taken_over(known, now, why, EVERY)


def measured(here: Standing, metrics: MetricSource) -> Standing:
    """Return the standing with what Monitoring has measured since the record was written."""
    if here.record is None or here.plan is None or here.record.in_force is None:
        return here
    record = assumed(here.plan, here.record, "", here.at)
    asked = windows(here.plan, record, here.at)
    revisions = tuple(dict.fromkeys((record.candidate, *record.before)))
    readings: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, window in asked.items():
        try:
            read = metrics.read(here.name, query, revisions, window.start, window.end)
            readings[query] = Seen(read)
        except PortError as error:
            readings[query] = NotSeen(error.what)
    seen = Observation(NotSeen("not asked"), readings=readings, windows=asked)
    watched = watch(here.plan, record, seen)
    blind = f"{here.waits}; Monitoring does not answer: {watched.blind}" if watched.blind else ""
    return replace(here, verdicts=watched.verdicts, waits=blind or here.waits)
