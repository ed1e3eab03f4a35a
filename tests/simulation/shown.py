"""How a simulated service looks to clients: as v2 of the Admin API shows it, and as v1 does."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

from google.cloud import run_v2

from tests.simulation.service import (
    HOST,
    MODIFIER,
    PROJECT,
    REGION,
    SERVICE,
    Line,
    Revision,
    Service,
    instant,
    path_in,
)

Json = dict[str, Any]
_READY = {True: 4, False: 3, None: 2}
_ServicePb, _RevisionPb = run_v2.Service.pb(), run_v2.Revision.pb()


@lru_cache(maxsize=64)
def revision_v2(it: Revision, region: str = REGION) -> bytes:
    """Return a google.cloud.run.v2.Revision, serialised."""
    shown = _RevisionPb(name=f"{path_in(region)}/revisions/{it.name}", uid=f"r-{it.name}")
    shown.conditions.add(type_="Ready", state=_READY[it.ready], message=it.why)
    shown.create_time.FromDatetime(instant(it.born))
    shown.containers.add(image=f"image:{it.name}")
    return bytes(shown.SerializeToString())


def service_v2(it: Service, region: str) -> bytes:
    path = path_in(region)
    shown = _ServicePb(
        name=path,
        uid=it.uid,
        generation=it.generation,
        observed_generation=it.observed,
        annotations={k: v for k, v in it.notes.items() if k != MODIFIER},
        last_modifier=it.notes.get(MODIFIER, ""),
        reconciling=it.observed < it.generation,
        latest_ready_revision=f"{path}/revisions/{it.latest_ready}" if it.latest_ready else "",
        latest_created_revision=f"{path}/revisions/{it.latest_created}",
        uri=f"https://{HOST}",
        etag=f'"{it.status_at}"',
    )
    for line in it.traffic:
        entry = shown.traffic.add(percent=line.percent, tag=line.tag)
        entry.type_, entry.revision = (2, line.revision) if line.revision else (1, "")
    for line in it.in_force:
        shown.traffic_statuses.add(
            type_=2 if line.revision else 1,
            revision=line.revision or "",
            percent=line.percent,
            tag=line.tag,
            uri=f"https://{line.tag}---{HOST}" if line.tag else "",
        )
    shown.terminal_condition.type_ = "Ready"
    shown.terminal_condition.state = _READY[it.ready]
    shown.terminal_condition.message = it.message
    return bytes(shown.SerializeToString())


def service_v1(it: Service, region: str) -> Json:
    ready = {True: "True", False: "False", None: "Unknown"}[it.ready]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE,
            "namespace": PROJECT,
            "uid": it.uid,
            "generation": it.generation,
            "resourceVersion": _version_text(max(it.version, it.status_at)),
            "annotations": dict(it.notes),
            "labels": {"cloud.googleapis.com/location": region},
        },
        "spec": {
            "template": {"metadata": {}, "spec": {"containers": []}, "image": it.template},
            "traffic": [_v1_line(line) for line in it.traffic],
        },
        "status": {
            "observedGeneration": it.observed,
            "conditions": [{"type": "Ready", "status": ready, "message": it.message}],
            "latestReadyRevisionName": it.latest_ready,
            "latestCreatedRevisionName": it.latest_created,
            "traffic": [_v1_status(it, line) for line in it.in_force],
            "url": f"https://{HOST}",
        },
    }


def _v1_status(it: Service, line: Line) -> Json:
    shown = {**_v1_line(line), "revisionName": line.revision or it.latest_ready}
    return {**shown, "url": f"https://{line.tag}---{HOST}"} if line.tag else shown


def _v1_line(line: Line) -> Json:
    shown: Json = {"revisionName": line.revision} if line.revision else {"latestRevision": True}
    if line.percent:
        shown["percent"] = line.percent
    if line.tag:
        shown["tag"] = line.tag
    return shown


def line_of(entry: Json) -> Line:
    latest = entry.get("latestRevision", False)
    return Line(
        None if latest else entry["revisionName"], entry.get("percent", 0), entry.get("tag", "")
    )


def _version_text(micros: int) -> str:
    return base64.b64encode(micros.to_bytes(8, "big")).decode().rstrip("=")


def version_of(text: str) -> int:
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4)), "big")
