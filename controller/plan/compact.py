"""The compact form of a plan: what the record keeps, its digest, and what changed between two.

`from_json` reads what anybody with write access to the service may have forged: it accepts a plan
that the reader could have made, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from itertools import chain, pairwise
from typing import Any

from controller.plan import names
from controller.plan.codec import decode, encode
from controller.plan.keys import (
    AUDIENCE_PATTERN,
    CHECKS_MOST,
    FILTER_MOST,
    FREEZES_MOST,
    GATES_MOST,
    HEADERS_MOST,
    ITEMS_MOST,
    MESSAGE_MOST,
    METHODS,
    NOTIFY_MOST,
    REGIONS_MOST,
    STAGES_MOST,
)
from controller.plan.model import (
    ARRIVAL_GATE,
    BUDGET_GATE,
    DAY_MINUTES,
    EVERY_DAY,
    Arrival,
    Check,
    CustomMetric,
    FailedRequests,
    Form,
    Gate,
    Latency,
    Limits,
    Metric,
    Notify,
    Plan,
    RequestCount,
    ResponseRate,
    Stage,
    Text,
    Then,
    When,
)
from controller.plan.scalars import duration_text, rate_text, value_text
from controller.plan.text import FILTERS, ITEM, NEWS_NAMES, REVISION_NAMES, is_url
from controller.plan.window import FROZEN_DAYS_MOST, frozen_days, rule_text

BYTES_MOST = 256 * 1024


def to_json(plan: Plan) -> str:
    """Return the plan as JSON: compact, defaults left out, the same bytes for the same plan."""
    return json.dumps(
        encode(plan), ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )


def from_json(text: str) -> Plan:
    """Return the plan that `to_json` wrote. Raises ValueError, with a sentence, for any other."""
    if len(text) > BYTES_MOST:
        raise ValueError("the plan in the record is too long")
    try:
        plan = decode(Plan, json.loads(text, parse_constant=_no_constant))
    except RecursionError:
        raise ValueError("the plan in the record is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the plan in the record is no JSON: {error.msg}") from None
    _check(plan)
    return plan


def digest(plan: Plan) -> str:
    """Return 16 hex digits that differ between plans that differ in what they mean."""
    return hashlib.sha256(to_json(plan).encode("utf-8")).hexdigest()[:16]


def differences(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return what changed, a line each: "stages[2].hold: 2d → 1d"; stages count from 0."""
    before, after = dict(_told(old)), dict(_told(new))
    lines = []
    for path in dict.fromkeys((*before, *after)):
        was, now = before.get(path), after.get(path)
        if was == now:
            continue
        if was is None:
            lines.append(f"{path}: {now} (new)")
        elif now is None:
            lines.append(f"{path}: {was} → nothing")
        else:
            lines.append(f"{path}: {was} → {now}")
    return tuple(lines)


# --- what a plan must be --------------------------------------------------------------------


def _no_constant(name: str) -> Any:
    raise ValueError(f"the plan in the record has {name} for a number")


def _check(plan: Plan) -> None:
    problems = chain(
        _problems_of_target(plan),
        _problems_of_stages(plan),
        *map(_problems_of_gate, plan.gates),
        *map(_problems_of_check, plan.checks),
        _problems_of_evidence(plan),
        _problems_of_when(plan.when),
        _problems_of_notify(plan),
    )
    for problem in problems:
        raise ValueError(f"the plan in the record cannot be: {problem}")


def _problems_of_target(plan: Plan) -> Iterable[str]:
    candidate = plan.candidate
    for what, name, pattern in (
        ("service", plan.service, names.SERVICE),
        ("project", plan.project, names.PROJECT),
        *(("region", region, names.REGION) for region in plan.regions),
        ("candidate", candidate.revision, names.REVISION),
        ("candidate's tag", candidate.tag, names.TAG),
    ):
        if name is not None and not pattern.fullmatch(name):
            yield f"its {what} is no name of one"
    if len(set(plan.regions)) < len(plan.regions) or len(plan.later_regions) >= REGIONS_MOST:
        yield "its regions are no list of different ones"
    if plan.later_regions and plan.region is None:
        yield "its regions have no first"


