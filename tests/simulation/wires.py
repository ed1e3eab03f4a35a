"""Google's own clients on wires that end in the world: a gRPC channel and an HTTP adapter.

Requests and answers are serialised for real. Whoever calls is the actor whose thread it is; its
`Door` says what becomes of the call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

import grpc
import requests
import urllib3
from google.cloud import monitoring_v3, run_v2
from requests.adapters import BaseAdapter, HTTPAdapter

from controller.cloud import clients
from controller.cloud.checks import HttpChecker
from controller.cloud.monitoring import CloudMonitoring
from controller.cloud.run import CloudRun
from controller.ports import Clock, Ports
from tests.simulation.cloud import Answer

_HTTP = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_METHODS = {
    "/google.cloud.run.v2.Services/GetService": ("get_service", run_v2.GetServiceRequest.pb()),
    "/google.cloud.run.v2.Services/ListServices": (
        "list_services",
        run_v2.ListServicesRequest.pb(),
    ),
    "/google.cloud.run.v2.Revisions/GetRevision": ("get_revision", run_v2.GetRevisionRequest.pb()),
    "/google.cloud.run.v2.Revisions/ListRevisions": (
        "list_revisions",
        run_v2.ListRevisionsRequest.pb(),
    ),
    "/google.monitoring.v3.MetricService/ListTimeSeries": (
        "monitoring",
        monitoring_v3.ListTimeSeriesRequest.pb(),
    ),
    "/google.monitoring.v3.MetricService/GetMetricDescriptor": (
        "descriptor",
        monitoring_v3.GetMetricDescriptorRequest.pb(),
    ),
}


class Silent(Exception):
    """No answer came within the caller's patience."""


class Door(Protocol):
    """What an actor's calls go through."""

    def rpc(self, kind: str, request: Any, timeout: float) -> bytes:
        """Answer a gRPC call; raises Answer or Silent."""

    def v1(self, method: str, body: Any, timeout: float) -> Mapping[str, Any]:
        """Answer a call of the v1 API; raises Answer or Silent."""

    def app(self, host: str, path: str, timeout: float) -> tuple[int, bytes]:
        """Answer a request to the service itself; raises Silent."""


class _Refused(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[type-arg]
    def __init__(self, status: str, text: str) -> None:
        super().__init__()
        self._code, self._text = grpc.StatusCode[status], text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def add_callback(self, callback: Callable[[], None]) -> bool:
        del callback
        return False

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> NoReturn:
        del timeout
        raise self

    def exception(self, timeout: float | None = None) -> Exception:
        del timeout
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        del timeout

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)


class _Method(grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]
    def __init__(self, here: threading.local, path: str, into: Any, out_of: Any) -> None:
        super().__init__()
        self._here, self._path, self._into, self._out_of = here, path, into, out_of
        self._kind, self._request = _METHODS.get(path, ("", None))

    def __call__(self, request: Any, timeout: float | None = None, *_a: Any, **_k: Any) -> Any:
        if not self._kind:
            raise _Refused("UNIMPLEMENTED", f"the simulated cloud has no {self._path}")
        parsed = self._request.FromString(self._into(request))
        door: Door = self._here.door
        try:
            return self._out_of(door.rpc(self._kind, parsed, timeout or 60.0))
        except Answer as no:
            raise _Refused(no.status, no.text) from None
        except Silent:
            raise _Refused("DEADLINE_EXCEEDED", "Deadline Exceeded") from None

    def with_call(self, request: Any, timeout: float | None = None, *_a: Any, **_k: Any) -> Any:
        return self(request, timeout), _DONE

    def future(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError


class _Channel(grpc.Channel):
    def __init__(self, here: threading.local) -> None:
        super().__init__()
        self._here = here

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_args: Any,
        **_kwargs: Any,
    ) -> _Method:
        return _Method(self._here, method, request_serializer, response_deserializer)

    def unary_stream(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError

    def stream_unary(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError

    def stream_stream(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError

    def subscribe(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def unsubscribe(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def close(self) -> None:
        return None


_DONE = _Refused("OK", "")


class _Adapter(BaseAdapter):
    def __init__(self, here: threading.local) -> None:
        super().__init__()
        self._here = here
        self._real = HTTPAdapter()  # only to turn an answer into a Response

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, timeout: Any = None, **_kwargs: Any
    ) -> requests.Response:
        status, body = self._answer(request, float(timeout or 60.0))
        raw = urllib3.HTTPResponse(
            body=BytesIO(body), status=status, preload_content=False, decode_content=False
        )
        return self._real.build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, request: requests.PreparedRequest, timeout: float) -> tuple[int, bytes]:
        parts = urlsplit(request.url or "")
        host, door = parts.hostname or "", self._here.door
        try:
            if not host.endswith("run.googleapis.com"):
                found: tuple[int, bytes] = door.app(host, parts.path, timeout)
                return found
            body = json.loads(request.body) if request.body else None
            return 200, json.dumps(door.v1(request.method or "GET", body, timeout)).encode()
        except Answer as no:
            code = _HTTP[no.status]
            error = {"code": code, "message": no.text, "status": no.status}
            return code, json.dumps({"error": error}).encode()
        except Silent:
            raise requests.exceptions.ReadTimeout("no answer in time", request=request) from None


class Wires:
    """Google's clients, made once; they hold nothing of a run."""

    def __init__(self) -> None:
        self._here = threading.local()
        channel = _Channel(self._here)
        self._session = requests.Session()
        self._session.trust_env = False
        for prefix in ("https://", "http://"):
            self._session.mount(prefix, _Adapter(self._here))
        self._run = clients.run_clients_on(channel, self._session, "rollout/sim")
        self._monitoring = clients.metric_client_on(channel, "rollout/sim")

    def enter(self, door: Door) -> None:
        """Let this thread's calls go through a door from now on."""
        self._here.door = door

    def ports(self, door: Door, clock: Clock) -> Ports:
        """Return production's adapters for the actor whose thread this is."""
        self.enter(door)
        run = self._run
        router = CloudRun(run.services, run.revisions, run.session, run.url_of, clock)
        checker = HttpChecker(self._session, clock, {})
        return Ports(router, CloudMonitoring(self._monitoring), checker, clock)
