"""A planted secret is in nothing that is told: answers, errors and their causes, logs, plans.

A small server misbehaves in every way that could bring a secret back: it repeats what it was sent
in the body, in headers, in a status line that is none; it sends elsewhere, hangs, or is not there.
"""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
import requests
from click.testing import CliRunner
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from controller.cli.app import cli
from controller.cli.stops import as_stop
from controller.cloud.checks import HttpChecker
from controller.cloud.clock import SystemClock
from controller.cloud.posting import HttpPoster
from controller.cloud.translate import from_http, translated
from controller.plan.diagnostics import PlanInvalid
from controller.plan.hiding import starred, without_secrets
from controller.plan.reader import read_plan
from controller.plan.source import Source
from controller.ports import Answer, PortError, Post, Request

TOKEN = 'pl4nted"s3cret/'
HOOK = "hooks3cret"
ANSWERS = {
    "body": b"HTTP/1.1 500 no\r\nContent-Length: %d\r\n\r\n%s",
    "json": b'HTTP/1.1 500 no\r\nContent-Length: %d\r\n\r\n"%s"',
    "header": b"HTTP/1.1 500 %b\r\nX-Echo: %b\r\nContent-Length: 0\r\n\r\n",
    "no status line": b"%b %b\r\n\r\n",
    "no header": b"HTTP/1.1 200 OK\r\n%b\r\n%b: x\r\nContent-Length: 1\r\n\r\nx",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: %b%b\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b%b\r\n",
    "bad coding": b"HTTP/1.1 200 %b\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n%.3b",
    "redirect": b"HTTP/1.1 307 %.0bx\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n",
    "hangs up": b"%.0b%.0b",
    "hangs": b"",
}


@dataclass
class Server:
    """Answers every connection with the same bytes; "hangs": not at all."""

    answer: bytes = b""
    got: list[bytes] = field(default_factory=list)
    url: str = ""


