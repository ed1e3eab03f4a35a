"""PyYAML's syntax errors in words of ours, with the mend.

PyYAML stops at the first error, so there is one at most; positions are its marks.
"""

from __future__ import annotations

import re

import yaml

from controller.plan.diagnostics import Findings, Span, shown

# What PyYAML says (the beginning) → what we say, and the mend.
_SAID = (
    (
        "found character '\\t' that cannot start any token",
        "a tab: YAML is indented with spaces",
        "replace the tab by spaces",
    ),
    (
        "mapping values are not allowed here",
        "a colon where no key can stand",
        "check the indentation; quote a text that has a colon in it",
    ),
    (
        "could not find expected ':'",
        "a key without its colon",
        "write key: value; check the quotes above",
    ),
    (
        "sequence entries are not allowed here",
        "a list cannot begin on the line of its key",
        "begin it on the next line, or write [one, two]",
    ),
    ("expected ',' or '}'", "a { without its } or a comma missing", "write {key: value, …}"),
    ("expected ',' or ']'", "a [ without its ] or a comma missing", "write [one, two]"),
    (
        "expected <block end>",
        "this does not fit what stands above it",
        "indent it as its neighbours are; quote a text with {, [, # or : in it",
    ),
    (
        "expected the node content",
        "a value is missing here, or a bracket closes what was not opened",
        "check the brackets",
    ),
    ("found unexpected end of stream", "a quote that is never closed", "close the quote"),
    ("found undefined tag handle", "tags (!) are not read", "quote it if it is text"),
    ("found unknown escape character", "an unknown \\ in double quotes", "use single quotes"),
    (
        "found character",
        "a value cannot begin with this character",
        "put the value in quotes",
    ),
)


def explain(error: Exception, findings: Findings) -> None:
    """Turn an error of PyYAML's, a syntax error or one it lets through, into a finding."""
    if not isinstance(error, yaml.YAMLError):
        findings.error(
            _beyond_unicode(findings.text),
            "this is not readable as YAML: a number or a character that cannot be",
            "check the escapes (\\U…) in double quotes; use single quotes",
        )
        return
    problem = str(getattr(error, "problem", None) or error)
    span = _span_of(error, problem, findings)
    line = findings.text.split("\n")[span.line - 1]
    indent = line[: len(line) - len(line.lstrip())]
    message, mend = next(
        ((ours, how) for theirs, ours, how in _SAID if problem.startswith(theirs)),
        (f"not readable as YAML: {shown(problem, 80)}", "check indentation, quotes and brackets"),
    )
    if "\t" in indent:
        span = Span(span.line, indent.index("\t") + 1)
        _, message, mend = _SAID[0]
    elif "{{" in line and "quote" not in message:
        mend = 'a value with {{ … }} needs quotes: "{{ … }}"'
    opened = getattr(error, "context_mark", None)
    if problem.startswith("expected ',' or") and opened and opened.line + 1 != span.line:
        message += f", opened in line {opened.line + 1}"
    findings.error(span, message, mend)


def _span_of(error: yaml.YAMLError, problem: str, findings: Findings) -> Span:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if problem.startswith("found unexpected end of stream"):
        mark = getattr(error, "context_mark", None) or mark  # where the quote was opened
    if mark is None:
        return Span(1, 1)
    lines = findings.text.split("\n")
    at_end = mark.line >= len(lines) or not any(line.strip() for line in lines[mark.line :])
    if not at_end:
        return Span(mark.line + 1, mark.column + 1)
    # Marks at the end of the file stand behind the last line: show the last one with text.
    line = max((n for n, text in enumerate(lines) if text.strip()), default=0)
    return Span(line + 1, len(lines[line]) + 1)


def _beyond_unicode(text: str) -> Span:
    for escape in re.finditer(r"\\U([0-9A-Fa-f]{8})", text):
        if int(escape[1], 16) > 0x10FFFF:
            before = text[: escape.start()]
            return Span(before.count("\n") + 1, len(before) - before.rfind("\n"), 10)
    return Span(1, 1)
