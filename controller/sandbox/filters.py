"""The filter language of Cloud Monitoring: text in, a predicate over labels out.

What lives here: the grammar that real clients use (AND, a blank as AND, OR, NOT, parentheses, `=`,
`!=`, one_of, starts_with, ends_with, has_substring, monitoring.regex.full_match, `metric.label.X`
as another spelling of `metric.labels.X`). Not here: which series there are (monitoring).

Everything else is refused with INVALID_ARGUMENT and the place, never ignored: an adapter whose
filter is not understood must not get all series.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import grpc

from controller.sandbox.errors import RpcError

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<symbol>!=|>=|<=|[=<>:(),])'
    r"|(?P<word>-?[A-Za-z0-9_][A-Za-z0-9_.\-/]*))"
)
_FIELD = re.compile(r"(?:metric\.type|resource\.type|(?:metric|resource)\.labels?\.[A-Za-z0-9_]+)$")
_DEEPEST = 50


# Conditions are told apart by identity (`parse` keeps one for each text), so that what follows from
# one can be remembered: to hash the tree takes as long as to look at it.
@dataclass(frozen=True, slots=True, eq=False)
class Compare:
    """One comparison; `negated` for `!=`. operand, in order: the function's arguments."""

    field: str
    function: str
    operands: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Not:
    """The contrary of a condition."""

    inner: Condition


@dataclass(frozen=True, slots=True, eq=False)
class Every:
    """All of these conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """At least one of these conditions."""

    parts: tuple[Condition, ...]


Condition = Compare | Not | Every | Either

_FUNCTIONS: Mapping[str, Callable[[str, tuple[str, ...]], bool]] = {
    "=": lambda value, wanted: value == wanted[0],
    "one_of": lambda value, wanted: value in wanted,
    "starts_with": lambda value, wanted: value.startswith(wanted[0]),
    "ends_with": lambda value, wanted: value.endswith(wanted[0]),
    "has_substring": lambda value, wanted: wanted[0] in value,
    "monitoring.regex.full_match": lambda value, wanted: re.fullmatch(wanted[0], value) is not None,
}


def matches(
    condition: Condition, fields: Mapping[str, str], *, partial: bool = False
) -> bool | None:
    """Tell whether fields ("metric.labels.response_code" -> "200") meet the condition.

    A label that a series does not have is the empty string. With `partial` a field that is not
    given is not known yet: None then means "depends".
    """
    match condition:
        case Compare(field, function, operands, negated):
            if partial and field not in fields:
                return None
            return _FUNCTIONS[function](fields.get(field, ""), operands) is not negated
        case Not(inner):
            answer = matches(inner, fields, partial=partial)
            return None if answer is None else not answer
        case Every(parts):
            return _joined(parts, fields, decisive=False, partial=partial)
        case Either(parts):
            return _joined(parts, fields, decisive=True, partial=partial)


def _joined(
    parts: tuple[Condition, ...], fields: Mapping[str, str], *, decisive: bool, partial: bool
) -> bool | None:
    """Tell whether the parts together meet it. decisive: what one part alone settles.

    That is False where every part is wanted, True where one is enough.
    """
    answer: bool | None = not decisive
    for part in parts:
        one = matches(part, fields, partial=partial)
        if one is decisive:
            return one
        if one is None:
            answer = None
    return answer


def required(condition: Condition, field: str) -> tuple[Compare, ...]:
    """Return the comparisons of this field that every match must meet."""
    match condition:
        case Compare() if condition.field == field and not condition.negated:
            return (condition,)
        case Every(parts):
            return tuple(found for part in parts for found in required(part, field))
        case _:
            return ()


@lru_cache(maxsize=512)
def parse(text: str) -> Condition:
    """Read a filter; an empty one matches everything. Raises RpcError INVALID_ARGUMENT."""
    reader = _Reader(_tokens(text))
    condition = reader.alternatives(0) if text.strip() else Every(())
    if reader.left:
        raise invalid(f"unexpected {reader.left[0][1]!r}")
    return condition


@lru_cache(maxsize=512)
def canonical(field: str) -> str:
    """Return the one spelling of a field; raises RpcError where Cloud Monitoring has no such."""
    if not _FIELD.match(field):
        raise invalid(
            f"{field!r} is not metric.type, resource.type, metric.labels.X or resource.labels.X"
        )
    return field.replace(".label.", ".labels.")


def invalid(why: str) -> RpcError:
    """Return the refusal of a filter."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"Field filter had an invalid value: {why}.")


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return (kind, text) of every token; strings are unquoted."""
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise invalid(f"cannot be read at character {at + 1}: {text[at : at + 20]!r}")
        kind = str(found.lastgroup)
        value = found.group(kind)
        tokens.append((kind, re.sub(r"\\(.)", r"\1", value[1:-1]) if kind == "string" else value))
        at = found.end()
    return tokens


class _Reader:
    """Recursive descent over the tokens left; AND binds tighter than OR, NOT tightest."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.left = tokens

    def alternatives(self, depth: int) -> Condition:
        parts = [self._all_of(depth)]
        while self._take("word", "OR"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all_of(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._take("word", "AND") or self._starts_another():
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _starts_another(self) -> bool:
        return bool(self.left) and self.left[0] not in {("word", "OR"), ("symbol", ")")}

    def _one(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise invalid("it is nested too deeply")
        if self._take("word", "NOT"):
            return Not(self._one(depth + 1))
        if self._take("symbol", "("):
            inner = self.alternatives(depth + 1)
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        field = canonical(self._value("word"))
        operator = self._value("symbol")
        if operator not in {"=", "!="}:
            raise invalid(f"the operator {operator!r} cannot be used with {field}")
        function = "="
        operands: tuple[str, ...] = (self._value("string", "word"),)
        if self._take("symbol", "("):
            function, operands = operands[0], tuple(self._arguments())
            if function not in _FUNCTIONS or function == "=":
                raise invalid(f"there is no function {function!r}")
            if function != "one_of" and len(operands) != 1:
                raise invalid(f"{function} takes one argument")
            _check_pattern(function, operands[0])
        return Compare(field, function, operands, negated=operator == "!=")

    def _arguments(self) -> list[str]:
        arguments = [self._value("string")]
        while self._take("symbol", ","):
            arguments.append(self._value("string"))
        self._need(")")
        return arguments

    def _value(self, *kinds: str) -> str:
        if not self.left:
            raise invalid("it ends too early")
        kind, text = self.left[0]
        if kind not in kinds:
            raise invalid(f"unexpected {text!r}")
        self.left = self.left[1:]
        return text

    def _take(self, kind: str, text: str) -> bool:
        if self.left and self.left[0] == (kind, text):
            self.left = self.left[1:]
            return True
        return False

    def _need(self, symbol: str) -> None:
        if not self._take("symbol", symbol):
            raise invalid(f"{symbol!r} is missing")


def _check_pattern(function: str, pattern: str) -> None:
    if function != "monitoring.regex.full_match":
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise invalid(f"the regular expression {pattern!r} is wrong: {error}") from error
