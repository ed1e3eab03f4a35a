"""A run: the scene's world, its controllers and people, what becomes of their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, TypeVar

from controller.cli import deeds
from controller.engine.codec import Unreadable
from controller.engine.decision import Refusal
from controller.engine.observation import ServiceName
from controller.engine.telling import Letter
from controller.plan.model import Plan
from controller.plan.reader import read_plan
from controller.plan.source import Source
from controller.ports import Delivery, PortError, Ports
from tests.simulation.actors import Controller, Door, WorldClock
from tests.simulation.baton import SECOND, Baton, Killed
from tests.simulation.cloud import (
    PROJECT,
    REGION,
    SERVICE,
    Answer,
    Cloud,
    Line,
    instant,
)
from tests.simulation.inbox import Inbox
from tests.simulation.incidents import CALL_FAULTS
from tests.simulation.measured import MINUTE, Measured
from tests.simulation.observer import Observer
from tests.simulation.scene import Incident, Process, Scene, Truth
from tests.simulation.wires import Silent, Wires

T = TypeVar("T")
CALLS_MOST = 12_000  # of one run: a controller that calls more often has lost its head


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to. violations: sentences; counts: what was looked at and what struck."""

    scene: Scene
    violations: tuple[str, ...]
    outcome: str
    seconds: float
    calls: int
    ticks: int
    counts: Counter[str]
    cells: Counter[tuple[str, str, str]]
    trace: tuple[str, ...]


