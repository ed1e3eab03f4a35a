"""What a stage is watched by: which minutes to read, what they add up to, how long is left.

Pure arithmetic on record and plan; what follows from it is in `decide`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.engine.observation import NotSeen, Observation, OwnRequest, Seen, Window
from controller.engine.record import OWN_KEPT, Accumulated, OwnCount, Record
from controller.gates.evidence import (
    MINUTE,
    CodeCounts,
    Histogram,
    Minute,
    Query,
    Readings,
    Value,
    minutes_of,
    query_of,
)
from controller.gates.judging import judge
from controller.gates.tally import absorb
from controller.gates.verdict import Verdict
from controller.plan.model import CustomMetric, Gate, Plan, RequestCount, ResponseRate, Stage

SETTLE = timedelta(seconds=60)  # front ends follow the API by up to a minute (DESIGN.md §5)
FIRST_HOURS = timedelta(hours=2)
INTERVAL_MIN, INTERVAL_MAX = MINUTE, 5 * MINUTE
HEARTBEAT_MIN = timedelta(minutes=30)


def floor_minute(time: datetime) -> datetime:
    """Return the last whole minute at or before `time`."""
    return time.replace(second=0, microsecond=0)


def ceil_minute(time: datetime) -> datetime:
    """Return the first whole minute at or after `time`."""
    floor = floor_minute(time)
    return floor if floor == time else floor + MINUTE


def stage_of(plan: Plan, record: Record) -> Stage | None:
    """Return the stage the rollout is in, None before the first shift."""
    return plan.stages[record.stage] if 0 <= record.stage < len(plan.stages) else None


def hold_of(plan: Plan, record: Record) -> timedelta:
    """Return how long the stage is watched, its extension included."""
    stage = stage_of(plan, record)
    if stage is None:
        return timedelta(0)
    extra = plan.when.undecided.extend_by
    return stage.hold + (
        (stage.hold if extra is None else extra) if record.extended else MINUTE * 0
    )


def held(record: Record, now: datetime) -> timedelta:
    """Return how much of the hold has passed; time that does not count is left out."""
    if record.in_force is None:
        return timedelta(0)
    until = now if record.stopped is None else record.stopped
    return max(until - (record.in_force + SETTLE) - record.uncounted, timedelta(0))


def interval(plan: Plan, record: Record, now: datetime) -> timedelta:
    """Return the time until the next look (DESIGN.md §6, `interval: auto`)."""
    if plan.evidence.interval is not None:
        return plan.evidence.interval
    if record.in_force is None or now - record.in_force < FIRST_HOURS:
        return INTERVAL_MIN
    stage = stage_of(plan, record)
    hold = stage.hold if stage else timedelta(0)
    return min(max(hold / 300, INTERVAL_MIN), INTERVAL_MAX)


def heartbeat(plan: Plan, record: Record) -> timedelta:
    """Return how long the record may go unwritten: 30 minutes or a tenth of the hold."""
    stage = stage_of(plan, record)
    return max(HEARTBEAT_MIN, (stage.hold if stage else timedelta(0)) / 10)


def unwatched_after(plan: Plan, record: Record, now: datetime) -> timedelta:
    """Return after how long without a write nobody can be watching."""
    return 2 * heartbeat(plan, record) + interval(plan, record, now)


def delay_of(plan: Plan, query: Query) -> timedelta:
    """Return how old a minute must be before it is scored."""
    custom = isinstance(query, CustomMetric)
    return plan.evidence.custom_delay if custom else plan.evidence.delay


def queries(plan: Plan, stage: int) -> dict[str, Query]:
    """Return gate name → question for the gates judged in a stage."""
    exact = any(
        isinstance(gate.metric, ResponseRate)
        and any(not c.endswith("xx") for c in gate.metric.codes)
        for gate in plan.gates
    )
    return {gate.name: query_of(gate, exact_codes=exact) for gate in plan.gates_at(stage)}


def windows(plan: Plan, record: Record, now: datetime) -> dict[Query, Window]:
    """Return what to read now: per query the settled minutes that some gate has not absorbed."""
    if record.in_force is None or not 0 <= record.stage < len(plan.stages):
        return {}
    wanted: dict[Query, Window] = {}
    for name, query in queries(plan, record.stage).items():
        start = watermark(plan, record, name)
        end = floor_minute(now - delay_of(plan, query))
        if end > start:
            known = wanted.get(query)
            wanted[query] = Window(min(start, known.start) if known else start, end)
    return wanted


def watermark(plan: Plan, record: Record, gate: str) -> datetime:
    """Return up to which minute a gate has absorbed the stage; at first where evidence starts."""
    assert record.in_force is not None
    if gate in record.gates:
        return record.gates[gate].watermark
    return watermark_at_first(plan, record)


def watermark_at_first(plan: Plan, record: Record) -> datetime:
    """Return where a stage's evidence starts: settled, and warmed up."""
    assert record.in_force is not None
    return ceil_minute(record.in_force + SETTLE + plan.evidence.warm_up)


