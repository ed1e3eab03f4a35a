"""Every call of a few fixed rollouts, one after the other: killed before it, killed after it.

And as in SQLite's tests: the n-th call fails once, a while, and for good, for n = 1, 2, …
`python -m tests.simulation.kills` plays them all; a rollout must end as it does undisturbed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tests.simulation.endings import FOR_GOOD
from tests.simulation.incidents import CANDIDATE
from tests.simulation.playing import Run
from tests.simulation.report import write_section
from tests.simulation.scene import Incident, Process, Scene, Truth
from tests.simulation.scenes import BAD, FACTS, PLAN, STABLE, calm
from tests.simulation.wires import Wires

APPROVED = replace(
    calm(answers="approve"),
    plan=PLAN.replace("{weight: 50%, hold: 5m}", "{weight: 50%, hold: 5m, approval: required}"),
    facts=replace(
        FACTS, stages=(FACTS.stages[0], replace(FACTS.stages[1], approval=True), FACTS.stages[2])
    ),
)
VIOLATIONS = "violations"
SCENES: Mapping[str, Scene] = {
    "a good candidate": calm(),
    "a bad candidate": calm(truths=BAD, character="worse"),
    "an approval": APPROVED,
    "readiness lost": calm(Incident("unready", CANDIDATE, start=500, end=1500)),
    "a failing check": calm(
        truths={"*": Truth(), CANDIDATE: Truth(health=500)}, character="unhealthy"
    ),
    "a shift that fails": calm(Incident("shift fails", start=400, end=700, number=5)),
    "LATEST and three revisions": replace(
        calm(),
        shape=replace(
            calm().shape,
            before={STABLE: 50, "web-00040-old": 30, "web-00039-old": 20},
            latest=True,
        ),
    ),
    "a schedule": calm(processes=(Process("controller-s", schedule=60),)),
    "two controllers": calm(
        processes=(Process("controller-a"), Process("controller-b", starts=1.0)), slow=2.0
    ),
}
# Whose incident comes at a time: what is disturbed may only begin, or shift, after it.
EITHER: Mapping[str, frozenset[str]] = {
    "readiness lost": frozenset(("rolled_back", "nothing")),
    "a shift that fails": frozenset(("promoted", "rolled_back")),
}


def disturbances(calls: int) -> Iterator[tuple[str, Incident]]:
    """Yield what may happen at each of so many calls."""
    for nth in range(1, calls + 1):
        yield "killed before", Incident("kill", nth=nth, before=True, number=1)
        yield "killed after", Incident("kill", nth=nth, before=False, number=1)
        yield "fails once", Incident("error", "any", "UNAVAILABLE", nth=nth, number=1)
        yield "fails a while", Incident("error", "any", "UNAVAILABLE", nth=nth, number=12)
        yield "answer lost", Incident("lost", "any", "DEADLINE_EXCEEDED", nth=nth, number=1)
        yield "fails for good", Incident("error", "any", "UNAVAILABLE", nth=nth, number=FOR_GOOD)


def enumerated(
    name: str, wires: Wires, every: int = 1, *, for_good: bool = True
) -> tuple[Counter[str], list[str]]:
    """Disturb every (n-th) call of a scene; return how many of what, and what was violated.

    for_good: let calls fail for good as well, which takes the longest to play.
    """
    scene = SCENES[name]
    calm_run = Run(scene, wires).play()
    wrong = [f"{name}, undisturbed: {text}" for text in calm_run.violations]
    right = EITHER.get(name, frozenset((calm_run.outcome,)))
    counts: Counter[str] = Counter()
    for at, (what, incident) in enumerate(disturbances(calm_run.calls)):
        if at % every or (what == "fails for good" and not for_good):
            continue
        counts[what] += 1
        result = Run(scene.with_only((*scene.incidents, incident)), wires).play()
        wrong += [f"{name}, {incident}: {text}" for text in result.violations]
        if what != "fails for good" and result.outcome not in right:
            wrong.append(f"{name}, {incident}: {result.outcome}, else {calm_run.outcome}")
    return counts, wrong


def main(arguments: list[str]) -> int:
    """Enumerate all; return 1 where something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.kills")
    parser.add_argument("names", nargs="*", help="only rollouts whose name contains one of these")
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth disturbance")
    parser.add_argument("--into", type=Path, help="keep the counts in this file, for --write")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    given = parser.parse_args(arguments)
    kept = _kept(given.into)
    wires = Wires()
    for name in (n for n in SCENES if not given.names or any(part in n for part in given.names)):
        counts, wrong = enumerated(name, wires, given.every)
        kept = {**_kept(given.into), **kept, name: {**counts, VIOLATIONS: len(wrong)}}
        if given.into:
            given.into.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {counts.total()} disturbed, {len(wrong)} violations", flush=True)
        for text in wrong[:5]:
            print(f"  {text}", flush=True)
    if given.write:
        some = f"One disturbance in {given.every}. " if given.every > 1 else ""
        write_section("kills", some + _table(kept))
    return 1 if any(one[VIOLATIONS] for one in kept.values()) else 0


def _kept(path: Path | None) -> dict[str, dict[str, int]]:
    """Return the counts, by rollout, that were kept of earlier sittings."""
    if path is None or not path.exists():
        return {}
    found: dict[str, dict[str, int]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _table(kept: Mapping[str, Mapping[str, int]]) -> str:
    total: Counter[str] = Counter()
    lines = ["| rollout | disturbed | violations |", "|---|---:|---:|"]
    for name in SCENES:
        if name not in kept:
            lines.append(f"| {name} | not yet | |")
            continue
        counts = Counter({k: n for k, n in kept[name].items() if k != VIOLATIONS})
        total += counts
        lines.append(f"| {name} | {counts.total():,} | {kept[name][VIOLATIONS]} |")
    kinds = ", ".join(f"{what}: {number:,}" for what, number in sorted(total.items()))
    return "\n".join((*lines, "", kinds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
