"""Every call to Google has an end: what is given to google-api-core arrives at the channel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import requests

from controller.cloud import monitoring, run
from controller.cloud.clients import metric_client_on, run_clients_on
from controller.engine.observation import ServiceName
from controller.gates.evidence import Requests
from controller.sandbox import build
from controller.sandbox.scenario import Scenario

NAME = ServiceName("demo", "us-central1", "ion-api")
REVISION = "ion-api-00041-abc"


class Noting(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """Notes the timeout (s) of each call that passes, by the method's name."""

    def __init__(self) -> None:
        self.timeouts: dict[str, float | None] = {}

    def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Any],
        client_call_details: Any,
        request: Any,
    ) -> Any:
        name = client_call_details.method.rsplit("/", 1)[-1]
        self.timeouts[name] = client_call_details.timeout
        return continuation(client_call_details, request)


def test_every_read_is_given_up_after_its_time() -> None:
    sandbox, noting = build(Scenario()), Noting()
    channel = grpc.intercept_channel(sandbox.channel, noting)
    clients = run_clients_on(channel, requests.Session(), "rollout/test")
    service = run.CloudRun(
        clients.services, clients.revisions, clients.session, clients.url_of, sandbox.clock
    )
    metrics = monitoring.CloudMonitoring(metric_client_on(channel, "rollout/test"))
    end = sandbox.clock.now()
    service.observe(NAME)
    service.revision(NAME, REVISION)
    metrics.read(NAME, Requests(), (REVISION,), end - timedelta(hours=1), end)
    metrics.exists(NAME.project, "run.googleapis.com/request_count")
    assert noting.timeouts == {
        "GetService": run.READ_SECONDS,
        "GetRevision": run.READ_SECONDS,
        "ListTimeSeries": monitoring.READ_SECONDS,
        "GetMetricDescriptor": monitoring.READ_SECONDS,
    }
