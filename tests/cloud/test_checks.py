"""Checks sent to the sandbox's app, and to a small server of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import requests

from controller.cloud.checks import HttpChecker
from controller.cloud.clock import SystemClock
from controller.ports import Caller, Denied, Refused, Request, Unavailable
from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import HttpRule, Scenario

STABLE = "ion-api-00041-abc"


def checker_in(sandbox: Sandbox, **further: Any) -> HttpChecker:
    session = requests.Session()
    session.mount("https://", sandbox.http_adapter)
    return HttpChecker(session, sandbox.clock, further.pop("env", {}), **further)


def a_world(**rule: Any) -> tuple[Sandbox, str]:
    rules = (HttpRule("GET", "/health", **rule),) if rule else ()
    sandbox = build(Scenario(http=rules))
    return sandbox, sandbox.world.url_of("ion-api")


def test_an_answer_has_status_body_and_latency() -> None:
    sandbox, url = a_world(body={"status": "healthy"}, latency_ms=250.0)
    answer = checker_in(sandbox).send(Request("GET", f"{url}/health"))
    assert (answer.status, answer.body) == (200, {"status": "healthy"})
    assert answer.latency_ms == pytest.approx(250.0)
    assert answer.text == '{"status":"healthy"}'


def test_no_answer_in_time_is_unavailable() -> None:
    sandbox, url = a_world(latency_ms=3000.0)
    request = Request("GET", f"{url}/health", timeout=timedelta(seconds=2))
    with pytest.raises(Unavailable, match="in time"):
        checker_in(sandbox).send(request)


def test_a_host_nobody_knows_is_unavailable() -> None:
    sandbox, _ = a_world()
    with pytest.raises(Unavailable, match=r"elsewhere\.example\.com"):
        checker_in(sandbox).send(Request("GET", "https://elsewhere.example.com/"))


@pytest.mark.parametrize("url", ["", "/health", "ftp://h/x", "https://", "file:///etc/passwd"])
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="URL"):
        checker_in(a_world()[0]).send(Request("GET", url))


def test_a_variable_that_is_not_set_is_refused_by_name() -> None:
    sandbox, url = a_world()
    request = Request("GET", url, headers={"X-Key": "env:API_TOKEN"})
    with pytest.raises(Refused, match="API_TOKEN") as caught:
        checker_in(sandbox).send(request)
    assert "API_TOKEN" in caught.value.mend


OWN = "https://ion-api-hdgcpokfeg-uc.a.run.app"


@pytest.mark.parametrize("token", ["a-token", None])
def test_a_service_that_wants_to_know_who_calls_is_asked_again_with_a_token(
    token: str | None,
) -> None:
    sandbox, _ = a_world(status=403, body=None)
    audiences: list[str] = []

    def identity(audience: str) -> str | None:
        audiences.append(audience)
        return token

    url = sandbox.world.url_of("ion-api", "candidate") + "/health"
    checker = checker_in(sandbox, identity=identity)
    assert checker.send(Request("GET", url, caller=Caller(OWN))).status == 403
    assert audiences == [OWN]
    checker.send(Request("GET", url, headers={"authorization": "mine"}, caller=Caller(OWN)))
    checker.send(Request("GET", url))
    assert audiences == [OWN]


def test_who_we_are_is_never_told_in_plain_text() -> None:
    with a_server() as (checker, url):
        checker._identity = lambda _audience: pytest.fail("a token was asked for")
        needs = Caller(OWN, at_once=True)
        assert checker.send(Request("GET", f"{url}/key", caller=needs)).status == 200


def test_without_the_token_that_it_needs_a_request_is_not_sent() -> None:
    sandbox, url = a_world()
    with pytest.raises(Denied, match=r"no ID token for https://a\.example\.com"):
        checker_in(sandbox).send(
            Request("GET", url, caller=Caller("https://a.example.com", at_once=True))
        )


def test_a_token_or_a_key_that_the_server_repeats_is_shown_to_nobody() -> None:
    with a_server() as (checker, url):
        checker._env = {"KEY": "s3cret-key"}
        answer = checker.send(Request("GET", f"{url}/key", headers={"X-Key": "env:KEY"}))
        assert answer.text == "(secret)"
        checker._env = {"KEY": "s3cret\nkey"}
        with pytest.raises(Refused) as refused:
            checker.send(Request("GET", f"{url}/key", headers={"X-Key": "env:KEY"}))
        assert "s3cret" not in refused.value.what


class _Echo(BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_GET(self) -> None:
        bodies = {
            "/large": b"x" * 70_000,
            "/text": "ä".encode() * 3000,
            "/cookie": (self.headers.get("Cookie") or "none").encode(),
            "/key": (self.headers.get("X-Key") or "").encode(),
        }
        body = bodies.get(self.path, b"{}")
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/text")
        self.send_header("Set-Cookie", "affinity=one")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's own name
        del format, args


@contextmanager
def a_server() -> Iterator[tuple[HttpChecker, str]]:
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with requests.Session() as session:
            checker = HttpChecker(session, SystemClock(), {"API_TOKEN": "secret"})
            yield checker, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with a_server() as (checker, url):
        assert checker.send(Request("GET", f"{url}/away")).status == 302


def test_a_body_over_64_kb_is_not_parsed_and_a_text_is_cut() -> None:
    with a_server() as (checker, url):
        large = checker.send(Request("GET", f"{url}/large"))
        text = checker.send(Request("GET", f"{url}/text"))
    assert (large.body, len(large.text)) == (None, 2048)
    assert (text.body, text.text) == (None, "ä" * 2048)


def test_a_header_from_the_environment_is_filled_in_when_sent() -> None:
    with a_server() as (checker, url):
        answer = checker.send(Request("GET", f"{url}/key", headers={"X-Key": "env:API_TOKEN"}))
    assert answer.text == "(secret)"


def test_a_body_is_sent_as_json() -> None:
    body = {"persona": "루아", "list": [1, None]}
    with a_server() as (checker, url):
        assert checker.send(Request("POST", f"{url}/chat", body=body)).body == body


def test_a_check_carries_no_cookie_of_an_earlier_answer() -> None:
    with a_server() as (checker, url):
        answers = [checker.send(Request("GET", f"{url}/cookie")).text for _ in range(2)]
    assert answers == ["none", "none"]


def test_requests_alike_but_for_the_type_of_a_value_are_not_confused() -> None:
    with a_server() as (checker, url):
        for body in [{"a": 1}, {"a": True}, {"a": 1.0}, {}, {"a": 1}]:
            assert checker.send(Request("POST", url, body=body)).text == json.dumps(body)
