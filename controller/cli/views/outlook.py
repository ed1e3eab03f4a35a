"""A preview as people and scripts read it: a table of the stages, one of regressions, advice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from controller.engine.certificate import AS_IT_IS, Tried, at_most, summary
from controller.engine.forecast import PROBABILITY, Forecast, Outlook, Regression, StageOutlook
from controller.engine.wording import minutes_shown
from controller.gates.evidence import MINUTE
from controller.gates.wording import count_text
from controller.plan.model import Plan, ResponseRate
from controller.plan.window import rule_text

ERRORS_ASSUMED = 0.001  # stable's failures where only a rate is said
HALF = 0.5
_COLUMNS = 100
_BAR = 24  # characters: the whole plan, on a logarithmic scale


def plain(plan: Plan, outlook: Outlook, foreseen: Forecast) -> dict[str, Any]:
    """Return the preview as JSON values: rates are fractions, times seconds or minutes by name."""
    return {
        "event": "preview",
        "version": 1,
        "service": plan.service,
        "requests_per_minute": outlook.requests,
        "stable": dict(outlook.bad),
        "false_rollback": foreseen.lost,
        "stages": [
            {
                "stage": stage.number,
                "weight": stage.weight,
                "hold_s": stage.hold.total_seconds(),
                "requests": stage.requests,
                "gates": [
                    {
                        "gate": gate.name,
                        "catches": gate.catches,
                        "probability": PROBABILITY,
                        "needed": gate.needed,
                    }
                    for gate in stage.gates
                ],
            }
            for stage in foreseen.stages
        ],
        "regressions": [
            {
                "gate": one.gate,
                "times": one.times,
                "rate": one.rate,
                "within_limits": one.within,
                "caught": one.life.caught,
                "minutes": one.life.minute,
                "failed_requests": one.life.failed,
            }
            for one in foreseen.regressions
        ],
        "hold_s": foreseen.hold.total_seconds(),
        "advance_only": rule_text(rule) if (rule := plan.when.advance_only) else None,
        "looks": foreseen.ticks,
        "api_calls": foreseen.calls,
        "advice": list(foreseen.advice),
    }


def lines(plan: Plan, outlook: Outlook, foreseen: Forecast) -> Iterator[str]:
    """Return the preview for people, at most 100 columns and no colour."""
    per_second = outlook.requests / 60
    traffic = f"{per_second:.3g} requests a second" if outlook.requests else "traffic not known"
    yield f"{plan.service}: {traffic}" + (f", from {outlook.source}" if outlook.source else "")
    yield ""
    yield from _stages(plan, foreseen)
    if foreseen.regressions:
        yield ""
        yield from _regressions(plan, foreseen)
    yield ""
    yield f"a candidate within its limits is rolled back in at most {foreseen.lost:.1%} of rollouts"
    hours = minutes_shown(foreseen.hold)
    yield (
        f"cost: {hours} at least, {count_text(foreseen.ticks)} looks, "
        f"about {count_text(foreseen.calls)} calls of Google's APIs"
    )
    if plan.when.advance_only is not None:
        told = f"advances only {rule_text(plan.when.advance_only)}: stages wait for that beyond it"
        yield from wrap(told, _COLUMNS, subsequent_indent="  ")
    for one in foreseen.advice:
        yield ""
        yield from wrap(f"advice: {one}", _COLUMNS, subsequent_indent="  ")


def _stages(plan: Plan, foreseen: Forecast) -> Iterator[str]:
    names = list(dict.fromkeys(gate.name for stage in foreseen.stages for gate in stage.gates))
    yield "the smallest regression each gate catches before the stage ends, in 4 of 5 cases:"
    header = ("stage", "weight", "hold", "requests", *names)
    rows = [header, *(_row(plan, stage, names) for stage in foreseen.stages)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _row(plan: Plan, stage: StageOutlook, names: list[str]) -> tuple[str, ...]:
    by_name = {gate.name: gate for gate in stage.gates}
    cells = []
    for name in names:
        gate = by_name.get(name)
        if gate is None:
            cells.append("-")
        elif gate.catches is None:
            cells.append("nothing")
        else:
            cells.append(f"{gate.catches:.2%}{_what(plan, name)}")
    hold = minutes_shown(stage.hold) if stage.hold else "none"
    requests = count_text(round(stage.requests))
    return (str(stage.number), f"{stage.weight}%", hold, requests, *cells)


def _what(plan: Plan, name: str) -> str:
    gate = next(one for one in plan.gates if one.name == name)
    return " fail" if isinstance(gate.metric, ResponseRate) else " slow"


def _regressions(plan: Plan, foreseen: Forecast) -> Iterator[str]:
    yield "candidates as many times as bad as stable, from the start:"
    whole = max(foreseen.hold / MINUTE, 2.0)
    rows = [_told(plan, one) for one in foreseen.regressions]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, one in zip(rows, foreseen.regressions, strict=True):
        bar = _bar(one, whole)
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2])]
        yield ("  " + "  ".join((*cells, bar))).rstrip()


def _told(plan: Plan, one: Regression) -> tuple[str, str, str]:
    what = _what(plan, one.gate)
    head = (f"{one.gate} x{one.times}", f"{one.rate:.2%}{what}")
    if one.within:
        return (*head, "within its limits: not rolled back")
    if one.life.minute is None:
        return (*head, f"caught in {one.life.caught:.0%} of rollouts")
    after = minutes_shown(one.life.minute * MINUTE)
    return (*head, f"lives {after}, {count_text(round(one.life.failed))} failed requests")


def _bar(one: Regression, whole: float) -> str:
    """Draw how long it lives, on a logarithmic scale from a minute to the whole plan."""
    if one.within:
        return ""
    lived = one.life.minute if one.life.minute is not None else whole
    full = round(_BAR * min(math.log(max(lived, 1.0)) / math.log(whole), 1.0))
    return "━" * max(full, 1) + "·" * (_BAR - max(full, 1))


# On the service's own past --------------------------------------------------------------------


def plain_tries(tries: Sequence[Tried]) -> dict[str, Any]:
    """Return what was tried on the past as JSON values, by fault."""
    found = []
    for fault, many in _by_fault(tries):
        runs, back, minute, failed = summary(many)
        found.append(
            {
                "fault": fault,
                "runs": runs,
                "rolled_back": back,
                "at_most": at_most(back, runs),
                "minute": minute,
                "failed_requests": failed,
            }
        )
    return {"history": found}


def lines_of_tries(tries: Sequence[Tried]) -> Iterator[str]:
    """Return what was tried on the past for people."""
    if tries:
        yield ""
        yield "on stable's own past, split at random, through the real gates:"
    for fault, many in _by_fault(tries):
        runs, back, minute, failed = summary(many)
        if fault == AS_IT_IS.name:
            most = at_most(back, runs)
            yield f"  {fault}: {back} of {runs} would have been rolled back (at most {most:.1%})"
            continue
        told = f"  {fault}: {back} of {runs} rolled back"
        if minute is not None:
            told += f", half of them within {minutes_shown(minute * MINUTE)}"
        yield told + (f", {count_text(round(failed))} failed requests" if failed >= HALF else "")


def _by_fault(tries: Sequence[Tried]) -> list[tuple[str, list[Tried]]]:
    names = dict.fromkeys(one.fault for one in tries)
    return [(name, [one for one in tries if one.fault == name]) for name in names]
