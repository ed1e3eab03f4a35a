"""In a stage, and just before the first: hold, extend, ask, advance. Pure; a part of `decide`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.asking import answered, ask_once, began_anew, kept, next_stage
from controller.engine.decision import Decision
from controller.engine.events import Event, Judged, Message, Observed
from controller.engine.failing import failed_checks, on_failure, open_checks, to_ask
from controller.engine.observation import Observation, ServiceState
from controller.engine.record import AskKind, Record
from controller.engine.regions import its_turn_came
from controller.engine.telling import SILENT
from controller.engine.trial import both_failing, is_over, proved_guilty
from controller.engine.watching import (
    SETTLE,
    Watched,
    covered,
    held,
    hold_of,
    interval,
    last_seen,
    terms_of,
    watch,
)
from controller.engine.wording import minutes_shown
from controller.gates.judging import is_proved_good
from controller.gates.minutes import name_of
from controller.gates.verdict import Fail, Pass, Undecided, Verdict, Why, word
from controller.plan.model import (
    Check,
    CheckWhen,
    NewRevision,
    OnFail,
    Plan,
    Then,
)
from controller.plan.window import is_open

BLIND_GRACE = timedelta(minutes=10)  # a single lost answer is no outage
PRECHECK_MAX = timedelta(minutes=15)
NO_ANSWER = timedelta(seconds=30)
AGAINST = (Why.BETWEEN, Why.BOTH_FAILING)  # undecided, but not for want of evidence
LEFT_TO_DUTY = "the controller on duty sends the checks, and goes on"


# Before the first shift -----------------------------------------------------------------------


def before_first_shift(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    """Judge the pre-checks: a failed one ends the rollout before it ever got traffic."""
    sent = [check for check in plan.checks if check.when is not CheckWhen.STAGES]
    failed = failed_checks(sent, observation)
    back = [why for on, why in failed if on in (OnFail.ROLL_BACK, OnFail.STEP_BACK)]
    if back:
        return moves.roll_back(record, service, now, "; ".join(back))
    if record.paused:
        return kept(plan, record, service, now, f"paused by {record.paused.by}", NO_ANSWER)
    if sent and not observation.on_duty:
        return kept(plan, record, service, now, LEFT_TO_DUTY, NO_ANSWER)
    to_answer = [why for on, why in failed if on is OnFail.ASK]
    still_open = (*to_answer, *open_checks(sent, observation, failed_too=False))
    why = "before the first shift: " + "; ".join(still_open)
    if record.ask is not None and record.ask.kind is not AskKind.APPROVAL:
        decision = answered(plan, record, service, now, record.ask.reason)
        if decision is not None:
            return decision
        if still_open or record.ask.kind is AskKind.SHIFT_FAILED:
            return kept(plan, record, service, now, record.ask.reason, NO_ANSWER)
    if still_open and 0 not in record.waived:
        if to_answer:
            return ask_once(plan, record, service, now, AskKind.GATE, why)
        if now - its_turn_came(record) < PRECHECK_MAX or not _could_begin(plan, now - PRECHECK_MAX):
            return kept(plan, record, service, now, why, NO_ANSWER)
        return ask_once(plan, record, service, now, AskKind.UNDECIDED, why)
    names = ", ".join(check.name for check in sent)
    ready = f"checks passed: {names}" if sent else "no checks to send"
    return next_stage(plan, record, service, now, ready)


def _could_begin(plan: Plan, then: datetime) -> bool:
    """Tell whether the window let the rollout begin at that time: else nothing was late yet."""
    return plan.when.advance_only is None or is_open(plan.when.advance_only, then)


# Watching a stage -----------------------------------------------------------------------------


def watching(
    plan: Plan, record: Record, observation: Observation, service: ServiceState, now: datetime
) -> Decision:
    """Judge the stage: what failed comes first, then what holds it, then the hold's end."""
    watched = watch(plan, record, observation)
    record, verdicts = watched.record, watched.verdicts
    events = seen_events(record, watched, now)
    record = record.after_look(verdicts={n: word(v) for n, v in verdicts.items()})
    decision = (
        on_failure(plan, record, observation, service, verdicts, now)
        or proved_guilty(record, service, now)
        or _on_ask_or_hold(plan, record, observation, service, watched, now)
    )
    return decision.after_look(events, verdicts)


