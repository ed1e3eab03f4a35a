"""Which commands make sense for a rollout that waits for a person: only such as are not refused.

Pure: a record and what commands call the service in, command lines out.
"""

from __future__ import annotations

from controller.engine.codec import Unreadable, decode
from controller.engine.lost import Lost, lost_of
from controller.engine.observation import Observation, Seen, ServiceState
from controller.engine.record import AskKind, Record


def go_on(place: str) -> str:
    """Return the command that goes on with a rollout: with its plan, or by the service's name."""
    return f"rollout {'tick' if ' --project ' in place else 'apply'} {place}"


def of_a_person(record: Record, place: str) -> tuple[str, ...]:
    """Return what a person can do about a rollout that is paused or asks; none is taken over."""
    if record.ask is not None and record.ask.kind is AskKind.NO_WAY_BACK:
        to_another = f"rollout rollback {place} --to-revision REV"
        return (*_lines(place, "promote", "cancel"), to_another)
    answered = record.stage + 1 in (*record.approved, *record.waived)
    words = ["resume"] if record.paused else []
    if record.ask is not None:
        words += ["reject"] if answered else ["approve", "reject"]
    return _lines(place, *words, "rollback", "cancel")


def of_taken_over(record: Record, seen: Observation, place: str) -> tuple[str, ...]:
    """Return what a person can do where another hand holds the service. record: what we know."""
    if not isinstance(seen.service, Seen):
        return _lines(place, "status")
    service = seen.service.value
    if service.uid != record.uid:
        return _lines(place, "status")
    there = _record_on(service)
    if there is not None and there.rollout != record.rollout:
        return _lines(place, "status")
    if there is not None and there.nonce == record.nonce:
        return _lines(place, "resume", "rollback", "cancel")
    lost = lost_of(service)
    if lost is not None:
        return (*of_lost(lost, place), *_lines(place, "status"))
    on_stable = set(service.asked) <= set(record.before)
    return _lines(place, "status") if on_stable else _lines(place, "rollback", "status")


def of_lost(lost: Lost, place: str) -> tuple[str, ...]:
    """Return what ends a rollout whose record is lost, or takes its place."""
    back: tuple[str, ...] = ()
    if lost.stable or len(lost.asked) == 2:
        back = _lines(place, "rollback")
    elif lost.under_way:
        back = (f"rollout rollback {place} --to-revision REV",)
    plan = "PLAN" if " --project " in place else place
    anew = () if lost.under_way else (f"rollout apply {plan} --replace",)
    return (*back, *_lines(place, "cancel"), *anew)


def listed(lines: tuple[str, ...]) -> str:
    """Return command lines as they stand in a sentence."""
    return ", ".join(f"`{line}`" for line in lines)


def _record_on(service: ServiceState) -> Record | None:
    try:
        return decode(service.record_text) if service.record_text is not None else None
    except Unreadable:
        return None


def _lines(place: str, *words: str) -> tuple[str, ...]:
    return tuple(f"rollout {word} {place}" for word in words)
