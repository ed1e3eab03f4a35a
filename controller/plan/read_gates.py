"""Gates: what is measured, its limits, and how it is compared with stable.

`read_gates` reads the plan's gates; `merged` completes one gate's numbers with a stage's own.
Stages themselves are read in `read_stages`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from controller.plan import nodes
from controller.plan.diagnostics import Span, did_you_mean, shown
from controller.plan.fields import Fields, Reading, fields_of, mapping_of, sequence_of
from controller.plan.keys import GATE_KEYS, GATES_MOST, LIMIT_KEYS, NAME_PATTERN, VERSUS_KEYS
from controller.plan.model import (
    CustomMetric,
    Gate,
    Latency,
    Limits,
    Metric,
    OnFail,
    RequestCount,
    ResponseRate,
    Versus,
)
from controller.plan.scalars import (
    Unreadable,
    parse_bool,
    parse_count,
    parse_latency,
    parse_number,
    parse_percentile,
    parse_rate,
    parse_weight,
    parse_word,
    value_text,
)

WORDS = ("error_rate", "success_rate", "latency", "request_count")
RATIO_DEFAULT = 1.25
WORSE_BY_DEFAULT = 0.02
SERVER_ERRORS = ("5xx",)
GOOD_ANSWERS = ("2xx", "3xx")
_SAID_FOR_METRIC = {
    "errors": "error_rate",
    "error": "error_rate",
    "p95": "latency",
    "requests": "request_count",
    "success": "success_rate",
}
_METRIC_TYPE = re.compile(r"[a-z][a-z0-9.-]{0,100}(/[A-Za-z0-9_.-]{1,100}){1,8}", re.ASCII)
_LABEL = re.compile(r"(metric|resource)\.labels\.[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
# Monitoring's names: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/Aggregation
ALIGNERS = (
    "ALIGN_DELTA",
    "ALIGN_RATE",
    "ALIGN_INTERPOLATE",
    "ALIGN_NEXT_OLDER",
    "ALIGN_MIN",
    "ALIGN_MAX",
    "ALIGN_MEAN",
    "ALIGN_COUNT",
    "ALIGN_SUM",
    "ALIGN_STDDEV",
    "ALIGN_COUNT_TRUE",
    "ALIGN_COUNT_FALSE",
    "ALIGN_FRACTION_TRUE",
)
REDUCERS = (
    "REDUCE_MEAN",
    "REDUCE_MIN",
    "REDUCE_MAX",
    "REDUCE_SUM",
    "REDUCE_STDDEV",
    "REDUCE_COUNT",
    "REDUCE_COUNT_TRUE",
    "REDUCE_COUNT_FALSE",
    "REDUCE_FRACTION_TRUE",
)


@dataclass(frozen=True, slots=True)
class WrittenLimits:
    """The numbers as written, before defaults, and where each stands."""

    values: Mapping[str, float]
    spans: Mapping[str, Span]


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


def read_gates(reading: Reading, node: nodes.Node | None) -> tuple[ReadGate, ...]:
    """Return every gate that was written, those in error too: their names are taken."""
    mapping = mapping_of(reading, node, "`gates`") if node else None
    if mapping is None:
        return ()
    if len(mapping.entries) > GATES_MOST:
        reading.error(
            mapping.entries[GATES_MOST].key,
            f"{len(mapping.entries)} gates, at most {GATES_MOST} fit a record",
            "write fewer",
        )
    return tuple(_read_gate(reading, entry) for entry in mapping.entries[:GATES_MOST])


def check_name(reading: Reading, key: nodes.Scalar, what: str) -> None:
    """Note a name that cannot be one: it becomes a part of outputs, commands and records."""
    if re.fullmatch(NAME_PATTERN[1:-1], key.text, re.ASCII):
        return
    mend = re.sub(r"[^a-z0-9_]+", "-", key.text.lower()).strip("-_")[:40]
    reading.error(
        key,
        f"`{shown(key.text)}` is no name for a {what}: at most 40 of a-z 0-9 - _",
        f"write {mend}" if mend else "write a short word, such as error-rate",
    )


def _read_gate(reading: Reading, entry: nodes.Entry) -> ReadGate:
    name, what = entry.key.text, f"gate {shown(entry.key.text)}"
    check_name(reading, entry.key, "gate")
    fields = fields_of(reading, entry.value, GATE_KEYS, what)
    if fields is None:
        return ReadGate(name, entry.key.span, None, None, None, None, None)
    metric = _read_metric(fields)
    stages = _read_stages(fields)
    on_fail = fields.parse("on_fail", lambda text: parse_word(text, tuple(OnFail)))
    if metric is None:
        return ReadGate(name, entry.key.span, None, None, None, None, stages)
    written = read_limits(fields, metric)
    limits = merged(reading, metric, (written,), _compared_by(fields)) if written else None
    versus = _read_versus(fields, metric, limits)
    if limits is None:
        return ReadGate(name, entry.key.span, metric, written, versus, None, stages)
    if limits.to_advance is None and versus is None and not fields.has("versus_stable"):
        reading.error(
            entry.key,
            f"{what} has no limit",
            "add min: 100" if isinstance(metric, RequestCount) else _limit_mend(metric),
        )
    elif limits.to_advance is None and versus is None:
        reading.error(
            fields.key_span("versus_stable"),
            f"{what} has neither a limit nor a comparison with stable",
            _limit_mend(metric),
        )
    gate = Gate(
        name, metric, limits, versus, stages, OnFail(on_fail or "roll_back"), entry.key.span.line
    )
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


# --- what is measured -----------------------------------------------------------------------


def _read_metric(fields: Fields) -> Metric | None:
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
            fields.reading.error(
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
    if not _METRIC_TYPE.fullmatch(text):
        raise Unreadable(
            f"`{shown(text)}` is no metric type of Cloud Monitoring",
            "write it as Metrics Explorer shows it: custom.googleapis.com/my/metric",
        )
    return text


def _read_codes(fields: Fields, default: tuple[str, ...]) -> tuple[str, ...] | None:
    node = fields.node_of("codes")
    if node is None:
        return default
    items = sequence_of(fields.reading, node, "`codes`", most=20)
    if items is None:
        return None
    codes = [fields.reading.parse(item, "a code", _code) for item in items.items]
    return tuple(code for code in codes if code) if all(codes) else None


def _code(text: str) -> str:
    if re.fullmatch(r"[1-5](xx|[0-9]{2})", text, re.ASCII):
        return text
    raise Unreadable(f"`{shown(text)}` is no response code", "write 429, or 5xx for a class")


def _read_latency(fields: Fields) -> Latency | None:
    mean = fields.parse("mean", parse_bool)
    percentile = fields.parse("percentile", parse_percentile)
    if fields.has("percentile") and mean:
        fields.reading.error(
            fields.key_span("mean"), "a gate has a percentile or the mean, not both", "delete one"
        )
        return None
    if mean:
        return Latency(None)
    if percentile is not None:
        return Latency(percentile)
    if not fields.has("percentile") and (not fields.has("mean") or mean is False):
        fields.reading.error(
            fields.key_span("metric"),
            "which latency? a percentile or the mean",
            "add percentile: 95, or mean: true",
        )
    return None


def _read_custom(fields: Fields, metric_type: str) -> CustomMetric | None:
    percentile = fields.parse("percentile", parse_percentile)
    aligner = fields.parse("aligner", lambda text: parse_word(text, ALIGNERS))
    reducer = fields.parse("reducer", lambda text: parse_word(text, REDUCERS))
    label = fields.parse("revision_label", _label)
    extra = fields.constant("filter", _filter)
    if fields.has("percentile") and fields.has("aligner"):
        fields.reading.error(
            fields.key_span("aligner"),
            "a percentile is computed from the merged distribution: no aligner",
            "delete aligner or percentile",
        )
        return None
    if metric_type.startswith("custom.googleapis.com/") and not fields.has("revision_label"):
        # Custom metrics cannot be written on the cloud_run_revision resource.
        fields.reading.error(
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
    if _LABEL.fullmatch(text):
        return text
    name = text.rpartition(".")[2]
    raise Unreadable(
        f"`{shown(text)}` is no label",
        f"write metric.labels.{name} or resource.labels.{name}"
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
        else "write metric.labels.revision",
    )


def _filter(text: str) -> str:
    if "\n" in text.strip() or len(text) > 1_000:
        raise Unreadable("a filter is one line of at most 1,000 characters", "write it shorter")
    if re.search(r"\b(metric|resource)\.type\b", text):
        raise Unreadable(
            "the filter names a type: `metric` does that",
            'keep the conditions on labels only: metric.labels.class = "chat"',
        )
    if text.count('"') % 2:
        raise Unreadable('a " in the filter is never closed', "close the quote")
    return text.strip()


def _read_stages(fields: Fields) -> frozenset[int] | None:
    node = fields.node_of("stages")
    if node is None:
        return None
    items = sequence_of(fields.reading, node, "`stages` of a gate", most=20)
    if items is None:
        return None
    weights = (fields.reading.parse(item, "a weight", parse_weight) for item in items.items)
    return frozenset(weight for weight in weights if weight is not None)


# --- limits ---------------------------------------------------------------------------------


def unit_of(metric: Metric) -> Callable[[str], float]:
    """Return the reader of a number in the metric's unit."""
    match metric:
        case ResponseRate():
            return parse_rate
        case Latency():
            return parse_latency
        case RequestCount():
            return parse_count
        case CustomMetric():
            return parse_number


