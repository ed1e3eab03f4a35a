"""Every rollout ends or waits for somebody: when a run is over, what it must have come to.

And the people on call, who say what is waited for, so that the rest of it is played.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.baton import SECOND
from tests.simulation.looks import Looks
from tests.simulation.view import View
from tests.simulation.writes import Writes

FOR_GOOD = 10_000  # calls: whatever fails so often is not asked for progress,
FAILED_ENOUGH = 150  # and is looked at for so many of them
SAID_MOST = 6  # times that people on call say what does not work
TOLD_WITHIN = 7_200  # seconds: the pauses between tries, and until a dead controller's duty ends


@dataclass(eq=False)
class Endings:
    """Tells when a run is over, and judges its end. still_since: no change of the service since.

    failed: calls, of those that fail for good. before: of the region that comes first.
    """

    view: View
    looks: Looks
    writes: Writes
    before: Endings | None = None
    still_since: int = 0
    failed: int = 0
    _asked_at: int = 0
    _asked_for: tuple[str, str] = ("", "")
    _answered: bool = False
    _said_at: int = -1
    _in_vain: int = 0  # how often it was said and did not work

    def unanswered(self) -> None:
        """Note that what a person on call said did not work: they say it again, a few times."""
        self._in_vain += 1
        if self._in_vain < SAID_MOST:
            self._answered, self._asked_at = False, self.view.cloud.baton.now

    def wants(self, now: int) -> str:
        """Return what the people on call say now, "" for nothing."""
        record, scene = self.view.record(), self.view.scene
        if record is None or scene.answers == "nobody" or record.phase == "done":
            return ""
        stuck = self.view.cannot_be_written()
        asked = (
            ("stuck", "")
            if stuck
            else ("ask", record.ask_since)
            if record.ask
            else ("paused", "")
            if record.paused
            else ("", "")
        )
        if self.view.taken_over():
            asked = ("taken over", "")
        if asked != self._asked_for:
            self._asked_for, self._asked_at, self._answered = asked, now, False
            self._in_vain = 0
        if not asked[0] or self._answered or now - self._asked_at < scene.react * SECOND:
            return ""
        self._answered, self._said_at = True, now
        if asked[0] == "paused":
            return "resume"
        if asked[0] == "taken over":
            return "rollback" if scene.answers == "reject" else "resume"
        return "promote" if stuck or record.ask == "no_way_back" else scene.answers

    def _owes(self) -> list[str]:
        """Return who is yet to be told of what, as far as anybody could."""
        record, service = self.view.record(), self.view.cloud.service
        if not self.view.told.wants or record is None or service is None or self.view.is_hopeless():
            return []
        theirs = (
            self.view.taken_over() or record.uid != service.uid or self.view.cannot_be_written()
        )
        if theirs or record.rollout != self.view.told.rollout or self.view.next_one:
            return []
        return list(self.view.told.owed())

    def is_over(self, now: int) -> bool:
        """Tell whether nothing more will come."""
        seconds = now / SECOND
        if self.failed >= FAILED_ENOUGH:
            return True
        if self.view.next_one or (
            self.view.is_hopeless() and seconds > self.view.last_incident + 900
        ):
            return True
        begins = (
            self.view.ours is None and self.view.last_incident > 0
        )  # who could not, tries again
        if seconds < self.view.last_incident + (300 if begins else 60):
            return False
        quiet = (now - self.still_since) / SECOND
        lately = max(self.view.last_incident, self.still_since / SECOND) + TOLD_WITHIN
        if seconds < lately and self._owes():
            return False
        if self._ends() and quiet > 120 + self.view.scene.shape.reconcile:
            return True
        if self._waits_for_somebody() and not self._comes() and quiet > 300:
            return True
        return seconds > self._deadline()

    def _comes(self) -> bool:
        """Tell whether the people on call have yet to say something, or are just saying it."""
        if self._said_at == self.view.cloud.baton.now:
            return True
        return (
            self.view.scene.answers != "nobody" and bool(self._asked_for[0]) and not self._answered
        )

    def _deadline(self) -> float:
        facts, edit = self.view.scene.facts, self.view.scene.edit
        stages = (*facts.stages, *(edit.facts.stages if edit is not None else ()))
        holds = sum(3 * stage.hold + 1200 for stage in stages) * (2 if facts.step_back else 1)
        waits = len(stages) * (facts.waits + self.view.scene.react)
        earlier = self.before._deadline() if self.before is not None else 0.0
        return earlier + self.view.last_incident + holds + waits + 7200

    def _ends(self) -> bool:
        service, record = self.view.cloud.service, self.view.record()
        if service is None:
            return True
        if record is None or record.uid != service.uid:
            return self.view.ours is None or self.view.taken_over() or self.view.hand != ""
        return record.phase == "done"

    def _waits_for_somebody(self) -> bool:
        record, service = self.view.record(), self.view.cloud.service
        if self.view.taken_over() or record is None or service is None:
            return True
        if self.before is not None and record.after and record.phase == "starting":
            ended = self.before.view.outcome() in ("promoted", "rolled_back", "cancelled")
            return record.paused or (not ended and self.before.is_over(self.view.cloud.baton.now))
        if self.view.is_hopeless() or self.view.cannot_be_written():
            return True  # it shouts, and nothing else is left
        return record.ask in ("approval", "no_way_back") or record.paused

    def at_the_end(self) -> None:
        """Look at the end: an outcome or a named wait, and not too many writes."""
        if self.view.next_one:
            return
        for_good = any(i.nth and i.number >= FOR_GOOD for i in self.view.scene.incidents)
        stage = getattr(self.view.record(), "stage", -2) + 1
        self.view.must(
            self._ends() or self._waits_for_somebody() or for_good,
            "every rollout ends or waits for somebody",
            lambda: f"it is {self.view.outcome()} in stage {stage}",
        )
        owes = self._owes() if not for_good else []
        self.view.must(not owes, "everything that people want told is told", lambda: f"{owes[:3]}")
        service, record = self.view.cloud.service, self.view.record()
        if (
            service is not None
            and record is not None
            and record.outcome == "rolled_back"
            and not self.view.hand
        ):
            share = service.serving.get(self.view.scene.candidate, 0)
            fits = service.can_serve(service.traffic) == ""
            self.view.must(
                not share or not fits or self.view.taken_over(),
                "rolled back ends at nothing",
                lambda: f"the candidate serves {share}%",
            )
        marks = len(self.view.told.got)  # that somebody was told is noted, once for each at most
        most = self.view.cloud.baton.now / SECOND / 1800 + 3 * self.looks.lives + 4 + marks
        self.view.must(
            self.writes.quiet <= most,
            "heartbeats are bounded",
            lambda: f"{self.writes.quiet} > {most:.0f}",
        )
