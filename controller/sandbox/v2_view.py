"""How a service and a revision look in Cloud Run's v2 API, derived from the v1 object.

Everything is built as raw protobuf messages: proto-plus costs ten times as much. Only fields that
somebody asked for are translated; the rest live in v1 alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from google.cloud import run_v2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from controller.sandbox import conditions
from controller.sandbox.services import Json, Revision, Service, Target, instant, targets_of
from controller.sandbox.v1_view import last_modifier
from controller.sandbox.validation import RESERVED
from controller.sandbox.world import World
from controller.sandbox.writes import CREATOR

ServicePb = run_v2.Service.pb()
RevisionPb = run_v2.Revision.pb()
TemplatePb = run_v2.RevisionTemplate.pb()
TargetPb = run_v2.TrafficTarget.pb()
StatusPb = run_v2.TrafficTargetStatus.pb()
ConditionPb = run_v2.Condition.pb()
ContainerPb = run_v2.Container.pb()
VolumePb = run_v2.Volume.pb()

LATEST, NAMED = 1, 2
PENDING, RECONCILING, FAILED, SUCCEEDED = 1, 2, 3, 4
SEVERITIES = {"": 1, "Error": 1, "Warning": 2, "Info": 3}
INGRESS = {"all": 1, "internal": 2, "internal-and-cloud-load-balancing": 3, "none": 4}
STAGES = {"ALPHA": 2, "BETA": 3, "GA": 4}
REVISION_REASONS = {
    name: int(it) for name, it in run_v2.Condition.RevisionReason.__members__.items()
}
COMMON_REASONS = {name: int(it) for name, it in run_v2.Condition.CommonReason.__members__.items()}
RUN = "run.googleapis.com/"
SCALE = "autoscaling.knative.dev/"


def service_name(it: Service) -> str:
    """Return a service's full name."""
    return f"projects/{it.project}/locations/{it.region}/services/{it.name}"


def revision_name(owner: Service, name: str) -> str:
    """Return a revision's full name, "" for none."""
    return f"{service_name(owner)}/revisions/{name}" if name else ""


def etag(it: Service) -> str:
    """Return v2's etag: when the spec was written, and the name; it does not move with status."""
    written = Timestamp()
    written.FromMicroseconds(it.spec_us)
    parts = (written.SerializeToString(), service_name(it).encode())
    return '"' + "/".join(base64.b64encode(part).decode().rstrip("=") for part in parts) + '"'


def service(world: World, it: Service) -> Any:
    """Return a service as a raw google.cloud.run.v2.Service."""
    shown = spec(it)
    shown.name = service_name(it)
    shown.uid = it.raw["metadata"]["uid"]
    shown.generation = it.generation
    shown.observed_generation = it.observed
    shown.create_time.FromDatetime(it.born)
    shown.update_time.FromDatetime(instant(it.spec_us))
    shown.creator = it.raw["metadata"]["annotations"].get(CREATOR, "")
    shown.last_modifier = last_modifier(it)
    ready, *others = conditions.of_service(it)
    shown.terminal_condition.CopyFrom(_condition(ready))
    shown.conditions.extend(_condition(other) for other in others)
    shown.latest_ready_revision = revision_name(it, it.latest_ready)
    shown.latest_created_revision = revision_name(it, it.latest_created)
    shown.traffic_statuses.extend(_status(world, it, target) for target in it.in_force)
    shown.uri = world.url_of(it.name, region=it.region)
    number = f"https://{it.name}-{world.project_number}.{it.region}.run.app"
    shown.urls.extend([shown.uri] if world.base_url else [number, shown.uri])
    shown.reconciling = it.reconciling
    shown.etag = etag(it)
    return shown


def spec(it: Service) -> Any:
    """Return the part of a service that clients write."""
    metadata, spec = it.raw["metadata"], it.raw["spec"]
    notes: Mapping[str, str] = metadata.get("annotations", {})
    shown = ServicePb(
        description=notes.get(f"{RUN}description", ""),
        labels=visible(metadata.get("labels", {})),
        annotations=visible(notes),
        client=notes.get(f"{RUN}client-name", ""),
        client_version=notes.get(f"{RUN}client-version", ""),
        ingress=INGRESS.get(notes.get(f"{RUN}ingress", "all"), 1),
        launch_stage=STAGES.get(notes.get(f"{RUN}launch-stage", "GA"), 4),
        template=template(spec["template"]),
    )
    shown.template.revision = spec["template"].get("metadata", {}).get("name", "")
    if spec.get("traffic"):
        shown.traffic.extend(_target(target) for target in targets_of(spec["traffic"]))
    for key, field in (
        (f"{RUN}minScale", "min_instance_count"),
        (f"{RUN}maxScale", "max_instance_count"),
        (f"{RUN}manualInstanceCount", "manual_instance_count"),
    ):
        if key in notes:
            setattr(shown.scaling, field, int(notes[key]))
    return shown


