"""The service as the world begins: stable at 100%, the candidate ready at 0%.

It looks as `gcloud run deploy --no-traffic --tag` leaves it: LATEST pinned, the candidate's
template with its name in the spec. Candidate and stable differ in image and one variable. Where
the candidate is yet to be deployed, stable has what goes to LATEST.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from controller.sandbox.services import LONG_AGO, Json, Revision, Service, rfc3339
from controller.sandbox.setting import Setting

CREATOR = "ci@example.com"
STABLE_AGE = timedelta(days=30)
CANDIDATE_AGE = timedelta(hours=1)
DEFAULT_GENERATION = 42
PROJECT_NUMBER = "415926535897"


def service(setting: Setting, region: str, now: datetime, next_uid: Callable[[], str]) -> Service:
    """Return the service of a setting in one region, settled, with both revisions ready."""
    old = Revision(setting.stable, next_uid(), template(setting, "v41"), now - STABLE_AGE, CREATOR)
    new = Revision(
        setting.candidate,
        next_uid(),
        template(setting, "v42", new=True),
        now - CANDIDATE_AGE,
        CREATOR,
    )
    there = (old, new) if setting.deployed else (old,)
    for revision in there:
        revision.become("ready", revision.born + timedelta(seconds=24))
    generation = DEFAULT_GENERATION
    built = Service(
        setting.project,
        region,
        setting.service,
        raw=_raw(setting, region, there[-1], old.born - STABLE_AGE, next_uid()),
        born=old.born - STABLE_AGE,
        generation=generation,
        observed=generation,
        ready_since=there[-1].since,
        revisions={revision.name: revision for revision in there},
        latest_created=there[-1].name,
        latest_ready=there[-1].name,
    )
    built.in_force = built.desired
    built.serial = generation
    _begin_long_ago(built)
    return built


def _begin_long_ago(built: Service) -> None:
    """Let the initial split have been in force always."""
    built.note_split(LONG_AGO)


def _raw(setting: Setting, region: str, newest: Revision, born: datetime, uid: str) -> Json:
    traffic: list[Json] = [{"revisionName": setting.stable, "percent": 100}]
    if not setting.deployed:
        traffic = [{"latestRevision": True, "percent": 100}]
    elif setting.candidate_tag:
        traffic.append({"revisionName": setting.candidate, "tag": setting.candidate_tag})
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": setting.service,
            "namespace": PROJECT_NUMBER,
            "selfLink": f"/apis/serving.knative.dev/v1/namespaces/{PROJECT_NUMBER}/services/"
            f"{setting.service}",
            "uid": uid,
            "creationTimestamp": rfc3339(born),
            "labels": {"cloud.googleapis.com/location": region, "team": "api"},
            "annotations": {
                "serving.knative.dev/creator": CREATOR,
                "serving.knative.dev/lastModifier": CREATOR,
                "run.googleapis.com/client-name": "gcloud",
                "run.googleapis.com/client-version": "528.0.0",
                "run.googleapis.com/ingress": "all",
                "run.googleapis.com/ingress-status": "all",
                "deploy.example.com/commit": "8c0ffee",
                **(setting.annotations or {}),
            },
        },
        "spec": {
            "template": {
                **newest.template,
                "metadata": {"name": newest.name, **newest.template["metadata"]},
            },
            "traffic": traffic,
        },
    }


def template(setting: Setting, version: str, *, new: bool = False) -> Json:
    """Return a v1 revision template without a name; `new` adds the variable the candidate has."""
    env: list[Json] = [
        {"name": "LOG_LEVEL", "value": "info"},
        {
            "name": "GATEWAY_KEY",
            "valueFrom": {"secretKeyRef": {"name": "gateway-key", "key": "latest"}},
        },
    ]
    if new:
        env.insert(1, {"name": "GATEWAY_URL", "value": "https://gateway.example.com"})
    return {
        "metadata": {
            "labels": {"run.googleapis.com/startupProbeType": "Default"},
            "annotations": {
                "autoscaling.knative.dev/maxScale": "20",
                "run.googleapis.com/client-name": "gcloud",
                "run.googleapis.com/startup-cpu-boost": "true",
            },
        },
        "spec": {
            "containerConcurrency": 80,
            "timeoutSeconds": 300,
            "serviceAccountName": f"{setting.service}@{setting.project}.iam.gserviceaccount.com",
            "containers": [
                {
                    "image": f"images.example.com/{setting.service}:{version}",
                    "ports": [{"name": "http1", "containerPort": 8080}],
                    "env": env,
                    "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                    "startupProbe": {
                        "timeoutSeconds": 240,
                        "periodSeconds": 240,
                        "failureThreshold": 1,
                        "tcpSocket": {"port": 8080},
                    },
                }
            ],
        },
    }