def side_of(metric: Metric) -> str:
    """Return the side on which the metric is limited: "max", "min", or "" for either."""
    match metric:
        case ResponseRate(counts_failures=True) | Latency():
            return "max"
        case ResponseRate() | RequestCount():
            return "min"
        case CustomMetric():
            return ""


def read_limits(fields: Fields, metric: Metric) -> WrittenLimits | None:
    """Return the limits written in a gate or in a stage; None if any of them is wrong."""
    values: dict[str, float] = {}
    spans: dict[str, Span] = {}
    fine = True
    for key in LIMIT_KEYS:
        if not fields.has(key.name):
            continue
        refused = _refused_limit(key.name, metric)
        if refused:
            fields.reading.error(fields.key_span(key.name), *refused)
            fine = False
            continue
        value = fields.parse(key.name, unit_of(metric))
        if value is None:
            fine = False
            continue
        values[key.name] = value
        spans[key.name] = fields.value_span(key.name)
    if "max" in values and "min" in values:
        fields.reading.error(
            fields.key_span("min"), "a gate has max or min, not both", "write two gates"
        )
        fine = False
    return WrittenLimits(values, spans) if fine else None


def _refused_limit(key: str, metric: Metric) -> tuple[str, str] | None:
    """Return what is wrong with a limit of this name on this metric, whatever its value."""
    side = side_of(metric)
    if isinstance(metric, RequestCount) and key != "min":
        return "request_count is a condition to advance: it has min only", "delete it"
    if key in ("max", "min") and side and key != side:
        good = "small" if side == "max" else "big"
        return f"`{key}` is the wrong side: here {good} numbers are the good ones", f"write {side}"
    return None


