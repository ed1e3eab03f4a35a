"""What a person does where no record tells what there is to end: it vanished, or cannot be read.

What is known then is the traffic, and whom our tags name. What is written is a record made by hand,
of a rollout that is over; it keeps what it replaced, as far as there is room. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine.decision import Action, Decision, Refusal, State, Write
from controller.engine.events import Event, Message, Shifted
from controller.engine.lost import Lost, lost_of, must_be_shown
from controller.engine.observation import RevisionState, ServiceState
from controller.engine.record import Outcome, Phase, Record, cut
from controller.engine.split import TAG_OLD, own_tags, split_text, targets_for, targets_left

BY_HAND = "by-hand"
"""The id of a rollout of which nothing is known but its end."""
REPLACED = "record replaced"
"""The transition that keeps what a record was written over."""


def tells_a_way_back(record: Record) -> bool:
    """Tell whether a record that is done says what to go back to."""
    return bool(record.outcomes) and not (
        record.outcomes[-1].rollout == BY_HAND and not record.outcomes[-1].before
    )


def roll_back(
    service: ServiceState, revisions: Sequence[RevisionState], now: datetime, text: str, by: str
) -> Decision | Refusal:
    """Put everything on the revision tagged rollout-old, or on the older of two that serve.

    revisions: newest first. Refused with the line to paste where neither tells it.
    """
    tagged = next((t.revision for t in service.targets if t.tag == TAG_OLD and t.revision), None)
    lost = lost_of(service)
    if tagged is not None and (service.asked != {tagged: 100} or lost is not None):
        return to_split(service, {tagged: 100}, now, text, by)
    serving = [r.name for r in revisions if r.name in service.asked]
    if len(serving) == 2 and len(service.asked) == 2:
        return to_split(service, {serving[1]: 100}, now, text, by)
    ready = [r.name for r in revisions if r.ready]
    end = f"; or leave it as it is: `rollout cancel {service.name.place}`" if lost else ""
    return Refusal(
        f"no record tells what stable is; traffic is {split_text(service.asked)}",
        "ready revisions: " + ", ".join(ready[:5]) + "; name one: "
        f"`{line_to(service, ready[-1] if ready else 'REV')}`{end}",
    )


def line_to(service: ServiceState, revision: str) -> str:
    """Return the command that puts everything on a revision."""
    return f"rollout rollback {service.name.place} --to-revision {revision}"


def to_split(
    service: ServiceState, split: Mapping[str, int], now: datetime, reason: str, by: str
) -> Decision:
    """Ask for a split outright; whoever our tag calls the candidate is rolled back by it."""
    lost = lost_of(service)
    candidate = lost.candidate if lost is not None else ""
    kept = _by_hand(service, lost, now, by, stable=next(iter(split)), before=split)
    kept = kept.noting(now, "roll back", reason, by)
    if candidate and not split.get(candidate):
        end = Outcome("rolled_back", candidate, now, cut(reason), by, dict(split), BY_HAND)
        kept = replace(kept, outcomes=(end,))
    shifted = Shifted(now, dict(split), in_force=False, reason=reason)
    return Decision(
        Action.ROLL_BACK,
        reason,
        timedelta(seconds=10),
        kept,
        State.ROLLING_BACK,
        Write(targets_for(service, split, {})),
        (*said(lost, now), shifted),
    )


def cancel(
    lost: Lost, service: ServiceState, now: datetime, by: str, reason: str, shown: Lost | None
) -> Decision | Refusal:
    """End it and leave the traffic as it is.

    shown: what a person was asked about, None where nobody was asked; another is left.
    """
    refused = must_be_shown(shown, lost)
    if refused is not None:
        return refused
    text = f"cancelled by {by}: {reason}".rstrip(": ")
    main = max(sorted(service.asked), key=lambda name: service.asked[name], default="")
    way_back = {lost.stable: 100} if lost.stable not in ("", lost.candidate) else {}
    kept = _by_hand(
        service, lost, now, by, stable=lost.stable or main, before=way_back or {main: 100}
    ).noting(now, "cancelled", text, by)
    end = Outcome("cancelled", kept.candidate, now, cut(text), by, way_back, BY_HAND)
    tags = own_tags(service.name.service, None, lost.stable if way_back else None)
    return Decision(
        Action.CANCEL,
        text,
        timedelta(0),
        replace(kept, outcomes=(end,)),
        State.DONE,
        Write(targets_left(service, tags)),
        said(lost, now),
    )


def said(lost: Lost | None, now: datetime) -> tuple[Event, ...]:
    """Return what is told of a write over a lost record."""
    return (Message(now, "warning", lost.replaced),) if lost is not None else ()


def replacing(record: Record, lost: Lost | None, now: datetime, by: str) -> Record:
    """Return a record that keeps what it is written over."""
    return record if lost is None else record.noting(now, REPLACED, lost.brief, by)


def _by_hand(
    service: ServiceState,
    lost: Lost | None,
    now: datetime,
    by: str,
    *,
    stable: str,
    before: Mapping[str, int],
) -> Record:
    tagged = lost.candidate if lost is not None else ""
    record = Record(
        rollout=BY_HAND,
        uid=service.uid,
        plan="{}",
        digest="",
        candidate=tagged or max(service.asked, key=lambda name: service.asked[name], default=""),
        stable=stable,
        before=dict(before),
        started=now,
        by=by,
        phase=Phase.DONE,
    )
    return replacing(record, lost, now, by)
