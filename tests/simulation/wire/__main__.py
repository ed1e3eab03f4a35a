"""`python -m tests.simulation.wire`: the long form; tells what came of each run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from tests.simulation.report import write_section
from tests.simulation.wire import runs
from tests.simulation.wire.runs import Case, Result

MINUTE = timedelta(minutes=1)
OUTAGE_S = 60.0
AT_WRITES = 40  # kills beside those at drawn moments: at the writes that are left then
COLUMNS = (
    "rollout", "outcome", "processes", "looks told", "writes", "refused", "in the world",
    "real time", "seen", "violations",
)  # fmt: skip


def plays(
    folder: Path, kills: int, seed: int, start_up: float
) -> list[tuple[str, Callable[[], Result]]]:
    """Return every run, named; the longest first."""
    # At this speed a minute without an answer is twelve of the world: a shift may take fifteen.
    slow = Case((10, 50, 100), 10 * MINUTE, 12)
    fast = Case((10, 50, 100), 15 * MINUTE, 60)
    good, bad = runs.long(kills, None, start_up), runs.long(kills, 3, start_up)

    def killed(case: Case) -> Result:
        where = folder / f"killed-{case.kind}"
        return runs.killed(
            where, case, kills=kills, seed=seed, start_up=start_up, at_writes=AT_WRITES
        )

    def two(case: Case, killed: int) -> Result:
        where = folder / f"two-{case.kind}-{killed}"
        return runs.two(where, case, kills=killed, seed=seed)

    fails = Case(slow.weights, slow.hold, slow.speed, bad=1)
    fails_fast = Case(fast.weights, fast.hold, fast.speed, bad=1)
    return [
        ("a good candidate, killed", lambda: killed(good)),
        ("a bad candidate, killed", lambda: killed(bad)),
        ("a good one, the world away", lambda: runs.stopped(folder / "o", slow, seconds=OUTAGE_S)),
        ("a bad one, the world away", lambda: runs.stopped(folder / "p", fails, seconds=OUTAGE_S)),
        ("two at once", lambda: two(fast, 0)),
        ("two at once, a bad one", lambda: two(fails_fast, 0)),
        ("two at once, one killed", lambda: two(runs.long(20, None, start_up), 20)),
    ]


def table(results: Iterable[Result]) -> str:
    """Return what came of the runs, as the docs show it."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|" + "---:|" * (len(COLUMNS) - 2),
    ]
    done = list(results)
    for one in done:
        world = f"{one.world.total_seconds() / 3600:.1f} h"
        numbers = (one.processes, one.looks, one.writes, one.refused)
        shown = " | ".join(f"{number:,}" for number in numbers)
        bad = len(one.violations)
        lines.append(
            f"| {one.name} | {one.outcome.replace('_', ' ')} | {shown} | {world} | "
            f"{one.seconds / 60:.1f} min | {one.seen:,} | {bad} |"
        )
    lines += ["", "What was done to them: " + "; ".join(_done(one) for one in done if one.counts)]
    checks = sum(sum(one.checks.values()) for one in done)
    lines[-1] += f". {checks:,} things were looked at."
    return "\n".join(lines)


def _done(one: Result) -> str:
    counts = ", ".join(f"{what} {number:,}" for what, number in sorted(one.counts.items()))
    return f"{one.name}: {counts}"


def main(arguments: list[str]) -> int:
    """Play all; return 1 where something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.wire", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in each of the killed rollouts")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--jobs", type=int, default=3, help="runs at a time")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    given = parser.parse_args(arguments)
    failed = False
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="rollout-wire-") as place:
        folder = Path(place)
        start_up = runs.start_up_of(folder / "start-up")
        print(f"a process takes {start_up:.1f} s until its first write", flush=True)
        with ThreadPoolExecutor(given.jobs) as pool:
            todo = plays(folder, given.kills, given.seed, start_up)
            under_way = [(name, pool.submit(play)) for name, play in todo]
            for name, one in under_way:
                try:
                    results.append(one.result())
                except Exception as error:
                    failed = True
                    print(f"{name}: {type(error).__name__}: {error}", flush=True)
                    continue
                _tell(results[-1])
    failed |= any(one.violations for one in results)
    print(table(results))
    if given.write and len(results) == len(todo):
        write_section("wire", table(results))
    return 1 if failed else 0


def _tell(one: Result) -> None:
    print(f"{one.name}: {one.outcome}, {one.seconds:.0f} s, {dict(one.counts)}", flush=True)
    for text in one.violations:
        print(f"  VIOLATED {text[:600]}")
    if one.said:
        print(one.said)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
