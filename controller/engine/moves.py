"""The writes a decision can ask for, each as one function: record and traffic change together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine.decision import Action, Decision, State, Write
from controller.engine.events import Asked, Event, Message, Shifted
from controller.engine.observation import ServiceState
from controller.engine.record import (
    OUTCOMES_KEPT,
    Accumulated,
    Ask,
    AskKind,
    Outcome,
    Phase,
    Record,
    Shift,
    Trial,
    cut,
)
from controller.engine.split import own_tags, shares, split_text, targets_for
from controller.engine.watching import entered, served_in_stage
from controller.gates.verdict import Verdict
from controller.plan.model import Plan

POLL = timedelta(seconds=10)  # while a split is not yet in force
SOON = timedelta(seconds=15)
NARROWED = "stable changed"


def expected_split(record: Record) -> dict[str, int]:
    """Return the split that our last write asked for."""
    return shares(record.before, record.candidate, record.weight)


def _write(
    service: ServiceState, record: Record, *, raises: bool = False, new_tag: bool = True
) -> Write:
    tags = own_tags(service.name.service, record.candidate if new_tag else None, _way_back(record))
    return Write(targets_for(service, expected_split(record), tags), raises)


def _way_back(record: Record) -> str | None:
    return record.stable if record.stable != record.candidate else None


def state_of(record: Record) -> State:
    """Return the state a record is in when nobody interfered."""
    match record.phase:
        case Phase.DONE:
            return State.DONE
        case Phase.ROLLING_BACK:
            return State.ROLLING_BACK
        case _ if record.ask is not None:
            return State.ASKING
        case Phase.PROMOTING:
            return State.SHIFTING
        case _ if record.paused is not None:
            return State.PAUSED
        case _ if record.shift is not None:
            return State.SHIFTING
        case Phase.STARTING:
            return State.STARTING
        case Phase.RUNNING:
            return State.RUNNING


def enter_stage(
    plan: Plan, record: Record, service: ServiceState, stage: int, now: datetime, reason: str
) -> Decision:
    """Shift to a stage (0-based); until that is in force the stage before is judged.

    What a failed gate led to is done with this: it is judged anew.
    """
    weight = plan.stages[stage].weight
    back = stage < record.stage
    moved = replace(
        record,
        phase=Phase.RUNNING,
        stage=stage,
        weight=weight,
        shift=Shift(now, record.weight),
        in_force=None,
        uncounted=timedelta(0),
        stopped=None,
        ask=None,
        extended=False,
        gates=_forgiven(record),
        came_from=record.stage,
        weight_before=record.weight,
        trial=None,
        approved=tuple(n for n in record.approved if n <= stage) if back else record.approved,
        waived=tuple(n for n in record.waived if n <= stage),
        stepped_back=(*record.stepped_back, record.stage) if back else record.stepped_back,
    ).noting(now, f"{'step back' if back else 'shift'} to {weight}%", reason)
    split = expected_split(moved)
    return Decision(
        Action.STEP_BACK if back else Action.SHIFT,
        reason,
        POLL,
        moved,
        State.SHIFTING,
        _write(service, moved, raises=not back),
        (Shifted(now, split, in_force=False, reason=reason),),
    )


def lower_to_test(
    record: Record, service: ServiceState, now: datetime, weight: int, trial: Trial, reason: str
) -> Decision:
    """Lower the candidate's weight as a test; the stage stays, and its hold stands still."""
    lowered = replace(
        record,
        weight=weight,
        shift=Shift(now, record.weight),
        came_from=record.stage,
        weight_before=record.weight,
        trial=trial,
        tried=(*record.tried, record.stage),
        stopped=record.stopped or now,
    )
    return _tried(lowered, service, now, Action.STEP_BACK, f"test at {weight}%", reason)


def raise_after_test(
    record: Record,
    service: ServiceState,
    now: datetime,
    weight: int,
    trial: Trial,
    gates: Mapping[str, Accumulated],
    reason: str,
) -> Decision:
    """Put the candidate back to its stage's weight after a test; gates: accusing nobody now."""
    raised = replace(
        record,
        weight=weight,
        shift=Shift(now, record.weight),
        came_from=record.stage,
        weight_before=record.weight,
        trial=replace(trial, raised=now),
        gates=gates,
    )
    return _tried(raised, service, now, Action.SHIFT, f"back to {weight}%", reason)


def _tried(
    record: Record, service: ServiceState, now: datetime, action: Action, what: str, reason: str
) -> Decision:
    split = expected_split(record)
    return Decision(
        action,
        reason,
        POLL,
        record.noting(now, what, reason),
        State.SHIFTING,
        _write(service, record.noting(now, what, reason), raises=action is Action.SHIFT),
        (Shifted(now, split, in_force=False, reason=reason),),
    )


