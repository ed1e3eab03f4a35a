"""One rollout in several regions: a world for each, one time, and controllers that follow all.

Each region has a service, a Monitoring, people on call and an observer of its own. A controller is
one process with a leg in each, as `apply` and a schedule's passes have them: begun last to first,
and each looked at when it is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from controller.engine.begin import Attach, Nothing
from controller.engine.codec import Unreadable
from controller.engine.decision import Refusal, State
from controller.engine.duty import SCHEDULE
from controller.engine.lost import Vanished
from controller.ports import PortError
from controller.reconciler import Reconciler
from tests.simulation.actors import Controller, Door, WorldClock
from tests.simulation.aiming import CELLS
from tests.simulation.baton import SECOND, Baton, Killed
from tests.simulation.drawing import draw
from tests.simulation.observer import Observer
from tests.simulation.playing import Result, Run
from tests.simulation.scene import Process, Scene
from tests.simulation.service import REGION
from tests.simulation.wires import Wires

REGIONS = (REGION, "europe-west1", "asia-northeast3")
STAGES_MOST = (1, 2, 2, 3)  # of a plan: each region walks through all of them


def in_regions(*scenes: Scene) -> dict[str, Scene]:
    """Return scenes by region, all with a plan of these regions: what befalls each is its own."""
    names = REGIONS[: len(scenes)]
    return {
        name: replace(
            scene,
            plan=_listing(names, scene.plan),
            edit=scene.edit and replace(scene.edit, plan=_listing(names, scene.edit.plan)),
            seed=scene.seed + 1_000_003 * at,
        )
        for at, (name, scene) in enumerate(zip(names, scenes, strict=True))
    }


def _listing(names: Sequence[str], plan: str) -> str:
    return plan.replace(f"region: {REGION}", f"region: [{', '.join(names)}]")


def drawn(seed: int) -> dict[str, Scene]:
    """Return a seed's scene in two or three regions; its incidents befall one of them."""
    rng = Random(seed * 1_000_003 + 17)
    aim = CELLS[rng.randrange(len(CELLS))] if rng.random() < 1 / 4 else None
    scene = draw(seed, aim=aim, most=rng.choice(STAGES_MOST))
    number = rng.choice((2, 2, 3))
    place = rng.randrange(number)
    good = {"*": scene.truths["*"], scene.candidate: scene.truths["*"]}
    others = replace(scene, incidents=(), truths=good, character="good")
    return in_regions(*(scene if at == place else others for at in range(number)))


def play(scenes: Mapping[str, Scene], wires: Wires, *, traced: bool = False) -> dict[str, Result]:
    """Play a rollout in these regions, one after the other in this order."""
    baton = Baton()
    runs = {
        name: Run(scene, wires, traced=traced, baton=baton, region=name)
        for name, scene in scenes.items()
    }
    before: Observer | None = None
    for run in runs.values():
        run.peers = runs
        if before is not None:
            run.observer.comes_after(before)
        before = run.observer
        run.look_after()
    first = next(iter(runs.values()))
    for process in first.scene.processes:
        baton.start(process.name, Everywhere(tuple(runs.values()), process).live)
    baton.play()
    return {name: run.result() for name, run in runs.items()}


@dataclass(eq=False, slots=True)
class _Leg:
    """A controller in one region. due: when it looks again, µs."""

    controller: Controller
    reconciler: Reconciler
    due: int = 0
    done: bool = False


