"""Asking a person, what an answer means, and what nobody's answer leads to. Pure.

An approval lets the rollout enter a stage. Every other yes waives what is open: it ends the ask,
and only where the hold was over already does it also lead on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.decision import Decision
from controller.engine.events import Message
from controller.engine.observation import ServiceState
from controller.engine.record import Ask, AskKind, Record, cut
from controller.engine.watching import heartbeat, held, hold_of, interval
from controller.engine.wording import minutes_shown
from controller.plan.model import AdvanceOnly, Plan, Then
from controller.plan.window import closed_text, is_open, next_opening

WAITS = "waits for the window"
PATIENT = timedelta(minutes=15)


def next_stage(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str
) -> Decision:
    """Enter the stage that follows, or promote after the last: with its approval, in the window.

    The approval is asked for while the window is closed too, so that it is there when it opens.
    """
    following = record.stage + 1
    is_last = following >= len(plan.stages)
    if not is_last and plan.stages[following].approval and following not in record.approved:
        why = f"{plan.stages[following].weight}% needs an approval"
        unapproved = _not_approved(plan, record, service, now, why)
        return unapproved or ask_once(plan, record, service, now, AskKind.APPROVAL, why)
    rule = plan.when.advance_only
    if rule is not None and not is_open(rule, now):
        return _until_the_window(plan, rule, record, service, now)
    if is_last:
        return moves.promote(plan, record, service, now, reason)
    return moves.enter_stage(plan, record, service, following, now, reason)


def _until_the_window(
    plan: Plan, rule: AdvanceOnly, record: Record, service: ServiceState, now: datetime
) -> Decision:
    """Wait for the window, judged as ever: what was asked is answered, and said once in the record.

    Before the first shift nothing is measured, so its checks need not be sent as often.
    """
    opens = next_opening(rule, now)
    reason = f"ready for what comes next; {closed_text(rule, now)}"
    look = interval(plan, record, now) if record.stage >= 0 else PATIENT
    if opens is not None:
        look = min(look, max(opens - now, timedelta(seconds=1)))
    last = record.transitions[-1].what if record.transitions else ""
    if record.ask is not None or last != WAITS:
        back = replace(record, ask=None).resumed(now)
        decision = moves.note(back, service, now, reason, look, transition=WAITS)
        said = Message(now, "info", reason)
        return replace(decision, opens=opens, events=(*decision.events, said))
    return replace(kept(plan, record, service, now, reason, look), opens=opens)


def _not_approved(
    plan: Plan, record: Record, service: ServiceState, now: datetime, why: str
) -> Decision | None:
    """Return what the plan says of an approval that nobody gives; None while it is waited for.

    Where it lets the rollout go on, that is noted as an approval is, and acted on by the next look.
    """
    ask, rule = record.ask, plan.when.approvals
    if ask is None or ask.kind is not AskKind.APPROVAL or rule is None:
        return None
    if record.stage + 1 in record.approved:
        return None
    if now - ask.since < rule.after:
        return None
    silence = f"{why}; nobody gave it for {minutes_shown(now - ask.since)}"
    if rule.then is not Then.ADVANCE:
        return moves.roll_back(record, service, now, silence)
    yes = replace(record, approved=(*record.approved, record.stage + 1))
    return moves.note(yes, service, now, silence, moves.SOON, transition="goes on unapproved")


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

    A person's approval is not answered here: whether the stage may still be left is judged first.
    """
    ask = record.ask
    if ask is not None and ask.kind is AskKind.APPROVAL:
        return _not_approved(plan, record, service, now, why)
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


def began_anew(plan: Plan, record: Record, now: datetime) -> tuple[str, ...]:
    """Return, as a sentence, that the stage was begun anew while a person was asked; else nothing.

    Its traffic was another hand's in between, or stable's revisions changed: what the hold had
    shown until the ask is no evidence of it any more.
    """
    left = hold_of(plan, record) - held(record, now)
    if left <= timedelta(0):
        return ()
    return (f"the stage began anew, {minutes_shown(left)} of its hold are left",)


def _gone_on(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str
) -> Decision:
    assert record.ask is not None
    leads_on = record.ask.kind is AskKind.UNDECIDED and not began_anew(plan, record, now)
    if leads_on or record.ask.kind is AskKind.SHIFT_FAILED:
        return next_stage(plan, record, service, now, reason)
    back = replace(record, ask=None).resumed(now)
    look = interval(plan, record, now)
    return moves.note(back, service, now, reason, look, transition="hold goes on")
