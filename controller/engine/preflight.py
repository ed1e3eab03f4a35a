"""Before the first shift: is stable itself within the limits, and can the gates ever decide?

Pure. What is refused here would never advance; what is warned of would surprise somebody later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controller.engine.observation import NotSeen, Seen, ServiceState, Window
from controller.engine.watching import delay_of
from controller.engine.whole import floor_minute
from controller.engine.wording import minutes_shown
from controller.gates.counting import is_rate
from controller.gates.evidence import MINUTE, Query, Readings, minutes_of, query_of
from controller.gates.history import History, history_of
from controller.gates.judging import estimate_of, needed_sample
from controller.gates.tally import Side, Tally, absorb
from controller.gates.wording import count_text, shown, statistic
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    OnFail,
    Plan,
    RequestCount,
    ResponseRate,
)

DAY = timedelta(hours=24)
QUARTER = timedelta(minutes=15)
FAR_ABOVE = 10  # a limit this many times stable's value lets a tenfold slowdown pass


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found. refusals stop the rollout; warnings are told.

    history: what stable's last day says for each gate, kept in the record.
    """

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: Mapping[str, History] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What to read of stable's last day: the window and how many minutes a point stands for."""

    window: Window
    period: timedelta


def looks_back(plan: Plan, now: datetime) -> dict[Query, Look]:
    """Return what to read of stable's last 24 hours, by query."""
    return looks_until(plan, lambda query: floor_minute(now - delay_of(plan, query)))


def looks_until(plan: Plan, end_of: Callable[[Query], datetime]) -> dict[Query, Look]:
    """Return what is wanted of stable's 24 hours before `end_of` a query, a whole minute.

    By the quarter hour (the batches in which noise is measured); by the minute for a mean, whose
    test needs to know how alike neighbouring minutes are.
    """
    asked: dict[Query, Look] = {}
    for gate in (*plan.gates, *plan.own_gates):
        query = query_of(gate, exact_codes=plan.exact_codes)
        end = end_of(query)
        period = MINUTE if _is_tested_mean(gate) else QUARTER
        known = asked.get(query)
        asked[query] = Look(Window(end - DAY, end), min(period, known.period) if known else period)
    return asked


def _is_tested_mean(gate: Gate) -> bool:
    counted = is_rate(gate) or isinstance(gate.metric, RequestCount | Arrival | FailedRequests)
    return not counted and not gate.only_advances


def preflight(
    plan: Plan,
    service: ServiceState,
    candidate: str,
    history: Mapping[Query, Seen[Readings] | NotSeen],
    now: datetime,
) -> Preflight:
    """Judge stable by its last day, and forecast what each stage will see."""
    refusals: list[str] = []
    warnings: list[str] = list(service.unusual)
    if any(t.revision is None and t.percent for t in service.targets):
        warnings.append("traffic goes to LATEST; it is pinned to the revision that means now")
    if not _sees_failures(plan):
        warnings.append(
            "no gate rolls back for failed requests (error_rate, success_rate): a candidate that "
            "answers every one with an error, fast enough, would be promoted"
        )
    stable = [name for name in service.asked if name != candidate]
    looks = looks_back(plan, now)
    known = histories(plan, stable, history, looks)
    for gate in plan.gates:
        query = query_of(gate, exact_codes=plan.exact_codes)
        seen = history.get(query, NotSeen("not asked"))
        if isinstance(seen, NotSeen):
            warnings.append(f"{gate.name}: stable could not be judged first: {seen.why}")
            continue
        side = _stable_side(gate, seen.value, stable, looks[query].window)
        if not side.total:
            warnings.append(
                f"{gate.name}: Monitoring has no data of stable for the last 24 h; "
                "if it has none of the candidate either, the gate stays undecided"
            )
            continue
        refusals += _never_advances(plan, gate, side)
        warnings += _too_far(gate, side)
        warnings += _too_little(plan, gate, side)
    return Preflight(_grouped(refusals), _grouped(warnings), known)


