"""ID tokens for checks of services that want to know who calls, through google-auth.

From a service account's key, the metadata server, an impersonated service account (gcloud's
`--impersonate-service-account`), or a workload identity pool that impersonates one. People's own
credentials have none for an audience of our choice:
https://cloud.google.com/run/docs/authenticating/service-to-service
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import google.auth
from google.auth import compute_engine, external_account, impersonated_credentials
from google.auth import exceptions as auth
from google.auth.transport.requests import Request
from google.oauth2 import id_token, service_account

from controller.ports import Clock

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
ANSWER_S = 10  # for one answer of the metadata server or IAM: a check shall not wait two minutes
ASK_AGAIN = timedelta(minutes=5)  # where there was no token


class Identity:
    """Who this process is, for one audience after another; a token is kept while it is valid."""

    def __init__(self, clock: Clock, make: Callable[[str], Any] | None = None) -> None:
        self._clock = clock
        self._make = make or credentials_for
        self._known: dict[str, Any] = {}
        self._refused: dict[str, datetime] = {}

    def __call__(self, audience: str) -> str | None:
        """Return an ID token for the audience, None where there is none; never raises."""
        refused = self._refused.get(audience)
        if refused is not None and self._clock.now() - refused < ASK_AGAIN:
            return None
        try:
            return self._token(audience)
        except (auth.GoogleAuthError, ValueError, OSError):
            self._refused[audience] = self._clock.now()
            return None

    def _token(self, audience: str) -> str | None:
        credentials = self._known.get(audience) or self._make(audience)
        if credentials is None:
            self._refused[audience] = self._clock.now()
            return None
        if not credentials.valid:
            credentials.refresh(_request())
        self._known[audience] = credentials
        token: str = credentials.token
        return token


def credentials_for(audience: str) -> Any:
    """Return google-auth's ID token credentials of the ambient identity, None where it has none.

    Raises GoogleAuthError.
    """
    ambient, _project = google.auth.default(scopes=SCOPES, request=_request())
    match ambient:
        case compute_engine.Credentials() | service_account.Credentials():
            return id_token.fetch_id_token_credentials(audience, request=_request())
        case impersonated_credentials.Credentials():
            return _impersonated(ambient, audience)
        case external_account.Credentials() if ambient.service_account_email:
            account = impersonated_credentials.Credentials(
                source_credentials=ambient,
                target_principal=ambient.service_account_email,
                target_scopes=list(SCOPES),
            )
            return _impersonated(account, audience)
        case _:
            return None


def _impersonated(account: Any, audience: str) -> Any:
    return impersonated_credentials.IDTokenCredentials(
        account, target_audience=audience, include_email=True
    )


def _request() -> Any:
    return partial(Request(), timeout=ANSWER_S)
