"""YAML text → a tree of our own nodes, each with its position; hostile input ends here.

The tree is built from PyYAML's event stream (pure SafeLoader), which is iterative: depth and size
are bounded before anything could run away, and no scalar is ever converted, so that `off`,
`10:00` and `010` stay the text that was written. What the nodes mean is the readers' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from controller.plan import names
from controller.plan.diagnostics import WHOLE_FILE, Findings, PlanInvalid, Span, shown
from controller.plan.source import MOST_BYTES, Source
from controller.plan.yaml_errors import explain

DEPTH_MOST = 32
NODES_MOST = 6_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. plain: written without quotes. start, end: character offsets in the plan's text."""

    text: str
    plain: bool
    span: Span
    start: int
    end: int

    @property
    def empty(self) -> bool:
        """Tell whether nothing was written where a value could stand."""
        return self.plain and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order written; no key twice."""

    entries: tuple[Entry, ...]
    span: Span


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been reached."""

    span: Span
    is_mapping: bool
    children: list[Node] = field(default_factory=list)


def read_nodes(source: Source) -> tuple[Node, Findings]:
    """Return the plan's tree and the findings so far (duplicate keys).

    Raises PlanInvalid where there is no tree to speak of: not UTF-8, too big, no YAML, anchors,
    tags, several documents, nothing at all.
    """
    findings = Findings(source.name)
    findings.text = _decoded(source, findings)
    try:
        root = _tree(_events(findings), findings)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Not YAMLError alone: PyYAML lets chr() and int() of hostile input through.
        explain(error, findings)
        raise PlanInvalid(findings.in_order()) from None
    if root is None or (isinstance(root, Scalar) and root.empty):
        findings.error(
            WHOLE_FILE,
            "the plan is empty",
            "start from rollout_plans/quickstart.yaml: service, stages, gates",
        )
        findings.stop_if_wrong()
    assert root is not None
    return root, findings


def _decoded(source: Source, findings: Findings) -> str:
    data = source.data
    if len(data) > MOST_BYTES:
        findings.error(
            WHOLE_FILE,
            f"a plan has at most {MOST_BYTES // 1024} kB; this has more",
            "a plan is a page or two: is this the right file?",
        )
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.error(WHOLE_FILE, "this is UTF-16, a plan is UTF-8", "save the file as UTF-8")
    findings.stop_if_wrong()
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        findings.text = before
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        findings.error(
            Span(line, column),
            f"this is not UTF-8: byte 0x{data[error.start]:02x}",
            "save the file as UTF-8",
        )
        raise PlanInvalid(findings.in_order()) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    findings.text = text
    for unseen in names.UNSEEN.finditer(text):
        findings.error(
            span_at(text, unseen.start()),
            f"an invisible character, U+{ord(unseen[0]):04X}",
            "delete it",
        )
        findings.stop_if_wrong()
    return text


def span_at(text: str, offset: int, length: int = 1) -> Span:
    """Return the position of a character offset; the length ends with its line."""
    line = text.count("\n", 0, offset) + 1
    start_of_line = text.rfind("\n", 0, offset) + 1
    end_of_line = text.find("\n", offset)
    room = (end_of_line if end_of_line >= 0 else len(text)) - offset
    return Span(line, offset - start_of_line + 1, max(1, min(length, room)))


def _events(findings: Findings) -> Iterator[yaml.Event]:
    """Yield the events that make nodes; refuse what a plan has no use for, and what is too much."""
    depth = nodes = documents = 0
    for event in yaml.parse(findings.text, Loader=yaml.SafeLoader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        refused = _refused_event(event) or _too_much(depth, nodes, documents)
        if refused:
            findings.error(_span(event), *refused)
            findings.stop_if_wrong()
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _refused_event(event: yaml.Event) -> tuple[str, str] | None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        return "anchors and aliases (& and *) are not read", "write the value out"
    if getattr(event, "tag", None):
        return "tags (!) are not read", "delete the tag; quote it if it is text"
    return None


def _too_much(depth: int, nodes: int, documents: int) -> tuple[str, str] | None:
    if documents > 1:
        return "a second document begins here", "one plan a file: delete the ---"
    if depth > DEPTH_MOST:
        return f"nested deeper than {DEPTH_MOST}", "no plan needs this"
    if nodes > NODES_MOST:
        return f"more than {NODES_MOST} values in one plan", "is this the right file?"
    return None


def _tree(events: Iterator[yaml.Event], findings: Findings) -> Node | None:
    root: Node | None = None
    open_nodes: list[_Open] = []
    for event in events:
        span = _span(event)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_Open(span, isinstance(event, yaml.MappingStartEvent)))
            continue
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            start, end = (mark.index for mark in _marks(event))
            node = Scalar(event.value, event.style is None, span, start, end)
            _refuse_unseen(node, findings)
        else:
            node = _closed(open_nodes.pop(), event, findings)
        if open_nodes:
            open_nodes[-1].children.append(node)
        else:
            root = node
    return root


def _refuse_unseen(node: Scalar, findings: Findings) -> None:
    """Refuse what double quotes can write as an escape and nobody can see."""
    unseen = names.UNSEEN.search(node.text)
    if unseen:
        findings.error(
            node.span, f"an invisible character, U+{ord(unseen[0]):04X}", "delete the escape"
        )
        findings.stop_if_wrong()


def _closed(node: _Open, end: yaml.Event, findings: Findings) -> Node:
    length = node.span.length
    _, end_mark = _marks(end)
    if end_mark.line + 1 == node.span.line:
        length = max(1, end_mark.column + 1 - node.span.column)
    span = Span(node.span.line, node.span.column, length)
    if not node.is_mapping:
        return Sequence(tuple(node.children), span)
    entries: dict[str, Entry] = {}
    for key, value in zip(node.children[::2], node.children[1::2], strict=True):
        if not isinstance(key, Scalar):
            _refuse_key(key.span, findings)
        elif key.plain and key.text == "<<":
            findings.error(key.span, "merge keys (<<) are not read", "write the keys out")
        elif key.text in entries:
            findings.error(
                key.span,
                f"`{shown(key.text)}` is written twice, "
                f"first in line {entries[key.text].key.span.line}",
                "keep one of them",
            )
        else:
            entries[key.text] = Entry(key, value)
    return Mapping(tuple(entries.values()), span)


def _refuse_key(span: Span, findings: Findings) -> None:
    line = findings.text.split("\n")[span.line - 1]
    if "{{" in line:
        findings.error(
            span,
            "a value that begins with {{ needs quotes: YAML reads braces as a mapping",
            'write "{{ … }}"',
        )
    else:
        findings.error(span, "a key is a word, not a list or a mapping", "write key: value")
    findings.stop_if_wrong()


def _span(event: yaml.Event) -> Span:
    start, end = _marks(event)
    length = end.column - start.column if end.line == start.line else 1
    return Span(start.line + 1, start.column + 1, max(1, length))


def _marks(event: yaml.Event) -> tuple[yaml.Mark, yaml.Mark]:
    """Return where an event begins and ends; parsed events always have both marks."""
    assert isinstance(event.start_mark, yaml.Mark)
    assert isinstance(event.end_mark, yaml.Mark)
    return event.start_mark, event.end_mark
