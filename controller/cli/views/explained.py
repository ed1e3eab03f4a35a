"""An explained decision as lines for people and as JSON values. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.cli.views.json import seconds, time, verdict_values
from controller.cli.views.text import stamp
from controller.engine.explaining import Explained, Weighed
from controller.engine.observation import ServiceName
from controller.engine.record import Record, Transition
from controller.engine.watching import held
from controller.engine.wording import minutes_shown
from controller.gates.evidence import MINUTE, Minute
from controller.gates.judging import estimate_of
from controller.gates.minutes import to_json
from controller.gates.tally import Side, Tally, absorb
from controller.gates.verdict import word
from controller.gates.wording import count_text, shown
from controller.plan.model import (
    Arrival,
    FailedRequests,
    Gate,
    Plan,
    RequestCount,
    ResponseRate,
)

WIDTH = 80
POINTS = 5  # minutes shown to people, the last ones; scripts get all


@dataclass(frozen=True, slots=True)
class Told:
    """What is explained, of which rollout, and from where. name None: from a file."""

    done: Explained
    plan: Plan
    record: Record
    source: str
    doubts: tuple[str, ...]
    name: ServiceName | None


# People ---------------------------------------------------------------------------------------


def lines(told: Told) -> Iterator[str]:
    """Yield it as lines of at most 80 columns."""
    done, record = told.done, told.record
    where = f" ({told.name.project}, {told.name.region})" if told.name else ""
    yield from _wrapped(f"{told.plan.service}{where}: rollout {record.rollout}")
    yield from _wrapped(f"candidate  {record.candidate}, stable {record.stable}")
    yield from _wrapped(f"at         {stamp(done.at)}")
    yield from _wrapped(f"decision   {_decision(done)}")
    yield from _wrapped(f"because    {_because(done)}")
    yield from _wrapped(f"rule       {done.rule} ({done.where})")
    if done.record is not None:
        yield from _wrapped(f"stage      {_stage(told, done.record)}")
    if done.transition is None and done.before is not None:
        yield from _wrapped(f"before     {_transition(done.before)}")
    for one in done.then:
        yield from _wrapped(f"then       {_transition(one)}")
    for gate in done.gates:
        yield ""
        yield from _gate_lines(gate)
    yield ""
    yield from _wrapped(f"read from  {told.source}")
    if done.differs:
        yield from _wrapped(f"differs    {done.differs}")
    for doubt in told.doubts:
        yield from _wrapped(f"may differ {doubt}")


def _wrapped(text: str, indent: int = 11) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False,
    )  # fmt: skip


def _decision(done: Explained) -> str:
    if done.transition is not None:
        return done.transition.what
    if done.decision is None:
        return "none was made"
    return f"none was made; the next look: {done.decision.action.value.replace('_', ' ')}"


def _because(done: Explained) -> str:
    if done.transition is not None:
        return done.transition.reason or "no reason was noted"
    return done.decision.reason if done.decision else "the candidate had no requests yet"


def _stage(told: Told, record: Record) -> str:
    total = told.done.hold
    passed = min(held(record, told.done.at), total)
    since = stamp(record.in_force) if record.in_force else "-"
    return (
        f"{record.stage + 1} of {len(told.plan.stages)} at {record.weight}%, in force since "
        f"{since}; {minutes_shown(passed)} of a hold of {minutes_shown(total)}"
    )


def _transition(one: Transition) -> str:
    who = f" (by {one.by})" if one.by and one.by not in one.reason else ""
    return f"{stamp(one.at)} {one.what}" + (f": {one.reason}" if one.reason else "") + who


def _gate_lines(one: Weighed) -> Iterator[str]:
    gate, verdict = one.gate, one.verdict
    yield from _wrapped(f"gate {gate.name}: {word(verdict)}, {verdict.reason}", 2)
    yield from _wrapped(f"  limits   {_limits(gate, verdict.figures.limit)}")
    yield from _wrapped(f"  numbers  {_numbers(one)}")
    yield from _wrapped(f"  minutes  {_window(one)}")
    yield from _wrapped(f"  left out {'; '.join(one.left_out)}")
    skipped = len(one.minutes) - POINTS
    if skipped > 0:
        yield f"  points   the last {POINTS} of {len(one.minutes)}; -o json has all"
    for minute in one.minutes[-POINTS:]:
        tally = absorb(gate, Tally(), minute)
        mine, theirs = _side(gate, tally.candidate), _side(gate, tally.stable)
        yield f"    {minute.end - MINUTE:%H:%M}Z  candidate {mine:<27} stable {theirs}"


def _side(gate: Gate, side: Side) -> str:
    if not side.minutes:
        return "-"
    counted = f"{count_text(side.total)} requests"
    if isinstance(gate.metric, ResponseRate):
        return f"{counted}, {count_text(side.hits)} {_of_codes(gate.metric)}"
    if isinstance(gate.metric, RequestCount | Arrival | FailedRequests):
        return counted
    return f"{shown(gate, estimate_of(gate, side))} of {count_text(side.total)}"


def _of_codes(metric: ResponseRate) -> str:
    return "bad" if metric.counts_failures else "good"


def _limits(gate: Gate, own: float | None) -> str:
    """Return a gate's limits; own: that of a gate which nobody wrote a limit for."""
    limits = gate.limits
    found = [
        f"{name} {shown(gate, value)}"
        for name, value in (
            ("to advance", limits.to_advance),
            ("to roll back", limits.roll_back),
            ("emergency", limits.emergency),
        )
        if value is not None
    ]
    if gate.versus_stable is not None:
        found.append(f"versus stable {_versus(gate)}")
    if not found and own is not None:
        least = "at least" if isinstance(gate.metric, Arrival) else "at most"
        found.append(f"{least} {shown(gate, own)}")
    return f"{', '.join(found) or 'none'}; on_fail: {gate.on_fail.value}"


