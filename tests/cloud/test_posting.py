"""Messages over HTTP: in time or not at all, and no secret in what is said of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller.cloud.clock import SystemClock
from controller.cloud.posting import HttpPoster
from controller.ports import Delivered, Delivery, Post

SECRET = "s3cr3t-t0ken"


@dataclass
class Endpoint:
    """Answers with these statuses in turn, the last one for ever; 0: never."""

    statuses: list[int]
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    url: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)


@contextmanager
def served(endpoint: Endpoint) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            endpoint.got.append((dict(self.headers), json.loads(body)))
            several = len(endpoint.statuses) > 1
            status = endpoint.statuses.pop(0) if several else endpoint.statuses[0]
            if not status:
                endpoint.hanging.wait(10)
                return
            self.send_response(status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(endpoint.body)))
            self.end_headers()
            self.wfile.write(endpoint.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()


def poster(env: dict[str, str], within: float = 3.0) -> HttpPoster:
    return HttpPoster(env, SystemClock(), "rollout/test", within=timedelta(seconds=within))


def post(to: str = "team", url: str = "env:HOOK", text: str = "hi") -> Post:
    return Post(to, url, {"text": text}, {"Idempotency-Key": "r/1"}, {"authorization": "env:TOKEN"})


def sent(endpoint: Endpoint, within: float = 3.0) -> Delivery:
    with served(endpoint):
        env = {"HOOK": f"{endpoint.url}\n", "TOKEN": f"Bearer {SECRET}"}
        (delivery,) = poster(env, within).deliver([post()])
    assert SECRET not in repr(delivery)
    return delivery


def test_a_message_is_sent_as_json_with_its_headers() -> None:
    endpoint = Endpoint([200])
    assert sent(endpoint) == Delivery(Delivered.SENT)
    ((headers, body),) = endpoint.got
    assert body == {"text": "hi"}
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["Idempotency-Key"] == "r/1"
    assert headers["User-Agent"] == "rollout/test"


def test_a_server_error_is_tried_again_at_once() -> None:
    endpoint = Endpoint([500, 503, 204])
    assert sent(endpoint) == Delivery(Delivered.SENT)
    assert len(endpoint.got) == 3


def test_what_fails_three_times_is_left_to_a_later_look() -> None:
    endpoint = Endpoint([500])
    assert sent(endpoint) == Delivery(Delivered.LATER, "it answers 500")
    assert len(endpoint.got) == 3


@pytest.mark.parametrize(
    ("after", "tries"), [("0", 2), ("600", 1), ("Fri, 27 Nov 2026 10:00:00 GMT", 1)]
)
def test_too_many_requests_are_waited_for_only_within_the_look(after: str, tries: int) -> None:
    endpoint = Endpoint([429, 200], headers={"Retry-After": after})
    outcome = sent(endpoint).outcome
    assert outcome is (Delivered.SENT if tries == 2 else Delivered.LATER)
    assert len(endpoint.got) == tries


def test_a_refusal_is_not_tried_again_and_its_word_is_told() -> None:
    endpoint = Endpoint([404], b"no_service")
    assert sent(endpoint) == Delivery(Delivered.NEVER, "it answers 404 (no_service)")
    assert len(endpoint.got) == 1


def test_an_answer_that_quotes_the_secret_is_not_told() -> None:
    assert sent(Endpoint([400], f"bad token {SECRET}".encode())).why == "it answers 400"


def test_a_redirect_is_not_followed() -> None:
    endpoint = Endpoint([302], headers={"Location": "https://example.com/"})
    assert sent(endpoint).outcome is Delivered.NEVER
    assert len(endpoint.got) == 1


def test_an_endpoint_that_hangs_costs_no_more_than_the_time_there_is_and_holds_up_nobody() -> None:
    with served(Endpoint([0])) as hanging, served(Endpoint([200])) as well:
        env = {"HOOK": hanging.url, "WELL": well.url, "TOKEN": "t"}
        began = SystemClock().now()
        found = poster(env, 0.5).deliver(
            [post("a"), post("b", "env:WELL"), post("a", text="2"), post("b", "env:WELL", "2")]
        )
        took = SystemClock().now() - began
    outcomes = [one.outcome for one in found]
    assert outcomes == [Delivered.LATER, Delivered.SENT, Delivered.LATER, Delivered.SENT]
    assert found[0].why == "no answer in time"
    assert took < timedelta(seconds=1.5)
    assert [body["text"] for _, body in well.got] == ["hi", "2"]


@pytest.mark.parametrize(
    ("hook", "outcome", "why"),
    [
        ("", Delivered.LATER, "HOOK is not set where rollout runs"),
        (f"ftp://{SECRET}", Delivered.NEVER, "HOOK is no https URL"),
        (f"http://example.com/{SECRET}", Delivered.NEVER, "HOOK is no https URL"),
        (f"https://[{SECRET}", Delivered.NEVER, "HOOK is no https URL"),
        (f"http://127.0.0.1:1/{SECRET}", Delivered.LATER, "no connection"),
    ],
)
def test_what_cannot_be_sent_is_said_by_the_variables_name(
    hook: str, outcome: Delivered, why: str
) -> None:
    env = {"HOOK": hook, "TOKEN": SECRET}
    assert poster(env).deliver([post()]) == [Delivery(outcome, why)]


def test_a_header_that_cannot_be_sent_is_refused_without_its_value() -> None:
    with served(Endpoint([200])) as endpoint:
        env = {"HOOK": endpoint.url, "TOKEN": f"a\nb: {SECRET}"}
        (delivery,) = poster(env).deliver([post()])
    assert delivery.outcome is Delivered.NEVER
    assert SECRET not in repr(delivery)
