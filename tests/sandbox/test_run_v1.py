"""Cloud Run's v1 API, through requests and the sandbox's adapter."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
import requests

from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import CallFault, Scenario
from controller.sandbox.setting import Setting

MINUTE = timedelta(minutes=1)
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
API = "https://us-central1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/demo"
SERVICE = f"{API}/services/ion-api"


def a_world(**scenario: Any) -> tuple[Sandbox, requests.Session]:
    sandbox = build(Scenario(**scenario), Setting())
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", sandbox.http_adapter)
    return sandbox, session


def with_split(service: Any, candidate: int) -> Any:
    body = copy.deepcopy(service)
    body["spec"]["traffic"] = [
        {"revisionName": CANDIDATE, "percent": candidate},
        {"revisionName": STABLE, "percent": 100 - candidate},
    ]
    return body


def put(session: requests.Session, body: Any) -> requests.Response:
    return session.put(SERVICE, json=body, timeout=5)


def get(session: requests.Session, url: str = SERVICE) -> Any:
    answer = session.get(url, timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_put_over_the_version_read_is_taken_and_in_force_later() -> None:
    sandbox, session = a_world()
    answer = put(session, with_split(get(session), 5)).json()
    assert answer["status"]["conditions"][0]["status"] == "Unknown"
    assert answer["metadata"]["generation"] == answer["status"]["observedGeneration"] + 1
    sandbox.clock.sleep(MINUTE)
    now = get(session)
    assert now["status"]["conditions"][0] == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-05T09:00:20.000000Z",
    }
    assert {it["revisionName"]: it["percent"] for it in now["status"]["traffic"]} == {
        CANDIDATE: 5,
        STABLE: 95,
    }


def test_a_put_over_an_older_version_is_refused_with_both_versions() -> None:
    _, session = a_world()
    read = get(session)
    put(session, with_split(read, 5))
    answer = put(session, with_split(read, 10))
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (409, "ABORTED")
    assert error["message"].startswith("Conflict for resource 'ion-api': version '1767603600")
    assert get(session)["spec"]["traffic"][0]["percent"] == 5


def test_a_version_read_in_the_middle_of_a_shift_stays_good() -> None:
    sandbox, session = a_world()
    put(session, with_split(get(session), 5))
    middle = get(session)
    sandbox.clock.sleep(MINUTE)
    assert get(session)["metadata"]["resourceVersion"] != middle["metadata"]["resourceVersion"]
    assert put(session, with_split(middle, 10)).status_code == 200


def test_a_put_without_a_version_is_not_guarded() -> None:
    _, session = a_world()
    read = get(session)
    put(session, with_split(read, 5))
    del read["metadata"]["resourceVersion"]
    assert put(session, with_split(read, 10)).status_code == 200


def test_what_nobody_changed_survives_a_put_byte_for_byte() -> None:
    _, session = a_world()
    before = get(session)
    before["spec"]["template"]["spec"]["containers"][0]["x-unknown"] = {"a": [1, None, "ü"]}
    before["spec"]["template"]["metadata"]["name"] = "ion-api-00043-new"
    put(session, before)
    deployed = get(session)
    put(session, with_split(deployed, 5))
    after = get(session)
    for volatile in ("generation", "resourceVersion"):
        del deployed["metadata"][volatile], after["metadata"][volatile]
    del deployed["metadata"]["annotations"]["run.googleapis.com/operation-id"]
    del after["metadata"]["annotations"]["run.googleapis.com/operation-id"]
    assert after["metadata"] == deployed["metadata"]
    assert after["spec"]["template"] == deployed["spec"]["template"] == before["spec"]["template"]


def test_status_and_generation_in_a_body_are_ignored_and_the_servers_annotations_kept() -> None:
    _, session = a_world()
    body = with_split(get(session), 5)
    body["status"], body["metadata"]["generation"] = {"url": "https://evil.example"}, 7
    body["metadata"]["annotations"] = {"rollout/record": "{}"}
    put(session, body)
    after = get(session)
    assert after["metadata"]["generation"] == 43
    assert after["status"]["url"].startswith("https://ion-api-")
    assert after["metadata"]["annotations"]["serving.knative.dev/creator"] == "ci@example.com"
    assert "deploy.example.com/commit" not in after["metadata"]["annotations"]


def test_a_put_that_changes_nothing_changes_nothing() -> None:
    _, session = a_world()
    read = get(session)
    assert put(session, read).json() == read


def test_a_put_of_traffic_and_annotations_makes_no_revision() -> None:
    _, session = a_world()
    body = with_split(get(session), 5)
    body["metadata"]["annotations"]["rollout/record"] = "{}"
    body["spec"]["template"]["metadata"].pop("name")
    put(session, body)
    revisions = get(session, f"{API}/revisions")["items"]
    assert [it["metadata"]["name"] for it in revisions] == [CANDIDATE, STABLE]


def test_a_deploy_makes_a_revision_that_becomes_ready() -> None:
    sandbox, session = a_world()
    body = get(session)
    body["spec"]["template"]["metadata"]["name"] = "ion-api-00043-new"
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "images.example.com/ion-api:v43"
    body["spec"]["traffic"].append({"revisionName": "ion-api-00043-new", "tag": "next"})
    assert put(session, body).json()["status"]["latestCreatedRevisionName"] == "ion-api-00043-new"
    ready = get(session, f"{API}/revisions/ion-api-00043-new")["status"]["conditions"][0]
    assert (ready["type"], ready["status"]) == ("Ready", "Unknown")
    sandbox.clock.sleep(MINUTE)
    now = get(session)
    assert now["status"]["latestReadyRevisionName"] == "ion-api-00043-new"
    assert now["status"]["traffic"][-1]["url"].startswith("https://next---ion-api-")


def test_revisions_are_listed_by_label() -> None:
    _, session = a_world()
    url = f"{API}/revisions?labelSelector=serving.knative.dev%2Fservice+%3D+"
    assert len(get(session, f"{url}ion-api")["items"]) == 2
    assert get(session, f"{url}web")["items"] == []


def test_gcloud_finds_the_service_in_every_region_and_the_projects_number() -> None:
    _, session = a_world()
    url = "https://run.googleapis.com/v1/projects/demo"
    number = get(session, url)["projectNumber"]
    items = get(session, f"{url}/locations/-/services")["items"]
    assert [it["metadata"]["namespace"] for it in items] == [number]
    numbered = SERVICE.replace("demo", number)
    assert get(session, numbered) == get(session)


def test_an_operation_can_be_waited_for() -> None:
    sandbox, session = a_world()
    answer = put(session, with_split(get(session), 5)).json()
    operation = answer["metadata"]["annotations"]["run.googleapis.com/operation-id"]
    url = "https://run.googleapis.com/v1/projects/demo/locations/us-central1/operations"
    assert not session.post(f"{url}/{operation}:wait", json={}).json()["done"]
    sandbox.clock.sleep(MINUTE)
    done = session.post(f"{url}/{operation}:wait", json={}).json()
    assert done["done"]
    assert done["response"]["metadata"]["name"] == "ion-api"


@pytest.mark.parametrize(
    ("method", "url", "status", "name"),
    [
        ("GET", f"{API}/services/web", 404, "NOT_FOUND"),
        ("GET", f"{API}/revisions/web-1", 404, "NOT_FOUND"),
        ("GET", f"{API}/jobs/web", 404, "NOT_FOUND"),
        ("GET", SERVICE.replace("demo", "other"), 403, "PERMISSION_DENIED"),
        ("GET", SERVICE.replace("us-central1", "asia-east1"), 404, "NOT_FOUND"),
        ("DELETE", f"{API}/revisions/{STABLE}", 400, "FAILED_PRECONDITION"),
        ("PUT", SERVICE, 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_refusal_comes_in_googles_envelope(method: str, url: str, status: int, name: str) -> None:
    _, session = a_world()
    answer = session.request(method, url, data=b"nonsense")
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, name)


def test_services_and_revisions_can_be_created_and_deleted() -> None:
    sandbox, session = a_world()
    body = {
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"image": "images.example.com/web:1"}]}}},
    }
    created = session.post(f"{API}/services", json=body).json()
    assert created["status"]["latestCreatedRevisionName"].startswith("web-00001-")
    assert session.post(f"{API}/services", json=body).status_code == 409
    sandbox.clock.sleep(MINUTE)
    web = f"{API}/services/web"
    assert get(session, web)["status"]["traffic"][0]["latestRevision"]
    assert session.delete(web).json()["status"] == "Success"
    assert session.get(web).status_code == 404


def test_a_denied_permission_is_named() -> None:
    _, session = a_world(denied=("run.services.update",))
    answer = put(session, get(session))
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == (
        "Permission 'run.services.update' denied on resource 'namespaces/demo/services/ion-api' "
        "(or resource may not exist)."
    )


def test_a_put_can_take_effect_and_lose_its_answer() -> None:
    _, session = a_world(faults=(CallFault("PUT", nth=(1,), error="UNAVAILABLE", applied=True),))
    answer = put(session, with_split(get(session), 5))
    assert answer.status_code == 503
    assert get(session)["spec"]["traffic"][0]["percent"] == 5


def test_a_conflict_can_be_made_up_by_the_scenario() -> None:
    _, session = a_world(faults=(CallFault("PUT", every=3, error="CONFLICT"),))
    codes = [put(session, get(session)).status_code for _ in range(6)]
    assert codes == [200, 200, 409, 200, 200, 409]


def test_an_annotation_beyond_kubernetes_limits_is_refused() -> None:
    _, session = a_world()
    for key, value in (("rollout/record", "x" * 262_144), ("two words", "x"), ("a/b/c", "x")):
        body = get(session)
        body["metadata"]["annotations"][key] = value
        assert put(session, body).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"metadata": [], "spec": {}},
        {"metadata": {}, "spec": {}},
        {"metadata": {"labels": 1}, "spec": {}},
        {"metadata": {"resourceVersion": "?"}, "spec": {}},
        {"metadata": {}, "spec": {"traffic": 1}},
        {"metadata": {}, "spec": {"traffic": [{"percent": "100"}]}},
        {"metadata": {}, "spec": {"template": {"metadata": 1}}},
        {"metadata": {}, "spec": {"template": {"spec": {"containers": [1]}}}},
        {
            "metadata": {},
            "spec": {"template": {"spec": {"containers": [{"image": "i", "env": [1]}]}}},
        },
    ],
)
def test_a_body_of_another_shape_is_refused(body: Any) -> None:
    _, session = a_world()
    before = get(session)
    answer = put(session, body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert get(session) == before