def merged(
    reading: Reading, metric: Metric, written: tuple[WrittenLimits, ...], compared_by: str
) -> Limits | None:
    """Return the limits that hold where the later ones of `written` go before the earlier.

    roll_back is defaulted to the limit to advance, but not beside better_by and for request_count.
    Notes an error at the last of `written` where they contradict each other, and returns None.
    """
    values = {key: value for limits in written for key, value in limits.values.items()}
    spans = written[-1].spans
    of_stage = len(written) > 1
    default_end = next(iter(spans.values()), None)
    sides = [side for side in ("max", "min") if side in values]
    if len(sides) > 1 and default_end:
        reading.error(
            spans.get("max") or spans.get("min") or default_end,
            f"the gate has {'min' if 'max' in spans else 'max'}, this stage the other side",
            "use the gate's own side",
        )
        return None
    if not sides and default_end:
        reading.error(
            default_end,
            f"`{next(iter(spans))}` without a limit to advance",
            f"add {side_of(metric) or 'max or min'}",
        )
        return None
    side = sides[0] if sides else ""
    if not _in_order(reading, metric, values, spans, side, of_stage):
        return None
    roll_back = values.get("roll_back")
    if roll_back is None and not isinstance(metric, RequestCount) and compared_by != "better_by":
        roll_back = values.get(side)
    return Limits(values.get("max"), values.get("min"), roll_back, values.get("emergency"))