def in_force(plan: Plan, record: Record, service: ServiceState, now: datetime) -> Decision:
    """Note that the split asked for is in force: hold and evidence start from here.

    In a test the stage goes on: its hold stands still, and what it has shown stays.
    """
    split = expected_split(record)
    if record.trial is not None:
        trial = record.trial
        since = replace(trial, at=now) if trial.raised is None else replace(trial, raised=now)
        moved = replace(record, shift=None, trial=since)
    else:
        still = now if record.paused or record.ask else None
        begun = now if record.stage >= 0 else None
        moved = replace(record, shift=None, in_force=begun, stopped=still)
        moved = replace(
            moved,
            gates=entered(plan, moved) if begun else {},
            verdicts={},
            served=record.served + served_in_stage(plan, record),
        )
    moved = moved.noting(now, f"{record.weight}% in force", split_text(split))
    return Decision(
        Action.NOTE,
        f"in force: {split_text(split)}",
        SOON,
        moved,
        state_of(moved),
        _write(service, moved),
        (Shifted(now, split, in_force=True, reason="in force"),),
    )


def shift_failed(
    plan: Plan, record: Record, service: ServiceState, now: datetime, why: str
) -> Decision:
    """Write the split before back and ask: an up-shift did not come into force."""
    assert record.shift is not None
    stage = record.stage - 1
    if record.phase is Phase.PROMOTING:  # it is in its stage still, which begins anew
        stage, record = record.stage, _measured_anew(record)
    back = replace(
        record,
        phase=Phase.RUNNING if stage >= 0 else Phase.STARTING,
        stage=stage,
        weight=plan.stages[stage].weight if stage >= 0 else 0,
        shift=Shift(now, record.weight),
        waived=tuple(n for n in record.waived if n < record.stage),
        ask=Ask(AskKind.SHIFT_FAILED, cut(why), now),
    ).noting(now, "shift failed", why)
    return Decision(
        Action.ASK,
        why,
        POLL,
        back,
        State.ASKING,
        _write(service, back),
        (Asked(now, AskKind.SHIFT_FAILED.value, why, stage),),
    )


def narrow(record: Record, service: ServiceState, now: datetime, reason: str) -> Decision:
    """Go on with fewer revisions of stable. record: with those that are left.

    Where they serve now, that moves traffic among them: the stage is measured anew beside them.
    """
    split = expected_split(record)
    if split == service.asked:
        return note(record, service, now, reason, SOON, transition=NARROWED)
    if record.shift is not None:
        moved = replace(record, shift=replace(record.shift, at=now))
    else:
        moved = replace(
            record if record.trial is not None else _measured_anew(record),
            shift=Shift(now, record.weight),
            came_from=record.stage,
            weight_before=record.weight,
        )
    moved = moved.noting(now, NARROWED, reason)
    return Decision(
        Action.SHIFT,
        reason,
        POLL,
        moved,
        state_of(moved),
        _write(service, moved),
        (Shifted(now, split, in_force=False, reason=reason), Message(now, "warning", reason)),
    )


def roll_back(
    record: Record,
    service: ServiceState,
    now: datetime,
    reason: str,
    *,
    by: str = "",
) -> Decision:
    """Put every request back on stable; before any shift that ends the rollout at once.

    An older record that was written back knows of no shift; the service does.
    """
    got = service.asked.get(record.candidate, 0) or service.in_force.get(record.candidate, 0)
    if record.weight == 0 and record.phase is Phase.STARTING and not got:
        return _ended(record, service, now, "rolled_back", reason, by=by)
    back = replace(
        record, phase=Phase.ROLLING_BACK, weight=0, ask=None, shift=Shift(now, record.weight)
    ).noting(now, "roll back", reason, by)
    split = expected_split(back)
    return Decision(
        Action.ROLL_BACK,
        reason,
        POLL,
        back,
        State.ROLLING_BACK,
        _write(service, back, new_tag=False),  # a tag on a broken revision may fail the write
        (Shifted(now, split, in_force=False, reason=reason),),
    )


def rolled_back(record: Record, service: ServiceState, now: datetime) -> Decision:
    """End a roll-back that is in force."""
    last = next((t for t in reversed(record.transitions) if t.what == "roll back"), None)
    reason, by = (last.reason, last.by) if last else ("rolled back", "")
    return _ended(record, service, now, "rolled_back", reason, by=by)


def promote(
    plan: Plan, record: Record, service: ServiceState, now: datetime, reason: str, by: str = ""
) -> Decision:
    """Finish: the candidate is the new stable; our tag stays on the way back only."""
    done = replace(
        record,
        weight=100,
        served=record.served + served_in_stage(plan, record),
    )
    return _ended(done, service, now, "promoted", reason, by=by, raises=True)


def promoting(
    record: Record, service: ServiceState, now: datetime, reason: str, by: str
) -> Decision:
    """Ask for everything by a person's word; the rollout is done once that is in force."""
    before, stage = record.weight, record.stage
    rising = record.shift is not None and record.shift.weight_before < record.weight
    if record.shift is not None and rising and record.trial is None:
        before, stage = record.shift.weight_before, stage - 1  # that stage was never reached
    asked = replace(
        record,
        phase=Phase.PROMOTING,
        stage=stage,
        weight=100,
        shift=Shift(now, before),
        gates=_forgiven(record),
        came_from=stage,
        weight_before=before,
        trial=None,
        ask=None,
        paused=None,
    ).noting(now, "promote", reason, by)
    split = expected_split(asked)
    return Decision(
        Action.SHIFT,
        reason,
        POLL,
        asked,
        State.SHIFTING,
        _write(service, asked, raises=True),
        (Shifted(now, split, in_force=False, reason=reason),),
    )


