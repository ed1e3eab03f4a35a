"""A cell: one made-up situation a rollout may meet, by name.

Rates are fractions of requests, times minutes, traffic requests a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WEIGHTS = (5, 10, 25, 50, 100)
DELAY = 4
"""Minutes until Cloud Monitoring shows a minute; every policy waits for it alike."""

PATIENCE = 4
"""A stage that is not left after this many holds waits for a person: the run ends as held."""


class Noise(StrEnum):
    """How failures come, beside their rate."""

    NONE = "independent"
    INCIDENTS = "incidents"  # both sides +20% for 5 minutes; a start in 1% of the minutes
    INCIDENT_LONG = "incident-long"  # one of 5–60 minutes on both sides, at any time
    INCIDENT_SHIFT = "incident-shift"  # the same, begun 1–10 minutes after the shift to 25%
    # A cluster cannot be larger than the requests it falls on: at 0.2/s a good part of it is lost.
    CLUSTERS = "clusters"  # one side's failures come 5.5 at a time, within a minute
    STORMS_3 = "storms-3m"  # the same, each cluster spread over 3 minutes
    STORMS_10 = "storms-10m"  # … over 10 minutes
    BETA = "beta-binomial"  # each side's minute has its own rate, intraclass correlation 0.01
    AR_OWN = "ar1-own"  # log-normal rate of each side, lag-one correlation .8, variation 1
    AR_SHARED = "ar1-shared"  # the same, one rate for both sides
    COLD = "cold-start"  # the candidate's first 2 minutes after each shift up: +5%


SHARED = {Noise.INCIDENTS, Noise.INCIDENT_LONG, Noise.INCIDENT_SHIFT, Noise.AR_SHARED}
BURSTS = {Noise.CLUSTERS: 1, Noise.STORMS_3: 3, Noise.STORMS_10: 10}
"""Over how many minutes a cluster of failures is spread."""


class Metric(StrEnum):
    """What the cell's one gate looks at."""

    ERRORS = "errors"
    LATENCY = "latency"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The candidate's truth. errors: its failure rate; late: only from a weight of 50% on.

    poison: both sides fail more by this rate times the candidate's share of the traffic. slower:
    factor on its latencies. score: its mean confidence at the start and after the five holds.
    """

    kind: str
    errors: float
    bad: bool
    late: bool = False
    poison: float = 0.0
    slower: float = 1.0
    score: tuple[float, float] = (0.8, 0.8)


@dataclass(frozen=True, slots=True)
class Cell:
    """One situation. limit: of the error rate, to advance and to roll back alike.

    jitter: standard deviation of the minute effect on the log of latencies. warm_up: minutes after
    a shift that a plan excludes; the peers have no such setting. needs: what our gates ask for
    before a stage is left.
    """

    name: str
    rate: float
    stable: float
    candidate: Candidate
    limit: float = 0.01
    noise: Noise = Noise.NONE
    hold: int = 30
    metric: Metric = Metric.ERRORS
    jitter: float = 0.0
    warm_up: int = 0
    needs: str = "sample"
    twin: str = ""

    @property
    def nominal(self) -> int:
        """Return the sum of the holds."""
        return self.hold * len(WEIGHTS)
