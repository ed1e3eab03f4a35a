"""What a person does to a rollout: pure, each gives a decision to write or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves, recordless
from controller.engine.decision import Action, Decision, Refusal, State, Write
from controller.engine.events import Shifted
from controller.engine.observation import RevisionState, ServiceState
from controller.engine.record import Act, AskKind, Outcome, Phase, Record, Shift
from controller.engine.split import split_text, targets_for
from controller.plan.model import Plan
from controller.plan.window import is_open

_OVER = Refusal("the rollout is over", "`rollout history` tells how it ended")
_DECIDED = {
    Phase.DONE: _OVER,
    Phase.ROLLING_BACK: _OVER,
    Phase.PROMOTING: Refusal(
        "it is being promoted already",
        "`rollout status` shows when it is in force, `rollout rollback` puts all on stable",
    ),
}
_NO_WAY_BACK = Refusal("there is no way back", "`promote`, `cancel` or `rollback --to-revision`")


def approve(
    plan: Plan,
    record: Record,
    service: ServiceState,
    now: datetime,
    by: str,
    reason: str = "",
    stage: int | None = None,
) -> Decision | Refusal:
    """Answer what the rollout asks with yes. stage: 1-based, the one the approval is meant for."""
    refused = _not_movable(record, service)
    if refused is not None:
        return refused
    following = record.stage + 1
    if stage is not None and stage != following + 1:
        return Refusal(
            f"the rollout has moved on: stage {following + 1} is next, not {stage}",
            "look with `rollout status`, then approve again",
        )
    asked = record.ask.kind if record.ask else AskKind.APPROVAL
    if asked is AskKind.NO_WAY_BACK:
        return _NO_WAY_BACK
    text = reason or (record.ask.reason if record.ask else f"stage {following + 1}")
    if asked in (AskKind.NEW_REVISION, AskKind.MONITORING_OUT, AskKind.BOTH_FAILING):
        yes = replace(record, ask=None).resumed(now)
    elif asked is not AskKind.APPROVAL:
        yes = replace(record, waived=(*record.waived, following))
    elif following >= len(plan.stages) or not plan.stages[following].approval:
        return Refusal("the rollout asks for nothing", "`rollout status` shows where it is")
    else:
        yes = replace(record, approved=(*record.approved, following))
    if following in record.approved + record.waived and yes.ask is not None:
        return Refusal("it is approved already", "the next look of whoever watches goes on")
    return moves.note(yes, service, now, text, moves.SOON, transition="approved", by=by)


def reject(
    plan: Plan,
    record: Record,
    service: ServiceState,
    now: datetime,
    by: str,
    reason: str = "",
    stage: int | None = None,
) -> Decision | Refusal:
    """Answer with no: the rollout rolls back."""
    if record.ask is None:
        return Refusal("the rollout asks for nothing", "`rollout rollback` puts all on stable")
    if record.ask.kind is AskKind.NO_WAY_BACK:
        return _NO_WAY_BACK
    if stage is not None and stage != record.stage + 2:
        return Refusal(f"the rollout has moved on: stage {record.stage + 2} is next, not {stage}")
    del plan
    return moves.roll_back(record, service, now, f"rejected by {by}: {reason}".rstrip(": "), by=by)


def pause(
    plan: Plan, record: Record, service: ServiceState, now: datetime, by: str, reason: str = ""
) -> Decision | Refusal:
    """Let the hold stand still; gates and checks go on being judged, a fail still rolls back."""
    del plan
    refused = _not_movable(record, service)
    if refused is not None:
        return refused
    if record.paused is not None:
        return Refusal(f"{record.paused.by} paused it already", "`rollout resume` lets it go on")
    still = replace(record, paused=Act(by, now, reason), stopped=record.stopped or now)
    return moves.note(still, service, now, reason, moves.SOON, transition="paused", by=by)


def resume(
    plan: Plan, record: Record, service: ServiceState, now: datetime, by: str, reason: str = ""
) -> Decision | Refusal:
    """Let a paused rollout go on, or take back the service from another hand."""
    taken = service.asked != moves.expected_split(record)
    if record.phase is Phase.DONE or (record.phase is Phase.ROLLING_BACK and not taken):
        return _OVER
    # An older record that was written back fits the traffic, and says nothing of it. To resume then
    # means to go on from there: controllers that remember a later one take the new write for it.
    touched = service.generation > record.generation + 1
    if record.paused is None and not taken and not touched:
        return Refusal("the rollout is not paused", "`rollout status` shows what it waits for")
    if taken and record.trial is not None:  # a test ends here: its stage has another weight
        record = replace(record, trial=None, weight=plan.stages[record.stage].weight)
    split = moves.expected_split(record)
    text = reason or (f"put back to {split_text(split)}" if taken else "")
    # Who resumes is there: what nobody answered meanwhile is asked from now on.
    ask = record.ask and replace(record.ask, since=now)
    going = replace(record, paused=None, hand=None, ask=ask).resumed(now)
    if taken:  # the stage begins anew: what was measured of another split is no evidence of it
        going = replace(
            going,
            shift=Shift(now, service.asked.get(record.candidate, 0)),
            in_force=None,
            uncounted=timedelta(0),
            stopped=None,
            verdicts={},
            came_from=record.stage,
            # since when the other hand's split was in force is not known: the lower weight is safe
            weight_before=min(record.weight, service.asked.get(record.candidate, 0)),
        )
    return moves.note(going, service, now, text, moves.SOON, transition="resumed", by=by)


def advance(
    plan: Plan, record: Record, service: ServiceState, now: datetime, by: str, reason: str = ""
) -> Decision | Refusal:
    """Go to the next stage now; whoever calls has named the gates that this skips."""
    refused = _not_movable(record, service)
    if refused is not None:
        return refused
    following = record.stage + 1
    if following >= len(plan.stages):
        return promote_now(plan, record, service, now, by, reason)
    text = f"advanced by {by}{_outside(plan, now)}: {reason}".rstrip(": ")
    ready = replace(record, paused=None)
    return moves.enter_stage(plan, ready, service, following, now, text)


def promote_now(
    plan: Plan, record: Record, service: ServiceState, now: datetime, by: str, reason: str = ""
) -> Decision | Refusal:
    """Give the candidate everything, and finish once that is in force."""
    refused = _not_movable(record, service)
    if refused is not None:
        return refused
    text = f"promoted by {by}{_outside(plan, now)}: {reason}".rstrip(": ")
    if record.weight == 100 and record.shift is None:
        return moves.promote(plan, record, service, now, text, by)
    return moves.promoting(record, service, now, text, by)


def cancel_now(
    plan: Plan, record: Record, service: ServiceState, now: datetime, by: str, reason: str = ""
) -> Decision | Refusal:
    """End the rollout; the traffic stays as it is."""
    taken = service.asked != moves.expected_split(record)
    if record.phase is Phase.DONE or (record.phase is Phase.ROLLING_BACK and not taken):
        return _OVER
    text = f"cancelled by {by}: {reason}".rstrip(": ")
    return moves.cancel(record, service, now, text, by)


def _outside(plan: Plan, now: datetime) -> str:
    rule = plan.when.advance_only
    return "" if rule is None or is_open(rule, now) else " outside the window"


def _not_movable(record: Record, service: ServiceState) -> Refusal | None:
    if record.phase in _DECIDED:
        return _DECIDED[record.phase]
    return _moved(service) if service.asked != moves.expected_split(record) else None


def _moved(service: ServiceState) -> Refusal:
    return Refusal(
        f"somebody changed the traffic to {split_text(service.asked)}",
        "`rollout resume` takes it back, `rollout rollback` puts all on stable",
    )


# Rolling back by hand -------------------------------------------------------------------------


def roll_back_now(
    record: Record | None,
    service: ServiceState,
    revisions: Sequence[RevisionState],
    now: datetime,
    by: str,
    reason: str = "",
    *,
    to_stage: int | None = None,
    to_revision: str | None = None,
    plan: Plan | None = None,
) -> Decision | Refusal:
    """Put traffic back: the active rollout to stable, after promotion to the revision before.

    to_stage: 1-based, an earlier stage of the running rollout (needs `plan`). to_revision: all to
    this one. Works without a record: then the revision tagged rollout-old, or with exactly two
    serving the older one (`revisions` newest first); else refused with the line to paste.
    """
    text = f"rolled back by {by}: {reason}".rstrip(": ")
    if record is not None and record.uid != service.uid:
        record = None
    active = record is not None and record.phase is not Phase.DONE
    if to_stage is not None:
        return _to_stage(record, service, now, to_stage, plan, text)
    if to_revision is not None:
        return _to_split(record, service, now, {to_revision: 100}, text, by)
    if active:
        assert record is not None
        if record.phase is Phase.ROLLING_BACK:
            return moves.roll_back(record, service, now, text, by=by)
        return moves.roll_back(replace(record, paused=None), service, now, text, by=by)
    if record is not None and recordless.tells_a_way_back(record):
        return _after(record, record.outcomes[-1], service, now, text, by)
    return recordless.roll_back(service, revisions, now, text, by)


def _after(
    record: Record, last: Outcome, service: ServiceState, now: datetime, text: str, by: str
) -> Decision | Refusal:
    """Undo an ended rollout: only while its candidate serves, and nobody whom it does not know.

    What was deployed since may be what everybody wants: to take traffic from it needs its name.
    """
    way_back = dict(last.before) or {record.stable: 100}
    serving = split_text(service.asked)
    if service.asked == way_back:
        return Refusal(f"rolled back already: traffic is {serving}", exit_code=0)
    known = {*way_back, last.candidate}
    if service.asked.get(last.candidate) and set(service.asked) <= known:
        return _to_split(record, service, now, way_back, text, by)
    main = max(sorted(way_back), key=lambda name: way_back[name])
    return Refusal(
        f"the rollout of {last.candidate} ended, and traffic is {serving} now: "
        "what to go back to is not known",
        f"name it: `{recordless.line_to(service, main)}`",
    )


def _to_stage(
    record: Record | None,
    service: ServiceState,
    now: datetime,
    to_stage: int,
    plan: Plan | None,
    text: str,
) -> Decision | Refusal:
    if record is None or plan is None or record.phase is not Phase.RUNNING:
        return Refusal("no rollout is running, so there is no stage to go back to")
    if not 1 <= to_stage <= record.stage:
        return Refusal(f"stage {to_stage} is not before stage {record.stage + 1}")
    return moves.enter_stage(plan, record, service, to_stage - 1, now, text)


def _to_split(
    record: Record | None,
    service: ServiceState,
    now: datetime,
    split: Mapping[str, int],
    reason: str,
    by: str,
) -> Decision:
    """Ask for a split outright; a record, if there is one, ends as rolled back with it."""
    if record is None:
        return recordless.to_split(service, split, now, reason, by)
    ended = moves.ended_by_hand(record, service, now)
    last = replace(ended.record.outcomes[-1], reason=reason, by=by, before=dict(split))
    kept = replace(ended.record, outcomes=(*ended.record.outcomes[:-1], last))
    kept = kept.without_last()  # its own line is in another hand's name
    kept = kept.noting(now, "roll back", reason, by)
    return Decision(
        Action.ROLL_BACK,
        reason,
        timedelta(seconds=10),
        kept,
        State.ROLLING_BACK,
        Write(targets_for(service, split, {})),
        (Shifted(now, dict(split), in_force=False, reason=reason),),
    )
