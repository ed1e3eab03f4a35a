"""Checks over HTTP behind the `Checker` port: one request, as it was asked for.

What an answer means is decided elsewhere. Nothing is retried and no redirect is followed: a health
check that is sent elsewhere has not been answered by the revision.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from controller.cloud.quiet import keep_quiet
from controller.cloud.unanswered import host_of, why_no_answer, why_not_sent
from controller.plan.hiding import HIDDEN
from controller.ports import Answer, Caller, Clock, Denied, Refused, Request, Unavailable

MOST_BYTES = 64 * 1024
MOST_TEXT = 2048
SECRET_LEAST = 4  # characters: a shorter one would be found in every answer
MOST_KNOWN = 256  # prepared requests kept: a plan has fewer
_CHUNK = 8192
# With ValueError: urllib3 lets its own through, for too long a label, for a value not of latin-1.
_BAD_REQUEST = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidJSONError,
    ValueError,
)
_MS = timedelta(milliseconds=1)


class HttpChecker:
    """Sends checks.

    env: where "env:NAME" in a header is looked up. identity: returns an ID token for an audience,
    or None; asked only for a request that may tell who calls, over https. What is secret (a token,
    what env:NAME stands for) is taken out of every answer and error. Takes the session over: no
    proxy or .netrc of the machine.
    """

    def __init__(
        self,
        session: requests.Session,
        clock: Clock,
        env: Mapping[str, str],
        identity: Callable[[str], str | None] = lambda _audience: None,
    ) -> None:
        keep_quiet()
        session.trust_env = False
        self._session = session
        self._clock = clock
        self._env = env
        self._identity = identity
        self._known: dict[tuple[object, ...], requests.PreparedRequest] = {}

    def send(self, request: Request) -> Answer:
        """Send it once; once more with an ID token where the service wants to know who calls."""
        scheme = _scheme_of(request.url)
        if not scheme:
            raise Refused("what a check asks is no http(s) URL", "write https://host/path")
        headers = {name: self._resolved(name, value) for name, value in request.headers.items()}
        known = any(name.lower() == "authorization" for name in headers)
        caller = None if known or scheme != "https" else request.caller
        if caller is not None and caller.at_once:
            headers |= self._telling(caller, request.url)
        answer = self._send(request, headers)
        if answer.status in {401, 403} and caller is not None and not caller.at_once:
            token = self._identity(caller.audience)
            if token:
                answer = self._send(request, {**headers, **_bearer(token)})
        return answer

    def _telling(self, caller: Caller, url: str) -> dict[str, str]:
        token = self._identity(caller.audience)
        if not token:
            raise Denied(
                f"no ID token for {caller.audience}, which {urlsplit(url).hostname} needs",
                "run as a service account, or impersonate one: docs/plan.md, ID tokens",
            )
        return _bearer(token)

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
        secrets = _secrets(request, headers)
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
        except requests.Timeout:  # no chain of causes here: it quotes what was sent, and what came
            raise Unavailable("no answer in time") from None
        except _BAD_REQUEST as error:
            told = why_not_sent(error, headers)
            raise Refused(f"the request to {host_of(request.url)} cannot be sent: {told}") from None
        except requests.RequestException as error:
            told = why_no_answer(error)
            raise Unavailable(f"no answer from {host_of(request.url)}: {told}") from None
        latency = (self._clock.now() - began) / _MS
        for secret in secrets:  # a server may answer with what it was sent
            for written in _ways_to_write(secret):
                content = content.replace(written.encode(), HIDDEN.encode())
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


def _scheme_of(url: str) -> str:
    """Return http or https, "" where it is no such URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.scheme if parts.scheme in {"http", "https"} and parts.hostname else ""


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _secrets(request: Request, headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the parts of the headers that nobody may read: what the plan does not say itself."""
    found = {value for name, value in headers.items() if request.headers.get(name) != value}
    parts = {part for value in found for part in (value, value.removeprefix("Bearer "))}
    return tuple(sorted((part for part in parts if len(part) >= SECRET_LEAST), key=len)[::-1])


def _ways_to_write(secret: str) -> tuple[str, ...]:
    """Return a secret as it is, within a JSON string, within a URL, and within HTML."""
    ways = (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret))
    return tuple(dict.fromkeys((*ways, html.escape(secret))))


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
