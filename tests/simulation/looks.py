"""What controllers' looks owe: what must be done within two of them, and how much they may ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.simulation.baton import SECOND
from tests.simulation.noted import Noted, noted
from tests.simulation.service import RECORD, Service
from tests.simulation.view import View

CALLS_A_TICK = 60
EVIDENCE = ("monitoring", "descriptor", "check")  # calls that a roll back may not hang on
PLENTY_A_MINUTE, MINUTES_ENOUGH = 100, 15


@dataclass(slots=True)
class _Seen:
    """What is known of one controller: looks and calls since this and that."""

    started: int = 0
    calls: int = 0
    looks: int = 0  # undisturbed ones since what must be done was there to be seen
    sighted: int = 0  # of those, the last ones with answers of Monitoring and of checks
    last: int = 0  # when it last asked something but the API that writes go through
    disturbed: bool = True
    blind: bool = True
    weight: int = 0  # of the candidate, as it last read it
    records: set[str | None] = field(default_factory=set)  # all that this process has seen


@dataclass(eq=False)
class Looks:
    """Follows each controller's looks. number: of all; lives: processes that began."""

    view: View
    number: int = 0
    lives: int = 0
    _controllers: dict[str, _Seen] = field(default_factory=dict)

    def started(self, who: str) -> None:
        """Note that a process of this controller began."""
        self.lives += 1
        self._controllers[who] = _Seen(started=self.view.cloud.baton.now)

    def called(self, who: str, kind: str, undisturbed: bool, *, ok: bool) -> None:  # noqa: FBT001
        """Note one call's end."""
        self.view.checks["calls observed"] += 1
        seen = self._controllers.get(who)
        if seen is None:
            return
        seen.calls += 1
        seen.disturbed |= not undisturbed and kind not in EVIDENCE
        seen.blind |= not undisturbed
        if kind in ("get", "get_service") and ok and self.view.cloud.service is not None:
            seen.weight = self.view.cloud.service.asked.get(self.view.scene.candidate, 0)
        if kind == "get_service":
            self.view.must(
                seen.calls <= CALLS_A_TICK, "calls a tick are bounded", lambda: f"{seen.calls}"
            )
            seen.calls = 0
            seen.disturbed = seen.blind = not (undisturbed and ok)
            if undisturbed and ok and self.view.cloud.service is not None:
                seen.records.add(self.view.cloud.service.record)
            self.number += 1

    def returned(self, who: str, kind: str) -> None:
        """Note that a controller goes on after a call: what it decides, it decides from here on."""
        seen = self._controllers.get(who)
        if seen is not None and kind not in ("get", "put", "message"):
            seen.last = self.view.cloud.baton.now

    def ticked(self, who: str, state: str) -> None:
        """Note that a controller's pass came to its end."""
        self.view.checks[f"state {state}"] += 1
        seen = self._controllers[who]
        seen.looks = 0 if seen.disturbed else seen.looks + 1
        seen.sighted = 0 if seen.blind else seen.sighted + 1
        duty, number = self._duty(), seen.looks
        if duty:
            seen.sighted = 0
        else:
            duty, number, seen.looks = self._duty_by_evidence(), seen.sighted, 0
        if not duty:
            seen.sighted = 0
            return
        self.view.must(number <= 2, "two looks are enough", lambda: f"{duty}: {number} looks")

    def begin_anew(self) -> None:
        """Note that the world changed: what must be done was not there to be seen before."""
        for seen in self._controllers.values():
            seen.looks = seen.sighted = 0
            seen.disturbed = seen.blind = True

    def _owing(self) -> tuple[Service, Noted] | None:
        """Return service and record where something may have to be done, None where not."""
        service, record = self.view.cloud.service, self.view.record()
        if self.view.next_one or service is None or record is None or self.view.taken_over():
            return None
        if record.uid != service.uid:
            return None
        if record.phase == "done" or self.view.ours is None or self.view.cannot_be_written():
            return None
        return service, record

    def _duty(self) -> str:
        """Return what must be done whatever Monitoring and the checks answer, or nothing."""
        owing = self._owing()
        if owing is None:
            return ""
        service, record = owing
        if record.phase == "rolling_back":
            in_force = service.serving == service.asked and service.observed == service.generation
            return "the roll back is in force and not noted" if in_force else ""
        if not _has_a_way_back(service, record):
            return ""
        candidate = service.revisions.get(self.view.scene.candidate)
        if candidate is None:
            # Until the first write is in force it may be in the making (`apply --image`).
            made = record.phase == "starting" and record.shifting and not record.ask
            return (
                "" if made and service.observed < service.generation else "the candidate is deleted"
            )
        return "" if candidate.ready is not False else "the candidate lost its readiness"

    def _duty_by_evidence(self) -> str:
        """Return what must be done for what Monitoring or a check tells, or nothing."""
        owing = self._owing()
        if owing is None or owing[1].phase == "rolling_back" or not _has_a_way_back(*owing):
            return ""
        service, record = owing
        if self.view.plainly_bad() and self._plainly_told(service, record):
            return "the candidate plainly fails"
        return "the candidate fails its check" if self._fails_its_check(record) else ""

    def _plainly_told(self, service: Service, record: Noted) -> bool:
        """Tell whether plenty of a stage's minutes are old enough to be scored.

        What one minute may say is bounded, however many requests it has: failures come in bursts.
        """
        facts = self.view.scene.facts
        if record.stage < 0 or record.shifting or record.trial or record.weight == 100:
            return False
        if not facts.stages[record.stage].hold:
            return False
        if self.view.scene.lag + 30 > facts.delay:
            return False  # the plan scores minutes before they are told of
        since = self.view.in_force_since(service) + 240 * SECOND  # settled, and warmed up
        until = self.view.cloud.baton.now - round((facts.delay + 60 + self.view.drift) * SECOND)
        told = [n for end, n in self.view.measured.told.items() if since < end <= until]
        return sum(n >= PLENTY_A_MINUTE for n in told) >= MINUTES_ENOUGH

    def _fails_its_check(self, record: Noted) -> bool:
        """Tell whether a check that rolls back fails, where the only controller sends it."""
        stable = max(sorted(record.before), key=lambda name: record.before[name])
        scene = self.view.scene
        alone = len(scene.processes) == 1 and not scene.processes[0].schedule
        if not alone or not scene.facts.checked or record.stage < 0 or record.shifting:
            return False
        now = self.view.cloud.baton.now
        mine, theirs = (self.view.measured.truth(n, now).health for n in (scene.candidate, stable))
        return mine != 200 and theirs == 200

    def attempted(self, who: str, body: Any) -> None:
        """Note a write that a controller tries: what it decided shows in it."""
        seen, service = self._controllers.get(who), self.view.cloud.service
        after = noted(body["metadata"].get("annotations", {}).get(RECORD))
        if seen is None or service is None or after is None:
            return
        if after.phase == "rolling_back":
            self.view.checks["roll backs decided"] += 1
        mine = self.view.scene.candidate
        wanted = sum(
            e.get("percent", 0) for e in body["spec"]["traffic"] if e["revisionName"] == mine
        )
        age = (self.view.cloud.baton.now - seen.last) / SECOND
        self.view.must(
            wanted <= max(service.asked.get(mine, 0), seen.weight)
            or age <= 62 + self.view.scene.slow + self.view.drift,
            "no raise is decided more than a minute ago",
            lambda: f"{age:.0f} s",
        )

    def has_read(self, who: str, record: str | None) -> bool:
        """Tell whether this process has read a record, undisturbed."""
        seen = self._controllers.get(who)
        return seen is not None and record in seen.records


def _has_a_way_back(service: Service, record: Noted) -> bool:
    others = (service.revisions.get(name) for name in record.before)
    return any(one is not None and one.ready for one in others)
