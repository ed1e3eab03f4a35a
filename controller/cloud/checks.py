"""Checks over HTTP behind the `Checker` port: one request, as it was asked for.

What an answer means is decided elsewhere. Nothing is retried and no redirect is followed: a health
check that is sent elsewhere has not been answered by the revision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from controller.cloud.translate import translated
from controller.ports import Answer, Clock, Refused, Request, Unavailable

MOST_BYTES = 64 * 1024
MOST_TEXT = 2048
MOST_KNOWN = 256  # prepared requests kept: a plan has fewer
_CHUNK = 8192
_BAD_REQUEST = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
)
_MS = timedelta(milliseconds=1)


class HttpChecker:
    """Sends checks.

    env: where "env:NAME" in a header is looked up. identity: returns an ID token for an audience
    ("https://HOST"), or None; asked only after a *.run.app host answered 401 or 403 to a request
    without an Authorization header. Takes the session over: no proxy or .netrc of the machine.
    """

    def __init__(
        self,
        session: requests.Session,
        clock: Clock,
        env: Mapping[str, str],
        identity: Callable[[str], str | None] = lambda _audience: None,
    ) -> None:
        session.trust_env = False
        self._session = session
        self._clock = clock
        self._env = env
        self._identity = identity
        self._known: dict[tuple[object, ...], requests.PreparedRequest] = {}

    def send(self, request: Request) -> Answer:
        """Send it once; once more with an ID token where the service wants to know who calls."""
        parts = urlsplit(request.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Refused(f"{request.url!r} is no http(s) URL")
        headers = {name: self._resolved(name, value) for name, value in request.headers.items()}
        answer = self._send(request, headers)
        known = any(name.lower() == "authorization" for name in headers)
        if answer.status in {401, 403} and not known and parts.hostname.endswith(".run.app"):
            # An ID token is for the service; its tags have no audience of their own.
            token = self._identity(f"https://{parts.hostname.rpartition('---')[2]}")
            if token:
                answer = self._send(request, {**headers, "Authorization": f"Bearer {token}"})
        return answer

    def _resolved(self, header: str, value: str) -> str:
        if not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        if name not in self._env:
            raise Refused(
                f"header {header} needs the environment variable {name}",
                f"set {name} and run again",
            )
        return self._env[name]

    def _send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        began = self._clock.now()
        try:
            with self._session.send(
                self._prepared(request, headers),
                timeout=request.timeout.total_seconds(),
                proxies=self._session.proxies,
                allow_redirects=False,
                stream=True,
            ) as response:
                content, whole = self._content(response, began + request.timeout)
                status = response.status_code
        except _BAD_REQUEST as error:
            raise Refused(f"the request cannot be sent: {error}") from error
        except requests.RequestException as error:
            raise translated(error) from error
        latency = (self._clock.now() - began) / _MS
        text = content.decode("utf-8", "replace")
        return Answer(status, _json(content) if whole else None, text[:MOST_TEXT], latency)

    def _prepared(self, request: Request, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Return the request as requests sends it: the same one every time it is asked for.

        Preparing costs requests more than sending. No cookie of an earlier answer is in it.
        """
        body = None if request.body is None else _json_bytes(request.body)
        key = (request.method, request.url, body, *headers.items())
        found = self._known.get(key)
        if found is None:
            sent = CaseInsensitiveDict({**self._session.headers, **headers})
            if body is not None:
                sent.setdefault("Content-Type", "application/json")
            found = requests.Request(request.method, request.url, sent, data=body).prepare()
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def _content(self, response: requests.Response, deadline: datetime) -> tuple[bytes, bool]:
        """Return the first 64 kB of the body, and whether that is all of it."""
        content = b""
        for chunk in response.iter_content(_CHUNK):
            content += chunk
            if len(content) > MOST_BYTES:
                return content[:MOST_BYTES], False
            # The session's timeout is for each read: a body that trickles would never end.
            if self._clock.now() > deadline:
                raise Unavailable("no answer in time: the body did not end")
        return content, True


def _json_bytes(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError as error:
        raise requests.exceptions.InvalidJSONError(error) from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
