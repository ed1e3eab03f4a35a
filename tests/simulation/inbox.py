"""Where messages to people go: webhooks that answer, hang, refuse, or take one and say nothing.

Production's own poster sends, in its own threads. Those hold no baton: each has a time of its own,
counted from the look's, and the controller waits as long as the slowest took.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from random import Random
from typing import Any

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from controller.cloud.posting import HttpPoster
from controller.engine.telling import Letter
from controller.notify import Herald
from controller.ports import Delivery
from tests.simulation.baton import SECOND
from tests.simulation.scene import Incident, Scene
from tests.simulation.service import instant

ENV = {"PAGER": "https://pager.example/hook", "TEAM": "https://team.example/hook"}
RECEIVED = ("", "lost")  # what a message may meet and still arrive
FOR_GOOD = "404"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of one try. met: an incident's status, "" where it was answered as it should."""

    to: str
    id: str
    body: Any
    met: str
    incident: Incident | None


@dataclass(eq=False)
class Inbox:
    """The webhooks of one run. tries: per recipient, since it was last emptied.

    incidents: as they stand now.
    """

    scene: Scene
    incidents: Sequence[Incident]
    now: Callable[[], int]
    tries: dict[str, list[Arrived]] = field(default_factory=dict)
    longest: float = 0.0
    _here: threading.local = field(default_factory=threading.local)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.mount("https://", _Adapter(self))
        self.herald = Herald(HttpPoster(ENV, _Clock(self), "rollout/sim", lambda: self._session))

    def deliver(
        self, letters: Sequence[Letter]
    ) -> tuple[Sequence[Delivery], tuple[Arrived, ...], float]:
        """Send letters; return what the sender is told, what became of each try, and the time.

        That is in seconds. In an order that follows from the letters, whatever the threads did.
        """
        self.tries, self.longest = {}, 0.0
        told = self.herald.tell(letters)
        tries = tuple(one for to in sorted(self.tries) for one in self.tries[to])
        return told, tries, self.longest

    def elapsed(self) -> float:
        """Return how long this thread has been sending, in seconds."""
        found: float = getattr(self._here, "elapsed", 0.0)
        return found

    def spend(self, seconds: float) -> None:
        """Let time pass for this thread."""
        self._here.elapsed = self.elapsed() + seconds
        self.longest = max(self.longest, self._here.elapsed)

    def answer(self, request: requests.PreparedRequest, timeout: float) -> int:
        """Take one try; return the status. Raises what `requests` raises without an answer."""
        to = (request.url or "").partition("//")[2].partition(".")[0]
        key = str(request.headers["Idempotency-Key"])
        self._counts[to, key] += 1
        incident = self._met(to, key)
        met = incident.status if incident is not None else ""
        self.tries.setdefault(to, []).append(
            Arrived(to, key, json.loads(request.body or ""), met, incident)
        )
        if met in ("hang", "lost"):
            self.spend(timeout)
            raise requests.exceptions.ReadTimeout("no answer in time", request=request)
        self.spend(0.2)
        if met == "no connection":
            raise requests.exceptions.ConnectionError("refused", request=request)
        return int(met or 204)

    def _met(self, to: str, key: str) -> Incident | None:
        seconds = self.now() / SECOND
        for at, incident in enumerate(self.incidents):
            if incident.kind != "message" or incident.target not in ("", to):
                continue
            if incident.aim is not None or not incident.start <= seconds < incident.end:
                continue
            rng = Random(f"{self.scene.seed} {at} {to} {key} {self._counts[to, key]}")
            if incident.chance >= 1 or rng.random() < incident.chance:
                return incident
        return None


@dataclass(frozen=True, slots=True)
class _Clock:
    """The time of whoever sends."""

    inbox: Inbox

    def now(self) -> datetime:
        return instant(self.inbox.now()) + timedelta(seconds=self.inbox.elapsed())

    def sleep(self, pause: timedelta) -> None:
        self.inbox.spend(pause.total_seconds())


class _Adapter(BaseAdapter):
    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._real = HTTPAdapter()  # only to turn an answer into a Response

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, timeout: Any = None, **_kwargs: Any
    ) -> requests.Response:
        status = self._inbox.answer(request, float(timeout))
        raw = urllib3.HTTPResponse(
            body=BytesIO(b""), status=status, preload_content=False, decode_content=False
        )
        return self._real.build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""
