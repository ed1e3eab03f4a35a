"""Gates and minutes for tests of what is built on the kernel: states grown minute by minute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controller.gates.betting import Terms
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Minute, Value
from controller.gates.judging import judge
from controller.gates.state import State, absorb
from controller.gates.verdict import Undecided, Verdict, Why
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    Limits,
    RequestCount,
    ResponseRate,
    Versus,
)

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RATIO = Versus(ratio=1.25)
LEVEL = 0.01
TERMS = Terms(LEVEL, 10)
AT_100 = Terms(LEVEL, 100)

ERRORS = Gate(
    "error-rate", ResponseRate(("5xx",), counts_failures=True), Limits(0.01, None, 0.02), RATIO
)
ALONE = replace(ERRORS, versus_stable=None)
WITH_EMERGENCY = replace(ERRORS, limits=Limits(0.01, None, 0.02, 0.20))
COMPARED = replace(ERRORS, limits=Limits(), versus_stable=Versus(ratio=2.0))
SUCCESS = Gate(
    "success",
    ResponseRate(("2xx", "3xx"), counts_failures=False),
    Limits(None, 0.95, 0.90),
    RATIO,
)
P95 = Gate("latency", Latency(95), Limits(250, None, 350), RATIO)
REQUESTS = Gate("requests", RequestCount(), Limits(minimum=100), None)
SCORE = Gate(
    "confidence",
    CustomMetric("custom.googleapis.com/score"),
    Limits(None, 0.75, 0.70),
    Versus(worse_by=0.02),
)
MEAN = Gate("mean", Latency(None), Limits(300, None, 400), RATIO)
FASTER = Gate("faster", Latency(None), Limits(), Versus(better_by=0.10))
ARRIVAL = Gate("arrival", Arrival(0.5), Limits(), None)
BUDGET = Gate("failed-requests", FailedRequests(30), Limits(), None)
EVERY = (ERRORS, ALONE, COMPARED, SUCCESS, P95, REQUESTS, SCORE, MEAN, FASTER, ARRIVAL, BUDGET)

Pair = tuple[Value | None, Value | None]


def codes(total: int, failed: int) -> CodeCounts:
    return CodeCounts({"2xx": total - failed, "5xx": failed})


def mean_histogram(total: int, mean: float) -> Histogram:
    return Histogram(Explicit((1000.0,)), {0: total}, mean)


def minutes(pairs: Iterable[Pair], start: datetime = START) -> list[Minute]:
    """Return one minute for each (candidate, stable)."""
    return [Minute(start + MINUTE * (n + 1), *pair) for n, pair in enumerate(pairs)]


def grown(
    gate: Gate, pairs: Iterable[Pair], terms: Terms = TERMS, state: State | None = None
) -> State:
    """Absorb a minute for each (candidate, stable), from the beginning or from a state on."""
    state = State() if state is None else state
    for minute in minutes(pairs):
        state = absorb(gate, terms, state, minute, in_stage=True)
    return state


def judged(gate: Gate, pairs: Iterable[Pair], terms: Terms = TERMS) -> Verdict:
    return judge(gate, terms, grown(gate, pairs, terms))


def failed_after(gate: Gate, pairs: Iterable[Pair], terms: Terms = TERMS) -> int | None:
    """Return the number (from 1) of the minute in which the gate failed, None: it did not."""
    state = State()
    for number, minute in enumerate(minutes(pairs), 1):
        state = absorb(gate, terms, state, minute, in_stage=True)
        if state.failed is not None:
            return number
    return None


def why(verdict: Verdict) -> Why:
    assert isinstance(verdict, Undecided), verdict
    return verdict.why
