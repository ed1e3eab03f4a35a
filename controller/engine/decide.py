"""decide(plan, record, observation, now) → Decision. The order of the cases is the policy.

Rolling back stands before everything that can be unknown; a missing part of the observation
never hides a part that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.decision import Decision
from controller.engine.events import Event, Judged, Message, Observed
from controller.engine.observation import (
    CheckOutcome,
    Gone,
    NotSeen,
    Observation,
    Seen,
    ServiceState,
)
from controller.engine.preflight import share_surprise
from controller.engine.record import Ask, AskKind, Phase, Record, cut
from controller.engine.split import split_text
from controller.engine.watching import (
    SETTLE,
    Watched,
    covered,
    heartbeat,
    held,
    hold_of,
    interval,
    last_seen,
    watch,
)
from controller.engine.wording import minutes_shown
from controller.gates.verdict import Fail, Pass, Undecided, Verdict, Why, word
from controller.plan.model import (
    BothFailing,
    CheckWhen,
    NewRevision,
    OnFail,
    Plan,
    RequestCount,
    ResponseRate,
    Then,
)

SHIFT_MAX = timedelta(minutes=15)
BLIND_GRACE = timedelta(minutes=10)  # a single lost answer is no outage
PRECHECK_MAX = timedelta(minutes=15)
NO_ANSWER = timedelta(seconds=30)


def decide(plan: Plan, record: Record, observation: Observation, now: datetime) -> Decision:
    """Return what to do now, why, and when to look again. Pure: same in, same out."""
    match observation.service:
        case NotSeen(why):
            return moves.wait(record, f"Cloud Run does not answer: {why}", NO_ANSWER)
        case Gone(why):
            return moves.taken_over(record, now, f"the service is gone: {why}", NO_ANSWER)
        case Seen(service):
            return _decide_seen(plan, record, observation, service, now)


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
    if record.phase is Phase.ROLLING_BACK:
        return _rolling_back(record, service, now)
    lost = _candidate_lost(record, observation)
    way_back = _no_way_back(record, observation)
    if lost and not way_back:
        return moves.roll_back(record, service, now, lost)
    if record.shift is not None:
        return _shifting(plan, record, service, now)
    if way_back or (record.ask and record.ask.kind is AskKind.NO_WAY_BACK):
        return _without_way_back(plan, record, observation, service, now, way_back, lost)
    if record.phase is Phase.STARTING:
        return _before_first_shift(plan, record, observation, service, now)
    return _watching(plan, record, observation, service, now)


# Somebody else --------------------------------------------------------------------------------


def _other_hand(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    asked = service.asked
    on_stable = not asked.get(record.candidate, 0) and set(asked) <= set(record.before)
    if on_stable and record.weight:
        return moves.ended_by_hand(record, service, now)
    who = service.last_modifier or "somebody"
    reason = (
        f"{who} changed the traffic to {split_text(asked)} "
        f"(the rollout had asked for {split_text(moves.expected_split(record))})"
    )
    watched = watch(plan, record, observation) if record.in_force else None
    failed = _failures(plan, record, watched.verdicts) if watched else {}
    decision = moves.taken_over(
        record, now, reason, interval(plan, record, now), watched.verdicts if watched else None
    )
    if not failed:
        return decision
    shout = f"taken over by {who}, and {_named(failed)}: `rollout rollback` puts all on stable"
    return replace(decision, events=(*decision.events, Message(now, "shout", shout)))


def over(record: Record) -> Decision:
    """Decide nothing: the rollout is done, which absorbs."""
    return moves.wait(record, "done", timedelta(0))


def vanished(record: Record, now: datetime, why: str) -> Decision:
    """Decide when the annotation is gone, foreign or went backwards while we remember ours."""
    return moves.taken_over(record, now, why, NO_ANSWER)


def _candidate_lost(record: Record, observation: Observation) -> str:
    match observation.candidate:
        case Gone():
            return f"the candidate {record.candidate} was deleted"
        case Seen(revision) if revision.ready is False:
            return f"the candidate lost its readiness: {revision.why or 'no reason given'}"
        case _:
            return ""


def _no_way_back(record: Record, observation: Observation) -> str:
    match observation.stable:
        case Gone():
            return f"no way back: stable {record.stable} was deleted"
        case Seen(revision) if revision.ready is False:
            return f"no way back: stable {record.stable} is not ready: {revision.why}"
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
        back = _resumed(replace(record, ask=None), now)
        text = f"stable {record.stable} is ready again"
        return moves.note(back, service, now, text, look, transition="way back")
    watched = watch(plan, record, observation) if record.in_force else None
    failed = _failures(plan, record, watched.verdicts) if watched else {}
    shout = lost or (_named(failed) if failed else "")
    events = (Message(now, "shout", f"{shout}; but {way_back}"),) if shout else ()
    if record.ask and record.ask.kind is AskKind.NO_WAY_BACK:
        return moves.wait(record, way_back, look, events=events)
    return moves.ask(record, service, now, Ask(AskKind.NO_WAY_BACK, cut(way_back), now), look)


# Shifting and rolling back --------------------------------------------------------------------


def _is_in_force(record: Record, service: ServiceState) -> bool:
    return not service.reconciling and service.in_force == moves.expected_split(record)


def _rolling_back(record: Record, service: ServiceState, now: datetime) -> Decision:
    if _is_in_force(record, service):
        return moves.rolled_back(record, service, now)
    assert record.shift is not None
    waited = now - record.shift.at
    if service.reconciling and waited < SHIFT_MAX:
        return moves.wait(record, "the roll back is not yet in force", moves.POLL)
    text = f"the roll back is not in force after {minutes_shown(waited)}; asked for again"
    shout = Message(now, "shout", text)
    return moves.note(record, service, now, text, moves.SOON, events=(shout,))


def _shifting(plan: Plan, record: Record, service: ServiceState, now: datetime) -> Decision:
    if _is_in_force(record, service):
        return moves.in_force(record, service, now)
    assert record.shift is not None
    waited = now - record.shift.at
    raised = record.weight > record.shift.weight_before
    if raised and service.ready is False and not service.reconciling:
        why = f"the shift to {record.weight}% failed: {service.ready_message}"
        return moves.shift_failed(plan, record, service, now, why)
    if raised and waited > SHIFT_MAX:
        why = f"the shift to {record.weight}% is not in force after {minutes_shown(waited)}"
        return moves.shift_failed(plan, record, service, now, why)
    return moves.wait(record, f"{record.weight}% asked for, not yet in force", moves.POLL)


# Before the first shift -----------------------------------------------------------------------


def _before_first_shift(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    if record.paused:
        return moves.wait(record, f"paused by {record.paused.by}", NO_ANSWER)
    open_checks = []
    for check in plan.checks:
        if check.when is CheckWhen.STAGES:
            continue
        match observation.checks.get(check.name, NotSeen("not sent yet")):
            case Seen(seen) if seen.outcome is CheckOutcome.FAILED:
                why = f"check {check.name}: {seen.reason}"
                if check.on_fail is OnFail.OBSERVE:
                    continue
                if check.on_fail is OnFail.ASK and 0 not in record.approved:
                    return _ask_once(record, service, now, AskKind.GATE, why, NO_ANSWER)
                if check.on_fail is not OnFail.ASK:
                    return moves.roll_back(record, service, now, why)
            case Seen(seen) if seen.outcome is CheckOutcome.UNDECIDED:
                open_checks.append(f"{check.name}: {seen.reason}")
            case NotSeen(why):
                open_checks.append(f"{check.name}: {why}")
            case _:
                pass
    if open_checks and 0 not in record.approved:
        why = "checks before the first shift are open: " + "; ".join(open_checks)
        asking = record.ask is not None
        if asking or now - record.started < PRECHECK_MAX:
            return _asking(plan, record, service, now, why) or moves.wait(record, why, NO_ANSWER)
        return _ask_once(record, service, now, AskKind.UNDECIDED, why, NO_ANSWER)
    return _next_stage(plan, replace(record, ask=None), service, now, _ready_text(plan))


def _ready_text(plan: Plan) -> str:
    sent = [c.name for c in plan.checks if c.when is not CheckWhen.STAGES]
    return f"checks passed: {', '.join(sent)}" if sent else "no checks to send"


# Watching a stage -----------------------------------------------------------------------------


def _watching(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    watched = watch(plan, record, observation)
    record, verdicts = watched.record, watched.verdicts
    events = _events(record, watched, now)
    record = replace(record, verdicts={n: word(v) for n, v in verdicts.items()})
    decision = _on_failure(plan, record, observation, service, verdicts, now) or _on_hold(
        plan, record, observation, service, watched, now
    )
    return replace(decision, events=(*events, *decision.events), verdicts=verdicts)


def _events(record: Record, watched: Watched, now: datetime) -> tuple[Event, ...]:
    seen = {str(query): len(minutes) for query, minutes in watched.fresh.items() if minutes}
    events: list[Event] = [Observed(now, record.stage, seen)] if seen else []
    events += [
        Judged(now, name, verdict)
        for name, verdict in watched.verdicts.items()
        if record.verdicts.get(name) != word(verdict)
    ]
    return tuple(events)


def _failures(plan: Plan, record: Record, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    judged = {gate.name for gate in plan.gates_at(record.stage)}
    return {n: v for n, v in verdicts.items() if isinstance(v, Fail) and n in judged}


def _named(failed: Mapping[str, Verdict]) -> str:
    return "; ".join(f"{name} {verdict.reason}" for name, verdict in failed.items())


def _on_failure(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    verdicts: Mapping[str, Verdict],
    now: datetime,
) -> Decision | None:
    """Return what a failed gate or check leads to, None if nothing failed."""
    on_fail = {gate.name: gate.on_fail for gate in plan.gates}
    failed: list[tuple[OnFail, str]] = []
    for name, verdict in verdicts.items():
        match verdict:
            case Fail(reason, _, emergency):
                failed.append(
                    (OnFail.ROLL_BACK if emergency else on_fail[name], f"{name} {reason}")
                )
            case Undecided(reason, _, Why.BOTH_FAILING):
                if plan.when.both_failing is BothFailing.ROLL_BACK:
                    failed.append((OnFail.ROLL_BACK, f"{name} {reason}"))
            case _:
                pass
    for check in plan.checks:
        seen = observation.checks.get(check.name)
        if isinstance(seen, Seen) and seen.value.outcome is CheckOutcome.FAILED:
            failed.append((check.on_fail, f"check {check.name}: {seen.value.reason}"))
    for what in (OnFail.ROLL_BACK, OnFail.STEP_BACK, OnFail.ASK):
        reasons = "; ".join(reason for on, reason in failed if on is what)
        if not reasons:
            continue
        weight = f"at {record.weight}%: {reasons}"
        if what is OnFail.ROLL_BACK:
            return moves.roll_back(record, service, now, weight, verdicts=verdicts)
        if what is OnFail.STEP_BACK:
            if record.stage == 0 or record.stage in record.stepped_back:
                return moves.roll_back(record, service, now, weight, verdicts=verdicts)
            return moves.enter_stage(plan, record, service, record.stage - 1, now, weight)
        if record.stage + 1 not in record.approved:
            return _ask_once(
                record, service, now, AskKind.GATE, reasons, interval(plan, record, now)
            )
    return None


def _on_hold(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    watched: Watched,
    now: datetime,
) -> Decision:
    look = interval(plan, record, now)
    if record.paused:
        return _kept(plan, record, service, now, f"paused by {record.paused.by}", look)
    blind = _blind(plan, record, service, watched, now)
    if blind is not None:
        return blind
    newer = _newer_revision(plan, record, service, now, look)
    if newer is not None:
        return newer
    strange = _strange_share(plan, record, service, now, look)
    if strange is not None:
        return strange
    waiting_for_data = record.ask is not None and record.ask.kind is AskKind.MONITORING_OUT
    if (record.stopped and record.ask is None) or waiting_for_data:
        text = "Monitoring answers again" if waiting_for_data else "the hold goes on"
        back = _resumed(replace(record, ask=None), now)
        return moves.note(back, service, now, text, look, transition="hold goes on")
    if record.ask is not None:
        answered = _asking(plan, record, service, now, record.ask.reason)
        open_still = _open(plan, record, observation, watched.verdicts)
        gone = record.ask.kind in (AskKind.UNDECIDED, AskKind.GATE) and not open_still
        if answered is not None or not gone:
            return answered or _kept(plan, record, service, now, record.ask.reason, look)
        return _next_stage(plan, record, service, now, "the missing evidence came")
    hold = hold_of(plan, record)
    left = hold - held(record, now)
    if left > timedelta(0):
        text = f"holding {record.weight}% for {minutes_shown(left)} more"
        return _kept(plan, record, service, now, text, min(look, max(left, moves.POLL)))
    return _hold_is_over(plan, record, observation, service, watched, now)


def _hold_is_over(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    watched: Watched,
    now: datetime,
) -> Decision:
    assert record.in_force is not None
    look = interval(plan, record, now)
    hold = hold_of(plan, record)
    if not plan.stages[record.stage].hold:
        return _next_stage(plan, record, service, now, "a stage without hold is not judged")
    over_at = record.in_force + SETTLE + record.uncounted + hold
    if not covered(plan, record, over_at):
        text = "the hold is over; its last minutes are not yet visible in Monitoring"
        return _kept(plan, record, service, now, text, min(look, timedelta(minutes=1)))
    still_open = _open(plan, record, observation, watched.verdicts)
    if not still_open or record.stage + 1 in record.approved:
        return _next_stage(plan, record, service, now, _all_good(watched.verdicts))
    why = f"after {minutes_shown(hold)} at {record.weight}%: {'; '.join(still_open)}"
    if not record.extended:
        longer = replace(record, extended=True)
        until = hold_of(plan, longer) - hold
        text = f"{why}; extended by {minutes_shown(until)}"
        message = Message(now, "warning", text)
        return moves.note(
            longer, service, now, text, look, transition="extended", events=(message,)
        )
    match plan.when.undecided.then:
        case Then.ASK:
            return _ask_once(record, service, now, AskKind.UNDECIDED, why, look)
        case Then.ROLL_BACK:
            return moves.roll_back(record, service, now, why, verdicts=watched.verdicts)
        case Then.ADVANCE:
            return _next_stage(plan, record, service, now, why)


def _open(
    plan: Plan, record: Record, observation: Observation, verdicts: Mapping[str, Verdict]
) -> tuple[str, ...]:
    """Return what keeps the stage from being left, a sentence each."""
    observed_only = {gate.name for gate in plan.gates if gate.on_fail is OnFail.OBSERVE}
    gates = [
        f"{name} {verdict.reason}"
        for name, verdict in verdicts.items()
        if not isinstance(verdict, Pass) and name not in observed_only
    ]
    checks: list[str] = []
    for check in plan.checks:
        if check.when is CheckWhen.BEFORE or check.on_fail is OnFail.OBSERVE:
            continue
        match observation.checks.get(check.name, NotSeen("not sent yet")):
            case Seen(seen) if seen.outcome is not CheckOutcome.PASSED:
                checks.append(f"check {check.name}: {seen.reason}")
            case NotSeen(why):
                checks.append(f"check {check.name}: {why}")
            case _:
                pass
    return (*gates, *checks)


def _all_good(verdicts: Mapping[str, Verdict]) -> str:
    return "; ".join(f"{n} {v.reason}" for n, v in verdicts.items()) or "the hold is over"


def _next_stage(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str
) -> Decision:
    following = record.stage + 1
    if following >= len(plan.stages):
        return moves.promote(plan, record, service, now, reason)
    if plan.stages[following].approval and following not in record.approved:
        weight = plan.stages[following].weight
        why = f"{weight}% needs an approval"
        look = interval(plan, record, now)
        return _ask_once(record, service, now, AskKind.APPROVAL, why, look)
    return moves.enter_stage(plan, record, service, following, now, reason)


# Waiting --------------------------------------------------------------------------------------


def _kept(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str, look: timedelta
) -> Decision:
    """Wait, but write the record when it has gone unwritten too long: that is the heartbeat."""
    if record.at is None or now - record.at >= heartbeat(plan, record):
        return moves.note(record, service, now, reason, look)
    return moves.wait(record, reason, look)


def _resumed(record: Record, now: datetime) -> Record:
    """Let the hold run on: the time it stood still does not count."""
    if record.stopped is None:
        return record
    still = max(now - record.stopped, timedelta(0))
    return replace(record, stopped=None, uncounted=record.uncounted + still)


def _ask_once(
    record: Record, service: ServiceState, now: datetime, kind: AskKind, why: str, look: timedelta
) -> Decision:
    if record.ask is not None and record.ask.kind is kind:
        return moves.wait(record, record.ask.reason, look)
    return moves.ask(record, service, now, Ask(kind, cut(why), now), look)


def _asking(
    plan: Plan, record: Record, service: ServiceState, now: datetime, why: str
) -> Decision | None:
    """Return what an answer, or nobody's answer, leads to; None while we go on waiting."""
    ask = record.ask
    if ask is None:
        return None
    if record.stage + 1 in record.approved and ask.kind is not AskKind.NEW_REVISION:
        answered = _resumed(replace(record, ask=None), now)
        return _next_stage(plan, answered, service, now, f"approved: {ask.reason}")
    rule = plan.when.nobody_answers
    if ask.kind.waits_for_ever or now - ask.since < rule.after:
        return None
    silence = f"{why}; nobody answered for {minutes_shown(now - ask.since)}"
    if rule.then is Then.ADVANCE:
        answered = _resumed(replace(record, ask=None), now)
        return _next_stage(plan, answered, service, now, silence)
    return moves.roll_back(record, service, now, silence)


