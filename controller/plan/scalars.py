"""The small texts of a plan: durations, weights, rates, latencies, numbers, words.

Each reader takes the text as it was written and returns a value, or raises `Unreadable` with the
sentence and the mend; each `…_text` writes a value as a plan would. Positions are not known here.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from controller.plan.diagnostics import did_you_mean, shown
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Latency,
    Metric,
    RequestCount,
    ResponseRate,
)

DURATION_PATTERN = (
    r"(?=.)(?:(\d{1,7})w)?(?:(\d{1,7})d)?(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s)?"
)
_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_UNITS_S = (604_800, 86_400, 3_600, 60, 1)
_DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_LATENCY = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)", re.ASCII)
_LATENCY_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000}
_BOOLS = {"on": True, "true": True, "off": False, "false": False}


class Unreadable(ValueError):
    """A text that is not what its place asks for; says what is wrong and how to mend it."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend


def parse_duration(text: str) -> timedelta:
    """Read "24h", "1d12h30m": units w d h m s, each once, from big to small, never without one."""
    found = _DURATION.fullmatch(text)
    if found:
        pairs = zip(found.groups(), _UNITS_S, strict=True)
        return timedelta(seconds=sum(int(count or 0) * unit for count, unit in pairs))
    if re.fullmatch(r"\d{1,7}", text, re.ASCII):
        raise Unreadable(
            f"a duration needs a unit: {text} what?",
            f"write {text}h for hours, {text}m for minutes",
        )
    if re.fullmatch(r"\d+\.\d+[wdhms]", text, re.ASCII):
        raise Unreadable(f"`{shown(text)}` is no whole number", "write 1h30m instead of 1.5h")
    raise Unreadable(
        f"`{shown(text)}` is no duration", "write 30m, 24h or 1d12h (w d h m s, big to small)"
    )


def parse_weight(text: str) -> int:
    """Read "5%" as the whole percent 5; 1..100."""
    if re.fullmatch(r"\d{1,3}", text, re.ASCII):
        raise Unreadable("a weight needs its %", f"write {text}%")
    found = re.fullmatch(r"(\d{1,9})%", text, re.ASCII)
    if not found:
        if re.fullmatch(r"\d*\.\d+%?", text, re.ASCII):
            raise Unreadable(
                f"`{shown(text)}` is no whole percent: Cloud Run splits traffic in whole percents",
                "write a whole percent: 5%",
            )
        raise Unreadable(f"`{shown(text)}` is no weight", "write a whole percent: 5%")
    weight = int(found[1])
    if weight > 100:
        raise Unreadable(f"weight goes over 100%: {shown(text)}", "write a weight from 1% to 100%")
    if weight < 1:
        raise Unreadable("a weight of 0% is no stage", "write a weight from 1% to 100%")
    return weight


def parse_rate(text: str) -> float:
    """Read "5%" or "0.05" as the fraction 0.05; 0..1. A bare 1 or more is refused."""
    number = text.removesuffix("%")
    if not _DECIMAL.fullmatch(number):
        raise Unreadable(f"`{shown(text)}` is no rate", "write 5% or 0.05")
    value = Decimal(number)
    if text == number:
        if value >= 1:
            raise Unreadable(f"{text} what?", f"write {text}% for {text} of 100 requests")
        return float(value)
    if value > 100:
        raise Unreadable(f"a rate of {shown(text)} cannot be: at most 100%", "write 5% or 0.05")
    return float(value / 100)


def parse_latency(text: str) -> float:
    """Read "15s" or "250ms" as milliseconds; more than 0, at most 60 minutes."""
    found = _LATENCY.fullmatch(text)
    if not found:
        if _DECIMAL.fullmatch(text):
            raise Unreadable(
                f"a latency needs a unit: {shown(text)} what?", f"write {text}s or {text}ms"
            )
        raise Unreadable(f"`{shown(text)}` is no latency", "write 15s or 250ms")
    value = float(Decimal(found[1]) * _LATENCY_UNITS_MS[found[2]])
    if not 0 < value <= 3_600_000:
        raise Unreadable(
            f"a latency of {text} cannot be a limit: a request lasts at most 60m",
            "write 15s or 250ms",
        )
    return value


def parse_number(text: str) -> float:
    """Read a plain number, as a custom metric's limits are."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.endswith("%") and _DECIMAL.fullmatch(text[:-1]):
        fraction = float(Decimal(text[:-1]) / 100)
        raise Unreadable(
            "this metric has its own unit, not percent",
            f"write a plain number in the metric's unit, such as {fraction:g}",
        )
    raise Unreadable(f"`{shown(text)}` is no number", "write a plain number, such as 0.75")


def parse_count(text: str) -> float:
    """Read a whole number of requests, 1 or more."""
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or int(text) < 1:
        raise Unreadable(
            f"`{shown(text)}` is no number of requests", "write a whole number, such as 100"
        )
    return float(text)


def parse_percentile(text: str) -> float:
    """Read a percentile, 50..99.9."""
    if not _DECIMAL.fullmatch(text):
        raise Unreadable(f"`{shown(text)}` is no percentile", "write percentile: 95")
    value = float(text)
    if not 50 <= value <= 99.9:
        raise Unreadable(f"percentile {text} is not between 50 and 99.9", "write percentile: 95")
    return value


def parse_bool(text: str) -> bool:
    """Read on, off, true or false."""
    if text in _BOOLS:
        return _BOOLS[text]
    raise Unreadable(f"`{shown(text)}` is neither on nor off", "write on or off")


def parse_word(text: str, words: tuple[str, ...]) -> str:
    """Read one of `words`."""
    if text in words:
        return text
    raise Unreadable(
        f"`{shown(text)}` is not known here",
        did_you_mean(text, words) if len(words) > 1 else f"write {words[0]}",
    )


def duration_text(duration: timedelta) -> str:
    """Write a duration as a plan would: "3d", "1d12h", "30m"; parts of a second are cut."""
    seconds = int(abs(duration).total_seconds())
    parts = []
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length_s)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if duration < timedelta() else "") + ("".join(parts) or "0s")


def rate_text(rate: float) -> str:
    """Write a fraction as percent, with at most three decimals: 0.015 is "1.5%"."""
    return f"{round(rate * 100, 3):.12g}%"


def latency_text(latency_ms: float) -> str:
    """Write milliseconds as "250ms" or, from a second on, "15s"."""
    if latency_ms < 1_000:
        return f"{round(latency_ms, 1):.12g}ms"
    return f"{round(latency_ms / 1_000, 3):.12g}s"


def value_text(metric: Metric, value: float) -> str:
    """Write a value of `metric` in its unit, as the plan writes its limits."""
    match metric:
        case ResponseRate() | Arrival():
            return rate_text(value)
        case Latency():
            return latency_text(value)
        case RequestCount() | FailedRequests():
            return f"{value:.0f}"
        case CustomMetric():
            return f"{value:.6g}"
