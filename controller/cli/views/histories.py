"""How the rollouts of many services ended: a table for people, a line each for scripts.

Pure: service states in, lines and JSON values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controller.cli.views import text
from controller.cli.views.json import time
from controller.engine.codec import Unreadable, decode
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import Outcome

NONE = "no rollout has ended on any service there"
_HEADER = ("ENDED", "SERVICE", "REGION", "CANDIDATE", "OUTCOME", "BY", "BECAUSE")


@dataclass(frozen=True, slots=True)
class Ended:
    """How one rollout of a service ended."""

    name: ServiceName
    outcome: Outcome


def ended(services: Iterable[ServiceState]) -> list[Ended]:
    """Return every outcome that the services' records keep, the newest first.

    A record that cannot be read tells nothing here; `list` says that it cannot.
    """
    found = [Ended(one.name, outcome) for one in services for outcome in _outcomes(one)]
    return sorted(found, key=lambda one: one.outcome.at, reverse=True)


def _outcomes(service: ServiceState) -> tuple[Outcome, ...]:
    try:
        return decode(service.record_text).outcomes if service.record_text is not None else ()
    except Unreadable:
        return ()


def lines(found: Sequence[Ended], *, width: int | None) -> Iterator[str]:
    """Yield the table. width: of the terminal, None where lines may be long."""
    if not found:
        yield NONE
        return
    yield from text.table([_HEADER, *map(_row, found)], width=width)


def _row(one: Ended) -> tuple[str, ...]:
    end = one.outcome
    word = text.OUTCOMES.get(end.outcome, end.outcome)
    where = (one.name.service, one.name.region)
    return text.stamp(end.at), *where, end.candidate, word, end.by or "rollout", end.reason


def plain(one: Ended) -> dict[str, Any]:
    """Return one outcome's JSON values."""
    end = one.outcome
    return {
        "version": 1,
        "service": one.name.service,
        "region": one.name.region,
        "at": time(end.at),
        "outcome": end.outcome,
        "candidate": end.candidate,
        "reason": end.reason,
        "by": end.by or None,
        "before": dict(end.before),
    }
