"""What every write through rollout must keep: DESIGN.md's invariants of traffic and record."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.advances import Advances
from tests.simulation.baton import SECOND
from tests.simulation.incidents import CALL_FAULTS
from tests.simulation.looks import Looks
from tests.simulation.noted import Noted, fits, noted
from tests.simulation.service import MODIFIER, RECORD, Service
from tests.simulation.view import View

OURS = ("rollout-new", "rollout-old")
MEANWHILE = frozenset({"taken over", "not rolled back"})  # all that is noted while taken over
LATE_MOST = 400  # seconds that a decision may be old when its write takes effect
LOOK_MOST, CALLS_A_LOOK = 30, 20  # of a look whose calls are answered: its seconds, without those


@dataclass(eq=False)
class Writes:
    """Judges each write. quiet: how many said nothing but that somebody watches."""

    view: View
    looks: Looks
    advances: Advances
    quiet: int = 0
    _rolled: set[tuple[str, str]] = field(default_factory=set)
    _lost_at: dict[str, int] = field(default_factory=dict)  # revision → gone, or not ready, since
    _reached: tuple[tuple[str, str], int] = (
        ("", ""),
        -1,
    )  # a rollout, and the furthest stage that it was in

    def notes_a_hand(self, old: Service, new: Service) -> bool:
        """Tell whether a write only notes, for people to be told, whose hand holds the traffic.

        That is the one exception from writing nothing then (docs/notify.md).
        """
        tells = self.view.scene.facts.tells.values()
        wanted = any(events & {"taken_over", "not_rolled_back"} for events in tells)
        before, after = noted(old.record), noted(new.record)
        if not wanted or self.view.ours is None or before is None or after is None:
            return False
        held = old.asked != self.view.ours.asked or self.view.is_held(old, before)
        news = [one[1] for one in after.transitions[before.noted - after.noted :]]
        says = 0 < after.noted - before.noted <= len(MEANWHILE) and MEANWHILE.issuperset(news)
        theirs = (held and after.noted == before.noted) or (
            says and (held or old.record != self.view.ours.record)
        )
        if (
            not theirs
            or old.uid != self.view.ours.uid
            or before.which != after.which
            or old.traffic != new.traffic
        ):
            return False
        self._sound(old, new)
        anew = old.record != self.view.ours.record
        self.view.told.wrote(after.rollout, after.transitions, after.noted, anew=anew)
        self.view.must(
            (before.phase, before.stage, before.weight) == (after.phase, after.stage, after.weight),
            "while taken over nothing is noted but whose hand it is",
            lambda: f"{after.last}",
        )
        return True

    def judge(self, old: Service, new: Service, who: str, *, person: bool) -> None:
        """Judge one write."""
        before, after = noted(old.record), noted(new.record)
        self._sound(old, new)
        if after is None:
            self.view.violated("a write of ours has a record", "it has none")
            return
        mine = self.view.scene.candidate
        if after.candidate != mine:  # the next rollout, of what was deployed since: not this scene
            self.view.next_one = True
            return
        self._follow_plan(before, after, person=person)
        self._note_what_is_told(before, after, person=person)
        had, has = old.asked.get(mine, 0), new.asked.get(mine, 0)
        moved = old.asked != new.asked
        self._in_turn(had, has, person=person)
        self.view.must(
            not (after.phase in ("rolling_back",) and has),
            "rolling back asks for nothing of the candidate",
            lambda: f"{has}%",
        )
        if not person:
            self.view.must(
                not (after.which in self._rolled and has > had),
                "never up after a roll back began",
                lambda: f"{had}% → {has}%",
            )
            self._not_taken_over(old, new, who, after)
            self._in_force(old, before, after)
            self._has_a_way_back(old, new, before, after)
        if after.phase == "rolling_back" or after.outcome == "rolled_back":
            self._rolled.add(after.which)
        elif person:  # who goes on from an older record, written back, takes the end back as well
            self._rolled.discard(after.which)
        self._bounded(after, has, moved=moved)
        if before is not None and before.which == after.which:
            self._nothing_lost(before, after, person=person)
            if not person:
                self.advances.judge(old, before, after)
            self.advances.note_leave(before, after, person=person)
            if not moved and before.transitions == after.transitions and not after.shifting:
                self.quiet += 1
        elif after.rollout != "by-hand":
            self.advances.forget_leave()

    def _note_what_is_told(self, before: Noted | None, after: Noted, *, person: bool) -> None:
        resumed = person and bool(self.view.hand)
        anew = resumed or (before is not None and before.which != after.which)
        if after.stages:  # a record made by hand has no plan, which would say who is to be told
            self.view.told.wrote(after.rollout, after.transitions, after.noted, anew=anew)

    def _follow_plan(self, before: Noted | None, after: Noted, *, person: bool) -> None:
        """Judge by the plan that the record has; it may change only where nobody has been yet."""
        if not after.stages:
            return  # a record made by hand, to say that it is over
        edit = self.view.scene.edit if self.view.edited else None
        plans = (self.view.scene.facts, *((edit.facts,) if edit is not None else ()))
        found = next((one for one in plans if fits(one, after.stages)), None)
        if after.last[1:2] == ("shift failed",):  # back where it was: that stage was never reached
            self._reached = (after.which, after.stage)
        self.view.must(
            found is not None,
            "the plan is one that stood in the file",
            lambda: "; ".join(after.stages),
        )
        self.view.facts = found or self.view.facts
        same = before is not None and before.which == after.which
        if same and before is not None and before.digest != after.digest:
            reached = self._reached[1] + 1 if self._reached[0] == after.which else 0
            self.view.must(
                after.last[1] == "replanned" and before.stages[:reached] == after.stages[:reached],
                "a plan changes only in stages not reached",
                lambda: f"{after.last}, stage {reached} was reached",
            )
        resumed = person and bool(self.view.hand)  # whatever record a person goes on from, counts
        furthest = self._reached[1] if self._reached[0] == after.which and not resumed else -1
        self._reached = (after.which, max(furthest, after.stage))

    def _in_force(self, old: Service, before: Noted | None, after: Noted) -> None:
        """Look, when a split is said to be in force, at who serves."""
        if before is None or before.which != after.which:
            return
        noted_now = bool(after.last) and after.last != before.last
        noted_now = noted_now and str(after.last[1]).endswith("% in force")
        done = before.phase in ("rolling_back", "promoting") and after.phase == "done"
        if noted_now or done:
            mine = self.view.scene.candidate
            asked, serves = old.asked.get(mine, 0), old.serving.get(mine, 0)
            self.view.must(
                asked == serves,
                "what is said to be in force is",
                lambda: f"{asked}% asked for, {serves}% served",
            )

    def _in_turn(self, had: int, has: int, *, person: bool) -> None:
        """Several regions: the candidate gets nothing before the region before is promoted."""
        if self.view.before is not None and not person:
            self.view.must(
                not has or had > 0 or self.view.before.outcome() == "promoted",
                "no region begins before the one before is promoted",
                lambda: f"{has}% in {self.view.cloud.region}",
            )

    def _has_a_way_back(
        self, old: Service, new: Service, before: Noted | None, after: Noted
    ) -> None:
        begins = after.phase == "rolling_back" and (before is None or before.phase != after.phase)
        if begins:
            now = self.view.cloud.baton.now
            lost = {n: (now - self._lost_at.get(n, now)) / SECOND for n in new.asked}
            self.view.must(
                all(since < self._late_most() for since in lost.values()),
                "nothing is rolled back onto what cannot serve",
                lambda: f"lost for {lost} s",
            )

    def _late_most(self) -> float:
        """Return for how long, at most, a write may not know what was there to be seen. Seconds."""
        scene = self.view.scene
        blind = any(i.kind in (*CALL_FAULTS, "suspend") for i in scene.incidents)
        asleep = sum(i.number for i in scene.incidents if i.kind == "suspend")
        return asleep + LATE_MOST if blind else LOOK_MOST + CALLS_A_LOOK * scene.slow

    def note_the_lost(self, old: Service | None, new: Service | None) -> None:
        """Note since when revisions are gone or not ready."""
        if old is None or new is None:
            return
        for name in old.revisions:
            able = name in new.revisions and new.revisions[name].ready is not False
            if able:
                self._lost_at.pop(name, None)
            else:
                self._lost_at.setdefault(name, self.view.cloud.baton.now)

    def _sound(self, old: Service, new: Service) -> None:
        total = sum(line.percent for line in new.traffic)
        self.view.must(total == 100, "traffic sums to 100", lambda: f"{total}")
        self.view.must(new.template == old.template, "the template is left", lambda: new.template)
        strange = {k: v for k, v in old.notes.items() if k not in (RECORD, MODIFIER)}
        left = {k: v for k, v in new.notes.items() if k not in (RECORD, MODIFIER)}
        self.view.must(strange == left, "others' annotations are left", lambda: f"{left}")
        tags = {t: r for t, r in old.tags().items() if t not in OURS and r in old.revisions}
        now = {t: r for t, r in new.tags().items() if t not in OURS and r in old.revisions}
        self.view.must(tags == now, "others' tags are left", lambda: f"{tags} → {now}")
        size = len((new.record or "").encode())
        self.view.must(size <= 24_000, "the record fits", lambda: f"{size} bytes")

    def _bounded(self, after: Noted, has: int, *, moved: bool) -> None:
        self.view.must(
            has == after.weight or after.phase == "done",
            "traffic and record agree",
            lambda: f"the record says {after.weight}%, traffic {has}%",
        )
        stages = self.view.facts.stages
        if after.phase == "promoting" or after.outcome == "promoted":
            most = 100
        elif after.phase == "rolling_back" or after.outcome == "rolled_back":
            most = 0
        else:
            most = stages[after.stage].weight if after.stage >= 0 else 0
        left_as_it_was = after.phase == "done" and not moved
        self.view.must(
            has <= most or left_as_it_was,
            "at most the stage's weight",
            lambda: f"{has}% in stage {after.stage + 1} ({after.phase}), at most {most}%",
        )

    def _not_taken_over(self, old: Service, new: Service, who: str, after: Noted) -> None:
        ours = self.view.ours
        last = noted(ours.record) if ours is not None else None
        if ours is None or last is None or last.phase == "done" or after.which != last.which:
            return
        ended = (
            after.phase == "done"
            and old.asked == new.asked
            and not old.asked.get(self.view.scene.candidate)
        )
        same = old.asked == ours.asked and old.uid == ours.uid
        self.view.must(
            same or ended,
            "nothing is written while taken over",
            lambda: (
                f"{who} wrote over {old.asked}, which {self.view.hand} had made of {ours.asked}"
            ),
        )
        knew = self.looks.has_read(who, ours.record)
        self.view.must(
            old.record == ours.record or ended or not knew or not self.view.guarded,
            "nothing is written over another's record",
            lambda: f"{who} wrote over what {self.view.hand} had written",
        )

    def _nothing_lost(self, before: Noted, after: Noted, *, person: bool) -> None:
        if not self.view.guarded:
            return
        kept = not before.last or before.last in after.transitions or len(after.transitions) >= 20
        self.view.must(kept, "no transition is lost", lambda: f"{before.last} is gone")
        self.view.must(
            after.seq == before.seq + 1,
            "each write is over the one before",
            lambda: f"{before.seq} → {after.seq}",
        )
        ends = after.phase in ("done", "rolling_back", "promoting")
        self.view.must(
            person or ends or not before.paused or after.paused,
            "a pause is kept until a person ends it",
            lambda: f"{after.last}",
        )
        news = [one[1:] for one in after.transitions[-2:]]
        again = after.noted == before.noted + 1 and len(news) == 2 and news[0] == news[1]
        self.view.must(  # a silence may follow a silence; else each look would write
            not again or news[0][0] == "unwatched",
            "nothing is noted twice in a row",
            lambda: f"{after.last}",
        )