def _problems_of_evidence(plan: Plan) -> Iterable[str]:
    rules = plan.evidence
    if not 0.0001 <= rules.false_rollback <= 0.2:
        yield "its false_rollback is no small share"
    if not 0 <= rules.arrival <= 0.95 or plan.max_failed_requests < 0:
        yield "its evidence rules are out of range"


def _problems_of_when(when: When) -> Iterable[str]:
    if when.approvals is not None and when.approvals.then is Then.ASK:
        yield "an approval that nobody gives would be asked for again"
    rule = when.advance_only
    if rule is None:
        return
    if not names.ZONE.fullmatch(rule.zone):  # whether it is known is asked when it is needed
        yield "its window is in no time zone"
    if not rule.days or rule.days != tuple(day for day in EVERY_DAY if day in rule.days):
        yield "its window has no days"
    if not 0 <= rule.begins < DAY_MINUTES or not 0 < rule.ends <= DAY_MINUTES:
        yield "its window has no hours"
    elif rule.begins == rule.ends:
        yield "its window never opens"
    falling = any(freeze.last < freeze.first for freeze in rule.freezes)
    if falling or len(rule.freezes) > FREEZES_MOST:
        yield "its window's exceptions are no days"
    elif frozen_days(rule.freezes) > FROZEN_DAYS_MOST:
        yield "its window is frozen for too long"


def _problems_of_stages(plan: Plan) -> Iterable[str]:
    weights = [stage.weight for stage in plan.stages]
    if not 1 <= len(weights) <= STAGES_MOST or weights[-1] != 100:
        yield "its stages do not end at 100%"
    elif weights[0] < 1 or any(before >= after for before, after in pairwise(weights)):
        yield "its weights do not rise from 1% to 100%"
    if len(plan.gates) > GATES_MOST or len(plan.checks) > CHECKS_MOST:
        yield "it has too many gates or checks"
    gates = [gate.name for gate in plan.gates]
    called = [*gates, *(check.name for check in plan.checks), ARRIVAL_GATE, BUDGET_GATE]
    if len(set(called)) != len(called) or not all(map(names.OWN.fullmatch, called)):
        yield "its gates and checks do not have names of their own"
    for stage in plan.stages:
        if not set(stage.limits) <= set(gates) or not all(map(_in_order, stage.limits.values())):
            yield f"the limits of its {stage.weight}% stage do not fit its gates"


def _problems_of_gate(gate: Gate) -> Iterable[str]:
    versus = gate.versus_stable
    if not _in_order(gate.limits):
        yield f"the limits of gate {gate.name} contradict each other"
    if versus and [versus.ratio, versus.worse_by, versus.better_by].count(None) != 2:
        yield f"gate {gate.name} is compared with stable in no single way"
    if gate.limits.to_advance is None and versus is None:
        yield f"gate {gate.name} has no limit"
    if gate.bounds is not None and (len(gate.bounds) != 2 or not gate.bounds[0] < gate.bounds[1]):
        yield f"gate {gate.name} has a range that is none"
    if not _is_measurable(gate.metric):
        yield f"gate {gate.name} measures no metric"


def _is_measurable(metric: Metric) -> bool:
    match metric:
        case ResponseRate():
            return bool(metric.codes) and all(map(names.CODE.fullmatch, metric.codes))
        case Latency(percentile):
            return percentile is None or 50 <= percentile <= 99.9
        case RequestCount():
            return True
        case CustomMetric():
            return bool(
                names.METRIC_TYPE.fullmatch(metric.type)
                and names.LABEL.fullmatch(metric.revision_label)
                and metric.aligner in (None, *names.ALIGNERS)
                and metric.reducer in (None, *names.REDUCERS)
                and (metric.percentile is None or 50 <= metric.percentile <= 99.9)
                and len(metric.filter) <= FILTER_MOST
                and "\n" not in metric.filter
            )
        case Arrival() | FailedRequests():
            return False  # nobody writes these: the plan has them by itself


