"""Replay: the plan's gates over the past, as a rollout would have seen it. Pure.

The record is set as the rollout would have had it in each stage, and the minutes are absorbed by
the very code that absorbs them while a rollout runs (`watching`). Weights are those that were: a
replay judges, it does not shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from controller.engine.failing import leads_to
from controller.engine.record import Accumulated, Phase, Record, Trial
from controller.engine.trial import acquitted
from controller.engine.watching import SETTLE, absorbing, entered, queries, terms_of, watermark
from controller.engine.whole import ceil_minute
from controller.gates.betting import Terms
from controller.gates.evidence import MINUTE, Minute, Query
from controller.gates.history import History
from controller.gates.judging import judge
from controller.gates.state import State
from controller.gates.verdict import Pass, Verdict, word
from controller.plan.model import Gate, OnFail, Plan


@dataclass(frozen=True, slots=True)
class Span:
    """The minutes that were absorbed while one split was in force.

    stage: 0-based. weight: the candidate's, whole percent. in_force: since when the stage's split
    was. minutes: by query, oldest first. moved: in a test of both failing, which begins no stage
    anew, since when the test's own split was; else None.
    """

    stage: int
    weight: int
    in_force: datetime
    minutes: Mapping[Query, tuple[Minute, ...]]
    moved: datetime | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """One run. history: what stable's day before says, by gate. spans: oldest first."""

    run: str
    spans: tuple[Span, ...]
    history: Mapping[str, History] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the gates say of a run.

    verdict: "fail" | "pass" | "undecided". end: of the minute in which a gate failed, else of the
    last one; None where there was none. stage: that minute's (0-based), -1 for none. gate: the
    one that failed or is the first undecided one, "" for a pass. reason: its sentence.
    """

    run: str
    verdict: str
    end: datetime | None
    stage: int
    gate: str
    reason: str


def minute_number(past: Past, end: datetime) -> int:
    """Return the number of the minute that ends then; 0 is the first that is evidence."""
    first = ceil_minute(past.spans[0].in_force + SETTLE)
    return (end - first) // MINUTE - 1


@dataclass(frozen=True, slots=True)
class _Failed:
    end: datetime
    gate: str
    reason: str


def replay(plan: Plan, past: Past) -> Replayed:
    """Return the first failure of a run; without one, what its last stage has come to."""
    if not past.spans:
        return Replayed(past.run, "undecided", None, -1, "", "the candidate got no requests")
    record, last = _before(past), None
    for span in past.spans:
        record = _in_force(plan, record, span)
        record, failed = _absorb(plan, record, span)
        if failed is not None:
            return Replayed(past.run, "fail", failed.end, record.stage, failed.gate, failed.reason)
        ends = [minutes[-1].end for minutes in span.minutes.values() if minutes]
        last = max(ends, default=last)
    return _at_the_end(plan, past.run, record, last)


def _before(past: Past) -> Record:
    """Return the record before the first shift; of what a replay never looks at it says nothing."""
    began = past.spans[0].in_force
    return Record(
        past.run, "", "", "", "candidate", "stable", {"stable": 100}, began, "",
        history=past.history,
    )  # fmt: skip


def _in_force(plan: Plan, record: Record, span: Span) -> Record:
    """Return the record with a span's split in force; a test's split begins no stage anew."""
    same = (span.stage, span.in_force) == (record.stage, record.in_force)
    if same and span.moved is None and span.weight == record.weight:
        return record  # one split, seen in two looks
    moved = replace(
        record,
        stage=span.stage,
        weight=span.weight,
        in_force=span.in_force,
        came_from=record.stage,
        weight_before=record.weight,
    )
    if span.moved is not None or same:
        at = span.moved or span.in_force
        trial = Trial("", at, 0.0)
        if span.weight == plan.stages[span.stage].weight:  # it is over: nobody is accused any more
            return replace(moved, trial=replace(trial, raised=at), gates=acquitted(record.gates))
        return replace(moved, trial=trial)
    return replace(moved, trial=None, gates=entered(plan, moved))


def _absorb(plan: Plan, record: Record, span: Span) -> tuple[Record, _Failed | None]:
    """Absorb a span's minutes; return the first failure among all gates, if there is one."""
    asked, gates = queries(plan, span.stage), dict(record.gates)
    first: _Failed | None = None
    for gate in plan.gates_at(span.stage):
        terms = terms_of(plan, record, gate)
        start = watermark(plan, record, gate.name)
        assert start is not None
        known = record.gates.get(gate.name) or Accumulated(start)
        minutes = span.minutes.get(asked[gate.name], ())
        state = known.state
        for end, state in absorbing(plan, record, gate, terms, known, minutes):
            if first is not None and end >= first.end:
                break
            reason = _accusation(plan, gate, terms, state)
            if reason:
                first = _Failed(end, gate.name, reason)
                break
        reached = max(minutes[-1].end, known.watermark) if minutes else known.watermark
        gates[gate.name] = Accumulated(reached, state)
    return replace(record, gates=gates), first


