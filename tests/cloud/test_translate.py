"""What Google answers, and which of our errors it becomes."""

from __future__ import annotations

import json

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from controller.cloud.translate import from_http, translated, translating
from controller.ports import Conflict, Denied, Missing, PortError, Refused, Unavailable

DISABLED = (
    "Cloud Monitoring API has not been used in project 1 before or it is disabled. Enable it by "
    "visiting https://console.example.com/apis/api/monitoring.googleapis.com/overview then retry."
)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (api.Aborted("Conflict for resource 'web'"), Conflict),
        (api.AlreadyExists("Revision named 'X' already exists."), Refused),
        (api.FailedPrecondition("not ready"), Refused),
        (api.InvalidArgument("percent"), Refused),
        (api.NotFound("no service"), Missing),
        (api.PermissionDenied("no"), Denied),
        (api.Unauthenticated("no"), Denied),
        (api.ResourceExhausted("quota"), Unavailable),
        (api.ServiceUnavailable("later"), Unavailable),
        (api.DeadlineExceeded("late"), Unavailable),
        (api.InternalServerError("oops"), Unavailable),
        (api.Unknown("?"), Unavailable),
        (api.Cancelled("?"), Unavailable),
        (api.MethodNotImplemented("?"), Refused),
        (api.BadGateway("?"), Unavailable),
        (api.RetryError("10 s exceeded", api.ServiceUnavailable("later")), Unavailable),
        (api.RetryError("10 s exceeded", api.PermissionDenied("no")), Denied),
        (api.RetryError("10 s exceeded", None), Unavailable),
        (auth.DefaultCredentialsError("not found"), Denied),
        (auth.RefreshError("expired"), Denied),
        (auth.TransportError("no route"), Unavailable),
        (requests.ConnectTimeout(), Unavailable),
        (requests.ReadTimeout(), Unavailable),
        (requests.ConnectionError("refused"), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_an_exception_becomes_one_of_ours(error: Exception, ours: type[PortError]) -> None:
    with pytest.raises(PortError) as caught, translating():
        raise error
    assert type(caught.value) is ours
    assert caught.value.__cause__ is error
    assert caught.value.what


@pytest.mark.parametrize(
    ("status", "body", "ours"),
    [
        (409, {"error": {"code": 409, "status": "ABORTED", "message": "Conflict"}}, Conflict),
        (409, {"error": {"code": 409, "status": "ALREADY_EXISTS", "message": "exists"}}, Refused),
        (409, {"kind": "Status", "reason": "AlreadyExists", "message": "exists"}, Refused),
        (409, {"kind": "Status", "reason": "Conflict", "message": "changed"}, Conflict),
        (409, "not JSON", Conflict),
        (400, {"error": {"status": "FAILED_PRECONDITION", "message": "no"}}, Refused),
        (401, "", Denied),
        (403, {"error": {"status": "PERMISSION_DENIED", "message": "no"}}, Denied),
        (404, {"kind": "Status", "reason": "NotFound", "message": "no"}, Missing),
        (429, "", Unavailable),
        (500, "", Unavailable),
        (503, "<html>", Unavailable),
        (504, "", Unavailable),
        (520, "", Unavailable),
        (418, "", Refused),
        (302, "", Refused),
    ],
)
def test_an_http_answer_becomes_one_of_ours(
    status: int, body: object, ours: type[PortError]
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert type(from_http(status, text)) is ours


@pytest.mark.parametrize(
    ("text", "permission", "role"),
    [
        (
            "Permission 'run.services.update' denied on resource 'namespaces/P/services/S' "
            "(or resource may not exist).",
            "run.services.update",
            "roles/run.developer",
        ),
        ("Permission 'run.revisions.list' denied", "run.revisions.list", "roles/run.viewer"),
        (
            "Permission monitoring.timeSeries.list denied (or the resource may not exist).",
            "monitoring.timeSeries.list",
            "roles/monitoring.viewer",
        ),
        (
            "Permission 'iam.serviceaccounts.actAs' denied on service account x",
            "iam.serviceaccounts.actAs",
            "roles/iam.serviceAccountUser",
        ),
        ("Permission 'storage.objects.get' denied", "storage.objects.get", "a role that has"),
        ("You shall not pass", "roles/run.developer", "roles/monitoring.viewer"),
    ],
)
def test_a_refusal_names_the_role_that_has_the_permission(
    text: str, permission: str, role: str
) -> None:
    error = translated(api.PermissionDenied(text))
    assert permission in error.mend
    assert role in error.mend


def test_an_api_that_is_not_enabled_says_how_to_enable_it() -> None:
    body = {"error": {"status": "PERMISSION_DENIED", "message": DISABLED}}
    for error in (translated(api.PermissionDenied(DISABLED)), from_http(403, json.dumps(body))):
        assert type(error) is Refused
        assert error.mend == "run `gcloud services enable monitoring.googleapis.com`"


def test_an_api_that_is_not_enabled_is_known_by_its_reason_too() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
    error = {"status": "PERMISSION_DENIED", "message": "run.googleapis.com", "details": details}
    found = from_http(403, json.dumps({"error": error}))
    assert (type(found), found.mend) == (
        Refused,
        "run `gcloud services enable run.googleapis.com`",
    )


def test_without_credentials_the_login_is_named() -> None:
    error = translated(auth.DefaultCredentialsError("Your default credentials were not found."))
    assert "gcloud auth application-default login" in error.mend


def test_a_long_answer_is_cut_to_one_line() -> None:
    error = from_http(500, json.dumps({"error": {"message": "a\nb " + "x" * 5000}}))
    assert "\n" not in error.what
    assert len(error.what) == 500
