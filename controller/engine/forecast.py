"""What a plan can decide, before it runs: `rollout preview`. Pure arithmetic, by `gates.planner`.

From the plan and from what is known of the service's traffic: what each stage will see, the
smallest regression each gate would catch there, how long worse candidates live and what they
cost, and advice where a stage decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from controller.engine.observation import Seen
from controller.engine.preflight import Look
from controller.engine.watching import FIRST_HOURS, INTERVAL_MAX, INTERVAL_MIN, queries
from controller.gates import dispersion
from controller.gates.betting import BESIDE_SHARE, EMERGENCY_SHARE
from controller.gates.counting import accused, allowed_share, is_rate
from controller.gates.evidence import MINUTE, Query, Readings, minutes_of, query_of
from controller.gates.history import History, history_of
from controller.gates.judging import needed_sample
from controller.gates.planner import FailRule, Hold, Life, Service, detectable, life
from controller.gates.wording import shown
from controller.plan.model import CustomMetric, Gate, Needs, Plan, ResponseRate, Stage

REGRESSIONS = (2, 5, 20)  # times stable's bad share
PROBABILITY = 0.8
AFTER = 2 * MINUTE  # from the last minute's visibility to the split in force
DEAD = 0.2  # the share of failures by which `needs: clean` is explained
HALF, RARE = 0.5, 0.001
BUSY = 20 * 60  # requests a minute from which a remainder on stable is worth keeping


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the service. requests: a minute, all revisions together.

    bad: stable's bad share by gate (fraction): failures, or requests beyond the limit to roll
    back. history: what the gates will know of stable. source: where this comes from, for people.
    """

    requests: float
    bad: Mapping[str, float]
    history: Mapping[str, History] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class GateOutlook:
    """One gate in one stage.

    catches: the smallest bad share that fails it with 80% probability before the stage ends
    (fraction), None: not even a candidate that always fails. limit: the limit to roll back.
    needed: requests before it can pass.
    """

    name: str
    catches: float | None
    limit: float | None
    needed: int


@dataclass(frozen=True, slots=True)
class StageOutlook:
    """One stage. requests: those the candidate will get in the hold."""

    number: int
    weight: int
    hold: timedelta
    requests: float
    gates: tuple[GateOutlook, ...]


