"""Evidence from a file: one JSON object a line, a line per minute and role, runs in any order.

Here a line becomes values of the gates' own types, or a problem with its place. What they are
judged by is in `engine.replaying`. The format is told in docs/replay.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from controller.engine.past import Row
from controller.engine.watching import queries
from controller.gates.evidence import (
    CodeCounts,
    Explicit,
    Histogram,
    Latencies,
    Number,
    Query,
    Requests,
    Value,
)
from controller.plan.model import CustomMetric, Plan, ResponseRate

KEYS = ("run", "minute", "weight", "role", "responses", "latency_ms", "metrics")
ROLES = ("candidate", "stable")
MINUTE_MAX = 10_000_000  # 19 years: what is beyond is a time stamp, not a minute
COUNT_MAX = 2**53
PROBLEMS_SHOWN = 20
_CODE = re.compile(r"[1-5](xx|\d\d)")


class Problem(Exception):
    """A line that cannot be used. key: where in it, "" for its beginning."""

    def __init__(self, text: str, key: str = "", column: int = 0) -> None:
        super().__init__(text)
        self.key = key
        self.column = column


@dataclass(slots=True)
class Evidence:
    """What a file holds: rows by run and minute; problems, a line each; keys nobody reads."""

    runs: dict[str, dict[int, Row]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)


def read(plan: Plan, name: str, lines: Iterable[bytes]) -> Evidence:
    """Read every line; one that cannot be used is a problem and the others are read on."""
    reader = _Reader(plan)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            reader.add(line, number)
        except Problem as problem:
            column = problem.column or line.find(f'"{problem.key}"'.encode()) + 1 or 1
            reader.evidence.problems.append(f"{name}:{number}:{column}: {problem}")
    return reader.evidence


class _Reader:
    """What reading one line needs to know of the plan and of the lines before it."""

    def __init__(self, plan: Plan) -> None:
        self.evidence = Evidence()
        self._weights = {stage.weight for stage in plan.stages}
        self._stages = ", ".join(f"{stage.weight}%" for stage in plan.stages)
        self._requests = Requests(plan.exact_codes)
        self._custom = _custom_metrics(plan)
        self._hidden = _hidden_classes(plan)
        self._buckets: dict[tuple[float, ...], Explicit] = {}
        self._lines: dict[tuple[str, int, str], int] = {}

    def add(self, line: bytes, number: int) -> None:
        data = _parsed(line)
        run, minute, role = _run(data), _minute(data), _role(data)
        weight = _weight(data) if minute >= 0 else 0
        if minute >= 0 and weight not in self._weights:
            raise Problem(f"no stage of the plan has {weight}%; it has {self._stages}", "weight")
        side = self._side(data)
        if len(data) > len(KEYS) or not data.keys() <= _KNOWN:
            self.evidence.unknown.update(data.keys() - _KNOWN)
        before = self._lines.setdefault((run, minute, role), number)
        if before != number:
            raise Problem(f"minute {minute} of {role} stands in line {before} already", "minute")
        rows = self.evidence.runs.setdefault(run, {})
        row = rows.get(minute)
        if row is None:
            row = rows[minute] = Row(weight)
        elif row.weight != weight:
            del self._lines[run, minute, role]
            raise Problem(f"the other role's line says {row.weight}% of this minute", "weight")
        if role == "candidate":
            row.candidate = side
        else:
            row.stable = side

    def _side(self, data: dict[str, Any]) -> dict[Query, Value]:
        side: dict[Query, Value] = {}
        responses = data.get("responses")
        if responses is not None:
            side[self._requests] = self._codes(responses)
        latency = data.get("latency_ms")
        if latency is not None:
            side[_LATENCIES] = self._histogram(latency, "latency_ms")
        for name, value in _object(data, "metrics").items():
            for query in self._custom.get(name, ()):
                side[query] = self._metric(query, name, value)
        return side

    def _codes(self, responses: Any) -> CodeCounts:
        if not isinstance(responses, dict):
            raise Problem('responses are counts by code: {"2xx": 118, "5xx": 2}', "responses")
        for code, count in responses.items():
            if not _CODE.fullmatch(code):
                raise Problem(f'{code!r} is no response code: "2xx" or "404"', "responses")
            if type(count) is not int or not 0 <= count < COUNT_MAX:
                raise Problem(f"{count!r} is no count of requests", code)
            if code in self._hidden:
                exact = self._hidden[code]
                raise Problem(f"the plan counts {exact}: {code} does not tell how many", code)
        return CodeCounts(responses)

    def _histogram(self, value: Any, key: str) -> Histogram:
        if not isinstance(value, dict) or not {"bounds", "counts"} <= value.keys():
            raise Problem(f"{key} needs bounds and counts", key)
        buckets = self._layout(value["bounds"])
        counts = value["counts"]
        if not isinstance(counts, list) or len(counts) != len(buckets.bounds) + 1:
            has = len(counts) if isinstance(counts, list) else "no"
            wanted = len(buckets.bounds) + 1
            raise Problem(f"{wanted} counts belong to {wanted - 1} bounds, not {has}", "counts")
        for count in counts:
            if type(count) is not int or not 0 <= count < COUNT_MAX:
                raise Problem(f"{count!r} is no count of requests", "counts")
        filled = {index: count for index, count in enumerate(counts) if count}
        mean = value.get("mean")
        if mean is not None and not _is_number(mean):
            raise Problem(f"{mean!r} is no mean", "mean")
        return Histogram(buckets, filled, _middle(buckets, filled) if mean is None else float(mean))

    def _layout(self, bounds: Any) -> Explicit:
        """Return the buckets; the same bounds give the same object, which is quick to compare."""
        if not isinstance(bounds, list) or not bounds:
            raise Problem("bounds are the upper ends of all buckets but the last", "bounds")
        try:
            found = self._buckets.get(tuple(bounds))
        except TypeError:
            found = None
        if found is not None:
            return found
        if not all(map(_is_number, bounds)):
            raise Problem("bounds are numbers", "bounds")
        if any(low >= high for low, high in pairwise(bounds)):
            raise Problem("bounds rise", "bounds")
        return self._buckets.setdefault(tuple(bounds), Explicit(tuple(map(float, bounds))))

    def _metric(self, query: CustomMetric, name: str, value: Any) -> Value:
        if query.percentile is not None:
            return self._histogram(value, name)
        if not _is_number(value):
            raise Problem(f"{value!r} is no number", name)
        return Number(float(value))


_KNOWN = frozenset(KEYS)
_LATENCIES = Latencies()


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        data = _DECODER.decode(line.rstrip().decode())
    except UnicodeDecodeError as error:
        raise Problem("this is not UTF-8", column=error.start + 1) from error
    except json.JSONDecodeError as error:
        raise Problem(f"this is not JSON: {error.msg}", column=error.pos + 1) from error
    except (ValueError, RecursionError) as error:  # NaN, and numbers of thousands of digits
        raise Problem(f"this is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Problem("a line is one JSON object")
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _run(data: dict[str, Any]) -> str:
    run = data.get("run")
    if not isinstance(run, str):
        raise Problem("run is missing: the name of the run, a text", "run")
    return run


def _minute(data: dict[str, Any]) -> int:
    minute = data.get("minute")
    if type(minute) is not int or abs(minute) > MINUTE_MAX:
        raise Problem("minute is missing: a whole number, negative before the rollout", "minute")
    return minute


def _role(data: dict[str, Any]) -> str:
    role = data.get("role")
    if role not in ROLES:
        raise Problem("role is candidate or stable", "role")
    return str(role)


def _weight(data: dict[str, Any]) -> int:
    weight = data.get("weight")
    if isinstance(weight, float) and weight.is_integer():
        weight = int(weight)
    if type(weight) is not int:
        raise Problem("weight is missing: the candidate's share, in whole percent", "weight")
    return weight


def _object(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Problem(f"{key} are numbers by name", key)
    return value


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


def _middle(buckets: Explicit, counts: dict[int, int]) -> float:
    """Return the mean if all were in the middle of their bucket; the last has none: its start."""
    bounds, total = buckets.bounds, sum(counts.values())
    if not total:
        return 0.0
    low = (min(0.0, bounds[0]), *bounds)
    high = (*bounds, bounds[-1])
    return sum((low[i] + high[i]) / 2 * count for i, count in counts.items()) / total


def _custom_metrics(plan: Plan) -> dict[str, tuple[CustomMetric, ...]]:
    found: dict[str, dict[CustomMetric, None]] = {}
    for stage in range(len(plan.stages)):
        for query in queries(plan, stage).values():
            if isinstance(query, CustomMetric):
                found.setdefault(query.type, {})[query] = None
    return {name: tuple(many) for name, many in found.items()}


def _hidden_classes(plan: Plan) -> dict[str, str]:
    """Return the classes ("4xx") that would hide a single code some gate counts ("429")."""
    rates = [gate.metric for gate in plan.gates if isinstance(gate.metric, ResponseRate)]
    return {
        f"{code[0]}xx": code
        for metric in rates
        for code in metric.codes
        if not code.endswith("xx") and f"{code[0]}xx" not in metric.codes
    }
