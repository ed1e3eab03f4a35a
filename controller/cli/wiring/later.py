"""What is connected at the first question: a command that asks none does not pay for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from controller.engine.observation import ServiceName
from controller.gates.evidence import Query, Readings
from controller.ports import Clock, MetricSource

MINUTE = timedelta(minutes=1)


class MetricsLater:
    """A metric source that is made when it is first asked.

    make: may raise PortError, which then comes from the question. Any number of threads may ask.
    """

    def __init__(self, make: Callable[[], MetricSource]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: MetricSource | None = None

    @property
    def _source(self) -> MetricSource:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def read(
        self,
        name: ServiceName,
        query: Query,
        revisions: Sequence[str],
        start: datetime,
        end: datetime,
        period: timedelta = MINUTE,
    ) -> Readings:
        """Ask it; see the port."""
        return self._source.read(name, query, revisions, start, end, period)

    def exists(self, project: str, metric_type: str) -> bool:
        """Ask it; see the port."""
        return self._source.exists(project, metric_type)


def identity_later(clock: Clock) -> Callable[[str], str | None]:
    """Return what asks google-auth for ID tokens, made when the first one is needed."""
    known: list[Callable[[str], str | None]] = []

    def identity(audience: str) -> str | None:
        from controller.cloud.identity import Identity

        if not known:
            known.append(Identity(clock))
        return known[0](audience)

    return identity
