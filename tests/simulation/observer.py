"""The observer: what must never be, looked for after every call. It sees the world, no mind.

It hears of every call, change and incident, and hands them to whom they concern: `writes` and
`advances` judge what is written, `looks` what controllers do in time, `endings` what it comes to.
All see the world by one `view`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from tests.simulation.advances import Advances
from tests.simulation.baton import SECOND
from tests.simulation.cloud import Cloud
from tests.simulation.endings import FOR_GOOD, Endings
from tests.simulation.inbox import Arrived
from tests.simulation.incidents import CALL_FAULTS
from tests.simulation.looks import Looks
from tests.simulation.measured import Measured
from tests.simulation.scene import Incident, Scene
from tests.simulation.service import Service
from tests.simulation.told import LONGEST
from tests.simulation.view import View
from tests.simulation.writes import Writes


class Observer:
    """Watches one run. cells: how often what struck, in which state and kind of stage."""

    def __init__(
        self, scene: Scene, cloud: Cloud, measured: Measured, say: Callable[[str], None]
    ) -> None:
        self.view = View(scene, cloud, measured, say)
        self.looks = Looks(self.view)
        self.advances = Advances(self.view)
        self.writes = Writes(self.view, self.looks, self.advances)
        self.endings = Endings(self.view, self.looks, self.writes)
        self.cells: Counter[tuple[str, str, str]] = Counter()
        cloud.watchers.append(self._changed)

    def comes_after(self, before: Observer) -> None:
        """Note whose region comes before this one's."""
        self.view.before, self.endings.before = before.view, before.endings

    def begins(self, incident: Incident) -> None:
        """Note in which state something began that only holds for a while."""
        status = incident.status if incident.kind not in ("hang", "late", "stale") else ""
        what = f"{incident.kind} {status}".strip()
        if incident.kind == "say":
            what = f"say {incident.target}"
        self.cells[self.view.state(), what, self.view.stage_kind()] += 1

    def awaits(self, incident: Incident) -> None:
        """Note until when an incident will hold that is only now known to come."""
        self.view.last_incident = max(self.view.last_incident, incident.start, incident.end)

    def struck(self, incident: Incident) -> None:
        """Note in which state an incident came to pass."""
        self.begins(incident)
        self.endings.failed += incident.number >= FOR_GOOD
        self.view.disturbed = True
        self.view.last_incident = max(self.view.last_incident, self.view.cloud.baton.now / SECOND)
        if incident.kind not in (*CALL_FAULTS, "message"):  # the call's own end tells of those
            self.looks.begin_anew()

    def _changed(self, old: Service | None, new: Service | None, who: str) -> None:
        if who or _differs(old, new):
            self.endings.still_since = self.view.cloud.baton.now
        self.writes.note_the_lost(old, new)
        self.advances.note_standing()
        if not who:
            self.looks.begin_anew()
            return
        person = who.startswith("person")
        if who.endswith("@sim") and old is not None and new is not None:
            if not person and self.writes.notes_a_hand(old, new):
                assert self.view.ours is not None
                self.view.ours = replace(self.view.ours, notes=new.notes)  # theirs is the traffic
                self.view.hand_noted = True
            else:
                self.writes.judge(old, new, who.removesuffix("@sim"), person=person)
                self.view.ours = new
                self.view.hand, self.view.hand_noted = "", False
        else:
            self.view.hand, self.view.hand_at = who, self.view.cloud.baton.now
        self.looks.begin_anew()

    def mailed(self, tries: tuple[Arrived, ...], seconds: float) -> None:
        """Note what became of the messages of one look, and how long that took."""
        self.view.told.arrived(tries, self.view.cloud.baton.now / SECOND)
        self.view.must(
            seconds <= LONGEST + 0.01,
            "messages take a look 5 s at most",
            lambda: f"{seconds:.1f} s",
        )
        if self.view.guarded and not self.view.disturbed:
            twice = list(self.view.told.told_later())
            self.view.must(not twice, "undisturbed, nobody is told twice", lambda: f"{twice}")

    def measured_until(self, text: str, end: float) -> None:
        """Note up to when Monitoring was read for a running rollout."""
        if "request_count" in text or "latencies" in text or "custom" in text:
            self.advances.read_until = max(self.advances.read_until, end)

    def confirmed(self, who: str, word: str) -> None:
        """Note that a person was told that an act is done: the world must show it."""
        record = self.view.record()
        shown = record is not None and any(
            who in f"{one[2]} {one[3]}" for one in record.transitions
        )
        self.view.must(
            shown or self.view.hand_at > 0 or not self.view.guarded,
            "what a person was told is done, is done",
            lambda: f"{who}: {word}",
        )


def _differs(old: Service | None, new: Service | None) -> bool:
    """Tell whether anything changed but the time of the status, which the world tells again."""
    if old is None or new is None:
        return True
    return replace(old, version=new.version, status_at=new.status_at) != new
