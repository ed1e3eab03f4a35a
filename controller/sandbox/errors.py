"""How an API of the world refuses, and how a method of it is described.

Both doors (the in-process channel and the served port) and every API share these two. No API
lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc


class RpcError(Exception):
    """A refusal as Google's servers give it: a status code and one sentence."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Method:
    """One unary method of an API.

    request: the raw protobuf class (never a proto-plus one) that the bytes are parsed with.
    handler: takes a parsed request; returns a raw protobuf message, or bytes already serialised;
    raises RpcError.
    """

    request: type[Any]
    handler: Callable[[Any], Any]


Handlers = Mapping[str, Method]
"""Method path ("/google.cloud.run.v2.Services/GetService") -> Method."""
