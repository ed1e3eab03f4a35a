"""Which project, region and endpoints a command means, and who said so. No client is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from controller.ports import Refused

RUN_OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"
MONITORING_OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING"
PROJECT_VARIABLES = ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT")
REGION_VARIABLES = ("CLOUDSDK_RUN_REGION",)
IN_THE_PLAN = "the plan"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value and who said so ("--project", an environment variable, "the plan")."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API is. url: "https://HOST[:PORT]", no slash at its end. source: who said so."""

    url: str
    source: str

    @property
    def host(self) -> str:
        """Return HOST:PORT as gRPC wants it."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or (80 if self.plaintext else 443)}"

    @property
    def plaintext(self) -> bool:
        """Tell whether it is spoken to without TLS and without credentials (loopback only)."""
        return self.url.startswith("http://")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints that somebody set; None: Google's own."""

    run: Endpoint | None = None
    monitoring: Endpoint | None = None


def resolve_endpoint(env: Mapping[str, str]) -> Endpoints:
    """Return the endpoints that the environment sets.

    Raises Refused for what is no origin, and for http:// anywhere but on loopback.
    """
    return Endpoints(_endpoint(env, RUN_OVERRIDE), _endpoint(env, MONITORING_OVERRIDE))


def resolve_project(flag: str | None, env: Mapping[str, str], plan: str | None) -> Resolved | None:
    """Return the project: the flag wins over the environment, which wins over the plan."""
    return _first("--project", flag, env, PROJECT_VARIABLES, plan)


def resolve_region(flag: str | None, env: Mapping[str, str], plan: str | None) -> Resolved | None:
    """Return the region, by the same order."""
    return _first("--region", flag, env, REGION_VARIABLES, plan)


def _first(
    option: str,
    flag: str | None,
    env: Mapping[str, str],
    variables: tuple[str, ...],
    plan: str | None,
) -> Resolved | None:
    said = [(flag, option), *((env.get(name), name) for name in variables), (plan, IN_THE_PLAN)]
    return next((Resolved(value, source) for value, source in said if value), None)


def _endpoint(env: Mapping[str, str], variable: str) -> Endpoint | None:
    text = env.get(variable, "").strip()
    if not text:
        return None
    mend = f"set {variable} to https://HOST/, or to http://127.0.0.1:PORT/ for a sandbox"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Refused(f"{variable}: {text!r} is no URL", mend) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused(f"{variable}: {text!r} is no URL", mend)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password:
        raise Refused(f"{variable}: {text!r} has more than scheme, host and port", mend)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Refused(f"{variable}: {text!r} is plaintext and not on this machine", mend)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(f"{parts.scheme}://{host}" + (f":{port}" if port else ""), variable)


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
