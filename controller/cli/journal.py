"""A rollout's own events (`-o json`) → the past that `replaying` judges.

The order of the lines tells which minutes were absorbed while which split was in force. The events
of several processes may follow one another; what was seen twice is judged once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.engine.replaying import Past, Span
from controller.engine.watching import SETTLE, queries
from controller.gates.evidence import MINUTE, Minute, Query
from controller.gates.history import History
from controller.gates.history import from_json as history_from_json
from controller.gates.minutes import from_json, name_of
from controller.plan.model import Plan


class Unusable(Exception):
    """A line that is no event of a rollout; the message has its place."""


@dataclass(slots=True)
class _Open:
    """The span that is being read. stage: 0-based, -1 while it is not known."""

    weight: int
    in_force: datetime | None
    stage: int = -1
    minutes: dict[Query, list[Minute]] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    rollout: str
    candidate: str
    history: Mapping[str, History]
    spans: list[_Open] = field(default_factory=list)
    is_shifting: bool = False


def read(plan: Plan, name: str, lines: Iterable[bytes]) -> tuple[Past, ...]:
    """Return every rollout's past, in the order in which they began.

    name: the file's, for messages. Raises Unusable for a line that is no event.
    """
    journal = _Journal(plan)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            journal.add(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise Unusable(f"{name}:{number}:1: this is no event of a rollout: {why}") from error
    return tuple(_past(plan, one) for one in journal.runs.values())


class _Journal:
    """The rollouts read so far, by id; the last one that began is the one that is told of."""

    def __init__(self, plan: Plan) -> None:
        self.runs: dict[str, _Run] = {}
        self._plan = plan
        self._known = _queries_by_name(plan)
        self._run: _Run | None = None

    def add(self, event: Any) -> None:
        """Read one event. Raises ValueError, KeyError, TypeError."""
        match event:
            case {"event": "started"}:
                self._run = _started(self.runs, event)
            case {"event": "shifted"} if self._run is not None:
                _shifted(self._run, event)
            case {"event": "observed"} if self._run is not None:
                _observed(self._plan, self._known, self._run, event)
            case {"event": "shifted" | "observed"}:
                raise ValueError("`started` is missing before it")
            case {"event": str()}:
                pass
            case _:
                raise ValueError("it has no name")


def _started(runs: dict[str, _Run], event: dict[str, Any]) -> _Run:
    rollout, candidate = str(event["rollout"]), str(event["candidate"])
    told = event.get("history") or {}
    history = {str(gate): history_from_json(one) for gate, one in told.items()}
    run = runs.setdefault(rollout, _Run(rollout, candidate, history))
    run.history = run.history or history
    return run


def _shifted(run: _Run, event: dict[str, Any]) -> None:
    weight = event["split"].get(run.candidate, 0)
    if type(weight) is not int or not 0 <= weight <= 100:
        raise ValueError(f"not a weight: {weight!r}")
    run.is_shifting = not event["in_force"]
    if event["in_force"] and (weight or run.spans):
        run.spans.append(_Open(weight, _time(event["at"])))


def _observed(
    plan: Plan, known: Mapping[str, tuple[Query, ...]], run: _Run, event: dict[str, Any]
) -> None:
    stage = event["stage"]
    if type(stage) is not int or not 1 <= stage <= len(plan.stages):
        raise ValueError(f"the plan has no stage {stage!r}")
    if not run.spans:
        run.spans.append(_Open(plan.stages[stage - 1].weight, None))
    span = run.spans[-1]
    if span.stage < 0 and not run.is_shifting:  # while it shifts, the next stage is told
        span.stage = stage - 1
    for metric, told in event["minutes"].items():
        for query in known.get(metric, ()):
            span.minutes.setdefault(query, []).extend(map(from_json, told))


def _past(plan: Plan, run: _Run) -> Past:
    spans: list[Span] = []
    for one in run.spans:
        stage = one.stage if one.stage >= 0 else _stage_at(plan, one.weight)
        before = spans[-1] if spans else None
        begun, moved = one.in_force or _assumed(one), None
        if before is not None and before.stage == stage and before.weight != one.weight:
            begun, moved = before.in_force, begun  # a test of both failing: the stage goes on
        if stage < 0 or begun is None:
            continue
        minutes = {query: _once(many) for query, many in one.minutes.items()}
        spans.append(Span(stage, one.weight, begun, minutes, moved))
    return Past(run.rollout, tuple(spans), run.history)


def _once(minutes: list[Minute]) -> tuple[Minute, ...]:
    """Return each minute once, oldest first.

    A process begins with what the record had not absorbed yet, so that passes see the same minutes
    again; what the last of them read is what it decided by.
    """
    found = {minute.end: minute for minute in minutes}
    return tuple(found[end] for end in sorted(found))


def _stage_at(plan: Plan, weight: int) -> int:
    return next((n for n, stage in enumerate(plan.stages) if stage.weight == weight), -1)


def _assumed(span: _Open) -> datetime | None:
    """Return since when a split must have been in force whose beginning nobody saw."""
    first = min((many[0].end for many in span.minutes.values() if many), default=None)
    return None if first is None else first - MINUTE - SETTLE


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without its zone: {text!r}")
    return at


def _queries_by_name(plan: Plan) -> dict[str, tuple[Query, ...]]:
    found: dict[str, dict[Query, None]] = {}
    for stage in range(len(plan.stages)):
        for query in queries(plan, stage).values():
            found.setdefault(name_of(query), {})[query] = None
    return {name: tuple(many) for name, many in found.items()}