def _versus(gate: Gate) -> str:
    versus = gate.versus_stable
    if versus is None:
        return ""
    if versus.better_by is not None:
        return f"better by {versus.better_by:.0%}"
    if versus.worse_by is not None:
        return f"worse by {shown(gate, versus.worse_by)}"
    return f"ratio {versus.ratio:g}"


def _numbers(one: Weighed) -> str:
    figures = one.verdict.figures
    found = [f"candidate {shown(one.gate, figures.estimate)}"]
    if figures.interval is not None:
        low, high = figures.interval
        found.append(f"bad share between {low:.3%} and {high:.3%} (95%)")
    found.append(f"stable {shown(one.gate, figures.stable)}")
    found.append(f"sample {count_text(figures.sample)} of {count_text(figures.needed)} needed")
    found.append(f"{figures.spent:.1%} of the evidence that a fail needs")
    return ", ".join(found)


def _window(one: Weighed) -> str:
    delay = f"Monitoring's delay {minutes_shown(one.delay)}"
    if not one.minutes:
        return f"none yet; {delay}"
    return f"{_clock(one.start)} to {_clock(one.end)} ({len(one.minutes)} min); {delay}"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"


# Scripts --------------------------------------------------------------------------------------


def plain(told: Told) -> dict[str, Any]:
    """Return it as one object of JSON values, with every point. stage counts from 1, 0: none."""
    done, record = told.done, told.record
    there = done.record
    return {
        "version": 1,
        "event": "explained",
        "service": told.plan.service,
        "region": told.name.region if told.name else None,
        "rollout": record.rollout,
        "candidate": record.candidate,
        "stable": record.stable,
        "at": time(done.at),
        "decision": _plain(done.transition),
        "would_decide": None if done.decision is None else {
            "action": done.decision.action.value,
            "reason": done.decision.reason,
        },
        "rule": done.rule,
        "where": done.where,
        "stage": there.stage + 1 if there else 0,
        "weight": there.weight if there else 0,
        "in_force": time(there.in_force) if there and there.in_force else None,
        "hold_s": seconds(done.hold),
        "held_s": seconds(min(held(there, done.at), done.hold)) if there else 0,
        "before": _plain(done.before),
        "then": [_plain(one) for one in done.then],
        "gates": {one.gate.name: _plain_gate(one) for one in done.gates},
        "source": told.source,
        "differs": done.differs or None,
        "may_differ": list(told.doubts),
    }  # fmt: skip


def _plain(one: Transition | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {"at": time(one.at), "what": one.what, "reason": one.reason, "by": one.by or None}


def _plain_gate(one: Weighed) -> dict[str, Any]:
    limits = one.gate.limits
    points: list[Minute] = list(one.minutes)
    return verdict_values(one.verdict) | {
        "limits": {
            "advance": limits.to_advance,
            "roll_back": limits.roll_back,
            "emergency": limits.emergency,
            "versus_stable": _versus(one.gate) or None,
        },
        "on_fail": one.gate.on_fail.value,
        "window": {
            "from": time(one.start),
            "to": time(one.end),
            "delay_s": seconds(one.delay),
            "warm_up_s": seconds(one.warm_up),
            "left_out": list(one.left_out),
        },
        "points": [to_json(minute) for minute in points],
    }
