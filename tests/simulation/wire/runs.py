"""The runs: killed at random moments, the world stopped and away, two controllers at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event

from tests.simulation.wire.front import Write
from tests.simulation.wire.judging import Expected, Judge
from tests.simulation.wire.processes import Controller, World, wait_until
from tests.simulation.wire.recorder import Recorder

CANDIDATE, STABLE = "ion-api-00042-xyz", "ion-api-00041-abc"
NAME = "projects/demo/locations/us-central1/services/ion-api"
AFTERWARDS_S = 240.0  # the longest that is waited for the end once nothing disturbs any more


@dataclass(frozen=True, slots=True)
class Case:
    """A plan and a world. weights: of the stages; hold: of each; bad: the failing stage, or None.

    speed: seconds of the world in each real one.
    """

    weights: tuple[int, ...]
    hold: timedelta
    speed: float
    bad: int | None = None

    @property
    def kind(self) -> str:
        """Return what the candidate is."""
        return "good" if self.bad is None else "bad"

    @property
    def expected(self) -> Expected:
        stages = tuple((weight, self.hold) for weight in self.weights)
        return Expected(CANDIDATE, STABLE, stages, self.bad)

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Write the plan and the scenario; return where they are."""
        plan, scenario = folder / "plan.yaml", folder / "world.yaml"
        hold = f"{round(self.hold.total_seconds())}s"
        stages = "".join(f"  - {{weight: {weight}%, hold: {hold}}}\n" for weight in self.weights)
        plan.write_text(
            "service: ion-api\nproject: demo\nregion: us-central1\nstages:\n"
            f"{stages}gates:\n  error-rate: {{metric: error_rate, max: 1%, roll_back: 2%}}\n",
            encoding="utf-8",
        )
        change = ""
        if self.bad is not None:
            change = f", changes: [{{from: shift {self.bad + 1}, errors: {{5xx: 12%}}}}]"
        text = f"traffic: {{rate: 20/s}}\nrevisions:\n  candidate: {{like: stable{change}}}\n"
        scenario.write_text(text, encoding="utf-8")
        return plan, scenario


@dataclass(slots=True)
class Result:
    """What came of a run. counts: what was done to it; seconds: real ones; world: the world's."""

    name: str
    outcome: str
    violations: list[str]
    checks: Counter[str]
    counts: Counter[str]
    processes: int
    looks: int
    writes: int
    refused: int
    seen: int
    seconds: float
    world: timedelta
    said: str = ""


@dataclass(eq=False)
class Scene:
    """A served world with what watches it, and the controllers in it."""

    case: Case
    folder: Path
    plan: Path
    world: World
    recorder: Recorder
    opened: ExitStack
    controllers: list[Controller] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    processes: int = 0
    violations: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def controller(self) -> Controller:
        """Return a place to run `apply` from, with a door of its own."""
        made = Controller(self.world, self.plan, self.folder, f"apply-{len(self.controllers)}")
        self.controllers.append(self.opened.enter_context(made))
        return made

    def start(self, controller: Controller) -> None:
        """Run one more process."""
        self.processes += 1
        controller.start()

    def weight(self) -> int:
        """Return the candidate's weight in force."""
        return self.recorder.now.in_force.get(CANDIDATE, 0)

    def reached(self, stage: int) -> None:
        """Wait until a stage's split is in force."""
        weight = self.case.weights[stage]
        wait_until(lambda: self.weight() == weight, AFTERWARDS_S, f"{weight}% in force")

    def end(self, controller: Controller) -> None:
        """Wait for a process that nothing disturbs any more to end by itself."""
        if controller.process is not None and controller.wait(AFTERWARDS_S) is None:
            raise TimeoutError(f"no end; the process said:\n{controller.last_words()}")

    def result(self, name: str) -> Result:
        """Judge what was seen."""
        took = time.monotonic() - self.began
        judge = Judge(self.case.expected, violations=self.violations)
        codes = [code for one in self.controllers for code in one.ended if code != -9]
        judge.must(bool(codes), "a process sees the end")
        answers: Counter[int] = Counter()
        for one in self.controllers:
            answers += one.front.counts
        last = self.case.expected.weights[-1]
        wait_until(lambda: self.weight() == last, 30, "the end is in force")
        self.recorder.stop()
        self.recorder.look()
        left = self.recorder.revisions()
        judge.must(left == self.recorder.revisions_before, "the revisions are left", left)
        judge.judge(self.recorder.sights, codes=codes, processes=self.processes, taken=answers[200])
        first, now = self.recorder.sights[0], self.recorder.now
        outcomes = [outcome[0] for outcome in now.record.get("outcomes", [])]
        return Result(
            name,
            ", ".join(outcomes) or "none",
            judge.violations,
            judge.checks,
            self.counts,
            self.processes,
            sum(one.looks for one in self.controllers),
            now.generation - first.generation,
            sum(number for status, number in answers.items() if status != 200),
            self.recorder.seen,
            took,
            now.written - first.first,
            "\n".join(one.last_words() for one in self.controllers) if judge.violations else "",
        )


