"""Cloud Run's v1 (Knative) API over HTTP: what the one guarded write and gcloud use.

GET, POST, PUT and DELETE of services, GET and DELETE of revisions, under
`/apis/serving.knative.dev/v1/namespaces/PROJECT` and, for gcloud, `/v1/projects/PROJECT/…`. How
things look is in `v1_view`, who is refused in `writes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc

from controller.sandbox import v1_view, writes
from controller.sandbox.errors import RpcError
from controller.sandbox.faults import CallFaults
from controller.sandbox.services import Json, Service
from controller.sandbox.validation import invalid
from controller.sandbox.web import HttpAnswer, json_answer
from controller.sandbox.world import World

CALLER = "caller@example.com"
NAMESPACED = re.compile(
    r"/apis/serving\.knative\.dev/v1/namespaces/([^/]+)/(services|revisions)(?:/([^/:]+))?"
)
LOCATED = re.compile(
    r"/v1/projects/([^/]+)/locations/([^/]+)/(services|revisions|operations)"
    r"(?:/([^/:]+))?(?::([A-Za-z]+))?"
)
PROJECT = re.compile(r"/v1/projects/([^/:]+)")
HOST = re.compile(r"(?:([a-z0-9-]+)-)?(?:run\.googleapis\.com|localhost|127\.0\.0\.1)")
HTTP_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
VERBS = {"GET": "get", "PUT": "update", "POST": "create", "DELETE": "delete"}
DELETED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


@dataclass(frozen=True, slots=True)
class _Request:
    """A request, taken apart. region "-": every one. name "": the whole list. verb: after `:`."""

    method: str
    kind: str
    region: str
    name: str
    verb: str
    query: Mapping[str, list[str]]
    body: Any


class RunV1:
    """The API over one world."""

    def __init__(self, world: World, faults: CallFaults) -> None:
        self._world = world
        self._faults = faults

    def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        """Answer one request; url may be absolute, its host then tells the region."""
        del headers
        try:
            parts = urlsplit(url)
            if PROJECT.fullmatch(parts.path):
                return json_answer(200, self._project())
            request = self._request(method.upper(), parts, body)
            self._check_permission(request)
            return self._faults.around(method.upper(), lambda: self._handle(request))
        except RpcError as error:
            return refusal(error)

    def knows(self, path: str) -> bool:
        """Tell whether a path belongs to this API."""
        return path.startswith(("/apis/serving.knative.dev/", "/v1/projects/"))

    def _request(self, method: str, parts: Any, body: bytes | None) -> _Request:
        query = parse_qs(parts.query)
        content = _json(body) if method in {"PUT", "POST"} else None
        if match := NAMESPACED.fullmatch(parts.path):
            self._own_project(match[1], parts.path)
            region = self._region_of(parts.hostname or "")
            return _Request(method, match[2], region, match[3] or "", "", query, content)
        if match := LOCATED.fullmatch(parts.path):
            self._own_project(match[1], parts.path)
            return _Request(
                method, match[3], match[2], match[4] or "", match[5] or "", query, content
            )
        raise _unknown(parts.path)

    def _region_of(self, host: str) -> str:
        match = HOST.fullmatch(host)
        return (match[1] if match else None) or self._world.setting.regions[0]

    def _own_project(self, project: str, resource: str) -> None:
        if project not in {self._world.setting.project, self._world.project_number}:
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission denied on resource '{resource}' (or resource may not exist).",
            )

    def _check_permission(self, request: _Request) -> None:
        verb = "list" if request.method == "GET" and not request.name else VERBS.get(request.method)
        if request.verb:
            return
        self._faults.deny(
            f"run.{request.kind}.{verb}",
            f"namespaces/{self._world.setting.project}/{request.kind}/{request.name}",
        )

    def _handle(self, request: _Request) -> HttpAnswer:
        actions: dict[tuple[str, str], Callable[[_Request], Any]] = {
            ("services", "GET"): self._get_services,
            ("services", "PUT"): self._replace,
            ("services", "POST"): self._create,
            ("services", "DELETE"): self._delete_service,
            ("revisions", "GET"): self._get_revisions,
            ("revisions", "DELETE"): self._delete_revision,
            ("operations", "GET"): self._get_operation,
            ("operations", "POST"): self._get_operation,
        }
        action = actions.get((request.kind, request.method))
        if action is None:
            raise _unknown(f"{request.method} {request.kind}")
        return json_answer(200, action(request))

    def _project(self) -> Json:
        return {
            "projectId": self._world.setting.project,
            "projectNumber": self._world.project_number,
            "lifecycleState": "ACTIVE",
        }

    # Services.

    def _get_services(self, request: _Request) -> Json:
        if request.verb == "getIamPolicy":
            return {"etag": "ACAB", "version": 1}
        if request.name:
            return v1_view.service(self._world, self._service(request))
        found = [
            v1_view.service(self._world, service)
            for (region, _), service in sorted(self._world.services.items())
            if request.region in {"-", region}
        ]
        return _list("ServiceList", found)

    def _replace(self, request: _Request) -> Json:
        service = self._service(request)
        writes.replace(
            self._world,
            service,
            request.body,
            who=CALLER,
            version=v1_view.version_of(request.body.get("metadata")),
            validate_only=_is_dry(request),
        )
        return v1_view.service(self._world, service)

    def _create(self, request: _Request) -> Json:
        if request.verb == "testIamPermissions":
            asked = request.body.get("permissions", [])
            denied = self._world.scenario.denied
            return {"permissions": [name for name in asked if name not in denied]}
        if request.verb == "setIamPolicy":
            return dict(request.body.get("policy", {}))
        name = request.body.get("metadata", {}).get("name", "")
        service = writes.create(self._world, request.region, name, request.body, who=CALLER)
        return v1_view.service(self._world, service)

    def _delete_service(self, request: _Request) -> Json:
        service = self._service(request)
        if not _is_dry(request):
            writes.delete_service(self._world, service)
        return DELETED

    def _service(self, request: _Request) -> Service:
        return self._world.service(request.region, request.name)

    # Revisions and operations.

    def _get_revisions(self, request: _Request) -> Json:
        if request.name:
            return v1_view.revision(
                self._world, *self._world.revision(request.region, request.name)
            )
        found = [
            v1_view.revision(self._world, owner, revision)
            for (region, _), owner in sorted(self._world.services.items())
            if request.region in {"-", region}
            for revision in sorted(owner.revisions.values(), key=lambda it: it.born, reverse=True)
        ]
        for selector in request.query.get("labelSelector", []):
            found = [revision for revision in found if _selected(revision, selector)]
        return _list("RevisionList", found)

    def _delete_revision(self, request: _Request) -> Json:
        owner, revision = self._world.revision(request.region, request.name)
        if not _is_dry(request):
            writes.delete_revision(self._world, owner, revision.name)
        return DELETED

    def _get_operation(self, request: _Request) -> Json:
        operation = self._world.operations.get(request.name)
        if operation is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Operation '{request.name}' does not exist.")
        service = operation.service
        name = f"projects/{service.project}/locations/{service.region}/operations/{request.name}"
        if not operation.done:
            return {"name": name, "done": False}
        if operation.failure:
            return {"name": name, "done": True, "error": {"code": 13, "message": operation.failure}}
        return {"name": name, "done": True, "response": v1_view.service(self._world, service)}


def refusal(error: RpcError) -> HttpAnswer:
    """Return the HTTP answer of a refusal, in Google's error envelope."""
    code = HTTP_CODES.get(error.code, 500)
    return json_answer(
        code, {"error": {"code": code, "message": error.text, "status": error.code.name}}
    )


def _unknown(what: str) -> RpcError:
    return RpcError(grpc.StatusCode.NOT_FOUND, f"The sandbox does not know {what}.")


def _json(body: bytes | None) -> Any:
    try:
        content = json.loads(body or b"{}")
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received: {error}") from None
    if not isinstance(content, dict):
        raise invalid("Invalid JSON payload received: an object is expected.")
    return content


def _is_dry(request: _Request) -> bool:
    return request.query.get("dryRun") == ["all"]


def _list(kind: str, items: list[Json]) -> Json:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": kind,
        "metadata": {},
        "items": items,
    }


def _selected(revision: Json, selector: str) -> bool:
    """Tell whether a revision's labels fit `key = value[, key = value]`."""
    labels = revision["metadata"]["labels"]
    pairs = (term.partition("=") for term in selector.split(","))
    return all(labels.get(key.strip()) == value.strip(" =") for key, _, value in pairs)
