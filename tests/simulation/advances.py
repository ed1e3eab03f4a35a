"""What must hold before a stage is left: leave, the hold, the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.baton import SECOND
from tests.simulation.noted import Noted
from tests.simulation.service import Service
from tests.simulation.view import View

SEES_THE_DEAD = ("  errors: {", "  success: {", "  score: {")  # gates: latency is fine when dead
PLENTY = 1500  # requests: enough to tell 12% of failures from 4%, whatever the plan demands
SETTLING = 60  # seconds from a split in force until hold and evidence begin (DESIGN.md §5)


@dataclass(eq=False, slots=True)
class Spells:
    """When something was so. Times in µs."""

    done: list[tuple[int, int]] = field(default_factory=list)
    began: int | None = None

    def note(self, now: int, *, holds: bool) -> None:
        """Note whether it is so now."""
        if holds and self.began is None:
            self.began = now
        elif not holds and self.began is not None:
            self.done.append((self.began, now))
            self.began = None

    def lasted(self, since: int, now: int, slack: float) -> float:
        """Return for how many seconds it was so since a time; slack: less, of each."""
        spells = [*self.done, *([(self.began, now)] if self.began is not None else [])]
        lasted = [(end - max(start, since)) / SECOND - slack for start, end in spells]
        return sum(one for one in lasted if one > 0)

    def held_at(self, at: int) -> bool:
        """Tell whether it was so at a time."""
        now_too = self.began is not None and at >= self.began
        return now_too or any(start <= at < end for start, end in self.done)


@dataclass(eq=False)
class Advances:
    """Judges each advance and promotion. read_until: how far Monitoring was read, seconds."""

    view: View
    read_until: float = -1e9
    _by_person: bool = False  # a person moved on, or gave leave to
    _approved: set[int] = field(default_factory=set)
    _stood: Spells = field(default_factory=Spells)
    _tested: Spells = field(default_factory=Spells)  # whether both revisions fail together

    def note_standing(self) -> None:
        """Note since when the hold stands still, paused or while a person is asked."""
        record, now = self.view.record(), self.view.cloud.baton.now
        is_tested = record is not None and record.trial
        stands = record is not None and (record.paused or bool(record.ask) or is_tested)
        self._stood.note(now, holds=stands)
        self._tested.note(now, holds=is_tested)

    def _stood_since(self, since: int) -> float:
        """Return for how many seconds, about, the hold stood still since a time."""
        slack = 10 + 3 * self.view.scene.slow  # from a decision to its write
        return self._stood.lasted(since, self.view.cloud.baton.now, slack)

    def _began(self, service: Service) -> int:
        """Return since when the stage is in force: while it was tested it was lowered, not left."""
        mine = self.view.scene.candidate
        share = service.asked.get(mine, 0) / 100
        began = self.view.in_force_since(service)
        for at, shares in reversed(self.view.cloud.spans):
            if abs(shares.get(mine, 0.0) - share) <= 1e-9:
                began = min(began, at)
            elif not self._tested.held_at(at):
                break
        return began

    def note_leave(self, before: Noted, after: Noted, *, person: bool) -> None:
        """Note what a person gave leave for."""
        if not person:
            return
        self._approved |= after.approved - before.approved
        if after.stage > before.stage or after.phase == "promoting" or after.outcome == "promoted":
            self._by_person = True

    def judge(self, old: Service, before: Noted, after: Noted) -> None:
        """Judge a write of a controller that may advance, or promote."""
        facts = self.view.facts
        ended = after.outcome == "promoted"
        onward = after.stage > before.stage or ended
        if before.phase in ("promoting", "done") or not onward:
            return
        self.view.must(
            not before.paused,
            "nothing advances while paused",
            lambda: f"to stage {after.stage + 1}",
        )
        following = before.stage + 1
        self.view.must(
            before.stage == len(facts.stages) - 1 if ended else after.stage == following,
            "one stage after the other",
            lambda: f"{before.stage + 1} → {after.stage + 1}{', promoted' if ended else ''}",
        )
        if not ended and facts.stages[following].approval:
            self.view.must(
                following in self._approved,
                "no unapproved advance",
                lambda: f"stage {following + 1}",
            )
        if before.stage < 0 or following in after.waived | before.waived:
            return
        stage = facts.stages[before.stage]
        if not stage.hold:
            return
        since, began = self.view.in_force_since(old), self._began(old)
        held = (self.view.cloud.baton.now - began) / SECOND
        held -= self._stood_since(began) if self.view.guarded or began < since else 0
        need = stage.hold + SETTLING - self.view.drift - 2
        self.view.must(
            held >= need or facts.early,
            "the hold has passed",
            lambda: f"{held:.0f} s of {stage.hold} at {stage.weight}%",
        )
        told = self._told_since(since)
        if self.view.plainly_bad():
            self.view.must(
                told < PLENTY,
                "a bad candidate is not advanced",
                lambda: f"{told} requests of stage {before.stage + 1} were told of",
            )
        if not facts.needs_data or facts.may_advance_blind:
            return
        self.view.must(
            # clocks that differ disagree on when the stage began: its evidence reaches back as far
            self._told_since(since - round(self.view.drift * SECOND)) > 0,
            "no data is never a pass",
            lambda: f"no request of stage {before.stage + 1} was ever told of",
        )
        covered = self.read_until - began / SECOND
        covered -= self._tested.lasted(began, self.view.cloud.baton.now, 0)
        self.view.must(
            facts.early or covered >= stage.hold + SETTLING - 60 - self.view.drift,
            "the evidence covers the hold",
            lambda: f"Monitoring was read up to {covered:.0f} s after the shift, hold {stage.hold}",
        )
        dead = self.view.scene.character == "dead" and any(
            g in self.view.scene.plan for g in SEES_THE_DEAD
        )
        if ended and not self._by_person and dead:
            self.view.violated("a dead candidate is not promoted", "it was")

    def _told_since(self, since: int) -> int:
        """Return how many of the candidate's requests, later than that, were told of."""
        return sum(n for end, n in self.view.measured.told.items() if end > since)

    def forget_leave(self) -> None:
        """Note that another rollout began: what a person said was of the one before."""
        self._approved.clear()
        self._by_person = False
