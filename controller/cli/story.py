"""Where a rollout's past comes from: its record and Monitoring, or the events that it wrote.

Either way it ends as transitions and as the minutes absorbed by a time; what they mean is in
`engine.explaining`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller.cli import journal
from controller.cli.journal import Unusable
from controller.engine.explaining import Stay, reads, stays
from controller.engine.observation import NotSeen, Seen, ServiceName, Window
from controller.engine.own import users_minutes
from controller.engine.preflight import histories, looks_back
from controller.engine.record import Phase, Record, Transition
from controller.engine.replaying import Past, Span
from controller.engine.whole import floor_minute
from controller.gates.evidence import Minute, Query
from controller.gates.history import History

if TYPE_CHECKING:
    from controller.plan.model import Plan
    from controller.ports import MetricSource

CHUNK = timedelta(days=1)
KEPT = timedelta(days=42)  # Monitoring keeps points for six weeks


@dataclass(frozen=True, slots=True)
class Story:
    """A rollout as it is remembered. past: the minutes absorbed by a time; may raise PortError.

    ends: the time up to which there is something to tell. doubts: why what is computed now may
    differ from what the controller saw, a sentence each. source: where the minutes come from.
    """

    plan: Plan
    record: Record
    transitions: tuple[Transition, ...]
    past: Callable[[datetime], Past]
    ends: datetime
    source: str
    doubts: tuple[str, ...] = ()
    forgotten: bool = False  # the first transitions fell off the record's end


# The record and Monitoring --------------------------------------------------------------------


def of_record(
    plan: Plan, record: Record, name: ServiceName, metrics: MetricSource, now: datetime
) -> Story:
    """Return what a service's record tells, with minutes that Monitoring is asked for."""
    forgotten = bool(record.transitions) and record.transitions[0].what != "started"
    doubts = ["points that came later than the plan's delay count here, and did not then"]
    if plan.checks:
        known = "are taken out as far as the record still knows them"
        gone = "are no longer known, and count here as users' requests"
        ours = gone if record.phase is Phase.DONE or not record.own else known
        doubts.append(f"the checks' own requests {ours}")
    if forgotten:
        doubts.append("the record forgot its first transitions: evidence of stages before is gone")
    if record.phase is Phase.DONE:
        doubts.append("stable's day before the rollout was read again, by today's points")

    def past(at: datetime) -> Past:
        there = stays(plan, record.transitions, at)
        history = record.history or _history(plan, record, name, metrics)
        spans = _spans(plan, record, name, metrics, there, at) if there else ()
        return Past(record.rollout, spans, history)

    return Story(
        plan, record, record.transitions, past, now, "Monitoring", tuple(doubts), forgotten
    )


def _history(
    plan: Plan, record: Record, name: ServiceName, metrics: MetricSource
) -> Mapping[str, History]:
    stable, looks = tuple(record.before), looks_back(plan, record.started)
    seen: dict[Query, Seen[Any] | NotSeen] = {}
    for query, look in looks.items():
        window = look.window
        values = metrics.read(name, query, stable, window.start, window.end, look.period)
        seen[query] = Seen(values)
    return histories(plan, stable, seen, looks)


def _spans(
    plan: Plan,
    record: Record,
    name: ServiceName,
    metrics: MetricSource,
    there: tuple[Stay, ...],
    at: datetime,
) -> tuple[Span, ...]:
    found = []
    for stay, windows in zip(there, reads(plan, there, at), strict=True):
        minutes = {
            query: _minutes(record, name, metrics, query, start, end)
            for query, (start, end) in windows.items()
        }
        found.append(Span(stay.stage, stay.weight, stay.in_force, minutes, stay.moved))
    return tuple(found)


def _minutes(
    record: Record,
    name: ServiceName,
    metrics: MetricSource,
    query: Query,
    start: datetime,
    end: datetime,
) -> tuple[Minute, ...]:
    revisions = tuple(dict.fromkeys((record.candidate, *record.before)))
    found: list[Minute] = []
    while start < end:
        until = min(start + CHUNK, end)
        readings = metrics.read(name, query, revisions, start, until)
        found += users_minutes(record, readings, Window(start, until))
        start = until
    return tuple(found)


# Events ---------------------------------------------------------------------------------------


