"""What failed, and what that leads to: a gate's or check's `on_fail`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from controller.engine import moves
from controller.engine.decision import Decision
from controller.engine.observation import CheckOutcome, NotSeen, Observation, Seen, ServiceState
from controller.engine.record import Record
from controller.engine.watching import judged_stage
from controller.gates.verdict import Fail, Undecided, Verdict, Why
from controller.plan.model import BothFailing, Check, Gate, OnFail, Plan

Failed = tuple[OnFail, str]
BACKWARD = (OnFail.ROLL_BACK, OnFail.STEP_BACK)


def failed_gates(plan: Plan, record: Record, verdicts: Mapping[str, Verdict]) -> list[Failed]:
    """Return what each failed gate of the stage leads to, with its sentence."""
    stage = judged_stage(record)
    judged = [
        leads_to(plan, gate, verdicts[gate.name])
        for gate in (plan.gates_at(stage) if stage >= 0 else ())
        if gate.name in verdicts
    ]
    return [failed for failed in judged if failed is not None]


def leads_to(plan: Plan, gate: Gate, verdict: Verdict) -> Failed | None:
    """Return what a gate's verdict leads to, with its sentence; None where it has not failed."""
    match verdict:
        case Fail(reason, _, emergency):
            on_fail = OnFail.ROLL_BACK if emergency else gate.on_fail
            return on_fail, f"{gate.name} {reason}"
        case Undecided(reason, _, Why.BOTH_FAILING) if (
            plan.when.both_failing is BothFailing.ROLL_BACK
        ):
            on_fail = OnFail.ROLL_BACK if gate.on_fail in BACKWARD else gate.on_fail
            return on_fail, f"{gate.name} {reason}"
        case _:
            return None


def failed_checks(checks: Iterable[Check], observation: Observation) -> list[Failed]:
    """Return what each failed check leads to, with its sentence."""
    return [
        (check.on_fail, f"check {check.name}: {seen.value.reason}")
        for check in checks
        if isinstance(seen := observation.checks.get(check.name), Seen)
        and seen.value.outcome is CheckOutcome.FAILED
    ]


def open_checks(
    checks: Iterable[Check], observation: Observation, *, failed_too: bool
) -> tuple[str, ...]:
    """Return the checks that have not passed, a sentence each."""
    found: list[str] = []
    for check in checks:
        match observation.checks.get(check.name, NotSeen("not sent yet")):
            case NotSeen(why):
                found.append(f"check {check.name}: {why}")
            case Seen(seen):
                failed = seen.outcome is CheckOutcome.FAILED
                if seen.outcome is CheckOutcome.UNDECIDED or (failed and failed_too):
                    found.append(f"check {check.name}: {seen.reason}")
    return tuple(found)


def named(failed: Iterable[Failed]) -> str:
    """Write failures as one sentence."""
    return "; ".join(reason for _, reason in failed)


def against(plan: Plan, observation: Observation, lost: str, failed: Iterable[Failed]) -> str:
    """Return what speaks for a roll back where none can be made; "" for nothing.

    lost: that the candidate cannot serve. failed: what the stage's gates say.
    """
    if lost:
        return lost
    return named(
        one for one in (*failed, *failed_checks(plan.checks, observation)) if one[0] in BACKWARD
    )


def on_failure(
    plan: Plan,
    record: Record,
    observation: Observation,
    service: ServiceState,
    verdicts: Mapping[str, Verdict],
    now: datetime,
) -> Decision | None:
    """Roll back, or step back, if something failed that asks for it; None if not."""
    failed = [*failed_gates(plan, record, verdicts), *failed_checks(plan.checks, observation)]
    if not failed:
        return None
    back = named(f for f in failed if f[0] is OnFail.ROLL_BACK)
    step = named(f for f in failed if f[0] is OnFail.STEP_BACK)
    reason = f"at {record.weight}%: {back or step}"
    if back or (step and (record.stage == 0 or record.stage in record.stepped_back)):
        return moves.roll_back(record, service, now, reason)
    if step:
        return moves.enter_stage(plan, record, service, record.stage - 1, now, reason)
    return None


def to_ask(
    plan: Plan, record: Record, observation: Observation, verdicts: Mapping[str, Verdict]
) -> str:
    """Return the failures that a person shall be asked about, "" if there are none."""
    failed = [*failed_gates(plan, record, verdicts), *failed_checks(plan.checks, observation)]
    return named(f for f in failed if f[0] is OnFail.ASK)
