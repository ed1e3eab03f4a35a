"""How a service and a revision look in Cloud Run's v1 (Knative) API.

The stored object is shown as it is, with what the server adds: generation, version, status.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from controller.sandbox import conditions
from controller.sandbox.errors import RpcError
from controller.sandbox.services import Json, Revision, Service, Target, rfc3339
from controller.sandbox.validation import invalid
from controller.sandbox.world import World
from controller.sandbox.writes import CREATOR, LAST_MODIFIER

LATEST_ONLY = [{"latestRevision": True, "percent": 100}]


def service(world: World, it: Service) -> Json:
    """Return a service's v1 JSON."""
    metadata = it.raw["metadata"]
    spec = it.raw["spec"]
    return {
        **it.raw,
        "metadata": {
            **metadata,
            "generation": it.generation,
            "resourceVersion": version_text(max(it.spec_us, it.status_us)),
        },
        # gcloud reads a missing list as a split of 0%: v1 always shows one.
        "spec": {**spec, "traffic": spec.get("traffic") or LATEST_ONLY},
        "status": {
            "observedGeneration": it.observed,
            "conditions": _conditions(conditions.of_service(it)),
            "latestReadyRevisionName": it.latest_ready,
            "latestCreatedRevisionName": it.latest_created,
            "traffic": [_target(world, it, target) for target in it.in_force],
            "url": (url := world.url_of(it.name, region=it.region)),
            "address": {"url": url},
        },
    }


def _target(world: World, it: Service, target: Target) -> Json:
    shown: Json = {"revisionName": it.resolve(target)}
    if target.percent:
        shown["percent"] = target.percent
    if target.revision is None:
        shown["latestRevision"] = True
    if target.tag:
        shown["tag"] = target.tag
        shown["url"] = world.url_of(it.name, target.tag, it.region)
    return shown


def revision(world: World, owner: Service, it: Revision) -> Json:
    """Return a revision's v1 JSON."""
    template = it.template.get("metadata", {})
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": it.name,
            "namespace": world.project_number,
            "uid": it.uid,
            "generation": 1,
            "resourceVersion": version_text(max(owner.spec_us, owner.status_us)),
            "creationTimestamp": rfc3339(it.born),
            "labels": {
                **template.get("labels", {}),
                "serving.knative.dev/service": owner.name,
                "serving.knative.dev/configuration": owner.name,
                "serving.knative.dev/serviceUid": owner.raw["metadata"]["uid"],
                "cloud.googleapis.com/location": owner.region,
            },
            "annotations": {**template.get("annotations", {}), CREATOR: it.creator},
        },
        "spec": it.template["spec"],
        "status": {
            "observedGeneration": 1,
            "conditions": _conditions(conditions.of_revision(owner, it)),
            "containerStatuses": [
                {"name": container.get("name", ""), "imageDigest": container.get("image", "")}
                for container in it.template["spec"]["containers"]
            ],
        },
    }


def _conditions(found: Iterable[conditions.Condition]) -> list[Json]:
    shown = []
    for condition in found:
        entry: Json = {
            "type": condition.type,
            "status": condition.status,
            "lastTransitionTime": rfc3339(condition.since),
        }
        for key in ("reason", "message", "severity"):
            if said := getattr(condition, key):
                entry[key] = said
        shown.append(entry)
    return shown


def version_text(micros: int) -> str:
    """Return a resourceVersion: base64, unpadded, of the microseconds as 8 bytes."""
    return base64.b64encode(micros.to_bytes(8, "big")).decode().rstrip("=")


def version_of(metadata: Any) -> int | None:
    """Return the version that a body names, None for none; raises INVALID_ARGUMENT."""
    said = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not said:
        return None
    try:
        decoded = base64.b64decode(str(said) + "=" * (-len(str(said)) % 4), validate=True)
    except binascii.Error:
        raise _bad_version(said) from None
    if len(decoded) != 8:
        raise _bad_version(said)
    return int.from_bytes(decoded, "big")


def _bad_version(said: Any) -> RpcError:
    return invalid(f"metadata.resourceVersion: invalid value '{said}'.")


def last_modifier(it: Service) -> str:
    """Return who wrote a service last."""
    return str(it.raw["metadata"]["annotations"].get(LAST_MODIFIER, ""))
