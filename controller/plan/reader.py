"""YAML text → Plan: every error at once, each with its place and its mend.

`read_plan` is the one way in. Here are the plan's own keys and the warnings that need the whole
plan; stages, gates and checks have their own readers. Nothing here opens a file, reads the
environment or knows the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from controller.plan import nodes
from controller.plan.diagnostics import WHOLE_FILE, Diagnostic, Span, did_you_mean, shown
from controller.plan.fields import Fields, Reading, fields_of
from controller.plan.keys import (
    CANDIDATE_KEYS,
    EVIDENCE_KEYS,
    MONITORING_OUT_KEYS,
    NOBODY_ANSWERS_KEYS,
    PLAN_KEYS,
    UNDECIDED_KEYS,
    WHEN_KEYS,
    Key,
)
from controller.plan.model import (
    BothFailing,
    Candidate,
    CustomMetric,
    EvidenceRules,
    Gate,
    NewRevision,
    OnFail,
    Plan,
    Stage,
    Then,
    When,
    WhenMonitoringOut,
    WhenNobodyAnswers,
    WhenUndecided,
)
from controller.plan.read_checks import read_checks
from controller.plan.read_gates import ReadGate, read_gates
from controller.plan.read_stages import HOLD_MOST, ReadStage, read_stages
from controller.plan.scalars import Unreadable, duration_text, parse_duration, parse_word
from controller.plan.source import Source
from controller.plan.template import Names

# Cloud Run's and Google Cloud's rules for names: facts in docs/plan.md.
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?", re.ASCII)
_REVISION = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_PROJECT = re.compile(r"([a-z0-9.-]{1,60}:)?[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?", re.ASCII)
_REGION = re.compile(r"[a-z]{2,20}-[a-z]{2,20}[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PlanReading:
    """A plan that can run, and what is allowed in it and probably not meant."""

    plan: Plan
    warnings: tuple[Diagnostic, ...] = ()


def read_plan(
    source: Source, *, env: Mapping[str, str], variables: Mapping[str, str]
) -> PlanReading:
    """Return the plan that source says.

    env fills in `{{ env.NAME }}`, variables `{{ var.name }}`. Raises PlanInvalid with every error
    (and the warnings) when the plan cannot run; never anything else, whatever the bytes are.
    """
    root, findings = nodes.read_nodes(source)
    reading = Reading(findings, Names(env, variables))
    fields = fields_of(reading, root, PLAN_KEYS, "the plan")
    plan = _read(reading, fields) if fields else None
    findings.stop_if_wrong()
    assert plan is not None
    for unused in sorted(set(variables) - reading.names.used):
        findings.warn(
            WHOLE_FILE,
            f"the plan has no {{{{ var.{shown(unused)} }}}}: --var {shown(unused)} does nothing",
            did_you_mean(unused, reading.names.used),
        )
    return PlanReading(plan, findings.in_order())


def _read(reading: Reading, fields: Fields) -> Plan | None:
    service = fields.constant("service", _service)
    project = fields.constant("project", _project)
    region = _read_region(fields)
    candidate = _read_candidate(fields, service)
    read_of_gates = read_gates(reading, fields.node_of("gates"))
    stages = read_stages(reading, fields.node_of("stages"), read_of_gates)
    _check_gates_stages(reading, read_of_gates, stages, fields)
    taken = {gate.name: gate.span.line for gate in read_of_gates}
    checks = read_checks(reading, fields.node_of("checks"), taken)
    evidence = _read_evidence(fields)
    when = _read_when(fields)
    good = tuple(read.stage for read in stages if read.stage is not None)
    if service is None or len(good) != len(stages) or not good:
        return None
    gates = tuple(read.gate for read in read_of_gates if read.gate is not None)
    plan = Plan(service, project, region, candidate, good, gates, checks, evidence, when)
    _warn(reading, fields, plan, stages)
    return plan


# --- the target -----------------------------------------------------------------------------


def _matching(pattern: re.Pattern[str], what: str, mend: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if pattern.fullmatch(text):
            return text
        raise Unreadable(f"`{shown(text, 60)}` is no {what}", mend)

    return parse


_service = _matching(
    _SERVICE,
    "service name",
    "a service has at most 49 of a-z 0-9 -, and begins with a letter: ion-api",
)
_project = _matching(_PROJECT, "project", "write the project's id, as gcloud shows it: ion-prod")
_tag = _matching(_REVISION, "tag", "a tag has at most 63 of a-z 0-9 -: candidate")
_revision = _matching(_REVISION, "revision name", "write latest-ready, or ion-api-00042-xyz")


def _region(text: str) -> str:
    if re.fullmatch(_REGION.pattern + "-[a-z]", text, re.ASCII):
        raise Unreadable(f"{text} is a zone", f"write its region: {text[:-2]}")
    if _REGION.fullmatch(text):
        return text
    raise Unreadable(f"`{shown(text)}` is no region", "write it as gcloud does: us-central1")


def _read_region(fields: Fields) -> str | None:
    node = fields.node_of("region")
    if not isinstance(node, nodes.Sequence):
        return fields.constant("region", _region)
    if len(node.items) > 1:
        fields.reading.error(
            node.items[1],
            "not yet: several regions come with a later version",
            "name one region, and run the plan with --region for each",
        )
        return None
    if not node.items:
        fields.reading.error(node, "`region` is an empty list", "write region: us-central1")
        return None
    return fields.reading.constant(node.items[0], "`region`", _region)


def _read_candidate(fields: Fields, service: str | None) -> Candidate:
    node = fields.node_of("candidate")
    if isinstance(node, nodes.Mapping):
        inner = fields_of(fields.reading, node, CANDIDATE_KEYS, "candidate")
        return Candidate(tag=inner.constant("tag", _tag) if inner else None)
    revision = fields.constant("candidate", _revision)
    if revision is None or revision == "latest-ready":
        return Candidate()
    if service is not None and not revision.startswith(f"{service}-"):
        fields.reading.error(
            fields.value_span("candidate"),
            f"{shown(revision, 63)} is no revision of {service}: their names begin with {service}-",
            f"write latest-ready, a revision such as {service}-00042-xyz, or {{tag: …}}",
        )
    return Candidate(revision=revision)


# --- evidence and when ----------------------------------------------------------------------


def _between(least: timedelta, most: timedelta) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        value = parse_duration(text)
        if least <= value <= most:
            return value
        raise Unreadable(
            f"{text} is not between {duration_text(least)} and {duration_text(most)}",
            f"write a duration from {duration_text(least)} to {duration_text(most)}",
        )

    return parse


def _interval(text: str) -> timedelta | None:
    if text == "auto":
        return None
    return _between(timedelta(seconds=10), timedelta(hours=1))(text)


def _needs(text: str) -> str:
    if text in ("proof", "clean"):
        raise Unreadable(
            f"not yet: `needs: {text}` comes with a later version", "write needs: sample"
        )
    return parse_word(text, ("sample",))


def _read_evidence(fields: Fields) -> EvidenceRules:
    default = EvidenceRules()
    node = fields.node_of("evidence")
    inner = fields_of(fields.reading, node, EVIDENCE_KEYS, "evidence") if node else None
    if inner is None:
        return default
    hour = _between(timedelta(), timedelta(hours=1))
    day = _between(timedelta(), timedelta(days=1))
    delay, custom_delay = inner.parse("delay", hour), inner.parse("custom_delay", day)
    warm_up = inner.parse("warm_up", day)
    inner.parse("needs", _needs)
    return EvidenceRules(
        interval=inner.parse("interval", _interval),
        delay=default.delay if delay is None else delay,
        custom_delay=default.custom_delay if custom_delay is None else custom_delay,
        warm_up=default.warm_up if warm_up is None else warm_up,
    )


_some_time = _between(timedelta(minutes=1), HOLD_MOST)


def _then(text: str) -> Then:
    return Then(parse_word(text, tuple(Then)))


def _then_at_last(text: str) -> Then:
    if text == "ask":
        raise Unreadable("nobody answered: asking again would wait for ever", "write roll_back")
    return Then(parse_word(text, (Then.ADVANCE, Then.ROLL_BACK)))


def _both_failing(text: str) -> BothFailing:
    if text == "test":
        raise Unreadable("not yet: `both_failing: test` comes with a later version", "write hold")
    return BothFailing(parse_word(text, tuple(BothFailing)))


def _new_revision(text: str) -> NewRevision:
    return NewRevision(parse_word(text, tuple(NewRevision)))


def _read_when(fields: Fields) -> When:
    default = When()
    node = fields.node_of("when")
    reading = fields.reading
    inner = fields_of(reading, node, WHEN_KEYS, "when") if node else None
    if inner is None:
        return default

    def section(name: str, keys: tuple[Key, ...]) -> Fields | None:
        found = inner.node_of(name)
        return fields_of(reading, found, keys, name) if found else None

    undecided, out = default.undecided, default.monitoring_out
    nobody = default.nobody_answers
    if found := section("undecided", UNDECIDED_KEYS):
        undecided = WhenUndecided(
            found.parse("extend_by", _some_time), found.parse("then", _then) or undecided.then
        )
    if found := section("monitoring_out", MONITORING_OUT_KEYS):
        out = WhenMonitoringOut(
            found.parse("hold", _some_time) or out.hold, found.parse("then", _then) or out.then
        )
    if found := section("nobody_answers", NOBODY_ANSWERS_KEYS):
        nobody = WhenNobodyAnswers(
            found.parse("after", _some_time) or nobody.after,
            found.parse("then", _then_at_last) or nobody.then,
        )
    both_failing = inner.parse("both_failing", _both_failing) or default.both_failing
    new_revision = inner.parse("new_revision", _new_revision) or default.new_revision
    return When(undecided, out, both_failing, nobody, new_revision)


# --- what needs the whole plan --------------------------------------------------------------


def _check_gates_stages(
    reading: Reading, gates: tuple[ReadGate, ...], stages: tuple[ReadStage, ...], fields: Fields
) -> None:
    """Note a gate's `stages` that name a weight no stage has."""
    weights = {read.weight for read in stages}
    if None in weights or not weights:
        return
    known = ", ".join(f"{weight}%" for weight in sorted(w for w in weights if w is not None))
    mapping = fields.node_of("gates")
    for gate in gates:
        strangers = sorted((gate.stages or frozenset()) - weights)
        if strangers and isinstance(mapping, nodes.Mapping):
            reading.error(
                _stages_span(mapping, gate),
                f"no stage has {', '.join(f'{weight}%' for weight in strangers)}",
                f"the plan's weights: {known}",
            )


