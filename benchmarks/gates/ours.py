"""Our gates as a policy: every look is one decision of the real engine, on a made-up minute.

Nothing is written here a second time: the plan is a real one, `engine.decide` observes, judges and
decides, and what it asks of the traffic is told to the driver. Only adapters, network and record
in the service are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from benchmarks.gates.cells import DELAY, WEIGHTS, Cell, Metric
from benchmarks.gates.policy import History, Verdict
from benchmarks.gates.worlds import SCORE_FLOOR, MinuteSample
from controller.engine.decide import decide
from controller.engine.decision import Action, Decision, State
from controller.engine.observation import (
    Observation,
    RevisionState,
    Seen,
    ServiceName,
    ServiceState,
    Target,
)
from controller.engine.record import Phase, Record
from controller.engine.split import shares
from controller.engine.watching import windows
from controller.gates.evidence import (
    CodeCounts,
    Exponential,
    Histogram,
    Latencies,
    Number,
    Query,
    Readings,
    Requests,
    Value,
    query_of,
)
from controller.gates.history import history_of
from controller.plan.compact import to_json
from controller.plan.model import (
    Candidate,
    CustomMetric,
    EvidenceRules,
    Gate,
    Latency,
    Limits,
    Needs,
    Plan,
    ResponseRate,
    Stage,
    Versus,
    When,
    WhenNobodyAnswers,
)

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG = timedelta(days=60)
OLD, NEW = "api-1", "api-2"
NAME = ServiceName("demo", "us-central1", "api")
SCORE = CustomMetric("custom.googleapis.com/score", revision_label="metric.labels.revision")
BUCKETS = Exponential(10.0, 1.1, 120)
LIMIT_MS = 10.0 * 1.1**55
READY = Seen(RevisionState(NEW, ready=True)), Seen(RevisionState(OLD, ready=True))


@lru_cache(maxsize=256)
def plan_of(cell: Cell) -> tuple[Plan, str]:
    """Return the plan of a cell, and its text: five stages, one gate, its default comparison."""
    stages = tuple(Stage(weight, MINUTE * cell.hold) for weight in WEIGHTS)
    rules = EvidenceRules(
        interval=MINUTE,
        delay=MINUTE * DELAY,
        custom_delay=MINUTE * DELAY,
        warm_up=MINUTE * cell.warm_up,
        needs=Needs(cell.needs),
    )
    asked = When(nobody_answers=WhenNobodyAnswers(after=LONG))  # the driver counts it as held
    candidate = Candidate(NEW)
    plan = Plan("api", "demo", "us-central1", candidate, stages, (_gate(cell),), (), rules, asked)
    return plan, to_json(plan)


def _gate(cell: Cell) -> Gate:
    match cell.metric:
        case Metric.ERRORS:
            rate = ResponseRate(("5xx",), counts_failures=True)
            limits = Limits(maximum=cell.limit, roll_back=cell.limit)
            return Gate("errors", rate, limits, Versus(ratio=1.25))
        case Metric.LATENCY:
            limits = Limits(maximum=LIMIT_MS, roll_back=LIMIT_MS)
            return Gate("latency", Latency(95), limits, Versus(ratio=1.25))
        case Metric.SCORE:
            limits = Limits(minimum=SCORE_FLOOR, roll_back=SCORE_FLOOR)
            return Gate("score", SCORE, limits, Versus(worse_by=0.02))


def _served(requests: int, failed: int) -> Value | None:
    return CodeCounts({"2xx": requests - failed, "5xx": failed}) if requests else None


def _side(cell: Cell, query: Query, sample: MinuteSample, *, mine: bool) -> Value | None:
    """Return what Monitoring would show of one side of a minute."""
    if isinstance(query, Requests):
        return _served(*((sample.n_c, sample.x_c) if mine else (sample.n_s, sample.x_s)))
    if isinstance(query, Latencies):
        found = sample.latency_c if mine else sample.latency_s
        if found is None:
            return None
        counts = {index: count for index, count in enumerate(found.counts) if count}
        return Histogram(BUCKETS, counts, found.mean) if counts else None
    score = sample.score_c if mine else sample.score_s
    del cell
    return None if score is None else Number(score)


class Ours:
    """The engine, a decision a look."""

    memory, reaction, sees_stable = 2, 0, True

    def begin(self, cell: Cell, history: History) -> None:
        """Start in the first stage, with what stable's day before says."""
        self.cell = cell
        self.plan, text = plan_of(cell)
        gate = self.plan.gates[0]
        query = query_of(gate, exact_codes=False)
        points = [_side(cell, query, batch, mine=False) for batch in history()]
        known = history_of(
            gate, [point for point in points if point is not None], 15, self.plan.level
        )
        started = Record("r", "u", text, "", NEW, OLD, {OLD: 100}, T0, "b", at=T0)
        self.record = replace(
            started,
            phase=Phase.RUNNING,
            stage=0,
            weight=WEIGHTS[0],
            in_force=T0,
            history={gate.name: known},
            told=(NEW,),
        )
        self.waiting: list[MinuteSample] = []

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Decide at the time at which this minute has become visible."""
        del stage, held
        if sample is not None:
            self.waiting.append(sample)
        now = T0 + MINUTE * (minute + 1 + DELAY)
        before = self.record.weight
        decision = self._decided(now)
        if decision.state is State.SHIFTING:
            self._decided(now)  # in force at once: that is the driver's world
        if decision.action is Action.ROLL_BACK:
            return Verdict.ROLL_BACK
        if decision.action is Action.PROMOTE or self.record.weight > before:
            return Verdict.ADVANCE
        return Verdict.STEP_BACK if self.record.weight < before else Verdict.GO_ON

    def _decided(self, now: datetime) -> Decision:
        record = self.record
        asked = windows(self.plan, record, now)
        readings = {query: Seen(self._readings(query)) for query in asked}
        self.waiting = [] if asked else self.waiting
        service = _service_at(record.weight)
        seen = Observation(Seen(service), *READY, readings=readings, windows=asked, on_duty=True)
        decision = decide(self.plan, record, seen, now)
        self.record = decision.record.after_look(at=now)
        return decision

    def _readings(self, query: Query) -> Readings:
        mine: dict[datetime, Value] = {}
        theirs: dict[datetime, Value] = {}
        for sample in self.waiting:
            end = T0 + MINUTE * (sample.minute + 1)
            for side, values in ((True, mine), (False, theirs)):
                value = _side(self.cell, query, sample, mine=side)
                if value is not None:
                    values[end] = value
        return {NEW: mine, OLD: theirs}


@lru_cache(maxsize=16)
def _service_at(weight: int) -> ServiceState:
    """Return the service with the candidate at this weight, beside the one that `begin` names."""
    split = shares({OLD: 100}, NEW, weight)
    targets = tuple(Target(name, percent) for name, percent in split.items())
    return ServiceState(
        NAME, "u", 7, False, targets, targets, True, "", NEW, NEW, "{}"  # noqa: FBT003
    )  # fmt: skip


OURS: Callable[[], Ours] = Ours
