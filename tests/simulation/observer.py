"""The observer: what must never be, looked for after every call. It sees the world, no mind.

The record is a part of the world; it is read here by hand, as the JSON that stands there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from tests.simulation.baton import SECOND
from tests.simulation.cloud import MODIFIER, RECORD, START, Cloud, Service
from tests.simulation.inbox import Arrived
from tests.simulation.measured import Measured
from tests.simulation.scene import Incident, PlanFacts, Scene
from tests.simulation.told import LONGEST, Told

SEES_THE_DEAD = ("  errors: {", "  success: {", "  score: {")  # gates: latency is fine when dead
OURS = ("rollout-new", "rollout-old")
CALLS_A_TICK = 60
FOR_GOOD = 10_000  # calls: whatever fails so often is not asked for progress,
FAILED_ENOUGH = 150  # and is looked at for so many of them
LATE_MOST = 400  # seconds that a decision may be old when its write takes effect
PLENTY = 1500  # requests: enough to tell 12% of failures from 4%, whatever the plan demands
PLENTY_A_MINUTE, MINUTES_ENOUGH = 100, 15
HIDING = {"late points", "hole", "changed points", "no points", "nan", "deploy"}
TOLD_WITHIN = 7_200  # seconds: the pauses between tries, and until a dead controller's duty ends
SETTLING = 60  # seconds from a split in force until hold and evidence begin (DESIGN.md §5)
WORLD = {"unready", "shift slow", "shift fails"}  # incidents that a look may still be fooled by


@dataclass(frozen=True, slots=True)
class Noted:
    """What the record in the service says, read by hand."""

    rollout: str
    candidate: str
    uid: str
    phase: str
    stage: int
    weight: int
    seq: int
    ask: str
    ask_since: str
    paused: bool
    shifting: bool
    approved: frozenset[int]
    waived: frozenset[int]
    stepped_back: frozenset[int]
    last: tuple[Any, ...]
    transitions: tuple[tuple[Any, ...], ...]
    outcome: str
    before: Mapping[str, int]
    trial: bool
    in_force: str
    noted: int
    after: str
    digest: str
    stages: tuple[str, ...]  # as they stand in its plan


def noted(text: str | None) -> Noted | None:
    """Return what a record says, None for none and for what is none."""
    try:
        value = json.loads(text or "")
        transitions = tuple(tuple(one) for one in value.get("transitions", []))
        outcomes = value.get("outcomes", [])
        return Noted(
            rollout=value["id"],
            candidate=value["candidate"],
            uid=value["uid"],
            phase=value["phase"],
            stage=value["stage"],
            weight=value["weight"],
            seq=value["seq"],
            ask=(value.get("ask") or [""])[0],
            ask_since=(value.get("ask") or ["", "", ""])[2],
            paused="paused" in value,
            shifting="shift" in value,
            approved=frozenset(value.get("approved", [])),
            waived=frozenset(value.get("waived", [])),
            stepped_back=frozenset(value.get("stepped_back", [])),
            last=transitions[-1] if transitions else (),
            transitions=transitions,
            outcome=outcomes[-1][0] if outcomes and value["phase"] == "done" else "",
            before=value["before"],
            trial="trial" in value,
            in_force=value.get("in_force", ""),
            noted=value.get("noted", len(transitions)),
            after=value.get("after", ""),
            digest=value["digest"],
            stages=_stages(value["plan"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _stages(plan: str) -> tuple[str, ...]:
    return tuple(json.dumps(stage, sort_keys=True) for stage in json.loads(plan).get("stages", ()))


def _fits(facts: PlanFacts, stages: tuple[str, ...]) -> bool:
    """Tell whether these are the stages of that plan."""
    found = [json.loads(text) for text in stages]
    return [(s.weight, s.hold, s.approval) for s in facts.stages] == [
        (one["weight"], one.get("hold", 0), bool(one.get("approval"))) for one in found
    ]


@dataclass(slots=True)
class _Seen:
    """What is known of one controller: looks and calls since this and that."""

    started: int = 0
    calls: int = 0
    looks: int = 0  # undisturbed ones since what must be done was there to be seen
    last: int = 0  # when it last asked something but the API that writes go through
    disturbed: bool = True
    weight: int = 0  # of the candidate, as it last read it
    records: set[str | None] = field(default_factory=set)  # all that this process has seen


@dataclass(eq=False)
class Observer:
    """Watches one run. violations: what must never be, and was."""

    scene: Scene
    cloud: Cloud
    measured: Measured
    say: Callable[[str], None]
    violations: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    looks: int = 0
    _ours: Service | None = None  # as it stood after the last write through rollout
    _hand: str = ""
    _hand_at: int = 0
    _rolled: set[str] = field(default_factory=set)
    _by_person: bool = False  # a person moved on, or gave leave to
    _approved: set[int] = field(default_factory=set)
    _controllers: dict[str, _Seen] = field(default_factory=dict)
    _lives: int = 0
    _quiet: int = 0
    _read_until: float = -1e9
    _lost_at: dict[str, int] = field(default_factory=dict)  # revision → gone, or not ready, since
    _stands_since: int | None = None
    _stood: list[tuple[int, int]] = field(default_factory=list)
    _asked_at: int = 0
    _asked_for: tuple[str, str] = ("", "")
    _answered: bool = False
    _said_at: int = -1
    _still_since: int = 0
    _failed: int = 0  # calls, of those that fail for good
    _next_one: bool = False
    _last_incident: float = 0.0
    _noted: tuple[str | None, Noted | None] = (None, None)
    _edited: bool = False
    _disturbed: bool = False
    before: Observer | None = None  # of the region that comes first
    _hand_noted: bool = False
    _reached: tuple[str, int] = ("", -1)  # a rollout, and the furthest stage that it was in

    def __post_init__(self) -> None:
        self.facts = self.scene.facts  # of the plan that the record has
        self.told = Told(self.scene.facts.tells, self.cloud.region)
        self.cloud.watchers.append(self._changed)
        self._last_incident = max((max(i.start, i.end) for i in self.scene.incidents), default=0.0)
        # Where a write of annotations alone moves no version, the server lets the next one pass
        # over it unseen: nothing that a client does can hold what only annotations said.
        self._guarded = self.scene.shape.version_on_notes
        self._drift = sum(abs(p.skew) for p in self.scene.processes) + sum(
            abs(i.number) for i in self.scene.incidents if i.kind == "clock step"
        )

    def violated(self, what: str, detail: str) -> None:
        """Note a violation."""
        at = self.cloud.baton.now / SECOND
        text = f"{what}: {detail} (at {at:.1f} s)"
        if len(self.violations) < 5:
            self.violations.append(text)
        self.say(f"*** {text}")

    def _must(self, holds: bool, what: str, detail: Callable[[], str]) -> None:  # noqa: FBT001
        self.checks[f"checked {what}"] += 1
        if not holds:
            self.violated(what, detail())

    # What the world tells.

    def record(self) -> Noted | None:
        """Return what stands in the service now."""
        text = self.cloud.service.record if self.cloud.service is not None else None
        if self._noted[0] != text or text is None:
            self._noted = (text, noted(text))
        return self._noted[1]

    def state(self) -> str:
        """Return the state of the rollout, as DESIGN.md §5 names them."""
        service, record = self.cloud.service, self.record()
        if self.taken_over():
            return "taken over"
        if service is None or record is None:
            return "none"
        if record.phase in ("done", "rolling_back"):
            return record.phase.replace("_", " ")
        if record.ask:
            return "asking"
        if record.paused:
            return "paused"
        if record.shifting or record.phase == "promoting":
            return "shifting"
        return record.phase

    def stage_kind(self) -> str:
        """Return what kind of stage the rollout is in."""
        record = self.record()
        stages = self.facts.stages
        if record is None or record.stage < 0:
            return "before the first"
        if record.stage == len(stages) - 1:
            return "the last"
        return "the first" if record.stage == 0 else "between"

    def taken_over(self) -> bool:
        """Tell whether another hand changed what our last write left."""
        ours, now = self._ours, self.cloud.service
        if ours is None:
            return False
        last = noted(ours.record)
        if last is None:
            return False
        if last.phase == "done":  # what is active now is an older record, written back
            left = self.record()
            same = now is not None and now.uid == ours.uid
            return same and left is not None and left.phase != "done"
        return (
            now is None
            or self._is_held(now, last)
            or now.uid != ours.uid
            or now.asked != ours.asked
            or now.record != ours.record
        )

    def _is_held(self, service: Service, record: Noted) -> bool:
        """Tell whether another hand's split, noted in our record, is still what is asked for."""
        return self._hand_noted and service.asked.get(self.scene.candidate, 0) != record.weight

    def begins(self, incident: Incident) -> None:
        """Note in which state something began that only holds for a while."""
        status = incident.status if incident.kind not in ("hang", "late", "stale") else ""
        what = f"{incident.kind} {status}".strip()
        if incident.kind == "say":
            what = f"say {incident.target}"
        self.cells[self.state(), what, self.stage_kind()] += 1

    def struck(self, incident: Incident) -> None:
        """Note in which state an incident came to pass."""
        self.begins(incident)
        self._edited |= incident.kind == "edit"
        self._failed += incident.number >= FOR_GOOD
        self._disturbed = True
        self._last_incident = max(self._last_incident, self.cloud.baton.now / SECOND)
        for seen in self._controllers.values():
            seen.looks, seen.disturbed = 0, True

    # Writes.

    def _changed(self, old: Service | None, new: Service | None, who: str) -> None:
        self._still_since = self.cloud.baton.now
        self._note_the_lost(old, new)
        self._note_standing()
        if not who:
            self._look_for_duties()
            return
        person = who.startswith("person")
        if who.endswith("@sim") and old is not None and new is not None:
            if not person and self._notes_a_hand(old, new):
                assert self._ours is not None
                self._ours = replace(self._ours, notes=new.notes)  # theirs is the traffic
                self._hand_noted = True
            else:
                self._our_write(old, new, who.removesuffix("@sim"), person=person)
                self._ours = new
                self._hand, self._hand_noted = "", False
        else:
            self._hand, self._hand_at = who, self.cloud.baton.now
        self._look_for_duties()

    def _note_the_lost(self, old: Service | None, new: Service | None) -> None:
        """Note since when revisions are gone or not ready."""
        if old is None or new is None:
            return
        for name in old.revisions:
            able = name in new.revisions and new.revisions[name].ready is not False
            if able:
                self._lost_at.pop(name, None)
            else:
                self._lost_at.setdefault(name, self.cloud.baton.now)

    def _note_standing(self) -> None:
        """Note since when the hold stands still, paused or while a person is asked."""
        record, now = self.record(), self.cloud.baton.now
        stands = record is not None and (record.paused or bool(record.ask))
        if stands and self._stands_since is None:
            self._stands_since = now
        elif not stands and self._stands_since is not None:
            self._stood.append((self._stands_since, now))
            self._stands_since = None

    def _stood_since(self, since: int) -> float:
        """Return for how many seconds, about, the hold stood still since a time."""
        now = self.cloud.baton.now
        spells = [*self._stood, *([(self._stands_since, now)] if self._stands_since else [])]
        slack = 10 + 3 * self.scene.slow  # from a decision to its write
        lasted = [(end - max(start, since)) / SECOND - slack for start, end in spells]
        return sum(one for one in lasted if one > 0)

    def _notes_a_hand(self, old: Service, new: Service) -> bool:
        """Tell whether a write only notes, for people to be told, whose hand holds the traffic.

        That is the one exception from writing nothing then (docs/notify.md).
        """
        wanted = any("taken_over" in events for events in self.scene.facts.tells.values())
        before, after = noted(old.record), noted(new.record)
        if not wanted or self._ours is None or before is None or after is None:
            return False
        held = old.asked != self._ours.asked or self._is_held(old, before)
        says = after.last[1] == "taken over" and after.noted == before.noted + 1
        theirs = (held and after.noted == before.noted) or (
            says and (held or old.record != self._ours.record)
        )
        if (
            not theirs
            or old.uid != self._ours.uid
            or before.rollout != after.rollout
            or old.traffic != new.traffic
        ):
            return False
        self._sound(old, new)
        anew = old.record != self._ours.record
        self.told.wrote(after.rollout, after.transitions, after.noted, anew=anew)
        self._must(
            (before.phase, before.stage, before.weight) == (after.phase, after.stage, after.weight),
            "while taken over nothing is noted but whose hand it is",
            lambda: f"{after.last}",
        )
        return True

    def _our_write(self, old: Service, new: Service, who: str, *, person: bool) -> None:
        before, after = noted(old.record), noted(new.record)
        self._sound(old, new)
        if after is None:
            self.violated("a write of ours has a record", "it has none")
            return
        mine = self.scene.candidate
        if after.candidate != mine:  # the next rollout, of what was deployed since: not this scene
            self._next_one = True
            return
        self._follow_plan(before, after, person=person)
        resumed = person and bool(self._hand)
        self.told.wrote(after.rollout, after.transitions, after.noted, anew=resumed)
        had, has = old.asked.get(mine, 0), new.asked.get(mine, 0)
        moved = old.asked != new.asked
        self._in_turn(had, has, person=person)
        self._must(
            not (after.phase in ("rolling_back",) and has),
            "rolling back asks for nothing of the candidate",
            lambda: f"{has}%",
        )
        if not person:
            self._must(
                not (after.rollout in self._rolled and has > had),
                "never up after a roll back began",
                lambda: f"{had}% → {has}%",
            )
            self._not_taken_over(old, new, who, after)
            self._in_force(old, before, after)
            self._has_a_way_back(old, new, before, after)
        if after.phase == "rolling_back" or after.outcome == "rolled_back":
            self._rolled.add(after.rollout)
        elif person:  # who goes on from an older record, written back, takes the end back as well
            self._rolled.discard(after.rollout)
        self._bounded(after, has, moved=moved)
        if before is not None and before.rollout == after.rollout:
            self._nothing_lost(before, after, person=person)
            if not person:
                self._may_advance(old, before, after)
            self._note_leave(before, after, person=person)
            if not moved and before.transitions == after.transitions and not after.shifting:
                self._quiet += 1
        elif after.rollout != "by-hand":
            self._approved.clear()
            self._by_person = False

    def _follow_plan(self, before: Noted | None, after: Noted, *, person: bool) -> None:
        """Judge by the plan that the record has; it may change only where nobody has been yet."""
        if not after.stages:
            return  # a record made by hand, to say that it is over
        edit = self.scene.edit if self._edited else None
        plans = (self.scene.facts, *((edit.facts,) if edit is not None else ()))
        found = next((one for one in plans if _fits(one, after.stages)), None)
        if after.last[1:2] == ("shift failed",):  # back where it was: that stage was never reached
            self._reached = (after.rollout, after.stage)
        self._must(
            found is not None,
            "the plan is one that stood in the file",
            lambda: "; ".join(after.stages),
        )
        self.facts = found or self.facts
        same = before is not None and before.rollout == after.rollout
        if same and before is not None and before.digest != after.digest:
            reached = self._reached[1] + 1 if self._reached[0] == after.rollout else 0
            self._must(
                after.last[1] == "replanned" and before.stages[:reached] == after.stages[:reached],
                "a plan changes only in stages not reached",
                lambda: f"{after.last}, stage {reached} was reached",
            )
        resumed = person and bool(self._hand)  # whatever record a person goes on from, counts
        furthest = self._reached[1] if self._reached[0] == after.rollout and not resumed else -1
        self._reached = (after.rollout, max(furthest, after.stage))

    def _in_force(self, old: Service, before: Noted | None, after: Noted) -> None:
        """Look, when a split is said to be in force, at who serves."""
        if before is None or before.rollout != after.rollout:
            return
        noted_now = bool(after.last) and after.last != before.last
        noted_now = noted_now and str(after.last[1]).endswith("% in force")
        done = before.phase in ("rolling_back", "promoting") and after.phase == "done"
        if noted_now or done:
            mine = self.scene.candidate
            asked, serves = old.asked.get(mine, 0), old.serving.get(mine, 0)
            self._must(
                asked == serves,
                "what is said to be in force is",
                lambda: f"{asked}% asked for, {serves}% served",
            )

    def _in_turn(self, had: int, has: int, *, person: bool) -> None:
        """Several regions: the candidate gets nothing before the region before is promoted."""
        if self.before is not None and not person:
            self._must(
                not has or had > 0 or self.before.outcome() == "promoted",
                "no region begins before the one before is promoted",
                lambda: f"{has}% in {self.cloud.region}",
            )

    def _has_a_way_back(
        self, old: Service, new: Service, before: Noted | None, after: Noted
    ) -> None:
        begins = after.phase == "rolling_back" and (before is None or before.phase != after.phase)
        if begins:
            now = self.cloud.baton.now
            lost = {n: (now - self._lost_at.get(n, now)) / SECOND for n in new.asked}
            self._must(
                all(since < LATE_MOST for since in lost.values()),
                "nothing is rolled back onto what cannot serve",
                lambda: f"lost for {lost} s",
            )

    def _sound(self, old: Service, new: Service) -> None:
        total = sum(line.percent for line in new.traffic)
        self._must(total == 100, "traffic sums to 100", lambda: f"{total}")
        self._must(new.template == old.template, "the template is left", lambda: new.template)
        strange = {k: v for k, v in old.notes.items() if k not in (RECORD, MODIFIER)}
        left = {k: v for k, v in new.notes.items() if k not in (RECORD, MODIFIER)}
        self._must(strange == left, "others' annotations are left", lambda: f"{left}")
        tags = {t: r for t, r in old.tags().items() if t not in OURS and r in old.revisions}
        now = {t: r for t, r in new.tags().items() if t not in OURS and r in old.revisions}
        self._must(tags == now, "others' tags are left", lambda: f"{tags} → {now}")
        size = len((new.record or "").encode())
        self._must(size <= 24_000, "the record fits", lambda: f"{size} bytes")

    def _bounded(self, after: Noted, has: int, *, moved: bool) -> None:
        self._must(
            has == after.weight or after.phase == "done",
            "traffic and record agree",
            lambda: f"the record says {after.weight}%, traffic {has}%",
        )
        stages = self.facts.stages
        if after.phase == "promoting" or after.outcome == "promoted":
            most = 100
        elif after.phase == "rolling_back" or after.outcome == "rolled_back":
            most = 0
        else:
            most = stages[after.stage].weight if after.stage >= 0 else 0
        left_as_it_was = after.phase == "done" and not moved
        self._must(
            has <= most or left_as_it_was,
            "at most the stage's weight",
            lambda: f"{has}% in stage {after.stage + 1} ({after.phase}), at most {most}%",
        )

    def _not_taken_over(self, old: Service, new: Service, who: str, after: Noted) -> None:
        ours = self._ours
        last = noted(ours.record) if ours is not None else None
        if ours is None or last is None or last.phase == "done" or after.rollout != last.rollout:
            return
        ended = (
            after.phase == "done"
            and old.asked == new.asked
            and not old.asked.get(self.scene.candidate)
        )
        same = old.asked == ours.asked and old.uid == ours.uid
        self._must(
            same or ended,
            "nothing is written while taken over",
            lambda: f"{who} wrote over {old.asked}, which {self._hand} had made of {ours.asked}",
        )
        knew = ours.record in self._controllers.get(who, _Seen()).records
        self._must(
            old.record == ours.record or ended or not knew or not self._guarded,
            "nothing is written over another's record",
            lambda: f"{who} wrote over what {self._hand} had written",
        )

    def _nothing_lost(self, before: Noted, after: Noted, *, person: bool) -> None:
        if not self._guarded:
            return
        kept = not before.last or before.last in after.transitions or len(after.transitions) >= 20
        self._must(kept, "no transition is lost", lambda: f"{before.last} is gone")
        self._must(
            after.seq == before.seq + 1,
            "each write is over the one before",
            lambda: f"{before.seq} → {after.seq}",
        )
        ends = after.phase in ("done", "rolling_back", "promoting")
        self._must(
            person or ends or not before.paused or after.paused,
            "a pause is kept until a person ends it",
            lambda: f"{after.last}",
        )

    def _note_leave(self, before: Noted, after: Noted, *, person: bool) -> None:
        """Note what a person gave leave for."""
        if not person:
            return
        self._approved |= after.approved - before.approved
        if after.stage > before.stage or after.phase == "promoting" or after.outcome == "promoted":
            self._by_person = True

    def _may_advance(self, old: Service, before: Noted, after: Noted) -> None:
        facts = self.facts
        ended = after.outcome == "promoted"
        onward = after.stage > before.stage or ended
        if before.phase in ("promoting", "done") or not onward:
            return
        self._must(
            not before.paused,
            "nothing advances while paused",
            lambda: f"to stage {after.stage + 1}",
        )
        following = before.stage + 1
        self._must(
            before.stage == len(facts.stages) - 1 if ended else after.stage == following,
            "one stage after the other",
            lambda: f"{before.stage + 1} → {after.stage + 1}{', promoted' if ended else ''}",
        )
        if not ended and facts.stages[following].approval:
            self._must(
                following in self._approved,
                "no unapproved advance",
                lambda: f"stage {following + 1}",
            )
        if before.stage < 0 or following in after.waived | before.waived:
            return
        stage = facts.stages[before.stage]
        if not stage.hold:
            return
        since = self._in_force_since(old)
        held = (self.cloud.baton.now - since) / SECOND
        held -= self._stood_since(since) if self._guarded else 0
        need = stage.hold + SETTLING - self._drift - 2
        self._must(
            held >= need or facts.early,
            "the hold has passed",
            lambda: f"{held:.0f} s of {stage.hold} at {stage.weight}%",
        )
        told = sum(n for end, n in self.measured.told.items() if end > since)
        if self._plainly_bad():
            self._must(
                told < PLENTY,
                "a bad candidate is not advanced",
                lambda: f"{told} requests of stage {before.stage + 1} were told of",
            )
        if not facts.needs_data or facts.may_advance_blind:
            return
        self._must(
            told > 0,
            "no data is never a pass",
            lambda: f"no request of stage {before.stage + 1} was ever told of",
        )
        covered = self._read_until - since / SECOND
        self._must(
            facts.early or covered >= stage.hold + SETTLING - 60 - self._drift,
            "the evidence covers the hold",
            lambda: f"Monitoring was read up to {covered:.0f} s after the shift, hold {stage.hold}",
        )
        dead = self.scene.character == "dead" and any(g in self.scene.plan for g in SEES_THE_DEAD)
        if ended and not self._by_person and dead:
            self.violated("a dead candidate is not promoted", "it was")

    def _plainly_bad(self) -> bool:
        """Tell whether the candidate fails at 12% and more, and nothing hides it or blames stable.

        The limit is 4%: a hundred requests settle it, where what is told of them is true.
        """
        truths = self.scene.truths
        if not self.scene.facts.catches:
            return False
        if truths[self.scene.candidate].errors < 0.1 or truths["*"].errors >= 0.01:
            return False
        return not any(i.kind in HIDING or i.target == "both" for i in self.scene.incidents)

    def _in_force_since(self, service: Service) -> int:
        """Return since when the candidate's weight in force is what it is now."""
        mine = self.scene.candidate
        share = service.asked.get(mine, 0) / 100
        since = self.cloud.baton.now
        for at, shares in reversed(self.cloud.spans):
            if abs(shares.get(mine, 0.0) - share) > 1e-9:
                break
            since = at
        return since

    # Calls, looks and duties.

    def started(self, who: str) -> None:
        """Note that a process of this controller began."""
        self._lives += 1
        self._controllers[who] = _Seen(started=self.cloud.baton.now)

    def called(self, who: str, kind: str, undisturbed: bool, *, ok: bool) -> None:  # noqa: FBT001
        """Note one call's end."""
        self.checks["calls observed"] += 1
        seen = self._controllers.get(who)
        if seen is None:
            return
        seen.calls += 1
        seen.disturbed |= not undisturbed
        if kind in ("get", "get_service") and ok and self.cloud.service is not None:
            seen.weight = self.cloud.service.asked.get(self.scene.candidate, 0)
        if kind == "get_service":
            self._must(
                seen.calls <= CALLS_A_TICK, "calls a tick are bounded", lambda: f"{seen.calls}"
            )
            seen.calls = 0
            seen.disturbed = not (undisturbed and ok)
            if undisturbed and ok and self.cloud.service is not None:
                seen.records.add(self.cloud.service.record)
            self.looks += 1

    def returned(self, who: str, kind: str) -> None:
        """Note that a controller goes on after a call: what it decides, it decides from here on."""
        seen = self._controllers.get(who)
        if seen is not None and kind not in ("get", "put", "message"):
            seen.last = self.cloud.baton.now

    def ticked(self, who: str, state: str) -> None:
        """Note that a controller's pass came to its end."""
        self.checks[f"state {state}"] += 1
        seen = self._controllers[who]
        seen.looks = 0 if seen.disturbed else seen.looks + 1
        duty = self._duty()
        if not duty:
            seen.looks = 0
            return
        self._must(seen.looks <= 2, "two looks are enough", lambda: f"{duty}: {seen.looks} looks")

    def _look_for_duties(self) -> None:
        for seen in self._controllers.values():
            seen.looks, seen.disturbed = 0, True

    def _duty(self) -> str:
        """Return what must be done within two undisturbed looks, or nothing."""
        service, record = self.cloud.service, self.record()
        if self._next_one or service is None or record is None or self.taken_over():
            return ""
        if record.uid != service.uid:
            return ""
        mine = self.scene.candidate
        if record.phase == "done" or self._ours is None or self._cannot_be_written():
            return ""
        others = [service.revisions.get(n) for n in record.before]
        way_back = any(one is not None and one.ready for one in others)
        if record.phase == "rolling_back":
            in_force = service.serving == service.asked and service.observed == service.generation
            return "the roll back is in force and not noted" if in_force else ""
        if not way_back:
            return ""
        candidate = service.revisions.get(mine)
        if candidate is None:
            return "the candidate is deleted"
        if candidate.ready is False:
            return "the candidate lost its readiness"
        if self._plainly_bad() and self._plainly_told(service, record):
            return "the candidate plainly fails"
        return "the candidate fails its check" if self._fails_its_check(record) else ""

    def _plainly_told(self, service: Service, record: Noted) -> bool:
        """Tell whether plenty of a stage's minutes are old enough to be scored.

        What one minute may say is bounded, however many requests it has: failures come in bursts.
        """
        facts = self.scene.facts
        if record.stage < 0 or record.shifting or record.trial or record.weight == 100:
            return False
        if not facts.stages[record.stage].hold:
            return False
        if self.scene.lag + 30 > facts.delay:
            return False  # the plan scores minutes before they are told of
        since = self._in_force_since(service) + 240 * SECOND  # settled, and warmed up
        until = self.cloud.baton.now - round((facts.delay + 60 + self._drift) * SECOND)
        told = [n for end, n in self.measured.told.items() if since < end <= until]
        return sum(n >= PLENTY_A_MINUTE for n in told) >= MINUTES_ENOUGH

    def _fails_its_check(self, record: Noted) -> bool:
        """Tell whether a check that rolls back fails, where the only controller sends it."""
        stable = max(sorted(record.before), key=lambda name: record.before[name])
        scene = self.scene
        alone = len(scene.processes) == 1 and not scene.processes[0].schedule
        if not alone or not scene.facts.checked or record.stage < 0 or record.shifting:
            return False
        now = self.cloud.baton.now
        mine, theirs = (self.measured.truth(n, now).health for n in (scene.candidate, stable))
        return mine != 200 and theirs == 200

    def attempted(self, who: str, body: Any) -> None:
        """Note a write that a controller tries: what it decided shows in it."""
        seen, service = self._controllers.get(who), self.cloud.service
        after = noted(body["metadata"].get("annotations", {}).get(RECORD))
        if seen is None or service is None or after is None:
            return
        if after.phase == "rolling_back":
            self.checks["roll backs decided"] += 1
        mine = self.scene.candidate
        wanted = sum(
            e.get("percent", 0) for e in body["spec"]["traffic"] if e["revisionName"] == mine
        )
        age = (self.cloud.baton.now - seen.last) / SECOND
        self._must(
            wanted <= max(service.asked.get(mine, 0), seen.weight)
            or age <= 62 + self.scene.slow + self._drift,
            "no raise is decided more than a minute ago",
            lambda: f"{age:.0f} s",
        )

    def mailed(self, tries: tuple[Arrived, ...], seconds: float) -> None:
        """Note what became of the messages of one look, and how long that took."""
        self.told.arrived(tries, self.cloud.baton.now / SECOND)
        self._must(
            seconds <= LONGEST + 0.01,
            "messages take a look 5 s at most",
            lambda: f"{seconds:.1f} s",
        )
        if self._guarded and not self._disturbed:
            twice = list(self.told.told_later())
            self._must(not twice, "undisturbed, nobody is told twice", lambda: f"{twice}")

    def _owes(self) -> list[str]:
        """Return who is yet to be told of what, as far as anybody could."""
        record, service = self.record(), self.cloud.service
        if not self.told.wants or record is None or service is None or self._is_hopeless():
            return []
        theirs = self.taken_over() or record.uid != service.uid or self._cannot_be_written()
        if theirs or record.rollout != self.told.rollout or self._next_one:
            return []
        return list(self.told.owed())

    def measured_until(self, text: str, end: float) -> None:
        """Note up to when Monitoring was read for a running rollout."""
        if "request_count" in text or "latencies" in text or "custom" in text:
            self._read_until = max(self._read_until, end)

    def confirmed(self, who: str, word: str) -> None:
        """Note that a person was told that an act is done: the world must show it."""
        record = self.record()
        shown = record is not None and any(
            who in f"{one[2]} {one[3]}" for one in record.transitions
        )
        self._must(
            shown or self._hand_at > 0 or not self._guarded,
            "what a person was told is done, is done",
            lambda: f"{who}: {word}",
        )

    # People on call, and the end.

    def unanswered(self) -> None:
        """Note that what a person on call said did not work: they say it once more."""
        self._answered, self._asked_at = False, self.cloud.baton.now

    def wants(self, now: int) -> str:
        """Return what the people on call say now, "" for nothing."""
        record, scene = self.record(), self.scene
        if record is None or scene.answers == "nobody" or record.phase == "done":
            return ""
        stuck = self._cannot_be_written()
        asked = (
            ("stuck", "")
            if stuck
            else ("ask", record.ask_since)
            if record.ask
            else ("paused", "")
            if record.paused
            else ("", "")
        )
        if self.taken_over():
            asked = ("taken over", "")
        if asked != self._asked_for:
            self._asked_for, self._asked_at, self._answered = asked, now, False
        if not asked[0] or self._answered or now - self._asked_at < scene.react * SECOND:
            return ""
        self._answered, self._said_at = True, now
        if asked[0] == "paused":
            return "resume"
        if asked[0] == "taken over":
            return "rollback" if scene.answers == "reject" else "resume"
        return "promote" if stuck or record.ask == "no_way_back" else scene.answers

    def is_over(self, now: int) -> bool:
        """Tell whether nothing more will come."""
        seconds = now / SECOND
        if self._failed >= FAILED_ENOUGH:
            return True
        if self._next_one or (self._is_hopeless() and seconds > self._last_incident + 900):
            return True
        begins = self._ours is None and self._last_incident > 0  # who could not, tries again
        if seconds < self._last_incident + (300 if begins else 60):
            return False
        quiet = (now - self._still_since) / SECOND
        lately = max(self._last_incident, self._still_since / SECOND) + TOLD_WITHIN
        if seconds < lately and self._owes():
            return False
        if self._ends() and quiet > 120 + self.scene.shape.reconcile:
            return True
        if self._waits_for_somebody() and not self._comes() and quiet > 300:
            return True
        return seconds > self._deadline()

    def _is_hopeless(self) -> bool:
        """Tell whether all that traffic was asked for is deleted: a rollout can only shout then."""
        service = self.cloud.service
        return service is not None and not service.asked.keys() & service.revisions.keys()

    def _cannot_be_written(self) -> bool:
        """Tell whether stable is deleted while it serves: whatever repeats its share is refused."""
        service, record = self.cloud.service, self.record()
        if service is None or record is None or record.before.keys() & service.revisions.keys():
            return False
        return bool(service.asked.keys() - service.revisions.keys())

    def _comes(self) -> bool:
        """Tell whether the people on call have yet to say something, or are just saying it."""
        if self._said_at == self.cloud.baton.now:
            return True
        return self.scene.answers != "nobody" and bool(self._asked_for[0]) and not self._answered

    def _deadline(self) -> float:
        facts, edit = self.scene.facts, self.scene.edit
        stages = (*facts.stages, *(edit.facts.stages if edit is not None else ()))
        holds = sum(3 * stage.hold + 1200 for stage in stages) * (2 if facts.step_back else 1)
        waits = len(stages) * (facts.waits + self.scene.react)
        earlier = self.before._deadline() if self.before is not None else 0.0
        return earlier + self._last_incident + holds + waits + 7200

    def _ends(self) -> bool:
        service, record = self.cloud.service, self.record()
        if service is None:
            return True
        if record is None or record.uid != service.uid:
            return self._ours is None or self.taken_over() or self._hand != ""
        return record.phase == "done"

    def _waits_for_somebody(self) -> bool:
        record, service = self.record(), self.cloud.service
        if self.taken_over() or record is None or service is None:
            return True
        if self.before is not None and record.after and record.phase == "starting":
            ended = self.before.outcome() in ("promoted", "rolled_back", "cancelled")
            return record.paused or (not ended and self.before.is_over(self.cloud.baton.now))
        if self._is_hopeless() or self._cannot_be_written():
            return True  # it shouts, and nothing else is left
        return record.ask in ("approval", "no_way_back") or record.paused

    def outcome(self) -> str:
        """Return how it ended, or what it waits for."""
        record = self.record()
        if self.taken_over():
            return "taken over"
        if record is None:
            return "nothing"
        if record.outcome:
            return record.outcome
        return f"waits: {record.ask}" if record.ask else "paused" if record.paused else record.phase

    def at_the_end(self) -> None:
        """Look at the end: an outcome or a named wait, and not too many writes."""
        if self._next_one:
            return
        for_good = any(i.nth and i.number >= FOR_GOOD for i in self.scene.incidents)
        self._must(
            self._ends() or self._waits_for_somebody() or for_good,
            "every rollout ends or waits for somebody",
            lambda: f"it is {self.outcome()} in stage {getattr(self.record(), 'stage', -2) + 1}",
        )
        owes = self._owes() if not for_good else []
        self._must(not owes, "everything that people want told is told", lambda: f"{owes[:3]}")
        service, record = self.cloud.service, self.record()
        if (
            service is not None
            and record is not None
            and record.outcome == "rolled_back"
            and not self._hand
        ):
            share = service.serving.get(self.scene.candidate, 0)
            fits = service.can_serve(service.traffic) == ""
            self._must(
                not share or not fits or self.taken_over(),
                "rolled back ends at nothing",
                lambda: f"the candidate serves {share}%",
            )
        most = self.cloud.baton.now / SECOND / 1800 + 3 * self._lives + 4
        self._must(
            self._quiet <= most, "heartbeats are bounded", lambda: f"{self._quiet} > {most:.0f}"
        )


def at(text: str) -> float:
    """Return a record's time as seconds since the scene's start."""
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - START).total_seconds()
