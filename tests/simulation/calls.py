"""What becomes of a call: who waits how long, what fails, what is lost, who is killed at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from tests.simulation.baton import Killed
from tests.simulation.cloud import Answer
from tests.simulation.happenings import Happenings
from tests.simulation.scene import Incident
from tests.simulation.wires import Silent

if TYPE_CHECKING:
    from tests.simulation.actors import Door
    from tests.simulation.playing import Run

T = TypeVar("T")
CALLS_MOST = 12_000  # of one run: a controller that calls more often has lost its head


class Calls:
    """All calls of one run. number: how many there were."""

    def __init__(self, run: Run, happenings: Happenings) -> None:
        self.run = run
        self.happenings = happenings
        self.number = 0
        self._of_kind: Counter[str] = Counter()
        self._rng = Random(run.scene.seed * 2_654_435_761 + 17)

    def call(self, door: Door, kind: str, effect: Callable[[], T], timeout: float) -> T:
        """Let one call of an actor come to something."""
        self.number += 1
        number = self.number
        if number > CALLS_MOST:
            self.run.observer.view.violated("progress", f"more than {CALLS_MOST} calls")
            self.run.baton.stop()
        self._of_kind[kind] += 1
        places = (("", number), (kind, self._of_kind[kind]))
        self._at_call(places, door, before=True)
        door.rest(self._latency())
        fault = self._fault(kind, number) if door.suffers else None
        try:
            result = self._answered(door, kind, effect, timeout, fault)
        except (Answer, Silent) as no:
            self.run.say(f"{kind}: {getattr(no, 'status', 'no answer')} {no}")
            door.failed = kind
            self.run.observer.looks.called(door.name, kind, fault is None, ok=False)
            self._at_call(places, door, before=False)
            door.rest(self._latency())
            self.run.observer.looks.returned(door.name, kind)
            raise
        if self.run.traced:
            self.run.say(f"{kind}: ok{_told(result)}")
        self.run.observer.looks.called(door.name, kind, fault is None, ok=True)
        self._at_call(places, door, before=False)
        door.rest(self._latency())
        self.run.observer.looks.returned(door.name, kind)
        if fault is not None and fault.kind == "lost":
            door.failed = kind
            raise Answer(fault.status, "the answer was lost")
        return result

    def _answered(
        self,
        door: Door,
        kind: str,
        effect: Callable[[], T],
        timeout: float,
        fault: Incident | None,
    ) -> T:
        if fault is None or fault.kind in ("lost", "stale"):
            door.stale = fault.number if fault is not None and fault.kind == "stale" else 0.0
            return effect()
        if fault.kind == "error":
            raise Answer(fault.status, _TEXTS.get(fault.status, "it does not work now"))
        if fault.kind == "late" and kind == "put":
            self.run.baton.after(timeout + fault.number, lambda: _quietly(effect))
        door.rest(timeout)
        raise Silent

    def _fault(self, kind: str, number: int) -> Incident | None:
        if kind == "message":  # its own incidents are met on the way
            return None
        for at, incident in self.happenings.faults:
            if incident.target in (kind, "any") and self.happenings.holds(incident):
                if incident.kind == "late" and kind != "put":
                    continue
                if incident.kind == "stale" and kind not in ("get_service", "get"):
                    continue
                rng = Random((self.run.scene.seed * 31 + at) * 1_000_003 + number)
                if incident.chance >= 1 or rng.random() < incident.chance:
                    self.happenings.struck(incident)
                    return incident
        for incident in self.happenings.spells:
            if incident.nth <= number < incident.nth + max(1, round(incident.number)):
                self.happenings.struck(incident)
                return incident
        return None

    def _at_call(self, places: Sequence[tuple[str, int]], door: Door, *, before: bool) -> None:
        """Let what comes at this call come; it may kill whoever calls, or let it sleep."""
        for incident in self.happenings.at_call(places, before=before):
            if incident.kind == "kill" and door.suffers:
                self.happenings.struck(incident)
                door.restart = incident.number
                raise Killed
            if incident.kind == "suspend" and door.suffers:
                self.happenings.struck(incident)
                door.rest(incident.number)

    def _latency(self) -> float:
        return 0.02 + self.run.scene.slow * self._rng.random() ** 3


_TEXTS = {
    "PERMISSION_DENIED": "Permission 'run.services.update' denied on resource (or it is missing).",
    "RESOURCE_EXHAUSTED": "Quota exceeded for quota metric 'Read requests'.",
}


def _quietly(effect: Callable[[], Any]) -> None:
    try:
        effect()
    except Answer:
        return


def _told(result: Any) -> str:
    if isinstance(result, dict) and "spec" in result:
        return f" {_traffic_text(result['spec']['traffic'])}"
    return ""


def _traffic_text(traffic: Any) -> str:
    return ", ".join(
        f"{e.get('revisionName', 'LATEST')}={e['percent']}" for e in traffic if e.get("percent")
    )
