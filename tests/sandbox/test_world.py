"""The world itself: time, people, moments, places, and its in-process doors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import requests

from controller.sandbox import Sandbox, build
from controller.sandbox.clock import VirtualClock
from controller.sandbox.scenario import MONDAY_MORNING, Act, HttpRule, Moment, Run, Scenario
from controller.sandbox.setting import Setting

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
V1 = "https://run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo/services/ion-api"


def a_world(**scenario: Any) -> Sandbox:
    return build(Scenario(**scenario), Setting())


def session_of(sandbox: Sandbox) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", sandbox.http_adapter)
    return session


def shift(sandbox: Sandbox, candidate: int) -> None:
    session = session_of(sandbox)
    body = session.get(V1).json()
    body["spec"]["traffic"] = [
        {"revisionName": CANDIDATE, "percent": candidate, "tag": "candidate"},
        {"revisionName": STABLE, "percent": 100 - candidate},
    ]
    assert session.put(V1, json=body).status_code == 200


def last_modifier(sandbox: Sandbox) -> str:
    notes = session_of(sandbox).get(V1).json()["metadata"]["annotations"]
    return str(notes["serving.knative.dev/lastModifier"])


def test_what_is_scheduled_happens_in_the_order_of_its_time() -> None:
    clock = VirtualClock(MONDAY_MORNING)
    seen: list[timedelta] = []
    for minutes in (3, 1, 2, 9):
        clock.at(
            MONDAY_MORNING + minutes * MINUTE, lambda: seen.append(clock.now() - MONDAY_MORNING)
        )
    clock.sleep(5 * MINUTE)
    assert seen == [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert clock.now() == MONDAY_MORNING + 5 * MINUTE


def test_who_sleeps_while_something_happens_does_not_turn_time_back() -> None:
    clock = VirtualClock(MONDAY_MORNING)
    clock.at(MONDAY_MORNING + MINUTE, lambda: clock.sleep(HOUR))
    clock.sleep(5 * MINUTE)
    assert clock.now() == MONDAY_MORNING + HOUR + MINUTE


def test_spans_tell_the_split_really_in_force_without_gaps() -> None:
    sandbox = a_world(run=Run(reconcile=20 * SECOND))
    shift(sandbox, 5)
    sandbox.clock.sleep(HOUR)
    shift(sandbox, 0)
    sandbox.clock.sleep(HOUR)
    start, end = MONDAY_MORNING - HOUR, sandbox.clock.now()
    spans = sandbox.world.spans("ion-api", start, end)
    assert [dict(span.shares) for span in spans] == [
        {STABLE: 1.0},
        {CANDIDATE: 0.05, STABLE: 0.95},
        {STABLE: 1.0},
    ]
    assert spans[0].start == start
    assert spans[1].start == spans[0].end == MONDAY_MORNING + 20 * SECOND
    assert spans[2].start == spans[1].end
    assert spans[-1].end == end
    assert sandbox.world.shifts_up("ion-api", CANDIDATE) == (MONDAY_MORNING + 20 * SECOND,)
    assert sandbox.world.shifts_up("ion-api", STABLE) == (spans[2].start,)


def test_a_moment_after_a_shift_is_unknown_until_the_shift_is_in_force() -> None:
    sandbox = a_world()
    moment = Moment(shift=2, revision="candidate", plus=HOUR)
    shift(sandbox, 5)
    sandbox.clock.sleep(MINUTE)
    assert sandbox.world.when(moment) is None
    shift(sandbox, 10)
    sandbox.clock.sleep(MINUTE)
    assert sandbox.world.when(moment) == MONDAY_MORNING + MINUTE + 20 * SECOND + HOUR


def test_a_person_changes_traffic_as_gcloud_would() -> None:
    sandbox = a_world(
        people=(Act("traffic", since=Moment(1, plus=HOUR), split={"candidate": 7, "stable": 93}),)
    )
    shift(sandbox, 5)
    assert not sandbox.world.people_left()
    sandbox.clock.sleep(MINUTE)
    assert sandbox.world.people_left()
    sandbox.clock.sleep(2 * HOUR)
    service = sandbox.world.service("us-central1", "ion-api")
    assert service.raw["spec"]["traffic"] == [
        {"revisionName": CANDIDATE, "percent": 7},
        {"revisionName": STABLE, "percent": 93},
        {"revisionName": CANDIDATE, "tag": "candidate"},
    ]
    assert service.shares_now() == {CANDIDATE: 0.07, STABLE: 0.93}
    assert service.generation == 44
    assert last_modifier(sandbox) == "person@example.com"
    assert not sandbox.world.people_left()


def test_what_a_person_says_is_only_announced() -> None:
    said: list[tuple[str, Mapping[str, str]]] = []
    sandbox = a_world(people=(Act("approve", trigger="asked", after=HOUR, details={"stage": "5"}),))
    sandbox.world.announcements = lambda what, details: said.append((what, details))
    sandbox.clock.sleep(2 * HOUR)
    assert not sandbox.world.people_left()
    sandbox.world.tell("asked")
    assert sandbox.world.people_left()
    sandbox.clock.sleep(HOUR)
    assert said == [("approve", {"person": "person@example.com", "stage": "5"})]
    assert not sandbox.world.people_left()


def test_people_deploy_break_wipe_and_delete() -> None:
    def act(hours: int, do: str, **details: str) -> Act:
        return Act(do, since=Moment(plus=hours * HOUR), details=details)

    sandbox = a_world(
        people=(
            act(1, "deploy", revision="ion-api-00043-new"),
            act(2, "unready", revision="candidate"),
            act(3, "set_annotation", key="rollout/record", value="{}"),
            act(4, "delete_annotation", key="rollout/record"),
            act(5, "delete_revision", revision="candidate"),
            act(6, "delete_service"),
            act(7, "deploy"),
        )
    )
    service, clock = sandbox.world.service("us-central1", "ion-api"), sandbox.clock
    notes = lambda: service.raw["metadata"]["annotations"]  # noqa: E731
    clock.sleep(HOUR + MINUTE)
    assert service.latest_ready == "ion-api-00043-new"
    assert service.shares_now() == {STABLE: 1.0}
    clock.sleep(HOUR)
    assert service.revisions[CANDIDATE].state == "failed"
    clock.sleep(HOUR)
    assert notes()["rollout/record"] == "{}"
    clock.sleep(HOUR)
    assert "rollout/record" not in notes()
    clock.sleep(HOUR)
    assert CANDIDATE not in service.revisions
    clock.sleep(2 * HOUR)
    assert session_of(sandbox).get(V1).status_code == 404


def test_a_service_in_several_regions_is_several_services() -> None:
    regions = ("us-central1", "asia-northeast3")
    sandbox = build(Scenario(), Setting(regions=regions))
    session = session_of(sandbox)
    there = V1.replace("https://run", "https://asia-northeast3-run")
    body = session.get(there).json()
    body["metadata"]["annotations"]["here"] = "yes"
    session.put(there, json=body)
    assert "here" not in session.get(V1).json()["metadata"]["annotations"]
    assert sandbox.world.url_of("ion-api", "x", "asia-northeast3").endswith("-an.a.run.app")


def test_a_slow_answer_passes_the_time_of_the_world() -> None:
    sandbox = a_world(http=(HttpRule("GET", "/slow", latency_ms=3000),))
    url = sandbox.world.url_of("ion-api", "candidate") + "/slow"
    assert session_of(sandbox).get(url, timeout=5).status_code == 200
    assert sandbox.clock.now() == MONDAY_MORNING + 3 * SECOND


def test_an_answer_slower_than_the_timeout_is_a_read_timeout() -> None:
    sandbox = a_world(http=(HttpRule("GET", "/slow", latency_ms=30_000),))
    url = sandbox.world.url_of("ion-api", "candidate") + "/slow"
    with pytest.raises(requests.exceptions.ReadTimeout):
        session_of(sandbox).get(url, timeout=(1, 10))
    assert sandbox.clock.now() == MONDAY_MORNING + 10 * SECOND


def test_a_host_that_is_not_in_the_world_is_refused_with_a_sentence() -> None:
    with pytest.raises(requests.exceptions.ConnectionError, match="knows no host"):
        session_of(a_world()).get("https://example.org/health")


def test_reading_scenarios_imports_no_google_library() -> None:
    code = (
        "import sys; from controller.sandbox.scenario import load, names;"
        "[load(name) for name in names()];"
        "roots = {name.split('.')[0] for name in sys.modules};"
        "sys.exit(bool(roots & {'google', 'grpc', 'requests'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
