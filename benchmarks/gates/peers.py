"""The rules of Argo Rollouts, Flagger, Cloud Run Release Manager and Cloud Deploy, as policies.

From their sources and references (docs/gates.md names the versions). All run the cell's stages and
holds and see the minutes that ours see. Where a peer has no data it is given the kindest setting
it has (`no data passes`): with the default, silence alone ends most rollouts of a small service.
Kayenta's judge is in kayenta.py.
"""

from __future__ import annotations

from enum import Enum

from benchmarks.gates.cells import Cell
from benchmarks.gates.policy import History, Verdict
from benchmarks.gates.readings import Window
from benchmarks.gates.worlds import MinuteSample

_ALWAYS = 10**9  # the memory of a rule that silence can change


class Phase(Enum):
    """What Argo makes of one measurement."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


def argo_phase(success: bool | None, failure: bool | None) -> Phase:  # noqa: FBT001
    """Classify one measurement by its two conditions; None: the condition is not set."""
    if failure:
        return Phase.FAILED
    if success is None or success:
        return Phase.SUCCESSFUL
    return Phase.FAILED if failure is None else Phase.INCONCLUSIVE


class ArgoMetric:
    """The counters of one metric of an AnalysisRun, and the verdict they make.

    consecutive_error_limit: an error is measured again after 10 seconds, so more than four in a
    row end the run within a minute.
    """

    def __init__(
        self, failure_limit: int = 0, inconclusive_limit: int = 0, consecutive_error_limit: int = 4
    ) -> None:
        self._limits = (failure_limit, inconclusive_limit, consecutive_error_limit)
        self.failed = self.inconclusive = self.errors_in_a_row = 0

    def measured(self, phase: Phase) -> Phase | None:
        """Count one measurement; return the verdict that ends the run, None while it runs."""
        self.errors_in_a_row = self.errors_in_a_row + 1 if phase is Phase.ERROR else 0
        self.failed += phase is Phase.FAILED
        self.inconclusive += phase is Phase.INCONCLUSIVE
        verdict = None
        if self.failed > self._limits[0]:
            verdict = Phase.FAILED
        if self.inconclusive > self._limits[1]:
            verdict = Phase.INCONCLUSIVE
        if self.errors_in_a_row > self._limits[2]:
            verdict = Phase.ERROR
        return verdict


class Argo:
    """Background analysis: the 5-minute value against the limit, every `interval` minutes.

    A measurement without data is Failed by default (NaN compares false to a success condition).
    """

    reaction, sees_stable = 0, False

    def __init__(
        self, failure_limit: int, interval: int = 1, *, no_data_passes: bool = True
    ) -> None:
        self._metric = ArgoMetric(failure_limit)
        self._interval, self._no_data_passes = interval, no_data_passes
        self.memory = 6 if no_data_passes else _ALWAYS

    def begin(self, cell: Cell, history: History) -> None:
        """Start; what was before the rollout is not looked at."""
        self._window, self._hold = Window(cell, 5), cell.hold

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Measure when it is time; a step ends when its pause does."""
        self._window.add(minute, sample)
        if minute % self._interval == 0:
            over = self._window.over()
            success = self._no_data_passes if over is None else not over
            if self._metric.measured(argo_phase(success, None)) is not None:
                return Verdict.ROLL_BACK
        return Verdict.ADVANCE if held >= self._hold else Verdict.GO_ON


class Flagger:
    """The 1-minute value every minute; `threshold` failed ticks over the whole run roll back.

    The count is looked at before the next tick's checks, so the rollback comes one tick after the
    deciding one. A failed tick holds the weight. No data is a failed tick by default.
    """

    reaction, sees_stable = 0, False

    def __init__(self, threshold: int = 5, *, no_data_passes: bool = True) -> None:
        self._threshold, self._no_data_passes = threshold, no_data_passes
        self.memory = 2 if no_data_passes else _ALWAYS
        self.failed = 0

    def begin(self, cell: Cell, history: History) -> None:
        """Start; what was before the rollout is not looked at."""
        self._window, self._hold = Window(cell, 1), cell.hold

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """One tick."""
        if self.failed >= self._threshold:
            return Verdict.ROLL_BACK
        self._window.add(minute, sample)
        over = self._window.over()
        if over or (over is None and not self._no_data_passes):
            self.failed += 1
            return Verdict.GO_ON
        return Verdict.ADVANCE if held >= self._hold else Verdict.GO_ON


class Health(Enum):
    """What the Release Manager diagnoses."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


def diagnose(requests: int, over: bool | None, min_requests: int = 0) -> Health:  # noqa: FBT001
    """Diagnose a window: a limit that is not met goes before too few requests.

    Without a series every value is 0, which meets every limit.
    """
    if over:
        return Health.UNHEALTHY
    return Health.INCONCLUSIVE if requests < min_requests else Health.HEALTHY


class ReleaseManager:
    """The value over the last 30 minutes, every minute; the first breach rolls back."""

    memory, reaction, sees_stable = 31, 0, False

    def __init__(self, strictness: float = 1.0) -> None:
        self._strictness = strictness

    def begin(self, cell: Cell, history: History) -> None:
        """Start; what was before the rollout is not looked at."""
        self._window, self._hold = Window(cell, 30, self._strictness), cell.hold

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Diagnose; its min-wait is the cell's hold."""
        self._window.add(minute, sample)
        if diagnose(0, self._window.over()) is Health.UNHEALTHY:
            return Verdict.ROLL_BACK
        return Verdict.ADVANCE if held >= self._hold else Verdict.GO_ON


class CloudDeploy:
    """An alert policy polled every minute: any open incident fails the phase.

    The alert opens when the 1-minute value is over the limit for the whole retest window. Missing
    data opens nothing (evaluationMissingData unset). The rollback is a new rollout of the last
    good release, rendered and deployed in `reaction` minutes; without a repairRolloutRule there
    would be none at all.
    """

    memory, reaction, sees_stable = 2, 3, False

    def __init__(self, retest: int = 5) -> None:
        self._retest, self._row = retest, 0

    def begin(self, cell: Cell, history: History) -> None:
        """Start; what was before the rollout is not looked at."""
        self._window, self._hold = Window(cell, 1), cell.hold

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Poll the alert; the phase's wait is the cell's hold."""
        self._window.add(minute, sample)
        self._row = self._row + 1 if self._window.over() else 0
        if self._row >= self._retest:
            return Verdict.ROLL_BACK
        return Verdict.ADVANCE if held >= self._hold else Verdict.GO_ON
