"""What is wrong with a plan, where, and how to mend it.

Here live the positions, the collection of findings (all of them, not the first), and their text.
Which things are wrong is said by the readers.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from controller.plan.hiding import starred, without_secrets

WIDTH_SHOWN = 110
ERRORS_MOST = 100  # of one plan; whoever has more, has another problem


class Severity(StrEnum):
    """Whether a plan with this finding can run."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the plan's text: 1-based line and column, and its length in characters.

    Lines count from 1; line 0 means the file as a whole. A piece that goes on in further lines
    has the length of its part in the first.
    """

    line: int
    column: int
    length: int = 1


WHOLE_FILE = Span(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. line and column are 1-based (0: the file as a whole); span counts characters."""

    file: str
    line: int
    column: int
    message: str
    source_line: str = ""
    span: int = 1
    mend: str = ""
    severity: Severity = Severity.ERROR


class PlanInvalid(Exception):
    """The plan cannot run; `diagnostics` tells everything that is wrong with it."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(map(_without_secrets, diagnostics))
        super().__init__(render(self.diagnostics))


@dataclass(slots=True)
class Findings:
    """The findings of one reading; collects, so that every error is told at once."""

    file: str
    text: str = ""
    found: list[Diagnostic] = field(default_factory=list)
    hidden: list[Span] = field(default_factory=list)

    def hide(self, span: Span) -> None:
        """Keep what was written here out of every finding's line: it may be a secret."""
        self.hidden.append(span)

    def error(self, span: Span, message: str, mend: str = "") -> None:
        """Note something the plan cannot run with. Raises PlanInvalid when there are too many."""
        self._add(span, message, mend, Severity.ERROR)
        if len(self.found) >= ERRORS_MOST:
            raise PlanInvalid(self.in_order())

    def warn(self, span: Span, message: str, mend: str = "") -> None:
        """Note something that is allowed and probably not meant."""
        self._add(span, message, mend, Severity.WARNING)

    @property
    def wrong(self) -> bool:
        """Tell whether anything so far is an error."""
        return any(one.severity is Severity.ERROR for one in self.found)

    def stop_if_wrong(self) -> None:
        """Raise PlanInvalid if anything so far is an error; warnings come with it."""
        if self.wrong:
            raise PlanInvalid(self.in_order())

    def in_order(self) -> tuple[Diagnostic, ...]:
        """Return the findings from the top of the file to its end."""
        ordered = sorted(self.found, key=lambda one: (one.line, one.column))
        return tuple(_without_secrets(replace(one, source_line=self._seen(one))) for one in ordered)

    def _seen(self, one: Diagnostic) -> str:
        """Return a finding's line with stars for what is hidden in it; columns stay."""
        line = one.source_line
        for span in self.hidden:
            if span.line == one.line:
                start = span.column - 1
                end = min(start + span.length, len(line))
                line = line[:start] + "*" * (end - start) + line[end:]
        return line

    def _add(self, span: Span, message: str, mend: str, severity: Severity) -> None:
        lines = self.text.split("\n")
        source_line = lines[span.line - 1] if 0 < span.line <= len(lines) else ""
        self.found.append(
            Diagnostic(
                self.file,
                span.line,
                span.column,
                message,
                source_line,
                max(1, span.length),
                mend,
                severity,
            )
        )


def _without_secrets(one: Diagnostic) -> Diagnostic:
    message, mend = without_secrets(one.message), without_secrets(one.mend)
    return replace(one, message=message, mend=mend, source_line=starred(one.source_line))


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """Return the findings as text for people: place and message, the line, carets, the mend."""
    return "\n\n".join(_render_one(one) for one in diagnostics)


def _render_one(one: Diagnostic) -> str:
    word = "warning: " if one.severity is Severity.WARNING else ""
    place = visible(one.file)
    lines = [f"{place}: {word}{one.message}"]
    if one.line:
        lines = [f"{place}:{one.line}:{one.column}: {word}{one.message}"]
        before, marked, after = _window(one)
        gutter = f"{one.line} | "
        lines.append((gutter + before + marked + after).rstrip())
        lines.append(" " * (len(gutter) + _width(before)) + "^" * max(1, _width(marked)))
    if one.mend:
        lines.append(f"mend: {one.mend}")
    return "\n".join(lines)


def _window(one: Diagnostic) -> tuple[str, str, str]:
    """Return the line before, under and after the carets, cut where it would not fit a screen."""
    start = max(0, one.column - 1)
    before = visible(one.source_line[:start])
    marked = visible(one.source_line[start : start + one.span])
    after = visible(one.source_line[start + one.span :])
    if len(before) > WIDTH_SHOWN // 2:
        before = "…" + before[-WIDTH_SHOWN // 2 :]
    marked = marked[: WIDTH_SHOWN // 2]
    room = max(0, WIDTH_SHOWN - len(before) - len(marked))
    return before, marked, after if len(after) <= room else after[:room] + "…"


def visible(text: str) -> str:
    """Return text on one line in which nothing is invisible or steers a terminal."""
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character == "\t":
        return " "
    if character.isprintable():
        return character
    return f"<U+{ord(character):04X}>"


def shown(text: str, most: int = 40) -> str:
    """Return a user's text as it is quoted inside a message."""
    text = visible(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _width(text: str) -> int:
    """Return how many terminal cells text takes: Korean letters take two."""
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def did_you_mean(written: str, known: Iterable[str], said: Mapping[str, str] | None = None) -> str:
    """Return the mend for an unknown word: the nearest known one, or all of them.

    said: what other tools say for ours ("steps" for "stages").
    """
    names = tuple(known)
    plain = written.strip().lower()
    other = (said or {}).get(plain)
    if other in names:
        return f"did you mean `{other}`?"
    by_shape = {name.lower().replace("_", "-"): name for name in names}
    near = difflib.get_close_matches(plain.replace("_", "-"), by_shape, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{by_shape[near[0]]}`?"
    if not names:
        return ""
    return "known here: " + ", ".join(names)
