"""A plan → the setting of a sandbox world: names, and an app that is healthy by this plan.

Stable is on the good side of every limit with room to spare, so that what a scenario breaks is the
only thing that is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from controller.engine.observation import ServiceName
from controller.plan.model import (
    Check,
    CustomMetric,
    Gate,
    Latency,
    Limits,
    Plan,
    Ref,
    ResponseRate,
    Text,
)
from controller.sandbox.setting import Answer, Gauge, Setting

ERROR_RATE = 0.002
P95_MS = 9000.0
MARGIN = 0.1  # of a limit, by which a healthy app's own metric keeps its distance


def setting_of(name: ServiceName, plan: Plan | None) -> Setting:
    """Return the setting for a service; with no plan, that of any healthy app."""
    there = plan.regions if plan is not None else ()
    regions = there if name.region in there else (name.region,)
    place = Setting(name.project, regions, name.service)
    if plan is None:
        return place
    candidate = plan.candidate.revision or ""
    return replace(
        place,
        candidate="" if candidate == f"{name.service}-00041-abc" else candidate,
        candidate_tag=plan.candidate.tag or "candidate",
        stable_error_rate=_error_rate(plan),
        stable_p95_ms=_p95_ms(plan),
        gauges=tuple(_gauges(plan)),
        answers=_answers(plan, name),
    )


def _limits(plan: Plan, gate: Gate) -> Iterator[Limits]:
    """Yield a gate's limits, its own and every stage's."""
    yield gate.limits
    for stage in plan.stages:
        if gate.name in stage.limits:
            yield stage.limits[gate.name]


def _error_rate(plan: Plan) -> float:
    tightest = [ERROR_RATE]
    for gate in plan.gates:
        if isinstance(gate.metric, ResponseRate):
            for limits in _limits(plan, gate):
                if limits.maximum is not None:
                    tightest.append(limits.maximum / 5)
                if limits.minimum is not None:
                    tightest.append((1 - limits.minimum) / 5)
    return max(min(tightest), 0.0)


def _p95_ms(plan: Plan) -> float:
    """Return 0.6 of the tightest limit; beyond the 95th percentile less, for the tail is long."""
    found = []
    for gate in plan.gates:
        if isinstance(gate.metric, Latency):
            part = 0.3 if (gate.metric.percentile or 0) > 95 else 0.6
            found += [m * part for x in _limits(plan, gate) if (m := x.maximum) is not None]
    return min(found, default=P95_MS)


def _gauges(plan: Plan) -> Iterator[Gauge]:
    seen: set[str] = set()
    for gate in plan.gates:
        metric = gate.metric
        if not isinstance(metric, CustomMetric) or metric.type in seen:
            continue
        if metric.type.startswith("run.googleapis.com/"):
            continue  # the world has Cloud Run's own
        seen.add(metric.type)
        limits = tuple(_limits(plan, gate))
        good, bad = _good_and_bad(limits)
        distribution = metric.percentile is not None
        yield Gauge(
            metric.type,
            metric.revision_label,
            good,
            bad,
            "DELTA" if distribution else "GAUGE",
            "DISTRIBUTION" if distribution else "DOUBLE",
        )


def _good_and_bad(limits: tuple[Limits, ...]) -> tuple[float, float]:
    """Return what a healthy and a failing app report, whatever the stage."""
    advance = [x.to_advance for x in limits if x.to_advance is not None]
    back = [x.roll_back for x in limits if x.roll_back is not None] or advance
    if not advance:
        return 0.82, 0.5
    if limits[0].lower_is_better:
        return min(advance) - _room(min(advance), MARGIN), max(back) + _room(max(back), 0.2)
    return max(advance) + _room(max(advance), MARGIN), min(back) - _room(min(back), 0.2)


def _room(limit: float, part: float) -> float:
    return abs(limit) * part or 1.0


# What the app answers --------------------------------------------------------------------------


def _answers(plan: Plan, name: ServiceName) -> tuple[Answer, ...]:
    """Return what the plan's checks expect; two checks of one URL get what both expect."""
    found: dict[tuple[str, str], Answer] = {}
    for check in plan.checks:
        for item in check.each or ("",):
            url = _url(check, item, name)
            body = _filled(check.expect.body, item, name) if check.expect.has_body else {}
            key = (check.method.upper(), url)
            if key in found:
                body = _merged(found[key].body, body)
            status = check.expect.status[0]
            found[key] = Answer(*key, status, None if status == 204 else body)
    return tuple(found.values())


def _url(check: Check, item: str, name: ServiceName) -> str:
    """Return a path for URLs of the service, else the whole URL; without query."""
    first = check.url.parts[0] if check.url.parts else ""
    own = isinstance(first, Ref) and first.path in {"candidate.url", "stable.url"}
    rest = Text(check.url.parts[1:]) if own else check.url
    return _text(rest, item, name).partition("?")[0].partition("#")[0]


def _text(text: Text, item: str, name: ServiceName) -> str:
    known = {
        "item": item,
        "candidate.revision": f"{name.service}-00042-xyz",
        "stable.revision": f"{name.service}-00041-abc",
    }
    return "".join(p if isinstance(p, str) else known.get(p.path, "") for p in text.parts)


def _filled(value: Any, item: str, name: ServiceName) -> Any:
    match value:
        case Text():
            return _text(value, item, name)
        case Mapping():
            return {key: _filled(inner, item, name) for key, inner in value.items()}
        case list() | tuple():
            return [_filled(inner, item, name) for inner in value]
        case _:
            return value


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {key: _merged(one[key], other[key]) for key in one if key in other}
        return {**one, **other, **both}
    return other