def _blind(
    plan: Plan, record: Record, service: ServiceState, watched: Watched, now: datetime
) -> Decision | None:
    """Hold while Monitoring does not answer; the hold does not count, and in the end somebody is
    asked. A single lost answer changes nothing."""
    if not watched.blind:
        return None
    look = min(interval(plan, record, now), timedelta(minutes=1))
    assert record.in_force is not None
    seen_until = last_seen(plan, record)
    why = f"Monitoring does not answer: {watched.blind}"
    rule = plan.when.monitoring_out
    since = record.stopped or seen_until
    if record.ask is not None:
        answered = _asking(plan, record, service, now, record.ask.reason)
        return answered or _kept(plan, record, service, now, why, look)
    if record.stopped is None and now - seen_until < BLIND_GRACE:
        return _kept(plan, record, service, now, why, look)
    stopped = replace(record, stopped=since)
    if now - since >= rule.hold:
        since_text = f"{why} (for {minutes_shown(now - since)})"
        match rule.then:
            case Then.ASK:
                return _ask_once(stopped, service, now, AskKind.MONITORING_OUT, since_text, look)
            case Then.ROLL_BACK:
                return moves.roll_back(record, service, now, since_text)
            case Then.ADVANCE:
                return _next_stage(plan, _resumed(stopped, now), service, now, since_text)
    if record.stopped is None:
        return moves.note(stopped, service, now, why, look, transition="hold stands still")
    return _kept(plan, record, service, now, why, look)


