"""YAML text → Plan: every error at once, each with its place and its mend.

`read_plan` is the one way in. Here are the plan's own keys; stages, gates,
checks and the rest have their own readers. Nothing here opens a file, reads the
environment or knows the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.plan import names, nodes
from controller.plan.diagnostics import WHOLE_FILE, Diagnostic, Span, did_you_mean, shown
from controller.plan.fields import Fields, Reader, fields_of
from controller.plan.keys import CANDIDATE_KEYS, PLAN_KEYS, REGIONS_MOST
from controller.plan.model import Candidate, Plan
from controller.plan.read_checks import read_checks
from controller.plan.read_gates import ReadGate, read_gates
from controller.plan.read_notify import read_notify
from controller.plan.read_stages import ReadStage, parse_early, read_stages
from controller.plan.read_when import read_evidence, read_when
from controller.plan.scalars import Unreadable, parse_count
from controller.plan.source import Source
from controller.plan.template import Names
from controller.plan.warnings import warn_of_the_whole


@dataclass(frozen=True, slots=True)
class Reading:
    """A plan that can run, and what is allowed in it and probably not meant."""

    plan: Plan
    warnings: tuple[Diagnostic, ...] = ()


def read_plan(source: Source, *, env: Mapping[str, str], variables: Mapping[str, str]) -> Reading:
    """Return the plan that source says.

    env fills in `{{ env.NAME }}`, variables `{{ var.name }}`. Raises PlanInvalid with every error
    (and the warnings) when the plan cannot run; never anything else, whatever the bytes are.
    """
    root, findings = nodes.read_nodes(source)
    reader = Reader(findings, Names(env, variables))
    fields = fields_of(reader, root, PLAN_KEYS, "the plan")
    plan = _read(reader, fields) if fields else None
    findings.stop_if_wrong()
    assert plan is not None
    for unused in sorted(set(variables) - reader.names.used):
        findings.warn(
            WHOLE_FILE,
            f"the plan has no {{{{ var.{shown(unused)} }}}}: --var {shown(unused)} does nothing",
            did_you_mean(unused, reader.names.used),
        )
    return Reading(plan, findings.in_order())


def _read(reader: Reader, fields: Fields) -> Plan | None:
    service = fields.constant("service", _service)
    project = fields.constant("project", _project)
    regions = _read_regions(fields)
    candidate = _read_candidate(fields, service)
    read_of_gates = read_gates(reader, fields.node_of("gates"))
    early = fields.parse("advance", parse_early)
    budget = fields.parse("max_failed_requests", parse_count)
    stages = read_stages(reader, fields.node_of("stages"), read_of_gates, early=bool(early))
    _check_gates_stages(reader, read_of_gates, stages, fields)
    taken = {gate.name: gate.span.line for gate in read_of_gates}
    checks = read_checks(reader, fields.node_of("checks"), taken)
    evidence = read_evidence(fields)
    when = read_when(fields)
    notify = read_notify(reader, fields.node_of("notify"))
    good = tuple(read.stage for read in stages if read.stage is not None)
    if service is None or reader.findings.wrong:
        return None
    gates = tuple(read.gate for read in read_of_gates if read.gate is not None)
    most = int(budget or 0)
    region, later = (regions[0], regions[1:]) if regions else (None, ())
    plan = Plan(
        service,
        project,
        region,
        candidate,
        good,
        gates,
        checks,
        evidence,
        when,
        most,
        notify,
        later,
    )
    warn_of_the_whole(reader, fields, plan, stages)
    return plan


# --- the target -----------------------------------------------------------------------------


def _matching(pattern: re.Pattern[str], what: str, mend: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if pattern.fullmatch(text):
            return text
        raise Unreadable(f"`{shown(text, 60)}` is no {what}", mend)

    return parse


_service = _matching(
    names.SERVICE,
    "service name",
    "a service has at most 49 of a-z 0-9 -, and begins with a letter: ion-api",
)
_project = _matching(names.PROJECT, "project", "write the id that gcloud shows: ion-prod")
_tag = _matching(names.TAG, "tag", "a tag has at most 63 of a-z 0-9 -: candidate")
_revision = _matching(names.REVISION, "revision name", "write latest-ready, or ion-api-00042-xyz")


def _region(text: str) -> str:
    if re.fullmatch(names.REGION.pattern + "-[a-z]", text, re.ASCII):
        raise Unreadable(f"{text} is a zone", f"write its region: {text[:-2]}")
    if names.REGION.fullmatch(text):
        return text
    raise Unreadable(f"`{shown(text)}` is no region", "write it as gcloud does: us-central1")


def _read_regions(fields: Fields) -> tuple[str, ...]:
    node = fields.node_of("region")
    if not isinstance(node, nodes.Sequence):
        region = fields.constant("region", _region)
        return (region,) if region is not None else ()
    if not node.items:
        fields.reader.error(node, "`region` is an empty list", "write region: us-central1")
        return ()
    if len(node.items) > REGIONS_MOST:
        fields.reader.error(
            node.items[REGIONS_MOST],
            f"more than {REGIONS_MOST} regions",
            "one after the other would take too long: a plan for each part of them",
        )
        return ()
    found: list[str] = []
    for item in node.items:
        region = fields.reader.constant(item, "`region`", _region)
        if region in found:
            mend = "name each region once, in the order they are rolled out"
            fields.reader.error(item, f"{region} is named twice", mend)
        elif region is not None:
            found.append(region)
    return tuple(found)


def _read_candidate(fields: Fields, service: str | None) -> Candidate:
    node = fields.node_of("candidate")
    if isinstance(node, nodes.Mapping):
        inner = fields_of(fields.reader, node, CANDIDATE_KEYS, "candidate")
        return Candidate(tag=inner.constant("tag", _tag) if inner else None)
    revision = fields.constant("candidate", _revision)
    if revision is None or revision == "latest-ready":
        return Candidate()
    if service is not None and not revision.startswith(f"{service}-"):
        fields.reader.error(
            fields.value_span("candidate"),
            f"{shown(revision, 63)} is no revision of {service}: their names begin with {service}-",
            f"write latest-ready, a revision such as {service}-00042-xyz, or {{tag: …}}",
        )
    return Candidate(revision=revision)


def _check_gates_stages(
    reader: Reader, gates: tuple[ReadGate, ...], stages: tuple[ReadStage, ...], fields: Fields
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
            reader.error(
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
