"""The limits of a gate: reading them, completing a gate's with a stage's, their order.

Unit and side of a limit follow from the gate's metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from controller.plan.diagnostics import Span
from controller.plan.fields import Fields, Reader
from controller.plan.keys import LIMIT_KEYS
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Latency,
    Limits,
    Metric,
    RequestCount,
    ResponseRate,
)
from controller.plan.scalars import (
    parse_count,
    parse_latency,
    parse_number,
    parse_rate,
    value_text,
)


@dataclass(frozen=True, slots=True)
class WrittenLimits:
    """The numbers as written in one place, before defaults, and where each stands."""

    values: Mapping[str, float]
    spans: Mapping[str, Span]

    @property
    def first(self) -> str:
        """Return the limit that was written first; there is one."""
        return next(iter(self.values))


def unit_of(metric: Metric) -> Callable[[str], float]:
    """Return the reader of a number in the metric's unit."""
    match metric:
        case ResponseRate():
            return parse_rate
        case Latency():
            return parse_latency
        case RequestCount():
            return parse_count
        case CustomMetric() | Arrival() | FailedRequests():
            return parse_number


def side_of(metric: Metric) -> str:
    """Return the side on which the metric is limited: "max", "min", or "" for either."""
    match metric:
        case ResponseRate(counts_failures=True) | Latency():
            return "max"
        case ResponseRate() | RequestCount():
            return "min"
        case CustomMetric() | Arrival() | FailedRequests():
            return ""


def read_limits(fields: Fields, metric: Metric) -> WrittenLimits | None:
    """Return the limits written in a gate or in a stage; None if any of them is wrong."""
    values: dict[str, float] = {}
    spans: dict[str, Span] = {}
    fine = True
    for key in LIMIT_KEYS:
        if not fields.has(key.name):
            continue
        refused = _refused(key.name, metric)
        if refused:
            fields.reader.error(fields.key_span(key.name), *refused)
        value = None if refused else fields.parse(key.name, unit_of(metric))
        if value is None:
            fine = False
            continue
        values[key.name] = value
        spans[key.name] = fields.value_span(key.name)
    if "max" in values and "min" in values:
        fields.reader.error(
            fields.key_span("min"), "a gate has max or min, not both", "write two gates"
        )
        fine = False
    return WrittenLimits(values, spans) if fine else None


def _refused(key: str, metric: Metric) -> tuple[str, str] | None:
    """Return what is wrong with a limit of this name on this metric, whatever its value."""
    side = side_of(metric)
    if isinstance(metric, RequestCount) and key != "min":
        return "request_count is a condition to advance: it has min only", "write min: 100"
    if key in ("max", "min") and side and key != side:
        good = "small" if side == "max" else "big"
        return f"`{key}` is the wrong side: here {good} numbers are the good ones", f"write {side}"
    return None


def merged(
    reader: Reader,
    metric: Metric,
    of_gate: WrittenLimits,
    of_stage: WrittenLimits | None = None,
    *,
    compared_by: str,
) -> Limits | None:
    """Return the limits that hold: a stage's own go before its gate's.

    roll_back is defaulted to the limit to advance, but not beside better_by and for request_count.
    compared_by: the gate's key in versus_stable, or "". Notes an error, at the stage's limits if
    there are any, where the numbers contradict each other, and returns None.
    """
    here = of_stage or of_gate
    values = {**of_gate.values, **here.values}
    sides = [side for side in ("max", "min") if side in values]
    if len(sides) > 1:
        mine = "max" if "max" in here.values else "min"
        reader.error(
            here.spans[mine],
            f"the gate is limited on the other side, this stage by {mine}",
            f"write {'min' if mine == 'max' else 'max'}",
        )
        return None
    if values and not sides:
        reader.error(
            here.spans[here.first],
            f"`{here.first}` without a limit to advance",
            f"add {side_of(metric) or 'max or min'}",
        )
        return None
    side = sides[0] if sides else ""
    chain = [key for key in (side, "roll_back", "emergency") if key in values]
    wrong = [
        (milder, harder)
        for milder, harder in pairwise(chain)
        if (values[milder] > values[harder]) is (side == "max") and values[milder] != values[harder]
    ]
    for milder, harder in wrong:
        _note_order(reader, metric, here, values, (milder, harder))
    if wrong:
        return None
    roll_back = values.get("roll_back")
    if roll_back is None and not isinstance(metric, RequestCount) and compared_by != "better_by":
        roll_back = values.get(side)
    return Limits(values.get("max"), values.get("min"), roll_back, values.get("emergency"))


def _note_order(
    reader: Reader,
    metric: Metric,
    here: WrittenLimits,
    values: Mapping[str, float],
    pair: tuple[str, str],
) -> None:
    """Say that the harder limit of a pair would be reached before the milder one."""
    milder, harder = pair
    rising = "max" in values
    what = (
        f"{milder} {value_text(metric, values[milder])} is {'over' if rising else 'under'} "
        f"{harder} {value_text(metric, values[harder])}"
    )
    if harder in here.spans:
        side = f"at {'least' if rising else 'most'} {value_text(metric, values[milder])}"
        reader.error(here.spans[harder], what, f"make {harder} {side}")
        return
    reader.error(
        here.spans.get(milder, here.spans[here.first]),
        f"{what}: this stage needs its own {harder}",
        f"add {harder}: … here, or make {milder} at {'most' if rising else 'least'} "
        f"{value_text(metric, values[harder])}",
    )