@dataclass(frozen=True, slots=True)
class Regression:
    """A candidate that is `times` as bad as stable from the start, by one gate. rate: fraction."""

    gate: str
    times: int
    rate: float
    within: bool  # within the gate's limits: it is not to be rolled back
    life: Life


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole preview. lost: how likely, at most, a good candidate is rolled back (fraction).

    ticks, calls: of the controller over the plan's holds, and to Google's APIs.
    """

    stages: tuple[StageOutlook, ...]
    regressions: tuple[Regression, ...]
    lost: float
    hold: timedelta
    ticks: int
    calls: int
    advice: tuple[str, ...]


def forecast(plan: Plan, outlook: Outlook) -> Forecast:
    """Return what the plan can decide on such a service."""
    stages = tuple(_stage(plan, outlook, number) for number in range(len(plan.stages)))
    rates = [gate for gate in plan.gates if is_rate(gate) and not gate.only_advances]
    regressions = tuple(
        one
        for gate in rates
        for times in REGRESSIONS
        for one in _regression(plan, outlook, gate, times)
    )
    ticks = sum(_ticks(plan, stage) for stage in plan.stages)
    asked = max((len(set(queries(plan, n).values())) for n in range(len(plan.stages))), default=0)
    return Forecast(
        stages,
        regressions,
        plan.evidence.false_rollback,
        sum((stage.hold for stage in plan.stages), timedelta()),
        ticks,
        ticks * (3 + asked),  # the service, two revisions, and each metric
        _advice(plan, outlook, stages),
    )


def outlook_of(
    plan: Plan,
    stable: Sequence[str],
    seen: Mapping[Query, Seen[Readings]],
    looks: Mapping[Query, Look],
) -> Outlook:
    """Return the outlook from stable's last day; a gate of which nothing is known is left out."""
    bad: dict[str, float] = {}
    history: dict[str, History] = {}
    requests = 0.0
    for gate in (*plan.gates, *plan.own_gates):
        query = query_of(gate, exact_codes=plan.exact_codes)
        if query not in seen:
            continue
        window, period = looks[query].window, looks[query].period
        minutes = minutes_of(seen[query].value, "", list(stable), window.start, window.end)
        points = [minute.stable for minute in minutes if minute.stable is not None]
        if is_rate(gate):
            limit = gate.limits.roll_back
            counted = [accused(gate, value, limit or 0.0) for value in points]
            total = sum(n for _, n in counted)
            if total and not isinstance(gate.metric, CustomMetric):
                if limit is not None or isinstance(gate.metric, ResponseRate):
                    bad[gate.name] = sum(x for x, _ in counted) / total
                requests = max(requests, total / ((window.end - window.start) / MINUTE))
        history[gate.name] = history_of(gate, points, period // MINUTE, plan.level)
    return Outlook(requests, bad, history)


def assumed_outlook(plan: Plan, requests: float, errors: float) -> Outlook:
    """Return the outlook of a service of which only a rate (a minute) and errors are said.

    errors: stable's share of failures (fraction). Of latency it is assumed that stable has a
    fifth of the slow requests that the limit allows.
    """
    bad = {}
    for gate in plan.gates:
        if isinstance(gate.metric, ResponseRate):
            bad[gate.name] = errors
        elif is_rate(gate) and gate.limits.roll_back is not None:
            bad[gate.name] = allowed_share(gate, gate.limits.roll_back) / 5
    return Outlook(requests, bad)


# Stages ---------------------------------------------------------------------------------------


def _stage(plan: Plan, outlook: Outlook, number: int) -> StageOutlook:
    stage = plan.stages[number]
    minutes = stage.hold / MINUTE
    gates = tuple(
        _gate(plan, outlook, gate, number)
        for gate in plan.gates_at(number)
        if is_rate(gate) and not gate.only_advances
    )
    requests = outlook.requests * stage.weight / 100 * minutes
    return StageOutlook(number + 1, stage.weight, stage.hold, requests, gates)


def _gate(plan: Plan, outlook: Outlook, gate: Gate, number: int) -> GateOutlook:
    rule = _rule(plan, outlook, gate, plan.stages[number].weight)
    needed = needed_sample(gate, gate.limits.to_advance, plan.evidence.needs)
    stable = outlook.bad.get(gate.name)
    if stable is None or rule is None or not outlook.requests:
        return GateOutlook(gate.name, None, gate.limits.roll_back, needed)
    holds = [_hold(stage) for stage in plan.stages[: number + 1] if stage.hold]
    service = Service(outlook.requests, stable)
    found = detectable(holds, service, rule, PROBABILITY) if holds else None
    return GateOutlook(gate.name, found, gate.limits.roll_back, needed)


def _hold(stage: Stage) -> Hold:
    return Hold(stage.weight / 100, int(stage.hold / MINUTE))


def _rule(plan: Plan, outlook: Outlook, gate: Gate, weight: int) -> FailRule | None:
    """Return what a fail needs; None where the gate compares in a way that is not forecast."""
    versus, limits = gate.versus_stable, gate.limits
    level = plan.level * (1 - EMERGENCY_SHARE if limits.emergency is not None else 1)
    limit = allowed_share(gate, limits.roll_back) if limits.roll_back is not None else None
    ratio = versus.ratio if versus is not None else None
    if weight == 100 and limit is not None:
        ratio = None  # nothing is left on stable: the day before decides, nearly at once
    if limit is None and ratio is None:
        return None
    known = outlook.history.get(gate.name, History())
    return FailRule(limit, ratio, level, BESIDE_SHARE * level, dispersion.cap(known.inflation))


def _regression(plan: Plan, outlook: Outlook, gate: Gate, times: int) -> list[Regression]:
    stable = outlook.bad.get(gate.name)
    judged = [
        (_hold(stage), rule)
        for number, stage in enumerate(plan.stages)
        for here in plan.gates_at(number)
        if here.name == gate.name and stage.hold
        if (rule := _rule(plan, outlook, here, stage.weight)) is not None
    ]
    if not stable or not judged or not outlook.requests:
        return []
    rate = min(times * stable, 1.0)
    limits = [rule.limit for _, rule in judged if rule.limit is not None]
    within = bool(limits) and rate <= min(limits)
    delay = int((plan.evidence.delay + AFTER) / MINUTE)
    service = Service(outlook.requests, stable)
    return [Regression(gate.name, times, rate, within, life(judged, service, rate, delay))]


def _ticks(plan: Plan, stage: Stage) -> int:
    if plan.evidence.interval is not None:
        return math.ceil(stage.hold / plan.evidence.interval)
    early = min(stage.hold, FIRST_HOURS)
    later = min(max(stage.hold / 300, INTERVAL_MIN), INTERVAL_MAX)
    return math.ceil(early / INTERVAL_MIN) + math.ceil((stage.hold - early) / later)


# Advice ---------------------------------------------------------------------------------------


def _advice(plan: Plan, outlook: Outlook, stages: Sequence[StageOutlook]) -> tuple[str, ...]:
    if not outlook.requests:
        return ("nothing is known of the traffic: say it with --rate, such as --rate 0.5/s",)
    found: list[str] = []
    for gate in plan.gates:
        found += _never(plan, outlook, gate)
    for stage in stages:
        found += _too_little(plan, outlook, stage)
    for stage in stages:
        blind = [one.name for one in stage.gates if one.catches is None and one.limit is not None]
        if blind and stage.hold:
            found.append(
                f"stage {stage.number} ({stage.weight}%) cannot tell even a dead candidate by "
                f"{', '.join(blind)}: checks and readiness alone would roll it back"
            )
    found += _budget(plan, outlook)
    measured = [stage.weight for stage in plan.stages if stage.weight < 100 and stage.hold]
    if outlook.requests >= BUSY and measured and measured[-1] < 90:
        found.append(
            "from 90% to 95% as the last stage before 100%, a regression under full load could "
            "still be told from an incident by the few percent left on stable"
        )
    return tuple(dict.fromkeys(found))


def _never(plan: Plan, outlook: Outlook, gate: Gate) -> list[str]:
    bad = outlook.bad.get(gate.name)
    for number, stage in enumerate(plan.stages):
        here = {one.name: one for one in plan.gates_at(number)}.get(gate.name)
        limit = here.limits.to_advance if here is not None else None
        if (
            bad is None
            or here is None
            or limit is None
            or not isinstance(here.metric, ResponseRate)
        ):
            continue
        if bad > allowed_share(here, limit):
            return [
                f"{gate.name}: stable itself is at {shown(here, _value(here, bad))}, the limit at "
                f"{stage.weight}% is {shown(here, limit)}: this can never advance"
            ]
    return []


def _value(gate: Gate, bad: float) -> float:
    """Return a bad share as the gate's own value: a success rate is the rest."""
    counts_failures = isinstance(gate.metric, ResponseRate) and gate.metric.counts_failures
    return bad if counts_failures else 1 - bad


def _too_little(plan: Plan, outlook: Outlook, stage: StageOutlook) -> list[str]:
    """Say what a stage that will see too few requests could be instead."""
    short = [one for one in stage.gates if stage.requests < one.needed]
    if not short or not stage.hold:
        return []
    needed = max(one.needed for one in short)
    per_day = outlook.requests * stage.weight / 100 * (timedelta(days=1) / MINUTE)
    names = ", ".join(one.name for one in short)
    told = (
        f"stage {stage.number} gives the candidate about {stage.requests:.0f} requests in "
        f"{_days(stage.hold)}, {needed} are needed: {names} cannot be decided there"
    )
    options = [f"hold {_days(timedelta(days=math.ceil(needed / per_day)))}"] if per_day else []
    whole = outlook.requests * (stage.hold / MINUTE)
    if whole >= needed:
        options.append(f"start at {min(math.ceil(100 * needed / whole / 5) * 5, 100)}%")
    if plan.evidence.needs is not Needs.CLEAN:
        passes = (1 - DEAD) ** stage.requests
        often = "most" if passes > HALF else f"1 of {1 / passes:.0f}" if passes > RARE else "no"
        options.append(
            f"use needs: clean, which would let a release with {DEAD:.0%} failures pass this "
            f"stage in {often} cases"
        )
    return [f"{told}: {', or '.join(options)}"]


def _budget(plan: Plan, outlook: Outlook) -> list[str]:
    """Warn of a budget of failed requests that is spent before anything can be seen."""
    if not plan.max_failed_requests:
        return []
    bad = max(
        (outlook.bad.get(g.name, 0.0) for g in plan.gates if isinstance(g.metric, ResponseRate)),
        default=0.0,
    )
    weight = plan.stages[0].weight / 100
    least = plan.evidence.delay / MINUTE * outlook.requests * weight * 10 * bad + 10
    if plan.max_failed_requests >= least:
        return []
    return [
        f"max_failed_requests: {plan.max_failed_requests} is spent before anything can be seen: "
        f"a tenfold regression fails about {least:.0f} requests within the delay"
    ]


def _days(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    if hours < 1:
        return f"{span / MINUTE:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