class Everywhere:
    """A controller that follows all regions: processes one after the other."""

    def __init__(self, runs: tuple[Run, ...], process: Process) -> None:
        self.process = process
        self.parts = tuple(Controller(run, process) for run in runs)
        for part in self.parts:
            part.door = Door(part.run, process.name, suffers=True)
        self._baton = runs[0].baton
        self._door = self.parts[0].door

    def live(self) -> None:
        """Run processes until the run is stopped."""
        process = self.process
        self._door.rest(process.starts)
        while True:
            pause = float(process.schedule) or 300.0
            try:
                pause = self._live_once(self._legs()) or pause
            except Killed:
                if self._baton.stopped:
                    raise
                self._say("killed")
                pause = max(part.door.restart for part in self.parts) or 30.0
            except PortError as error:
                self._say(f"ends: {error}")
                pause = 120.0
            self._door.rest(pause)

    def _live_once(self, legs: tuple[_Leg, ...]) -> float:
        """Run one process; return after how many seconds the next begins, 0 if that is the same."""
        try:
            if self.process.schedule:
                self._pass(legs)
            elif self._begun(legs):
                return 5.0 if self._stay(legs) else 0.0
            else:  # whoever is refused has `tick --all` look after what there is
                self._look_once(self._legs(SCHEDULE))
        except (
            Unreadable,
            Vanished,
        ) as error:  # so has whoever finds a record that nobody can read
            self._say(f"ends: {error}")
            self._look_once(self._legs(SCHEDULE))
        return 0.0

    def _legs(self, name: str = "") -> tuple[_Leg, ...]:
        """Return a process in each region. name: its id, where it is not one of its own."""
        legs = []
        for part in self.parts:
            part.lives += 1
            part.door.restart = 0.0
            part.run.observer.looks.started(self.process.name)
            clock = WorldClock(part.run, self.process)
            own = SCHEDULE if self.process.schedule else f"{self.process.name}-{part.lives}"
            ports = part.run.ports(part.door, clock)
            legs.append(_Leg(part, Reconciler(ports, part.run.name, name or own)))
        return tuple(legs)

    def _enter(self, leg: _Leg) -> None:
        leg.controller.run.wires.enter(leg.controller.door)

    def _say(self, text: str) -> None:
        for part in self.parts:
            part.run.say(text)

    def _begun(self, legs: tuple[_Leg, ...]) -> bool:
        """Begin or attach in every region, the last one first; nothing where one refuses."""
        wish = legs[0].controller.wish()
        for leg in legs:
            leg.controller.plan = leg.controller.run.plan
        after, before = [], ""
        for leg in legs:
            self._enter(leg)
            leg.reconciler.make_up()
            begun, _ = leg.reconciler.preview(wish)
            if isinstance(begun, Refusal):
                self._say(f"begin: {leg.reconciler.name.region}: {begun.reason}")
                legs[0].controller.note_refusal(begun.reason)
                return False
            if isinstance(begun, Attach):
                wish = replace(wish, rollout=begun.record.rollout)
            after.append(before)
            if not isinstance(begun, Nothing):
                before = leg.reconciler.name.region
        for leg, region in reversed(list(zip(legs, after, strict=True))):
            self._enter(leg)
            found = leg.reconciler.begin(replace(wish, after=region))
            if isinstance(found, Refusal):
                leg.controller.run.say(f"begin: {found.reason}")
                return False
            leg.done = isinstance(found, Nothing)
            leg.controller.run.say(f"begin: {type(found).__name__}")
        return True

    def _stay(self, legs: tuple[_Leg, ...]) -> bool:
        """Look at each region when it is due, until there is an end in all.

        Return whether its person calls it back before, to run it with another plan.
        """
        while open_ones := [leg for leg in legs if not leg.done]:
            for leg in open_ones:
                if leg.due <= self._baton.now and not self._look(leg):
                    return False
            if any(part.is_called_back() for part in self.parts):
                for leg in open_ones:
                    self._enter(leg)
                    leg.reconciler.hand_over()
                return True
            due = min(leg.due for leg in open_ones)
            self._door.rest(max(due - self._baton.now, 0) / SECOND)
        return False

    def _pass(self, legs: tuple[_Leg, ...]) -> None:
        """Look at each region once, as a schedule's pass does: also where it is refused."""
        is_there = all(leg.controller.is_there() for leg in legs)
        if not (self.process.ticks and is_there):
            self._begun(legs)
        self._look_once(legs)

    def _look_once(self, legs: tuple[_Leg, ...]) -> None:
        """Look at each region by itself: one that cannot be looked at hinders no other."""
        for leg in (leg for leg in legs if not leg.done):
            try:
                self._look(leg)
            except (PortError, Unreadable, Vanished) as error:
                leg.controller.run.say(f"not looked at: {error}")

    def _look(self, leg: _Leg) -> bool:
        """Look once; tell whether there is a rollout."""
        self._enter(leg)
        tick = leg.controller.ticked(leg.reconciler)
        if tick is None:
            return False
        leg.done = tick.decision.state is State.DONE and not tick.problem
        leg.due = self._baton.now + round(tick.look_again.total_seconds() * SECOND)
        return True