@dataclass(frozen=True, slots=True)
class Watched:
    """A stage after this tick's minutes. blind: why some metric could not be read, or ""."""

    record: Record
    verdicts: Mapping[str, Verdict]
    fresh: Mapping[Query, tuple[Minute, ...]]
    blind: str


def watch(plan: Plan, record: Record, observation: Observation) -> Watched:
    """Absorb what is new and judge every gate of the stage. Each minute is absorbed once."""
    record = replace(record, own=_own(record, observation.own))
    fresh: dict[Query, tuple[Minute, ...]] = {}
    blind = ""
    for query, seen in observation.readings.items():
        match seen:
            case NotSeen(why):
                blind = why
            case Seen(readings):
                fresh[query] = _minutes(record, readings, observation.windows[query])
    asked = queries(plan, record.stage)
    gates = dict(record.gates)
    verdicts: dict[str, Verdict] = {}
    last_stage = record.weight == 100
    for gate in plan.gates_at(record.stage):
        state = gates.get(gate.name) or Accumulated(watermark(plan, record, gate.name))
        query = asked[gate.name]
        if query in fresh:
            state = _absorbed(gate, state, fresh[query], observation.windows[query].end)
            gates[gate.name] = state
        verdicts[gate.name] = judge(gate, state.tally, compared=not last_stage)
    remembered = _remembered(replace(record, gates=gates))
    return Watched(remembered, verdicts, fresh, blind)


def _absorbed(
    gate: Gate, state: Accumulated, minutes: tuple[Minute, ...], end: datetime
) -> Accumulated:
    tally = state.tally
    for minute in minutes:
        if minute.end > state.watermark:
            tally = absorb(gate, tally, minute)
    return Accumulated(max(end, state.watermark), tally)


def covered(plan: Plan, record: Record, until: datetime) -> bool:
    """Tell whether every gate of the stage has absorbed the minutes up to `until`."""
    return all(
        gate.name in record.gates and record.gates[gate.name].watermark >= floor_minute(until)
        for gate in plan.gates_at(record.stage)
    )


def last_seen(plan: Plan, record: Record) -> datetime:
    """Return when Monitoring last answered for every gate, as far as the watermarks tell."""
    assert record.in_force is not None
    seen = [
        record.gates[name].watermark + delay_of(plan, query)
        for name, query in queries(plan, record.stage).items()
        if name in record.gates
    ]
    # Until the first minute of the stage has settled there is nothing to ask for.
    settled = watermark_at_first(plan, record) + max(
        plan.evidence.delay, plan.evidence.custom_delay
    )
    return max(min(seen, default=settled), settled)


def served_in_stage(plan: Plan, record: Record) -> int:
    """Return the candidate's requests of this stage as far as a request gate counted them."""
    counted = [
        record.gates[gate.name].tally.candidate.total
        for gate in plan.gates
        if isinstance(gate.metric, ResponseRate | RequestCount) and gate.name in record.gates
    ]
    return max(counted, default=0)


# What we sent ourselves -----------------------------------------------------------------------


def _own(record: Record, sent: tuple[OwnRequest, ...]) -> tuple[OwnCount, ...]:
    """Add this tick's own requests, and forget those that every gate has passed."""
    counts = {(o.end, o.revision, o.code): o for o in record.own}
    for request in sent:
        key = (ceil_minute(request.at), request.revision, request.code)
        old = counts.get(key) or OwnCount(*key, 0, 0.0)
        total = old.latency_ms * old.count + request.latency_ms
        counts[key] = OwnCount(*key, old.count + 1, round(total / (old.count + 1), 1))
    return tuple(counts.values())


def _remembered(record: Record) -> Record:
    """Forget own requests that every gate has passed, and the oldest of too many.

    While Monitoring is silent they pile up; the record may not. Minutes whose own requests were
    forgotten are no evidence any more: nobody could say what in them was ours.
    """
    done = min((a.watermark for a in record.gates.values()), default=None)
    needed = sorted(
        (o for o in record.own if done is None or o.end > done), key=lambda own: own.end
    )
    dropped, kept = needed[:-OWN_KEPT], needed[-OWN_KEPT:]
    unknown = dropped[-1].end if dropped else record.unknown_until
    if unknown is not None and done is not None and unknown <= done:
        unknown = None
    return replace(record, own=tuple(kept), unknown_until=unknown)


