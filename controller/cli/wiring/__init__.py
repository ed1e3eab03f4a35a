"""The one place that knows which world a command is in, and makes the adapters for it.

Production and the sandbox get the same adapters; only what they talk to differs: Google, a served
sandbox (by the environment), or a world in this process. Google's libraries are imported here, when
a command connects.
"""

from __future__ import annotations

import difflib
import getpass
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from controller import __version__
from controller.cli.stops import Code, Stop
from controller.cloud.target import (
    IN_THE_PLAN,
    Resolved,
    resolve_endpoint,
    resolve_project,
    resolve_region,
)
from controller.engine.observation import ServiceName
from controller.ports import Ports

if TYPE_CHECKING:
    import requests

    from controller.plan.model import Plan
    from controller.ports import MetricSource, Notifier
    from controller.sandbox import Sandbox
    from controller.sandbox.scenario import Scenario

__all__ = [
    "IN_THE_PLAN",
    "Connection",
    "Rehearsal",
    "Resolved",
    "connect",
    "connections",
    "herald",
    "rehearse",
    "resolve_project",
    "resolve_region",
    "scenario_named",
    "scenarios",
    "shown",
    "wall_clock",
]

USER_AGENT = f"rollout/{__version__}"
CLOCK = "ROLLOUT_SANDBOX_CLOCK"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A world in this process and the people in it.

    candidate, stable: the world's revisions. excess: the candidate's failed requests so far
    beyond stable's rate, by the world's truth.
    """

    scenario: str
    people_left: Callable[[], bool]
    tell: Callable[[str], None]
    listen: Callable[[Callable[[str, Mapping[str, str]], None]], None]
    candidate: str
    stable: str
    excess: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Connection:
    """The ports of a command. stop: ends a sleep under way and all later ones.

    person: who acts, as the record will say. controller: the id of this process, as a
    controller that stays. rehearsal: None outside the sandbox.
    """

    name: ServiceName
    ports: Ports
    stop: Callable[[], None]
    person: Callable[[], str]
    controller: str
    rehearsal: Rehearsal | None = None

    def now(self) -> datetime:
        """Return the time of the world this command is in."""
        return self.ports.clock.now()


def scenarios() -> list[str]:
    """Return the names of the packaged scenarios."""
    from controller.sandbox.scenario import names

    return names()


def scenario_named(scenario: str) -> Scenario:
    """Return a packaged scenario, or a file's; raises Stop (2) where it cannot be used."""
    from controller.sandbox.scenario import ScenarioError, load

    try:
        return load(scenario)
    except ScenarioError as error:
        near = difflib.get_close_matches(scenario, scenarios(), n=2, cutoff=0.5)
        mend = f"did you mean {' or '.join(near)}?" if near and scenario not in near else ""
        raise Stop(str(error), mend, Code.USAGE) from error


def wall_clock() -> datetime:
    """Return the system's time, for what is said before there is a connection."""
    from controller.cloud.clock import SystemClock

    return SystemClock().now()


def connect(name: ServiceName, env: Mapping[str, str]) -> Connection:
    """Connect to Google Cloud, or to the endpoints that the environment names.

    Raises Denied where there are no credentials, Refused for an endpoint that cannot be.
    """
    return connections(env)(name)


