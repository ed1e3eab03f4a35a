"""Who sends the checks: one controller at a time, which the record names. Pure.

Two that send at once would count each other's requests as evidence: nobody knows what another has
sent before it writes. So the one on duty sends; any other judges gates and readiness, takes out
what the one on duty may have sent, and leaves to it whatever hangs on a check.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.engine import moves
from controller.engine.decision import Action, Decision
from controller.engine.observation import ServiceState
from controller.engine.own import assume_own
from controller.engine.record import Phase, Record
from controller.engine.watching import SETTLE, hold_of, interval, unwatched_after
from controller.gates.evidence import MINUTE
from controller.plan.model import Plan

SCHEDULE = "schedule"  # what all runs of one pass are called: a schedule of them is one controller
ELSEWHERE = "sent by the controller on duty"


def assumed(plan: Plan, record: Record, controller: str, now: datetime) -> Record:
    """Return the record with the requests that its writer's like may have sent since it wrote.

    A schedule's earlier passes looked once an interval. Another controller may have sent in any
    minute, this one and the next included: it may be at it right now. Nobody on duty sent nothing.
    """
    if not record.duty:
        return record
    if record.duty == controller:
        step = interval(plan, record, now)
        return assume_own(plan, record, step, now, _end_of_hold(plan, record))
    return assume_own(plan, record, MINUTE, now + MINUTE)


def _end_of_hold(plan: Plan, record: Record) -> datetime | None:
    """Return when the hold's end is looked at, out of step with the looks before."""
    if record.in_force is None or record.stopped is not None:
        return None
    return record.in_force + SETTLE + record.uncounted + hold_of(plan, record)


def settled(
    plan: Plan,
    record: Record,
    decision: Decision,
    service: ServiceState,
    now: datetime,
    controller: str,
    *,
    attaching: bool,
) -> Decision:
    """Return the decision as a controller may carry it out that the record read may not name.

    It sends no heartbeat for another: the record's age tells whether the one on duty lives. It
    takes the duty over where nobody has it, where the record is stale, or where it is attaching;
    that is written even where the decision writes nothing.
    """
    over = (Phase.DONE, Phase.ROLLING_BACK)
    if record.duty == controller or decision.action is Action.TAKEN_OVER:
        return decision
    if decision.record.phase in over:
        return decision
    if _is_heartbeat(record, decision):
        decision = replace(decision, action=Action.WAIT, write=None)
    stale = record.at is None or now - record.at > unwatched_after(plan, record, now)
    if record.duty and not stale and not attaching:
        return decision
    taken = replace(decision.record, duty=controller)
    if decision.write is not None:
        return replace(decision, record=taken)
    if record.shift is not None:
        return decision  # no check is sent before it is in force, and that is written
    # Its checks wait for the next look: a process of a few minutes shall live to send them.
    soon = min(decision.look_again, moves.SOON)
    note = moves.note(taken, service, now, decision.reason, soon)
    return replace(note, events=decision.events, verdicts=decision.verdicts, opens=decision.opens)


def handed_over(
    record: Record, service: ServiceState, now: datetime, controller: str
) -> Decision | None:
    """Return the write that gives the duty up; None where it is not ours, or nothing is written."""
    over = record.phase in (Phase.DONE, Phase.ROLLING_BACK)
    theirs = service.uid != record.uid or service.asked != moves.expected_split(record)
    if over or theirs or record.duty != controller:
        return None
    return moves.note(replace(record, duty=""), service, now, "off duty", moves.SOON)


def _is_heartbeat(record: Record, decision: Decision) -> bool:
    same = decision.record.transitions == record.transitions
    return decision.action is Action.NOTE and same and record.shift is None
