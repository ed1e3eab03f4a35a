"""The system's time: the only module that reads it or lets it pass."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Real time. After `stop()` no sleep lasts any more: whoever loops must look at why it woke."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        return datetime.now(UTC)

    def sleep(self, pause: timedelta) -> None:
        """Return after `pause`, or at once when stopped."""
        self._stopped.wait(max(0.0, pause.total_seconds()))

    def stop(self) -> None:
        """End the sleep under way and all later ones; safe in a signal handler's thread."""
        self._stopped.set()
