"""What a plain client of Google's sees of the served world, many times a second, to the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, Thread
from typing import Any

import grpc
import requests
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from tests.simulation.wire.processes import World

RECORD = "rollout/record"
EVERY_S = 0.1
ANSWER_S = 2.0
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
_OURS = ("rollout-new", "rollout-old")


@dataclass(frozen=True, slots=True)
class Sight:
    """The service as it was seen. Times are the world's.

    first, last: when it was seen like this. written: when the server last took a write. asked,
    in_force: percents by revision. tags, notes: the users' own. record: {} for none.
    """

    first: datetime
    last: datetime
    written: datetime
    generation: int
    asked: Mapping[str, int]
    in_force: Mapping[str, int]
    tags: Mapping[str, str]
    notes: Mapping[str, str]
    template: bytes
    record: Mapping[str, Any]

    def like(self, other: Sight) -> bool:
        """Tell whether nothing changed but the time."""
        return replace(self, first=other.first, last=other.last) == other


class Recorder:
    """Watches the world's one service from a thread; a context manager.

    sights: each state that was seen, once. seen: how often it looked and was answered.
    """

    def __init__(self, world: World, name: str) -> None:
        self.sights: list[Sight] = []
        self.seen = 0
        self._name = name
        self._clock = f"{world.address}/sandbox/clock"
        self._session = requests.Session()
        self._session.trust_env = False
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{world.port}",
            options=(("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)),
        )
        self._services = run_v2.ServicesClient(
            transport=ServicesGrpcTransport(channel=self._channel)
        )
        self._revisions = run_v2.RevisionsClient(
            transport=RevisionsGrpcTransport(channel=self._channel)
        )
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Recorder:
        self.look()
        self.revisions_before = self.revisions()
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._session.close()
        self._channel.close()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def revisions(self) -> frozenset[str]:
        """Return the names of all revisions there are."""
        pager = self._revisions.list_revisions(parent=self._name, retry=None, timeout=ANSWER_S)
        return frozenset(one.name.rpartition("/")[2] for one in pager)

    def look(self) -> None:
        """Look once; raises what Google's client or requests raise."""
        service = self._services.get_service(name=self._name, retry=None, timeout=ANSWER_S)
        answer = self._session.get(self._clock, timeout=ANSWER_S)
        now = datetime.fromisoformat(answer.json()["now"])
        sight = _sight(service, now)
        self.seen += 1
        if self.sights and self.sights[-1].like(sight):
            self.sights[-1] = replace(self.sights[-1], last=now)
        else:
            self.sights.append(sight)

    @property
    def now(self) -> Sight:
        """Return what was seen last."""
        return self.sights[-1]

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            # While the world is stopped it answers nothing; what it then is, is seen afterwards.
            with suppress(exceptions.GoogleAPIError, requests.RequestException):
                self.look()


def _sight(service: Any, now: datetime) -> Sight:
    notes = dict(service.annotations)
    record: dict[str, Any] = {}
    with suppress(ValueError):
        record = json.loads(notes.pop(RECORD, "{}"))
    asked: Counter[str] = Counter()
    for line in service.traffic:
        latest = line.type_ == LATEST
        name = service.latest_ready_revision.rpartition("/")[2] if latest else line.revision
        asked[name] += line.percent
    in_force: Counter[str] = Counter()
    for line in service.traffic_statuses:
        in_force[line.revision] += line.percent
    return Sight(
        now,
        now,
        datetime.fromisoformat(service.update_time.isoformat()),
        service.generation,
        {name: percent for name, percent in asked.items() if percent},
        {name: percent for name, percent in in_force.items() if percent},
        {t.tag: t.revision for t in service.traffic if t.tag and t.tag not in _OURS},
        notes,
        type(service.template).serialize(service.template),
        record,
    )
