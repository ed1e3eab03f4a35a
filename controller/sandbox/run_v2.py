"""google.cloud.run.v2: Services and Revisions over the world.

Answers are serialised once and kept until the service changes. How things look is in `v2_view`,
what a write means in `v2_edits`, who is refused in `writes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2

from controller.sandbox import v2_edits, v2_view, writes
from controller.sandbox.errors import Method, RpcError
from controller.sandbox.operations import Operations
from controller.sandbox.services import Revision, Service
from controller.sandbox.validation import V2_FIELDS, invalid
from controller.sandbox.world import World

CALLER = "caller@example.com"
PARENT = re.compile(r"projects/([^/]+)/locations/([^/]+)")
SERVICE = re.compile(r"projects/([^/]+)/locations/([^/]+)/services/([^/]+)")
REVISION = re.compile(r"projects/([^/]+)/locations/([^/]+)/services/([^/]+)/revisions/([^/]+)")
LARGEST_PAGE = 1000


class RunV2:
    """The two APIs over one world."""

    def __init__(self, world: World, operations: Operations) -> None:
        self._world = world
        self._operations = operations
        self._services: dict[tuple[str, str], tuple[Service, int, bytes]] = {}
        self._revisions: dict[tuple[str, str], tuple[Service, int, bytes]] = {}
        services, revisions = "/google.cloud.run.v2.Services/", "/google.cloud.run.v2.Revisions/"
        self.handlers: dict[str, Method] = {
            path + name: Method(request, handler)
            for path, name, request, handler in (
                (services, "GetService", run_v2.GetServiceRequest.pb(), self.get_service),
                (services, "ListServices", run_v2.ListServicesRequest.pb(), self.list_services),
                (services, "CreateService", run_v2.CreateServiceRequest.pb(), self.create_service),
                (services, "UpdateService", run_v2.UpdateServiceRequest.pb(), self.update_service),
                (services, "DeleteService", run_v2.DeleteServiceRequest.pb(), self.delete_service),
                (
                    services,
                    "TestIamPermissions",
                    iam_policy_pb2.TestIamPermissionsRequest,
                    self.test_iam_permissions,
                ),
                (revisions, "GetRevision", run_v2.GetRevisionRequest.pb(), self.get_revision),
                (revisions, "ListRevisions", run_v2.ListRevisionsRequest.pb(), self.list_revisions),
                (
                    revisions,
                    "DeleteRevision",
                    run_v2.DeleteRevisionRequest.pb(),
                    self.delete_revision,
                ),
            )
        }

    def get_service(self, request: Any) -> bytes:
        """Answer GetService."""
        return self._service_bytes(self._service(request.name))

    def list_services(self, request: Any) -> Any:
        """Answer ListServices; location `-` lists every region."""
        region = self._parent(request.parent)
        found = [
            v2_view.service(self._world, service)
            for (place, _), service in sorted(self._world.services.items())
            if region in {"-", place}
        ]
        page, token = _page(found, request.page_size, request.page_token)
        return run_v2.ListServicesResponse.pb()(services=page, next_page_token=token)

    def create_service(self, request: Any) -> Any:
        """Answer CreateService with an operation."""
        region = self._parent(request.parent)
        if region not in self._world.setting.regions:
            raise invalid(f"Location '{region}' is not one of this world's.")
        body = v2_edits.new_body(request.service, region)
        if request.validate_only:
            return self._operations.finished(request.service)
        service = writes.create(self._world, region, request.service_id, body, who=CALLER)
        return self._operations.show_last(service)

    def update_service(self, request: Any) -> Any:
        """Answer UpdateService with an operation."""
        match = SERVICE.fullmatch(request.service.name)
        if match and request.allow_missing and (match[2], match[3]) not in self._world.services:
            create = run_v2.CreateServiceRequest.pb()(
                parent=f"projects/{match[1]}/locations/{match[2]}",
                service=request.service,
                service_id=match[3],
                validate_only=request.validate_only,
            )
            return self.create_service(create)
        service = self._service(request.service.name)
        self._check_etag(service, request.service.etag)
        shown = v2_view.service(self._world, service)
        wanted = v2_edits.merged(shown, request.service, list(request.update_mask.paths))
        writes.replace(
            self._world,
            service,
            v2_edits.body(service.raw, shown, wanted),
            who=CALLER,
            fields=V2_FIELDS,
            validate_only=request.validate_only,
        )
        if request.validate_only:
            return self._operations.finished(wanted)
        return self._operations.show_last(service)

    def delete_service(self, request: Any) -> Any:
        """Answer DeleteService with an operation that is done."""
        service = self._service(request.name)
        self._check_etag(service, request.etag)
        shown = v2_view.service(self._world, service)
        if not request.validate_only:
            writes.delete_service(self._world, service)
        return self._operations.finished(shown)

    def test_iam_permissions(self, request: Any) -> Any:
        """Answer TestIamPermissions: all are granted but those the scenario denies."""
        denied = self._world.scenario.denied
        granted = [name for name in request.permissions if name not in denied]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)

    def get_revision(self, request: Any) -> bytes:
        """Answer GetRevision."""
        return self._revision_bytes(*self._revision(request.name))

    def list_revisions(self, request: Any) -> Any:
        """Answer ListRevisions, the newest first; service `-` lists every one of the region."""
        match = SERVICE.fullmatch(request.parent)
        if match is None:
            raise invalid(f"'{request.parent}' is not the name of a service.")
        self._own_project(match[1], request.parent)
        owners = (
            [
                service
                for (place, _), service in sorted(self._world.services.items())
                if place == match[2]
            ]
            if match[3] == "-"
            else [self._world.service(match[2], match[3])]
        )
        found = [
            v2_view.revision(owner, revision)
            for owner in owners
            for revision in sorted(owner.revisions.values(), key=_newest_first)
        ]
        page, token = _page(found, request.page_size, request.page_token)
        return run_v2.ListRevisionsResponse.pb()(revisions=page, next_page_token=token)

    def delete_revision(self, request: Any) -> Any:
        """Answer DeleteRevision with an operation that is done; one in use is refused."""
        owner, revision = self._revision(request.name)
        shown = v2_view.revision(owner, revision)
        if not request.validate_only:
            writes.delete_revision(self._world, owner, revision.name)
        return self._operations.finished(shown)

    # Names.

    def _parent(self, parent: str) -> str:
        match = PARENT.fullmatch(parent)
        if match is None:
            raise invalid(f"'{parent}' is not the name of a location.")
        self._own_project(match[1], parent)
        return match[2]

    def _service(self, name: str) -> Service:
        match = SERVICE.fullmatch(name)
        if match is None:
            raise invalid(f"'{name}' is not the name of a service.")
        self._own_project(match[1], name)
        return self._world.service(match[2], match[3])

    def _revision(self, name: str) -> tuple[Service, Revision]:
        match = REVISION.fullmatch(name)
        if match is None:
            raise invalid(f"'{name}' is not the name of a revision.")
        self._own_project(match[1], name)
        return self._world.revision(match[2], match[4], match[3])

    def _own_project(self, project: str, resource: str) -> None:
        if project not in {self._world.setting.project, self._world.project_number}:
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission denied on resource '{resource}' (or resource may not exist).",
            )

    def _check_etag(self, service: Service, etag: str) -> None:
        if not etag or not self._world.scenario.run.etag_enforced or etag == v2_view.etag(service):
            return
        raise RpcError(
            grpc.StatusCode.ABORTED,
            f"Conflict for resource '{service.name}': etag '{etag}' was specified but current "
            f"etag is '{v2_view.etag(service)}'.",
        )

    # Answers, kept.

    def _service_bytes(self, service: Service) -> bytes:
        return _kept(
            self._services,
            (service.region, service.name),
            service,
            lambda: v2_view.service(self._world, service),
        )

    def _revision_bytes(self, owner: Service, revision: Revision) -> bytes:
        return _kept(
            self._revisions,
            (owner.region, revision.name),
            owner,
            lambda: v2_view.revision(owner, revision),
        )


def _kept(
    cache: dict[tuple[str, str], tuple[Service, int, bytes]],
    key: tuple[str, str],
    service: Service,
    make: Callable[[], Any],
) -> bytes:
    """Return an answer's bytes, made anew only when the service has changed."""
    known = cache.get(key)
    if known is not None and known[0] is service and known[1] == service.stamp:
        return known[2]
    made: bytes = make().SerializeToString()
    cache[key] = (service, service.stamp, made)
    return made


def _newest_first(revision: Revision) -> tuple[float, str]:
    return -revision.born.timestamp(), revision.name


def _page(found: Iterable[Any], size: int, token: str) -> tuple[list[Any], str]:
    """Return one page and the token of the next; a token is the number of entries before it."""
    if token and not token.isdigit():
        raise invalid("The page token is invalid.")
    start = int(token or 0)
    everything = list(found)
    end = start + min(size or LARGEST_PAGE, LARGEST_PAGE)
    return everything[start:end], str(end) if end < len(everything) else ""
