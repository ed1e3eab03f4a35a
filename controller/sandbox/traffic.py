"""The traffic model: what each revision served in each minute, drawn from the seed.

What lives here: requests by response code with their latencies, the app's own metrics, and our
own requests to the revisions' URLs. Not here: the truth they are drawn from (truth), and what Cloud
Monitoring shows of them, when (monitoring).

Every minute is drawn from `Random(f"{seed}/{revision}/{minute}")`: a pure function of the world's
history, in whatever order it is asked.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from controller.sandbox.histogram import (
    EMPTY,
    Histogram,
    binomial,
    normal_of,
    poisson,
    with_value,
)
from controller.sandbox.truth import Behaviour, Truths
from controller.sandbox.world import World

MINUTE = timedelta(minutes=1)
HISTORY = timedelta(days=7)
NOISE = 0.02
_REMEMBERED = 4096  # minutes of each service


@dataclass(frozen=True, slots=True)
class MinuteSample:
    """What one revision served in one minute.

    classes: response code -> requests, ours included. latencies: response code -> histogram (ms).
    users: how many of the requests were not ours.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    latencies: Mapping[str, Histogram] = field(default_factory=dict)
    users: int = 0


NOTHING = MinuteSample()


class Traffic:
    """The requests of a world's services in one region, by revision and minute.

    begin: nothing is older.
    """

    def __init__(self, world: World, region: str | None = None) -> None:
        self._world = world
        self.region = region or world.setting.regions[0]
        self._seed = world.seed_of(self.region)
        self.begin = world.began - HISTORY
        self._services = frozenset(one.service for one in world.setting.each)
        self.truths = Truths(world, self.region)
        self._remembered: dict[tuple[str, str, datetime], MinuteSample] = {}
        self._own: dict[tuple[str, str, datetime], list[tuple[str, float]]] = {}
        self._own_minutes: dict[tuple[str, str], list[datetime]] = {}

    def minute(self, service: str, revision: str, end: datetime) -> MinuteSample:
        """Return what the revision served in (end - 60 s, end]; end is on a whole minute, UTC.

        A minute that is not over yet is what it would be if nothing changed from now on; only
        minutes that are over are remembered.
        """
        key = (service, revision, end)
        sample = self._remembered.get(key)
        if sample is None:
            sample = self._with_own(key, self._users(service, revision, end))
            if end <= self._world.clock.now():
                self._remember(key, sample)
        return sample

    def gauge(self, metric_type: str, service: str, revision: str, end: datetime) -> float | None:
        """Return the app's own metric for the minute that ends at `end`, in the metric's unit.

        None: the revision served no user in that minute, or knows no such metric.
        """
        if not self.minute(service, revision, end).users:
            return None
        value = self.truths.at(revision, end - MINUTE / 2).gauges.get(metric_type)
        if value is None:
            return None
        noise = normal_of(f"{self._seed}/{metric_type}/{revision}/{end.timestamp():.0f}")
        return value + noise * NOISE * max(1.0, abs(value))

    def excess(self) -> float:
        """Return how many users' requests failed (5xx) on the candidate beyond stable's rate.

        Since the world began, in expectation: by the truths, not by what was drawn from them.
        """
        setting, load = self._world.setting, self._world.scenario.traffic
        now, total = self._world.clock.now(), 0.0
        for span in self._world.spans(setting.service, self._world.began, now, self.region):
            share = span.shares.get(setting.candidate, 0.0)
            at = max(span.start, self._world.began)
            while share and at < min(span.end, now):
                until = min(minute_end(at + timedelta(microseconds=1)), span.end, now)
                middle = at + (until - at) / 2
                mine, theirs = (
                    _failing(self.truths.at(revision, middle))
                    for revision in (setting.candidate, setting.stable)
                )
                rate = load.rate_per_s * load.by_hour[middle.hour] * share
                total += rate * (until - at).total_seconds() * (mine - theirs)
                at = until
        return total

    def served(
        self, start: datetime, end: datetime, only: str | None = None
    ) -> list[tuple[str, str]]:
        """Return (service, revision) of all that may have served a request in (start, end].

        only: the one service that is asked for.
        """
        services = self._services if only is None else self._services & {only}
        found = {
            (service, revision)
            for service in services
            for span in self._world.spans(service, start, end, self.region)
            for revision, share in span.shares.items()
            if share > 0
        }
        for who, ends in self._own_minutes.items():
            if only not in {None, who[0]}:
                continue
            first = bisect_right(ends, start)
            if first < len(ends) and ends[first] - MINUTE < end:
                found.add(who)
        return sorted(found)

    def latency(self, revision: str, at: datetime, number: int) -> float:
        """Draw the latency in ms of one request of ours; number: which one since the start."""
        rng = Random(f"{self._seed}/own/{revision}/{number}")
        return self.truths.at(revision, at).latency.one(rng)

    def record_own(
        self, service: str, revision: str, at: datetime, code: int, latency_ms: float
    ) -> None:
        """Count one request of ours in the revision's metrics, in the minute that `at` is in."""
        key = (service, revision, minute_end(at))
        if key not in self._own:
            insort(self._own_minutes.setdefault((service, revision), []), key[2])
        self._own.setdefault(key, []).append((str(code), latency_ms))
        self._remembered.pop(key, None)

    def _users(self, service: str, revision: str, end: datetime) -> MinuteSample:
        start = end - MINUTE
        if service not in self._services or start < self.begin:
            return NOTHING
        spans = self._world.spans(service, start, end, self.region)
        if len(spans) == 1:  # no shift in this minute: as nearly always
            seconds = spans[0].shares.get(revision, 0.0) * 60
        else:
            seconds = sum(
                span.shares.get(revision, 0.0) * (span.end - span.start).total_seconds()
                for span in spans
            )
        if seconds <= 0:
            return NOTHING
        load = self._world.scenario.traffic
        expected = load.rate_per_s * load.by_hour[start.hour] * seconds
        rng = Random(f"{self._seed}/{revision}/{end.timestamp():.0f}")
        requests = poisson(rng, expected)
        return _drawn(rng, requests, self.truths.at(revision, start + MINUTE / 2))

    def _with_own(self, key: tuple[str, str, datetime], users: MinuteSample) -> MinuteSample:
        if not (own := self._own.get(key)):
            return users
        classes, latencies = dict(users.classes), dict(users.latencies)
        for code, latency_ms in own:
            classes[code] = classes.get(code, 0) + 1
            latencies[code] = with_value(latencies.get(code, EMPTY), latency_ms)
        return MinuteSample(
            dict(sorted(classes.items())), dict(sorted(latencies.items())), users.users
        )

    def _remember(self, key: tuple[str, str, datetime], sample: MinuteSample) -> None:
        if len(self._remembered) >= _REMEMBERED * len(self._services):
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = sample


def minute_end(at: datetime) -> datetime:
    """Return the end of the minute (end - 60 s, end] that an instant is in, in UTC."""
    at = at.astimezone(UTC)
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + MINUTE


def _failing(behaviour: Behaviour) -> float:
    return sum(share for code, share in behaviour.codes if code.startswith("5"))


def _drawn(rng: Random, requests: int, behaviour: Behaviour) -> MinuteSample:
    """Deal requests out to response codes, one binomial after the other, and draw latencies."""
    if not requests:
        return NOTHING
    classes: dict[str, int] = {}
    left, chance_left = requests, 1.0
    for code, share in behaviour.codes:
        number = binomial(rng, left, min(1.0, share / chance_left) if chance_left > 0 else 1.0)
        left, chance_left = left - number, chance_left - share
        if number:
            classes[code] = number
    if left:
        classes["200"] = left
    ordered = dict(sorted(classes.items()))
    latencies = {code: behaviour.latency.draw(rng, count) for code, count in ordered.items()}
    return MinuteSample(ordered, latencies, requests)