def _minutes(record: Record, readings: Readings, window: Window) -> tuple[Minute, ...]:
    cleaned = {
        revision: {at: _without_own(record, revision, at, value) for at, value in series.items()}
        for revision, series in readings.items()
    }
    real = {
        revision: {at: value for at, value in series.items() if value is not None}
        for revision, series in cleaned.items()
    }
    start = max(window.start, record.unknown_until or window.start)
    return minutes_of(real, record.candidate, record.before, start, window.end)


def _without_own(record: Record, revision: str, at: datetime, value: Value) -> Value | None:
    """Take our own requests out of a minute; None: nothing else was in it."""
    mine = [o for o in record.own if o.end == at and o.revision == revision]
    if not mine:
        return value
    guessed = sum(o.count for o in mine if not o.latency_ms)
    if isinstance(value, CodeCounts | Histogram) and value.total <= guessed:
        return None  # all of it may be ours: what is left of it would be its errors only
    match value:
        case CodeCounts(codes):
            left = dict(codes)
            for own in mine:
                key = str(own.code) if str(own.code) in left else f"{own.code // 100}xx"
                left[key] = max(left.get(key, 0) - own.count, 0)
            counted = CodeCounts({code: count for code, count in left.items() if count})
            return counted if counted.total else None
        case Histogram():
            return _histogram_without(value, mine)
        case _:
            return value


def _histogram_without(value: Histogram, mine: list[OwnCount]) -> Histogram | None:
    counts, total = dict(value.counts), value.mean * value.total
    for own in mine:
        for _ in range(own.count):
            there = [index for index, count in counts.items() if count]
            if not there:
                return None
            latency = own.latency_ms or value.mean  # 0: assumed, its latency is not known
            wanted = value.bucket_of(latency)
            nearest = min(there, key=lambda index: (abs(index - wanted), index))
            counts[nearest] -= 1
            total -= latency
    left = {index: count for index, count in counts.items() if count}
    number = sum(left.values())
    return Histogram(value.buckets, left, max(total, 0.0) / number) if number else None


def continued(plan: Plan, known: Record, written: Record, now: datetime) -> Record:
    """Return another writer's record with what this process knows beyond it.

    Minutes absorbed here stay absorbed where they are further; own requests of both are kept.
    """
    both = {(o.end, o.revision, o.code): o for o in written.own}
    for own in known.own:
        other = both.get((own.end, own.revision, own.code))
        if other is None or other.count < own.count:
            both[own.end, own.revision, own.code] = own
    own_now = tuple(both.values())
    same = (known.stage, known.in_force, known.digest) == (
        written.stage,
        written.in_force,
        written.digest,
    )
    further = all(
        name in known.gates and known.gates[name].watermark >= state.watermark
        for name, state in written.gates.items()
    )
    if same and further:
        return replace(written, gates=known.gates, verdicts=known.verdicts, own=own_now)
    return assume_own(plan, replace(written, own=own_now), interval(plan, written, now), now)


def assume_own(plan: Plan, record: Record, step: timedelta, until: datetime) -> Record:
    """Return the record with one request of ours per check and `step`, as far as none is known.

    From when it was last known what was sent: the record's writer may have been a person, who knows
    nothing of it. A minute that held none of ours loses one too many, which only makes the sample
    smaller.
    """
    from_stage = [c for c in plan.checks if c.when.value != "before"]
    if record.at is None or record.in_force is None or not from_stage:
        return record
    known = {(o.end, o.revision) for o in record.own}
    added: list[OwnCount] = []
    per_side = {
        record.candidate: sum(
            len(c.each) or 1 for c in from_stage if "candidate.url" in c.url.refs
        ),
        record.stable: sum(len(c.each) or 1 for c in from_stage if "stable.url" in c.url.refs),
    }
    last = max((o.end for o in record.own), default=record.in_force)
    at = max(min(record.at, last), until - timedelta(hours=12)) + step
    while at < until:
        for revision, count in per_side.items():
            end = ceil_minute(at)
            if count and (end, revision) not in known:
                added.append(OwnCount(end, revision, 200, count, 0.0))
        at += step
    return replace(record, own=(*record.own, *added))
