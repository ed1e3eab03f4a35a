"""What a gate measures: `metric` and the keys that belong to it."""

from __future__ import annotations

import re

from controller.plan import names
from controller.plan.diagnostics import did_you_mean, shown
from controller.plan.fields import Fields, sequence_of
from controller.plan.keys import FILTER_MOST
from controller.plan.model import CustomMetric, Latency, Metric, RequestCount, ResponseRate
from controller.plan.scalars import Unreadable, parse_bool, parse_percentile, parse_word

WORDS = ("error_rate", "success_rate", "latency", "request_count")
SERVER_ERRORS = ("5xx",)
GOOD_ANSWERS = ("2xx", "3xx")
_SAID_FOR_METRIC = {
    "errors": "error_rate",
    "error": "error_rate",
    "p95": "latency",
    "requests": "request_count",
    "success": "success_rate",
}


def read_metric(fields: Fields) -> Metric | None:
    """Return what the gate measures; None if that is wrong, which has been noted."""
    word = fields.constant("metric", _metric_word)
    if word is None:
        return None
    belongs = {
        "error_rate": ("codes",),
        "success_rate": ("codes",),
        "latency": ("percentile", "mean"),
        "request_count": (),
    }.get(word, ("percentile", "filter", "aligner", "reducer", "revision_label"))
    wrong = False
    for key in ("codes", "percentile", "mean", "filter", "aligner", "reducer", "revision_label"):
        if fields.has(key) and key not in belongs:
            wrong = True
            fields.reader.error(
                fields.key_span(key),
                f"`{key}` says nothing to the metric {shown(word)}",
                "delete it" if not belongs else f"delete it; it takes {', '.join(belongs)}",
            )
    match word:
        case "error_rate":
            codes = _read_codes(fields, SERVER_ERRORS)
            return ResponseRate(codes, counts_failures=True) if codes and not wrong else None
        case "success_rate":
            codes = _read_codes(fields, GOOD_ANSWERS)
            return ResponseRate(codes, counts_failures=False) if codes and not wrong else None
        case "latency":
            latency = _read_latency(fields)
            return None if wrong else latency
        case "request_count":
            return None if wrong else RequestCount()
        case _:
            return None if wrong else _read_custom(fields, word)


def _metric_word(text: str) -> str:
    if text in WORDS:
        return text
    if "/" not in text:
        raise Unreadable(
            f"`{shown(text)}` is no metric", did_you_mean(text, WORDS, _SAID_FOR_METRIC)
        )
    if not names.METRIC_TYPE.fullmatch(text):
        raise Unreadable(
            f"`{shown(text)}` is no metric type of Cloud Monitoring",
            "write it as Metrics Explorer shows it: custom.googleapis.com/my/metric",
        )
    return text


def _read_codes(fields: Fields, default: tuple[str, ...]) -> tuple[str, ...] | None:
    node = fields.node_of("codes")
    if node is None:
        return default
    items = sequence_of(fields.reader, node, "`codes`", most=20)
    if items is None:
        return None
    codes = [fields.reader.parse(item, "a code", _code) for item in items.items]
    return tuple(code for code in codes if code) if all(codes) else None


def _code(text: str) -> str:
    if names.CODE.fullmatch(text):
        return text
    raise Unreadable(f"`{shown(text)}` is no response code", "write 429, or 5xx for a class")


def _read_latency(fields: Fields) -> Latency | None:
    mean = fields.parse("mean", parse_bool)
    percentile = fields.parse("percentile", parse_percentile)
    if fields.has("percentile") and mean:
        fields.reader.error(
            fields.key_span("mean"), "a gate has a percentile or the mean, not both", "delete one"
        )
        return None
    if mean:
        return Latency(None)
    if percentile is not None:
        return Latency(percentile)
    if not fields.has("percentile") and (not fields.has("mean") or mean is False):
        fields.reader.error(
            fields.key_span("metric"),
            "which latency? a percentile or the mean",
            "add percentile: 95, or mean: true",
        )
    return None


def _read_custom(fields: Fields, metric_type: str) -> CustomMetric | None:
    percentile = fields.parse("percentile", parse_percentile)
    aligner = fields.parse("aligner", lambda text: parse_word(text, names.ALIGNERS))
    reducer = fields.parse("reducer", lambda text: parse_word(text, names.REDUCERS))
    label = fields.parse("revision_label", _label)
    extra = fields.constant("filter", _filter)
    if fields.has("percentile") and fields.has("aligner"):
        fields.reader.error(
            fields.key_span("aligner"),
            "a percentile is computed from the merged distribution: no aligner",
            "delete aligner or percentile",
        )
        return None
    if metric_type.startswith("custom.googleapis.com/") and not fields.has("revision_label"):
        # Custom metrics cannot be written on the cloud_run_revision resource.
        fields.reader.error(
            fields.key_span("metric"),
            "a custom metric does not carry the revision by itself: which label names it?",
            "add revision_label: metric.labels.revision (the label your application writes)",
        )
        return None
    answers = (
        ("percentile", percentile),
        ("aligner", aligner),
        ("reducer", reducer),
        ("revision_label", label),
        ("filter", extra),
    )
    if any(fields.has(key) and value is None for key, value in answers):
        return None
    default = CustomMetric(metric_type)
    return CustomMetric(
        metric_type, extra or "", aligner, reducer, label or default.revision_label, percentile
    )


def _label(text: str) -> str:
    if names.LABEL.fullmatch(text):
        return text
    name = text.rpartition(".")[2]
    raise Unreadable(
        f"`{shown(text)}` is no label",
        f"write metric.labels.{name} or resource.labels.{name}"
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
        else "write metric.labels.revision",
    )


def _filter(text: str) -> str:
    if "\n" in text.strip() or len(text) > FILTER_MOST:
        raise Unreadable("a filter is one line of at most 1,000 characters", "write it shorter")
    if re.search(r"\b(metric|resource)\.type\b", text):
        raise Unreadable(
            "the filter names a type: `metric` does that",
            'keep the conditions on labels only: metric.labels.class = "chat"',
        )
    if text.count('"') % 2:
        raise Unreadable('a " in the filter is never closed', "close the quote")
    return text.strip()
