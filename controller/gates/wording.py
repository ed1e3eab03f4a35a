"""How a gate's numbers are written for people: percent, seconds, plain numbers."""

from __future__ import annotations

from controller.gates.intervals import upper
from controller.gates.verdict import Figures
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    RequestCount,
    ResponseRate,
)

PERCENT = 100
FEW = 300  # requests, below which a rate is told with its doubt
DOUBT = 0.05  # the chance that the bound told is wrong, at whatever look


def shown(gate: Gate, value: float | None) -> str:
    """Write a value of the gate's metric with its unit ("4.1%", "12.4 s", "0.75")."""
    if value is None:
        return "-"
    match gate.metric:
        case ResponseRate() | Arrival():
            return f"{_short(value * PERCENT)}%"
        case Latency():
            return latency_text(value)
        case RequestCount() | FailedRequests():
            return count_text(round(value))
        case CustomMetric():
            return _short(value)


def latency_text(milliseconds: float) -> str:
    """Write a latency: milliseconds below a second, else seconds."""
    if milliseconds < 1000:
        return f"{_short(milliseconds)} ms"
    return f"{_short(milliseconds / 1000)} s"


def count_text(count: int) -> str:
    """Write a count with a thin grouping of thousands ("12,034")."""
    return f"{count:,}"


def what_is_counted(gate: Gate) -> str:
    """Return what the gate's sample counts: "requests" or, for gauges, "minutes"."""
    if isinstance(gate.metric, CustomMetric) and gate.metric.percentile is None:
        return "minutes"
    return "requests"


def statistic(gate: Gate) -> str:
    """Return what the gate's number is, with a space behind: "p95 ", "mean ", "" for a rate."""
    match gate.metric:
        case Latency(percentile) | CustomMetric(percentile=percentile):
            return "mean " if percentile is None else f"p{percentile:g} "
        case _:
            return ""


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def measured(gate: Gate, figures: Figures) -> str:
    """Write what was measured, with its sample: "p95 8.66 s of 62 requests".

    A rate of few requests says how much it may be as well: "0% of 18 requests" is no proof of 0%.
    """
    unit = what_is_counted(gate)
    sample = f"{count_text(figures.sample)} {unit if figures.sample != 1 else unit[:-1]}"
    text = f"{statistic(gate)}{shown(gate, figures.estimate)} of {sample}"
    if not isinstance(gate.metric, ResponseRate) or figures.bad is None:
        return text
    if not 0 < figures.sample < FEW:
        return text
    most = upper(figures.bad, figures.sample, DOUBT)
    if gate.metric.counts_failures:
        return f"{text} (may be {shown(gate, most)})"
    return f"{text} (may be {shown(gate, 1 - most)})"
