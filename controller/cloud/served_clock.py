"""The time of a sandbox served on a port (`rollout sandbox serve`), asked over HTTP.

Such a world's time goes by faster than ours, and so must the controller's. While the world does not
answer its time is reckoned: a clock that fails would end a controller that an outage should not.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import requests

from controller.cloud.clock import SystemClock
from controller.cloud.translate import translating
from controller.ports import Clock, Unavailable

ASK_SECONDS = 10.0
SLICE_SECONDS = 1.0
STANDING_SECONDS = 0.2  # between looks at a world whose time only others move


class ServedSandboxClock:
    """The clock at `url`, whose /sandbox/clock answers {"now": RFC 3339, "speed": number}.

    own: the time by which it is reckoned on from its last answer while there is none. Raises
    Unavailable where it never answered.
    """

    def __init__(self, url: str, own: Clock | None = None) -> None:
        self._own = own or SystemClock()
        self._told: tuple[datetime, float, datetime] | None = None  # the world's, its speed, ours
        self._url = url.rstrip("/") + "/sandbox/clock"
        self._stopped = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False  # loopback: no proxy

    def now(self) -> datetime:
        """Return the world's time."""
        return self._look()[0]

    def sleep(self, pause: timedelta) -> None:
        """Return once `pause` has gone by in the world, or at once when stopped."""
        now, speed = self._look()
        until = now + pause
        while now < until and not self._stopped.is_set():
            left = (until - now).total_seconds()
            real = min(left / speed, SLICE_SECONDS) if speed > 0 else STANDING_SECONDS
            self._stopped.wait(real)
            now, speed = self._look()

    def stop(self) -> None:
        """End the sleep under way and all later ones."""
        self._stopped.set()

    def _look(self) -> tuple[datetime, float]:
        """Return the world's time and speed, as told or as reckoned."""
        try:
            now, speed = self._ask()
        except Unavailable:
            if self._told is None:
                raise
            now, speed, then = self._told
            return now + (self._own.now() - then) * speed, speed
        self._told = (now, speed, self._own.now())
        return now, speed

    def _ask(self) -> tuple[datetime, float]:
        with translating():
            answer = self._session.get(self._url, timeout=ASK_SECONDS, allow_redirects=False)
            answer.raise_for_status()
            body = answer.json()
        try:
            now, speed = datetime.fromisoformat(body["now"]), float(body["speed"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"{self._url} is no sandbox clock") from error
        if now.tzinfo is None:
            raise Unavailable(f"{self._url} tells a time without its zone")
        return now, speed
