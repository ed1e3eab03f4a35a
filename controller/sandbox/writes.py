"""Writes to a service: who is refused, and what an accepted one leads to.

Every writer comes through here: both Cloud Run APIs and the people of the scenario. Accepted
writes come into force after a time (`Run.reconcile`); a later write supersedes an earlier one.
"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc

from controller.sandbox.errors import RpcError
from controller.sandbox.faults import Shift
from controller.sandbox.services import Json, Revision, Service, rfc3339, targets_of
from controller.sandbox.validation import (
    REVISION_NAME,
    V1_FIELDS,
    Fields,
    check_annotations,
    check_template,
    check_traffic,
    invalid,
)

if TYPE_CHECKING:
    from controller.sandbox.world import Operation, World

CREATOR = "serving.knative.dev/creator"
LAST_MODIFIER = "serving.knative.dev/lastModifier"
OPERATION_ID = "run.googleapis.com/operation-id"
INGRESS_STATUS = "run.googleapis.com/ingress-status"
SERVER_OWNED = (CREATOR, LAST_MODIFIER, OPERATION_ID, INGRESS_STATUS)
STARTS_WITHIN = timedelta(seconds=1)
METADATA_SETTLES = timedelta(seconds=2)
NOT_LISTENING = (
    "The user-provided container failed to start and listen on the port defined provided by the "
    "PORT=8080 environment variable within the allocated timeout."
)
LETTERS = "bcdfghjklmnpqrstvwxz"


def replace(
    world: World,
    service: Service,
    body: Json,
    *,
    who: str,
    version: int | None = None,
    fields: Fields = V1_FIELDS,
    validate_only: bool = False,
) -> None:
    """Replace labels, annotations and spec of a service by those of a v1 object.

    version: refused with ABORTED where the spec was written after it (microseconds since 1970);
    None is not checked. Raises RpcError for what is refused; nothing has changed then. A body
    that changes nothing leads to nothing.
    """
    if version is not None and version < service.spec_us:
        raise conflict(service, version)
    wanted = _wanted(service, body, fields)
    template, new_revision = _template(service, wanted, fields)
    wanted["spec"]["template"] = template
    if validate_only or _same(service.raw, wanted):
        return
    spec_before = service.raw["spec"]
    service.raw = wanted
    service.generation += 1
    service.serial += 1
    service.failure = ""
    service.spec_us = world.next_us()
    service.ready_since = world.clock.now()
    operation = _start(world, service, who)
    moved = _percents(service, spec_before) != _percents(service, wanted["spec"])
    if new_revision:
        _add_revision(world, service, new_revision, who)
    delay, fails = _course(world, touched=spec_before != wanted["spec"], moved=moved)
    world.touch(service)
    _settle_later(world, service, operation, delay, fails)


def create(world: World, region: str, name: str, body: Json, *, who: str) -> Service:
    """Create a service of a v1 object, with its first revision; raises RpcError ALREADY_EXISTS."""
    if (region, name) in world.services:
        raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"Resource '{name}' already exists.")
    now = world.clock.now()
    metadata = body.get("metadata", {})
    raw: Json = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": world.project_number,
            "uid": world.next_uid(),
            "creationTimestamp": rfc3339(now),
            "labels": {**metadata.get("labels", {}), "cloud.googleapis.com/location": region},
            "annotations": {CREATOR: who},
        },
        "spec": {"template": {"spec": {"containers": []}}},
    }
    service = Service(world.setting.project, region, name, raw, born=now, generation=0)
    checked = copy.deepcopy(body)
    checked.setdefault("metadata", {})
    _wanted(service, checked, V1_FIELDS)
    world.add(service)
    replace(world, service, checked, who=who)
    return service


def delete_service(world: World, service: Service) -> None:
    """Remove a service with its revisions, at once."""
    del world.services[service.region, service.name]


def delete_revision(world: World, service: Service, name: str, *, force: bool = False) -> None:
    """Remove a revision; raises FAILED_PRECONDITION where it is in use, unless forced."""
    if not force and (not service.is_retired(name) or name == service.latest_ready):
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Revision "{name}" cannot be directly deleted because it is actively serving.',
        )
    service.revisions.pop(name, None)
    world.touch(service)


def set_readiness(world: World, service: Service, name: str, state: str, message: str = "") -> None:
    """Let a revision become ready or lose its readiness, of itself."""
    revision = service.revisions.get(name)
    if revision is None:
        return
    revision.become(state, world.clock.now(), "" if state == "ready" else message)
    _note_latest_ready(service)
    world.touch(service)
    world.split_changed(service)


def conflict(service: Service, version: int) -> RpcError:
    """Return the refusal of a write over a version that is not the last one."""
    return RpcError(
        grpc.StatusCode.ABORTED,
        f"Conflict for resource '{service.name}': version '{version}' was specified but current "
        f"version is '{service.spec_us}'.",
    )


# What is wanted, checked.


def _wanted(service: Service, body: Json, fields: Fields) -> Json:
    """Return the object to be stored: the body's labels, annotations, spec; the rest as it is."""
    metadata, spec = body.get("metadata"), body.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise invalid("metadata and spec are required.")
    if metadata.get("name", service.name) != service.name:
        raise invalid(f"metadata.name: {metadata['name']!r} is not the name in the request.")
    check_traffic(service, spec.get("traffic"), fields)
    annotations = metadata.get("annotations") or {}
    if not isinstance(annotations, dict) or not isinstance(metadata.get("labels") or {}, dict):
        raise invalid("metadata.annotations and metadata.labels: maps are expected.")
    check_annotations(annotations, fields)
    kept = service.raw["metadata"].get("annotations", {})
    owned = {key: kept[key] for key in SERVER_OWNED if key in kept}
    wanted = {**copy.deepcopy(service.raw), "spec": copy.deepcopy(spec)}
    wanted["metadata"]["labels"] = dict(metadata.get("labels") or {})
    wanted["metadata"]["labels"]["cloud.googleapis.com/location"] = service.region
    wanted["metadata"]["annotations"] = {
        **{key: value for key, value in annotations.items() if key not in SERVER_OWNED},
        **owned,
    }
    return wanted


