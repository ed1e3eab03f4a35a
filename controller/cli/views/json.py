"""`-o json`: one object a line on stdout, nothing else (DESIGN.md §6).

The first line has "version": 1. Names on the wire and their keys are a contract with scripts;
docs/events.md tells them. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO, assert_never

from controller.cli.views.text import write_raw
from controller.engine.events import (
    Asked,
    Decided,
    Event,
    Finished,
    Judged,
    Message,
    Observed,
    Shifted,
    Started,
)
from controller.gates.history import to_json as history_json
from controller.gates.minutes import to_json
from controller.gates.verdict import Fail, Undecided, Verdict, word
from controller.report.actions import disarmed_json

if TYPE_CHECKING:
    from controller.reconciler import Tick

VERSION = 1


class JsonView:
    """Writes every event; text for people is not its business."""

    def __init__(self, stdout: TextIO, named: Mapping[str, object] | None = None) -> None:
        self._stdout = stdout
        self._named = dict(named or {})
        self._head: dict[str, Any] = {"version": VERSION}  # of the first line
        self._problem = ""

    def about(self, named: Mapping[str, str]) -> JsonView:
        """Return a view of the same lines, each with these keys as well."""
        view = JsonView(self._stdout, named)
        view._head = self._head
        return view

    def show(self, event: Event) -> None:
        """Write one event as one line."""
        value = self._head | plain(event) | self._named
        self._head.clear()
        write_line(self._stdout, value)

    def tick(self, tick: Tick) -> None:
        """Write a pass: its events, and why a write did not happen, once."""
        for event in tick.events:
            self.show(event)
        if tick.problem and tick.problem != self._problem:
            self.show(Message(tick.at, "warning", f"not written: {tick.problem}"))
        self._problem = tick.problem

    def close(self) -> None:
        """Nothing is left open."""


def write_line(stream: TextIO, value: Mapping[str, Any]) -> None:
    """Write one JSON object as a line of UTF-8, whatever the locale.

    What steers a terminal, and what a job's runner would take for a command, is written as \\uXXXX:
    the same value to whoever parses it.
    """
    line = json.dumps(value, ensure_ascii=not _is_utf8(stream), separators=(", ", ": "))
    if not line.isprintable():
        line = "".join(c if c.isprintable() else _escaped(c) for c in line)
    write_raw(stream, disarmed_json(line))


def _escaped(character: str) -> str:
    told = json.dumps(character)[1:-1]
    return told if told.isprintable() else f"\\u{ord(character):04x}"  # U+007F, which JSON allows


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def plain(event: Event) -> dict[str, Any]:
    """Return an event's JSON values. Times are ISO 8601 in UTC, spans seconds, rates fractions."""
    match event:
        case Started():
            return _head("started", event) | {
                "rollout": event.rollout,
                "service": event.service,
                "candidate": event.candidate,
                "stable": event.stable,
                "stages": [
                    {"weight": weight, "hold_s": seconds(hold)} for weight, hold in event.stages
                ],
                "attached": event.attached,
                "changed": list(event.changed),
                "history": {name: history_json(one) for name, one in event.history.items()},
            }
        case Observed(_, stage, minutes):
            return _head("observed", event) | {
                "stage": stage + 1,
                "minutes": {name: [to_json(m) for m in many] for name, many in minutes.items()},
            }
        case Judged(_, gate, verdict):
            return _head("verdict", event) | {"gate": gate, **verdict_values(verdict)}
        case Decided(_, action, reason, look_again, opens):
            told = {"action": action, "reason": reason, "look_again_s": seconds(look_again)}
            window = {} if opens is None else {"window_opens": time(opens)}
            return _head("decided", event) | told | window
        case Shifted(_, split, in_force, reason):
            shift = {"split": dict(split), "in_force": in_force, "reason": reason}
            return _head("shifted", event) | shift
        case Asked(_, kind, reason, stage):
            return _head("asked", event) | {"kind": kind, "reason": reason, "stage": stage + 1}
        case Message(_, level, text):
            return _head("message", event) | {"level": level, "text": text}
        case Finished():
            return _head("finished", event) | {
                "outcome": event.outcome,
                "reason": event.reason,
                "split": dict(event.split),
                "took_s": None if event.took is None else seconds(event.took),
                "served": event.served,
                "next": list(event.next),
                **({"regions": dict(event.regions)} if event.regions else {}),
            }
        case _ as never:
            assert_never(never)


def verdict_values(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict's JSON values, its numbers in the metric's unit."""
    figures = verdict.figures
    values: dict[str, Any] = {
        "verdict": word(verdict),
        "reason": verdict.reason,
        "estimate": figures.estimate,
        "stable": figures.stable,
        "sample": figures.sample,
        "needed": figures.needed,
        "limit": figures.limit,
        "bad": figures.bad,
        "interval": figures.interval,
        "spent": round(figures.spent, 6),
    }
    match verdict:
        case Undecided(why=why):
            return values | {"why": why.value}
        case Fail(emergency=emergency):
            return values | {"emergency": emergency}
        case _:
            return values


def time(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, ending in Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def seconds(span: timedelta) -> float | int:
    """Return a span in seconds, whole where it is whole."""
    exact = span.total_seconds()
    return int(exact) if exact.is_integer() else exact


def _head(name: str, event: Event) -> dict[str, Any]:
    return {"event": name, "at": time(event.at)}