def connections(env: Mapping[str, str]) -> Callable[[ServiceName], Connection]:
    """Connect for many services: the same clients for all, and to each what threads cannot share.

    Raises as `connect` does.
    """
    import requests

    from controller.cli.wiring.later import MetricsLater, identity_later
    from controller.cloud import clients
    from controller.cloud.checks import HttpChecker
    from controller.cloud.clock import SystemClock
    from controller.cloud.run import CloudRun
    from controller.cloud.served_clock import ServedSandboxClock

    endpoints = resolve_endpoint(env)
    run = clients.run_clients(endpoints.run, USER_AGENT)

    def monitoring() -> MetricSource:
        from controller.cloud.monitoring import CloudMonitoring

        return CloudMonitoring(clients.metric_client(endpoints.monitoring, USER_AGENT))

    metrics = MetricsLater(monitoring)
    has_account = endpoints.run is None or not endpoints.run.plaintext
    controller, notifier = secrets.token_hex(6), herald(env)

    def made(name: ServiceName) -> Connection:
        clock = ServedSandboxClock(env[CLOCK]) if env.get(CLOCK) else SystemClock()
        session = clients.another(run.session)
        router = CloudRun(
            run.services, run.revisions, session, run.url_of, clock, user_agent=USER_AGENT
        )
        checker = HttpChecker(requests.Session(), clock, env, identity_later(clock))
        ports = Ports(router, metrics, checker, clock, notifier)
        person = partial(_person, env, ambient=has_account)
        return Connection(name, ports, clock.stop, person, controller)

    return made


def herald(env: Mapping[str, str]) -> Notifier:
    """Return what tells people, for real: in real time, whatever world the rollout is in."""
    from controller.cloud.clock import SystemClock
    from controller.cloud.posting import HttpPoster
    from controller.notify import Herald

    return Herald(HttpPoster(env, SystemClock(), USER_AGENT))


def shown() -> Notifier:
    """Return what shows messages and tells nobody, as in the sandbox."""
    from controller.notify import Shown

    return Shown()


def rehearse(
    name: ServiceName,
    plan: Plan | None,
    scenario: str,
    env: Mapping[str, str],
    *,
    seed: int | None = None,
    deployed: bool = True,
) -> Connection:
    """Make a world of a scenario in this process and connect to it.

    seed: None for the scenario's own. deployed: False begins without the candidate. Raises Stop
    (2) where there is no such scenario or it cannot be used.
    """
    from controller.cli.wiring.setting import setting_of
    from controller.sandbox import build

    loaded = scenario_named(scenario)
    if seed is not None:
        loaded = replace(loaded, seed=seed)
    sandbox = build(loaded, replace(setting_of(name, plan), deployed=deployed))
    world = sandbox.world

    def listen(listener: Callable[[str, Mapping[str, str]], None]) -> None:
        world.announcements = listener

    return Connection(
        name,
        _ports_in(sandbox, env),
        lambda: None,
        lambda: env.get("CLOUDSDK_CORE_ACCOUNT") or "you",
        "rehearsal",
        Rehearsal(
            loaded.name,
            world.people_left,
            world.tell,
            listen,
            world.setting.candidate,
            world.setting.stable,
            lambda: sum(traffic.excess() for traffic in sandbox.traffic),
        ),
    )


def _ports_in(sandbox: Sandbox, env: Mapping[str, str]) -> Ports:
    """Make the production adapters on a world's in-process doors."""
    from controller.cloud import clients
    from controller.cloud.checks import HttpChecker
    from controller.cloud.monitoring import CloudMonitoring
    from controller.cloud.run import CloudRun

    clock, channel = sandbox.clock, sandbox.channel
    run = clients.run_clients_on(channel, _session(sandbox), USER_AGENT)
    router = CloudRun(
        run.services, run.revisions, run.session, run.url_of, clock, user_agent=USER_AGENT
    )
    metrics = CloudMonitoring(clients.metric_client_on(channel, USER_AGENT))
    checker = HttpChecker(_session(sandbox), clock, env)
    return Ports(router, metrics, checker, clock, shown())


def _session(sandbox: Sandbox) -> requests.Session:
    import requests

    session = requests.Session()
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, sandbox.http_adapter)
    return session


def _person(env: Mapping[str, str], *, ambient: bool) -> str:
    """Return the account in use: gcloud's, else the credentials' own, else the login name."""
    if env.get("CLOUDSDK_CORE_ACCOUNT"):
        return env["CLOUDSDK_CORE_ACCOUNT"]
    if ambient:
        import google.auth

        credentials, _ = google.auth.default()
        known = getattr(credentials, "account", "") or getattr(
            credentials, "service_account_email", ""
        )
        if known and known != "default":  # a machine's, before its first token
            return str(known)
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
