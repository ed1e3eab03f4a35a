"""What we sent ourselves: it is taken out of what Monitoring counted. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine.observation import OwnRequest, Window
from controller.engine.record import OWN_KEPT, OwnCount, Record
from controller.engine.whole import ceil_minute
from controller.gates.evidence import CodeCounts, Histogram, Minute, Readings, Value, minutes_of
from controller.plan.model import Plan


def with_sent(record: Record, sent: tuple[OwnRequest, ...]) -> tuple[OwnCount, ...]:
    """Add this tick's own requests, and forget those that every gate has passed."""
    counts = {(o.end, o.revision, o.code): o for o in record.own}
    for request in sent:
        key = (ceil_minute(request.at), request.revision, request.code)
        old = counts.get(key) or OwnCount(*key, 0, 0.0)
        total = old.latency_ms * old.count + request.latency_ms
        counts[key] = OwnCount(*key, old.count + 1, round(total / (old.count + 1), 1))
    return tuple(counts.values())


def remembered(record: Record) -> Record:
    """Forget own requests that every gate has passed, and the oldest of too many.

    While Monitoring is silent they pile up; the record may not. Minutes whose own requests were
    forgotten are no evidence any more: nobody could say what in them was ours.
    """
    if not record.own and record.unknown_until is None:
        return record
    done = min((a.watermark for a in record.gates.values()), default=None)
    needed = sorted(
        (o for o in record.own if done is None or o.end > done), key=lambda own: own.end
    )
    dropped, kept = needed[:-OWN_KEPT], needed[-OWN_KEPT:]
    unknown = dropped[-1].end if dropped else record.unknown_until
    if unknown is not None and done is not None and unknown <= done:
        unknown = None
    return record.after_look(own=tuple(kept), unknown_until=unknown)


def users_minutes(record: Record, readings: Readings, window: Window) -> tuple[Minute, ...]:
    """Return the window's minutes as users made them, those whose own requests are known."""
    if not any(readings.values()):
        return ()
    own: dict[tuple[str, datetime], list[OwnCount]] = {}
    for one in record.own:
        own.setdefault((one.revision, one.end), []).append(one)
    real: dict[str, dict[datetime, Value]] = {}
    for revision, series in readings.items():
        users = real[revision] = {}
        for at, value in series.items():
            mine = own.get((revision, at))
            left = value if mine is None else _without_own(mine, value)
            if left is not None:
                users[at] = left
    start = max(window.start, record.unknown_until or window.start)
    return minutes_of(real, record.candidate, record.before, start, window.end)


def _without_own(mine: list[OwnCount], value: Value) -> Value | None:
    """Take our own requests out of a minute; None: nothing else was in it."""
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


def assume_own(
    plan: Plan,
    record: Record,
    step: timedelta,
    until: datetime,
    anew: datetime | None = None,
) -> Record:
    """Return the record with one request of ours per check and `step`, as far as none is known.

    anew: a look out of step, from which on the steps are counted anew; None where there is none.

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
    for end, looks in _looks(at, step, until, anew).items():
        for revision, count in per_side.items():
            if count and (end, revision) not in known:
                added.append(OwnCount(end, revision, 200, count * looks, 0.0))
    return replace(record, own=(*record.own, *added))


def _looks(
    at: datetime, step: timedelta, until: datetime, anew: datetime | None
) -> dict[datetime, int]:
    """Return how many looks there were by the end of their minute, those at `at` and after.

    The one before `anew` may have been in the same minute: two are counted there.
    """
    looks: dict[datetime, int] = {}
    while at < until:
        if anew is not None and at - step < anew <= at:
            looks[ceil_minute(anew)] = looks.get(ceil_minute(anew), 0) + 1
            at, anew = anew, None
        minute = ceil_minute(at)
        looks[minute] = looks.get(minute, 0) + 1
        at += step
    return looks
