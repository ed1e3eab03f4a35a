"""What a gate says: pass, fail or undecided, never a bool, each with its reason and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.gates.intervals import lower, upper

INTERVAL_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers behind a verdict, in the metric's unit (rates: fractions; latencies: ms).

    sample, needed, stable_sample: requests; for gauges the minutes that had a value. bad: of the
    sample, those beyond the limit to advance; None for means. spent: how much of the evidence that
    a fail needs there is (fraction, 1: it failed). A number that was not measured is None.
    """

    estimate: float | None = None
    stable: float | None = None
    sample: int = 0
    needed: int = 0
    stable_sample: int = 0
    limit: float | None = None
    bad: int | None = None
    spent: float = 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95% confidence sequence of the share of bad requests (fractions).

        It holds at every look at once. None where there is no such share.
        """
        if self.bad is None or not self.sample:
            return None
        return (
            lower(self.bad, self.sample, INTERVAL_LEVEL / 2),
            upper(self.bad, self.sample, INTERVAL_LEVEL / 2),
        )


class Why(StrEnum):
    """Why a gate is undecided."""

    NO_DATA = "no_data"  # not one point of the candidate
    SAMPLE = "sample"  # fewer than needed
    BETWEEN = "between"  # over the limit to advance, not over the limit to roll back
    BOTH_FAILING = "both_failing"  # over the limit to roll back, and stable is as bad
    PROOF = "proof"  # good so far, and not yet proved to be
    NOT_BETTER = "not_better"  # a required improvement is not there (yet)
    STABLE = "stable"  # stable has too little to compare with


@dataclass(frozen=True, slots=True)
class Pass:
    """Good enough to advance."""

    reason: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Fail:
    """The candidate is over its limit to roll back. emergency: over the emergency limit."""

    reason: str
    figures: Figures
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Undecided:
    """Neither; `why` says what kind, `reason` what is missing."""

    reason: str
    figures: Figures
    why: Why


Verdict = Pass | Fail | Undecided


def word(verdict: Verdict) -> str:
    """Return "pass", "fail" or "undecided"."""
    match verdict:
        case Pass():
            return "pass"
        case Fail():
            return "fail"
        case Undecided():
            return "undecided"