class Run:
    """One scene, once."""

    def __init__(
        self,
        scene: Scene,
        wires: Wires,
        *,
        traced: bool = False,
        baton: Baton | None = None,
        region: str = REGION,
    ) -> None:
        self.scene = scene
        self.wires = wires
        self.baton = baton or Baton()
        self.name = ServiceName(PROJECT, region, SERVICE)
        self.peers: dict[str, Run] = {region: self}  # the worlds of this rollout, in their order
        self.cloud = Cloud(scene, self.baton, region=region)
        self.measured = Measured(self.cloud, self.truth_of)
        self.lines: list[str] = []
        self.traced = traced
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.rng = Random(scene.seed * 2_654_435_761 + 17)
        self.observer = Observer(scene, self.cloud, self.measured, self.say)
        self.plan = _plan_of(scene.plan)  # what the file says now
        self.first_plan = self.plan
        self.inbox = Inbox(scene, lambda: self.baton.now)
        self._numbered: dict[tuple[str, int], list[Incident]] = {}  # by kind of call, "": any
        self._of_kind: Counter[str] = Counter()
        self._faults: list[tuple[int, Incident]] = []
        self._spells: list[Incident] = []
        self._written = 0
        self._people = 0
        self._arrange()

    # The whole run.

    def play(self) -> Result:
        """Play the scene to its end."""
        for process in self.scene.processes:
            self.baton.start(process.name, Controller(self, process).live)
        self.look_after()
        self.baton.play()
        return self.result()

    def look_after(self) -> None:
        """Let the people on call begin to look at the service now and then."""
        self.baton.after(30.0, self._look_around)

    def result(self) -> Result:
        """Look at the end, and tell."""
        self.observer.endings.at_the_end()
        view = self.observer.view
        return Result(
            self.scene,
            tuple(view.violations),
            view.outcome(),
            self.baton.now / SECOND,
            self.calls,
            self.observer.looks.number,
            self.counts + view.checks,
            self.observer.cells,
            tuple(self.lines),
        )

    def say(self, text: str) -> None:
        """Write a line into the trace."""
        if self.traced:
            who = self.baton.running.name if self.baton.running else "-"
            self.lines.append(
                f"{instant(self.baton.now):%d %H:%M:%S.%f}"[:-3] + f" {who:<12} {text}"
            )

    def struck(self, incident: Incident) -> None:
        """Note that an incident came to pass."""
        self.counts[
            f"fault {incident.kind}" + (f" {incident.status}" if incident.status else "")
        ] += 1
        self.observer.struck(incident)
        self.say(f"  ! {incident}")

    # The world's truth.

    def truth_of(self, revision: str, at: int) -> Truth:
        """Return how a revision behaves at a time, incidents included."""
        truth = self.scene.truths.get(revision, self.scene.truths["*"])
        for incident in self.scene.incidents:
            if incident.target not in ("both", revision) or not self._holds(incident, at):
                continue
            if incident.kind == "turns bad":
                truth = replace(truth, errors=max(truth.errors, incident.number))
            elif incident.kind == "app fails":
                truth = replace(truth, health=500)
        return truth

    def _holds(self, incident: Incident, at: int | None = None) -> bool:
        now = (self.baton.now if at is None else at) / SECOND
        return not incident.nth and incident.start <= now < incident.end

    def _now_on(self, kind: str) -> Incident | None:
        return next((i for i in self.scene.incidents if i.kind == kind and self._holds(i)), None)

    def _arrange(self) -> None:
        for at, incident in enumerate(self.scene.incidents):
            if incident.kind in CALL_FAULTS and not incident.nth:
                self._faults.append((at, incident))
            elif incident.kind in CALL_FAULTS:
                self._spells.append(incident)
            elif incident.nth:
                of_kind = incident.target if incident.kind == "suspend" else ""
                self._numbered.setdefault((of_kind, incident.nth), []).append(incident)
            else:
                self._schedule(incident)
        measured, cloud = self.measured, self.cloud
        measured.lag = self._lag
        measured.hole = self._hole
        measured.factor = self._factor
        measured.spoiled = self._spoiled
        cloud.course = self._course

    def _lag(self) -> float:
        late = self._now_on("late points")
        return late.number if late else self.scene.lag

    def _hole(self, revision: str, end: int) -> bool:
        return any(
            i.kind == "hole" and i.target in ("", revision) and self._holds(i, end)
            for i in self.scene.incidents
        )

    def _factor(self, end: int) -> float:
        for incident in self.scene.incidents:
            if incident.kind == "changed points" and self._holds(incident):
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
                return (found.number or self.scene.shape.reconcile), fails
        return self.scene.shape.reconcile, ""

    def _schedule(self, incident: Incident) -> None:
        act = self._act_of(incident)
        if act is None:  # it only holds for a while
            act = partial(self._begins, incident)
        self.baton.at(round(incident.start * SECOND), act)
        if incident.kind == "unready":
            back = lambda: self.cloud.set_ready(incident.target, ready=True, why="")  # noqa: E731
            self.baton.at(round(incident.end * SECOND), back)
        if incident.kind == "delete service":
            anew = partial(self.cloud.recreate, as_it_was=bool(incident.number))
            self.baton.at(round(incident.end * SECOND), anew)

    def _begins(self, incident: Incident) -> None:
        if incident.kind not in ("shift fails", "shift slow", "message"):  # those strike a call
            self.counts[f"fault {incident.kind}"] += 1
            self.observer.begins(incident)

    def _act_of(self, incident: Incident) -> Callable[[], None] | None:
        """Return what happens once at an incident, None for one that only holds for a while."""
        cloud, kind = self.cloud, incident.kind
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
            "say": lambda: self.person(incident.target),
            "edit": self._edit_plan,
        }
        if kind not in acts:
            return None

        def act() -> None:
            self.struck(incident)
            acts[kind]()

        return act

    def _edit_plan(self) -> None:
        assert self.scene.edit is not None
        self.plan = _plan_of(self.scene.edit.plan)

    def _hands_split(self, incident: Incident) -> tuple[Line, ...]:
        service = self.cloud.service
        if service is None:
            return ()
        mine, tags = (
            self.scene.candidate,
            tuple(replace(x, percent=0) for x in service.traffic if x.tag),
        )
        others = [n for n in self.scene.shape.before if n in service.revisions]
        weight = round(incident.number)
        if mine not in service.revisions or not others:
            return service.traffic
        lines = (Line(mine, weight),) if weight else ()
        return (*lines, *((Line(others[0], 100 - weight),) if weight < 100 else ()), *tags)

    def _older_record(self) -> str | None:
        kept = [s.record for _, s in self.cloud.past if s is not None and s.record]
        return kept[0] if kept else None

    # Calls.

    def ports(self, door: Door, clock: WorldClock) -> Ports:
        """Return production's adapters for an actor, its messages included."""
        return replace(self.wires.ports(door, clock), notifier=door)

    def mailed(self, door: Door, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Let letters come to something, and the sender wait for it."""
        told, tries, seconds = self.inbox.deliver(letters)
        for one in tries:
            if one.incident is not None:
                self.struck(one.incident)
            self.say(f"message to {one.to}: {one.id} {one.met}")
        self.observer.mailed(tries, seconds)
        door.rest(seconds)
        return told

    def call(self, door: Door, kind: str, effect: Callable[[], T], timeout: float) -> T:
        """Let one call of an actor come to something."""
        self.calls += 1
        number = self.calls
        if number > CALLS_MOST:
            self.observer.view.violated("progress", f"more than {CALLS_MOST} calls")
            self.baton.stop()
        self._of_kind[kind] += 1
        places = (("", number), (kind, self._of_kind[kind]))
        self._at_call(places, door, before=True)
        door.rest(self._latency())
        fault = self._fault(kind, number) if door.suffers else None
        try:
            result = self._answered(door, kind, effect, timeout, fault)
        except (Answer, Silent) as no:
            self.say(f"{kind}: {getattr(no, 'status', 'no answer')} {no}")
            door.failed = kind
            self.observer.looks.called(door.name, kind, fault is None, ok=False)
            self._at_call(places, door, before=False)
            door.rest(self._latency())
            self.observer.looks.returned(door.name, kind)
            raise
        self.say(f"{kind}: ok{_told(result)}")
        self.observer.looks.called(door.name, kind, fault is None, ok=True)
        self._at_call(places, door, before=False)
        door.rest(self._latency())
        self.observer.looks.returned(door.name, kind)
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
            self.baton.after(timeout + fault.number, lambda: _quietly(effect))
        door.rest(timeout)
        raise Silent

    def _fault(self, kind: str, number: int) -> Incident | None:
        if kind == "message":  # its own incidents are met on the way
            return None
        for at, incident in self._faults:
            if incident.target in (kind, "any") and self._holds(incident):
                if incident.kind == "late" and kind != "put":
                    continue
                if incident.kind == "stale" and kind not in ("get_service", "get"):
                    continue
                rng = Random((self.scene.seed * 31 + at) * 1_000_003 + number)
                if incident.chance >= 1 or rng.random() < incident.chance:
                    self.struck(incident)
                    return incident
        for incident in self._spells:
            if incident.nth <= number < incident.nth + max(1, round(incident.number)):
                self.struck(incident)
                return incident
        return None

    def _at_call(self, places: Sequence[tuple[str, int]], door: Door, *, before: bool) -> None:
        for incident in (one for place in places for one in self._numbered.get(place, ())):
            if incident.before is not before:
                continue
            if incident.kind == "kill":
                if door.suffers:
                    self.struck(incident)
                    door.restart = incident.number
                    raise Killed
            elif incident.kind == "suspend":
                if door.suffers:
                    self.struck(incident)
                    door.rest(incident.number)
            else:
                act = self._act_of(incident)
                if act is not None:
                    act()

    def _latency(self) -> float:
        return 0.02 + self.scene.slow * self.rng.random() ** 3

    # People.

    def person(self, word: str) -> None:
        """Let a person say a word to rollout."""
        self._people += 1
        name = f"person-{self._people}"
        self.baton.start(name, lambda: self._perform(name, word))

    def _perform(self, name: str, word: str) -> None:
        clock = WorldClock(self, Process(name))
        ports = self.ports(Door(self, name, suffers=True), clock)
        try:
            done = deeds.perform(ports, self.name, word, f"{name}@example.com", "as they please")
        except (PortError, Unreadable, Killed) as error:
            if self.baton.stopped:
                raise
            self.say(f"{word} did not work: {error}")
            self.observer.endings.unanswered()
            return
        if isinstance(done, Refusal):
            self.counts["refused acts"] += 1
            self.say(f"{word} was refused: {done.reason}")
        else:
            self.counts[f"act {word}"] += 1
            self.say(f"{word}: done")
            self.observer.confirmed(name, word)

    def _look_around(self) -> None:
        """Let the people on call look at the service, once a minute; and see whether it is over."""
        said = self.observer.endings.wants(self.baton.now)
        if said:
            self.counts["answers"] += 1
            self.person(said)
        if all(one.observer.endings.is_over(self.baton.now) for one in self.peers.values()):
            self.baton.stop()
            return
        self.baton.after(60.0, self._look_around)


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


def _plan_of(text: str) -> Plan:
    return read_plan(Source("plan.yaml", text.encode()), env={}, variables={}).plan
