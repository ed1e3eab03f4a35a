"""What the app answers to HTTP requests of ours, through requests and the sandbox's adapter."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import requests
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import Act, HttpRule, Moment, Scenario
from controller.sandbox.setting import Answer, Setting

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
GATEWAY = "https://gateway.example/v1/health"
CHAT = Answer("POST", "/chat", 200, {"reply": "hello"})


def a_world(answers: tuple[Answer, ...] = (CHAT,), **scenario: Any) -> Sandbox:
    return build(Scenario(**scenario), Setting(answers=answers))


def session_of(sandbox: Sandbox) -> requests.Session:
    session = requests.Session()
    session.mount("https://", sandbox.http_adapter)
    session.trust_env = False
    return session


def candidate_url(sandbox: Sandbox, path: str) -> str:
    return str(sandbox.world.url_of("ion-api", "candidate")) + path


def requests_served(sandbox: Sandbox, revision: str) -> int:
    """Return how many requests Cloud Monitoring shows for a revision in the last hour."""
    transport = MetricServiceGrpcTransport(channel=sandbox.channel)
    now = sandbox.clock.now()
    series = monitoring_v3.MetricServiceClient(transport=transport).list_time_series(
        request={
            "name": "projects/demo",
            "filter": 'metric.type = "run.googleapis.com/request_count" '
            f'AND resource.labels.revision_name = "{revision}"',
            "interval": {"start_time": now - HOUR, "end_time": now},
        }
    )
    return sum(point.value.int64_value for one in series for point in one.points)


def test_a_healthy_app_says_so_on_its_tags_url() -> None:
    sandbox = a_world()
    answer = session_of(sandbox).get(candidate_url(sandbox, "/health"))
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "pipeline_ready": True, "revision": CANDIDATE}


def test_the_services_own_url_reaches_revisions_by_the_split() -> None:
    half = Act("traffic", Moment(plus=MINUTE), split={"candidate": 50, "stable": 50})
    sandbox = a_world(people=(half,))
    sandbox.clock.sleep(5 * MINUTE)
    session, url = session_of(sandbox), f"{sandbox.world.url_of('ion-api', None)}/health"
    reached = Counter(session.get(url).json()["revision"] for _ in range(300))
    assert set(reached) == {STABLE, CANDIDATE}
    assert reached[CANDIDATE] == pytest.approx(150, abs=30)


def test_the_setting_tells_what_the_app_answers_elsewhere() -> None:
    sandbox = a_world()
    answer = session_of(sandbox).post(candidate_url(sandbox, "/chat"), json={"persona": "lua"})
    assert (answer.status_code, answer.json()) == (200, {"reply": "hello"})


def test_a_rule_of_the_scenario_beats_the_setting_where_it_fits() -> None:
    rule = HttpRule(
        "POST", "/chat", "candidate", {"persona": "sena"}, 404, {"error": "no model"}, 300.0
    )
    sandbox = a_world(http=(rule,))
    session, url = session_of(sandbox), candidate_url(sandbox, "/chat")
    sena = session.post(url, json={"persona": "sena", "text": "hi"})
    assert (sena.status_code, sena.json()) == (404, {"error": "no model"})
    assert session.post(url, json={"persona": "lua"}).status_code == 200
    assert session.post(url, data="no json").status_code == 200
    stable = session.post(f"{sandbox.world.url_of('ion-api', None)}/chat", json={"persona": "sena"})
    assert stable.status_code == 200


def test_a_rule_holds_from_its_moment_until_its_end() -> None:
    rule = HttpRule(
        "GET", "/health", status=503, since=Moment(plus=HOUR), until=Moment(plus=2 * HOUR)
    )
    sandbox = a_world(http=(rule,))
    session, url = session_of(sandbox), candidate_url(sandbox, "/health")
    codes = []
    for _ in range(3):
        codes.append(session.get(url).status_code)
        sandbox.clock.sleep(HOUR)
    assert codes == [200, 503, 200]


def test_a_rule_without_a_status_never_answers() -> None:
    sandbox = a_world(http=(HttpRule("GET", "/health", status=None),))
    before = sandbox.clock.now()
    with pytest.raises(requests.exceptions.ReadTimeout):
        session_of(sandbox).get(candidate_url(sandbox, "/health"), timeout=10)
    assert sandbox.clock.now() - before == timedelta(seconds=10)


def test_a_path_that_nobody_serves_is_404() -> None:
    sandbox = a_world()
    answer = session_of(sandbox).get(candidate_url(sandbox, "/nowhere"))
    assert (answer.status_code, answer.json()) == (404, {"error": "no GET /nowhere here"})


def test_a_dependency_answers_at_its_own_url_and_has_no_revision() -> None:
    sandbox = a_world(answers=(Answer("GET", GATEWAY, 200, {"ok": True}),))
    assert session_of(sandbox).get(f"{GATEWAY}?deep=1").json() == {"ok": True}
    assert session_of(sandbox).get("https://gateway.example/other").status_code == 404


def test_a_host_that_nobody_knows_is_refused_with_a_sentence() -> None:
    with pytest.raises(requests.exceptions.ConnectionError, match=r"knows no host 'typo\.example'"):
        session_of(a_world()).get("https://typo.example/health")


def test_a_revision_that_is_not_ready_answers_503() -> None:
    unready = Act("unready", Moment(plus=MINUTE), details={"revision": "candidate"})
    sandbox = a_world(people=(unready,))
    sandbox.clock.sleep(5 * MINUTE)
    assert session_of(sandbox).get(candidate_url(sandbox, "/health")).status_code == 503


def test_work_takes_the_models_time_and_a_health_check_hardly_any() -> None:
    sandbox = a_world()
    session, before = session_of(sandbox), sandbox.clock.now()
    session.get(candidate_url(sandbox, "/health"))
    quick = sandbox.clock.now() - before
    session.post(candidate_url(sandbox, "/chat"))
    assert quick < timedelta(seconds=1) < sandbox.clock.now() - before - quick


def test_our_requests_count_in_the_revisions_metrics() -> None:
    sandbox = a_world()
    session = session_of(sandbox)
    for _ in range(5):
        session.get(candidate_url(sandbox, "/health"))
    sandbox.clock.sleep(10 * MINUTE)
    assert requests_served(sandbox, CANDIDATE) == 5


def test_the_same_requests_get_the_same_answers_in_the_same_time() -> None:
    def a_run() -> list[float]:
        sandbox = a_world()
        session = session_of(sandbox)
        for _ in range(4):
            session.post(candidate_url(sandbox, "/chat"))
        return [sandbox.clock.now().timestamp()]

    assert a_run() == a_run()
