"""`apply --image` through Google's own clients in the sandbox: one call deploys and begins."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
import requests

from controller.cloud.checks import HttpChecker
from controller.cloud.clients import metric_client_on, run_clients_on
from controller.cloud.monitoring import CloudMonitoring
from controller.cloud.run import RECORD_KEY, CloudRun
from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.codec import decode
from controller.engine.decision import Decision, Refusal, State
from controller.engine.observation import ServiceName
from controller.plan.model import Candidate, Gate, Limits, Plan, RequestCount, Stage
from controller.ports import Ports
from controller.reconciler import Reconciler, Tick
from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import CallFault, RevisionTruth, Scenario
from controller.sandbox.setting import Setting

NAME = ServiceName("demo", "us-central1", "ion-api")
STABLE = "ion-api-00041-abc"
V42, V43 = "images.example.com/ion-api:v42", "images.example.com/ion-api@sha256:" + "a" * 64
SHORT = timedelta(minutes=10)
PLAN = Plan(
    "ion-api",
    "demo",
    "us-central1",
    Candidate(),
    (Stage(10, SHORT), Stage(100, SHORT)),
    (Gate("requests", RequestCount(), Limits(minimum=10), None),),
)
SERVERS_OWN = ("serving.knative.dev/lastModifier", "run.googleapis.com/operation-id")


def a_world(setting: Setting | None = None, **scenario: Any) -> tuple[Sandbox, Ports]:
    sandbox = build(Scenario(**scenario), setting or Setting(deployed=False))
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", sandbox.http_adapter)
    run = run_clients_on(sandbox.channel, session, "rollout/test")
    router = CloudRun(run.services, run.revisions, run.session, run.url_of, sandbox.clock)
    metrics = CloudMonitoring(metric_client_on(sandbox.channel, "rollout/test"))
    return sandbox, Ports(router, metrics, HttpChecker(session, sandbox.clock, {}), sandbox.clock)


def begin(ports: Ports, image: str = V42, **wish: Any) -> Tick | Attach | Nothing | Refusal:
    return Reconciler(ports, NAME).begin(Wish(PLAN, "ada", "r1", image=image, **wish))


def run(sandbox: Sandbox, ports: Ports) -> Tick:
    """Tick with fresh controllers to the end."""
    for _ in range(200):
        tick = Reconciler(ports, NAME).tick()
        assert tick is not None
        if tick.decision.state is State.DONE and not tick.problem:
            return tick
        sandbox.clock.sleep(tick.decision.look_again)
    raise AssertionError("not done after 200 ticks")


def service(sandbox: Sandbox) -> Any:
    return sandbox.world.services["us-central1", "ion-api"]


def raw(sandbox: Sandbox) -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(service(sandbox).raw)
    for key in SERVERS_OWN:
        body["metadata"]["annotations"].pop(key, None)
    return body


def test_the_one_write_changes_image_name_traffic_and_record_and_nothing_else() -> None:
    sandbox, ports = a_world()
    wanted = raw(sandbox)
    assert wanted["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    tick = begin(ports)
    assert isinstance(tick, Tick)
    assert not tick.problem
    made = tick.decision.record.candidate
    left = raw(sandbox)
    record = left["metadata"]["annotations"][RECORD_KEY]
    assert decode(record).candidate == made
    wanted["metadata"]["annotations"][RECORD_KEY] = record
    wanted["spec"]["template"]["metadata"]["name"] = made
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = V42
    wanted["spec"]["traffic"] = [
        {"revisionName": STABLE, "percent": 100},
        {"revisionName": made, "tag": "rollout-new"},
        {"revisionName": STABLE, "tag": "rollout-old"},
    ]
    assert left == wanted
    assert service(sandbox).shares_now() == {STABLE: 1.0}


def test_latest_is_pinned_so_that_the_new_revision_gets_nothing_when_it_becomes_ready() -> None:
    sandbox, ports = a_world()
    begin(ports)
    sandbox.clock.sleep(timedelta(minutes=1))
    state = ports.router.observe(NAME)
    assert state.latest_ready == state.latest_created != STABLE
    assert state.in_force == {STABLE: 100}


def test_it_is_promoted_like_any_candidate_and_then_there_is_nothing_to_do() -> None:
    sandbox, ports = a_world()
    begin(ports)
    tick = run(sandbox, ports)
    assert tick.decision.record.outcome is not None
    assert tick.decision.record.outcome.outcome == "promoted"
    generation = service(sandbox).generation
    assert isinstance(begin(ports), Nothing)
    assert service(sandbox).generation == generation


def test_the_same_command_again_attaches_and_deploys_nothing() -> None:
    sandbox, ports = a_world()
    begin(ports)
    sandbox.clock.sleep(timedelta(minutes=1))
    before = (service(sandbox).generation, set(service(sandbox).revisions))
    assert isinstance(begin(ports), Attach)
    assert (service(sandbox).generation, set(service(sandbox).revisions)) == before


def test_it_attaches_although_somebody_deployed_another_configuration_since() -> None:
    sandbox, ports = a_world()
    tick = begin(ports)
    assert isinstance(tick, Tick)
    sandbox.clock.sleep(timedelta(minutes=1))
    body = raw(sandbox)
    body["spec"]["template"]["metadata"].pop("name")
    body["spec"]["template"]["spec"]["timeoutSeconds"] = 10
    replaced_by_another(sandbox, body)
    found = begin(ports)
    assert isinstance(found, Attach)
    assert found.record.candidate == tick.decision.record.candidate


def test_another_image_is_refused_while_one_runs_and_both_are_named() -> None:
    sandbox, ports = a_world()
    tick = begin(ports)
    assert isinstance(tick, Tick)
    sandbox.clock.sleep(timedelta(minutes=1))
    revisions = set(service(sandbox).revisions)
    refused = begin(ports, V43)
    assert isinstance(refused, Refusal)
    assert tick.decision.record.candidate in refused.reason
    assert V43 in refused.reason
    assert "--replace" in refused.mend
    assert set(service(sandbox).revisions) == revisions


def test_replace_rolls_the_running_one_back_first_and_deploys_then() -> None:
    sandbox, ports = a_world()
    first = begin(ports)
    assert isinstance(first, Tick)
    sandbox.clock.sleep(timedelta(minutes=1))
    rolling = begin(ports, V43, replace=True)
    assert isinstance(rolling, Tick)
    assert rolling.decision.state is State.DONE  # it had no traffic yet
    second = begin(ports, V43, replace=True)
    assert isinstance(second, Tick)
    assert second.decision.record.candidate != first.decision.record.candidate
    assert second.decision.record.candidate in service(sandbox).revisions


def test_the_same_image_under_another_configuration_is_another_revision() -> None:
    sandbox, ports = a_world()
    first = begin(ports)
    run(sandbox, ports)
    body = raw(sandbox)
    body["spec"]["template"]["metadata"].pop("name")
    body["spec"]["template"]["spec"]["timeoutSeconds"] = 10
    replaced_by_another(sandbox, body)
    sandbox.clock.sleep(timedelta(minutes=1))
    second = begin(ports)
    assert isinstance(first, Tick)
    assert isinstance(second, Tick)
    one, other = (tick.decision.record.candidate for tick in (first, second))
    assert one != other
    assert one[: -len("-abcd")] == other[: -len("-abcd")]


def test_a_revision_that_never_becomes_ready_is_rolled_back_without_traffic() -> None:
    sandbox, ports = a_world(revisions={"candidate": RevisionTruth(starts=False)})
    begin(ports)
    tick = run(sandbox, ports)
    outcome = tick.decision.record.outcome
    assert outcome is not None
    assert outcome.outcome == "rolled_back"
    assert "not ready" in outcome.reason
    assert [t.what for t in tick.decision.record.transitions] == ["started", "rolled back"]
    sandbox.clock.sleep(timedelta(minutes=1))
    assert ports.router.observe(NAME).in_force == {STABLE: 100}
    again = begin(ports)
    assert isinstance(again, Refusal)
    assert again.exit_code == 3


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_deploys_once(applied: bool) -> None:  # noqa: FBT001
    lost = CallFault("PUT", nth=(1,), error="UNAVAILABLE", applied=applied)
    sandbox, ports = a_world(faults=(lost,))
    tick = begin(ports)
    assert isinstance(tick, Tick)
    assert set(service(sandbox).revisions) == {STABLE, tick.decision.record.candidate}
    assert service(sandbox).generation == 43


def test_of_several_containers_the_one_with_a_port_gets_the_image() -> None:
    sandbox, ports = a_world()
    sidecar = {"name": "proxy", "image": "images.example.com/proxy:1"}
    main = service(sandbox).raw["spec"]["template"]["spec"]["containers"][0]
    service(sandbox).raw["spec"]["template"]["spec"]["containers"] = [sidecar, main]
    begin(ports)
    images = [c["image"] for c in raw(sandbox)["spec"]["template"]["spec"]["containers"]]
    assert images == ["images.example.com/proxy:1", V42]


def test_which_container_is_meant_is_never_guessed() -> None:
    sandbox, ports = a_world()
    both = [{"name": name, "image": f"images.example.com/{name}:1"} for name in ("one", "two")]
    service(sandbox).raw["spec"]["template"]["spec"]["containers"] = both
    before = raw(sandbox)
    refused = begin(ports)
    assert isinstance(refused, Refusal)
    assert "one, two" in refused.reason
    assert refused.exit_code == 2
    assert raw(sandbox) == before


def test_a_preview_deploys_nothing() -> None:
    sandbox, ports = a_world()
    before = raw(sandbox)
    begun, _ = Reconciler(ports, NAME).preview(Wish(PLAN, "ada", "r1", image=V42))
    assert isinstance(begun, Decision)
    assert begun.write is not None
    assert begun.write.deploy is not None
    assert begun.write.deploy.image == V42
    assert raw(sandbox) == before


def replaced_by_another(sandbox: Sandbox, body: dict[str, Any]) -> None:
    """Replace the service as another client would."""
    session = requests.Session()
    session.mount("https://", sandbox.http_adapter)
    path = "apis/serving.knative.dev/v1/namespaces/demo/services/ion-api"
    answer = session.put(f"https://us-central1-run.googleapis.com/{path}", json=body, timeout=5)
    answer.raise_for_status()
