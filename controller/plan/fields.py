"""Read the keys of one mapping against its table; every complaint with its place.

A value that is absent and one that is wrong both read as None: what is wrong has been noted, and
nothing further is said about it. The tables are in `keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.plan import nodes
from controller.plan.diagnostics import Findings, Span, did_you_mean, shown
from controller.plan.keys import SAID_BY_OTHERS, Key
from controller.plan.model import Text
from controller.plan.scalars import Unreadable
from controller.plan.template import Names, fill

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """What every reader hands down: where findings go and what texts may name."""

    findings: Findings
    names: Names

    def naming(self, *runtime: str) -> Reader:
        """Return the same with these runtime names allowed in texts."""
        return replace(self, names=replace(self.names, runtime=runtime))

    def error(self, node: nodes.Node | Span, message: str, mend: str = "") -> None:
        """Note an error at a node."""
        self.findings.error(node if isinstance(node, Span) else node.span, message, mend)

    def warn(self, node: nodes.Node | Span, message: str, mend: str = "") -> None:
        """Note a warning at a node."""
        self.findings.warn(node if isinstance(node, Span) else node.span, message, mend)

    def scalar(self, node: nodes.Node, what: str) -> nodes.Scalar | None:
        """Return the node if it is a text that says something."""
        if not isinstance(node, nodes.Scalar):
            kind = "a list" if isinstance(node, nodes.Sequence) else "a mapping"
            mend = "write one value"
            line = self.findings.text.split("\n")[node.span.line - 1]
            if line[node.span.column - 1 :].startswith("{{"):
                mend = 'a value with {{ … }} needs quotes: "{{ … }}"'
            self.error(node, f"{what} is one value, not {kind}", mend)
            return None
        if node.empty:
            self.error(node, f"{what} has no value", "write one, or delete the key")
            return None
        return node

    def parse(self, node: nodes.Node, what: str, parse: Callable[[str], T]) -> T | None:
        """Return the scalar's value, or None after noting what is wrong with it."""
        scalar = self.scalar(node, what)
        if scalar is None:
            return None
        try:
            return parse(scalar.text)
        except Unreadable as wrong:
            self.error(scalar, wrong.message, wrong.mend)
            return None

    def text(self, node: nodes.Node, what: str) -> Text | None:
        """Return a text with its templates parsed, env and var filled in."""
        scalar = self.scalar(node, what)
        if scalar is None:
            return None
        text, problems = fill(scalar.text, self.names)
        for problem in problems:
            span = self._inside(scalar, problem.offset, problem.length)
            self.error(span, problem.message, problem.mend)
        return None if problems else text

    def constant(self, node: nodes.Node, what: str, parse: Callable[[str], T]) -> T | None:
        """Return what parse makes of a text in which nothing stays open."""
        closed = self.naming()
        text = closed.text(node, what)
        if text is None:
            return None
        try:
            return parse("".join(part for part in text.parts if isinstance(part, str)))
        except Unreadable as wrong:
            self.error(node, wrong.message, wrong.mend)
            return None

    def _inside(self, scalar: nodes.Scalar, offset: int, length: int) -> Span:
        """Return the place of a piece of a scalar's value in the file.

        Quoting and folding move characters about, so the piece is looked for in what was written:
        the same text, the same time it occurs. Where it is not found, the scalar is shown.
        """
        written = self.findings.text[scalar.start : scalar.end]
        piece = scalar.text[offset : offset + length]
        occurrence = scalar.text.count(piece, 0, offset)
        at = -1
        for _ in range(occurrence + 1):
            at = written.find(piece, at + 1)
            if at < 0:
                return scalar.span
        return nodes.span_at(self.findings.text, scalar.start + at, length)


