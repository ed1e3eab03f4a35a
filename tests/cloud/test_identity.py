"""ID tokens through google-auth itself: a metadata server, a key, an impersonated account."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import iam
from google.auth.compute_engine import _metadata

from controller.cloud.clock import SystemClock
from controller.cloud.identity import ASK_AGAIN, Identity
from controller.sandbox import build
from controller.sandbox.scenario import Scenario

AUDIENCE = "https://ion-api-hdgcpokfeg-uc.a.run.app"
EMAIL = "rollout@demo.iam.gserviceaccount.com"


def in_an_hour() -> datetime:
    """Return a time by google-auth's clock, which is the machine's."""
    return SystemClock().now() + timedelta(hours=1)


def a_token(audience: str) -> str:
    """Return a token of the form of a JWT, signed by nobody."""
    claims = {"aud": audience, "exp": int(in_an_hour().timestamp())}
    parts: tuple[Any, ...] = ({"alg": "none"}, claims, {})
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )


class _Google(BaseHTTPRequestHandler):
    """A metadata server, a token endpoint and IAM, on one port. asked: the audiences."""

    asked: list[str]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith("/identity"):
            audience = parse_qs(parts.query)["audience"][0]
            self.asked.append(audience)
            self._answer(a_token(audience), "text/html")
        elif parts.path.endswith(("/project-id", "/universe-domain", "/universe_domain")):
            self._answer("googleapis.com" if "universe" in parts.path else "demo", "text/plain")
        else:
            self._answer(json.dumps({"email": EMAIL, "scopes": [], "aliases": ["default"]}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.endswith(":generateIdToken"):
            self.asked.append(json.loads(body)["audience"])
            self._answer(json.dumps({"token": a_token(self.asked[-1])}))
        elif self.path.endswith(":generateAccessToken"):
            expiry = in_an_hour().strftime("%Y-%m-%dT%H:%M:%SZ")
            self._answer(json.dumps({"accessToken": "a", "expireTime": expiry}))
        else:
            assertion = parse_qs(body)["assertion"][0].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(assertion + "=="))
            if "target_audience" in claims:
                self.asked.append(claims["target_audience"])
            token = a_token(claims.get("target_audience", ""))
            self._answer(json.dumps({"id_token": token, "access_token": "a", "expires_in": 3600}))

    def _answer(self, text: str, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's own name
        del format, args


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve Google's answers; nothing of this machine's own credentials is seen."""
    with a_google() as (host, asked):
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.delenv("NO_GCE_CHECK", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        monkeypatch.setenv("GCE_METADATA_IP", host)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)  # read when it is imported
        monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", False)
        yield host, asked


@contextmanager
def a_google() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Google", (_Google,), {"asked": asked})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_key(host: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": private.decode(),
        "private_key_id": "1",
        "token_uri": f"http://{host}/token",
        "project_id": "demo",
    }


def audience_in(token: str | None) -> str:
    assert token is not None
    claims: dict[str, str] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims["aud"]


def test_on_cloud_run_the_metadata_server_gives_one_token_while_it_is_valid(
    google: tuple[str, list[str]],
) -> None:
    identity = Identity(SystemClock())
    assert audience_in(identity(AUDIENCE)) == AUDIENCE
    assert audience_in(identity(AUDIENCE)) == AUDIENCE
    assert google[1] == [AUDIENCE]
    assert audience_in(identity("https://other.example.com")) == "https://other.example.com"


def test_a_service_accounts_key_gives_one(
    google: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(a_key(google[0])))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert audience_in(Identity(SystemClock())(AUDIENCE)) == AUDIENCE
    assert google[1] == [AUDIENCE]


def test_an_impersonated_account_gives_one(
    google: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = f"http://{google[0]}/v1/projects/-/serviceAccounts/{EMAIL}"
    monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", f"{base}:generateIdToken")
    file = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"{base}:generateAccessToken",
        "source_credentials": a_key(google[0]),
    }
    # Where gcloud writes it; google-auth's own function for ID tokens does not look there.
    (tmp_path / "application_default_credentials.json").write_text(json.dumps(file))
    assert audience_in(Identity(SystemClock())(AUDIENCE)) == AUDIENCE
    assert google[1] == [AUDIENCE]


def test_people_have_none_and_google_is_not_asked(
    google: tuple[str, list[str]], tmp_path: Path
) -> None:
    file = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / "application_default_credentials.json").write_text(json.dumps(file))
    assert Identity(SystemClock())(AUDIENCE) is None
    assert google[1] == []


def test_where_there_was_none_it_is_asked_again_only_after_a_while() -> None:
    clock = build(Scenario()).clock
    made: list[str] = []

    def make(audience: str) -> None:
        made.append(audience)

    identity = Identity(clock, make)
    assert [identity(AUDIENCE), identity(AUDIENCE)] == [None, None]
    assert len(made) == 1
    clock.sleep(ASK_AGAIN)
    identity(AUDIENCE)
    assert len(made) == 2
