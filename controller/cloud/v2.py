"""What Cloud Run's Admin API v2 says, as our types. Raw protobufs in: proto-plus is too slow.

No call is made here; who asks is `run`. Field meanings: google/cloud/run/v2/service.proto,
revision.proto, condition.proto.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from controller.cloud.unusual import SESSION_AFFINITY, unusual_marks
from controller.cloud.v1 import RECORD_KEY
from controller.engine.observation import RevisionState, ServiceName, ServiceState, Target

LATEST = 1  # TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
FAILED, SUCCEEDED = 3, 4  # Condition.State
EVERYTHING_ON_LATEST = (Target(None, 100),)


def service_state(name: ServiceName, service: Any) -> ServiceState:
    """Return a Service message as our state of the service `name`."""
    latest_ready = short(service.latest_ready_revision)
    return ServiceState(
        name=name,
        uid=service.uid,
        generation=service.generation,
        reconciling=service.reconciling,
        targets=tuple(map(_target, service.traffic)) or EVERYTHING_ON_LATEST,
        statuses=tuple(_status(one, latest_ready) for one in service.traffic_statuses),
        ready=_ready(service.terminal_condition),
        ready_message=service.terminal_condition.message,
        latest_ready=latest_ready,
        latest_created=short(service.latest_created_revision),
        record_text=service.annotations.get(RECORD_KEY),
        last_modifier=service.last_modifier,
        url=service.uri,
        unusual=_unusual(service),
    )


def revision_state(revision: Any) -> RevisionState:
    """Return a Revision message as our state."""
    ready = next((one for one in revision.conditions if one.type_ == "Ready"), None)
    created = revision.create_time
    return RevisionState(
        name=short(revision.name) or "",
        ready=_ready(ready) if ready is not None else None,
        why=ready.message if ready is not None else "",
        created=created.ToDatetime(tzinfo=UTC) if created.seconds else None,
        facts=_facts(revision),
        session_affinity=revision.session_affinity,
    )


def short(name: str) -> str | None:
    """Return the last part of a resource name, None for none."""
    return name.rsplit("/", 1)[-1] or None


def _target(target: Any) -> Target:
    return Target(_revision(target), target.percent, target.tag or None)


def _status(status: Any, latest_ready: str | None) -> Target:
    # A LATEST entry carries no revision here: it means the latest ready one.
    revision = _revision(status) or latest_ready
    return Target(revision, status.percent, status.tag or None, status.uri or None)


def _revision(target: Any) -> str | None:
    return None if target.type_ == LATEST else short(target.revision)


def _ready(condition: Any) -> bool | None:
    return {SUCCEEDED: True, FAILED: False}.get(condition.state)


def _unusual(service: Any) -> tuple[str, ...]:
    marks = unusual_marks(
        service.annotations, service.labels, service.multi_region_settings.regions
    )
    return (*marks, SESSION_AFFINITY) if service.template.session_affinity else marks


def _facts(revision: Any) -> dict[str, str]:
    containers = revision.containers
    env = [one for container in containers for one in container.env]
    secrets = [short(one.value_source.secret_key_ref.secret) for one in env]
    secrets += [short(volume.secret.secret) for volume in revision.volumes]
    return {
        "image": ", ".join(container.image for container in containers),
        "env": _listed(one.name for one in env),
        "secrets": _listed(secrets),
        "cpu": ", ".join(c.resources.limits.get("cpu", "") for c in containers),
        "memory": ", ".join(c.resources.limits.get("memory", "") for c in containers),
        "concurrency": str(revision.max_instance_request_concurrency or ""),
        "service account": revision.service_account,
        "timeout": f"{revision.timeout.seconds} s" if revision.timeout.seconds else "",
    }


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted({name for name in names if name}))
