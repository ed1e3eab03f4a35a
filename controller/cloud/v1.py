"""Cloud Run's v1 (Knative) service object: read as our types, and changed in two places.

Pure functions on the parsed JSON; who sends it is `run`. Field meanings: namespaces.services of
run.googleapis.com v1.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from controller.cloud.unusual import SESSION_AFFINITY, unusual_marks
from controller.engine.observation import Container, ServiceName, ServiceState, Target, Template
from controller.ports import Change

Json = dict[str, Any]
RECORD_KEY = "rollout/record"
"""The annotation of the service that holds the record."""

NO_CONFIGURATION = frozenset(
    {
        "client.knative.dev/nonce",
        "client.knative.dev/user-image",
        "run.googleapis.com/client-name",
        "run.googleapis.com/client-version",
    }
)
"""Labels and annotations of a template by which clients mark who deployed; no revision differs."""


def namespaced(origin: str, name: ServiceName) -> str:
    """Return a service's URL under an origin that means one region ("https://HOST")."""
    path = f"apis/serving.knative.dev/v1/namespaces/{name.project}/services/{name.service}"
    return f"{origin.rstrip('/')}/{path}"


def regional(name: ServiceName) -> str:
    """Return a service's URL at Google: by namespace, on the host of its region."""
    return namespaced(f"https://{name.region}-run.googleapis.com", name)


def located(origin: str, name: ServiceName) -> str:
    """Return a service's URL under an origin that means every region; the path names its own."""
    path = f"v1/projects/{name.project}/locations/{name.region}/services/{name.service}"
    return f"{origin.rstrip('/')}/{path}"


def service_state(name: ServiceName, body: Json) -> ServiceState:
    """Return a v1 Service as our state of the service `name`.

    Raises KeyError, TypeError, ValueError or AttributeError where it is not of that shape.
    """
    metadata, spec, status = body["metadata"], body["spec"], body.get("status", {})
    annotations = metadata.get("annotations") or {}
    ready: Json = next((c for c in status.get("conditions", ()) if c.get("type") == "Ready"), {})
    generation = int(metadata.get("generation", 0))
    is_ready = {"True": True, "False": False}.get(ready.get("status", ""))
    return ServiceState(
        name=name,
        uid=metadata["uid"],
        generation=generation,
        reconciling=is_ready is None
        or int(status.get("observedGeneration", generation)) < generation,
        targets=tuple(
            map(_target, spec.get("traffic") or [{"latestRevision": True, "percent": 100}])
        ),
        statuses=tuple(map(_status, status.get("traffic") or ())),
        ready=is_ready,
        ready_message=ready.get("message", ""),
        latest_ready=status.get("latestReadyRevisionName") or None,
        latest_created=status.get("latestCreatedRevisionName") or None,
        record_text=annotations.get(RECORD_KEY),
        last_modifier=annotations.get("serving.knative.dev/lastModifier", ""),
        url=status.get("url", ""),
        unusual=_unusual(metadata, spec),
    )


def template_state(body: Json) -> Template:
    """Return what a v1 Service's next revision would be made of.

    Raises KeyError, TypeError, ValueError or AttributeError where it is not of that shape.
    """
    template = body["spec"]["template"]
    containers = template["spec"]["containers"]
    return Template(
        generation=int(body["metadata"].get("generation", 0)),
        containers=tuple(
            Container(one.get("name", ""), one["image"], bool(one.get("ports")))
            for one in containers
        ),
        rest=_rest(template),
        facts=_facts(template["spec"]),
    )


def _rest(template: Json) -> str:
    """Return a template's configuration but for the images, the same for the same meaning."""
    plain = copy.deepcopy(template)
    metadata = plain.get("metadata") or {}
    metadata.pop("name", None)
    for kind in ("labels", "annotations"):
        kept = {k: v for k, v in (metadata.get(kind) or {}).items() if k not in NO_CONFIGURATION}
        metadata[kind] = kept
    plain["metadata"] = metadata
    for container in plain["spec"]["containers"]:
        container.pop("image")
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def changed(body: Json, change: Change) -> Json:
    """Return the object with the change's traffic and record; everything else is as it was read.

    With a revision to deploy, the template's name and one container's image change as well.
    """
    wanted = copy.deepcopy(body)
    if change.deploy is not None:
        template = wanted["spec"]["template"]
        template.setdefault("metadata", {})["name"] = change.deploy.revision
        template["spec"]["containers"][change.deploy.container]["image"] = change.deploy.image
    wanted["spec"]["traffic"] = [_entry(target) for target in change.targets]
    annotations = wanted["metadata"].setdefault("annotations", {})
    if change.record_text is None:
        annotations.pop(RECORD_KEY, None)
    else:
        annotations[RECORD_KEY] = change.record_text
    return wanted


Split = tuple[Mapping[str | None, int], Mapping[str, str | None]]


def split_of(targets: Iterable[Target]) -> Split:
    """Return revision → percent and tag → revision: what a traffic list means, in any order."""
    percents: dict[str | None, int] = {}
    tags: dict[str, str | None] = {}
    for target in targets:
        if target.percent:
            percents[target.revision] = percents.get(target.revision, 0) + target.percent
        if target.tag:
            tags[target.tag] = target.revision
    return percents, tags


def _target(entry: Mapping[str, Any]) -> Target:
    latest = entry.get("latestRevision", False)
    return Target(
        None if latest else entry.get("revisionName"),
        int(entry.get("percent") or 0),
        entry.get("tag") or None,
    )


def _status(entry: Mapping[str, Any]) -> Target:
    return Target(
        entry.get("revisionName"),
        int(entry.get("percent") or 0),
        entry.get("tag") or None,
        entry.get("url") or None,
    )


def _entry(target: Target) -> Json:
    entry: Json = {"latestRevision": True}
    if target.revision is not None:
        entry = {"revisionName": target.revision}
    if target.percent:
        entry["percent"] = target.percent
    if target.tag:
        entry["tag"] = target.tag
    return entry


def _unusual(metadata: Json, spec: Json) -> tuple[str, ...]:
    marks = unusual_marks(metadata.get("annotations") or {}, metadata.get("labels") or {})
    template = spec.get("template", {}).get("metadata", {}).get("annotations") or {}
    sticky = template.get("run.googleapis.com/sessionAffinity") == "true"
    return (*marks, SESSION_AFFINITY) if sticky else marks


def _facts(spec: Json) -> dict[str, str]:
    """Return what `v2` calls a revision's facts, images aside; only what the template says."""
    containers = spec["containers"]
    env = [one for container in containers for one in container.get("env") or ()]
    refs = [(one.get("valueFrom") or {}).get("secretKeyRef") or {} for one in env]
    secrets = [ref.get("name") for ref in refs]
    volumes = spec.get("volumes") or ()
    secrets += [(volume.get("secret") or {}).get("secretName") for volume in volumes]
    limits = [(c.get("resources") or {}).get("limits") or {} for c in containers]
    timeout = spec.get("timeoutSeconds")
    return {
        "env": _listed(one.get("name") for one in env),
        "secrets": _listed(secrets),
        "cpu": ", ".join(limit.get("cpu", "") for limit in limits),
        "memory": ", ".join(limit.get("memory", "") for limit in limits),
        "concurrency": str(spec.get("containerConcurrency") or ""),
        "service account": spec.get("serviceAccountName") or "",
        "timeout": f"{timeout} s" if timeout else "",
    }


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted({name for name in names if name}))
