"""The past as Cloud Monitoring keeps it, by two revisions: read through the port, a day a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controller.engine.observation import Seen, ServiceName
from controller.engine.past import past_between
from controller.engine.preflight import histories, looks_until
from controller.engine.replaying import Past
from controller.engine.segments import weights_of
from controller.engine.watching import queries
from controller.engine.whole import floor_minute
from controller.gates.betting import requests_in
from controller.gates.evidence import Minute, Query, Readings, Requests, minutes_of

if TYPE_CHECKING:
    from controller.plan.model import Plan
    from controller.ports import MetricSource

CHUNK = timedelta(days=1)


def past_of(
    plan: Plan,
    metrics: MetricSource,
    name: ServiceName,
    candidate: str,
    stable: Sequence[str],
    start: datetime,
    end: datetime,
) -> Past:
    """Read what was measured in (start, end]. Raises PortError.

    The candidate's weight is the plan's nearest, by both sides' own request counts. Stable's
    history is that of the day before the candidate's first requests.
    """
    start, end = floor_minute(start), floor_minute(end)
    requests = Requests(plan.exact_codes)
    asked = [requests, *(q for n in range(len(plan.stages)) for q in queries(plan, n).values())]
    read: dict[Query, tuple[Minute, ...]] = {}
    for query in dict.fromkeys(asked):
        read[query] = tuple(_minutes(metrics, name, query, candidate, stable, start, end))
    counts = [(requests_in(m.candidate), requests_in(m.stable)) for m in read[requests]]
    path = weights_of([stage.weight for stage in plan.stages], counts)
    weights = {m.end: weight for m, weight in zip(read[requests], path, strict=True)}
    began = next((at for at in sorted(weights) if weights[at]), None)
    history = {}
    if began is not None:
        before = floor_minute(began) - timedelta(minutes=1)
        looks = looks_until(plan, lambda _query: before)
        seen: dict[Query, Seen[Readings]] = {
            query: Seen(
                metrics.read(name, query, stable, look.window.start, look.window.end, look.period)
            )
            for query, look in looks.items()
        }
        history = histories(plan, stable, seen, looks)
    return past_between(plan, candidate, weights, read, history)


def _minutes(
    metrics: MetricSource,
    name: ServiceName,
    query: Query,
    candidate: str,
    stable: Sequence[str],
    start: datetime,
    end: datetime,
) -> Iterator[Minute]:
    revisions = tuple(dict.fromkeys((candidate, *stable)))
    while start < end:
        until = min(start + CHUNK, end)
        readings = metrics.read(name, query, revisions, start, until)
        yield from minutes_of(readings, candidate, stable, start, until)
        start = until
