"""Cloud Run's adapter through Google's own clients and a requests session, on the sandbox."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from controller.cloud.clients import run_clients_on
from controller.cloud.run import RECORD_KEY, CloudRun
from controller.engine.observation import ServiceName, ServiceState, Target
from controller.ports import Change, Conflict, Denied, Missing, Refused, Unavailable
from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import Act, CallFault, Moment, Scenario
from controller.sandbox.setting import Setting

NAME = ServiceName("demo", "us-central1", "ion-api")
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
BARE_TAG = Target(CANDIDATE, tag="candidate")
TEN = (Target(STABLE, 90), Target(CANDIDATE, 10), BARE_TAG)
RECORD = '{"v":1,"nonce":"가"}'
UP = Change(TEN, RECORD, raises=True)


def a_world(setting: Setting | None = None, **scenario: Any) -> Sandbox:
    return build(Scenario(**scenario), setting)


def run_in(sandbox: Sandbox) -> CloudRun:
    session = requests.Session()
    session.mount("https://", sandbox.http_adapter)
    clients = run_clients_on(sandbox.channel, session, "rollout/test")
    return CloudRun(
        clients.services, clients.revisions, clients.session, clients.url_of, sandbox.clock
    )


def raw(sandbox: Sandbox) -> dict[str, Any]:
    return copy.deepcopy(sandbox.world.services["us-central1", "ion-api"].raw)


def write(run: CloudRun, sandbox: Sandbox, expected: ServiceState, change: Change) -> ServiceState:
    return run.write(expected, change, sandbox.clock.now())


def test_both_apis_show_the_same_state() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    assert run.observe(NAME) == run.fresh(NAME)
    write(run, sandbox, run.observe(NAME), UP)
    assert run.observe(NAME) == run.fresh(NAME)
    sandbox.clock.sleep(timedelta(minutes=5))
    assert run.observe(NAME) == run.fresh(NAME)


def test_a_write_changes_traffic_and_our_annotation_and_nothing_else() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    wanted = raw(sandbox)
    write(run, sandbox, run.observe(NAME), UP)
    wanted["metadata"]["annotations"][RECORD_KEY] = RECORD
    wanted["spec"]["traffic"] = [
        {"revisionName": STABLE, "percent": 90},
        {"revisionName": CANDIDATE, "percent": 10},
        {"revisionName": CANDIDATE, "tag": "candidate"},
    ]
    left = raw(sandbox)
    for servers_own in ("serving.knative.dev/lastModifier", "run.googleapis.com/operation-id"):
        left["metadata"]["annotations"].pop(servers_own, None)
        wanted["metadata"]["annotations"].pop(servers_own, None)
    assert left == wanted


def test_a_write_makes_no_revision_and_comes_into_force() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    before = run.revisions(NAME)
    state = write(run, sandbox, run.observe(NAME), UP)
    assert state.record_text == RECORD
    assert state.asked == {STABLE: 90, CANDIDATE: 10}
    assert state.reconciling
    sandbox.clock.sleep(timedelta(minutes=1))
    assert run.observe(NAME).in_force == {STABLE: 90, CANDIDATE: 10}
    assert [one.name for one in run.revisions(NAME)] == [one.name for one in before]


def test_a_write_without_a_record_removes_the_annotation() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    state = write(run, sandbox, run.observe(NAME), UP)
    state = write(run, sandbox, state, Change(TEN, None, raises=False))
    assert state.record_text is None
    assert RECORD_KEY not in raw(sandbox)["metadata"]["annotations"]


def test_latest_can_be_asked_for_and_is_resolved_when_in_force() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    change = Change((Target(None, 100), BARE_TAG), None, raises=True)
    assert write(run, sandbox, run.observe(NAME), change).targets[0] == Target(None, 100)
    sandbox.clock.sleep(timedelta(minutes=1))
    assert run.observe(NAME).in_force == {CANDIDATE: 100}


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        (
            Change((Target(STABLE, 80), Target(CANDIDATE, 20), BARE_TAG), None, raises=True),
            "traffic",
        ),
        (
            Change((Target(STABLE, 100), Target(CANDIDATE, tag="other")), None, raises=True),
            "traffic",
        ),
        (Change((Target(STABLE, 100), BARE_TAG), "other", raises=True), "record"),
    ],
)
def test_a_write_over_anothers_write_is_a_conflict_and_changes_nothing(
    theirs: Change, what: str
) -> None:
    sandbox = a_world()
    run, other = run_in(sandbox), run_in(sandbox)
    seen = run.observe(NAME)
    write(other, sandbox, other.observe(NAME), theirs)
    before = raw(sandbox)
    with pytest.raises(Conflict, match=f"the {what} .* changed by caller@example.com"):
        write(run, sandbox, seen, UP)
    assert raw(sandbox) == before


def test_a_write_that_comes_between_read_and_put_is_refused_by_the_server() -> None:
    sandbox = a_world()
    run, other = run_in(sandbox), run_in(sandbox)
    fresh = run.fresh(NAME)
    write(other, sandbox, other.observe(NAME), Change(TEN, "theirs", raises=True))
    with pytest.raises(Conflict, match="version"):
        write(run, sandbox, fresh, UP)
    assert run.observe(NAME).record_text == "theirs"


def test_a_fresh_state_serves_one_write_only() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    fresh = run.fresh(NAME)
    write(run, sandbox, fresh, UP)
    with pytest.raises(Conflict, match="traffic"):
        write(run, sandbox, fresh, UP)


def test_a_write_over_a_service_created_anew_is_a_conflict() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    seen = run.observe(NAME)
    sandbox.world.services["us-central1", "ion-api"].raw["metadata"]["uid"] = "another"
    with pytest.raises(Conflict, match="created anew"):
        write(run, sandbox, seen, UP)


def test_a_decision_to_raise_is_void_after_a_minute_and_one_to_lower_never() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    decided_at = sandbox.clock.now()
    sandbox.clock.sleep(timedelta(seconds=61))
    before = raw(sandbox)
    with pytest.raises(Conflict, match="void"):
        run.write(run.observe(NAME), UP, decided_at)
    assert raw(sandbox) == before
    run.write(run.observe(NAME), Change(TEN, RECORD, raises=False), decided_at)


def test_a_lost_answer_is_unavailable_though_the_write_was_done() -> None:
    lost = CallFault("PUT", nth=(1,), error="UNAVAILABLE", applied=True)
    sandbox = a_world(faults=(lost,))
    run = run_in(sandbox)
    with pytest.raises(Unavailable):
        write(run, sandbox, run.observe(NAME), UP)
    assert run.observe(NAME).record_text == RECORD


@pytest.mark.parametrize(
    ("call", "error", "ours"),
    [
        ("PUT", "UNAVAILABLE", Unavailable),
        ("PUT", "DEADLINE_EXCEEDED", Unavailable),
        ("PUT", "INTERNAL", Unavailable),
        ("PUT", "RESOURCE_EXHAUSTED", Unavailable),
        ("PUT", "ABORTED", Conflict),
        ("PUT", "INVALID_ARGUMENT", Refused),
        ("GET", "UNAVAILABLE", Unavailable),
        ("GET", "NOT_FOUND", Missing),
    ],
)
def test_a_write_that_fails_says_how(call: str, error: str, ours: type[Exception]) -> None:
    sandbox = a_world(faults=(CallFault(call, error=error),))
    run = run_in(sandbox)
    before = raw(sandbox)
    with pytest.raises(ours):
        write(run, sandbox, run.observe(NAME), UP)
    assert raw(sandbox) == before


def test_no_call_is_retried() -> None:
    sandbox = a_world(faults=(CallFault("GetService", nth=(1,), error="UNAVAILABLE"),))
    run = run_in(sandbox)
    with pytest.raises(Unavailable):
        run.observe(NAME)
    assert run.observe(NAME).ready


@pytest.mark.parametrize(
    ("permission", "role"),
    [("run.services.update", "roles/run.developer"), ("run.services.get", "roles/run.viewer")],
)
def test_a_missing_permission_is_named_with_the_role_that_has_it(
    permission: str, role: str
) -> None:
    sandbox = a_world(denied=(permission,))
    run = run_in(sandbox)
    with pytest.raises(Denied, match=permission) as caught:
        write(run, sandbox, run.observe(NAME), UP)
    assert role in caught.value.mend


def test_what_does_not_exist_comes_with_the_nearest_that_does() -> None:
    run = run_in(a_world())
    for read in (run.observe, run.fresh):
        with pytest.raises(Missing, match="ion-ap'") as missing:
            read(ServiceName("demo", "us-central1", "ion-ap"))
        assert missing.value.mend == "there are the services ion-api"
    with pytest.raises(Missing) as missing:
        run.revision(NAME, "ion-api-00042-xyy")
    assert CANDIDATE in missing.value.mend


def test_revisions_come_newest_first_with_what_changed() -> None:
    run = run_in(a_world())
    new, old = run.revisions(NAME)
    assert (new.name, old.name) == (CANDIDATE, STABLE)
    assert (new.ready, new.session_affinity) == (True, False)
    assert run.revision(NAME, CANDIDATE) == new
    changed = {key for key in new.facts if new.facts[key] != old.facts[key]}
    assert changed == {"image", "env"}
    assert new.facts["env"] == "GATEWAY_KEY, GATEWAY_URL, LOG_LEVEL"
    assert new.facts["secrets"] == "gateway-key"


def test_a_revision_that_lost_its_readiness_says_why() -> None:
    sick = Act(
        "unready", Moment(), details={"revision": "candidate", "message": "it does not start"}
    )
    sandbox = a_world(people=(sick,))
    sandbox.clock.sleep(timedelta(minutes=1))
    state = run_in(sandbox).revision(NAME, CANDIDATE)
    assert state.ready is False
    assert state.why


def test_a_tag_has_its_own_url() -> None:
    state = run_in(a_world()).observe(NAME)
    assert (state.url_of("candidate") or "").startswith("https://candidate---ion-api-")


def test_a_listing_tells_of_every_service_what_a_read_of_it_tells() -> None:
    run = run_in(a_world())
    (listed,) = run.services("demo", "us-central1")
    assert listed == run.observe(NAME)


def test_a_multi_region_service_and_a_function_are_unusual() -> None:
    marks = {
        "run.googleapis.com/regions": "us-central1,europe-west1",
        "cloudfunctions.googleapis.com/function-id": "f",
    }
    run = run_in(a_world(Setting(annotations=marks)))
    several, function = run.fresh(NAME).unusual
    assert "us-central1,europe-west1" in several
    assert "Cloud Functions" in function


def test_session_affinity_is_unusual() -> None:
    sandbox = a_world()
    service = sandbox.world.services["us-central1", "ion-api"]
    annotations = service.raw["spec"]["template"]["metadata"]["annotations"]
    annotations["run.googleapis.com/sessionAffinity"] = "true"
    sandbox.world.touch(service)
    run = run_in(sandbox)
    for state in (run.observe(NAME), run.fresh(NAME)):
        assert "session affinity is on" in state.unusual[0]


def test_a_write_names_the_rollout_to_the_server_and_never_what_is_no_id() -> None:
    sandbox = a_world()
    run = run_in(sandbox)
    agents: list[str] = []

    def heard(answer: requests.Response, **_: Any) -> None:
        if answer.request.method == "PUT":
            agents.append(str(answer.request.headers["User-Agent"]))

    run._session.hooks["response"].append(heard)
    write(run, sandbox, run.observe(NAME), replace(UP, rollout="20260105-090000-4982"))
    again = replace(UP, record_text="{}", rollout="x\r\nHost: elsewhere")
    write(run, sandbox, run.observe(NAME), again)
    assert agents == ["rollout (20260105-090000-4982)", "rollout"]
