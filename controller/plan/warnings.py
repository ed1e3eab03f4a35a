"""What a plan may say and probably does not mean: warnings that need the whole plan."""

from __future__ import annotations

from datetime import timedelta

from controller.plan import nodes
from controller.plan.diagnostics import Span
from controller.plan.fields import Fields, Reader
from controller.plan.model import CustomMetric, Gate, OnFail, Plan, Stage
from controller.plan.read_stages import ReadStage
from controller.plan.scalars import duration_text


def warn_of_the_whole(
    reader: Reader, fields: Fields, plan: Plan, stages: tuple[ReadStage, ...]
) -> None:
    """Warn of what has no effect and of what can never be decided."""
    if not plan.gates and not plan.checks:
        reader.warn(
            fields.key_span("stages"),
            "no gate and no check: only a candidate that is not ready is rolled back",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    elif not plan.gates:
        reader.warn(
            fields.key_span("checks"),
            "no gate: nothing is measured, only the checks can roll back",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    elif not any(_can_roll_back(gate) for gate in plan.gates):
        reader.warn(
            fields.key_span("gates"),
            "no gate can roll back: all are conditions to advance, or on_fail says otherwise",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    for gate in plan.gates:
        if gate.on_fail is OnFail.OBSERVE:
            reader.warn(
                _gate_span(fields, gate),
                f"gate {gate.name} has no effect: on_fail: observe only tells of it",
                "fine while you try the gate out; then delete on_fail",
            )
    for index, read in enumerate(stages):
        if read.stage is not None:
            _warn_of_hold(reader, plan, index, read, read.stage)


def _gate_span(fields: Fields, gate: Gate) -> Span:
    mapping = fields.node_of("gates")
    assert isinstance(mapping, nodes.Mapping)
    return next(entry.key.span for entry in mapping.entries if entry.key.text == gate.name)


def _can_roll_back(gate: Gate) -> bool:
    compared = gate.versus_stable is not None and gate.versus_stable.better_by is None
    limited = gate.limits.roll_back is not None or gate.limits.emergency is not None
    return (compared or limited) and gate.on_fail in (OnFail.ROLL_BACK, OnFail.STEP_BACK)


def _warn_of_hold(reader: Reader, plan: Plan, index: int, read: ReadStage, stage: Stage) -> None:
    if not stage.hold:
        reader.warn(
            read.weight_span,
            "100% has no hold: promoted at once, no bake",
            "add hold: 1h to watch the candidate at 100%",
        )
        return
    gates = plan.gates_at(index)
    is_custom = any(isinstance(gate.metric, CustomMetric) for gate in gates)
    delay = max(plan.evidence.delay, plan.evidence.custom_delay if is_custom else timedelta())
    needed = delay + plan.evidence.warm_up
    if gates and stage.hold <= needed:
        reader.warn(
            read.hold_span,
            f"never decidable in its hold: measurements are {duration_text(delay)} late, "
            f"and {duration_text(plan.evidence.warm_up)} after a shift do not count",
            f"write a hold over {duration_text(needed)}, or when: {{undecided: …}} decides",
        )
