"""What travels between the world's apps and the doors: one HTTP answer.

A value only: who answers is in `checks` and `run_v1`, how it gets to a client in `http`, `serve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer to an HTTP request. latency_ms: the world's time until it arrives."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: float = 0.0