def visible(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the labels or annotations that v2 shows: none of the reserved ones."""
    return {key: value for key, value in keys.items() if not key.startswith(RESERVED)}


def _target(target: Target) -> Any:
    kind = LATEST if target.revision is None else NAMED
    return TargetPb(
        type_=kind, revision=target.revision or "", percent=target.percent, tag=target.tag
    )


def _status(world: World, it: Service, target: Target) -> Any:
    """Return a target in force; as seen live, a LATEST one names no revision."""
    return StatusPb(
        type_=LATEST if target.revision is None else NAMED,
        revision=target.revision or "",
        percent=target.percent,
        tag=target.tag,
        uri=world.url_of(it.name, target.tag, it.region) if target.tag else "",
    )


def template(raw: Json) -> Any:
    """Return a v1 template as a raw RevisionTemplate, without the revision's name."""
    metadata, spec = raw.get("metadata", {}), raw["spec"]
    notes: Mapping[str, str] = metadata.get("annotations", {})
    shown = TemplatePb(
        labels=visible(metadata.get("labels", {})),
        annotations=visible(notes),
        service_account=spec.get("serviceAccountName", ""),
        max_instance_request_concurrency=spec.get("containerConcurrency", 80),
        session_affinity=notes.get(f"{RUN}sessionAffinity") == "true",
        containers=[_container(container, notes) for container in spec.get("containers", [])],
        volumes=[_volume(volume) for volume in spec.get("volumes", [])],
        timeout=Duration(seconds=int(spec.get("timeoutSeconds", 300))),
    )
    if f"{SCALE}minScale" in notes:
        shown.scaling.min_instance_count = int(notes[f"{SCALE}minScale"])
    if f"{SCALE}maxScale" in notes:
        shown.scaling.max_instance_count = int(notes[f"{SCALE}maxScale"])
    return shown


def _container(raw: Json, notes: Mapping[str, str]) -> Any:
    shown = ContainerPb(
        name=raw.get("name", ""),
        image=raw.get("image", ""),
        command=raw.get("command", []),
        args=raw.get("args", []),
    )
    for entry in raw.get("env", []):
        env = shown.env.add(name=entry["name"])
        secret = entry.get("valueFrom", {}).get("secretKeyRef")
        if secret:
            env.value_source.secret_key_ref.secret = secret.get("name", "")
            env.value_source.secret_key_ref.version = secret.get("key", "")
        else:
            env.value = entry.get("value", "")
    for port in raw.get("ports", []):
        shown.ports.add(name=port.get("name", ""), container_port=port.get("containerPort", 0))
    for mount in raw.get("volumeMounts", []):
        shown.volume_mounts.add(name=mount.get("name", ""), mount_path=mount.get("mountPath", ""))
    shown.resources.limits.update(raw.get("resources", {}).get("limits", {}))
    shown.resources.cpu_idle = notes.get(f"{RUN}cpu-throttling", "true") == "true"
    shown.resources.startup_cpu_boost = notes.get(f"{RUN}startup-cpu-boost") == "true"
    return shown


def _volume(raw: Json) -> Any:
    shown = VolumePb(name=raw.get("name", ""))
    if secret := raw.get("secret"):
        shown.secret.secret = secret.get("secretName", "")
    return shown


def revision(owner: Service, it: Revision) -> Any:
    """Return a revision as a raw google.cloud.run.v2.Revision."""
    made_of = template(it.template)
    found = conditions.of_revision(owner, it)
    shown = RevisionPb(
        name=revision_name(owner, it.name),
        uid=it.uid,
        generation=1,
        observed_generation=1,
        labels=made_of.labels,
        annotations=made_of.annotations,
        launch_stage=4,
        service=owner.name,
        scaling=made_of.scaling,
        max_instance_request_concurrency=made_of.max_instance_request_concurrency,
        timeout=made_of.timeout,
        service_account=made_of.service_account,
        containers=made_of.containers,
        volumes=made_of.volumes,
        session_affinity=made_of.session_affinity,
        reconciling=it.state == "pending",
        conditions=[_condition(condition) for condition in found],
        creator=it.creator,
        etag=f'"{base64.b64encode(f"{it.uid}/{it.state}".encode()).decode()}"',
    )
    shown.create_time.FromDatetime(it.born)
    shown.update_time.FromDatetime(it.since)
    return shown


def _condition(found: conditions.Condition) -> Any:
    state = {conditions.TRUE: SUCCEEDED, conditions.FALSE: FAILED}.get(found.status, RECONCILING)
    shown = ConditionPb(
        type_=found.type,
        state=state,
        message=found.message,
        severity=SEVERITIES[found.severity] if state == FAILED else 0,
    )
    shown.last_transition_time.FromDatetime(found.since)
    screaming = _screaming(found.reason)
    if screaming in REVISION_REASONS:
        shown.revision_reason = REVISION_REASONS[screaming]
    elif screaming in COMMON_REASONS:
        shown.reason = COMMON_REASONS[screaming]
    return shown


def _screaming(camel: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in camel)[1:].upper()
