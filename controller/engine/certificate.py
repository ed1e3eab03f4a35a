"""A certificate on the service's own past: would this plan have kept the good, and caught the bad?

Stable's own minutes are split at random into a candidate of each stage's weight and the rest, and
judged by the real gates (`replaying`): its incidents, its noise, its nights, no model. As they are,
the candidate is as good as stable by construction, and whatever is rolled back was lost; with
faults added, what is not caught was let through. Pure: chance comes from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controller.engine.past import ORIGIN, Row, past_of
from controller.engine.preflight import DAY
from controller.engine.replaying import Replayed, replay
from controller.gates.counting import failed_in
from controller.gates.evidence import (
    MINUTE,
    Buckets,
    CodeCounts,
    Histogram,
    Number,
    Query,
    Value,
    bounds_of,
)
from controller.plan.model import Latency, Plan, ResponseRate


class Chance(Protocol):
    """Where chance comes from: a seeded generator, made outside (`random.Random`)."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Return a normal number."""


BEFORE = DAY // MINUTE  # minutes of history before each simulated rollout
LOOPED = 60  # requests, up to which they are dealt out one by one
Minutes = Mapping[Query, Mapping[datetime, Value]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the candidate. errors: its failures, times stable's. pace: latencies."""

    name: str
    errors: float = 1.0
    pace: float = 1.0


AS_IT_IS = Fault("as good as stable")
FAULTS = (
    Fault("x2 failures", errors=2.0),
    Fault("x5 failures", errors=5.0),
    Fault("x20 failures", errors=20.0),
    Fault("1.5x slower", pace=1.5),
    Fault("2x slower", pace=2.0),
)


def faults_of(plan: Plan) -> tuple[Fault, ...]:
    """Return what is tried: the candidate as it is, then each fault that some gate measures."""
    measured = {type(gate.metric) for gate in plan.gates}
    return (
        AS_IT_IS,
        *(f for f in FAULTS if (ResponseRate if f.pace == 1 else Latency) in measured),
    )


@dataclass(frozen=True, slots=True)
class Tried:
    """One simulated rollout.

    minute: from its start, when a gate failed. failed: the failed requests that the fault had added
    until that could be seen, or to the end.
    """

    fault: str
    verdict: str
    gate: str
    minute: int | None
    failed: int


def length_of(plan: Plan) -> int:
    """Return the minutes that one simulated rollout takes, its holds alone."""
    return sum(int(stage.hold / MINUTE) for stage in plan.stages)


def room_for(plan: Plan, minutes: Minutes) -> list[datetime]:
    """Return the first and last moment at which a simulated rollout can start; [] for none."""
    ends = sorted({end for values in minutes.values() for end in values})
    if not ends:
        return []
    first = ends[0] + MINUTE * BEFORE
    last = ends[-1] - MINUTE * length_of(plan)
    return [first, last] if first <= last else []


def tried(plan: Plan, minutes: Minutes, fault: Fault, rng: Chance) -> Tried:
    """Simulate one rollout at a random time of the past. Raises ValueError without room for it."""
    room = room_for(plan, minutes)
    if not room:
        raise ValueError("the past is shorter than the plan and the day before it")
    span = int((room[1] - room[0]) / MINUTE) + 1
    start = room[0] + MINUTE * int(rng.random() * span)
    rate = _failing(minutes)
    rows: dict[int, Row] = {}
    added: dict[int, int] = {}
    for number, weight in _schedule(plan):
        end = start + MINUTE * number
        row = Row(weight)
        mine: dict[Query, Value] = {}
        theirs: dict[Query, Value] = {}
        for query, values in minutes.items():
            value = values.get(end)
            if value is None:
                continue
            if number < 0:
                theirs[query] = value
                continue
            one, other = _split(value, weight / 100, rng)
            if one is not None:
                mine[query], more = _broken(one, fault, rate, rng)
                added[number] = added.get(number, 0) + more
            if other is not None:
                theirs[query] = other
        row.candidate, row.stable = mine, theirs
        if mine or theirs:
            rows[number] = row
    return _told(plan, fault, replay(plan, past_of(plan, fault.name, rows)), added)


def _told(plan: Plan, fault: Fault, found: Replayed, added: Mapping[int, int]) -> Tried:
    minute = None
    if found.verdict == "fail" and found.end is not None:
        minute = int((found.end - ORIGIN) / MINUTE)
    stands = None if minute is None else minute + int(plan.evidence.delay / MINUTE)
    cost = sum(more for number, more in added.items() if stands is None or number < stands)
    return Tried(fault.name, found.verdict, found.gate, minute, cost)


def _schedule(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yield each minute's number and the candidate's weight: the day before, then the plan."""
    for number in range(-BEFORE, 0):
        yield number, 0
    number = 0
    for stage in plan.stages:
        for _ in range(int(stage.hold / MINUTE)):
            yield number, stage.weight
            number += 1


def _failing(minutes: Minutes) -> float:
    """Return stable's share of failures over the whole past (fraction)."""
    counted = [failed_in(value) for values in minutes.values() for value in values.values()]
    requests = sum(n for _, n in counted)
    return sum(x for x, _ in counted) / requests if requests else 0.0


# Splitting ------------------------------------------------------------------------------------


def _split(value: Value, share: float, rng: Chance) -> tuple[Value | None, Value | None]:
    """Deal a minute's requests out to the candidate (with this share) and to the rest."""
    match value:
        case Number():  # an app's own metric is of neither side: both are as it was
            return value, value if share < 1 else None
        case CodeCounts(codes):
            mine = {code: drawn(rng, count, share) for code, count in codes.items()}
            rest = {code: count - mine[code] for code, count in codes.items()}
            return _codes(mine), _codes(rest)
        case Histogram(buckets, counts, mean):
            taken = {index: drawn(rng, count, share) for index, count in counts.items()}
            left = {index: count - taken[index] for index, count in counts.items()}
            return _histogram(buckets, taken, mean), _histogram(buckets, left, mean)


def _codes(codes: Mapping[str, int]) -> CodeCounts | None:
    kept = {code: count for code, count in codes.items() if count}
    return CodeCounts(kept) if kept else None


def _histogram(buckets: Buckets, counts: Mapping[int, int], mean: float) -> Histogram | None:
    kept = {index: count for index, count in counts.items() if count}
    return Histogram(buckets, kept, mean) if kept else None


def drawn(rng: Chance, count: int, share: float) -> int:
    """Draw how many of `count` are taken, each with this chance: exact, or normal for many."""
    if share >= 1:
        return count
    if count <= LOOPED:
        random = rng.random
        return sum([random() < share for _ in range(count)])
    spread = (count * share * (1 - share)) ** 0.5
    return min(max(round(rng.gauss(count * share, spread)), 0), count)


def _broken(value: Value, fault: Fault, rate: float, rng: Chance) -> tuple[Value, int]:
    """Add the fault to the candidate's minute; also how many more requests fail by it."""
    match value:
        case CodeCounts(codes) if fault.errors > 1:
            good = {code: count for code, count in codes.items() if code[:1] != "5"}
            total = sum(good.values())
            more = drawn(rng, total, min((fault.errors - 1) * rate, 1.0))
            return _failing_more(codes, good, more, rng), more
        case Histogram(buckets, counts, mean) if fault.pace != 1:
            return _slower(buckets, counts, mean, fault.pace), 0
        case _:
            return value, 0


def _failing_more(
    codes: Mapping[str, int], good: Mapping[str, int], more: int, rng: Chance
) -> CodeCounts:
    left = dict(codes)
    failing = "5xx" if any(name.endswith("xx") for name in codes) else "500"
    for _ in range(more):
        at = rng.random() * sum(left[code] for code in good)
        for code in good:
            at -= left[code]
            if at < 0:
                left[code] -= 1
                left[failing] = left.get(failing, 0) + 1
                break
    return CodeCounts({code: count for code, count in left.items() if count})


def _slower(buckets: Buckets, counts: Mapping[int, int], mean: float, pace: float) -> Histogram:
    """Move every request to the bucket that its latency times `pace` lies in."""
    empty = Histogram(buckets, {}, 0.0)
    moved: dict[int, int] = {}
    for index, count in counts.items():
        at = empty.bucket_of(_middle(empty, index) * pace)
        moved[at] = moved.get(at, 0) + count
    return Histogram(buckets, moved, mean * pace)


def _middle(empty: Histogram, index: int) -> float:
    bounds = bounds_of(empty.buckets)
    low = bounds[index - 1] if index > 0 else 0.0
    high = bounds[index] if index < len(bounds) else low
    return (low + high) / 2


def summary(many: Sequence[Tried]) -> tuple[int, int, float | None, float]:
    """Return how many, how many were rolled back, their median minute, and mean failed requests."""
    back = sorted(one.minute for one in many if one.minute is not None)
    cost = sum(one.failed for one in many) / len(many) if many else 0.0
    return len(many), len(back), back[len(back) // 2] if back else None, cost


def at_most(lost: int, runs: int) -> float:
    """Return the 95% upper bound (Clopper & Pearson 1934) of a share of which `lost` were seen."""
    low, high = lost / max(runs, 1), 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(lost, runs, middle) > 0.05 else (low, middle)
    return high


def _below(lost: int, runs: int, share: float) -> float:
    """Return the chance to see at most `lost` of `runs`."""
    total, term = 0.0, (1 - share) ** runs
    for k in range(lost + 1):
        total += term
        term *= (runs - k) / (k + 1) * share / (1 - share) if share < 1 else 0.0
    return total