def of_events(plan: Plan, name: str, lines: Iterable[bytes]) -> Story:
    """Return the last rollout that a file of events tells of. Raises Unusable."""
    kept: list[tuple[datetime, dict[str, Any], bytes]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            kept.append((_time(event["at"]), event, line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unusable(f"{name}:{number}:1: this is no event of a rollout") from error
    begun = [event for _, event, _ in kept if event.get("event") == "started"]
    if not begun:
        raise Unusable(f"{name}: there is no rollout in it")
    try:
        record = _record_of(begun)
        own = _of_rollout(kept, record.rollout)
        transitions = tuple(_transitions(record, own))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"{name}: this is no event of a rollout: {error}") from error
    texts = [(at, line) for at, _, line in own]
    journal.read(plan, name, [line for _, line in texts])  # what cannot be read is said at once

    def past(at: datetime) -> Past:
        found = journal.read(plan, name, [line for when, line in texts if when <= at])
        return found[0] if found else Past(record.rollout, ())

    missing = "lines of other processes that watched are not in the file, where there were any"
    return Story(plan, record, transitions, past, own[-1][0], name, (missing,))


def _of_rollout(
    kept: list[tuple[datetime, dict[str, Any], bytes]], rollout: str
) -> list[tuple[datetime, dict[str, Any], bytes]]:
    found, is_ours = [], False
    for one in kept:
        if one[1].get("event") == "started":
            is_ours = one[1].get("rollout") == rollout
        if is_ours:
            found.append(one)
    return found


def _record_of(begun: list[dict[str, Any]]) -> Record:
    last = begun[-1]
    first = next(one for one in begun if one["rollout"] == last["rollout"])
    candidate, stable = str(last["candidate"]), str(last["stable"])
    return Record(
        str(last["rollout"]), "", "", "", candidate, stable, {stable: 100}, _time(first["at"]), "",
        phase=Phase.RUNNING,
    )  # fmt: skip


def _transitions(
    record: Record, events: list[tuple[datetime, dict[str, Any], bytes]]
) -> Iterable[Transition]:
    """Yield what the record noted when these events were told, as far as they tell it."""
    actions = {
        (at, event["reason"]): str(event["action"])
        for at, event, _ in events
        if event.get("event") == "decided"
    }
    said: set[Transition] = set()
    for at, event, _ in events:
        one = _transition(record, at, event, actions)
        if one is not None and one not in said:
            said.add(one)
            yield one


def _transition(
    record: Record, at: datetime, event: dict[str, Any], actions: Mapping[tuple[datetime, str], str]
) -> Transition | None:
    reason = str(event.get("reason", ""))
    match event:
        case {"event": "started", "attached": False}:
            return Transition(at, "started", "")
        case {"event": "shifted", "in_force": True}:
            return Transition(at, f"{event['split'].get(record.candidate, 0)}% in force", reason)
        case {"event": "shifted"}:
            weight = event["split"].get(record.candidate, 0)
            word = "step back to" if actions.get((at, reason)) == "step_back" else "shift to"
            return Transition(at, f"{word} {weight}%" if weight else "roll back", reason)
        case {"event": "asked"}:
            return Transition(at, f"asked: {event['kind']}", reason)
        case {"event": "finished", "outcome": "promoted" | "rolled_back" | "cancelled" as outcome}:
            return Transition(at, str(outcome).replace("_", " "), reason)
        case _:
            return None


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without its zone: {text!r}")
    return at


# Which decision -------------------------------------------------------------------------------


_CLOSES = {"rolled back": "roll back", "promoted": "promote"}
_NO_DECISION = ("unwatched", "roll back not in force", "taken over", "replanned")


def decisions(transitions: Iterable[Transition]) -> tuple[Transition, ...]:
    """Return the transitions that were decided, not those that only tell that one came true."""
    seen: set[str] = set()
    found = []
    for one in transitions:
        closes = _CLOSES.get(one.what) in seen
        if not closes and not one.what.endswith("% in force") and one.what not in _NO_DECISION:
            found.append(one)
        seen.add(one.what)
    return tuple(found)


def chosen(story: Story, at: datetime | None) -> tuple[datetime, Transition | None]:
    """Return the time that is explained, and the decision that was made then, if one was.

    A time without seconds means its whole minute.
    """
    made = decisions(story.transitions)
    if at is None:
        last = made[-1] if made else None
        return (last.at if last else story.ends), last
    for one in reversed(made):
        whole = at == floor_minute(at) and floor_minute(one.at) == at
        if whole or abs(one.at - at) < timedelta(seconds=1):
            return one.at, one
    return at, None
