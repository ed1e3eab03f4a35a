"""The in-process door for HTTP: a transport adapter to mount on a requests session.

Cloud Run's hosts go to the v1 API, all others to the apps of the world. Latencies pass in the
world's time; no socket is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from controller.sandbox.checks import UnknownHost
from controller.sandbox.clock import VirtualClock
from controller.sandbox.web import HttpAnswer

REASONS = {status.value: status.phrase for status in HTTPStatus}


class Answering(Protocol):
    """Something in the world that answers HTTP requests."""

    def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        """Answer one request."""


class SandboxAdapter(BaseAdapter):
    """Answers a session's requests out of the world, while its clock goes on.

    A request that takes longer than its read timeout lets that time pass and raises ReadTimeout; a
    host that is not in the world raises ConnectionError saying so.
    """

    def __init__(self, run_v1: Answering, checks: Answering, clock: VirtualClock) -> None:
        super().__init__()
        self._run_v1 = run_v1
        self._checks = checks
        self._clock = clock

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' own signature
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - requests' own signature
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one prepared request."""
        del stream, verify, cert, proxies
        answer = self._answer(request)
        self._let_pass(answer, _read_timeout(timeout), request)
        return _response(request, answer)

    def close(self) -> None:
        """Do nothing: no connection is open."""

    def _answer(self, request: requests.PreparedRequest) -> HttpAnswer:
        url, method = request.url or "", request.method or "GET"
        body = request.body.encode() if isinstance(request.body, str) else request.body
        host = urlsplit(url).hostname or ""
        cloud_run = host == "run.googleapis.com" or host.endswith("-run.googleapis.com")
        world: Answering = self._run_v1 if cloud_run else self._checks
        try:
            return world.answer(method, url, request.headers, body)
        except UnknownHost as error:
            raise requests.exceptions.ConnectionError(str(error), request=request) from None

    def _let_pass(
        self, answer: HttpAnswer, timeout_s: float | None, request: requests.PreparedRequest
    ) -> None:
        if timeout_s is not None and answer.latency_ms > timeout_s * 1000:
            self._clock.sleep(timedelta(seconds=timeout_s))
            raise requests.exceptions.ReadTimeout(
                f"no answer within {timeout_s:g} s", request=request
            )
        self._clock.sleep(timedelta(milliseconds=answer.latency_ms))


def _response(request: requests.PreparedRequest, answer: HttpAnswer) -> requests.Response:
    """Return the answer as requests' own adapter does, but without urllib3's machinery around it.

    There is no connection to give back, no cookie and nothing to decode: a file is enough to read.
    """
    response = requests.Response()
    response.status_code = answer.status
    response.reason = REASONS.get(answer.status, "")
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.raw = BytesIO(answer.body)
    response.url = request.url or ""
    response.request = request
    return response


def _read_timeout(timeout: Any) -> float | None:
    """Return the read timeout in seconds out of what requests accepts."""
    read = timeout[1] if isinstance(timeout, tuple) else timeout
    read = getattr(read, "read_timeout", read)
    return float(read) if isinstance(read, int | float) else None
