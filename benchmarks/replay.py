"""How fast minutes are replayed: the ion-api plan, runs of 150 minutes, both roles, as JSON lines.

Goal: reading and judging takes at most 30 times the processor time of parsing the same JSON alone,
which keeps 1,000 runs well under a minute on one core. The ratio, unlike seconds, says the same on
a slow or busy machine.
"""

import json
import os
import sys
import time
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from controller.cli import evidence
from controller.cli.target import read
from controller.engine.past import past_of
from controller.engine.replaying import replay

GOAL = 30
RUNS, MINUTES, ROUNDS = 40, 150, 3
WEIGHTS = (5, 10, 25, 50, 100)
PER_MINUTE = 600
PLAN = Path(__file__).resolve().parent.parent / "rollout_plans" / "ion-api.yaml"
SCORE = "custom.googleapis.com/ion/confidence_score"


def runs_of(rng: Random) -> list[bytes]:
    """Return the lines of good runs: what is judged to the end takes longest."""
    return [
        json.dumps(line).encode()
        for run in range(RUNS)
        for minute in range(MINUTES)
        for line in minute_of(rng, run, minute)
    ]


def minute_of(rng: Random, run: int, minute: int) -> list[dict[str, Any]]:
    """Return a minute's lines; at 100% stable has none."""
    weight = WEIGHTS[minute * len(WEIGHTS) // MINUTES]
    mine = PER_MINUTE * weight // 100
    sides = (("candidate", mine), ("stable", PER_MINUTE - mine))
    return [
        {
            "run": f"run {run}",
            "minute": minute,
            "weight": weight,
            "role": role,
            "responses": {"2xx": requests - (failed := int(rng.random() < 0.3)), "5xx": failed},
            "latency_ms": {
                "bounds": [100, 1000, 5000, 15000, 20000, 30000],
                "counts": [0, requests // 2, requests - requests // 2, 0, 0, 0, 0],
            },
            "metrics": {SCORE: rng.gauss(0.82, 0.02)},
        }
        for role, requests in sides
        if requests
    ]


def main() -> int:
    """Print one line with the goal; return 0 when it is met, else 1. The best round counts."""
    plan, _ = read(str(PLAN), {}, os.environ)
    lines = runs_of(Random(1))
    best, parsing = float("inf"), float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for line in lines:
            json.loads(line)
        parsing = min(parsing, time.process_time() - start)
        start = time.process_time()
        seen = evidence.read(plan, "benchmark", lines)
        told = [replay(plan, past_of(plan, run, rows)) for run, rows in seen.runs.items()]
        best = min(best, time.process_time() - start)
        if failed := list(islice((one for one in told if one.verdict == "fail"), 1)):
            raise RuntimeError(f"a good run failed: {failed[0]}")
    ratio, per_second = best / parsing, RUNS * MINUTES / best
    print(
        f"replay: {per_second:,.0f} minutes a second, 1,000 runs of {MINUTES} in "
        f"{1000 * MINUTES / per_second:.0f} s; {ratio:.1f}x of parsing alone (goal <= {GOAL}x)"
    )
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
