"""PyYAML's syntax errors in words of ours, with the mend.

PyYAML stops at the first error, so there is one at most; positions are its marks.
"""

from __future__ import annotations

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


def explain(error: yaml.YAMLError, findings: Findings) -> None:
    """Turn a syntax error of PyYAML's into a finding."""
    problem = str(getattr(error, "problem", None) or error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if problem.startswith("found unexpected end of stream"):
        mark = getattr(error, "context_mark", None) or mark
    lines = findings.text.split("\n")
    span = Span(1, 1)
    if mark is not None:
        # A mark at the end of the file stands behind the last line: show the last one with text.
        line = min(mark.line, len(lines) - 1)
        span = Span(line + 1, mark.column + 1 if line == mark.line else len(lines[line]) + 1)
    line_text = lines[span.line - 1]
    indent = line_text[: len(line_text) - len(line_text.lstrip())]
    message, mend = next(
        ((ours, how) for theirs, ours, how in _SAID if problem.startswith(theirs)),
        (f"not readable as YAML: {shown(problem, 80)}", "check indentation, quotes and brackets"),
    )
    if "\t" in indent:
        span = Span(span.line, indent.index("\t") + 1)
        message, mend = "a tab: YAML is indented with spaces", "replace the tab by spaces"
    elif "{{" in line_text and "quote" not in message:
        mend = 'a value with {{ … }} needs quotes: "{{ … }}"'
    findings.error(span, message, mend)