def _in_order(limits: Limits) -> bool:
    if limits.maximum is not None and limits.minimum is not None:
        return False
    numbers = [
        one for one in (limits.to_advance, limits.roll_back, limits.emergency) if one is not None
    ]
    return numbers == sorted(numbers, reverse=not limits.lower_is_better)


def _problems_of_check(check: Check) -> Iterable[str]:
    allowed = {*REVISION_NAMES, *((ITEM,) if check.each else ())}
    if check.method.lower() not in METHODS or check.method != check.method.upper():
        yield f"check {check.name} sends no request"
    if not check.refs <= allowed or not _filters(check) <= set(FILTERS):
        yield f"check {check.name} needs a name that is never known"
    if not timedelta() < check.timeout <= timedelta(seconds=60) or len(check.each) > ITEMS_MOST:
        yield f"check {check.name} would take too long"
    if not all(map(names.HEADER.fullmatch, check.headers)):
        yield f"check {check.name} has a header without a name"
    if not is_url(check.url):
        yield f"check {check.name} has no URL"
    if check.id_token and not re.fullmatch(AUDIENCE_PATTERN, check.id_token, re.ASCII):
        yield f"check {check.name} has an ID token for nobody"
    if not check.expect.status or not all(100 <= code <= 599 for code in check.expect.status):
        yield f"check {check.name} expects no HTTP status"


def _problems_of_notify(plan: Plan) -> Iterable[str]:
    called = [one.name for one in plan.notify]
    if len(set(called)) != len(called) or not all(map(names.OWN.fullmatch, called)):
        yield "those it notifies do not have names of their own"
    if len(called) > NOTIFY_MOST:
        yield "it notifies too many"
    for one in plan.notify:
        secrets = (one.url, *one.headers.values())
        if not all(map(names.ENV_REFERENCE.fullmatch, secrets)):
            yield f"{one.name} is notified at something else than env:NAME"
        if not all(map(names.HEADER.fullmatch, one.headers)) or len(one.headers) > HEADERS_MOST:
            yield f"{one.name} is notified with headers that are none"
        if one.headers and one.form is not Form.WEBHOOK:
            yield f"{one.name} takes no headers"
        if not one.events or len(set(one.events)) != len(one.events):
            yield f"{one.name} is told of nothing, or twice"
        text = one.text or Text(())
        filters = {name for ref in text.open for name in ref.filters}
        if not set(text.refs) <= set(NEWS_NAMES) or not filters <= set(FILTERS):
            yield f"the text for {one.name} needs a name that is never known"
        if sum(len(part) for part in text.parts if isinstance(part, str)) > MESSAGE_MOST:
            yield f"the text for {one.name} is too long"


def _filters(check: Check) -> set[str]:
    return {name for text in check.texts for ref in text.open for name in ref.filters}


# --- a plan told in lines -------------------------------------------------------------------


