"""decide(plan, record, observation, now) → Decision. The order of the cases is the policy.

Rolling back stands before everything that can be unknown; a missing part of the observation
never hides a part that was seen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.asking import answered, ask_once
from controller.engine.decision import Action, Decision
from controller.engine.events import Message
from controller.engine.failing import BACKWARD, against, failed_gates, named
from controller.engine.observation import (
    Gone,
    NotSeen,
    Observation,
    Seen,
    ServiceState,
)
from controller.engine.record import AskKind, Phase, Record
from controller.engine.regions import in_line
from controller.engine.split import split_text
from controller.engine.staying import NO_ANSWER, before_first_shift, seen_events, watching
from controller.engine.telling import NOT_ROLLED_BACK, STUCK, said_since, whose_hand
from controller.engine.watching import (
    interval,
    watch,
)
from controller.engine.way_back import (
    deleted,
    narrowed_text,
    no_way_back,
    spared,
    unable,
    without,
)
from controller.engine.wording import minutes_shown
from controller.gates.verdict import word
from controller.plan.model import Plan

SHIFT_MAX = timedelta(minutes=15)
AGAIN_MOST = timedelta(minutes=1)  # between two writes that ask for a roll back again


def decide(plan: Plan, record: Record, observation: Observation, now: datetime) -> Decision:
    """Return what to do now, why, and when to look again. Pure: same in, same out."""
    match observation.service:
        case NotSeen(why):
            return moves.wait(record, f"Cloud Run does not answer: {why}", NO_ANSWER)
        case Gone(why):
            return moves.taken_over(record, now, f"the service is gone: {why}", NO_ANSWER)
        case Seen(service):
            decision = _decide_seen(plan, record, observation, service, now)
            backward = decision.record.phase in (Phase.ROLLING_BACK, Phase.DONE)
            gone = deleted(record, observation)
            rolls_back = decision.record.phase is Phase.ROLLING_BACK  # an end moves nothing by it
            names = unable(record, observation) if rolls_back else gone
            if backward and isinstance(observation.candidate, Gone):
                gone |= {record.candidate}
            decision = spared(decision, names, gone)
            only_a_person = _only_a_person(plan, decision)
            if only_a_person == decision.only_a_person:
                return decision
            return replace(decision, only_a_person=only_a_person)


def _only_a_person(plan: Plan, decision: Decision) -> bool:
    """Tell whether only a person can move it on: not where the plan answers for an approval."""
    ask = decision.record.ask
    approval = ask is not None and ask.kind is AskKind.APPROVAL
    answers = approval and plan.when.approvals is not None and not decision.record.paused
    return decision.only_a_person and (not answers or decision.action is Action.TAKEN_OVER)


def _decide_seen(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    if record.phase is Phase.DONE:
        return over(record)
    if service.uid != record.uid:
        reason = "the service was deleted and made anew; the old record is ignored"
        return moves.taken_over(record, now, reason, NO_ANSWER)
    if service.asked != moves.expected_split(record):
        return _other_hand(plan, record, observation, service, now)
    if record.hand is not None:
        record = replace(record, hand=None)  # it gave the traffic back
    if record.phase is Phase.ROLLING_BACK:
        return _rolling_back(record, observation, service, now)
    return _under_way(plan, record, observation, service, now)


def _under_way(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    lost = _candidate_lost(record, observation, service)
    way_back = no_way_back(record, observation)
    if lost and not way_back:
        return moves.roll_back(record, service, now, lost)
    narrowed = without(record, deleted(record, observation))
    if narrowed is not record and not way_back:
        return moves.narrow(narrowed, service, now, narrowed_text(record, narrowed))
    if record.shift is not None:
        return _shifting(plan, record, observation, service, now, way_back)
    if way_back or (record.ask and record.ask.kind is AskKind.NO_WAY_BACK):
        return _without_way_back(plan, record, observation, service, now, way_back, lost)
    if record.phase is Phase.STARTING:
        begins = in_line if record.waits_for else before_first_shift
        return begins(plan, record, observation, service, now)
    return watching(plan, record, observation, service, now)


# Somebody else --------------------------------------------------------------------------------


def _other_hand(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    asked = service.asked
    on_stable = (
        bool(asked) and not asked.get(record.candidate, 0) and set(asked) <= set(record.before)
    )
    if on_stable and record.weight:
        return moves.ended_by_hand(record, service, now)
    who = whose_hand(record, service)
    reason = (
        f"{who} changed the traffic to {split_text(asked)} "
        f"(the rollout had asked for {split_text(moves.expected_split(record))})"
    )
    watched = watch(plan, record, observation)  # while shifting it was the stage before
    failed = failed_gates(plan, record, watched.verdicts)
    lost = _candidate_lost(record, observation, service)
    unanswered = against(plan, observation, lost, failed)
    look = interval(plan, record, now)
    decision = moves.taken_over(watched.record, now, reason, look, watched.verdicts)
    told = unanswered or named(failed)
    if not told:
        return decision
    shout = f"taken over by {who}, and {told}: `rollout rollback` puts all on stable"
    events = (*decision.events, Message(now, "shout", shout))
    return replace(decision, events=events, unanswered=unanswered)


def over(record: Record) -> Decision:
    """Decide nothing: the rollout is done, which absorbs."""
    return moves.wait(record, "done", timedelta(0))


def vanished(record: Record, now: datetime, why: str) -> Decision:
    """Decide when the annotation is gone, foreign or went backwards while we remember ours."""
    return moves.taken_over(record, now, why, NO_ANSWER)


def _candidate_lost(record: Record, observation: Observation, service: ServiceState) -> str:
    match observation.candidate:
        case Gone() if _is_first_write(record) and not record.ask and service.reconciling:
            return ""  # it may be in the making: our first write deploys it (`apply --image`)
        case Gone():
            return f"the candidate {record.candidate} was deleted"
        case Seen(revision) if revision.ready is False and _is_first_write(record):
            return f"the candidate is not ready: {revision.why or 'no reason given'}"
        case Seen(revision) if revision.ready is False:
            return f"the candidate lost its readiness: {revision.why or 'no reason given'}"
        case _:
            return ""


def _without_way_back(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    now: datetime,
    way_back: str,
    lost: str,
) -> Decision:
    look = interval(plan, record, now)
    if not way_back:
        back = replace(record, ask=None).resumed(now)
        text = f"stable {record.stable} is ready again"
        return moves.note(back, service, now, text, look, transition="way back")
    watched = watch(plan, record, observation) if record.in_force else None
    failed = failed_gates(plan, record, watched.verdicts) if watched else []
    record = watched.record if watched else record
    unanswered = against(plan, observation, lost, failed)
    shout = unanswered or named(failed)
    events = (Message(now, "shout", f"{shout}; but {way_back}"),) if shout else ()
    ask = record.ask if record.ask and record.ask.kind is AskKind.NO_WAY_BACK else None
    if ask and unanswered and not said_since(record, NOT_ROLLED_BACK, ask.since):
        text = f"{unanswered}; but {way_back}"
        return moves.note(
            record, service, now, text, look, events=events, transition=NOT_ROLLED_BACK
        )
    decision = ask_once(plan, record, service, now, AskKind.NO_WAY_BACK, way_back)
    return replace(decision, events=(*events, *decision.events))


# Shifting and rolling back --------------------------------------------------------------------


def _is_first_write(record: Record) -> bool:
    """Tell whether the write that began the rollout is not yet known to be in force."""
    return record.phase is Phase.STARTING and record.shift is not None


def _is_being_made(record: Record, observation: Observation, service: ServiceState) -> bool:
    """Tell whether the candidate that our first write deployed is not yet there, or not yet ready.

    Where it is not seen, the service still tells whether its newest revision was ever ready.
    """
    if not _is_first_write(record):
        return False
    match observation.candidate:
        case Gone():
            return True
        case Seen(revision):
            return revision.ready is None
        case NotSeen():
            newest = service.latest_created == record.candidate
            return newest and service.latest_ready != record.candidate


def _is_in_force(record: Record, service: ServiceState) -> bool:
    return not service.reconciling and service.in_force == moves.expected_split(record)


def _rolling_back(
    record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    if _is_in_force(record, service):
        return moves.rolled_back(record, service, now)
    assert record.shift is not None
    narrowed = without(record, unable(record, observation))
    if narrowed is not record:  # all of it would be refused for the sake of one
        again = replace(narrowed, shift=replace(record.shift, at=now))
        text = narrowed_text(record, narrowed)
        return moves.note(again, service, now, text, moves.POLL, transition=moves.NARROWED)
    waited = now - record.shift.at
    if service.reconciling and waited < SHIFT_MAX:
        return moves.wait(record, "the roll back is not yet in force", moves.POLL)
    text = f"the roll back is not in force after {minutes_shown(waited)}; asked for again"
    shout = Message(now, "shout", text)
    once = "" if said_since(record, STUCK, record.shift.at) else STUCK
    pause = min(max(waited / 8, moves.SOON), AGAIN_MOST)
    return moves.note(record, service, now, text, pause, events=(shout,), transition=once)


def _shifting(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    now: datetime,
    way_back: str,
) -> Decision:
    """Judge the stage before until the split is in force; then note that it is."""
    watched = watch(plan, record, observation)
    record = watched.record
    events = seen_events(record, watched, now)
    record = record.after_look(verdicts={n: word(v) for n, v in watched.verdicts.items()})
    failed = [why for on, why in failed_gates(plan, record, watched.verdicts) if on in BACKWARD]
    reason = f"while shifting to {record.weight}%: {'; '.join(failed)}"
    if failed and way_back:
        events = (*events, Message(now, "shout", f"{reason}; but {way_back}"))
    if failed and not way_back:
        decision = moves.roll_back(record, service, now, reason)
    elif _is_in_force(record, service) and not _is_being_made(record, observation, service):
        arrive = moves.promoted if record.phase is Phase.PROMOTING else moves.in_force
        decision = arrive(plan, record, service, now)
    else:
        decision = _not_in_force(plan, record, service, now, way_back)
    return decision.after_look(events, watched.verdicts)


def _not_in_force(
    plan: Plan, record: Record, service: ServiceState, now: datetime, way_back: str
) -> Decision:
    assert record.shift is not None
    waited = now - record.shift.at
    failed = service.ready is False and not service.reconciling
    if not failed and waited <= SHIFT_MAX:
        asked = (
            "the record is written" if _is_first_write(record) else f"{record.weight}% asked for"
        )
        return moves.wait(record, f"{asked}, not yet in force", moves.POLL)
    first = _is_first_write(record) and record.ask is None
    what = "the first write" if first else f"the shift to {record.weight}%"
    why = (
        f"{what} failed: {service.ready_message}"
        if failed
        else f"{what} is not in force after {minutes_shown(waited)}"
    )
    if way_back:
        shout = Message(now, "shout", f"{why}; but {way_back}")
        text = f"{way_back}; {why}"
        decided = ask_once(plan, record, service, now, AskKind.NO_WAY_BACK, text)
        return replace(decided, look_again=moves.SOON, events=(shout, *decided.events))
    if record.trial is not None and record.weight > record.shift.weight_before:
        return moves.roll_back(record, service, now, why)
    if record.weight > record.shift.weight_before:
        return moves.shift_failed(plan, record, service, now, why)
    decision = answered(plan, record, service, now, why)
    if decision is not None:
        return decision
    if record.phase is Phase.STARTING and record.ask is None:
        return moves.roll_back(record, service, now, why)
    if waited > 2 * SHIFT_MAX and record.ask is None:
        return moves.roll_back(record, service, now, why)
    shout = Message(now, "shout", f"{why}; asked for again")
    return moves.note(record, service, now, why, moves.SOON, events=(shout,))
