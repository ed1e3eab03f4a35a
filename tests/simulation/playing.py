"""A run: the scene's world, its controllers and people, from the start to the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.cli import deeds
from controller.engine.codec import Unreadable
from controller.engine.decision import Refusal
from controller.engine.lost import Vanished
from controller.engine.observation import ServiceName
from controller.engine.telling import Letter
from controller.plan.model import Plan
from controller.plan.reader import read_plan
from controller.plan.source import Source
from controller.ports import Delivery, PortError, Ports
from tests.simulation.actors import Controller, Door, WorldClock
from tests.simulation.baton import SECOND, Baton, Killed
from tests.simulation.calls import Calls
from tests.simulation.cloud import Cloud
from tests.simulation.happenings import Happenings
from tests.simulation.inbox import Inbox
from tests.simulation.measured import Measured
from tests.simulation.observer import Observer
from tests.simulation.scene import Process, Scene
from tests.simulation.service import PROJECT, REGION, SERVICE, instant
from tests.simulation.wires import Wires

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
        self.measured = Measured(self.cloud)
        self.lines: list[str] = []
        self.traced = traced
        self.counts: Counter[str] = Counter()
        self.observer = Observer(scene, self.cloud, self.measured, self.say)
        self.plan = _plan_of(scene.plan)  # what the file says now
        self.first_plan = self.plan
        self.happenings = Happenings(self)
        self.calls = Calls(self, self.happenings)
        self.inbox = Inbox(scene, self.happenings.incidents, lambda: self.baton.now)
        self._people = 0

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
            self.calls.number,
            self.observer.looks.number,
            self.counts + view.checks,
            self.observer.cells,
            tuple(self.lines),
        )

    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        if self.happenings.aims.keep_up():
            return False
        return self.observer.endings.is_over(self.baton.now)

    def say(self, text: str) -> None:
        """Write a line into the trace."""
        if self.traced:
            who = self.baton.running.name if self.baton.running else "-"
            self.lines.append(
                f"{instant(self.baton.now):%d %H:%M:%S.%f}"[:-3] + f" {who:<12} {text}"
            )

    def edit_plan(self) -> None:
        """Let the plan's file say what it says after the scene's edit; it is every region's."""
        for one in self.peers.values():
            assert one.scene.edit is not None
            one.plan = _plan_of(one.scene.edit.plan)
            one.observer.view.edited = True

    # Calls.

    def ports(self, door: Door, clock: WorldClock) -> Ports:
        """Return production's adapters for an actor, its messages included."""
        return replace(self.wires.ports(door, clock), notifier=door)

    def mailed(self, door: Door, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Let letters come to something, and the sender wait for it."""
        told, tries, seconds = self.inbox.deliver(letters)
        for one in tries:
            if one.incident is not None:
                self.happenings.struck(one.incident)
            self.say(f"message to {one.to}: {one.id} {one.met}")
        self.observer.mailed(tries, seconds)
        door.rest(seconds)
        return told

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
        except (PortError, Unreadable, Vanished, Killed) as error:
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
        if all(one.is_over() for one in self.peers.values()):
            self.baton.stop()
            return
        self.baton.after(60.0, self._look_around)


def _plan_of(text: str) -> Plan:
    return read_plan(Source("plan.yaml", text.encode()), env={}, variables={}).plan
