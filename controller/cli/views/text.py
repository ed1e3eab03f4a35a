"""Events as sentences, and what a terminal can show of them. Shared by the plain and live views.

Pure: nothing is printed here.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import IO, assert_never

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
from controller.engine.split import split_text
from controller.engine.wording import minutes_shown
from controller.gates.verdict import Undecided, Why, word
from controller.gates.wording import count_text
from controller.plan.diagnostics import visible
from controller.report.actions import disarmed

OUTCOMES: Mapping[str, str] = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "cancelled": "cancelled",
    "waiting": "waiting for a person",
    "in_progress": "still in progress",
    "taken_over": "taken over",
    "nothing_to_do": "nothing to do",
    "error": "error",
}
"""Outcome on the wire → as people read it."""

_TOO_EARLY = {Why.NO_DATA, Why.SAMPLE}
_ASCII = str.maketrans(
    {
        "→": "->", "–": "-", "—": "-", "…": "...", "×": "x", "≥": ">=", "≤": "<=", "’": "'",
        "━": "#", "─": "-", "✓": "ok", "✗": "X", "●": "*", "○": ".", "\u00a0": " ",
    }
)  # fmt: skip

_SPACES = dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"), " ")
"""Spaces that Python calls unprintable, and that people write: Korean and French text has them."""


def lines(event: Event) -> tuple[str, ...]:
    """Return an event as lines for people, without its time; () where it says nothing new."""
    match event:
        case Started():
            return _started(event)
        case Observed() | Decided():
            return ()
        case Judged(_, gate, verdict):
            return (f"gate {gate}: {word(verdict)}, {verdict.reason}",)
        case Shifted(_, split, in_force, reason):
            if in_force:
                return (f"in force: {split_text(split)}",)
            return (f"shift to {split_text(split)}, because {reason}",)
        case Asked(_, kind, reason):
            return (f"a person is needed ({kind.replace('_', ' ')}): {reason}",)
        case Message(_, level, text):
            return ({"warning": "warning: ", "shout": "!!! "}.get(level, "") + text,)
        case Finished():
            return result(event)
        case _ as never:
            assert_never(never)


def tick_lines(events: Sequence[Event]) -> tuple[str, ...]:
    """Return the events of one pass as lines; gates that have seen too little share one."""
    waiting = [
        event.gate
        for event in events
        if isinstance(event, Judged)
        and isinstance(event.verdict, Undecided)
        and event.verdict.why in _TOO_EARLY
    ]
    told = [line for event in events if not _is_in(event, waiting) for line in lines(event)]
    return (*told, f"not enough evidence yet: {', '.join(waiting)}") if waiting else tuple(told)


def _is_in(event: Event, gates: Sequence[str]) -> bool:
    return isinstance(event, Judged) and event.gate in gates


def _started(event: Started) -> tuple[str, ...]:
    way = " → ".join(
        f"{weight}%" + (f" for {minutes_shown(hold)}" if hold else "")
        for weight, hold in event.stages
    )
    begins = f"of {event.service} goes on" if event.attached else f"starts on {event.service}"
    changed = tuple(f"  changed: {line}" for line in event.changed)
    return (
        f"rollout {event.rollout} {begins}: candidate {event.candidate}, stable {event.stable}",
        f"  stages: {way}",
        *changed,
    )


def result(event: Finished) -> tuple[str, ...]:
    """Return the end as lines: one clear sentence, then the split and what to type now."""
    told = [f"{_observed(event)}{sentence(event.outcome, event.reason)}{_figures(event)}"]
    if event.split:
        kept = " (nothing was moved)" if event.observed else ""
        told.append(f"traffic: {split_text(event.split)}{kept}")
    told += [f"{region}: {OUTCOMES.get(how, how)}" for region, how in event.regions.items()]
    told += [f"next: {command}" for command in event.next]
    return tuple(told)


def _observed(event: Finished) -> str:
    """Return what comes before an outcome that did not happen, or that nothing came of."""
    if not event.observed or event.outcome == "error":
        return ""
    return "would be " if event.outcome in {"promoted", "rolled_back"} else "observed: "


def sentence(outcome: str, reason: str) -> str:
    """Return an outcome with its reason: "rolled back at 10%: error-rate 4.1% of …"."""
    if outcome == "nothing_to_do" and reason.startswith("dry run"):
        return reason
    return joined(OUTCOMES.get(outcome, outcome), reason)


def joined(ended: str, reason: str) -> str:
    """Return a state in words with its reason, saying nothing twice."""
    if not reason or reason == ended:
        return ended
    if reason.startswith(ended):
        return reason
    return f"{ended} {reason}" if reason.startswith("at ") else f"{ended}: {reason}"


def _figures(event: Finished) -> str:
    took = f"took {minutes_shown(event.took)}" if event.took is not None else ""
    served = _served(event.served) if event.served is not None else ""
    told = ", ".join(part for part in (took, served) if part)
    return f" ({told})" if told else ""


def _served(count: int) -> str:
    """Tell what was counted: evidence only, so a stage's first and last minutes are not in it."""
    if not count:
        return "no request of the candidate was counted"
    requests = "request" if count == 1 else "requests"
    return f"the candidate served at least {count_text(count)} {requests}"


def stamp(at: datetime) -> str:
    """Return a time as it stands before a line: "2026-01-05 09:00:00Z"."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def fitting(text: str, stream: IO[str]) -> str:
    """Return text as the stream can encode it: ASCII for what it cannot, never an error."""
    encoding: str = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(_ASCII)
        return plain.encode("ascii", "backslashreplace").decode("ascii")
    return text


def table(rows: Sequence[Sequence[str]], *, width: int | None) -> Iterator[str]:
    """Yield rows, the header first, as aligned lines; of one region no line says which.

    width: of the terminal, None where lines may be long.
    """
    header, *body = rows
    last = len(header) - 1
    kept = [n for n in range(last) if header[n] != "REGION" or len({row[n] for row in body}) > 1]
    widths = {n: max(len(row[n]) for row in rows) for n in kept}
    for row in rows:
        line = "  ".join([*(row[n].ljust(widths[n]) for n in kept), row[last]]).rstrip()
        yield line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def terminal_width(stream: IO[str]) -> int | None:
    """Return how many characters a line has room for; None where it may be as long as it is."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def harmless(text: str) -> str:
    """Return text that steers no terminal and gives a job's runner no command, whatever it quotes.

    What is invisible is named (`<U+001B>`). Lines after the first are indented: an answer of a
    server that goes on in a new line cannot pass for a line of ours.
    """
    first, *further = text.split("\n")
    if further:
        further = [f"  {line}" if line and not line.startswith("  ") else line for line in further]
    return "\n".join(disarmed(_visible(line)) for line in (first, *further))


def _visible(line: str) -> str:
    return line if line.isprintable() else visible(line.translate(_SPACES))


def write(stream: IO[str], line: str) -> None:
    """Write one line now, harmless, if it can be written.

    A reader that went away is no error, and a full disk is only said: the rollout goes on.
    """
    write_raw(stream, harmless(line))


def write_raw(stream: IO[str], line: str) -> None:
    """Write one line as `write` does, but as it is: what it quotes has been taken care of."""
    try:
        stream.write(fitting(line, stream) + "\n")
        stream.flush()
    except (BrokenPipeError, ValueError):
        return
    except OSError as error:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"warning: output is lost: {error.strerror}\n")
