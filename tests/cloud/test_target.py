"""Which project, region and endpoint is meant, and who said so; and clients made for it."""

from __future__ import annotations

import pytest
import requests

from controller.cloud.clients import metric_client, run_clients
from controller.cloud.clock import SystemClock
from controller.cloud.monitoring import CloudMonitoring
from controller.cloud.run import CloudRun
from controller.cloud.target import (
    MONITORING_OVERRIDE,
    RUN_OVERRIDE,
    Endpoint,
    Endpoints,
    Resolved,
    resolve_endpoint,
    resolve_project,
    resolve_region,
)
from controller.engine.observation import ServiceName, Target
from controller.ports import Change, Refused
from controller.sandbox.scenario import Scenario
from controller.sandbox.serve import serve
from controller.sandbox.setting import Setting

NAME = ServiceName("demo", "us-central1", "ion-api")
BOTH = {"CLOUDSDK_CORE_PROJECT": "core", "GOOGLE_CLOUD_PROJECT": "cloud"}


@pytest.mark.parametrize(
    ("flag", "env", "plan", "expected"),
    [
        ("mine", BOTH, "planned", Resolved("mine", "--project")),
        (None, BOTH, "planned", Resolved("core", "CLOUDSDK_CORE_PROJECT")),
        (None, {"GOOGLE_CLOUD_PROJECT": "c"}, "p", Resolved("c", "GOOGLE_CLOUD_PROJECT")),
        (None, {"GOOGLE_CLOUD_PROJECT": ""}, "planned", Resolved("planned", "the plan")),
        (None, {}, None, None),
    ],
)
def test_a_flag_wins_over_the_environment_and_that_over_the_plan(
    flag: str | None, env: dict[str, str], plan: str | None, expected: Resolved | None
) -> None:
    assert resolve_project(flag, env, plan) == expected


def test_a_region_is_resolved_in_the_same_order() -> None:
    env = {"CLOUDSDK_RUN_REGION": "europe-west1"}
    assert resolve_region("r", env, "p") == Resolved("r", "--region")
    assert resolve_region(None, env, "p") == Resolved("europe-west1", "CLOUDSDK_RUN_REGION")
    assert resolve_region(None, {}, "p") == Resolved("p", "the plan")


def test_nothing_set_means_googles_own_endpoints() -> None:
    assert resolve_endpoint({}) == Endpoints(None, None)


@pytest.mark.parametrize(
    ("text", "url", "host", "plaintext"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://localhost", "http://localhost", "localhost:80", True),
        ("http://[::1]:99/", "http://[::1]:99", "[::1]:99", True),
        ("https://run.example.com/", "https://run.example.com", "run.example.com:443", False),
    ],
)
def test_an_override_is_an_origin(text: str, url: str, host: str, *, plaintext: bool) -> None:
    endpoint = resolve_endpoint({RUN_OVERRIDE: text}).run
    assert endpoint == Endpoint(url, RUN_OVERRIDE)
    assert (endpoint.host, endpoint.plaintext) == (host, plaintext)


@pytest.mark.parametrize(
    "text",
    [
        "http://run.example.com/",
        "http://10.0.0.1:80",
        "http://localhost.example.com",
        "run.example.com",
        "https://h/v1/",
        "https://u:p@h/",
        "https://h:99999/",
        "https://[x/",
    ],
)
def test_plaintext_elsewhere_and_what_is_no_origin_are_refused(text: str) -> None:
    with pytest.raises(Refused, match=MONITORING_OVERRIDE):
        resolve_endpoint({MONITORING_OVERRIDE: text})


def test_clients_for_a_plaintext_endpoint_speak_to_a_served_sandbox() -> None:
    with serve(Scenario(), Setting(), real=lambda: 0.0) as served:
        env = {RUN_OVERRIDE: served.address, MONITORING_OVERRIDE: served.address + "/"}
        endpoints = resolve_endpoint(env)
        clients = run_clients(endpoints.run, "rollout/test")
        assert type(clients.session) is requests.Session
        clock = SystemClock()
        run = CloudRun(clients.services, clients.revisions, clients.session, clients.url_of, clock)
        change = Change((Target("ion-api-00041-abc", 100),), "record", raises=False)
        assert run.write(run.observe(NAME), change, clock.now()).record_text == "record"
        metrics = metric_client(endpoints.monitoring, "rollout/test")
        assert CloudMonitoring(metrics).exists("demo", "run.googleapis.com/request_count")
        for client in (clients.services, clients.revisions, metrics):
            client.transport.close()
        clients.session.close()
