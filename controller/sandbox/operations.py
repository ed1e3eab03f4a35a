"""google.longrunning.Operations: the writes of Cloud Run as operations."""

from __future__ import annotations

import re
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from controller.sandbox import v2_view
from controller.sandbox.errors import Method, RpcError
from controller.sandbox.services import Service
from controller.sandbox.world import Operation, World
from controller.sandbox.writes import OPERATION_ID

NAME = re.compile(r"projects/[^/]+/locations/([^/]+)/operations/([^/]+)")
PATH = "/google.longrunning.Operations/"
FAILED = 13


class Operations:
    """The operations of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.handlers: dict[str, Method] = {
            PATH + name: Method(request, handler)
            for name, request, handler in (
                ("GetOperation", operations_pb2.GetOperationRequest, self.get_operation),
                ("WaitOperation", operations_pb2.WaitOperationRequest, self.wait_operation),
                ("ListOperations", operations_pb2.ListOperationsRequest, self.list_operations),
                ("DeleteOperation", operations_pb2.DeleteOperationRequest, self.delete_operation),
            )
        }

    def get_operation(self, request: Any) -> Any:
        """Answer GetOperation."""
        return self._show(self._find(request.name))

    def wait_operation(self, request: Any) -> Any:
        """Answer WaitOperation: let the timeout go by, or less."""
        operation = self._find(request.name)
        if not operation.done:
            self._world.clock.sleep(request.timeout.ToTimedelta())
        return self._show(operation)

    def list_operations(self, _request: Any) -> Any:
        """Answer ListOperations."""
        found = [self._show(operation) for operation in self._world.operations.values()]
        return operations_pb2.ListOperationsResponse(operations=found)

    def delete_operation(self, request: Any) -> Any:
        """Answer DeleteOperation."""
        del self._world.operations[self._find(request.name).name]
        return empty_pb2.Empty()

    def show_last(self, service: Service) -> Any:
        """Return the operation of a service's last write; a finished one where none is known."""
        last = service.raw["metadata"]["annotations"].get(OPERATION_ID, "")
        operation = self._world.operations.get(last)
        if operation is None:
            return self.finished(v2_view.service(self._world, service))
        return self._show(operation)

    def finished(self, answer: Any) -> Any:
        """Return an operation that is done with a raw Service or Revision; it cannot be asked."""
        shown = operations_pb2.Operation(name="", done=True)
        shown.metadata.Pack(answer)
        shown.response.Pack(answer)
        return shown

    def _find(self, name: str) -> Operation:
        match = NAME.fullmatch(name)
        found = self._world.operations.get(match[2]) if match else None
        if found is None or match is None or found.service.region != match[1]:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Operation '{name}' does not exist.")
        return found

    def _show(self, operation: Operation) -> Any:
        service = operation.service
        shown = operations_pb2.Operation(
            name=f"projects/{service.project}/locations/{service.region}/operations/"
            f"{operation.name}",
            done=operation.done,
        )
        now = v2_view.service(self._world, service)
        shown.metadata.Pack(now)
        if operation.failure:
            shown.error.code = FAILED
            shown.error.message = operation.failure
        elif operation.done:
            shown.response.Pack(now)
        return shown
