"""GitHub Actions: events as workflow commands (`::error::`), a run's end as a job summary.

Pure. What comes from elsewhere (reasons, names, answers of servers) is data in both: escaped in a
command, in a code span in Markdown, where no markup, link or mention can be made of it.
Source of the forms: GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from controller.engine.events import Asked, Event, Finished, Judged, Message, Started
from controller.engine.split import split_text
from controller.gates.verdict import Verdict, word
from controller.plan.diagnostics import visible

LEVELS: Mapping[str, str] = {"shout": "error", "warning": "warning", "error": "error"}
ENDINGS: Mapping[str, tuple[str, str]] = {
    "promoted": ("notice", "promoted"),
    "nothing_to_do": ("notice", "nothing to do"),
    "in_progress": ("notice", "still in progress"),
    "waiting": ("warning", "waiting for a person"),
    "rolled_back": ("error", "rolled back"),
    "cancelled": ("error", "cancelled while traffic is split"),
    "taken_over": ("error", "taken over by another hand"),
    "error": ("error", "error"),
}
"""Outcome on the wire → level of its annotation, and as people read it."""
_ANYWHERE = re.compile(r"##((?:vso|teamcity)?\[)", re.IGNORECASE | re.ASCII)
LONGEST = 4000  # characters of a message; a page of them is read by nobody


def command(level: str, title: str, text: str) -> str:
    """Return a workflow command on one line: level `error`, `warning` or `notice`."""
    return f"::{level} title={_property(title)}::{_data(text[:LONGEST])}"


def annotation(event: Event, service: str = "") -> str:
    """Return the workflow command for an event, "" where it is not worth one."""
    title = _seen(f"rollout {service}".strip())
    match event:
        case Message(level=level, text=text) if level in LEVELS:
            return command(LEVELS[level], title, _seen(text))
        case Asked(reason=reason):
            return command("warning", f"{title} asks", _seen(reason))
        case Finished(outcome=outcome, reason=reason):
            level, said = ENDINGS.get(outcome, ("notice", outcome))
            return command(level, f"{title}: {said}", _seen(reason or said))
        case _:
            return ""


def disarmed(line: str) -> str:
    """Return a line of a log that the runner cannot take for a command, whatever it quotes.

    GitHub's reads `::name::` at the start of a line, and the older `##[name]` anywhere in it;
    anywhere Azure's reads `##vso[…]`, and TeamCity's `##teamcity[…]`.
    """
    line = _ANYWHERE.sub(r"## \1", line)
    return re.sub(r"((?:^|[\r\n])\s*):(?=:)", r"\1: ", line)


def disarmed_json(line: str) -> str:
    """Return a line of JSON objects, the same in value, of which the same is true."""
    return _ANYWHERE.sub(r"#\\u0023\1", line)


def summary(
    service: str,
    end: Finished,
    started: Started | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
) -> str:
    """Return the job summary (Markdown) of one rollout, as far as this job saw it."""
    said = ENDINGS.get(end.outcome, ("", end.outcome))[1]
    lines = [f"### {code(service)}: {said}", ""]
    if started is not None:
        lines.append(f"Candidate {code(started.candidate)}, stable {code(started.stable)}.")
        lines.append("")
    if end.reason:
        lines.append(f"- why: {code(end.reason)}")
    if end.split:
        lines.append(f"- traffic: {code(split_text(end.split))}")
    lines += (f"- {code(region)}: {ENDINGS[how][1]}" for region, how in end.regions.items())
    if end.served is not None:
        lines.append(f"- the candidate served at least {end.served:,} requests")
    lines += _gates(verdicts or {})
    lines += (f"- next: {code(line)}" for line in end.next)
    return "\n".join(lines) + "\n\n"


def code(text: str) -> str:
    """Return text as a Markdown code span, on one line, whatever it holds."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if not line or line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _gates(verdicts: Mapping[str, Verdict]) -> Iterable[str]:
    for name, verdict in verdicts.items():
        yield f"- gate {code(name)}: {word(verdict)}, {code(verdict.reason)}"


def judged(seen: Iterable[Event]) -> dict[str, Verdict]:
    """Return the last verdict of each gate among what was seen."""
    return {event.gate: event.verdict for event in seen if isinstance(event, Judged)}


def _seen(text: str) -> str:
    """Return text in which nothing steers whatever the annotation is read in; lines stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