def seen_events(record: Record, watched: Watched, now: datetime) -> tuple[Event, ...]:
    """Return what the new minutes were, and which verdicts they changed."""
    seen = {name_of(query): minutes for query, minutes in watched.fresh.items() if minutes}
    events: list[Event] = [Observed(now, record.stage, seen)] if seen else []
    events += [
        Judged(now, name, verdict)
        for name, verdict in watched.verdicts.items()
        if record.verdicts.get(name) != word(verdict)
    ]
    return tuple(events)


def _on_ask_or_hold(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    watched: Watched,
    now: datetime,
) -> Decision:
    question = to_ask(plan, record, observation, watched.verdicts)
    if question and record.ask is None and record.stage + 1 not in record.waived:
        return ask_once(plan, record, service, now, AskKind.GATE, question)
    return _on_hold(plan, record, observation, service, watched, now)


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
        return kept(plan, record, service, now, f"paused by {record.paused.by}", look)
    blind = _blind(plan, record, service, watched, now)
    if blind is not None:
        return blind
    newer = _newer_revision(plan, record, service, now, look)
    if newer is not None:
        return newer
    suffering = both_failing(plan, record, service, watched, now)
    if suffering is not None:
        return suffering
    hold = hold_of(plan, record)
    left = hold - held(record, now)
    if _sent_in_stages(plan) and not observation.on_duty and (record.ask or left <= timedelta(0)):
        text = record.ask.reason if record.ask else LEFT_TO_DUTY
        return kept(plan, record, service, now, text, look)
    if record.ask is not None:
        return _while_asking(plan, record, observation, service, watched, now)
    if record.stopped is not None:
        back = record.resumed(now)
        return moves.note(back, service, now, "the hold goes on", look, transition="hold goes on")
    if left > timedelta(0) and _early(plan, record, observation, watched.verdicts):
        return next_stage(plan, record, service, now, f"proved: {_all_good(watched.verdicts)}")
    if left > timedelta(0):
        text = f"holding {record.weight}% for {minutes_shown(left)} more"
        return kept(plan, record, service, now, text, min(look, max(left, moves.POLL)))
    return _hold_is_over(plan, record, observation, service, watched, now)


def _while_asking(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    watched: Watched,
    now: datetime,
) -> Decision:
    """Wait for an answer; new evidence, or Monitoring's return, answers too."""
    ask, look = record.ask, interval(plan, record, now)
    assert ask is not None
    still_open = _open(plan, record, observation, watched.verdicts)
    if ask.kind is AskKind.APPROVAL and record.stage + 1 in record.approved:
        proved = _early(plan, record, observation, watched.verdicts)
        begun = () if proved else began_anew(plan, record, now)
        if not begun and (not still_open or record.stage + 1 in record.waived):
            return next_stage(plan, record, service, now, f"approved: {ask.reason}")
        text = f"approved, but meanwhile: {'; '.join((*begun, *still_open))}"
    elif ask.kind is AskKind.MONITORING_OUT:
        text = "Monitoring answers again"
    elif ask.kind in (AskKind.UNDECIDED, AskKind.GATE) and not still_open:
        text = "the missing evidence came"
    elif ask.kind is AskKind.BOTH_FAILING and is_over(plan, record, watched.verdicts):
        text = "stable is well again, and so is the candidate"
    else:
        decision = answered(plan, record, service, now, ask.reason)
        return decision or kept(plan, record, service, now, ask.reason, look)
    back = replace(record, ask=None).resumed(now)
    return moves.note(back, service, now, text, look, transition="hold goes on")


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
        return next_stage(plan, record, service, now, "a stage without hold is not judged")
    over_at = record.in_force + SETTLE + record.uncounted + hold
    if not covered(plan, record, over_at):
        text = "the hold is over; its last minutes are not yet visible in Monitoring"
        return kept(plan, record, service, now, text, min(look, timedelta(minutes=1)))
    still_open = _open(plan, record, observation, watched.verdicts)
    if not still_open or record.stage + 1 in record.waived:
        return next_stage(plan, record, service, now, _all_good(watched.verdicts))
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
            return ask_once(plan, record, service, now, AskKind.UNDECIDED, why)
        case Then.ROLL_BACK:
            return moves.roll_back(record, service, now, why)
        case Then.ADVANCE if _over_a_limit(plan, watched.verdicts):
            return ask_once(plan, record, service, now, AskKind.UNDECIDED, why)
        case Then.ADVANCE:
            return next_stage(plan, record, service, now, why)


