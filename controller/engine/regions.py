"""Several regions, one after the other: when it is a region's turn, and what is looked at then.

Pure. Every region has a record of its own from the beginning; a later one names the region that
must be promoted, bake included, before its own first shift. So any tick can take a rollout across.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from controller.engine import moves
from controller.engine.asking import kept
from controller.engine.codec import read
from controller.engine.decision import Decision
from controller.engine.events import Event, Message, Started
from controller.engine.lost import lost_of
from controller.engine.observation import Gone, NotSeen, Observation, Seen, ServiceState
from controller.engine.preflight import preflight
from controller.engine.record import Outcome, Phase, Record
from controller.engine.recordless import BY_HAND
from controller.plan.model import Plan

LOOK = timedelta(minutes=5)
NOT_BEGUN_MAX = timedelta(hours=1)
"""The regions are written last to first; one that dies in between has so long to be run again."""
TURN = "its turn"


class Turn(Enum):
    """Whether a region may begin."""

    NOT_BEGUN = auto()  # the region before has nothing of this rollout yet
    WAITS = auto()
    COME = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Told:
    """What the region before tells: whether it is this one's turn, and why."""

    turn: Turn
    why: str


def turn_of(record: Record, earlier: Seen[ServiceState] | NotSeen | Gone) -> Told:
    """Return what the region before this one tells. earlier: the service there."""
    region = record.after
    match earlier:
        case NotSeen(why):
            return Told(Turn.WAITS, f"{region} is not seen: {why}")
        case Gone(why):
            return Told(Turn.NEVER, f"there is no service in {region} any more: {why}")
        case Seen(service):
            return _of_record(record, service)


def in_line(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    """Wait for the region before; when it is promoted look at stable anew, and begin."""
    told = turn_of(record, observation.earlier)
    lost = told.turn is Turn.NOT_BEGUN and now - record.started >= NOT_BEGUN_MAX
    if lost or told.turn is Turn.NEVER:
        return moves.roll_back(record, service, now, f"never began here: {told.why}")
    if record.paused is not None:
        return kept(plan, record, service, now, f"paused by {record.paused.by}", LOOK)
    if told.turn is not Turn.COME:
        return kept(plan, record, service, now, told.why, LOOK)
    found = preflight(plan, service, record.candidate, observation.history, now)
    if found.refusals:
        reason = f"never began here: {'; '.join(found.refusals)}"
        return moves.roll_back(record, service, now, reason)
    begun = replace(record, after="", history=found.history)
    warnings = tuple(Message(now, "warning", text) for text in found.warnings)
    events: tuple[Event, ...] = (_started(plan, begun, service, now), *warnings)
    return moves.note(begun, service, now, told.why, moves.SOON, transition=TURN, events=events)


def its_turn_came(record: Record) -> datetime:
    """Return since when the first shift is prepared."""
    came = (entry.at for entry in reversed(record.transitions) if entry.what == TURN)
    return next(came, record.started)


def _of_record(record: Record, service: ServiceState) -> Told:
    region = record.after
    missing = Told(
        Turn.NOT_BEGUN, f"the rollout has not begun in {region}; `rollout apply` again begins it"
    )
    lost = lost_of(service)
    if lost is not None:
        return Told(Turn.WAITS, f"in {region}: {lost.told}")
    if service.record_text is None:
        return missing
    there = read(service.record_text)
    if there.phase is not Phase.DONE and there.rollout == record.rollout:
        return Told(Turn.WAITS, f"its turn comes when {region} is promoted")
    ended = _ended(record, there)
    if ended is None:
        return missing
    if ended.outcome == "promoted":
        return Told(Turn.COME, f"{region} is promoted")
    return Told(Turn.NEVER, f"{ended.outcome.replace('_', ' ')} in {region}: {ended.reason}")


def _ended(record: Record, there: Record) -> Outcome | None:
    """Return how this rollout ended there: the last word counts, for a person may undo it.

    Who ends one whose record is lost does not know its id; what was ended since ours began is it.
    """
    ours = (
        one
        for one in reversed(there.outcomes)
        if one.rollout == record.rollout or (one.rollout == BY_HAND and one.at >= record.started)
    )
    return next(ours, None)


def _started(plan: Plan, record: Record, service: ServiceState, now: datetime) -> Started:
    stages = tuple((stage.weight, stage.hold) for stage in plan.stages)
    names = (record.rollout, service.name.service, record.candidate, record.stable)
    return Started(now, *names, stages, attached=True, history=record.history)
