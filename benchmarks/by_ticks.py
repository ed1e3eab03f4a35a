"""Whether a rollout driven by passes alone ends as the one long `apply` does, and how much later.

A pass every five minutes of the world, each by a fresh controller that knows nothing but the record
on the service; some of them are real `rollout tick` processes, the others are rebuilt through the
wiring, all against one served sandbox. Goal: the same transitions in the same order, each at most
five minutes later after the one before it than with `apply`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from controller.cli import deeds
from controller.cli.following import follow
from controller.cli.rounds import Job, pass_over
from controller.cli.run import Run
from controller.cli.sandbox import VARIABLES
from controller.cli.target import Target
from controller.cli.views import View
from controller.cli.wiring import connections, rehearse
from controller.cli.wiring.serving import Served, served
from controller.engine.begin import Wish
from controller.engine.codec import decode
from controller.engine.events import Event
from controller.engine.observation import ServiceName
from controller.engine.record import AskKind, Phase, Record, Transition
from controller.plan.model import Plan
from controller.plan.reader import read_plan
from controller.plan.source import load
from controller.reconciler import Tick

EVERY = timedelta(minutes=5)
MOST = 4000  # passes, after which there is no end in sight
HERE = Path(__file__).resolve().parent.parent
ROLLOUT = [sys.executable, "-m", "controller"]


class _Silent:
    """A view that shows nothing."""

    def show(self, event: Event) -> None:
        """Nothing."""

    def tick(self, tick: Tick) -> None:
        """Nothing."""

    def about(self, named: Mapping[str, str]) -> View:
        """Return itself."""
        del named
        return self

    def close(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Driven:
    """How a rollout went. passes: how many. processes: how many of them were processes."""

    transitions: tuple[Transition, ...]
    passes: int = 0
    processes: int = 0


def name_of(plan: Plan) -> ServiceName:
    """Return the service in the sandbox."""
    return ServiceName(plan.project or "demo", "us-central1", plan.service)


def by_apply(plan: Plan, scenario: str) -> Driven:
    """Run the loop of `apply` to its end, in a world of its own."""
    connection = rehearse(name_of(plan), plan, scenario, {})
    run = Run(_Silent(), connection=connection)
    follow(run, Wish(plan, "kim@example.com", "r-1"))
    assert run.last is not None
    return Driven(run.last.decision.record.transitions)


def by_ticks(path: Path, plan: Plan, scenario: str, *, one_process_in: int) -> Driven:
    """Begin with `apply --no-wait` and make passes to the end; every so many is a process."""
    name = name_of(plan)
    with served(scenario, name, plan, port=0, speed=0) as world:
        around = {
            **dict.fromkeys(VARIABLES, world.address),
            "CLOUDSDK_CORE_PROJECT": name.project,
            "CLOUDSDK_RUN_REGION": name.region,
        }
        _people(world, name, around)
        _process(["apply", str(path), "--no-wait"], around)
        asked: object = None
        start = world.clock.now()
        for number in range(1, MOST):
            world.clock.sleep(start + number * EVERY - world.clock.now())
            if number % one_process_in == 0:
                _process(["tick", name.service], around)
            else:
                passed = pass_over(connections(around), Job(Target(name.service, name)))
                if passed.error is not None:
                    raise passed.error
            record = _record(world, name)
            if record.phase is Phase.DONE:
                return Driven(record.transitions, number, number // one_process_in + 1)
            if record.ask is not None and record.ask.since != asked:
                asked, kind = record.ask.since, record.ask.kind
                approval = kind is AskKind.APPROVAL
                world.sandbox.world.tell("asked" if approval else f"asked:{kind.value}")
    raise RuntimeError("no end in sight")


def _people(world: Served, name: ServiceName, around: Mapping[str, str]) -> None:
    """Let what the scenario's people say to rollout be done as by a command of theirs."""

    def say(word: str, details: Mapping[str, str]) -> None:
        ports = connections(around)(name).ports
        deeds.perform(ports, name, word, details.get("person", ""), details.get("reason", ""))

    world.sandbox.world.announcements = say


def _process(words: Sequence[str], around: Mapping[str, str]) -> None:
    done = subprocess.run(
        [*ROLLOUT, *words], check=False, env={**os.environ, **around}, capture_output=True, cwd=HERE
    )
    if done.returncode not in {0, 3, 4}:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr!r}")


def _record(world: Served, name: ServiceName) -> Record:
    raw = world.sandbox.world.service(name.region, name.service).raw
    return decode(raw["metadata"]["annotations"]["rollout/record"])


def later(long: Sequence[Transition], short: Sequence[Transition]) -> list[timedelta]:
    """Return by how much each transition came later, after the one before it."""

    def steps(found: Sequence[Transition]) -> list[timedelta]:
        before = (found[0], *found[:-1])
        return [one.at - earlier.at for one, earlier in zip(found, before, strict=True)]

    return [b - a for a, b in zip(steps(long), steps(short), strict=True)]


def main() -> int:
    """Print a line for each scenario; return 0 when the goal is met, else 1."""
    met = True
    path = HERE / "rollout_plans" / "ion-api.yaml"
    plan = read_plan(load(str(path)), env={}, variables={}).plan
    for scenario, one_process_in in (("errors", 10), ("healthy", 45)):
        long = by_apply(plan, scenario)
        start = time.perf_counter()
        short = by_ticks(path, plan, scenario, one_process_in=one_process_in)
        took = time.perf_counter() - start
        same = [one.what for one in long.transitions] == [one.what for one in short.transitions]
        most = max(later(long.transitions, short.transitions)) if same else None
        met = met and most is not None and most <= EVERY
        told = "the same" if same else "OTHER"
        print(
            f"by_ticks {scenario}: {short.passes} passes, {short.processes} of them processes, in "
            f"{took:.0f} s; {told} transitions ({len(short.transitions)}); "
            f"latest by {most} (goal {EVERY})"
        )
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
