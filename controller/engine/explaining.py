"""Explaining a decision afterwards: what was judged, and which rule decided. Pure.

Nothing is judged here: minutes go through `replaying`, which absorbs them as a rollout does, and
what follows from them is asked of `decide` itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.decide import decide
from controller.engine.decision import Decision
from controller.engine.observation import (
    CheckOutcome,
    CheckSeen,
    Observation,
    RevisionState,
    Seen,
    ServiceName,
    ServiceState,
    Target,
)
from controller.engine.record import Act, Ask, AskKind, Record, Transition
from controller.engine.replaying import Past, Stood, stand
from controller.engine.ruling import ruled
from controller.engine.watching import (
    delay_of,
    hold_of,
    queries,
    warmed_up,
    watermark_at_first,
)
from controller.engine.whole import floor_minute
from controller.gates.evidence import MINUTE, Minute, Query
from controller.gates.verdict import Verdict
from controller.plan.model import Gate, Plan

_IN_FORCE = re.compile(r"(\d{1,3})% in force")
_ASKED_FOR = re.compile(r"(shift to|step back to|test at|back to) (\d{1,3})%")
_GOES_ON = ("hold goes on", "way back", "waits for the window")


@dataclass(frozen=True, slots=True)
class Stay:
    """One split in force. moved: in a test of both failing, since when (`replaying.Span`)."""

    stage: int
    weight: int
    in_force: datetime
    since: datetime
    moved: datetime | None = None


def stays(plan: Plan, transitions: Sequence[Transition], until: datetime) -> tuple[Stay, ...]:
    """Return the splits that came into force before `until`, as the transitions tell."""
    stage_at = {stage.weight: number for number, stage in enumerate(plan.stages)}
    found: list[Stay] = []
    tests = False
    for one in transitions:
        if one.at >= until:
            break
        asked, came = _ASKED_FOR.fullmatch(one.what), _IN_FORCE.fullmatch(one.what)
        if asked is not None:
            tests = asked[1] in ("test at", "back to")
        if came is None:
            continue
        weight = int(came[1])
        if tests and found:
            last = found[-1]
            found.append(Stay(last.stage, weight, last.in_force, one.at, one.at))
        elif weight in stage_at:
            found.append(Stay(stage_at[weight], weight, one.at, one.at))
    return tuple(found)


def reads(
    plan: Plan, spent: Sequence[Stay], until: datetime
) -> tuple[Mapping[Query, tuple[datetime, datetime]], ...]:
    """Return which minutes were absorbed in each stay, (start, end] by query.

    Up to when its next split was in force, or `until`: less what Monitoring is late by.
    """
    ends = [*(stay.since for stay in spent[1:]), until]
    reached: dict[Query, datetime] = {}
    found = []
    for stay, end in zip(spent, ends, strict=True):
        here: dict[Query, tuple[datetime, datetime]] = {}
        for query in dict.fromkeys(queries(plan, stay.stage).values()):
            start = reached.get(query, floor_minute(stay.in_force))
            last = floor_minute(end - delay_of(plan, query))
            if last > start:
                here[query] = (start, last)
                reached[query] = last
        found.append(here)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a gate was judged by. start, end: the first minute's beginning, the last one's end."""

    gate: Gate
    verdict: Verdict
    start: datetime
    end: datetime
    delay: timedelta
    warm_up: timedelta
    minutes: tuple[Minute, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision. transition None: none was made, `decision` tells what was waited for.

    record None: nothing was in force yet. then: the transitions that followed.
    """

    at: datetime
    transition: Transition | None
    record: Record | None
    decision: Decision | None
    gates: tuple[Weighed, ...]
    rule: str
    where: str
    before: Transition | None
    then: tuple[Transition, ...]
    differs: str = ""
    hold: timedelta = timedelta(0)


def explain(
    plan: Plan,
    record: Record,
    transitions: Sequence[Transition],
    past: Past,
    at: datetime,
    transition: Transition | None,
) -> Explained:
    """Explain what was decided at a time. past: the minutes that were absorbed by then."""
    before = tuple(t for t in transitions if t.at < at and t is not transition)
    then = tuple(t for t in transitions if t.at >= at and t is not transition)
    last = before[-1] if before else None
    if not past.spans:
        told = ruled(plan, None, transition, None, {})
        return Explained(at, transition, None, None, (), *told, last, then[:3])
    stood = stand(plan, past, record)
    there = as_it_stood(stood.record, before, at)
    decision = _decision(plan, there, at)
    gates = _gates(plan, stood, past)
    rule, where = ruled(plan, there, transition, decision, stood.verdicts)
    differs = _difference(transition, decision)
    return Explained(
        at, transition, there, decision, gates, rule, where, last, then[:3], differs,
        hold_of(plan, there),
    )  # fmt: skip


def as_it_stood(record: Record, before: Sequence[Transition], at: datetime) -> Record:
    """Return the record with what the transitions tell of hold, questions and people."""
    there = replace(
        record, ask=None, paused=None, stopped=None, uncounted=timedelta(0), extended=False,
        approved=(), waived=(), stepped_back=(), after="", hand=None, at=at,
    )  # fmt: skip
    stage = record.stage
    begun = record.in_force
    for one in before:
        if one.what == "approved":
            there = replace(there, approved=(*there.approved, stage + 1))
        if _ASKED_FOR.fullmatch(one.what) and one.what.startswith("step back"):
            there = replace(there, stepped_back=(*there.stepped_back, stage + 1))
        if begun is None or one.at < begun:
            continue
        there = _after(there, one)
    return there


def _after(record: Record, one: Transition) -> Record:
    if one.what == "paused":
        act = Act(one.by, one.at, one.reason)
        return replace(record, paused=act, stopped=record.stopped or one.at)
    if one.what == "resumed":
        return replace(record, paused=None).resumed(one.at)
    if one.what.startswith("asked: "):
        ask = Ask(AskKind(one.what.removeprefix("asked: ")), one.reason, one.at)
        return replace(record, ask=ask, stopped=record.stopped or one.at)
    if one.what == "hold stands still":
        return replace(record, stopped=record.stopped or one.at)
    if one.what in _GOES_ON:
        return replace(record, ask=None).resumed(one.at)
    return replace(record, extended=True) if one.what == "extended" else record


def _decision(plan: Plan, record: Record, at: datetime) -> Decision:
    """Ask the engine what follows where all but the gates is well."""
    split = moves.expected_split(record)
    targets = tuple(Target(name, percent) for name, percent in split.items())
    service = ServiceState(
        ServiceName("", "", plan.service),
        uid=record.uid,
        generation=0,
        reconciling=False,
        targets=targets,
        statuses=targets,
        ready=True,
        ready_message="",
        latest_ready=record.candidate,
        latest_created=record.candidate,
        record_text=None,
    )
    well = CheckSeen(CheckOutcome.PASSED, "taken to have passed")
    observation = Observation(
        Seen(service),
        Seen(RevisionState(record.candidate, ready=True)),
        Seen(RevisionState(record.stable, ready=True)),
        checks={check.name: Seen(well) for check in plan.checks},
    )
    return decide(plan, record, observation, at)


def _gates(plan: Plan, stood: Stood, past: Past) -> tuple[Weighed, ...]:
    record, span = stood.record, past.spans[-1]
    asked = queries(plan, record.stage)
    first = watermark_at_first(plan, record)
    found = []
    for gate in plan.gates_at(record.stage):
        query = asked[gate.name]
        start = warmed_up(plan, record, gate)
        minutes = tuple(m for m in span.minutes.get(query, ()) if m.end > start)
        end = max(minutes[-1].end if minutes else start, start)
        left = [f"the first {_seconds(first - span.in_force)} s, while the split settled"]
        if start > first:
            left.append(f"then {_minutes(start - first)} min of warm-up")
        empty = sum(m.candidate is None and m.stable is None for m in minutes)
        if empty:
            left.append(f"{empty} min without a point of either side")
        verdict = stood.verdicts[gate.name]
        found.append(
            Weighed(gate, verdict, start, end, delay_of(plan, query), start - first, minutes,
                  tuple(left))
        )  # fmt: skip
    return tuple(found)


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())


def _minutes(span: timedelta) -> int:
    return round(span / MINUTE)


_ACTIONS = {
    "shift to": "shift",
    "step back to": "step_back",
    "roll back": "roll_back",
    "promoted": "promote",
    "asked: ": "ask",
}
_NOT_OF_GATES = ("check ", "the candidate ", "nobody ", "Monitoring ", "approved", "no checks")


def _difference(transition: Transition | None, decision: Decision) -> str:
    """Tell that the gates, as they are read now, would not have led there; "" where they do."""
    if transition is None or transition.by or any(w in transition.reason for w in _NOT_OF_GATES):
        return ""
    wanted = next((a for w, a in _ACTIONS.items() if transition.what.startswith(w)), None)
    if wanted is None or decision.action.value == wanted:
        return ""
    return f"with what is read now it would have been: {decision.reason}"
