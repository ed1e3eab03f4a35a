"""The served door: one loopback port for gRPC and HTTP/1.1, told apart by the HTTP/2 preface.

gRPC connections are spliced to a gRPC server on a port of its own; HTTP requests are answered
here: Cloud Run's v1 API, the apps under /tags and /services, the world's clock and the inbox under
/sandbox. One request at a time sees the world, at one instant. Printing the address is the CLI's.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, RLock, Thread
from typing import Any
from urllib.parse import urlsplit

import grpc

from controller.sandbox import Sandbox, build
from controller.sandbox.checks import UnknownHost
from controller.sandbox.clock import ServedClock
from controller.sandbox.errors import Method, RpcError
from controller.sandbox.inbox import PATH, Inbox
from controller.sandbox.run_v1 import refusal
from controller.sandbox.scenario import Scenario
from controller.sandbox.services import rfc3339
from controller.sandbox.setting import Setting
from controller.sandbox.web import HttpAnswer, json_answer

LOOPBACK = "127.0.0.1"
PREFACE = b"PRI * HTTP/2.0\r\n"
CHUNK = 64 * 1024
LARGEST_BODY = 4 * 1024 * 1024
LONGEST_WAIT_S = 60.0


def serve(
    scenario: Scenario,
    setting: Setting,
    *,
    real: Callable[[], float],
    port: int = 0,
    speed: float = 1.0,
) -> Served:
    """Make a world and serve it until closed.

    real: a real clock's seconds, never going back (the sandbox reads none itself). port: 0 picks a
    free one. speed: seconds of the world in each real one; 0 lets time pass by POST /sandbox/clock
    only. Raises OSError where the port is taken.
    """
    clock = ServedClock(scenario.start, real, speed)
    return Served(build(scenario, setting, clock=clock), clock, port)


class Served:
    """A world on a port of this machine; a context manager that closes it."""

    def __init__(self, sandbox: Sandbox, clock: ServedClock, port: int = 0) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self._inbox = Inbox()
        self._lock = RLock()
        self._front = _Front(port, self.answer)
        self.port: int = self._front.server_address[1]
        self.address = f"http://{LOOPBACK}:{self.port}"
        sandbox.world.base_url = self.address
        self._grpc = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        self._grpc.add_generic_rpc_handlers((_Table(sandbox.handlers, self._alone),))
        self._front.grpc_port = self._grpc.add_insecure_port(f"{LOOPBACK}:0")
        self._grpc.start()
        self._thread = Thread(target=self._front.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving, end every connection, and wait until all of it has ended."""
        self._front.shutdown()
        self._front.end_connections()
        self._front.server_close()
        self._grpc.stop(None).wait()
        self._thread.join()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _alone(self, act: Callable[[], Any]) -> Any:
        """Let one request see the world, moved on to the present."""
        with self._lock:
            self.clock.catch_up()
            return act()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpAnswer:
        """Answer one HTTP request; target may be a path or, through a proxy, a whole URL."""
        url = target if "://" in target else f"http://{headers.get('Host', LOOPBACK)}{target}"
        answer: HttpAnswer = self._alone(lambda: self._route(method, url, headers, body))
        if answer.latency_ms and self.clock.speed:
            wait_s = answer.latency_ms / 1000 / self.clock.speed
            Event().wait(min(wait_s, LONGEST_WAIT_S))
        return answer

    def _route(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        parts = urlsplit(url)
        if parts.path == "/sandbox/clock":
            return self._clock(method, body)
        if parts.path == PATH or parts.path.startswith(f"{PATH}/"):
            now = rfc3339(self.clock.now())
            return self._inbox.answer(method, parts.path, headers, body, now)
        if self.sandbox.run_v1.knows(parts.path):
            return self.sandbox.run_v1.answer(method, url, headers, body)
        try:
            return self.sandbox.checks.answer(method, url, headers, body)
        except UnknownHost:
            text = f"the sandbox knows nothing at {parts.netloc}{parts.path}"
            return refusal(RpcError(grpc.StatusCode.NOT_FOUND, text))

    def _clock(self, method: str, body: bytes) -> HttpAnswer:
        """Tell the world's time; a POST of {"advance_s": N} lets N seconds pass first."""
        if method == "POST":
            try:
                step = float(json.loads(body)["advance_s"])
                self.clock.sleep(timedelta(seconds=step))
            except (ValueError, KeyError, TypeError, OverflowError):
                text = 'a JSON object {"advance_s": seconds} is expected'
                return refusal(RpcError(grpc.StatusCode.INVALID_ARGUMENT, text))
        return json_answer(200, {"now": rfc3339(self.clock.now()), "speed": self.clock.speed})


class _Table(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The table of methods, as a gRPC server wants it."""

    def __init__(
        self, handlers: Mapping[str, Method], alone: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self._handlers = handlers
        self._alone = alone

    def service(self, handler_call_details: Any) -> Any:
        method = self._handlers.get(handler_call_details.method)
        if method is None:
            return None

        def call(request: Any, context: Any) -> Any:
            try:
                return self._alone(lambda: method.handler(request))
            except RpcError as error:
                context.abort(error.code, error.text)

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=method.request.FromString, response_serializer=_bytes_of
        )


def _bytes_of(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())


class _Front(ThreadingHTTPServer):
    """Accepts every connection: hands gRPC on, answers HTTP/1.1."""

    daemon_threads = False
    allow_reuse_address = False

    def __init__(self, port: int, answer: Callable[..., HttpAnswer]) -> None:
        self.answer = answer
        self.grpc_port = 0
        self._open: set[socket.socket] = set()
        self._guard = RLock()
        super().__init__((LOOPBACK, port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._guard:
            self._open.add(request)
        try:
            if _speaks_http2(request):
                self._splice(request)
            else:
                super().finish_request(request, client_address)
        except ConnectionError:
            pass  # the client went away
        finally:
            with self._guard:
                self._open.discard(request)

    def end_connections(self) -> None:
        """End what is still open, so that every thread comes to its end."""
        with self._guard:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _splice(self, client: socket.socket) -> None:
        with socket.create_connection((LOOPBACK, self.grpc_port)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _speaks_http2(connection: socket.socket) -> bool:
    """Tell whether a connection begins with the HTTP/2 preface, without taking a byte of it."""
    seen = b""
    while len(seen) < len(PREFACE) and PREFACE.startswith(seen):
        now = connection.recv(len(PREFACE), socket.MSG_PEEK | socket.MSG_WAITALL)
        if len(now) == len(seen):
            return False  # closed in the middle
        seen = now
    return seen == PREFACE


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until one side ends, then tell the other."""
    with suppress(OSError):
        while piece := source.recv(CHUNK):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One HTTP/1.1 connection."""

    protocol_version = "HTTP/1.1"
    server_version = "rollout-sandbox"
    server: _Front

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if (
            not length.isdigit()
            or int(length) > LARGEST_BODY
            or "Transfer-Encoding" in self.headers
        ):
            self.close_connection = True
            self._send(json_answer(411, {"error": "a body needs a Content-Length up to 4 MB"}))
            return
        body = self.rfile.read(int(length))
        self._send(self.server.answer(self.command, self.path, self.headers, body))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815

    def _send(self, answer: HttpAnswer) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's own name
        """Say nothing: who serves decides what is printed."""