def _over_a_limit(plan: Plan, verdicts: Mapping[str, Verdict]) -> bool:
    """Tell whether evidence is there, and speaks against going on: then it is not missing.

    Without a proof (a few minutes of any number of requests are none) that is no fail.
    """
    acts = {gate.name for gate in plan.gates if gate.on_fail is not OnFail.OBSERVE}
    return any(
        isinstance(verdict, Fail) or (isinstance(verdict, Undecided) and verdict.why in AGAINST)
        for name, verdict in verdicts.items()
        if name in acts
    )


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
    return (*gates, *open_checks(_sent_in_stages(plan), observation, failed_too=True))


def _sent_in_stages(plan: Plan) -> list[Check]:
    """Return the checks that a stage hangs on."""
    return [
        check
        for check in plan.checks
        if check.when is not CheckWhen.BEFORE and check.on_fail is not OnFail.OBSERVE
    ]


def _early(
    plan: Plan, record: Record, observation: Observation, verdicts: Mapping[str, Verdict]
) -> bool:
    """Tell whether the stage may be left before its hold is over: all is proved (`advance`)."""
    if not plan.stages[record.stage].early or _open(plan, record, observation, verdicts):
        return False
    return all(
        is_proved_good(gate, terms_of(plan, record, gate), record.gates[gate.name].state)
        for gate in plan.gates_at(record.stage)
        if gate.name in record.gates and gate.on_fail is not OnFail.OBSERVE
    )


def _all_good(verdicts: Mapping[str, Verdict]) -> str:
    return "; ".join(f"{n} {v.reason}" for n, v in verdicts.items()) or "the hold is over"


# Waiting --------------------------------------------------------------------------------------


def _blind(
    plan: Plan, record: Record, service: ServiceState, watched: Watched, now: datetime
) -> Decision | None:
    """Hold while Monitoring does not answer; in the end somebody is asked.

    The time does not count as hold. A single lost answer changes nothing.
    """
    if not watched.blind:
        return None
    look = min(interval(plan, record, now), timedelta(minutes=1))
    assert record.in_force is not None
    seen_until = last_seen(plan, record)
    why = f"{SILENT}: {watched.blind}"
    if record.ask is not None:
        decision = answered(plan, record, service, now, record.ask.reason)
        return decision or kept(plan, record, service, now, why, look)
    if record.stopped is None:
        if now - seen_until < BLIND_GRACE:
            return kept(plan, record, service, now, why, look)
        # What was not recorded as an outage may have been nobody looking: it begins now.
        begun = replace(record, stopped=max(seen_until, now - BLIND_GRACE))
        return moves.note(begun, service, now, why, look, transition="hold stands still")
    rule = plan.when.monitoring_out
    # The hold may have stood still for another reason while Monitoring still answered.
    silent = now - max(record.stopped, seen_until)
    if silent < rule.hold:
        return kept(plan, record, service, now, why, look)
    for_how_long = f"{why} (for {minutes_shown(silent)})"
    if rule.then is Then.ROLL_BACK:
        return moves.roll_back(record, service, now, for_how_long)
    # Advancing without evidence is no answer (DESIGN.md §5, invariant 2): a person is asked.
    return ask_once(plan, record, service, now, AskKind.MONITORING_OUT, for_how_long)


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
            return ask_once(plan, told, service, now, AskKind.NEW_REVISION, text)
        case NewRevision.REPLACE:
            why = f"{newest} was deployed and replaces this candidate"
            return moves.roll_back(told, service, now, why)