def promoted(plan: Plan, record: Record, service: ServiceState, now: datetime) -> Decision:
    """End a person's promotion that is in force."""
    last = next((t for t in reversed(record.transitions) if t.what == "promote"), None)
    reason, by = (last.reason, last.by) if last else ("promoted", "")
    return promote(plan, record, service, now, reason, by)


def _forgiven(record: Record) -> dict[str, Accumulated]:
    """Return the gates' evidence, failed ones anew: what they led to is done with."""
    return {
        name: Accumulated(known.watermark, known.state.forgiven())
        for name, known in record.gates.items()
    }


def _measured_anew(record: Record) -> Record:
    return replace(record, in_force=None, uncounted=timedelta(0), stopped=None, verdicts={})


def cancel(record: Record, service: ServiceState, now: datetime, reason: str, by: str) -> Decision:
    """End the rollout by a person's word and leave the traffic as it is."""
    ended = _ended(record, service, now, "cancelled", reason, by=by)
    tags = own_tags(service.name.service, None, _way_back(record))
    return replace(
        ended,
        action=Action.CANCEL,
        write=Write(targets_for(service, service.asked, tags)),
    )


def ended_by_hand(record: Record, service: ServiceState, now: datetime) -> Decision:
    """End it as rolled back: somebody else put every request on stable."""
    who = service.last_modifier or "somebody"
    reason = f"{who} put all traffic back on stable"
    done = replace(record, weight=0)
    ended = _ended(done, service, now, "rolled_back", reason, by=who)
    tags = own_tags(service.name.service, None, _way_back(record))
    return replace(ended, write=Write(targets_for(service, service.asked, tags)))


def _ended(
    record: Record,
    service: ServiceState,
    now: datetime,
    outcome: str,
    reason: str,
    *,
    by: str = "",
    raises: bool = False,
) -> Decision:
    before = dict(record.before)
    entry = Outcome(outcome, record.candidate, now, cut(reason), by, before, record.rollout)
    done = replace(
        record,
        phase=Phase.DONE,
        ask=None,
        paused=None,
        shift=None,
        stopped=None,
        gates={},
        own=(),
        unknown_until=None,
        history={},
        trial=None,
        outcomes=(*record.outcomes, entry)[-OUTCOMES_KEPT:],
    ).noting(now, outcome.replace("_", " "), reason, by)
    action = Action.PROMOTE if outcome == "promoted" else Action.NOTE
    return Decision(
        action,
        reason,
        timedelta(0),
        done,
        State.DONE,
        _write(service, done, raises=raises, new_tag=False),
    )


def ask(
    record: Record,
    service: ServiceState,
    now: datetime,
    question: Ask,
    look_again: timedelta,
) -> Decision:
    """Wait for a person, for a named reason; the hold stands still meanwhile."""
    asking = replace(record, ask=question, stopped=record.stopped or now)
    asking = asking.noting(now, f"asked: {question.kind.value}", question.reason)
    return Decision(
        Action.ASK,
        question.reason,
        look_again,
        asking,
        State.ASKING,
        _write(service, asking),
        (Asked(now, question.kind.value, question.reason, record.stage),),
        only_a_person=question.kind.waits_for_ever,
    )


def note(
    record: Record,
    service: ServiceState,
    now: datetime,
    reason: str,
    look_again: timedelta,
    *,
    events: tuple[Event, ...] = (),
    transition: str = "",
    by: str = "",
) -> Decision:
    """Write the record without moving traffic."""
    noted = record.noting(now, transition, reason, by) if transition else record
    candidate_tagged = record.phase is not Phase.ROLLING_BACK
    return Decision(
        Action.NOTE,
        reason,
        look_again,
        noted,
        state_of(noted),
        _write(service, noted, new_tag=candidate_tagged),
        events,
        only_a_person=_only_a_person(noted),
    )


def taken_over(
    record: Record,
    now: datetime,
    reason: str,
    look_again: timedelta,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Decision:
    """Write nothing: another hand holds the service."""
    return Decision(
        Action.TAKEN_OVER,
        reason,
        look_again,
        record,
        State.TAKEN_OVER,
        None,
        (Message(now, "warning", reason),),
        verdicts or {},
        only_a_person=True,
    )


def wait(
    record: Record,
    reason: str,
    look_again: timedelta,
    *,
    events: tuple[Event, ...] = (),
) -> Decision:
    """Do nothing now."""
    return Decision(
        Action.WAIT,
        reason,
        look_again,
        record,
        state_of(record),
        None,
        events,
        only_a_person=_only_a_person(record),
    )


def _only_a_person(record: Record) -> bool:
    answered = record.stage + 1 in record.approved
    asked = record.ask is not None and record.ask.kind.waits_for_ever and not answered
    return asked or record.paused is not None
