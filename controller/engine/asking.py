"""Asking a person, what an answer means, and what nobody's answer leads to. Pure.

An approval lets the rollout enter a stage. Every other yes waives what is open: it ends the ask,
and only where the hold was over already does it also lead on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.decision import Decision
from controller.engine.observation import ServiceState
from controller.engine.record import Ask, AskKind, Record, cut
from controller.engine.watching import heartbeat, interval
from controller.engine.wording import minutes_shown
from controller.plan.model import Plan, Then


def next_stage(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str
) -> Decision:
    """Enter the stage that follows, ask for its approval first, or promote after the last."""
    following = record.stage + 1
    if following >= len(plan.stages):
        return moves.promote(plan, record, service, now, reason)
    if plan.stages[following].approval and following not in record.approved:
        why = f"{plan.stages[following].weight}% needs an approval"
        return ask_once(plan, record, service, now, AskKind.APPROVAL, why)
    return moves.enter_stage(plan, record, service, following, now, reason)


def kept(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str, look: timedelta
) -> Decision:
    """Wait, but write the record when it has gone unwritten too long: that is the heartbeat."""
    if record.at is None or now - record.at >= heartbeat(plan, record):
        return moves.note(record, service, now, reason, look)
    return moves.wait(record, reason, look)


def ask_once(
    plan: Plan, record: Record, service: ServiceState, now: datetime, kind: AskKind, why: str
) -> Decision:
    """Ask, or go on waiting for the answer to the same question."""
    look = interval(plan, record, now)
    if record.ask is not None and record.ask.kind is kind:
        return kept(plan, record, service, now, record.ask.reason, look)
    return moves.ask(record, service, now, Ask(kind, cut(why), now), look)


def answered(
    plan: Plan, record: Record, service: ServiceState, now: datetime, why: str
) -> Decision | None:
    """Return what an answer, or nobody's, leads to; None while we go on waiting.

    An approval is not answered here: whether its stage may still be left is judged once more.
    """
    ask = record.ask
    if ask is None or ask.kind.waits_for_ever:
        return None
    following = record.stage + 1
    if following in record.waived:
        return _gone_on(plan, record, service, now, f"approved: {ask.reason}")
    rule = plan.when.nobody_answers
    if now - ask.since < rule.after:
        return None
    silence = f"{why}; nobody answered for {minutes_shown(now - ask.since)}"
    if rule.then is Then.ADVANCE:
        waived = replace(record, waived=(*record.waived, following))
        return _gone_on(plan, waived, service, now, silence)
    return moves.roll_back(record, service, now, silence)


def _gone_on(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str
) -> Decision:
    assert record.ask is not None
    if record.ask.kind in (AskKind.UNDECIDED, AskKind.SHIFT_FAILED):
        return next_stage(plan, record, service, now, reason)
    back = replace(record, ask=None).resumed(now)
    look = interval(plan, record, now)
    return moves.note(back, service, now, reason, look, transition="hold goes on")