def _in_order(
    reading: Reading,
    metric: Metric,
    values: Mapping[str, float],
    spans: Mapping[str, Span],
    side: str,
    of_stage: bool,
) -> bool:
    """Check max ≤ roll_back ≤ emergency, or min ≥ roll_back ≥ emergency."""
    over = "over" if side == "max" else "under"
    sign = 1 if side == "max" else -1
    chain = [key for key in (side, "roll_back", "emergency") if key in values]
    fine = True
    for milder, harder in zip(chain, chain[1:], strict=False):
        if sign * values[milder] <= sign * values[harder]:
            continue
        fine = False
        owner = "this stage" if of_stage else "the gate"
        inherited = harder not in spans
        reading.error(
            spans[milder] if inherited and milder in spans else spans.get(harder, spans_any(spans)),
            f"{milder} {value_text(metric, values[milder])} is {over} "
            f"{harder} {value_text(metric, values[harder])}"
            + (f": {owner} needs its own {harder}" if inherited else ""),
            f"add {harder} to this stage, {'at least' if sign > 0 else 'at most'} "
            f"{value_text(metric, values[milder])}"
            if inherited
            else f"{harder} comes after {milder}: make it "
            f"{'bigger' if sign > 0 else 'smaller'}, or swap them",
        )
    return fine


def spans_any(spans: Mapping[str, Span]) -> Span:
    """Return the place of any of the limits written here."""
    return next(iter(spans.values()))


# --- against stable -------------------------------------------------------------------------


def _compared_by(fields: Fields) -> str:
    node = fields.node_of("versus_stable")
    if isinstance(node, nodes.Mapping) and node.entries:
        return node.entries[0].key.text
    return ""


def _read_versus(fields: Fields, metric: Metric, limits: Limits | None) -> Versus | None:
    """Return how the gate is compared with stable; what is not said has a default."""
    node = fields.node_of("versus_stable")
    if node is None:
        return _versus_default(metric, limits)
    reading = fields.reading
    if isinstance(node, nodes.Scalar):
        reading.parse(node, "`versus_stable`", _off)
        return None
    if isinstance(metric, RequestCount):
        reading.error(
            node,
            "request_count is not compared with stable: the weights decide it",
            "delete versus_stable",
        )
        return None
    inner = fields_of(reading, node, VERSUS_KEYS, "versus_stable")
    if inner is None:
        return None
    ratio = inner.parse("ratio", _ratio)
    worse_by = inner.parse("worse_by", unit_of(metric))
    better_by = inner.parse("better_by", _better_by)
    written = [key.name for key in VERSUS_KEYS if inner.has(key.name)]
    if len(written) > 1:
        reading.error(
            inner.key_span(written[1]), "one comparison a gate", "keep one, or write two gates"
        )
    elif not written:
        reading.error(node, "versus_stable says nothing", "write {ratio: 1.25}, or off")
    if worse_by is not None and worse_by < 0:
        reading.error(
            inner.value_span("worse_by"), "worse by less than nothing", "write better_by: 10%"
        )
    if better_by is not None and isinstance(metric, CustomMetric) and limits is not None:
        _needs_side(inner, limits)
    return Versus(ratio, worse_by, better_by)


def _needs_side(inner: Fields, limits: Limits) -> None:
    """A custom metric's better side is known from its limit only."""
    if limits.to_advance is None:
        inner.reading.error(
            inner.key_span("better_by"),
            "better is which way? nothing says whether this metric should be big or small",
            "add the gate's max or min",
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


def undecidable_before(metric: Metric, delay: timedelta, custom_delay: timedelta) -> timedelta:
    """Return how old a point of the metric must be before it is scored."""
    return custom_delay if isinstance(metric, CustomMetric) else delay
