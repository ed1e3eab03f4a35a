"""A plan on the service's own past: reading it from Monitoring, and trying it many times."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from controller.cli.processes import in_processes, terminated_as_interrupted
from controller.cli.stops import Code, Stop
from controller.engine.certificate import (
    BEFORE,
    Fault,
    Minutes,
    Tried,
    faults_of,
    length_of,
    room_for,
    tried,
)
from controller.engine.whole import floor_minute
from controller.engine.wording import minutes_shown
from controller.gates.evidence import MINUTE, Query, Value, minutes_of, query_of

if TYPE_CHECKING:
    from controller.cli.wiring import Connection
    from controller.engine.observation import ServiceName
    from controller.plan.model import Plan

KEPT = timedelta(days=42)  # how long Cloud Monitoring keeps minutes
CHUNK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Try:
    """One simulated rollout, as it goes to another process."""

    plan: Plan
    minutes: Minutes
    fault: Fault
    seed: str


def certify(
    name: ServiceName, plan: Plan, connection: Connection, span: timedelta, runs: int
) -> list[Tried]:
    """Try the plan on so much of stable's past. Raises PortError, Stop where it is too short."""
    minutes = _read(name, plan, connection, min(span, KEPT))
    if not room_for(plan, minutes):
        needed = MINUTE * (length_of(plan) + BEFORE)
        mend = (
            f"the plan needs {minutes_shown(needed)} of it, a day before the first stage included"
        )
        raise Stop("Monitoring has too little of stable's past", mend, Code.ERROR)
    jobs = [
        Try(plan, minutes, fault, f"{fault.name}/{number}")
        for fault in faults_of(plan)
        for number in range(runs)
    ]
    done: list[Tried] = []
    with terminated_as_interrupted(), closing(in_processes(try_once, jobs)) as all_of_them:
        for one in all_of_them:
            done.append(one)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{len(done)} of {len(jobs)} rollouts tried on the past ")
                sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 60 + "\r")
    return done


def try_once(job: Try) -> Tried:
    """Simulate one rollout. Runs in whatever process it is called."""
    return tried(job.plan, job.minutes, job.fault, Random(job.seed))


def _read(
    name: ServiceName, plan: Plan, connection: Connection, span: timedelta
) -> Mapping[Query, Mapping[datetime, Value]]:
    """Read the minutes of every revision that serves now, together, a day a call."""
    service = connection.ports.router.observe(name)
    stable = tuple(service.in_force or service.asked)
    gates = (*plan.gates, *plan.own_gates)
    queries = dict.fromkeys(query_of(gate, exact_codes=plan.exact_codes) for gate in gates)
    end = floor_minute(connection.now() - plan.evidence.custom_delay)
    found: dict[Query, dict[datetime, Value]] = {query: {} for query in queries}
    for query in queries:
        start = end - span
        while start < end:
            until = min(start + CHUNK, end)
            readings = connection.ports.metrics.read(name, query, stable, start, until)
            for minute in minutes_of(readings, "", stable, start, until):
                if minute.stable is not None:
                    found[query][minute.end] = minute.stable
            start = until
    return found
