"""The incidents of a run: when each comes, and what it does to the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.aims import Aims
from tests.simulation.baton import SECOND
from tests.simulation.incidents import CALL_FAULTS
from tests.simulation.measured import MINUTE
from tests.simulation.scene import Incident, Truth
from tests.simulation.service import SERVICE, Line

if TYPE_CHECKING:
    from tests.simulation.playing import Run

AT_CALLS = ("kill", "suspend")


class Happenings:
    """What befalls a run. incidents: as they stand now; one whose aim is met has a time then.

    faults: of calls, while they hold, with their place in the scene; spells: of so many calls.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.incidents = list(run.scene.incidents)
        self.aims = Aims(run.observer.view, lambda: run.baton.now)
        self.faults: list[tuple[int, Incident]] = []
        self.spells: list[Incident] = []
        self._numbered: dict[tuple[str, int], list[Incident]] = {}  # by kind of call, "": any
        self._arrange()

    def struck(self, incident: Incident) -> None:
        """Note that an incident came to pass."""
        self.run.counts[
            f"fault {incident.kind}" + (f" {incident.status}" if incident.status else "")
        ] += 1
        self.run.observer.struck(incident)
        self.run.say(f"  ! {incident}")

    def truth_of(self, revision: str, at: int) -> Truth:
        """Return how a revision behaves at a time, incidents included."""
        truth = self.run.scene.truths.get(revision, self.run.scene.truths["*"])
        for incident in self.incidents:
            if incident.target not in ("both", revision) or not self.holds(incident, at):
                continue
            if incident.kind == "turns bad":
                truth = replace(truth, errors=max(truth.errors, incident.number))
            elif incident.kind == "app fails":
                truth = replace(truth, health=500)
        return truth

    def holds(self, incident: Incident, at: int | None = None) -> bool:
        """Tell whether an incident that comes at a time is in effect, now or at a time (µs)."""
        now = (self.run.baton.now if at is None else at) / SECOND
        return not incident.nth and incident.aim is None and incident.start <= now < incident.end

    def _now_on(self, kind: str) -> Incident | None:
        return next((i for i in self.incidents if i.kind == kind and self.holds(i)), None)

    def _arrange(self) -> None:
        for at, incident in enumerate(self.incidents):
            if incident.aim is not None:
                self.aims.waiting[at] = incident
            elif incident.kind in CALL_FAULTS and incident.nth:
                self.spells.append(incident)
            elif incident.nth:
                of_kind = incident.target if incident.kind == "suspend" else ""
                self._numbered.setdefault((of_kind, incident.nth), []).append(incident)
            else:
                self._comes(at, incident)
        measured, cloud = self.run.measured, self.run.cloud
        measured.truth = self.truth_of
        measured.lag = self._lag
        measured.hole = self._hole
        measured.factor = self._factor
        measured.spoiled = self._spoiled
        cloud.course = self._course
        if self.aims.waiting:
            cloud.watchers.append(self._moved)
            self._meet(self.aims.at_once())

    def _comes(self, at: int, incident: Incident) -> None:
        """Let an incident come at its time."""
        if incident.kind in CALL_FAULTS:
            self.faults.append((at, incident))
        else:
            self._schedule(incident)

    def _moved(self, *_change: object) -> None:
        self.aims.moved()
        self._meet(self.aims.at_once())

    def _meet(self, places: Iterator[int]) -> list[Incident]:
        """Let incidents whose aims are met come now; return those that strike this very call."""
        now = self.run.baton.now / SECOND
        strikes: list[Incident] = []
        for at in tuple(places):
            found = self.aims.waiting.pop(at)
            self.run.say(f"  ~ {found}")
            self.incidents[at] = met = found.met(now)
            self.run.observer.awaits(met)
            if met.kind in AT_CALLS:
                strikes.append(met)
            else:
                self._comes(at, met)
        return strikes

    def at_call(self, places: Sequence[tuple[str, int]], *, before: bool) -> list[Incident]:
        """Let come what comes at a call; return what strikes whoever calls."""
        if self.aims.waiting:
            self.aims.calls += before
            strikes = self._meet(self.aims.at_call(before=before))
        else:
            strikes = []
        for place in places:
            for incident in self._numbered.get(place, ()):
                if incident.before is not before:
                    continue
                act = self._act_of(incident) if incident.kind not in AT_CALLS else None
                if act is not None:
                    act()
                else:
                    strikes.append(incident)
        return strikes

    def _lag(self) -> float:
        late = self._now_on("late points")
        return late.number if late else self.run.scene.lag

    def _hole(self, revision: str, end: int) -> bool:
        return any(
            i.kind == "hole" and i.target in ("", revision) and self.holds(i, end)
            for i in self.incidents
        )

    def _factor(self, end: int) -> float:
        for incident in self.incidents:
            if incident.kind == "changed points" and self.holds(incident):
                return incident.number if end // MINUTE % 2 else 1.0
        return 1.0

    def _spoiled(self) -> str:
        if self._now_on("no points"):
            return "nothing"
        return "nan" if self._now_on("nan") else ""

    def _course(self) -> tuple[float, str]:
        for kind, fails in (
            ("shift fails", "The service is temporarily overloaded."),
            ("shift slow", ""),
        ):
            found = self._now_on(kind)
            if found is not None:
                self.struck(found)
                return (found.number or self.run.scene.shape.reconcile), fails
        return self.run.scene.shape.reconcile, ""

    def _schedule(self, incident: Incident) -> None:
        act = self._act_of(incident)
        if act is None:  # it only holds for a while
            act = partial(self._begins, incident)
        self.run.baton.at(round(incident.start * SECOND), act)
        if incident.kind == "unready":
            back = lambda: self.run.cloud.set_ready(incident.target, ready=True, why="")  # noqa: E731
            self.run.baton.at(round(incident.end * SECOND), back)
        if incident.kind == "delete service":
            anew = partial(self.run.cloud.recreate, as_it_was=bool(incident.number))
            self.run.baton.at(round(incident.end * SECOND), anew)

    def _begins(self, incident: Incident) -> None:
        if incident.kind not in ("shift fails", "shift slow", "message"):  # those strike a call
            self.run.counts[f"fault {incident.kind}"] += 1
            self.run.observer.begins(incident)

    def _act_of(self, incident: Incident) -> Callable[[], None] | None:
        """Return what happens once at an incident, None for one that only holds for a while."""
        cloud, kind = self.run.cloud, incident.kind
        hand = "alice@example.com"
        acts: dict[str, Callable[[], None]] = {
            "unready": lambda: cloud.set_ready(incident.target, ready=False, why="it crashed"),
            "deploy": lambda: cloud.deploy(
                f"{SERVICE}-5{incident.start:05.0f}", hand, ready=bool(incident.number)
            ),
            "delete revision": lambda: cloud.delete_revision(incident.target),
            "delete service": cloud.delete,
            "traffic": lambda: cloud.by_hand(hand, traffic=self._hands_split(incident)),
            "forget": lambda: cloud.by_hand(hand, forget=True),
            "garbage": lambda: cloud.by_hand(hand, record=incident.status or "{"),
            "older record": lambda: cloud.by_hand(hand, record=self._older_record()),
            "say": lambda: self.run.person(incident.target),
            "edit": self.run.edit_plan,
        }
        if kind not in acts:
            return None

        def act() -> None:
            self.struck(incident)
            acts[kind]()

        return act

    def _hands_split(self, incident: Incident) -> tuple[Line, ...]:
        service = self.run.cloud.service
        if service is None:
            return ()
        mine, tags = (
            self.run.scene.candidate,
            tuple(replace(x, percent=0) for x in service.traffic if x.tag),
        )
        others = [n for n in self.run.scene.shape.before if n in service.revisions]
        weight = round(incident.number)
        if mine not in service.revisions or not others:
            return service.traffic
        lines = (Line(mine, weight),) if weight else ()
        return (*lines, *((Line(others[0], 100 - weight),) if weight < 100 else ()), *tags)

    def _older_record(self) -> str | None:
        kept = [s.record for _, s in self.run.cloud.past if s is not None and s.record]
        return kept[0] if kept else None
