"""The in-process door: a grpc.Channel that calls the world instead of a server.

Google's generated clients work on it unmodified: requests and answers are serialised for real,
refusals are raised as a channel raises them. Only unary calls exist, as in the APIs used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc

from controller.sandbox.errors import Handlers, RpcError

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]


class _Outcome(grpc.Call, grpc.Future):  # type: ignore[type-arg]
    """A call that has ended, seen as the Call and the Future that clients expect."""

    def __init__(
        self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "", answer: Any = None
    ) -> None:
        super().__init__()
        self._code, self._text, self._answer = code, text, answer

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def initial_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
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

    def result(self, timeout: float | None = None) -> Any:
        del timeout
        return self._answer

    def exception(self, timeout: float | None = None) -> Exception | None:
        del timeout
        return None

    def traceback(self, timeout: float | None = None) -> Any:
        del timeout

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        fn(self)


class Refused(_Outcome, grpc.RpcError):  # type: ignore[misc]
    """A call that the world refused: what a real channel raises."""

    def result(self, timeout: float | None = None) -> NoReturn:
        """Raise the refusal."""
        del timeout
        raise self

    def exception(self, timeout: float | None = None) -> Exception:
        """Return the refusal."""
        del timeout
        return self

    def __str__(self) -> str:
        return f"{self._code.name}: {self._text}"


class _UnaryCall(grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]
    """One method of the table, callable as generated stubs call it."""

    def __init__(
        self,
        handlers: Handlers,
        path: str,
        serialize: Serializer | None,
        deserialize: Deserializer | None,
    ) -> None:
        super().__init__()
        self._method = handlers.get(path)
        self._path = path
        self._serialize = serialize or bytes
        self._deserialize = deserialize or bytes

    def __call__(self, request: Any, *_args: Any, **_kwargs: Any) -> Any:
        if self._method is None:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"the sandbox has no method {self._path}")
        parsed = self._method.request.FromString(self._serialize(request))
        try:
            answer = self._method.handler(parsed)
        except RpcError as error:
            raise Refused(error.code, error.text) from None
        return self._deserialize(
            answer if isinstance(answer, bytes) else answer.SerializeToString()
        )

    def with_call(self, request: Any, *_args: Any, **_kwargs: Any) -> tuple[Any, grpc.Call]:
        answer = self(request)
        return answer, _Outcome(answer=answer)

    def future(self, request: Any, *_args: Any, **_kwargs: Any) -> Any:
        try:
            return _Outcome(answer=self(request))
        except Refused as refused:
            return refused


class InProcessChannel(grpc.Channel):
    """A channel to a table of handlers, in this thread, without a socket."""

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self._handlers = handlers

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - grpc's own signature
    ) -> _UnaryCall:
        """Return the callable of one method; an unknown one answers UNIMPLEMENTED."""
        return _UnaryCall(self._handlers, method, request_serializer, response_deserializer)

    def unary_stream(self, method: str, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise: the world has no streams."""
        raise NotImplementedError(f"{method}: the sandbox has no streaming methods")

    stream_unary = unary_stream
    stream_stream = unary_stream

    def subscribe(
        self,
        callback: Callable[[Any], None],
        try_to_connect: bool | None = False,  # noqa: FBT001, FBT002 - grpc's own signature
    ) -> None:
        """Tell the callback that the channel is ready, once and for all."""
        del try_to_connect
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        """Do nothing: nobody is told twice."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def __enter__(self) -> InProcessChannel:
        return self

    def __exit__(self, *_exc: object) -> bool | None:
        return None