def _strange_share(
    plan: Plan, record: Record, service: ServiceState, now: datetime, look: timedelta
) -> Decision | None:
    """Say once a stage that the candidate's real share is not the asked one."""
    key = f"share {record.weight}%"
    counting = [
        record.gates[gate.name].tally
        for gate in plan.gates_at(record.stage)
        if isinstance(gate.metric, ResponseRate | RequestCount) and gate.name in record.gates
    ]
    if not counting or key in record.told:
        return None
    both = counting[0]
    text = share_surprise(record.weight, both.candidate.total, both.stable.total)
    if not text:
        return None
    told = replace(record, told=(*record.told, key)[-5:])
    message = Message(now, "warning", text)
    return moves.note(told, service, now, text, look, transition="share", events=(message,))


def _newer_revision(
    plan: Plan, record: Record, service: ServiceState, now: datetime, look: timedelta
) -> Decision | None:
    newest = service.latest_created
    if newest is None or newest in (record.candidate, *record.before, *record.told):
        return None
    told = replace(record, told=(*record.told, newest)[-5:])
    text = f"a newer revision, {newest}, was deployed; it stays at 0%"
    match plan.when.new_revision:
        case NewRevision.IGNORE:
            message = Message(now, "warning", text)
            return moves.note(
                told, service, now, text, look, transition="new revision", events=(message,)
            )
        case NewRevision.ASK:
            return _ask_once(told, service, now, AskKind.NEW_REVISION, text, look)
        case NewRevision.REPLACE:
            why = f"{newest} was deployed and replaces this candidate"
            return moves.roll_back(told, service, now, why)
