"""Cloud Run's v2 API, through Google's unmodified clients on the in-process channel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from google.iam.v1 import iam_policy_pb2
from google.protobuf import field_mask_pb2

from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import Act, CallFault, Moment, Run, Scenario, ShiftFault
from controller.sandbox.setting import Setting

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NAME = "projects/demo/locations/us-central1/services/ion-api"
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
NAMED = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
Target = run_v2.TrafficTarget


def a_world(**scenario: Any) -> Sandbox:
    return build(Scenario(**scenario), Setting())


def services_of(sandbox: Sandbox) -> run_v2.ServicesClient:
    return run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=sandbox.channel))


def revisions_of(sandbox: Sandbox) -> run_v2.RevisionsClient:
    return run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=sandbox.channel))


def read(sandbox: Sandbox) -> run_v2.Service:
    return services_of(sandbox).get_service(name=NAME)


def target(revision: str, percent: int = 0, tag: str = "") -> Target:
    return Target(type_=NAMED, revision=revision, percent=percent, tag=tag)


def split(candidate: int) -> list[Target]:
    return [target(CANDIDATE, candidate), target(STABLE, 100 - candidate)]


def write(sandbox: Sandbox, *, paths: tuple[str, ...] = ("traffic",), **fields: Any) -> Any:
    return services_of(sandbox).update_service(
        request=run_v2.UpdateServiceRequest(
            service=run_v2.Service(name=NAME, **fields),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )
    )


def shares(service: run_v2.Service) -> dict[str, int]:
    return {it.revision: it.percent for it in service.traffic_statuses if it.percent}


def test_the_world_begins_with_stable_serving_and_the_candidate_ready_under_its_tag() -> None:
    service = read(a_world())
    assert shares(service) == {STABLE: 100}
    assert [it.tag for it in service.traffic_statuses] == ["", "candidate"]
    assert service.traffic_statuses[1].uri.startswith("https://candidate---ion-api-")
    assert service.latest_ready_revision == f"{NAME}/revisions/{CANDIDATE}"
    assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert not service.reconciling
    assert service.generation == service.observed_generation == 42


def test_a_shift_is_accepted_at_once_and_in_force_after_a_while() -> None:
    sandbox = a_world(run=Run(reconcile=20 * SECOND))
    write(sandbox, traffic=split(5))
    sandbox.clock.sleep(19 * SECOND)
    before = read(sandbox)
    sandbox.clock.sleep(1 * SECOND)
    after = read(sandbox)

    assert before.reconciling
    assert before.traffic == split(5)
    assert shares(before) == {STABLE: 100}
    assert before.observed_generation == before.generation - 1
    assert before.terminal_condition.state == run_v2.Condition.State.CONDITION_RECONCILING
    assert not after.reconciling
    assert shares(after) == {CANDIDATE: 5, STABLE: 95}
    assert after.observed_generation == after.generation == 43


def test_a_later_write_supersedes_an_earlier_one() -> None:
    sandbox = a_world(faults=(ShiftFault(nth=(1,), takes=MINUTE * 6),))
    write(sandbox, traffic=split(5))
    sandbox.clock.sleep(MINUTE)
    write(sandbox, traffic=split(0))
    sandbox.clock.sleep(MINUTE)
    assert shares(read(sandbox)) == {STABLE: 100}
    sandbox.clock.sleep(HOUR)
    assert shares(read(sandbox)) == {STABLE: 100}
    assert sandbox.world.shifts_up("ion-api", CANDIDATE) == ()


def test_the_operation_ends_when_the_split_is_in_force() -> None:
    sandbox = a_world()
    operation = write(sandbox, traffic=split(5))
    assert not operation.done()
    sandbox.clock.sleep(MINUTE)
    assert operation.done()
    assert shares(operation.result(timeout=1)) == {CANDIDATE: 5, STABLE: 95}


def test_a_missing_revision_fails_the_operation_and_the_old_split_keeps_serving() -> None:
    sandbox = a_world()
    operation = write(sandbox, traffic=[target("ion-api-00001-nil", 100)])
    sandbox.clock.sleep(MINUTE)
    with pytest.raises(exceptions.GoogleAPICallError, match="does not exist or is deleted"):
        operation.result(timeout=1)
    service = read(sandbox)
    assert shares(service) == {STABLE: 100}
    assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED
    assert not service.reconciling


def test_a_revision_that_is_not_ready_cannot_get_traffic() -> None:
    sandbox = a_world(people=(Act("unready", since=Moment(), details={"revision": "candidate"}),))
    sandbox.clock.sleep(MINUTE)
    write(sandbox, traffic=split(5))
    sandbox.clock.sleep(MINUTE)
    said = read(sandbox).terminal_condition.message
    assert said.startswith(
        f"Revision '{CANDIDATE}' is not ready and cannot serve traffic. The user"
    )


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        ([target(STABLE, 99)], "sum to 99"),
        ([target(f"{NAME}/revisions/{STABLE}", 100)], "full resource names"),
        ([target(STABLE, 100, "x"), target(CANDIDATE, 0, "x")], "more than once"),
        ([target(STABLE, 100, "t" * 40)], "cannot exceed 46 characters"),
        ([target(STABLE, 100, "Up")], "not a valid tag"),
        ([target(STABLE, 110), target(CANDIDATE, -10)], "between 0 and 100"),
    ],
)
def test_a_bad_split_is_refused_and_nothing_changes(traffic: list[Target], said: str) -> None:
    sandbox = a_world()
    before = read(sandbox)
    with pytest.raises(exceptions.InvalidArgument, match=said):
        write(sandbox, traffic=traffic)
    assert read(sandbox) == before


def test_an_empty_split_means_everything_to_the_latest_ready_revision() -> None:
    sandbox = a_world()
    write(sandbox)
    sandbox.clock.sleep(MINUTE)
    service = read(sandbox)
    assert [(it.type_, it.revision, it.percent) for it in service.traffic_statuses] == [
        (LATEST, "", 100)
    ]
    assert sandbox.world.spans("ion-api", sandbox.clock.now(), sandbox.clock.now() + SECOND)[
        0
    ].shares == {CANDIDATE: 1.0}


def test_a_write_of_annotations_and_traffic_touches_nothing_else() -> None:
    sandbox = a_world()
    before = sandbox.world.service("us-central1", "ion-api").raw
    keep = dict(read(sandbox).annotations)
    write(
        sandbox,
        paths=("traffic", "annotations"),
        traffic=split(5),
        annotations={**keep, "rollout/record": "{}"},
    )
    after = sandbox.world.service("us-central1", "ion-api").raw
    notes = after["metadata"]["annotations"]
    assert notes.pop("rollout/record") == "{}"
    for key in ("serving.knative.dev/lastModifier", "run.googleapis.com/operation-id"):
        notes[key] = before["metadata"]["annotations"].get(key)
    before["metadata"]["annotations"].setdefault("run.googleapis.com/operation-id", None)
    assert after["metadata"] == before["metadata"]
    assert after["spec"]["template"] == before["spec"]["template"]
    assert len(list(revisions_of(sandbox).list_revisions(parent=NAME))) == 2


def test_annotations_of_google_are_hidden_and_cannot_be_written() -> None:
    sandbox = a_world()
    assert set(read(sandbox).annotations) == {"deploy.example.com/commit"}
    with pytest.raises(exceptions.InvalidArgument, match="reserved"):
        write(sandbox, paths=("annotations",), annotations={"run.googleapis.com/x": "y"})


def test_a_changed_template_makes_a_revision_that_takes_what_latest_gets() -> None:
    sandbox = a_world()
    write(sandbox)
    sandbox.clock.sleep(MINUTE)
    template = read(sandbox).template
    template.revision = ""
    template.containers[0].image = "images.example.com/ion-api:v43"
    write(sandbox, paths=("template",), template=template)
    service = read(sandbox)
    new = service.latest_created_revision.rsplit("/", 1)[-1]
    assert new.startswith("ion-api-00044-")
    assert service.latest_ready_revision.endswith(CANDIDATE)
    sandbox.clock.sleep(MINUTE)
    assert read(sandbox).latest_ready_revision.endswith(new)
    assert sandbox.world.find("ion-api").shares_now() == {new: 1.0}  # type: ignore[union-attr]
    raw = sandbox.world.service("us-central1", "ion-api").raw["spec"]["template"]
    assert "startupProbe" in raw["spec"]["containers"][0]


def test_a_revisions_name_cannot_be_used_for_another_template() -> None:
    template = run_v2.RevisionTemplate(
        revision=CANDIDATE, containers=[run_v2.Container(image="images.example.com/other:v1")]
    )
    with pytest.raises(exceptions.AlreadyExists, match="with different configuration"):
        write(a_world(), paths=("template",), template=template)


def test_an_unknown_mask_path_is_a_silent_no_op() -> None:
    sandbox = a_world()
    before = read(sandbox)
    write(sandbox, paths=("noSuchField",), traffic=split(50))
    assert read(sandbox) == before


def test_validate_only_checks_and_changes_nothing() -> None:
    sandbox = a_world()
    before = read(sandbox)
    request = run_v2.UpdateServiceRequest(
        service=run_v2.Service(name=NAME, traffic=split(5)),
        update_mask=field_mask_pb2.FieldMask(paths=["traffic"]),
        validate_only=True,
    )
    services_of(sandbox).update_service(request=request)
    assert read(sandbox) == before
    request.service.traffic[0].percent = 7
    with pytest.raises(exceptions.InvalidArgument):
        services_of(sandbox).update_service(request=request)


def test_a_stale_etag_is_ignored_unless_the_scenario_enforces_it() -> None:
    write(a_world(), traffic=split(5), etag='"stale"')
    with pytest.raises(exceptions.Aborted, match="Conflict for resource 'ion-api'"):
        write(a_world(run=Run(etag_enforced=True)), traffic=split(5), etag='"stale"')


def test_what_does_not_exist_is_named_with_its_kind_region_and_project() -> None:
    sandbox = a_world()
    said = "Resource 'web' of kind 'SERVICE' in region 'us-central1' in project 'demo' does not"
    with pytest.raises(exceptions.NotFound, match=said):
        services_of(sandbox).get_service(name=NAME.replace("ion-api", "web"))
    with pytest.raises(exceptions.NotFound, match="of kind 'REVISION'"):
        revisions_of(sandbox).get_revision(name=f"{NAME}/revisions/ion-api-00001-nil")
    with pytest.raises(exceptions.PermissionDenied):
        services_of(sandbox).get_service(name=NAME.replace("demo", "other"))


def test_candidate_and_stable_differ_in_image_and_one_variable() -> None:
    sandbox = a_world()
    old, new = (
        revisions_of(sandbox).get_revision(name=f"{NAME}/revisions/{name}").containers[0]
        for name in (STABLE, CANDIDATE)
    )
    assert old.image != new.image
    assert {env.name for env in new.env} - {env.name for env in old.env} == {"GATEWAY_URL"}
    assert new.env[-1].value_source.secret_key_ref.secret == "gateway-key"
    assert dict(new.resources.limits) == {"cpu": "1000m", "memory": "512Mi"}


def test_a_revision_without_share_and_tag_is_retired_and_still_ready() -> None:
    sandbox = a_world()
    write(sandbox, traffic=[target(CANDIDATE, 100)])
    sandbox.clock.sleep(MINUTE)
    revision = revisions_of(sandbox).get_revision(name=f"{NAME}/revisions/{STABLE}")
    found = {it.type_: it for it in revision.conditions}
    state, reason = run_v2.Condition.State, run_v2.Condition.RevisionReason
    assert found["Ready"].state == state.CONDITION_SUCCEEDED
    assert found["Ready"].revision_reason == reason.RETIRED
    assert found["Active"].state == state.CONDITION_FAILED
    assert found["Active"].severity == run_v2.Condition.Severity.INFO


def test_only_a_retired_revision_can_be_deleted() -> None:
    sandbox = a_world()
    with pytest.raises(exceptions.FailedPrecondition, match="is actively serving"):
        revisions_of(sandbox).delete_revision(name=f"{NAME}/revisions/{STABLE}")
    write(sandbox, traffic=[target(CANDIDATE, 100)])
    sandbox.clock.sleep(MINUTE)
    revisions_of(sandbox).delete_revision(name=f"{NAME}/revisions/{STABLE}")
    found = revisions_of(sandbox).list_revisions(parent=NAME.replace("ion-api", "-"))
    assert [it.name.rsplit("/", 1)[-1] for it in found] == [CANDIDATE]


def test_a_service_can_be_created_and_deleted() -> None:
    sandbox = a_world()
    client = services_of(sandbox)
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="i.example.com/web:1")])
    client.create_service(
        parent="projects/demo/locations/us-central1",
        service=run_v2.Service(template=template, labels={"team": "web"}),
        service_id="web",
    )
    sandbox.clock.sleep(MINUTE)
    found = {it.name.rsplit("/", 1)[-1]: it for it in client.list_services(parent=NAME[:35])}
    assert set(found) == {"ion-api", "web"}
    assert found["web"].generation == found["web"].observed_generation == 1
    assert dict(found["web"].labels) == {"team": "web"}
    client.delete_service(name=found["web"].name)
    assert len(list(client.list_services(parent="projects/demo/locations/-"))) == 1


def test_permissions_are_granted_unless_the_scenario_denies_them() -> None:
    sandbox = a_world(denied=("run.services.update",))
    asked = iam_policy_pb2.TestIamPermissionsRequest(
        resource=NAME, permissions=["run.services.get", "run.services.update"]
    )
    answer = services_of(sandbox).test_iam_permissions(request=asked)
    assert list(answer.permissions) == ["run.services.get"]
    with pytest.raises(
        exceptions.PermissionDenied, match=r"'run\.services\.update' denied on .*ion-api'"
    ):
        write(sandbox, traffic=split(5))


def test_a_fault_hits_every_nth_call_and_may_lose_only_the_answer() -> None:
    sandbox = a_world(
        faults=(
            CallFault("GetRevision", every=2, error="UNAVAILABLE"),
            CallFault("UpdateService", nth=(1,), error="UNAVAILABLE", applied=True),
        )
    )
    for _ in range(2):
        revisions_of(sandbox).get_revision(name=f"{NAME}/revisions/{STABLE}")
        with pytest.raises(exceptions.ServiceUnavailable):
            revisions_of(sandbox).get_revision(name=f"{NAME}/revisions/{STABLE}")
    with pytest.raises(exceptions.ServiceUnavailable):
        write(sandbox, traffic=split(5))
    assert read(sandbox).traffic == split(5)


def test_a_shift_can_fail_on_the_server() -> None:
    sandbox = a_world(faults=(ShiftFault(nth=(1,), fails="Internal error."),))
    write(sandbox, traffic=split(5))
    sandbox.clock.sleep(MINUTE)
    service = read(sandbox)
    assert (service.terminal_condition.message, shares(service)) == (
        "Internal error.",
        {STABLE: 100},
    )


def test_an_unknown_method_is_unimplemented() -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="GetIamPolicy"):
        services_of(a_world()).get_iam_policy(request={"resource": NAME})