class Fields:
    """The keys of one mapping; made by `fields_of`, which has told of unknown ones."""

    def __init__(self, reader: Reader, node: nodes.Mapping, what: str) -> None:
        self.reader = reader
        self.node = node
        self.what = what
        self._entries = {entry.key.text: entry for entry in node.entries}

    def has(self, key: str) -> bool:
        """Tell whether the key was written, whatever its value."""
        return key in self._entries

    def node_of(self, key: str) -> nodes.Node | None:
        """Return the key's value as written."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def key_span(self, key: str) -> Span:
        """Return the place of a key that was written, else that of the mapping."""
        entry = self._entries.get(key)
        return entry.key.span if entry else self.node.span

    def value_span(self, key: str) -> Span:
        """Return the place of a key's value that was written, else that of the mapping."""
        entry = self._entries.get(key)
        return entry.value.span if entry else self.node.span

    def parse(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Return the key's value as parse reads it; None when absent or wrong."""
        entry = self._entries.get(key)
        return self.reader.parse(entry.value, f"`{key}`", parse) if entry else None

    def constant(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Return the key's text, env and var filled in, as parse reads it."""
        entry = self._entries.get(key)
        return self.reader.constant(entry.value, f"`{key}`", parse) if entry else None

    def __iter__(self) -> Iterator[nodes.Entry]:
        """Iterate over the known entries in the order written."""
        return iter(self._entries.values())


def fields_of(reader: Reader, node: nodes.Node, keys: tuple[Key, ...], what: str) -> Fields | None:
    """Return the mapping's fields; notes wrong types, unknown, later and missing keys."""
    mapping = mapping_of(reader, node, what, example=keys[0].name)
    if mapping is None:
        return None
    known = {key.name: key for key in keys}
    offered = tuple(key.name for key in keys if not key.not_yet)
    for entry in mapping.entries:
        name = entry.key.text
        if name not in known:
            # A Cyrillic e looks like a Latin one: say which letter it is.
            foreign = next((letter for letter in name if not letter.isascii()), "")
            reader.error(
                entry.key,
                f"unknown key `{shown(name)}` in {what}"
                + (f": it has U+{ord(foreign):04X} in it" if foreign else ""),
                did_you_mean(name, offered, SAID_BY_OTHERS),
            )
        elif known[name].not_yet:
            reader.error(
                entry.key,
                f"not yet: `{name}` comes with a later version",
                known[name].not_yet,
            )
    for key in keys:
        if key.required and all(entry.key.text != key.name for entry in mapping.entries):
            reader.error(_start(mapping), f"{what} has no `{key.name}`", f"add {key.example}")
    return Fields(reader, mapping, what)


def mapping_of(
    reader: Reader, node: nodes.Node, what: str, example: str = "name"
) -> nodes.Mapping | None:
    """Return the node if it is a mapping, else note that it is not."""
    if isinstance(node, nodes.Mapping):
        return node
    if isinstance(node, nodes.Scalar) and node.empty:
        reader.error(node, f"{what} is empty", f"write {{{example}: …}}, or delete it")
    else:
        kind = "a list" if isinstance(node, nodes.Sequence) else "one value"
        reader.error(node, f"{what} is a mapping, not {kind}", f"write {{{example}: …}}")
    return None


def sequence_of(reader: Reader, node: nodes.Node, what: str, most: int) -> nodes.Sequence | None:
    """Return the node if it is a list of one to `most` items, else note what is wrong."""
    if not isinstance(node, nodes.Sequence):
        reader.error(node, f"{what} is a list", "write [one, two], or one - a line")
        return None
    if not node.items:
        reader.error(node, f"{what} is empty", "write at least one, or delete the key")
        return None
    if len(node.items) > most:
        reader.error(
            node.items[most],
            f"{what} has {len(node.items)} items, at most {most} are read",
            "write fewer",
        )
        return None
    return node


def _start(mapping: nodes.Mapping) -> Span:
    """Point at the first key of a mapping: its own span may be an opening brace."""
    return mapping.entries[0].key.span if mapping.entries else mapping.span
