"""The conditions of services and revisions, as both Cloud Run APIs show them.

Names, order and texts follow what live services were seen to answer; a retired revision's FAILED
`Active` with severity Info is no failure, only `Ready` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.sandbox.services import Revision, Service

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition in v1's words. reason: CamelCase or "". severity: "" is an error's."""

    type: str
    status: str
    since: datetime
    reason: str = ""
    message: str = ""
    severity: str = ""


def of_service(service: Service) -> tuple[Condition, ...]:
    """Return Ready, ConfigurationsReady, RoutesReady."""
    since = service.ready_since
    created = service.revisions.get(service.latest_created)
    starting = created is not None and created.state == "pending"
    configurations = Condition("ConfigurationsReady", TRUE, since)
    if starting:
        configurations = Condition(
            "ConfigurationsReady", UNKNOWN, since, "Deploying", "Creating Revision."
        )
    unready = _never_ready(created)
    if unready:
        configurations = Condition(
            "ConfigurationsReady", FALSE, created.since if created else since, *unready
        )
    if service.reconciling:
        text = "Creating Revision." if starting else "Routing traffic."
        return (
            Condition("Ready", UNKNOWN, since, "Deploying", text),
            configurations,
            Condition("RoutesReady", UNKNOWN, since, "RoutesUpdating", "Routing traffic."),
        )
    if service.failure:
        return (
            Condition("Ready", FALSE, since, "RevisionFailed", service.failure),
            configurations,
            Condition("RoutesReady", FALSE, since, "RevisionFailed", service.failure),
        )
    routes = Condition("RoutesReady", TRUE, since)
    if unready:
        return Condition("Ready", FALSE, configurations.since, *unready), configurations, routes
    return Condition("Ready", TRUE, since), configurations, routes


def _never_ready(created: Revision | None) -> tuple[str, str] | tuple[()]:
    """Return reason and message where the newest revision failed to start, which fails a service.

    Its split may be in force all the same: what serves is another revision.
    """
    if created is None or created.state != "failed" or created.started:
        return ()
    text = f"Revision '{created.name}' is not ready and cannot serve traffic. {created.message}"
    return "RevisionFailed", text


def of_revision(service: Service, revision: Revision) -> tuple[Condition, ...]:
    """Return a revision's conditions, Ready first."""
    since = revision.since
    match revision.state:
        case "pending":
            return (
                Condition("Ready", UNKNOWN, since, "Deploying", "Deploying Revision."),
                Condition("Active", UNKNOWN, since, "Deploying"),
                Condition("ContainerHealthy", UNKNOWN, since),
                Condition("ContainerReady", TRUE, revision.born + timedelta(seconds=3)),
            )
        case "failed":
            reason = "HealthCheckContainerError"
            return (
                Condition("Ready", FALSE, since, reason, revision.message),
                Condition("Active", TRUE, revision.born),
                Condition("ContainerHealthy", FALSE, since, reason, revision.message),
                Condition("ContainerReady", TRUE, revision.born + timedelta(seconds=3)),
            )
        case _ if service.is_retired(revision.name):
            return _retired(since)
        case _:
            return _serving(revision)


def _retired(since: datetime) -> tuple[Condition, ...]:
    return (
        Condition("Ready", TRUE, since, "Retired"),
        Condition("Active", FALSE, since, "Retired", "Revision retired.", "Info"),
        Condition("ContainerHealthy", TRUE, since),
        Condition("ContainerReady", TRUE, since),
        Condition(
            "MinInstancesProvisioned", FALSE, since, "MinInstancesNotProvisioned", "", "Info"
        ),
        Condition("ResourcesAvailable", UNKNOWN, since, "Retired"),
    )


def _serving(revision: Revision) -> tuple[Condition, ...]:
    since = revision.since
    return (
        Condition("Ready", TRUE, since),
        Condition("Active", TRUE, since),
        Condition("ContainerHealthy", TRUE, since),
        Condition("ContainerReady", TRUE, revision.born + timedelta(seconds=3)),
        Condition("MinInstancesProvisioned", TRUE, since),
        Condition("ResourcesAvailable", TRUE, since),
    )
