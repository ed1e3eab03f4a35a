"""What a v2 write means for the stored v1 object.

Only what differs from what v2 shows is edited, so that fields v2 does not know survive.
"""

from __future__ import annotations

import copy
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from controller.sandbox import v2_view
from controller.sandbox.services import EPOCH, Json, Service
from controller.sandbox.v2_view import INGRESS, LATEST, RUN, SCALE, STAGES
from controller.sandbox.validation import RESERVED, V2_FIELDS, invalid

WRITABLE = (
    "description", "labels", "annotations", "client", "client_version", "ingress", "launch_stage",
    "template", "traffic", "scaling",
)  # fmt: skip
EMPTY: Json = {"metadata": {}, "spec": {"template": {"spec": {"containers": []}}}}


def merged(shown: Any, wanted: Any, paths: list[str]) -> Any:
    """Return a shown service with the masked fields of a wanted one; no path means every field.

    Paths that name no field are passed over, as the live API was seen to do.
    """
    known = [path for path in paths if path.split(".", 1)[0] in WRITABLE]
    result = copy.deepcopy(shown)
    mask = FieldMask(paths=known if paths else WRITABLE)
    try:
        mask.MergeMessage(wanted, result, replace_message_field=True, replace_repeated_field=True)
    except ValueError as error:
        raise invalid(f"UpdateServiceRequest.update_mask: {error}") from None
    return result


def body(raw: Json, shown: Any, wanted: Any) -> Json:
    """Return the v1 object that makes v2 show `wanted` where it shows `shown` now."""
    edited = copy.deepcopy(raw)
    metadata, spec = edited["metadata"], edited["spec"]
    if wanted.annotations != shown.annotations:
        reserved = [key for key in wanted.annotations if key.startswith(RESERVED)]
        if reserved:
            raise invalid(f"Violation in {V2_FIELDS.annotations}: '{reserved[0]}' is reserved.")
        metadata["annotations"] = _kept(metadata.get("annotations", {}), wanted.annotations)
    if wanted.labels != shown.labels:
        metadata["labels"] = _kept(metadata.get("labels", {}), wanted.labels)
    if list(wanted.traffic) != list(shown.traffic):
        spec["traffic"] = [_target(target) for target in wanted.traffic]
    if wanted.template != shown.template:
        _edit_template(spec["template"], shown.template, wanted.template)
    _edit_notes(metadata.setdefault("annotations", {}), shown, wanted)
    return edited


def new_body(wanted: Any, region: str) -> Json:
    """Return the v1 object of a service that v2 creates."""
    empty = Service("", region, "", copy.deepcopy(EMPTY), born=EPOCH)
    nothing = v2_view.spec(empty)
    return body(EMPTY, nothing, wanted)


def _kept(old: dict[str, str], new: Any) -> dict[str, str]:
    """Return a new map in v2's words, with the reserved keys that v2 does not show."""
    hidden = {key: value for key, value in old.items() if key.startswith(RESERVED)}
    return {**dict(sorted(new.items())), **hidden}


def _target(target: Any) -> Json:
    entry: Json = (
        {"latestRevision": True}
        if target.type_ == LATEST or not target.revision
        else {"revisionName": target.revision}
    )
    if target.percent:
        entry["percent"] = target.percent
    if target.tag:
        entry["tag"] = target.tag
    return entry


def _edit_notes(notes: dict[str, str], shown: Any, wanted: Any) -> None:
    """Edit what v1 keeps in reserved annotations."""
    ingress = {number: word for word, number in INGRESS.items()}
    stages = {number: word for word, number in STAGES.items()}
    for key, old, new in (
        ("description", shown.description, wanted.description),
        ("client-name", shown.client, wanted.client),
        ("client-version", shown.client_version, wanted.client_version),
        ("ingress", ingress.get(shown.ingress, "all"), ingress.get(wanted.ingress, "all")),
        ("launch-stage", stages.get(shown.launch_stage), stages.get(wanted.launch_stage, "GA")),
        ("minScale", shown.scaling.min_instance_count, wanted.scaling.min_instance_count),
        ("maxScale", shown.scaling.max_instance_count, wanted.scaling.max_instance_count),
    ):
        if old != new:
            _set(notes, f"{RUN}{key}", str(new or ""))


def _set(notes: dict[str, str], key: str, value: str) -> None:
    if value:
        notes[key] = value
    else:
        notes.pop(key, None)


def _edit_template(raw: Json, shown: Any, wanted: Any) -> None:
    metadata, spec = raw.setdefault("metadata", {}), raw["spec"]
    notes = _kept(metadata.get("annotations", {}), wanted.annotations)
    metadata["annotations"] = notes
    metadata["labels"] = _kept(metadata.get("labels", {}), wanted.labels)
    _set(metadata, "name", wanted.revision)
    _set(notes, f"{SCALE}minScale", _text(wanted.scaling.min_instance_count))
    _set(notes, f"{SCALE}maxScale", _text(wanted.scaling.max_instance_count))
    _set(notes, f"{RUN}sessionAffinity", "true" if wanted.session_affinity else "")
    for key, old, new in (
        ("serviceAccountName", shown.service_account, wanted.service_account),
        (
            "containerConcurrency",
            shown.max_instance_request_concurrency,
            wanted.max_instance_request_concurrency,
        ),
        ("timeoutSeconds", shown.timeout.seconds, wanted.timeout.seconds),
    ):
        if old != new:
            spec[key] = new
    if list(shown.containers) != list(wanted.containers):
        old = spec.get("containers", [])
        spec["containers"] = [
            _container(old[index] if index < len(old) else {}, container)
            for index, container in enumerate(wanted.containers)
        ]
        boost = any(container.resources.startup_cpu_boost for container in wanted.containers)
        _set(notes, f"{RUN}startup-cpu-boost", "true" if boost else "")


def _text(number: int) -> str:
    return str(number) if number else ""


def _container(old: Json, wanted: Any) -> Json:
    """Return a v1 container: v2's fields from `wanted`, all others as they were."""
    known: Json = {
        "name": wanted.name,
        "image": wanted.image,
        "command": list(wanted.command),
        "args": list(wanted.args),
        "env": [_env(env) for env in wanted.env],
        "ports": [
            {"containerPort": port.container_port, **({"name": port.name} if port.name else {})}
            for port in wanted.ports
        ],
    }  # fmt: skip
    container = {**old, **known}
    container["resources"] = {**old.get("resources", {}), "limits": dict(wanted.resources.limits)}
    return {key: value for key, value in container.items() if value or key not in known}


def _env(env: Any) -> Json:
    if env.WhichOneof("values") == "value_source":
        secret = env.value_source.secret_key_ref
        reference = {"name": secret.secret, "key": secret.version}
        return {"name": env.name, "valueFrom": {"secretKeyRef": reference}}
    return {"name": env.name, "value": env.value}