@contextmanager
def served(answer: bytes, *, hangs: bool = False) -> Iterator[Server]:
    listening = socket.create_server(("127.0.0.1", 0))
    there = Server(answer, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    open_ones: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            there.got.append(connection.recv(65_536))
            if hangs:
                open_ones.append(connection)
                continue
            connection.sendall(there.answer)
            connection.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(2)
        for connection in open_ones:
            connection.close()


def answering(way: str, elsewhere: str) -> bytes:
    echo = TOKEN.encode()
    if way in {"body", "json"}:
        told = echo.replace(b'"', b'\\"') if way == "json" else echo
        return ANSWERS[way] % (len(told) + 2 * (way == "json"), told)
    if way == "hangs":
        return b""
    second = elsewhere.encode() if way == "redirect" else echo
    return ANSWERS[way] % (echo, second)


def everything_of(error: BaseException) -> str:
    """Return what any way of showing an error could show: with causes, as `--debug` does."""
    stop = as_stop(error) if isinstance(error, Exception) else error
    return "".join(traceback.format_exception(error)) + str(stop) + repr(error)


def assert_untold(sink: str) -> None:
    for secret in (TOKEN, TOKEN.replace('"', '\\"'), quote(TOKEN, safe=""), "pl4nted", HOOK):
        assert secret not in sink


@pytest.mark.parametrize("way", ANSWERS)
def test_a_check_tells_nothing_of_its_headers(way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with served(b"HTTP/1.1 200 OK\r\n\r\n") as other:
        with served(answering(way, other.url), hangs=way == "hangs") as server:
            checker = HttpChecker(requests.Session(), SystemClock(), {"KEY": TOKEN})
            url = f"{server.url}/{HOOK}?q={HOOK}"
            request = Request(
                "GET", url, headers={"X-Key": "env:KEY"}, timeout=timedelta(seconds=0.2)
            )
            told: Answer | PortError
            try:
                told = checker.send(request)
                sink = repr(told)
            except PortError as error:
                told, sink = error, everything_of(error)
            assert TOKEN.encode() in server.got[0]  # it was sent, so it could have come back
        assert_untold(sink + caplog.text)
        assert other.got == []  # a redirect is not followed: no header goes to another host


UNSENDABLE: dict[str, tuple[dict[str, Any], str]] = {
    "nobody there": ({"url": f"http://127.0.0.1:1/{HOOK}?q={HOOK}"}, "127.0.0.1:1: connection ref"),
    "no name": ({"url": f"http://h.invalid/{HOOK}?q={HOOK}"}, "h.invalid: its name is not known"),
    "bad port": ({"url": f"http://h.example:x/{HOOK}?q={HOOK}"}, "its URL is not valid"),
    "bad address": ({"url": f"http://[{HOOK}/?q={HOOK}"}, "no http(s) URL"),
    "no host": ({"url": f"https:///{HOOK}?q={HOOK}"}, "no http(s) URL"),
    "long label": ({"url": f"http://{'x' * 70}.example/{HOOK}?q={HOOK}"}, "not "),
    "star": ({"url": f"http://*.example/{HOOK}?q={HOOK}"}, "its URL is not valid"),
    "return in a header": ({"headers": {"x-id": f"{HOOK}\r\nx: y"}}, "the header x-id has a value"),
    "space in a header": ({"headers": {"x-id": f" {HOOK}"}}, "the header x-id has a value"),
    "Korean in a header": ({"headers": {"x-id": f"루아{HOOK}"}}, "the header x-id has a value"),
    "not JSON": ({"body": {HOOK: float("nan")}, "method": "POST"}, "its body is not JSON"),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_why_a_check_cannot_be_sent_or_got_no_answer_is_told_by_kind_and_host(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    changes, told = UNSENDABLE[name]
    plain: dict[str, Any] = {"method": "GET", "url": "http://127.0.0.1:1/"}
    checker = HttpChecker(requests.Session(), SystemClock(), {})
    with pytest.raises(PortError) as error:
        checker.send(Request(**{**plain, **changes}))
    assert told in error.value.what
    assert_untold(everything_of(error.value) + caplog.text)


@pytest.mark.parametrize("way", ANSWERS)
def test_a_message_tells_nothing_of_its_url_and_headers(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served(b"HTTP/1.1 200 OK\r\n\r\n") as other:
        with served(answering(way, other.url), hangs=way == "hangs") as server:
            env = {"URL": f"{server.url}/{HOOK}?token={HOOK}", "KEY": TOKEN}
            poster = HttpPoster(env, SystemClock(), "rollout", within=timedelta(seconds=0.3))
            (told,) = poster.deliver([Post("a", "env:URL", {}, {}, {"x-key": "env:KEY"})])
            assert TOKEN.encode() in server.got[0]
        assert_untold(repr(told) + caplog.text)
        assert other.got == []


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:1/{HOOK}", f"https://127.0.0.1:1/{HOOK}", f"https://[{HOOK}", HOOK,
     f"https://a:{HOOK}@127.0.0.1:x/", f"ftp://{HOOK}", f"http://{HOOK}.example/"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_not_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    poster = HttpPoster({"URL": url}, SystemClock(), "r", within=timedelta(seconds=0.1))
    (told,) = poster.deliver([Post("a", "env:URL", {}, {}, {})])
    assert told.why
    assert_untold(repr(told) + caplog.text)


def test_a_server_that_speaks_no_tls_is_told_without_the_secret() -> None:
    with served(TOKEN.encode()) as server:
        url = server.url.replace("http:", "https:") + f"/{HOOK}"
        poster = HttpPoster({"URL": url}, SystemClock(), "r", within=timedelta(seconds=0.3))
        (told,) = poster.deliver([Post("a", "env:URL", {}, {}, {})])
    assert "certificate" in told.why
    assert_untold(repr(told))


BEARER = "Authorization: Bearer pl4nted.token-x"
ACCESS = "ya29.pl4nted-x_y"
JWT = "eyJhbGciOiJSUzI1NiJ9.pl4ntedpayload.c2ln"


@pytest.mark.parametrize("secret", [BEARER, ACCESS, JWT, "https://me:pl4nted@h/x?key=pl4nted"])
def test_an_error_of_google_is_told_without_the_token_that_it_quotes(secret: str) -> None:
    for error in (
        translated(api.PermissionDenied(f"denied: {secret} is bad")),
        translated(auth.RefreshError(f"invalid_grant {secret}", {"assertion": secret})),
        translated(requests.ConnectionError(f"aborted {secret}")),
        from_http(500, f'{{"error": {{"message": "no {secret}"}}}}'),
    ):
        assert "pl4nted" not in f"{error.what} {error.mend} {as_stop(error)}"


def test_a_traceback_is_shown_without_what_looks_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError(f"{BEARER} {ACCESS} {JWT}") from KeyError("https://me:pl4nted@h")

    monkeypatch.setattr("controller.cli.target.read", fails)
    result = CliRunner().invoke(cli, ["--debug", "validate", "p.yaml"])
    assert "Traceback" in result.stderr
    assert "ValueError" in result.stderr
    assert "pl4nted" not in result.output + result.stderr


HEAD = """\
service: ion-api
stages: [{weight: 10%, hold: 5m}, {weight: 100%}]
gates: {error-rate: {metric: error_rate, max: 1%}}
"""


@pytest.mark.parametrize(
    "line",
    [
        'checks: {h: {get: "https://h.example/x?api_key=pl4nted&a=1", expct: 1}}',
        'checks: {h: {get: "htps://h.example/x?token=pl4nted"}}',
        'checks: {h: {get: "https://me:pl4nted@h.example/x"}}',
        "checks: {h: {get: https://me:pl4nted@h.example/x",
        'checks: {h: {get: "https://h.example", headers: {x-tok: "Bearer pl4nted"}, expct: 1}}',
        'checks: {h: {get: "https://h.example", headers: {authorization: pl4nted}, expct: 1}}',
        'notify: {a: {slack: "https://hooks.slack.com/services/T/B/pl4nted", evnts: []}}',
        'notify: {a: {slack: "https://hooks.slack.com/services/T/B/pl4nted"',
    ],
)
def test_the_line_that_a_diagnostic_shows_has_stars_for_a_secret(line: str) -> None:
    with pytest.raises(PlanInvalid) as invalid:
        read_plan(Source("plan.yaml", f"{HEAD}{line}\n".encode()), env={}, variables={})
    assert "pl4nted" not in str(invalid.value) + repr(invalid.value.diagnostics)


def test_stars_keep_the_columns_and_what_is_no_secret_stays() -> None:
    line = 'get: "https://h/x?page=2&token=abc", Bearer abcdef'
    assert starred(line) == 'get: "https://h/x?page=2&token=***", Bearer ******'
    assert without_secrets("keys and tokens: https://h/x?page=2") == (
        "keys and tokens: https://h/x?page=2"
    )
