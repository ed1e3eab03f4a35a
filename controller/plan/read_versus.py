"""How a gate is compared with stable: `versus_stable` and what holds where it is not said."""

from __future__ import annotations

import math

from controller.plan import nodes
from controller.plan.diagnostics import shown
from controller.plan.fields import Fields, fields_of
from controller.plan.keys import VERSUS_KEYS
from controller.plan.limits import unit_of
from controller.plan.model import CustomMetric, Limits, Metric, RequestCount, Versus
from controller.plan.scalars import Unreadable, parse_number, parse_rate

RATIO_DEFAULT = 1.25
WORSE_BY_DEFAULT = 0.02


def compared_by(fields: Fields) -> str:
    """Return the key written in versus_stable, or ""."""
    node = fields.node_of("versus_stable")
    if isinstance(node, nodes.Mapping) and node.entries:
        return node.entries[0].key.text
    return ""


def read_versus(fields: Fields, metric: Metric, limits: Limits | None) -> Versus | None:
    """Return how the gate is compared with stable; what is not said has a default."""
    node = fields.node_of("versus_stable")
    if node is None:
        return _versus_default(metric, limits)
    reader = fields.reader
    if isinstance(node, nodes.Scalar):
        reader.parse(node, "`versus_stable`", _off)
        return None
    if isinstance(metric, RequestCount):
        reader.error(
            node,
            "request_count is not compared with stable: the weights decide it",
            "delete versus_stable",
        )
        return None
    inner = fields_of(reader, node, VERSUS_KEYS, "versus_stable")
    if inner is None:
        return None
    ratio = inner.parse("ratio", _ratio)
    worse_by = inner.parse("worse_by", unit_of(metric))
    better_by = inner.parse("better_by", _better_by)
    written = [key.name for key in VERSUS_KEYS if inner.has(key.name)]
    if len(written) > 1:
        reader.error(
            inner.key_span(written[1]), "one comparison a gate", "keep one, or write two gates"
        )
    elif not written:
        reader.error(node, "versus_stable says nothing", "write {ratio: 1.25}, or off")
    if worse_by is not None and worse_by < 0:
        reader.error(
            inner.value_span("worse_by"), "worse by less than nothing", "write better_by: 10%"
        )
    if isinstance(metric, CustomMetric) and limits is not None:
        _check_side(inner, limits)
    return Versus(ratio, worse_by, better_by)


def _check_side(inner: Fields, limits: Limits) -> None:
    """A custom metric's better side is known from its limit only."""
    for key in ("better_by", "worse_by"):
        if inner.has(key) and limits.to_advance is None:
            inner.reader.error(
                inner.key_span(key),
                f"{key.split('_')[0]} is which way? nothing says whether this metric should be "
                "big or small",
                "add the gate's max or min",
            )
    if inner.has("ratio") and limits.minimum is not None:
        inner.reader.error(
            inner.key_span("ratio"),
            "a ratio says how much bigger is too big; here big numbers are the good ones",
            "write worse_by: 0.02, in the metric's unit",
        )


def _versus_default(metric: Metric, limits: Limits | None) -> Versus | None:
    if limits is None or limits.to_advance is None:
        return None
    match metric:
        case RequestCount():
            return None
        case CustomMetric() if limits.minimum is not None:
            return Versus(worse_by=WORSE_BY_DEFAULT)
        case _:
            return Versus(ratio=RATIO_DEFAULT)


def _off(text: str) -> bool:
    if text in ("off", "false"):
        return False
    raise Unreadable(
        f"`{shown(text)}` is no comparison",
        "write off, {ratio: 1.25}, {worse_by: 1%} or {better_by: 10%}",
    )


def _ratio(text: str) -> float:
    value = parse_number(text)
    if not math.isfinite(value) or value > 100:
        raise Unreadable(f"a ratio of {shown(text)} would let everything pass", "write 1.25")
    if value < 1:
        raise Unreadable(
            f"a ratio of {shown(text)} asks the candidate to be better than stable",
            "write better_by: 10%",
        )
    return value


def _better_by(text: str) -> float:
    value = parse_rate(text)
    if not 0 < value < 1:
        raise Unreadable(f"better by {shown(text)} cannot be", "write better_by: 10%")
    return value
