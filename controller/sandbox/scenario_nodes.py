"""Readers of single values in a scenario: durations, percents, rates, moments, mappings.

Each takes a YAML node and raises ScenarioError with its file and line. What the keys mean is in
`scenario_reader`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import yaml

from controller.sandbox.scenario import Moment, ScenarioError

T = TypeVar("T")
D = TypeVar("D")
Read = Callable[["Node"], T]

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
PER = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "week": 604800.0}
PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
MOMENT = re.compile(r"(?:shift (\d+))?(?: of ([a-z0-9-]+))?(?:\s*\+\s*(\S+))?")
STATUSES = frozenset(
    {
        "CONFLICT", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
        "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML node and the file it stands in."""

    tree: yaml.Node
    file: str

    def error(self, what: str) -> ScenarioError:
        """Return the error that something is wrong here."""
        return ScenarioError(f"{self.file}:{self.tree.start_mark.line + 1}: {what}")

    def is_text(self, *words: str) -> bool:
        """Tell whether this is a scalar, one of the words if there are any."""
        scalar = isinstance(self.tree, yaml.ScalarNode)
        return scalar and (not words or self.tree.value in words)

    def one_of(self, *words: str) -> str:
        """Return the word that stands here."""
        found = text(self)
        if found not in words:
            raise self.error(f"{found!r} is none of {', '.join(words)}")
        return found

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a mapping."""
        if not isinstance(self.tree, yaml.MappingNode):
            raise self.error("a mapping (key: value) is expected here")
        seen: set[str] = set()
        for key_tree, item in self.tree.value:
            key = text(Node(key_tree, self.file))
            if key in seen:
                raise Node(key_tree, self.file).error(f"{key!r} stands here twice")
            seen.add(key)
            yield key, Node(item, self.file)

    def mapping(self, allowed: Set[str]) -> Keys:
        """Return the mapping that stands here; raises for a key that is not allowed."""
        found = dict(self.items())
        for key, item in found.items():
            if key not in allowed:
                close = difflib.get_close_matches(key, sorted(allowed), 1)
                mend = (
                    f"did you mean {close[0]!r}?"
                    if close
                    else f"known: {', '.join(sorted(allowed))}"
                )
                raise item.error(f"unknown key {key!r}; {mend}")
        return Keys(self, found)


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping whose keys are known."""

    owner: Node
    found: dict[str, Node]

    def node(self, key: str) -> Node | None:
        """Return a key's node, None where it is absent."""
        return self.found.get(key)

    def read(self, key: str, reader: Read[T], otherwise: D) -> T | D:
        """Read a key, or return what holds otherwise."""
        node = self.found.get(key)
        return otherwise if node is None else reader(node)

    def need(self, key: str, reader: Read[T]) -> T:
        """Read a key that must be there."""
        node = self.found.get(key)
        if node is None:
            raise self.owner.error(f"`{key}` is missing")
        return reader(node)

    def wrong(self, key: str, what: str) -> ScenarioError:
        """Return the error that a key's value is wrong."""
        return self.found.get(key, self.owner).error(f"{key}: {what}")


def text(node: Node) -> str:
    """Read a scalar as the text that was written."""
    if not isinstance(node.tree, yaml.ScalarNode):
        raise node.error("a single value is expected here")
    return str(node.tree.value)


def each(reader: Read[T]) -> Read[tuple[T, ...]]:
    """Return a reader of a list of what `reader` reads."""

    def read(node: Node) -> tuple[T, ...]:
        if not isinstance(node.tree, yaml.SequenceNode):
            raise node.error("a list is expected here")
        return tuple(reader(Node(item, node.file)) for item in node.tree.value)

    return read


def number(node: Node) -> float:
    """Read a number in decimal notation."""
    found = text(node)
    if not NUMBER.fullmatch(found) or not found.isascii():
        raise node.error(f"{found!r} is no number")
    return float(found)


def whole(node: Node) -> int:
    """Read a whole number from 0 on."""
    found = text(node)
    if not (found.isascii() and found.isdigit() and len(found) < 16):
        raise node.error(f"{found!r} is no whole number")
    return int(found)


def flag(node: Node) -> bool:
    """Read true or false."""
    return node.one_of("true", "false") == "true"


