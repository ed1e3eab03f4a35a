"""Google's clients, made for Google, for another endpoint, or for a channel that is handed in.

Importing this module costs half a second: wiring does so only when a command needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import google.auth
import grpc
import requests
from google.api_core.gapic_v1.client_info import ClientInfo
from google.cloud.run_v2 import RevisionsClient, ServicesClient
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from controller.cloud import v1
from controller.cloud.target import Endpoint
from controller.cloud.translate import translating
from controller.engine.observation import ServiceName

if TYPE_CHECKING:
    from google.cloud.monitoring_v3 import MetricServiceClient

# gRPC's own waits two minutes in the end: so long after an outage a roll back would still wait.
BACKOFF = ("grpc.max_reconnect_backoff_ms", 10_000)
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True, slots=True)
class RunClients:
    """What `CloudRun` is made of. url_of: a service's URL in the v1 API."""

    services: ServicesClient
    revisions: RevisionsClient
    session: requests.Session
    url_of: Callable[[ServiceName], str]


def run_clients(endpoint: Endpoint | None, user_agent: str) -> RunClients:
    """Return clients of Cloud Run; raises Denied where there are no credentials."""
    if endpoint is not None and endpoint.plaintext:
        session = requests.Session()
        session.trust_env = False
        # One address for every region: the URL must name it.
        url_of = partial(v1.located, endpoint.url)
        return run_clients_on(_plain_channel(endpoint), session, user_agent, url_of)
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

    credentials = _credentials()
    host = endpoint.host if endpoint else "run.googleapis.com"
    info = ClientInfo(user_agent=user_agent)
    return RunClients(
        ServicesClient(
            transport=ServicesGrpcTransport(
                host=host,
                credentials=credentials,
                client_info=info,
                channel=soon_again(ServicesGrpcTransport.create_channel),
            )
        ),
        RevisionsClient(
            transport=RevisionsGrpcTransport(
                host=host,
                credentials=credentials,
                client_info=info,
                channel=soon_again(RevisionsGrpcTransport.create_channel),
            )
        ),
        AuthorizedSession(credentials),
        partial(v1.namespaced, endpoint.url) if endpoint else v1.regional,
    )


def run_clients_on(
    channel: grpc.Channel,
    session: requests.Session,
    user_agent: str,
    url_of: Callable[[ServiceName], str] = v1.regional,
) -> RunClients:
    """Return clients of Cloud Run on a channel and a session that are there already."""
    info = ClientInfo(user_agent=user_agent)
    return RunClients(
        ServicesClient(transport=ServicesGrpcTransport(channel=channel, client_info=info)),
        RevisionsClient(transport=RevisionsGrpcTransport(channel=channel, client_info=info)),
        session,
        url_of,
    )


def another(session: requests.Session) -> requests.Session:
    """Return a session with the same credentials and adapters: one session is for one thread."""
    credentials = getattr(session, "credentials", None)
    if credentials is not None:
        from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415

        return AuthorizedSession(credentials)
    like = requests.Session()
    like.trust_env = session.trust_env
    like.adapters = session.adapters
    return like


def metric_client(endpoint: Endpoint | None, user_agent: str) -> MetricServiceClient:
    """Return a client of Cloud Monitoring; raises Denied where there are no credentials."""
    if endpoint is not None and endpoint.plaintext:
        return metric_client_on(_plain_channel(endpoint), user_agent)
    client, transport_of = _monitoring()
    transport = transport_of(
        host=endpoint.host if endpoint else "monitoring.googleapis.com",
        credentials=_credentials(),
        client_info=ClientInfo(user_agent=user_agent),
        channel=soon_again(transport_of.create_channel),
    )
    made: MetricServiceClient = client(transport=transport)
    return made


def metric_client_on(channel: grpc.Channel, user_agent: str) -> MetricServiceClient:
    """Return a client of Cloud Monitoring on a channel that is there already."""
    info = ClientInfo(user_agent=user_agent)
    client, transport_of = _monitoring()
    made: MetricServiceClient = client(transport=transport_of(channel=channel, client_info=info))
    return made


def _monitoring() -> tuple[Any, Any]:
    """Import Monitoring's client only when it is made: `status` and `rollback` need none."""
    from google.cloud.monitoring_v3 import MetricServiceClient  # noqa: PLC0415
    from google.cloud.monitoring_v3.services.metric_service.transports import (  # noqa: PLC0415
        MetricServiceGrpcTransport,
    )

    return MetricServiceClient, MetricServiceGrpcTransport


@lru_cache(maxsize=16)
def within(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the `timeout` of a call that is tried once.

    A bare number counts for all tries of a call together: google-api-core then wraps each call
    and reads the clock twice, which takes as long as many an answer in the sandbox.
    """
    return lambda call: partial(call, timeout=seconds)


def _credentials() -> Any:
    with translating():
        credentials, _project = google.auth.default(scopes=SCOPES)
    return credentials


def soon_again(create: Callable[..., grpc.Channel]) -> Callable[..., grpc.Channel]:
    """Return a maker of channels, as Google's transports take one, that connect again soon."""

    def make(host: str, *, options: Sequence[tuple[str, Any]] = (), **given: Any) -> grpc.Channel:
        return create(host, options=[*options, BACKOFF], **given)

    return make


def _plain_channel(endpoint: Endpoint) -> grpc.Channel:
    return grpc.insecure_channel(endpoint.host, options=[("grpc.enable_http_proxy", 0), BACKOFF])