def _template(service: Service, wanted: Json, fields: Fields) -> tuple[Json, str]:
    """Return the template to store and the name of the new revision that it needs, or ""."""
    new = wanted["spec"].get("template")
    check_template(new)
    name = new.get("metadata", {}).get("name", "")
    old = service.raw["spec"]["template"]
    if name and name in service.revisions:
        if nameless(service.revisions[name].template) != nameless(new):
            raise RpcError(
                grpc.StatusCode.ALREADY_EXISTS,
                f"Revision named '{name}' with different configuration already exists.",
            )
        return new, ""
    if not name and nameless(old) == nameless(new) and service.revisions:
        return new, ""
    if name and not (name.startswith(f"{service.name}-") and REVISION_NAME.fullmatch(name)):
        raise invalid(
            f"Violation in {fields.template_name}: revision name '{name}' must be lower case, at "
            f"most 63 characters, and start with '{service.name}-'."
        )
    return new, name or _generated_name(service)


def nameless(template: Json) -> Json:
    """Return a template without the revision's name, for comparing."""
    metadata = {key: value for key, value in template.get("metadata", {}).items() if key != "name"}
    return {**template, "metadata": metadata}


def _generated_name(service: Service) -> str:
    seed = service.serial * 7919
    letters = "".join(LETTERS[(seed // 20**place) % 20] for place in range(3))
    return f"{service.name}-{service.generation + 1:05d}-{letters}"


def _same(old: Json, new: Json) -> bool:
    return bool(old["spec"] == new["spec"] and old["metadata"] == new["metadata"])


# What an accepted write leads to.


def _start(world: World, service: Service, who: str) -> Operation:
    operation = world.start_operation(service)
    annotations = service.raw["metadata"]["annotations"]
    annotations[LAST_MODIFIER] = who
    annotations[OPERATION_ID] = operation.name
    return operation


def _percents(service: Service, spec: Json) -> dict[str, int]:
    percents: dict[str, int] = {}
    for target in targets_of(spec.get("traffic")):
        name = target.revision or "LATEST"
        percents[name] = percents.get(name, 0) + target.percent
    return {name: percent for name, percent in percents.items() if percent}


def _course(world: World, *, touched: bool, moved: bool) -> tuple[timedelta, str]:
    """Return how long a write takes to be in force, and why it fails ("": it does not)."""
    if not touched:
        return min(METADATA_SETTLES, world.scenario.run.reconcile), ""
    shift = world.shift_faults.next() if moved else Shift()
    takes = world.scenario.run.reconcile if shift.takes is None else shift.takes
    return takes, shift.fails


def _add_revision(world: World, service: Service, name: str, who: str) -> None:
    now = world.clock.now()
    template = nameless(copy.deepcopy(service.raw["spec"]["template"]))
    revision = Revision(name, world.next_uid(), template, now, who, since=now)
    service.revisions[name] = revision
    service.latest_created = name
    world.revision_made(service, name)

    def start() -> None:
        if service.revisions.get(name) is revision and revision.state == "pending":
            state = "ready" if world.starts(name) else "failed"
            set_readiness(world, service, name, state, NOT_LISTENING)

    _later(world, world.scenario.run.reconcile, start)


def _settle_later(
    world: World, service: Service, operation: Operation, delay: timedelta, fails: str
) -> None:
    generation = service.generation

    def settle() -> None:
        newest = service.revisions.get(service.latest_created)
        if service.generation != generation:
            return
        if newest is not None and newest.state == "pending":
            _later(world, STARTS_WITHIN, settle)  # a service is not ready before its revision
        else:
            _settle(world, service, operation, fails)

    _later(world, delay, settle)


def _later(world: World, delay: timedelta, what: Any) -> None:
    if delay:
        world.clock.at(world.clock.now() + delay, what)
    else:
        what()


def _settle(world: World, service: Service, operation: Operation, fails: str) -> None:
    service.failure = operation.failure = fails or _cannot_serve(service)
    if not service.failure:
        service.in_force = service.desired
    service.observed = service.generation
    service.ready_since = world.clock.now()
    world.touch(service)
    world.split_changed(service)


def _cannot_serve(service: Service) -> str:
    """Return why the split asked for cannot come into force, "" where it can."""
    for target in service.desired:
        name = service.resolve(target)
        revision = service.revisions.get(name)
        if revision is None:
            return (
                f"Revision '{name}' does not exist or is deleted. Update all traffic to route to "
                "currently available revisions."
            )
        # Whether a bare tag on an unready revision fails the split is not established; a revision
        # that lost its readiness is taken to keep its tag.
        if revision.state != "ready" and target.percent:
            return f"Revision '{name}' is not ready and cannot serve traffic. {revision.message}"
    return ""


def _note_latest_ready(service: Service) -> None:
    """Note the newest revision that is ready; one that loses its readiness stays the latest."""
    current = service.revisions.get(service.latest_ready)
    ready = [
        revision
        for revision in service.revisions.values()
        if revision.state == "ready" and (current is None or revision.born >= current.born)
    ]
    if ready:
        service.latest_ready = max(ready, key=_age_order).name


def _age_order(revision: Revision) -> datetime:
    return revision.born
