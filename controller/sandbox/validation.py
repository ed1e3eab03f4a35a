"""What Cloud Run refuses at once, before anything is written.

A split that names a missing or unready revision is not among it: that fails later, in `writes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from controller.sandbox.errors import RpcError
from controller.sandbox.services import Service, targets_of

RESERVED = (
    "run.googleapis.com/",
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
)
ANNOTATION_BYTES = 262_144
REVISION_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
TAG = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
ANNOTATION_NAME = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Fields:
    """How an API calls the fields in its refusals."""

    traffic: str = "spec.traffic"
    revision: str = "spec.traffic.revisionName"
    tag: str = "spec.traffic.tag"
    annotations: str = "metadata.annotations"
    template_name: str = "spec.template.metadata.name"


V1_FIELDS = Fields()
V2_FIELDS = Fields(
    "UpdateServiceRequest.service.traffic",
    "UpdateServiceRequest.service.traffic[].revision",
    "UpdateServiceRequest.service.traffic[].tag",
    "UpdateServiceRequest.service.annotations",
    "UpdateServiceRequest.service.template.revision",
)


def invalid(text: str) -> RpcError:
    """Return a refusal of what was sent."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, text)


def check_traffic(service: Service, traffic: Any, fields: Fields) -> None:
    """Refuse a v1 traffic list that no service may have; revisions are looked at later."""
    if traffic not in (None, []) and not _is_traffic(traffic):
        raise invalid(f"Violation in {fields.traffic}: a list of targets is expected.")
    if traffic in (None, []):
        return
    targets = targets_of(traffic)
    tags = [target.tag for target in targets if target.tag]
    for target in targets:
        if target.revision is not None and "/" in target.revision:
            raise invalid(
                f"Violation in {fields.revision}: '{target.revision}' is not a revision name; "
                "full resource names are not allowed."
            )
        if not 0 <= target.percent <= 100:
            raise invalid(f"Violation in {fields.traffic}: percent must be between 0 and 100.")
    if (total := sum(target.percent for target in targets)) != 100:
        raise invalid(f"Violation in {fields.traffic}: percents sum to {total}, must be 100.")
    for tag in tags:
        _check_tag(service, tag, tags, fields)


def _check_tag(service: Service, tag: str, tags: list[str], fields: Fields) -> None:
    if tags.count(tag) > 1:
        raise invalid(f"Violation in {fields.tag}: tag '{tag}' is used more than once.")
    if not TAG.fullmatch(tag):
        raise invalid(f"Violation in {fields.tag}: '{tag}' is not a valid tag.")
    if len(tag) + len(service.name) > 46:
        raise invalid(
            f"{fields.tag}: traffic tag '{tag}' and service name '{service.name}' together are "
            "too long. Combined traffic tag and service name cannot exceed 46 characters."
        )


def check_annotations(annotations: Mapping[str, str], fields: Fields) -> None:
    """Refuse annotations beyond Kubernetes' rules: form of the keys, 256 KiB in all."""
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > ANNOTATION_BYTES:
        raise invalid(f"{fields.annotations}: must have at most {ANNOTATION_BYTES} bytes")
    for key, value in annotations.items():
        if not isinstance(value, str):
            raise invalid(f"{fields.annotations}: the value of '{key}' must be a string.")
        if not ANNOTATION_NAME.fullmatch(key):
            raise invalid(f"{fields.annotations}: '{key}' is not a valid annotation key.")


def check_template(template: Any) -> None:
    """Refuse a v1 revision template that is none; fields this world does not know may be there."""
    if not isinstance(template, dict) or not isinstance(template.get("metadata", {}), dict):
        raise invalid("spec.template: a template with metadata and spec is expected.")
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers:
        raise invalid("spec.template.spec.containers: at least one container is required.")
    for container in containers:
        if not isinstance(container, dict) or not container.get("image"):
            raise invalid("spec.template.spec.containers: a container needs an image.")
        entries = container.get("env", [])
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries
        ):
            raise invalid("spec.template.spec.containers.env: every entry needs a name.")


def _is_traffic(traffic: Any) -> bool:
    return isinstance(traffic, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("percent") or 0, int)
        and isinstance(entry.get("revisionName", ""), str)
        for entry in traffic
    )
