"""A run's minutes, as a file tells them, → the past that `replaying` judges. Pure.

Minutes are numbered: 0 is the first of the rollout, negative ones came before and are stable's
history. On the clock here minute n ends n + 1 minutes after `ORIGIN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby

from controller.engine.observation import Seen
from controller.engine.preflight import histories, looks_until
from controller.engine.replaying import Past, Span
from controller.engine.watching import SETTLE
from controller.gates.evidence import MINUTE, Minute, Query, Readings, Value, merged
from controller.gates.history import History
from controller.plan.model import Plan

ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
STABLE = "stable"

Side = Mapping[Query, Value]


@dataclass(slots=True)
class Row:
    """One minute of a run: the candidate's weight (whole percent) and both sides' values."""

    weight: int
    candidate: Side = field(default_factory=dict)
    stable: Side = field(default_factory=dict)


def end_of(minute: int) -> datetime:
    """Return when a numbered minute ends, on the clock of this module."""
    return ORIGIN + MINUTE * (minute + 1)


def past_of(plan: Plan, run: str, rows: Mapping[int, Row]) -> Past:
    """Return a run's past. rows: by minute, in any order; a missing one is without data.

    The first stage begins with minute 0, each later one with its first row. A weight must be one
    of the plan's in rows from 0 on; raises KeyError else.
    """
    stage_at = {stage.weight: number for number, stage in enumerate(plan.stages)}
    during = [n for n in sorted(rows) if n >= 0]
    spans: list[Span] = []
    for weight, group in groupby(during, key=lambda n: rows[n].weight):
        numbers = list(group)
        begin = end_of(numbers[0] - 1) if spans else ORIGIN
        spans.append(Span(stage_at[weight], weight, begin - SETTLE, _minutes(rows, numbers)))
    before = {n: row.stable for n, row in rows.items() if n < 0}
    return Past(run, tuple(spans), history_before(plan, before))


def _minutes(rows: Mapping[int, Row], group: Iterable[int]) -> dict[Query, tuple[Minute, ...]]:
    found: dict[Query, list[Minute]] = {}
    for n in group:
        row, end = rows[n], end_of(n)
        for query in dict.fromkeys((*row.candidate, *row.stable)):
            minute = Minute(end, row.candidate.get(query), row.stable.get(query))
            found.setdefault(query, []).append(minute)
    return {query: tuple(many) for query, many in found.items()}


def history_before(plan: Plan, before: Mapping[int, Side]) -> Mapping[str, History]:
    """Return what stable's last day before minute 0 says, as it is read before the first shift."""
    if not before:
        return {}
    looks = looks_until(plan, lambda _query: ORIGIN)
    seen: dict[Query, Seen[Readings]] = {}
    for query, look in looks.items():
        batch = look.period // MINUTE
        points = _batched({n: side[query] for n, side in before.items() if query in side}, batch)
        seen[query] = Seen({STABLE: points})
    return histories(plan, (STABLE,), seen, looks)


def _batched(values: Mapping[int, Value], size: int) -> dict[datetime, Value]:
    """Return one value for every `size` minutes, counted back from minute 0, by their end."""
    batches: dict[int, list[Value]] = {}
    for n in sorted(values):
        batches.setdefault(n // size, []).append(values[n])
    found: dict[datetime, Value] = {}
    for batch, many in batches.items():
        value = merged(many)
        if value is not None:
            found[end_of(size * (batch + 1) - 1)] = value
    return found


def past_between(
    plan: Plan,
    run: str,
    weights: Mapping[datetime, int],
    minutes: Mapping[Query, tuple[Minute, ...]],
    history: Mapping[str, History],
) -> Past:
    """Return the past of what was measured. weights: the candidate's by end of minute, 0: none.

    A split is taken to be in force since the beginning of its first minute; minutes between two
    known weights belong to the earlier.
    """
    stage_at = {stage.weight: number for number, stage in enumerate(plan.stages)}
    groups = [
        (weight, min(ends)) for weight, ends in groupby(sorted(weights), key=weights.__getitem__)
    ]
    spans: list[Span] = []
    for (weight, first), following in zip(groups, [*groups[1:], None], strict=True):
        begin = first - MINUTE
        until = following[1] - MINUTE if following is not None else datetime.max.replace(tzinfo=UTC)
        if weight:
            inside = {
                query: tuple(minute for minute in many if begin < minute.end <= until)
                for query, many in minutes.items()
            }
            spans.append(Span(stage_at[weight], weight, begin, inside))
    return Past(run, tuple(spans), history)