def _sees_failures(plan: Plan) -> bool:
    """Tell whether failed requests can end the rollout."""
    gates = [g for g in plan.gates if g.on_fail is not OnFail.OBSERVE]
    rates = any(isinstance(g.metric, ResponseRate) and not g.only_advances for g in gates)
    budget = any(isinstance(g.metric, FailedRequests) for g in plan.own_gates)
    return rates or budget


def histories(
    plan: Plan,
    stable: Sequence[str],
    history: Mapping[Query, Seen[Readings] | NotSeen],
    looks: Mapping[Query, Look],
) -> dict[str, History]:
    """Return what each gate is told of stable's day; one of which nothing is known is left out."""
    found: dict[str, History] = {}
    for gate in (*plan.gates, *plan.own_gates):
        query = query_of(gate, exact_codes=plan.exact_codes)
        seen = history.get(query)
        if not isinstance(seen, Seen) or isinstance(gate.metric, RequestCount | Arrival):
            continue
        window, period = looks[query].window, looks[query].period
        minutes = minutes_of(seen.value, "", stable, window.start, window.end)
        points = [minute.stable for minute in minutes if minute.stable is not None]
        found[gate.name] = history_of(gate, points, period // MINUTE, plan.level)
    return {name: one for name, one in found.items() if one != History()}


def _grouped(lines: list[str]) -> tuple[str, ...]:
    """Say once what is the same for several gates: "a, b: what"."""
    names: dict[str, list[str]] = {}
    for line in lines:
        name, colon, text = line.partition(": ")
        names.setdefault(text if colon else name, []).extend([name] if colon else [])
    return tuple(f"{', '.join(who)}: {text}" if who else text for text, who in names.items())


def _stable_side(gate: Gate, readings: Readings, stable: list[str], window: Window) -> Side:
    tally = Tally()
    for minute in minutes_of(readings, "", stable, window.start, window.end):
        tally = absorb(gate, tally, replace(minute, candidate=None))
    return tally.stable


def _never_advances(plan: Plan, gate: Gate, side: Side) -> list[str]:
    estimate = estimate_of(gate, side)
    found = []
    for number, stage in enumerate(plan.stages):
        here = {g.name: g for g in plan.gates_at(number)}.get(gate.name)
        limit = here.limits.to_advance if here else None
        if here is None or limit is None or isinstance(gate.metric, RequestCount):
            continue
        low = here.limits.lower_is_better
        over = estimate is not None and (estimate > limit if low else estimate < limit)
        if over and side.total >= _enough(here):
            found.append(
                f"{gate.name}: stable itself is at {statistic(gate)}{shown(gate, estimate)}, the "
                f"limit at {stage.weight}% is {shown(gate, limit)}: this can never advance"
            )
            break
    return found


def _enough(gate: Gate) -> int:
    if isinstance(gate.metric, CustomMetric) and gate.metric.percentile is None:
        return 1  # the history is read by the hour
    return needed_sample(gate, gate.limits.to_advance)


def _too_far(gate: Gate, side: Side) -> list[str]:
    estimate, limit = estimate_of(gate, side), gate.limits.to_advance
    if not isinstance(gate.metric, Latency) or not estimate or limit is None:
        return []
    if limit < FAR_ABOVE * estimate:
        return []
    return [
        f"{gate.name}: the limit is {limit / estimate:.0f}x stable's {statistic(gate)}"
        f"({shown(gate, estimate)}): a tenfold slowdown would pass"
    ]


def _too_little(plan: Plan, gate: Gate, side: Side) -> list[str]:
    """Forecast the candidate's requests in each stage from stable's last day."""
    if isinstance(gate.metric, CustomMetric):
        return []
    for number, stage in enumerate(plan.stages):
        here = {g.name: g for g in plan.gates_at(number)}.get(gate.name)
        if here is None or not stage.hold:
            continue
        expected = side.total * (stage.hold / DAY) * stage.weight / 100
        needed = needed_sample(here, here.limits.to_advance, plan.evidence.needs)
        if expected < needed:
            return [
                f"{gate.name}: {stage.weight}% for {minutes_shown(stage.hold)} will see about "
                f"{count_text(round(expected))} requests, {count_text(needed)} are needed: "
                "it will stay undecided"
            ]
    return []
