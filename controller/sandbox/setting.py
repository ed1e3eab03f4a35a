"""For whom a world is made: names, regions, and what a healthy app of that name looks like.

A scenario tells what happens; the setting tells to whom. Wiring fills it from a plan, `serve`
uses the defaults. No behaviour here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

LOG_BASED = "logging.googleapis.com/user/"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that the app itself writes.

    metric_type: e.g. "custom.googleapis.com/ion/confidence_score". revision_label: the label that
    names the revision, e.g. "metric.labels.revision". good, bad: what a healthy and a failing
    candidate report, in the metric's unit. kind, value_type: Cloud Monitoring's names. Log-based
    types stay on the resource cloud_run_revision, all others are on generic_task.
    """

    metric_type: str
    revision_label: str = "metric.labels.revision"
    good: float = 0.82
    bad: float = 0.5
    kind: str = "GAUGE"
    value_type: str = "DOUBLE"

    @property
    def resource(self) -> str:
        """Return the monitored resource type that its series are on."""
        return "cloud_run_revision" if self.metric_type.startswith(LOG_BASED) else "generic_task"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a healthy app answers to one request.

    method: upper case. url: a path ("/health": on every URL of the service), or an absolute URL
    (a dependency). status: HTTP status. body: JSON value, None for an empty body.
    """

    method: str
    url: str
    status: int = 200
    body: Any = None


@dataclass(frozen=True, slots=True)
class Setting:
    """The names of a world and the health of the app in it.

    stable, candidate: revision names; "" derives them from the service (S-00041-abc and
    S-00042-xyz). candidate_tag: "" for none. stable_error_rate: 5xx of all requests, fraction.
    stable_p95_ms: milliseconds. labels, annotations: further ones of the service. others: names of
    further services beside it, each like it, with users and revisions of its own. deployed: False
    begins without the candidate; the first revision that is made then is it.
    """

    project: str = "demo"
    regions: tuple[str, ...] = ("us-central1",)
    service: str = "ion-api"
    stable: str = ""
    candidate: str = ""
    candidate_tag: str = "candidate"
    stable_error_rate: float = 0.002
    stable_p95_ms: float = 9000.0
    gauges: tuple[Gauge, ...] = ()
    answers: tuple[Answer, ...] = ()
    annotations: Mapping[str, str] | None = None
    others: tuple[str, ...] = ()
    deployed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stable", self.stable or f"{self.service}-00041-abc")
        object.__setattr__(self, "candidate", self.candidate or f"{self.service}-00042-xyz")

    def revision(self, key: str) -> str:
        """Return the revision that a scenario means by `stable`, `candidate` or a name."""
        return {"stable": self.stable, "candidate": self.candidate}.get(key, key)

    @property
    def each(self) -> tuple[Setting, ...]:
        """Return a setting of one service for every service that there is, this one first."""
        alone = replace(self, others=())
        return (alone, *(replace(alone, service=o, stable="", candidate="") for o in self.others))
