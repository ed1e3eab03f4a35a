"""The model's dataclasses ⇄ JSON values: short, deterministic, strict on the way back.

Generic over the model, so that a field added there is kept without a line here. What the values
must be beyond their types is checked in `compact`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from controller.plan.model import (
    CustomMetric,
    Latency,
    Ref,
    RequestCount,
    ResponseRate,
    Text,
)
from controller.plan.names import UNSEEN

T = TypeVar("T")
NUMBER_MOST = 1e15
JSON_NUMBER_MOST = 1e300
SECONDS_MOST = 400 * 86_400
# Members of a union carry their kind. A text with something left open is an object of this one
# key, which no other object can have: the reader refuses {{ in keys.
_KINDS: Mapping[str, type] = {
    "rate": ResponseRate,
    "latency": Latency,
    "requests": RequestCount,
    "metric": CustomMetric,
}
_KIND_OF = {kind: name for name, kind in _KINDS.items()}
_OPEN = "{{"


def encode(value: Any) -> Any:
    """Return a value of the model as JSON values; what equals its default is left out."""
    match value:
        case Text():
            return _encode_text(value)
        case timedelta() | date():
            return _encode_time(value)
        case StrEnum():
            return value.value
        case frozenset():
            return sorted(value)
        case tuple() | list():
            return [encode(item) for item in value]
        case Mapping():
            return {key: encode(value[key]) for key in sorted(value)}
        case float():
            return _short(value)
        case None | bool() | int() | str():
            return value
        case _ if is_dataclass(value):
            kind = {"is": _KIND_OF[type(value)]} if type(value) in _KIND_OF else {}
            return kind | {
                one.name: encode(getattr(value, one.name))
                for one in fields(value)
                if one.compare and not _is_default(one, getattr(value, one.name))
            }
        case _:
            raise TypeError(f"{type(value).__name__} has no compact form")


def _encode_time(value: timedelta | date) -> int | float | str:
    """Return a duration in seconds, a day as ISO 8601 writes it."""
    return value.isoformat() if isinstance(value, date) else _short(value.total_seconds())


def decode(kind: type[T], data: Any, path: str = "plan") -> T:
    """Return a `kind` from JSON values. Raises ValueError, naming the path, for anything else."""
    made: T = _decode(kind, data, path)
    return made


def _decode(hint: Any, data: Any, path: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return _decode_json(data, path)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(hint), data, path)
    if origin is tuple:
        item = get_args(hint)[0]
        return tuple(
            _decode(item, one, f"{path}[{n}]") for n, one in enumerate(_a(list, data, path))
        )
    if origin is frozenset:
        item = get_args(hint)[0]
        return frozenset(_decode(item, one, path) for one in _a(list, data, path))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = get_args(hint)[1]
        pairs = _a(dict, data, path).items()
        return {key: _decode(item, one, f"{path}.{key}") for key, one in pairs}
    return _decode_plain(hint, data, path)


def _decode_plain(hint: Any, data: Any, path: str) -> Any:
    if hint is Text:
        return _decode_text(data, path)
    if hint is bool:
        return _a(bool, data, path)
    if hint is str:
        return _text(data, path)
    if hint is int:
        return int(_number(data, path, whole=True))
    if hint is float:
        return float(_number(data, path))
    if hint in (timedelta, date):
        return _duration(data, path) if hint is timedelta else _date(data, path)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if data not in [one.value for one in hint]:
            raise ValueError(f"{path} is none of {', '.join(hint)}")
        return hint(data)
    return _decode_dataclass(hint, data, path)


def _decode_union(members: tuple[Any, ...], data: Any, path: str) -> Any:
    if type(None) in members and data is None:
        return None
    rest = [member for member in members if member is not type(None)]
    if len(rest) == 1:
        return _decode(rest[0], data, path)
    kind = _a(dict, data, path).get("is")
    if not isinstance(kind, str) or _KINDS.get(kind) not in rest:
        raise ValueError(f"{path} is of no known kind")
    return _decode_dataclass(
        _KINDS[kind], {key: one for key, one in data.items() if key != "is"}, path
    )


def _decode_dataclass(kind: Any, data: Any, path: str) -> Any:
    known = _hints(kind)
    given = _a(dict, data, path)
    for key in given:
        if key not in known:
            raise ValueError(f"{path} has an unknown key")
    for one in fields(kind):
        optional = one.default is not MISSING or one.default_factory is not MISSING
        if one.init and one.name not in given and not optional:
            raise ValueError(f"{path} has no {one.name}")
    return kind(**{key: _decode(known[key], one, f"{path}.{key}") for key, one in given.items()})


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind) if one.compare}


# --- texts and JSON inside the plan ---------------------------------------------------------


def _encode_text(text: Text) -> Any:
    if not text.refs:
        return "".join(part for part in text.parts if isinstance(part, str))
    return {
        _OPEN: [
            part if isinstance(part, str) else [part.path, *part.filters] for part in text.parts
        ]
    }


def _decode_text(data: Any, path: str) -> Text:
    if isinstance(data, str):
        return Text((_text(data, path),) if data else ())
    parts: list[str | Ref] = []
    given = _a(dict, data, path)
    if set(given) != {_OPEN}:
        raise ValueError(f"{path} is no text")
    for part in _a(list, given[_OPEN], path):
        if isinstance(part, str):
            parts.append(_text(part, path))
            continue
        name, *filters = [_a(str, one, path) for one in _a(list, part, path) or [""]]
        parts.append(Ref(name, tuple(filters)))
    return Text(tuple(parts))


def _decode_json(data: Any, path: str) -> Any:
    match data:
        case None | bool():
            return data
        case int() | float() if abs(data) < JSON_NUMBER_MOST:
            return data
        case str():
            return _decode_text(data, path)
        case list():
            return tuple(_decode_json(item, path) for item in data)
        case dict():
            if _OPEN in data:
                return _decode_text(data, path)
            return {key: _decode_json(item, path) for key, item in data.items()}
        case _:
            raise ValueError(f"{path} is no JSON")


# --- small things ---------------------------------------------------------------------------


def _is_default(one: Field[Any], value: Any) -> bool:
    default = one.default_factory() if one.default_factory is not MISSING else one.default
    return type(value) is type(default) and bool(value == default)


def _short(value: float) -> int | float:
    return int(value) if value == int(value) and abs(value) < NUMBER_MOST else value


def _number(data: Any, path: str, *, whole: bool = False) -> int | float:
    """Return a finite number, not a truth value, which Python counts as one."""
    fits = isinstance(data, int) or (isinstance(data, float) and not whole)
    if not fits or isinstance(data, bool) or not abs(data) < NUMBER_MOST:
        raise ValueError(f"{path} is no {'whole ' if whole else ''}number")
    found: int | float = data
    return found


def _duration(data: Any, path: str) -> timedelta:
    seconds = _number(data, path)
    if not 0 <= seconds <= SECONDS_MOST:
        raise ValueError(f"{path} is no duration in seconds")
    return timedelta(seconds=seconds)


def _date(data: Any, path: str) -> date:
    try:
        return date.fromisoformat(_a(str, data, path))
    except ValueError:
        raise ValueError(f"{path} is no date") from None


def _text(data: Any, path: str) -> str:
    found = _a(str, data, path)
    if UNSEEN.search(found):
        raise ValueError(f"{path} has an invisible character in it")
    return found


def _a(kind: type[T], data: Any, path: str) -> T:
    if not isinstance(data, kind):
        raise ValueError(f"{path} is no {kind.__name__}")  # noqa: TRY004 a forged record, no bug
    return data