def percent(node: Node) -> float:
    """Read `20%` (or 0.2) as a fraction; it may be over 100%."""
    found = text(node)
    scalar = found.removesuffix("%")
    if not NUMBER.fullmatch(scalar) or not scalar.isascii() or float(scalar) < 0:
        raise node.error(f"{found!r} is no percentage; write 20%")
    return float(scalar) / 100 if found.endswith("%") else float(scalar)


def fraction(node: Node) -> float:
    """Read a percentage between 0% and 100%."""
    found = percent(node)
    if found > 1:
        raise node.error(f"{text(node)!r} is more than 100%")
    return found


def duration(node: Node) -> timedelta:
    """Read `1d12h`, `90s`, `300ms`."""
    return _duration(node, text(node))


def milliseconds(node: Node) -> float:
    """Read a duration as milliseconds."""
    return duration(node) / timedelta(milliseconds=1)


def _duration(node: Node, found: str) -> timedelta:
    pieces = PIECE.findall(found)
    if not pieces or "".join(map("".join, pieces)) != found or not found.isascii():
        raise node.error(f"{found!r} is no duration; write 20m, 36h, 1d12h, 300ms")
    return timedelta(seconds=sum(float(size) * SECONDS[unit] for size, unit in pieces))


def rate(node: Node) -> float:
    """Read `10/s`, `2/min`, `1500/week` as requests per second."""
    found = text(node)
    size, _, unit = found.partition("/")
    if unit not in PER or not NUMBER.fullmatch(size) or not size.isascii() or float(size) < 0:
        raise node.error(f"{found!r} is no rate; write 10/s, 2/min, 30/h, 100/day, 1500/week")
    return float(size) / PER[unit]


def time(node: Node) -> datetime:
    """Read `2026-01-05T09:00:00Z`."""
    found = text(node)
    try:
        read = datetime.fromisoformat(found)
    except ValueError:
        raise node.error(f"{found!r} is no time; write 2026-01-05T09:00:00Z") from None
    if read.tzinfo is None:
        raise node.error(f"{found!r} has no zone; write 2026-01-05T09:00:00Z")
    return read.astimezone(UTC)


def moment(node: Node) -> Moment:
    """Read `3h` (after the world's start), `shift 2`, `shift 2 of candidate + 3h`."""
    found = text(node)
    parts = MOMENT.fullmatch(found)
    if parts is None or parts[1] is None:
        try:
            return Moment(plus=_duration(node, found))
        except ScenarioError:
            raise node.error(
                f"{found!r} is no moment; write 3h, shift 2, or shift 2 of candidate + 3h"
            ) from None
    if int(parts[1]) == 0:
        raise node.error("shifts are counted from 1")
    plus = _duration(node, parts[3]) if parts[3] else timedelta(0)
    return Moment(int(parts[1]), parts[2], plus)


def every(node: Node) -> tuple[int | None, tuple[int, ...]]:
    """Read `every 2`, or the number of one shift."""
    found = text(node)
    which = found.removeprefix("every ")
    if not (which.isascii() and which.isdigit() and 0 < int(which) < 10**6):
        raise node.error(f"{found!r}: write `every 2`, or 3 for the third")
    return (int(which), ()) if found != which else (None, (int(which),))


def nths(node: Node) -> tuple[int, ...]:
    """Read a number or a list of numbers."""
    if isinstance(node.tree, yaml.SequenceNode):
        return each(whole)(node)
    return (whole(node),)


def status_name(node: Node) -> str:
    """Read the name of a gRPC status, or CONFLICT."""
    found = text(node)
    if found not in STATUSES:
        raise node.error(f"{found!r} is no gRPC status; known: {', '.join(sorted(STATUSES))}")
    return found


def value(node: Node) -> Any:
    """Read a JSON value: plain scalars as JSON has them, quoted ones as text."""
    match node.tree:
        case yaml.MappingNode():
            return {key: value(item) for key, item in node.items()}
        case yaml.SequenceNode():
            return [value(Node(item, node.file)) for item in node.tree.value]
        case yaml.ScalarNode() if node.tree.style in {"'", '"', "|", ">"}:
            return node.tree.value
        case _:
            return _plain(text(node))


def _plain(found: str) -> Any:
    match found:
        case "true" | "false":
            return found == "true"
        case "null" | "~" | "":
            return None
        case _ if NUMBER.fullmatch(found) and found.isascii():
            return float(found) if "." in found else int(found)
        case _:
            return found
