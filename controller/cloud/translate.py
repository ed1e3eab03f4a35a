"""The ONE table from what Google (and HTTP) answer to the errors of `ports`.

A status is known by its gRPC name whichever way it came: as an exception of google-api-core, or as
an HTTP answer of the v1 API. Nothing is retried here; the next tick is the retry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from controller.plan.hiding import without_secrets
from controller.ports import Conflict, Denied, Missing, PortError, Refused, Unavailable

BY_STATUS: dict[str, type[PortError]] = {
    "CANCELLED": Unavailable,
    "UNKNOWN": Unavailable,
    "INVALID_ARGUMENT": Refused,
    "DEADLINE_EXCEEDED": Unavailable,
    "NOT_FOUND": Missing,
    "ALREADY_EXISTS": Refused,
    "PERMISSION_DENIED": Denied,
    "RESOURCE_EXHAUSTED": Unavailable,
    "FAILED_PRECONDITION": Refused,
    "ABORTED": Conflict,
    "OUT_OF_RANGE": Refused,
    "UNIMPLEMENTED": Refused,
    "INTERNAL": Unavailable,
    "UNAVAILABLE": Unavailable,
    "DATA_LOSS": Unavailable,
    "UNAUTHENTICATED": Denied,
}
"""gRPC status name → our error. A code that is not here is Unavailable: its outcome is unknown."""

BY_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""HTTP status → gRPC name, where the body does not say it itself (google/rpc/code.proto)."""

_KUBERNETES = {"AlreadyExists": "ALREADY_EXISTS", "Conflict": "ABORTED", "NotFound": "NOT_FOUND"}

# First fit wins: what a permission begins with → the smallest predefined role that has it.
ROLES = (
    ("run.services.get", "roles/run.viewer"),
    ("run.services.list", "roles/run.viewer"),
    ("run.revisions.get", "roles/run.viewer"),
    ("run.revisions.list", "roles/run.viewer"),
    ("run.operations.get", "roles/run.viewer"),
    ("run.", "roles/run.developer"),
    ("monitoring.", "roles/monitoring.viewer"),
    ("iam.serviceaccounts.actas", "roles/iam.serviceAccountUser"),
    ("serviceusage.", "roles/serviceusage.serviceUsageConsumer"),
)
_PERMISSION = re.compile(r"\b[Pp]ermission:? ['\"]?([a-z]+(?:\.[A-Za-z]+){2})\b")
_DISABLED_API = re.compile(r"\b([a-z]+\.googleapis\.com)\b")
LOG_IN = "run `gcloud auth application-default login`, or give the job a service account"


@contextmanager
def translating() -> Iterator[None]:
    """Turn what the block raises of Google's or requests' errors into one of `ports`."""
    try:
        yield
    except (api.GoogleAPIError, auth.GoogleAuthError, grpc.RpcError) as error:
        raise translated(error) from error
    except requests.RequestException as error:
        raise translated(error) from error


def translated(error: BaseException) -> PortError:
    """Return our error for one of Google's or requests' exceptions."""
    match error:
        case PortError():
            return error
        case api.RetryError():
            cause = error.cause
            return translated(cause) if cause else Unavailable(sentence(str(error)))
        case api.GoogleAPICallError():
            code = error.grpc_status_code
            status = code.name if code is not None else BY_HTTP.get(error.code or 0, "UNKNOWN")
            return from_status(status, error.message or str(error), error.reason or "")
        case grpc.RpcError() if isinstance(error, grpc.Call):
            return from_status(error.code().name, error.details() or "")
        case auth.TransportError():
            return Unavailable(f"no answer from Google's sign-in: {sentence(str(error))}")
        case auth.GoogleAuthError():
            return Denied(f"no usable credentials: {sentence(str(error))}", LOG_IN)
        case requests.Timeout():
            return Unavailable("no answer in time")
        case _:
            return Unavailable(f"no answer: {sentence(str(error)) or type(error).__name__}")


def from_http(status: int, body: str) -> PortError:
    """Return our error for an HTTP answer of a Google API that is not 2xx.

    Two shapes of body are known: Google's {"error": {"status", "message", "details"}} and
    Kubernetes' {"kind": "Status", "reason", "message"}.
    """
    name = BY_HTTP.get(status, "UNAVAILABLE" if status >= 500 else "INVALID_ARGUMENT")
    parsed = _json_object(body)
    error = parsed.get("error")
    if isinstance(error, dict):
        name = str(error.get("status") or name)
        return from_status(name, str(error.get("message") or ""), _reason(error.get("details")))
    name = _KUBERNETES.get(str(parsed.get("reason")), name)
    return from_status(name, str(parsed.get("message") or f"HTTP {status}"))


def from_status(status: str, text: str, reason: str = "") -> PortError:
    """Return our error for a gRPC status name, the server's text and its ErrorInfo's reason."""
    kind = BY_STATUS.get(status, Unavailable)
    what = sentence(text) or status
    if reason == "SERVICE_DISABLED" or "has not been used in project" in text:
        found = _DISABLED_API.search(text)
        name = found[1] if found else "run.googleapis.com monitoring.googleapis.com"
        return Refused(f"the API is not enabled: {what}", f"run `gcloud services enable {name}`")
    if status == "UNAUTHENTICATED":
        return Denied(what, LOG_IN)
    if kind is Denied:
        return Denied(what, _role_for(text))
    if status == "RESOURCE_EXHAUSTED":
        return Unavailable(what, "wait a minute; the quota is per project, region and minute")
    return kind(what)


def _role_for(text: str) -> str:
    found = _PERMISSION.search(text)
    if found is None:
        return "grant roles/run.developer and roles/monitoring.viewer to the account of rollout"
    permission = found[1]
    for start, role in ROLES:
        if permission.lower().startswith(start):
            return f"grant {role}, which has {permission}, to the account that runs rollout"
    return f"grant a role that has {permission} to the account that runs rollout"


def _reason(details: object) -> str:
    entries = details if isinstance(details, list) else []
    return next((str(e["reason"]) for e in entries if isinstance(e, dict) and "reason" in e), "")


def _json_object(body: str) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def sentence(text: str) -> str:
    """Return the text on one line, no longer than a terminal's few, without what looks secret."""
    line = without_secrets(" ".join(text.split()))
    return line if len(line) <= 500 else line[:499] + "…"
