"""A service in virtual time for tests of the engine: traffic by the split in force, shifts, ticks.

A thousand requests a minute unless said. What fails is drawn from the seed, minute by minute, so
the same world gives the same minutes whoever asks, and however often.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import floor

from controller.engine.codec import decode, encode
from controller.engine.decide import decide
from controller.engine.decision import Action, Decision
from controller.engine.observation import (
    NotSeen,
    Observation,
    RevisionState,
    Seen,
    Target,
)
from controller.engine.record import Phase, Record, stamp
from controller.engine.split import shares
from controller.engine.watching import windows
from controller.gates.evidence import Explicit, Histogram, Latencies, Query, Readings, Value
from controller.plan.model import Plan, Stage
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, at, codes, running, service_of

RECONCILE = timedelta(seconds=20)
MOVES = (Action.SHIFT, Action.STEP_BACK, Action.ROLL_BACK, Action.PROMOTE, Action.ASK)

# (minutes since T0, candidate's share of the traffic) -> failing shares of candidate and stable
Truth = Callable[[float, float], tuple[float, float]]


LONG = replace(
    PLAN,
    stages=(
        Stage(10, timedelta(hours=6)),
        Stage(50, timedelta(hours=6)),
        Stage(100, timedelta(hours=6)),
    ),
)


def healthy(_minutes: float, _share: float) -> tuple[float, float]:
    return 0.001, 0.001


def poison(since: float = 0.0, part: float = 0.5) -> Truth:
    """The candidate breaks what both share: in proportion to its share of the traffic."""

    def truth(minute: float, share: float) -> tuple[float, float]:
        rate = 0.001 + (part * share if minute > since else 0.0)
        return rate, rate

    return truth


def incident(since: float, until: float, rate: float = 0.05) -> Truth:
    """Both revisions fail, whoever has the traffic."""

    def truth(minute: float, _share: float) -> tuple[float, float]:
        now = rate if since < minute <= until else 0.001
        return now, now

    return truth


@dataclass
class World:
    """One service and its rollout. killed: every tick is a fresh process with what was written."""

    plan: Plan
    truth: Truth = healthy
    requests: int = 1000
    silent: tuple[float, float] = (0.0, 0.0)  # minutes in which Monitoring does not answer
    killed: bool = False
    stage: int = 0
    reconcile: timedelta = RECONCILE  # how long a shift takes
    now: datetime = field(init=False)
    record: Record = field(init=False)
    text: str = field(init=False)
    weights: list[tuple[datetime, int]] = field(init=False)
    told: list[tuple[float, Decision]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = at(0)
        self.record = running(self.stage, self.plan)
        self.text = encode(self.record)
        self.weights = [(at(-9999), self.record.weight)]

    # What happens ---------------------------------------------------------------------------

    def run(self, until: float) -> World:
        """Tick until that minute, or until the rollout is done."""
        while self.now < at(until) and self.record.phase is not Phase.DONE:
            self.tick()
        return self

    def tick(self) -> Decision:
        record = self.known() if self.killed else self.record
        decision = decide(self.plan, record, self._observed(record), self.now)
        self.record = decision.record
        if decision.write is not None:
            self._write(decision)
        self.told.append((self.minute, decision))
        self.now += max(min(decision.look_again, MINUTE), timedelta(seconds=10))
        return decision

    def known(self) -> Record:
        """Return what a fresh process reads."""
        found = decode(self.text)
        assert isinstance(found, Record), found
        return found

    def act(self, decision: Decision) -> None:
        """Take over what a person's act decided."""
        self.record = decision.record
        self._write(decision)

    def _write(self, decision: Decision) -> None:
        self.record = stamp(decision.record, 7, self.now)
        self.text = encode(self.record)
        if self.record.weight != self.weights[-1][1]:
            self.weights.append((self.now + self.reconcile, self.record.weight))

    # What is seen ---------------------------------------------------------------------------

    @property
    def minute(self) -> float:
        return (self.now - at(0)) / MINUTE

    @property
    def in_force(self) -> int:
        return next(weight for since, weight in reversed(self.weights) if since <= self.now)

    @property
    def moves(self) -> list[tuple[str, int]]:
        """Return what was done, and the candidate's weight it led to."""
        return [(d.action.value, d.record.weight) for _, d in self.told if d.action in MOVES]

    @property
    def notes(self) -> list[str]:
        return [t.what for t in self.record.transitions]

    def when(self, action: Action) -> float:
        """Return the minute of the first such decision."""
        return next(minute for minute, d in self.told if d.action is action)

    def _observed(self, record: Record) -> Observation:
        asked = windows(self.plan, record, self.now)
        out = self.silent[0] <= self.minute < self.silent[1]
        seen: dict[Query, Seen[Readings] | NotSeen] = {
            query: NotSeen("quota") if out else Seen(self._read(query, window.start, window.end))
            for query, window in asked.items()
        }
        split = shares(record.before, NEW, self.in_force)
        service = service_of(
            record,
            statuses=tuple(Target(name, percent) for name, percent in split.items()),
            reconciling=self.weights[-1][0] > self.now,
        )
        return Observation(
            Seen(service),
            Seen(RevisionState(NEW, ready=True)),
            Seen(RevisionState(OLD, ready=True)),
            seen,
            asked,
        )

    def _read(self, query: Query, start: datetime, end: datetime) -> Readings:
        found: dict[str, dict[datetime, Value]] = {NEW: {}, OLD: {}}
        for number in range((end - start) // MINUTE):
            minute = start + MINUTE * (number + 1)
            share = self._share(minute)
            mine = round(self.requests * share)
            rng = random.Random(f"{minute}")
            rates = self.truth((minute - at(0)) / MINUTE, share)
            for name, total, rate in zip(
                (NEW, OLD), (mine, self.requests - mine), rates, strict=True
            ):
                if total:
                    found[name][minute] = _value(query, total, rate, rng)
        return found

    def _share(self, end: datetime) -> float:
        """Return the candidate's share of the minute that ended then, whatever was asked for."""
        seconds = [end - timedelta(seconds=second) for second in range(5, 65, 10)]
        found = [
            next(weight for since, weight in reversed(self.weights) if since <= second)
            for second in seconds
        ]
        return sum(found) / len(found) / 100


def _value(query: Query, total: int, rate: float, rng: random.Random) -> Value:
    if isinstance(query, Latencies):
        return Histogram(Explicit((100.0, 5000.0)), {0: total}, 50.0)
    return codes(total, min(floor(total * rate + rng.random()), total))


def with_(plan: Plan, **when: object) -> Plan:
    """Return the plan with another answer for when nobody is there."""
    return replace(plan, when=replace(plan.when, **when))  # type: ignore[arg-type]