@contextmanager
def scene(case: Case, folder: Path) -> Iterator[Scene]:
    """Serve the world of a case and watch it, until everything of it has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    plan, scenario = case.files(folder)
    with ExitStack() as opened:
        world = opened.enter_context(World(folder, plan, scenario, case.speed))
        recorder = opened.enter_context(Recorder(world, NAME))
        yield Scene(case, folder, plan, world, recorder, opened)


# Killed -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """How a process comes to its end: after so many seconds, or at a write, whichever is first.

    at: "before" a write is sent on, or "after" it took effect, or "". moving: only at one that
    moves traffic. skip: so many writes are let by.
    """

    seconds: float
    at: str = ""
    moving: bool = True
    skip: int = 0


def drawn(random: Random, start_up: float) -> Life:
    """Draw a life: half of them end while the process starts, a quarter at any write."""
    share = random.random()
    late = start_up + random.uniform(0, 3)
    at = random.choice(("before", "after", ""))
    if share < 0.45:
        return Life(random.uniform(0, start_up), at)
    if share < 0.75:
        return Life(late, at)
    return Life(late, "before" if share < 0.87 else "after", moving=False)


def lived(controller: Controller, life: Life, scene: Scene) -> bool:
    """Let a process live its life and kill it; False where it came to its own end before."""
    passed, struck = 0, list[Write]()

    def doom(write: Write) -> bool:
        nonlocal passed
        is_time = life.at == ("after" if write.status else "before")
        if not is_time or struck or (life.moving and not write.moves):
            return False
        passed += 1
        if passed > life.skip:
            struck.append(write)
        return bool(struck)

    controller.doom = doom
    scene.start(controller)
    code = controller.wait(life.seconds)
    if code is None:
        controller.kill()
        code = controller.wait(30)
    if code != -9:
        return False
    if struck:
        what = "a write that moves traffic" if struck[0].moves else "another write"
        scene.counts[f"killed {life.at} {what}"] += 1
    else:
        scene.counts["killed by time"] += 1
    return True


def kill_one_after_another(
    scene: Scene, controller: Controller, kills: int, random: Random, start_up: float
) -> None:
    """Kill so many processes, each with the next one started at once; the last may live."""
    for number in range(kills):
        if not lived(controller, drawn(random, start_up), scene):
            scene.violations.append(f"it ended after {number} of {kills} kills")
            return
    controller.doom = lambda _write: False
    scene.start(controller)


def kill_at_writes(scene: Scene, controller: Controller, most: int, random: Random) -> None:
    """Kill what goes on at its later writes, until one comes to the end or most were killed."""
    controller.kill()
    controller.wait(30)
    for _ in range(most):
        moving = random.random() < 0.7
        at = random.choice(("before", "after"))
        life = Life(AFTERWARDS_S, at, moving=moving, skip=0 if moving else random.randint(1, 3))
        if not lived(controller, life, scene):
            return
    controller.doom = lambda _write: False
    scene.start(controller)


def start_up_of(folder: Path) -> float:
    """Measure how long a process takes until its first write, on this machine, now (seconds)."""
    case = Case((10, 100), timedelta(minutes=10), 60)
    with scene(case, folder) as measured:
        controller = measured.controller()
        began = time.monotonic()
        measured.start(controller)
        written = Event()

        def note(write: Write) -> bool:
            if write.status:
                written.set()
            return bool(write.status)

        controller.doom = note
        wait_until(written.is_set, 60, "a first write")
        return time.monotonic() - began


def long(kills: int, bad: int | None, start_up: float) -> Case:
    """Return a case whose rollout lasts for so many kills, and a little longer."""
    each = 0.8 * start_up + 0.8  # seconds that a process lives, as they are drawn
    weights = (5, 10, 25, 50, 100)
    stages = len(weights) if bad is None else bad
    return Case(weights, timedelta(minutes=max(10, round(kills * each * 1.05 / stages))), 60, bad)


def killed(
    folder: Path, case: Case, *, kills: int, seed: int, start_up: float, at_writes: int = 0
) -> Result:
    """Kill `apply` so many times in one rollout, at moments drawn from the seed.

    at_writes: so many times more at most, at the writes that are left then.
    """
    random = Random(seed)
    with scene(case, folder) as running:
        controller = running.controller()
        kill_one_after_another(running, controller, kills, random, start_up)
        if at_writes:
            kill_at_writes(running, controller, at_writes, random)
        running.end(controller)
        return running.result(f"a {case.kind} candidate, killed")


# Stopped ----------------------------------------------------------------------------------------


def stopped(folder: Path, case: Case, *, seconds: float) -> Result:
    """Stop the world just as a write that moves traffic is sent, later let nobody reach it.

    The write waits in the world's socket, and takes effect when it goes on. One controller, which
    nobody starts again.
    """
    with scene(case, folder) as running:
        controller = running.controller()
        ready, frozen = Event(), Event()

        def freeze(write: Write) -> bool:
            if ready.is_set() and not frozen.is_set() and write.moves and not write.status:
                running.world.stop()
                frozen.set()
            return False

        controller.doom = freeze
        running.start(controller)
        running.reached(0)
        ready.set()
        wait_until(frozen.is_set, AFTERWARDS_S, "a write that moves traffic")
        running.counts["world stopped at a write"] += 1
        Event().wait(seconds)
        running.world.go_on()
        running.reached(1)
        controller.front.shut()
        running.counts["world out of reach"] += 1
        Event().wait(seconds)
        controller.front.open()
        running.end(controller)
        return running.result(f"a {case.kind} candidate, the world away twice for {seconds:g} s")


# Two at once ------------------------------------------------------------------------------------


def two(folder: Path, case: Case, *, kills: int = 0, seed: int = 1) -> Result:
    """Run two at once, begun together; with kills, one of them is killed again and again."""
    with scene(case, folder) as running:
        first, second = running.controller(), running.controller()
        running.start(first)
        if kills:
            kill_one_after_another(running, second, kills, Random(seed), 2.0)
        else:
            running.start(second)
        running.end(first)
        running.end(second)
        also = f", one of them killed {kills} times" if kills else ""
        return running.result(f"a {case.kind} candidate, two controllers at once{also}")
