"""Gates: one mapping of the plan → `Gate`s, each with its metric, limits and comparison.

The parts have their own readers: `read_metric`, `limits`, `read_versus`. A stage's own numbers are
read in `read_stages`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from controller.plan import names, nodes
from controller.plan.diagnostics import Span, shown
from controller.plan.fields import Fields, Reader, fields_of, mapping_of, sequence_of
from controller.plan.keys import GATE_KEYS, GATES_MOST
from controller.plan.limits import WrittenLimits, merged, read_limits
from controller.plan.model import (
    ARRIVAL_GATE,
    BUDGET_GATE,
    CustomMetric,
    Gate,
    Latency,
    Metric,
    OnFail,
    RequestCount,
    ResponseRate,
    Versus,
)
from controller.plan.read_metric import read_metric
from controller.plan.read_versus import compared_by, read_versus
from controller.plan.scalars import parse_number, parse_weight, parse_word


@dataclass(frozen=True, slots=True)
class ReadGate:
    """A gate and what is needed to merge a stage's own numbers into it. gate: None if wrong."""

    name: str
    span: Span
    metric: Metric | None
    written: WrittenLimits | None
    versus: Versus | None
    gate: Gate | None
    stages: frozenset[int] | None


def read_gates(reader: Reader, node: nodes.Node | None) -> tuple[ReadGate, ...]:
    """Return every gate that was written, those in error too: their names are taken."""
    mapping = mapping_of(reader, node, "`gates`") if node else None
    if mapping is None:
        return ()
    if len(mapping.entries) > GATES_MOST:
        reader.error(
            mapping.entries[GATES_MOST].key,
            f"{len(mapping.entries)} gates, at most {GATES_MOST} fit a record",
            "write fewer",
        )
    return tuple(_read_gate(reader, entry) for entry in mapping.entries[:GATES_MOST])


def check_name(reader: Reader, key: nodes.Scalar, what: str) -> None:
    """Note a name that cannot be one: it becomes a part of outputs, commands and records."""
    if key.text in (ARRIVAL_GATE, BUDGET_GATE):
        reader.error(
            key,
            f"`{key.text}` is the name of a gate that every plan has by itself",
            f"write my-{key.text}",
        )
    if names.OWN.fullmatch(key.text):
        return
    mend = re.sub(r"[^a-z0-9_]+", "-", key.text.lower()).strip("-_")[:40]
    reader.error(
        key,
        f"`{shown(key.text)}` is no name for a {what}: at most 40 of a-z 0-9 - _",
        f"write {mend}" if mend else "write a short word, such as error-rate",
    )


def _read_gate(reader: Reader, entry: nodes.Entry) -> ReadGate:
    name, what = entry.key.text, f"gate {shown(entry.key.text)}"
    check_name(reader, entry.key, "gate")
    fields = fields_of(reader, entry.value, GATE_KEYS, what)
    if fields is None:
        return ReadGate(name, entry.key.span, None, None, None, None, None)
    metric = read_metric(fields)
    stages = _read_stages(fields)
    bounds = _read_bounds(fields, metric)
    on_fail = fields.parse("on_fail", lambda text: parse_word(text, tuple(OnFail)))
    if metric is None:
        return ReadGate(name, entry.key.span, None, None, None, None, stages)
    written = read_limits(fields, metric)
    limits = merged(reader, metric, written, compared_by=compared_by(fields)) if written else None
    versus = read_versus(fields, metric, limits)
    if limits is None:
        return ReadGate(name, entry.key.span, metric, written, versus, None, stages)
    if limits.to_advance is None and versus is None and not fields.has("versus_stable"):
        reader.error(
            entry.key,
            f"{what} has no limit",
            "add min: 100" if isinstance(metric, RequestCount) else _limit_mend(metric),
        )
    elif limits.to_advance is None and versus is None:
        reader.error(
            fields.key_span("versus_stable"),
            f"{what} has neither a limit nor a comparison with stable",
            _limit_mend(metric),
        )
    on_fail = OnFail(on_fail or "roll_back")
    gate = Gate(name, metric, limits, versus, stages, on_fail, bounds, entry.key.span.line)
    return ReadGate(name, entry.key.span, metric, written, versus, gate, stages)


def _limit_mend(metric: Metric) -> str:
    match metric:
        case Latency():
            return "add max: 2s"
        case ResponseRate(counts_failures=False):
            return "add min: 95%"
        case ResponseRate():
            return "add max: 1%"
        case _:
            return "add max or min, or versus_stable: {ratio: 1.25}"


def _read_bounds(fields: Fields, metric: Metric | None) -> tuple[float, float] | None:
    """Return the gate's `range`: what one minute of a custom metric can be."""
    node = fields.node_of("range")
    items = sequence_of(fields.reader, node, "`range`", most=2) if node else None
    if node is None or items is None:
        return None
    numbers = [fields.reader.parse(item, "a number", parse_number) for item in items.items]
    if not isinstance(metric, CustomMetric) or metric.percentile is not None:
        fields.reader.error(node, "range is for the mean of a custom metric", "delete range")
        return None
    least, greatest = (*numbers, None, None)[:2]
    if least is None or greatest is None or least >= greatest:
        fields.reader.error(node, "a range has two numbers that rise", "write range: [0, 1]")
        return None
    return least, greatest


def _read_stages(fields: Fields) -> frozenset[int] | None:
    node = fields.node_of("stages")
    if node is None:
        return None
    items = sequence_of(fields.reader, node, "`stages` of a gate", most=20)
    if items is None:
        return None
    weights = (fields.reader.parse(item, "a weight", parse_weight) for item in items.items)
    return frozenset(weight for weight in weights if weight is not None)
