"""What answers an HTTP request in the world, whichever door it came through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
JSON_HEADERS = {"Content-Type": "application/json; charset=UTF-8"}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer. latency_ms: how long the caller waits for it, in the world's time."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: float = 0.0


def json_answer(status: int, value: Any, latency_ms: float = 0.0) -> HttpAnswer:
    """Return an answer with a JSON body."""
    return HttpAnswer(status, JSON_HEADERS, _WRITE(value).encode(), latency_ms)
