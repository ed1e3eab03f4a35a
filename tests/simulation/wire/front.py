"""A door before a served world: it sees each write as it passes, and may be shut for a while.

gRPC is handed through as it comes; HTTP/1.1 a whole request and a whole answer at a time, so that
somebody can act just before a write is sent on, and just before its answer is.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import BinaryIO

LOOPBACK = "127.0.0.1"
LOOK_S = 0.1  # how often the door's thread looks whether it is shut


@dataclass(frozen=True, slots=True)
class Write:
    """A write on its way. moves: it asks for another split. status: HTTP, 0 before its answer."""

    moves: bool
    status: int = 0


class Front:
    """One controller's way to the world; a context manager that ends every connection.

    at_write: called before a write is sent on, and again before its answer is; False cuts the
    connection there. counts: HTTP statuses of the writes that were answered.
    """

    def __init__(self, world_port: int) -> None:
        self.world_port = world_port
        self.at_write: Callable[[Write], bool] = lambda _write: True
        self.counts: Counter[int] = Counter()
        self._guard = Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[Thread] = []
        self._split: dict[str, int] = {}
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"http://{LOOPBACK}:{self.port}"
        self._listen()

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shut()
        for thread in self._threads:
            thread.join(10)

    def shut(self) -> None:
        """Refuse new connections and cut those that are open, as an outage does."""
        self._is_open = False
        self._door.join(10)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection that is open."""
        with self._guard:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Take connections again, on the same port."""
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._listen()

    def _listen(self) -> None:
        self._is_open = True
        self._listener.settimeout(LOOK_S)
        self._door = self._started(self._take)

    def _take(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._started(partial(self._serve, client))

    def _started(self, what: Callable[[], None]) -> Thread:
        thread = Thread(target=what, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(None)
            with socket.create_connection((LOOPBACK, self.world_port), 10) as world:
                world.settimeout(None)
                for one in (client, world):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._guard:
                    self._open |= {client, world}
                try:
                    if client.recv(3, socket.MSG_PEEK) == b"PRI":
                        _splice(client, world)
                    else:
                        self._exchange(client, world)
                finally:
                    with self._guard:
                        self._open -= {client, world}

    def _exchange(self, client: socket.socket, world: socket.socket) -> None:
        """Hand requests and answers on, a whole one at a time."""
        with client.makefile("rb") as asked, world.makefile("rb") as answered:
            while request := _message(asked):
                head, body = request
                write = Write(_split(body) != self._split) if head.startswith(b"PUT ") else None
                if write is not None and not self.at_write(write):
                    return
                world.sendall(head + body)
                answer = _message(answered)
                if answer is None:
                    return
                if write is not None:
                    status = int(answer[0].split(b" ", 2)[1])
                    self.counts[status] += 1
                    if not self.at_write(Write(write.moves, status)):
                        return
                self._split = _split(answer[1]) or self._split
                client.sendall(answer[0] + answer[1])


def _message(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read one message of HTTP/1.1 as (head, body); None at the end, also in the middle of one."""
    head, length = b"", 0
    while (line := stream.readline(65_536)) not in (b"\r\n", b""):
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if not head or not line:
        return None
    body = stream.read(length)
    return (head + line, body) if len(body) == length else None


def _split(body: bytes) -> dict[str, int]:
    """Return the percents by revision that a service of the v1 API asks for, or {}."""
    try:
        lines = json.loads(body)["spec"]["traffic"]
    except (ValueError, LookupError, TypeError):
        return {}
    found: Counter[str] = Counter()
    for line in lines:
        found[line.get("revisionName", "LATEST")] += line.get("percent", 0)
    return {name: percent for name, percent in found.items() if percent}


def _splice(client: socket.socket, world: socket.socket) -> None:
    back = Thread(target=_pump, args=(world, client), daemon=True)
    back.start()
    _pump(client, world)
    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
