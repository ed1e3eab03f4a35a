"""What goes wrong because the scenario says so: by count of calls, never by chance.

`CallFaults` stands around an API; `ShiftFaults` is asked when traffic is changed. Outages of
Monitoring and late data are Monitoring's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import grpc

from controller.sandbox.errors import Handlers, Method, RpcError
from controller.sandbox.scenario import CallFault, Moment, ShiftFault

T = TypeVar("T")

PERMISSIONS = {
    "GetService": "run.services.get",
    "ListServices": "run.services.list",
    "CreateService": "run.services.create",
    "UpdateService": "run.services.update",
    "DeleteService": "run.services.delete",
    "GetRevision": "run.revisions.get",
    "ListRevisions": "run.revisions.list",
    "DeleteRevision": "run.revisions.delete",
    "GetOperation": "run.operations.get",
    "ListTimeSeries": "monitoring.timeSeries.list",
    "CreateTimeSeries": "monitoring.timeSeries.create",
    "ListMetricDescriptors": "monitoring.metricDescriptors.list",
    "GetMetricDescriptor": "monitoring.metricDescriptors.get",
}
"""RPC -> the permission that it needs."""

TEXTS = {
    "UNAVAILABLE": "The service is currently unavailable.",
    "DEADLINE_EXCEEDED": "Deadline Exceeded",
    "INTERNAL": "Internal error encountered.",
    "RESOURCE_EXHAUSTED": (
        "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per region' "
        "of service 'run.googleapis.com'."
    ),
    "ABORTED": "Conflict for resource: it was changed by another request at the same time.",
}


class _Time(Protocol):
    def sleep(self, pause: timedelta) -> None: ...


class _Permissions(Protocol):
    def __call__(self, since: Moment | None, until: Moment | None, /) -> bool: ...


def hits(fault: CallFault | ShiftFault, count: int) -> bool:
    """Tell whether the count-th event (from 1) is one that the fault is about."""
    if fault.every is not None:
        return count % fault.every == 0
    return count in fault.nth if fault.nth else True


@dataclass(frozen=True, slots=True)
class Shift:
    """How one change of traffic goes. takes: None for the usual time. fails: "" for not."""

    takes: timedelta | None = None
    fails: str = ""


class ShiftFaults:
    """Counts the changes of traffic and tells how each goes."""

    def __init__(self, faults: Iterable[CallFault | ShiftFault]) -> None:
        self._faults = [fault for fault in faults if isinstance(fault, ShiftFault)]
        self._count = 0

    def next(self) -> Shift:
        """Return how the next change of traffic goes."""
        self._count += 1
        for fault in self._faults:
            if hits(fault, self._count):
                return Shift(fault.takes, fault.fails or "")
        return Shift()


class CallFaults:
    """Stands around every call: refuses it, delays it, or loses its answer.

    is_on: tells whether now lies between two moments of the scenario.
    """

    def __init__(
        self,
        faults: Iterable[CallFault | ShiftFault],
        denied: Iterable[str],
        clock: _Time,
        is_on: _Permissions,
    ) -> None:
        self._faults = [fault for fault in faults if isinstance(fault, CallFault)]
        self._denied = frozenset(denied)
        self._clock = clock
        self._is_on = is_on
        self._counts: Counter[str] = Counter()

    def around(self, call: str, act: Callable[[], T]) -> T:
        """Let a call of a kind happen as the scenario wants; raises RpcError for a fault."""
        self._counts[call] += 1
        fault = self._hit(call)
        if fault is None:
            return act()
        if fault.error is None:
            self._clock.sleep(fault.takes)
            return act()
        if fault.applied:
            act()
        self._clock.sleep(fault.takes)
        name = "ABORTED" if fault.error == "CONFLICT" else fault.error
        text = fault.text or TEXTS.get(name, f"{name.replace('_', ' ').capitalize()}.")
        raise RpcError(grpc.StatusCode[name], text)

    def wrap(self, handlers: Handlers) -> dict[str, Method]:
        """Return the same table with the faults, and the denied permissions, around it."""
        return {path: self._wrapped(path, method) for path, method in handlers.items()}

    def deny(self, permission: str, resource: str) -> None:
        """Raise PERMISSION_DENIED where nobody has the permission, in Cloud Run's words."""
        if permission in self._denied:
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission '{permission}' denied on resource '{resource}' "
                "(or resource may not exist).",
            )

    def _wrapped(self, path: str, method: Method) -> Method:
        call = path.rsplit("/", 1)[-1]
        permission = PERMISSIONS.get(call, "")
        if permission not in self._denied and all(fault.call != call for fault in self._faults):
            return method

        def handle(request: Any) -> Any:
            self.deny(permission, _resource_of(request))
            return self.around(call, lambda: method.handler(request))

        return Method(method.request, handle)

    def _hit(self, call: str) -> CallFault | None:
        count = self._counts[call]
        for fault in self._faults:
            if fault.call == call and hits(fault, count) and self._is_on(fault.since, fault.until):
                return fault
        return None


def _resource_of(request: Any) -> str:
    """Return the name of what a raw request is about."""
    for field in ("name", "parent"):
        if found := getattr(request, field, ""):
            return str(found)
    return str(getattr(getattr(request, "service", None), "name", ""))