def _accusation(plan: Plan, gate: Gate, terms: Terms, state: State) -> str:
    """Return why a gate has failed, "" while it has not or nothing would come of it."""
    if state.failed is None and state.failing_since is None:
        return ""
    verdict = judge(gate, terms, state)
    failed = leads_to(plan, gate, verdict)
    return "" if failed is None or failed[0] is OnFail.OBSERVE else verdict.reason


def _at_the_end(plan: Plan, run: str, record: Record, last: datetime | None) -> Replayed:
    verdicts: dict[str, Verdict] = {
        gate.name: judge(gate, terms_of(plan, record, gate), record.gates[gate.name].state)
        for gate in plan.gates_at(record.stage)
        if gate.on_fail is not OnFail.OBSERVE
    }
    for name, verdict in verdicts.items():
        if not isinstance(verdict, Pass):
            return Replayed(run, word(verdict), last, record.stage, name, verdict.reason)
    reason = "; ".join(f"{name} {verdict.reason}" for name, verdict in verdicts.items())
    return Replayed(run, "pass", last, record.stage, "", reason)


# Where a run stands ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stood:
    """A run as a controller had it after the last span's minutes: record and verdicts by gate."""

    record: Record
    verdicts: Mapping[str, Verdict]


def stand(plan: Plan, past: Past, record: Record | None = None) -> Stood:
    """Return where a run stands after all its minutes; no failure ends it before.

    record: whose rollout it is; its stage, split and evidence are replaced by the past's. A new
    stage begins with what failed before forgiven, as `moves.enter_stage` has it.
    """
    known = replace(record, history=past.history) if record else None
    now = known or (_before(past) if past.spans else None)
    if now is None or not past.spans:
        raise ValueError("a run without a split in force stands nowhere")
    now = replace(now, phase=Phase.RUNNING, stage=-1, gates={}, shift=None)
    for span in past.spans:
        if span.moved is None:
            gates = {
                name: Accumulated(one.watermark, one.state.forgiven())
                for name, one in now.gates.items()
            }
            now = replace(now, gates=gates)
        else:
            now = replace(now, tried=tuple(dict.fromkeys((*now.tried, span.stage))))
        now = _all_absorbed(plan, _in_force(plan, now, span), span)
    verdicts = {
        gate.name: judge(gate, terms_of(plan, now, gate), now.gates[gate.name].state)
        for gate in plan.gates_at(now.stage)
    }
    return Stood(now, verdicts)


def _all_absorbed(plan: Plan, record: Record, span: Span) -> Record:
    asked, gates = queries(plan, span.stage), dict(record.gates)
    for gate in plan.gates_at(span.stage):
        start = watermark(plan, record, gate.name)
        assert start is not None
        known = gates.get(gate.name) or Accumulated(start)
        minutes = span.minutes.get(asked[gate.name], ())
        state, terms = known.state, terms_of(plan, record, gate)
        for _, state in absorbing(plan, record, gate, terms, known, minutes):  # noqa: B007 the last
            pass
        reached = max(minutes[-1].end, known.watermark) if minutes else known.watermark
        gates[gate.name] = Accumulated(reached, state)
    return replace(record, gates=gates)
