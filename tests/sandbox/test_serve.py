"""The world on one loopback port, through real sockets: gRPC, HTTP/1.1, the clock."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import requests
from google.api_core import exceptions
from google.cloud import monitoring_v3, run_v2
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from controller.sandbox.scenario import HttpRule, Scenario
from controller.sandbox.serve import Served, serve
from controller.sandbox.setting import Setting

NAME = "projects/demo/locations/us-central1/services/ion-api"
V1 = "/apis/serving.knative.dev/v1/namespaces/demo/services/ion-api"
CANDIDATE = "ion-api-00042-xyz"


class Ticking:
    """A real clock's seconds, as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def real() -> Ticking:
    return Ticking()


@pytest.fixture
def served(real: Ticking) -> Iterator[Served]:
    silent = HttpRule("GET", "/silent", status=200, latency_ms=1)
    with serve(Scenario(http=(silent,)), Setting(), real=real, speed=60) as running:
        yield running


@pytest.fixture
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as opened:
        yield opened


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def now(session: requests.Session, served: Served) -> str:
    return str(session.get(f"{served.address}/sandbox/clock", timeout=5).json()["now"])


def test_grpc_and_http_share_one_port_and_one_world(
    served: Served, channel: grpc.Channel, session: requests.Session
) -> None:
    services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
    before = services.get_service(name=NAME)
    body = session.get(served.address + V1, timeout=5).json()
    body["metadata"]["annotations"]["rollout/record"] = "{}"
    answer = session.put(served.address + V1, json=body, timeout=5)
    assert answer.status_code == 200
    after = services.get_service(name=NAME)
    assert dict(after.annotations) == {**before.annotations, "rollout/record": "{}"}


def test_refusals_come_through_grpc_with_code_and_text(channel: grpc.Channel) -> None:
    services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
    with pytest.raises(exceptions.NotFound, match="of kind 'SERVICE'"):
        services.get_service(name=NAME.replace("ion-api", "web"))
    with pytest.raises(exceptions.MethodNotImplemented):
        services.get_iam_policy(request={"resource": NAME})


def test_monitoring_answers_on_the_same_port(served: Served, channel: grpc.Channel) -> None:
    client = monitoring_v3.MetricServiceClient(
        transport=MetricServiceGrpcTransport(channel=channel)
    )
    end = served.clock.now()
    series = client.list_time_series(
        request={
            "name": "projects/demo",
            "filter": 'metric.type = "run.googleapis.com/request_count"',
            "interval": {"start_time": end.replace(hour=8), "end_time": end},
        }
    )
    assert sum(point.value.int64_value for one in series for point in one.points) > 1000


def test_urls_of_tags_lead_back_to_the_port(
    served: Served, channel: grpc.Channel, session: requests.Session
) -> None:
    services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
    uri = services.get_service(name=NAME).traffic_statuses[1].uri
    assert uri == f"http://127.0.0.1:{served.port}/tags/ion-api/candidate"
    assert session.get(f"{uri}/health", timeout=5).json()["revision"] == CANDIDATE
    assert session.get(f"{uri}/nothing", timeout=5).status_code == 404
    assert session.get(f"{served.address}/elsewhere", timeout=5).status_code == 404


def test_the_worlds_clock_follows_the_real_one_times_the_speed(
    served: Served, session: requests.Session, real: Ticking
) -> None:
    assert now(session, served) == "2026-01-05T09:00:00.000000Z"
    real.seconds += 2
    assert now(session, served) == "2026-01-05T09:02:00.000000Z"
    real.seconds -= 1
    assert now(session, served) == "2026-01-05T09:02:00.000000Z"


def test_the_worlds_clock_can_be_advanced(served: Served, session: requests.Session) -> None:
    url = f"{served.address}/sandbox/clock"
    answer = session.post(url, json={"advance_s": 90}, timeout=5).json()
    assert answer == {"now": "2026-01-05T09:01:30.000000Z", "speed": 60}
    for nonsense in (b"", b"[]", b'{"advance_s": "NaN"}', b'{"advance_s": 1e300}'):
        assert session.post(url, data=nonsense, timeout=5).status_code == 400


def test_a_request_line_in_absolute_form_is_understood(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    connection.request("GET", f"http://us-central1-localhost:{served.port}{V1}?alt=json")
    answer: Any = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["metadata"]["name"] == "ion-api"


def test_many_clients_at_once_are_all_answered(served: Served, channel: grpc.Channel) -> None:
    services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))

    def ask(number: int) -> str:
        if number % 2:
            return services.get_service(name=NAME).uid
        with requests.Session() as own:
            own.trust_env = False
            return str(own.get(served.address + V1, timeout=5).json()["metadata"]["uid"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(40)))) == 1


def test_clients_that_say_nothing_or_break_off_disturb_nobody(
    served: Served, session: requests.Session
) -> None:
    silent = socket.create_connection(("127.0.0.1", served.port))
    for start in (b"", b"P", b"PRI * HT", b"\x00\x01\x02", b"PUT / HTTP/1.1\r\nContent-Length: 9"):
        with socket.create_connection(("127.0.0.1", served.port)) as broken:
            broken.sendall(start)
    assert now(session, served).startswith("2026")
    silent.close()


def test_closing_ends_connections_that_are_still_open(real: Ticking) -> None:
    served = serve(Scenario(), Setting(), real=real)
    silent = socket.create_connection(("127.0.0.1", served.port))
    silent.settimeout(5)
    silent.sendall(b"GET /sandbox/clock HTTP/1.1\r\nHost: x\r\n\r\n")
    assert silent.recv(12) == b"HTTP/1.1 200"
    served.close()
    while silent.recv(1024):
        pass
    silent.close()


def test_a_port_that_is_taken_is_an_error(served: Served, real: Ticking) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(Scenario(), Setting(), real=real, port=served.port)