def _told(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yield every value of the plan as a path and a text in the plan's own words."""
    yield "service", plan.service
    yield "project", plan.project or "(not said)"
    yield "region", ", ".join(plan.regions) or "(not said)"
    tag = f"tag {plan.candidate.tag}" if plan.candidate.tag else None
    yield "candidate", plan.candidate.revision or tag or "latest-ready"
    metrics = {gate.name: gate.metric for gate in plan.gates}
    for number, stage in enumerate(plan.stages):
        yield from _told_stage(f"stages[{number}]", stage, metrics)
    for gate in plan.gates:
        yield from _told_gate(f"gates.{gate.name}", gate)
    for check in plan.checks:
        yield from _told_check(f"checks.{check.name}", check)
    for notify in plan.notify:
        yield from _told_notify(f"notify.{notify.name}", notify)
    if plan.max_failed_requests:
        yield "max_failed_requests", str(plan.max_failed_requests)
    yield from _flat("evidence", plan.evidence)
    for section in ("undecided", "monitoring_out", "nobody_answers"):
        yield from _flat(f"when.{section}", getattr(plan.when, section))
    approvals, rule = plan.when.approvals, plan.when.advance_only
    if approvals is not None:
        yield from _flat("when.approvals", approvals)
    if rule is not None:
        yield "when.advance_only", rule_text(rule)
    yield "when.both_failing", plan.when.both_failing
    yield "when.new_revision", plan.when.new_revision


def _told_stage(
    path: str, stage: Stage, metrics: Mapping[str, Metric]
) -> Iterable[tuple[str, str]]:
    yield f"{path}.weight", f"{stage.weight}%"
    yield f"{path}.hold", duration_text(stage.hold)
    yield f"{path}.approval", "required" if stage.approval else "off"
    yield f"{path}.advance", "early" if stage.early else "off"
    for name, limits in stage.limits.items():
        yield from _told_limits(f"{path}.limits.{name}", limits, metrics[name])


def _told_limits(path: str, limits: Limits, metric: Metric) -> Iterable[tuple[str, str]]:
    for key, value in (
        ("max", limits.maximum),
        ("min", limits.minimum),
        ("roll_back", limits.roll_back),
        ("emergency", limits.emergency),
    ):
        if value is not None:
            yield f"{path}.{key}", value_text(metric, value)


def _told_gate(path: str, gate: Gate) -> Iterable[tuple[str, str]]:
    yield f"{path}.metric", json.dumps(encode(gate.metric), ensure_ascii=False)
    yield from _told_limits(path, gate.limits, gate.metric)
    versus = gate.versus_stable
    if versus is None:
        yield f"{path}.versus_stable", "off"
    elif versus.ratio is not None:
        yield f"{path}.versus_stable", f"ratio {versus.ratio:g}"
    elif versus.worse_by is not None:
        yield f"{path}.versus_stable", f"worse_by {value_text(gate.metric, versus.worse_by)}"
    else:
        yield f"{path}.versus_stable", f"better_by {rate_text(versus.better_by or 0)}"
    if gate.stages is not None:
        yield f"{path}.stages", ", ".join(f"{weight}%" for weight in sorted(gate.stages))
    if gate.bounds is not None:
        yield f"{path}.range", f"[{gate.bounds[0]:g}, {gate.bounds[1]:g}]"
    yield f"{path}.on_fail", gate.on_fail


def _told_check(path: str, check: Check) -> Iterable[tuple[str, str]]:
    yield f"{path}.{check.method.lower()}", _told_text(check.url)
    for name, value in sorted(check.headers.items()):
        yield f"{path}.headers.{name}", _told_text(value)
    yield f"{path}.body", json.dumps(encode(check.body), ensure_ascii=False)
    yield f"{path}.each", ", ".join(check.each) or "(none)"
    yield f"{path}.when", check.when
    yield f"{path}.expect", json.dumps(encode(check.expect), ensure_ascii=False)
    yield f"{path}.on_fail", check.on_fail
    yield f"{path}.timeout", duration_text(check.timeout)
    yield (
        f"{path}.id_token",
        {None: "(the service's own)", "": "off"}.get(check.id_token, str(check.id_token)),
    )


def _told_notify(path: str, notify: Notify) -> Iterable[tuple[str, str]]:
    yield f"{path}.{notify.form}", notify.url
    for name, value in sorted(notify.headers.items()):
        yield f"{path}.headers.{name}", value
    yield f"{path}.events", ", ".join(notify.events)
    if notify.text is not None:
        yield f"{path}.text", _told_text(notify.text)


def _told_text(text: Text) -> str:
    return "".join(
        part if isinstance(part, str) else f"{{{{ {' | '.join((part.path, *part.filters))} }}}}"
        for part in text.parts
    )


def _flat(path: str, section: Any) -> Iterable[tuple[str, str]]:
    for field in fields(section):
        name, one = field.name, getattr(section, field.name)
        automatic = "auto" if name == "interval" else "(the stage's hold)"
        told = automatic if one is None else one
        yield f"{path}.{name}", duration_text(told) if isinstance(told, timedelta) else str(told)
