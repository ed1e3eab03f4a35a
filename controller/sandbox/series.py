"""What Cloud Monitoring is made of: metric descriptors, series, points.

Values only. Which metrics there are is in `metrics`, what is computed from points in
`aggregation`, the API in `monitoring`.

Times are integer microseconds since the epoch: alignment is arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from controller.sandbox.histogram import Histogram

Value = int | float | Histogram
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A metric type. kind, value_type: Cloud Monitoring's names ("DELTA", "DISTRIBUTION").

    labels: the metric's own. resources: monitored resource types it may be on, () for any.
    """

    type: str
    kind: str
    value_type: str
    unit: str = "1"
    labels: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    description: str = ""


class Point(NamedTuple):
    """A value over (start, end]; a GAUGE has start == end. Times in µs since the epoch."""

    start: int
    end: int
    value: Value


@dataclass(frozen=True, slots=True)
class Series:
    """One time series; points oldest first."""

    metric_labels: Mapping[str, str]
    resource_type: str
    resource_labels: Mapping[str, str]
    points: tuple[Point, ...] = field(default=(), repr=False)

    def fields(self, metric_type: str) -> dict[str, str]:
        """Return what filters and group_by_fields speak of, by canonical name."""
        return {
            "metric.type": metric_type,
            "resource.type": self.resource_type,
            **{f"metric.labels.{name}": value for name, value in self.metric_labels.items()},
            **{f"resource.labels.{name}": value for name, value in self.resource_labels.items()},
        }

    def field(self, name: str, metric_type: str) -> str:
        """Return one of `fields` by its canonical name, "" for a label that is not there."""
        kind, _, label = name.partition(".labels.")
        if label:
            labels = self.metric_labels if kind == "metric" else self.resource_labels
            return labels.get(label, "")
        return metric_type if name == "metric.type" else self.resource_type


def micros(at: datetime) -> int:
    """Return an instant as microseconds since the epoch."""
    return (at - EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """Return microseconds since the epoch as an instant."""
    return EPOCH + timedelta(microseconds=us)
