"""What a person does, by its word: the same for the commands and for a scenario's people.

Here: which act of the engine a word means. Not here: asking on a
terminal (`acts`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime

from controller.engine import acts, recordless
from controller.engine.decision import Decision, Refusal
from controller.engine.lost import Lost
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import Phase, Record
from controller.plan.model import Plan
from controller.ports import PortError, Ports
from controller.reconciler import Tick, people

_PLAIN: Mapping[str, Callable[..., Decision | Refusal]] = {
    "pause": acts.pause,
    "resume": acts.resume,
    "advance": acts.advance,
    "promote": acts.promote_now,
    "cancel": acts.cancel_now,
}
_STAGED: Mapping[str, Callable[..., Decision | Refusal]] = {
    "approve": acts.approve,
    "reject": acts.reject,
}


def perform(
    ports: Ports,
    name: ServiceName,
    word: str,
    by: str,
    reason: str,
    *,
    stage: int | None = None,
    to_revision: str | None = None,
    shown: Lost | None = None,
) -> Tick | Refusal:
    """Do what the word says; raises PortError.

    stage: 1-based; for approve and reject the one that is meant, for rollback the one to go to.
    shown: the lost record that a person was asked about; a cancel then ends no other.
    """
    if word == "rollback":
        return _roll_back(ports, name, by, reason, stage, to_revision)

    def without(lost: Lost, service: ServiceState, now: datetime) -> Decision | Refusal:
        return recordless.cancel(lost, service, now, by, reason, shown)

    deed = _deed(word, by, reason, stage)
    return people.act(ports, name, deed, without if word == "cancel" else None)


def _deed(
    word: str, by: str, reason: str, stage: int | None
) -> Callable[[Plan, Record, ServiceState, datetime], Decision | Refusal]:
    def deed(
        plan: Plan, record: Record, service: ServiceState, now: datetime
    ) -> Decision | Refusal:
        if word in _STAGED:
            return _STAGED[word](plan, record, service, now, by, reason, stage)
        return _PLAIN[word](plan, record, service, now, by, reason)

    return deed


def _roll_back(
    ports: Ports,
    name: ServiceName,
    by: str,
    reason: str,
    to_stage: int | None,
    to_revision: str | None,
) -> Tick | Refusal:
    missing = _missing(ports, name, to_revision) if to_revision is not None else None
    if missing is not None:
        return missing

    def deed(record: Record | None, service: ServiceState, now: datetime) -> Decision | Refusal:
        plan = plan_of(record) if to_stage is not None else None
        # Only where no record tells the way back is the list of revisions worth a call.
        known = record is not None and (
            record.phase is not Phase.DONE or recordless.tells_a_way_back(record)
        )
        revisions = () if known else ports.router.revisions(name)
        return acts.roll_back_now(
            record,
            service,
            revisions,
            now,
            by,
            reason,
            to_stage=to_stage,
            to_revision=to_revision,
            plan=plan,
        )

    return people.roll_back(ports, name, deed)


def _missing(ports: Ports, name: ServiceName, revision: str) -> Refusal | None:
    """Refuse a revision that is mistyped: Cloud Run takes any name, and then serves nothing new."""
    try:
        known = [one.name for one in ports.router.revisions(name)]
    except PortError:
        return None  # the way back must not hang on a list
    if revision in known:
        return None
    near = difflib.get_close_matches(revision, known, n=2, cutoff=0.6)
    mend = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:10])}"
    return Refusal(f"there is no revision {revision}", mend)


def plan_of(record: Record | None) -> Plan | None:
    """Return the plan a record carries, None where it has none that can be read."""
    from controller.plan.compact import from_json

    try:
        return from_json(record.plan) if record is not None else None
    except ValueError:
        return None
