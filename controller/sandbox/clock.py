"""The world's time: it stands still between requests and jumps when somebody waits.

`VirtualClock` is the time of a rehearsal. `ServedClock` follows a real clock, times a speed, for
a world on a port. Nothing here reads the machine's clock: it is handed in.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOTHING = timedelta(0)


class VirtualClock:
    """A clock that nobody waits for: `sleep` jumps, and fires on the way what was scheduled."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._order = itertools.count()
        self._scheduled: list[tuple[datetime, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        """Return the world's time, aware and in UTC; it never goes back."""
        return self._now

    def sleep(self, pause: timedelta) -> None:
        """Let `pause` go by; what is scheduled meanwhile happens in the order of its time.

        What happens may itself sleep or schedule: the clock only ever moves forward.
        """
        until = self._now + max(pause, NOTHING)
        while self._scheduled and self._scheduled[0][0] <= until:
            when, _, what = heapq.heappop(self._scheduled)
            self._now = max(self._now, when)
            what()
        self._now = max(self._now, until)

    def at(self, when: datetime, what: Callable[[], None]) -> None:
        """Let `what` happen at `when`; a time gone by means at the next wait, however short."""
        heapq.heappush(self._scheduled, (when, next(self._order), what))

    def catch_up(self) -> None:
        """Move to the present; for a virtual clock the present is where it stands."""


class ServedClock(VirtualClock):
    """A clock that follows a real one: `speed` seconds of the world go by in each real second.

    real: returns seconds of a real clock that never goes back, from any origin. speed: 0 lets time
    pass only by `sleep`. The time stands still between two calls of `catch_up`, so that one
    request sees one instant.
    """

    def __init__(self, start: datetime, real: Callable[[], float], speed: float = 1.0) -> None:
        super().__init__(start)
        self.speed = speed
        self._real = real
        self._seen = real()

    def catch_up(self) -> None:
        """Move on by the real time gone by since the last call, times the speed."""
        seen = self._real()
        gone = max(0.0, seen - self._seen)
        self._seen = seen
        self.sleep(timedelta(seconds=gone * self.speed))
