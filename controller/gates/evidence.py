"""What was measured: one minute of one metric for the candidate and for stable.

Here live the values that a metric source hands over and the questions that lead to them.
What they mean for a gate is in `judging`; how Cloud Monitoring is asked is in `cloud/`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeVar

from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    RequestCount,
    ResponseRate,
)

_K = TypeVar("_K")

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Requests:
    """Ask for `request_count`. exact_codes: by response code ("429") instead of class ("4xx")."""

    exact_codes: bool = False


@dataclass(frozen=True, slots=True)
class Latencies:
    """Ask for the merged histograms of `request_latencies` (milliseconds), all codes together."""


Query = Requests | Latencies | CustomMetric
_BY_CLASS, _BY_CODE, _LATENCIES = Requests(), Requests(exact_codes=True), Latencies()


@dataclass(frozen=True, slots=True)
class CodeCounts:
    """Requests of one minute by response code or class; what is absent is zero."""

    codes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return how many requests there were."""
        return sum(self.codes.values())


@dataclass(frozen=True, slots=True)
class Exponential:
    """Bucket i (1..finite) ends at scale·growth**i; bucket 0 is below scale, the last above all."""

    scale: float
    growth: float
    finite: int


@dataclass(frozen=True, slots=True)
class Explicit:
    """Bucket i ends at bounds[i]; the last one has no end."""

    bounds: tuple[float, ...]


Buckets = Exponential | Explicit


@lru_cache(maxsize=64)
def bounds_of(buckets: Buckets) -> tuple[float, ...]:
    """Return the upper bounds of every bucket but the last, rising, in the metric's unit."""
    match buckets:
        case Exponential(scale, growth, finite):
            return tuple(scale * growth**i for i in range(finite + 1))
        case Explicit(bounds):
            return bounds


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution of one minute. counts: bucket index → observations, zeros left out."""

    buckets: Buckets
    counts: Mapping[int, int]
    mean: float

    @property
    def total(self) -> int:
        """Return how many observations there were."""
        return sum(self.counts.values())

    def bucket_of(self, value: float) -> int:
        """Return the index of the bucket that holds `value`."""
        return bisect_right(bounds_of(self.buckets), value)


@dataclass(frozen=True, slots=True)
class Number:
    """A gauge's value of one minute, already reduced to one number."""

    value: float


Value = CodeCounts | Histogram | Number


@dataclass(frozen=True, slots=True)
class Minute:
    """The minute that ended at `end` (aware, UTC, a whole minute). None: no point was seen."""

    end: datetime
    candidate: Value | None
    stable: Value | None


# revision name → end of the minute → value; a minute without requests has no point at all.
Readings = Mapping[str, Mapping[datetime, Value]]


def query_of(gate: Gate, *, exact_codes: bool) -> Query:
    """Return the question a gate asks. exact_codes: some gate of the plan names exact codes."""
    match gate.metric:
        case ResponseRate() | RequestCount() | Arrival() | FailedRequests():
            return _BY_CODE if exact_codes else _BY_CLASS
        case Latency():
            return _LATENCIES
        case CustomMetric() as metric:
            return metric


def minutes_of(
    readings: Readings, candidate: str, stable: Iterable[str], start: datetime, end: datetime
) -> tuple[Minute, ...]:
    """Return the minutes in (start, end], oldest first; several stable revisions are merged.

    Minutes in which neither side has a point are left out.
    """
    others = [readings.get(name, {}) for name in stable if name != candidate]
    mine = readings.get(candidate, {})
    ends = sorted({at for series in (mine, *others) for at in series if start < at <= end})
    return tuple(
        Minute(at, mine.get(at), merged([series[at] for series in others if at in series]))
        for at in ends
    )


def merged(values: Iterable[Value]) -> Value | None:
    """Return one value for several revisions: counts and histograms add up, numbers are averaged.

    Histograms with different buckets cannot be added: those unlike the first are left out.
    """
    known = list(values)
    if len(known) < 2:
        return known[0] if known else None
    match known[0]:
        case CodeCounts():
            return CodeCounts(_added(v.codes for v in known if isinstance(v, CodeCounts)))
        case Histogram(buckets):
            alike = [v for v in known if isinstance(v, Histogram) and v.buckets == buckets]
            total = sum(v.total for v in alike)
            mean = sum(v.mean * v.total for v in alike) / total if total else 0.0
            return Histogram(buckets, _added(v.counts for v in alike), mean)
        case Number():
            numbers = [v.value for v in known if isinstance(v, Number)]
            return Number(sum(numbers) / len(numbers))


def _added(many: Iterable[Mapping[_K, int]]) -> dict[_K, int]:
    total: dict[_K, int] = {}
    for counts in many:
        for key, count in counts.items():
            total[key] = total.get(key, 0) + count
    return total
