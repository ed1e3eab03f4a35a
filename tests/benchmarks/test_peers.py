"""The peers' rules do what their sources and documents say they do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.gates.cells import Candidate, Cell
from benchmarks.gates.driver import End, Outcome, roll_out
from benchmarks.gates.peers import (
    Argo,
    ArgoMetric,
    CloudDeploy,
    Flagger,
    Health,
    Phase,
    ReleaseManager,
    argo_phase,
    diagnose,
)
from benchmarks.gates.policy import Policy, Verdict
from benchmarks.gates.worlds import MinuteSample, World

CELL = Cell("plain", 20.0, 0.005, Candidate("equal", 0.005, bad=False))
SILENT = replace(CELL, name="silent", rate=0.0)


def minute(t: int, requests: int, failures: int) -> MinuteSample:
    return MinuteSample(t, 5, requests, failures, 19 * requests, 0, 0.0)


def looks(policy: Policy, minutes: list[tuple[int, int]], hold: int = 30) -> list[Verdict]:
    """Return the verdicts of a policy that sees these (requests, failures) at 5%."""
    policy.begin(replace(CELL, hold=hold), list)
    return [
        policy.look(t, 0, t + 1, minute(t, n, x) if n else None) for t, (n, x) in enumerate(minutes)
    ]


def first(verdicts: list[Verdict], wanted: Verdict) -> int | None:
    return verdicts.index(wanted) if wanted in verdicts else None


def ran(policy: Policy, cell: Cell) -> Outcome:
    return roll_out(World(cell, 0), policy)


@pytest.mark.parametrize(
    ("success", "failure", "phase"),
    [
        (True, None, Phase.SUCCESSFUL),
        (False, None, Phase.FAILED),
        (None, True, Phase.FAILED),
        (None, False, Phase.SUCCESSFUL),
        (True, True, Phase.FAILED),
        (True, False, Phase.SUCCESSFUL),
        (False, False, Phase.INCONCLUSIVE),
        (None, None, Phase.SUCCESSFUL),
    ],
)
def test_argo_classifies_a_measurement_by_its_two_conditions(
    *, success: bool | None, failure: bool | None, phase: Phase
) -> None:
    assert argo_phase(success, failure) is phase


def test_argo_counts_failures_over_the_whole_run_and_ends_beyond_the_limit() -> None:
    metric = ArgoMetric(failure_limit=2)
    ok, bad = Phase.SUCCESSFUL, Phase.FAILED
    assert [metric.measured(p) for p in (bad, ok, bad, ok, bad)] == [None] * 4 + [bad]


def test_argo_ends_on_the_fifth_error_in_a_row_and_forgets_them_after_a_success() -> None:
    metric = ArgoMetric()
    assert [metric.measured(Phase.ERROR) for _ in range(4)] == [None] * 4
    assert metric.measured(Phase.SUCCESSFUL) is None
    assert [metric.measured(Phase.ERROR) for _ in range(5)] == [None] * 4 + [Phase.ERROR]


def test_argo_lets_the_later_reason_override_the_earlier() -> None:
    metric = ArgoMetric(failure_limit=0, consecutive_error_limit=0)
    assert metric.measured(Phase.FAILED) is Phase.FAILED
    assert metric.measured(Phase.ERROR) is Phase.ERROR


def test_argo_looks_at_once_and_then_every_interval() -> None:
    bad_at_once = [(60, 60)] * 12
    assert first(looks(Argo(0), bad_at_once), Verdict.ROLL_BACK) == 0
    assert first(looks(Argo(1, 5), bad_at_once), Verdict.ROLL_BACK) == 5


def test_argo_sees_one_bad_minute_in_five_windows_of_five_minutes() -> None:
    one_bad_minute = [(60, 0)] * 10 + [(60, 60)] + [(60, 0)] * 10
    assert first(looks(Argo(4), one_bad_minute), Verdict.ROLL_BACK) == 14
    assert first(looks(Argo(5), one_bad_minute), Verdict.ROLL_BACK) is None


@pytest.mark.parametrize("threshold", [1, 5, 10])
def test_flagger_rolls_back_one_interval_after_the_deciding_tick(threshold: int) -> None:
    bad = [(60, 60)] * 15
    assert first(looks(Flagger(threshold), bad), Verdict.ROLL_BACK) == threshold


def test_flagger_never_forgets_a_failed_tick() -> None:
    now_and_then = ([(60, 0)] * 4 + [(60, 60)]) * 5 + [(60, 0)]
    assert first(looks(Flagger(5), now_and_then), Verdict.ROLL_BACK) == 25


def test_flagger_holds_the_weight_on_a_failed_tick() -> None:
    verdicts = looks(Flagger(5), [(60, 0), (60, 0), (60, 60), (60, 0)], hold=3)
    assert verdicts == [Verdict.GO_ON, Verdict.GO_ON, Verdict.GO_ON, Verdict.ADVANCE]


def test_the_release_manager_rolls_back_before_it_asks_for_requests() -> None:
    assert diagnose(1, over=True, min_requests=100) is Health.UNHEALTHY
    assert diagnose(1, over=False, min_requests=100) is Health.INCONCLUSIVE
    assert diagnose(100, over=False, min_requests=100) is Health.HEALTHY
    assert diagnose(0, over=None) is Health.HEALTHY


def test_the_release_manager_looks_back_over_thirty_minutes() -> None:
    # 1 failure in 100 requests equals the limit and passes; the next one does not.
    quiet = [(100, 0)] * 29
    assert first(looks(ReleaseManager(), [(100, 15), *quiet]), Verdict.ROLL_BACK) == 0
    late = looks(ReleaseManager(), [*quiet, (100, 31)])
    assert first(late, Verdict.ROLL_BACK) == 29
    assert first(looks(ReleaseManager(), [*quiet, (100, 30)]), Verdict.ROLL_BACK) is None


def test_cloud_deploy_fails_only_while_the_alert_has_fired() -> None:
    four, five = [(60, 60)] * 4, [(60, 60)] * 5
    assert first(looks(CloudDeploy(), [*four, (60, 0), *four]), Verdict.ROLL_BACK) is None
    assert first(looks(CloudDeploy(), [*four, (0, 0), *four]), Verdict.ROLL_BACK) is None
    assert first(looks(CloudDeploy(), five), Verdict.ROLL_BACK) == 4


def test_without_traffic_the_peers_part_ways() -> None:
    assert ran(Argo(0, no_data_passes=False), SILENT).minute == 0
    assert ran(Flagger(1, no_data_passes=False), SILENT).minute == 1
    assert ran(Flagger(5, no_data_passes=False), SILENT).minute == 5
    for passes in (Argo(0), Flagger(5), ReleaseManager(), CloudDeploy()):
        assert ran(passes, SILENT).end is End.PROMOTED


def test_one_error_in_one_request_ends_all_but_those_that_wait() -> None:
    once = [(1, 1)] + [(0, 0)] * 8
    assert first(looks(Argo(0), once), Verdict.ROLL_BACK) == 0
    assert first(looks(Flagger(1), once), Verdict.ROLL_BACK) == 1
    assert first(looks(ReleaseManager(), once), Verdict.ROLL_BACK) == 0
    for waits in (Flagger(5), CloudDeploy()):
        assert first(looks(waits, once), Verdict.ROLL_BACK) is None


def test_a_shared_incident_ends_every_rule_that_does_not_compare() -> None:
    incident = [(60, 0)] * 5 + [(60, 12)] * 6
    for policy in (Argo(0), Argo(3), Flagger(5), ReleaseManager(), CloudDeploy()):
        assert first(looks(policy, incident), Verdict.ROLL_BACK) is not None
