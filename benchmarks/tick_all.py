"""What `rollout tick --all` costs over many services with rollouts: time, and API calls of each.

The services are in one sandbox, served on loopback; every pass is a real process. Its own processor
time is told beside the real time, which has the sandbox's in it. Goals: at most 6 API calls a
service where a pass writes nothing, at most 10 where it writes, and a cost that grows linearly.
"""

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from controller.cli.sandbox import VARIABLES
from controller.cli.wiring import connections
from controller.cli.wiring.serving import Served, served
from controller.engine.begin import Wish
from controller.engine.observation import ServiceName
from controller.plan.reader import read_plan
from controller.plan.source import load
from controller.reconciler import Reconciler, Tick

SIZES = (50, 100, 200)
CALLS_READING, CALLS_WRITING = 6.0, 10.0
GROWTH = 1.25  # of the cost of one service, from the fewest services to the most
HERE = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "controller", "tick", "--all"]
PASSES = (  # what is to be done, and the world's time since the pass before
    ("in force", timedelta(minutes=5)),
    ("shift", timedelta(minutes=5)),
    ("in force", timedelta(minutes=5)),
    ("wait", timedelta(minutes=30)),
    ("heartbeat", timedelta(hours=3)),
    ("wait", timedelta(minutes=5)),
)


@dataclass(frozen=True)
class Cost:
    """What one pass over all services cost. seconds: real; own: processor time of the process."""

    seconds: float
    own: float
    calls: Counter[str]

    @property
    def writes(self) -> int:
        """Return how many services were written."""
        return self.calls["PUT"]


def counting(world: Served) -> Counter[str]:
    """Count from now on every call of an API of Google's that the world answers."""
    counts: Counter[str] = Counter()
    table: Any = world.sandbox.handlers
    for path, method in dict(table).items():
        table[path] = type(method)(method.request, _counted(counts, path, method.handler))
    v1: Any = world.sandbox.run_v1
    answer = v1.answer

    def answered(verb: str, *rest: Any) -> Any:
        counts[verb] += 1
        return answer(verb, *rest)

    v1.answer = answered
    return counts


def _counted(counts: Counter[str], path: str, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    name = path.rsplit("/", 1)[-1]

    def handle(request: Any) -> Any:
        counts[name] += 1
        return act(request)

    return handle


def measured(size: int) -> list[Cost]:
    """Begin a rollout on each of so many services and return what the passes after it cost."""
    plan = read_plan(load(str(HERE / "rollout_plans" / "ion-api.yaml")), env={}, variables={}).plan
    name = ServiceName("demo", "us-central1", plan.service)
    with served("healthy", name, plan, port=0, speed=0, services=size) as world:
        around = {
            **dict.fromkeys(VARIABLES, world.address),
            "CLOUDSDK_CORE_PROJECT": name.project,
            "CLOUDSDK_RUN_REGION": name.region,
        }
        connect = connections(around)
        for region, service in sorted(world.sandbox.world.services):
            one = ServiceName(name.project, region, service)
            wish = Wish(replace(plan, service=service), "kim@example.com", f"r-{service}")
            assert isinstance(Reconciler(connect(one).ports, one).begin(wish), Tick)
        counts = counting(world)
        return [_pass(world, counts, around, since) for _, since in PASSES]


def _pass(world: Served, counts: Counter[str], around: dict[str, str], since: timedelta) -> Cost:
    world.clock.sleep(since)
    counts.clear()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(
        COMMAND, check=False, env={**os.environ, **around}, capture_output=True, text=True, cwd=HERE
    )
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"tick --all ended with {done.returncode}: {done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(took, own, counts.copy())


def main() -> int:
    """Print a line for each pass; return 0 when the goals are met, else 1."""
    met = True
    costs: dict[str, list[float]] = {}
    for size in SIZES:
        for number, ((what, _), cost) in enumerate(
            zip(PASSES, measured(size), strict=True), start=1
        ):
            calls = cost.calls.total() / size
            goal = CALLS_WRITING if cost.writes else CALLS_READING
            met = met and calls <= goal
            costs.setdefault(f"{number} {what}", []).append(cost.own / size)
            listed = ", ".join(f"{name} {n / size:g}" for name, n in cost.calls.most_common())
            print(
                f"tick_all {size} services, pass {number} ({what}, {cost.writes} written): "
                f"{cost.seconds:.2f} s, own processor {cost.own:.2f} s; "
                f"{calls:.2f} calls a service (goal <= {goal:g}): {listed}",
                flush=True,
            )
    for what, each in costs.items():
        grown = each[-1] / each[0]
        met = met and grown <= GROWTH
        told = ", ".join(f"{one * 1000:.1f} ms" for one in each)
        print(f"tick_all pass {what}: processor time a service at {SIZES}: {told} (goal: linear)")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
