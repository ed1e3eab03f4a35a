"""The channels of Google's clients, as wiring makes them for Google itself."""

from __future__ import annotations

from typing import Any

import google.auth
import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.monitoring_v3 import MetricServiceClient
from google.cloud.run_v2 import RevisionsClient, ServicesClient

from controller.cloud.clients import metric_client, run_clients


def test_a_lost_connection_is_made_again_within_seconds_and_messages_may_be_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gRPC's own pause between two tries grows to two minutes, roll back or not."""
    made: dict[str, dict[str, Any]] = {}
    transports = {
        client: client.get_transport_class("grpc")
        for client in (ServicesClient, RevisionsClient, MetricServiceClient)
    }
    for client, transport in transports.items():

        def create(host: str, *, name: str = client.__name__, **given: Any) -> grpc.Channel:
            made[name] = dict(given["options"])
            return grpc.insecure_channel(host)

        monkeypatch.setattr(transport, "create_channel", create)
    monkeypatch.setattr(google.auth, "default", lambda **_given: (AnonymousCredentials(), "demo"))
    run_clients(None, "rollout/test")
    metric_client(None, "rollout/test")
    assert set(made) == {client.__name__ for client in transports}
    for options in made.values():
        assert options["grpc.max_reconnect_backoff_ms"] <= 10_000
        assert options["grpc.max_receive_message_length"] == -1
