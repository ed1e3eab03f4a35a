"""Stages: weights, holds, each stage's own limits.

Gates are read before (`read_gates`); here their numbers are completed with the stage's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from controller.plan import nodes
from controller.plan.diagnostics import Span, did_you_mean, shown
from controller.plan.fields import Fields, Reader, fields_of, mapping_of, sequence_of
from controller.plan.keys import LIMIT_KEYS, STAGE_KEYS, STAGES_MOST
from controller.plan.limits import merged, read_limits
from controller.plan.model import Limits, Stage
from controller.plan.read_gates import ReadGate
from controller.plan.scalars import Unreadable, duration_text, parse_duration, parse_weight

HOLD_MOST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class ReadStage:
    """A stage with the place of its weight and hold. stage: None if something in it is wrong."""

    stage: Stage | None
    weight: int | None
    weight_span: Span
    hold_span: Span


def read_stages(
    reader: Reader, node: nodes.Node | None, gates: tuple[ReadGate, ...], *, early: bool
) -> tuple[ReadStage, ...]:
    """Return the stages; notes weights that do not rise and a last one that is not 100%.

    early: whether a stage that does not say so itself may be left early.
    """
    items = sequence_of(reader, node, "`stages`", most=STAGES_MOST) if node else None
    if items is None:
        return ()
    by_name = {gate.name: gate for gate in gates}
    stages = tuple(
        _read_stage(reader, item, by_name, number, early=early, is_last=number == len(items.items))
        for number, item in enumerate(items.items, start=1)
    )
    _check_rising(reader, stages)
    return stages


def _read_stage(
    reader: Reader,
    node: nodes.Node,
    gates: Mapping[str, ReadGate],
    number: int,
    *,
    early: bool,
    is_last: bool,
) -> ReadStage:
    what = f"stage {number}"
    fields = fields_of(reader, node, STAGE_KEYS, what)
    if fields is None:
        return ReadStage(None, None, node.span, node.span)
    weight = fields.parse("weight", parse_weight)
    hold = _read_hold(fields, what, is_last=is_last)
    approval = fields.parse("approval", _approval)
    advance = fields.parse("advance", parse_early)
    limits = _read_limits(reader, fields, gates, weight, what)
    weight_span, hold_span = fields.value_span("weight"), fields.value_span("hold")
    if weight is None or hold is None:
        return ReadStage(None, weight, weight_span, hold_span)
    stage = Stage(weight, hold, bool(approval), limits, early if advance is None else advance)
    return ReadStage(stage, weight, weight_span, hold_span)


def parse_early(text: str) -> bool:
    """Read `advance`: whether a stage may be left before its hold is over."""
    if text in ("early", "off", "false"):
        return text == "early"
    raise Unreadable(f"`{shown(text)}` is not known here", "write advance: early, or delete it")


def _approval(text: str) -> bool:
    if text in ("required", "off", "false"):
        return text == "required"
    raise Unreadable(f"`{shown(text)}` is not known here", "write approval: required, or delete it")


def _read_hold(fields: Fields, what: str, *, is_last: bool) -> timedelta | None:
    if not fields.has("hold"):
        if is_last:
            return timedelta()
        fields.reader.error(
            fields.key_span("weight"),
            f"{what} has no `hold`: how long is it watched?",
            "add hold: 1h",
        )
        return None
    return fields.parse("hold", _hold if not is_last else _bake)


def _bake(text: str) -> timedelta:
    hold = parse_duration(text)
    if hold > HOLD_MOST:
        raise Unreadable(
            f"a hold of {duration_text(hold)} is over {duration_text(HOLD_MOST)}",
            "write at most 90d: Monitoring forgets, and so do people",
        )
    return hold


def _hold(text: str) -> timedelta:
    hold = _bake(text)
    if not hold:
        raise Unreadable(
            "a stage without hold is not judged", "write hold: 1h, or delete the stage"
        )
    return hold


def _read_limits(
    reader: Reader,
    fields: Fields,
    gates: Mapping[str, ReadGate],
    weight: int | None,
    what: str,
) -> Mapping[str, Limits]:
    """Return the stage's own limits, each completed with its gate's numbers."""
    node = fields.node_of("limits")
    mapping = mapping_of(reader, node, f"`limits` of {what}", "error-rate") if node else None
    found: dict[str, Limits] = {}
    for entry in mapping.entries if mapping else ():
        gate = gates.get(entry.key.text)
        if gate is None:
            reader.error(
                entry.key,
                f"no gate is called `{shown(entry.key.text)}`",
                did_you_mean(entry.key.text, gates) or "add it to gates",
            )
            continue
        limits = _read_override(reader, entry, gate, weight)
        if limits is not None:
            found[gate.name] = limits
    return found


def _read_override(
    reader: Reader, entry: nodes.Entry, gate: ReadGate, weight: int | None
) -> Limits | None:
    if gate.stages is not None and weight is not None and weight not in gate.stages:
        judged = ", ".join(f"{one}%" for one in sorted(gate.stages))
        reader.error(
            entry.key,
            f"gate {gate.name} is not judged at {weight}%: it says stages: [{judged}]",
            f"delete these limits, or add {weight}% to the gate's stages",
        )
        return None
    inner = fields_of(reader, entry.value, LIMIT_KEYS, f"limits of {gate.name}")
    if inner is None or gate.metric is None or gate.written is None:
        return None
    if not inner.node.entries:
        reader.error(entry.value, f"these limits of {gate.name} say nothing", "write {max: 2%}")
        return None
    written = read_limits(inner, gate.metric)
    if written is None or not written.values:
        return None
    compared_by = "better_by" if gate.versus and gate.versus.better_by is not None else ""
    return merged(reader, gate.metric, gate.written, written, compared_by=compared_by)


def _check_rising(reader: Reader, stages: tuple[ReadStage, ...]) -> None:
    for before, after in pairwise(stages):
        if before.weight is None or after.weight is None or before.weight < after.weight:
            continue
        repeated = before.weight == after.weight
        reader.error(
            after.weight_span,
            f"{after.weight}% comes after {before.weight}% in line {before.weight_span.line}: "
            + ("a weight stands once" if repeated else "weights rise"),
            "add up the holds in one stage" if repeated else "put the stages in rising order",
        )
    last = stages[-1]
    if last.weight is not None and last.weight != 100:
        reader.error(
            last.weight_span,
            f"the last stage has {last.weight}%: a rollout ends at 100%",
            "add - {weight: 100%, hold: 1h}",
        )