def _stages_span(gates: nodes.Mapping, gate: ReadGate) -> Span:
    for entry in gates.entries:
        if entry.key.text == gate.name and isinstance(entry.value, nodes.Mapping):
            for inner in entry.value.entries:
                if inner.key.text == "stages":
                    return inner.value.span
    return gate.span


def _warn(reading: Reading, fields: Fields, plan: Plan, stages: tuple[ReadStage, ...]) -> None:
    if not plan.gates and not plan.checks:
        reading.warn(
            fields.key_span("stages"),
            "no gate and no check: only a candidate that is not ready is rolled back",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    elif not plan.gates:
        reading.warn(
            fields.key_span("checks"),
            "no gate: nothing is measured, only the checks can roll back",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    elif not any(_can_roll_back(gate) for gate in plan.gates):
        reading.warn(
            fields.key_span("gates"),
            "no gate can roll back: all are conditions to advance, or on_fail says otherwise",
            "add gates: {error-rate: {metric: error_rate, max: 1%}}",
        )
    for gate in plan.gates:
        if gate.on_fail is OnFail.OBSERVE:
            reading.warn(
                _gate_span(fields, gate),
                f"gate {gate.name} has no effect: on_fail: observe only tells of it",
                "fine while you try the gate out; then delete on_fail",
            )
    for index, read in enumerate(stages):
        if read.stage is not None:
            _warn_of_hold(reading, plan, index, read, read.stage)


def _gate_span(fields: Fields, gate: Gate) -> Span:
    mapping = fields.node_of("gates")
    assert isinstance(mapping, nodes.Mapping)
    return next(entry.key.span for entry in mapping.entries if entry.key.text == gate.name)


def _can_roll_back(gate: Gate) -> bool:
    compared = gate.versus_stable is not None and gate.versus_stable.better_by is None
    limited = gate.limits.roll_back is not None or gate.limits.emergency is not None
    return (compared or limited) and gate.on_fail in (OnFail.ROLL_BACK, OnFail.STEP_BACK)


def _warn_of_hold(reading: Reading, plan: Plan, index: int, read: ReadStage, stage: Stage) -> None:
    if not stage.hold:
        reading.warn(
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
        reading.warn(
            read.hold_span,
            f"never decidable in its hold: measurements are {duration_text(delay)} late, "
            f"and {duration_text(plan.evidence.warm_up)} after a shift do not count",
            f"write a hold over {duration_text(needed)}, or when: {{undecided: …}} decides",
        )
