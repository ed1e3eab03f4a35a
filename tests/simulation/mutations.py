"""Small breakages of the controller, each of which the simulation must find.

`python -m tests.simulation.mutations [NAME…]` copies the project, breaks one thing at a time, and
plays seeds until an invariant is violated. It prints how many seeds each took.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.report import read_section, write_section

ROOT = Path(__file__).resolve().parents[2]
SEEDS_MOST = 600
SECONDS_MOST = 600


@dataclass(frozen=True, slots=True)
class Mutation:
    """One breakage. old: text that stands exactly once in the file, replaced by new."""

    name: str
    file: str
    old: str
    new: str

    def applied(self, root: Path) -> None:
        """Break the copy under `root`. Raises ValueError where the text is not there once."""
        path = root / "controller" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: stands {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTATIONS = (
    Mutation(
        "the version is not sent",
        "cloud/v1.py",
        "    wanted = copy.deepcopy(body)\n",
        '    wanted = copy.deepcopy(body)\n    wanted["metadata"].pop("resourceVersion", None)\n',
    ),
    Mutation(
        "what was observed is not compared before the write",
        "cloud/run.py",
        "        _check_unchanged(expected, state)\n",
        "",
    ),
    Mutation(
        "an old decision is not void",
        "cloud/run.py",
        "        self._check_not_void(change, decided_at)\n",
        "",
    ),
    Mutation(
        "the record is not written with the traffic",
        "cloud/v1.py",
        "        annotations[RECORD_KEY] = change.record_text\n",
        '        if wanted["spec"]["traffic"] == body["spec"]["traffic"]:\n'
        "            annotations[RECORD_KEY] = change.record_text\n",
    ),
    Mutation(
        "the template is touched",
        "cloud/v1.py",
        "    wanted = copy.deepcopy(body)\n",
        '    wanted = copy.deepcopy(body)\n    wanted["spec"]["template"]["image"] += "!"\n',
    ),
    Mutation(
        "the hold is not checked",
        "engine/staying.py",
        "    left = hold - held(record, now)\n",
        "    left = timedelta(0)\n",
    ),
    Mutation(
        "the hold goes on while it is paused",
        "engine/acts.py",
        "paused=Act(by, now, reason), stopped=record.stopped or now)",
        "paused=Act(by, now, reason), stopped=record.stopped)",
    ),
    Mutation(
        "a paused stage is not left alone",
        "engine/staying.py",
        '    if record.paused:\n        return kept(plan, record, service, now, f"paused by '
        '{record.paused.by}", look)\n    blind',
        "    blind",
    ),
    Mutation(
        "evidence need not cover the hold",
        "engine/staying.py",
        "    if not covered(plan, record, over_at):",
        "    if over_at is None:",
    ),
    Mutation(
        "no data is a pass",
        "gates/judging.py",
        "    if state.failed is not None:\n        return _fail(gate, terms, state, figures)\n"
        "    if figures.estimate is None:\n"
        '        return Undecided("no data of the candidate", figures, Why.NO_DATA)\n',
        "    if state.failed is not None:\n        return _fail(gate, terms, state, figures)\n"
        "    if figures.estimate is None:\n"
        '        return Pass("no data of the candidate", figures)\n',
    ),
    Mutation(
        "a failed gate does not roll back",
        "engine/failing.py",
        "    back = named(f for f in failed if f[0] is OnFail.ROLL_BACK)\n",
        '    back = ""\n',
    ),
    Mutation(
        "a roll back needs Monitoring",
        "engine/decide.py",
        "    if lost and not way_back:\n",
        "    blind = any(isinstance(one, NotSeen) for one in observation.readings.values())\n"
        "    if lost and not way_back and not blind:\n",
    ),
    Mutation(
        "a roll back does not need stable",
        "engine/decide.py",
        "    if lost and not way_back:\n",
        "    if lost:\n",
    ),
    Mutation(
        "a candidate that lost its readiness goes on",
        "engine/decide.py",
        "        case Seen(revision) if revision.ready is False:\n"
        '            return f"the candidate lost',
        "        case Seen(revision) if revision.ready is False and not revision.name:\n"
        '            return f"the candidate lost',
    ),
    Mutation(
        "a deleted candidate goes on",
        "engine/decide.py",
        '            return f"the candidate {record.candidate} was deleted"\n',
        '            return ""\n',
    ),
    Mutation(
        "another hand is fought",
        "engine/decide.py",
        "    if service.asked != moves.expected_split(record):\n",
        "    if not service.asked:\n",
    ),
    Mutation(
        "a service made anew is taken for the old one",
        "engine/decide.py",
        "    if service.uid != record.uid:\n",
        "    if not service.uid:\n",
    ),
    Mutation(
        "a roll back is done before it is in force",
        "engine/decide.py",
        "    if _is_in_force(record, service):\n        return moves.rolled_back",
        "    if record:\n        return moves.rolled_back",
    ),
    Mutation(
        "a roll back is never noted as done",
        "engine/decide.py",
        "    if _is_in_force(record, service):\n        return moves.rolled_back",
        "    if not record:\n        return moves.rolled_back",
    ),
    Mutation(
        "a roll back leaves one percent",
        "engine/moves.py",
        "        record, phase=Phase.ROLLING_BACK, weight=0, ask=None,",
        "        record, phase=Phase.ROLLING_BACK, weight=1, ask=None,",
    ),
    Mutation(
        "a shift that does not come into force is waited for for ever",
        "engine/decide.py",
        "    if not failed and waited <= SHIFT_MAX:\n",
        "    if waited:\n",
    ),
    Mutation(
        "an approval is not asked for",
        "engine/asking.py",
        "    if not is_last and plan.stages[following].approval "
        "and following not in record.approved:\n",
        "    if following < 0:\n",
    ),
    Mutation(
        "an ask is never answered by time",
        "engine/asking.py",
        "    rule = plan.when.nobody_answers\n    if now - ask.since < rule.after:\n",
        "    rule = plan.when.nobody_answers\n    if rule.after:\n",
    ),
    Mutation(
        "a heartbeat at every look",
        "engine/asking.py",
        "    if record.at is None or now - record.at >= heartbeat(plan, record):\n",
        "    if record.at is None or now > record.at:\n",
    ),
    Mutation(
        "a stage is skipped",
        "engine/asking.py",
        "    return moves.enter_stage(plan, record, service, following, now, reason)\n",
        "    onward = min(following + 1, len(plan.stages) - 1)\n"
        "    return moves.enter_stage(plan, record, service, onward, now, reason)\n",
    ),
    Mutation(
        "others' tags are dropped",
        "engine/split.py",
        "        if target.tag and target.tag not in (TAG_NEW, TAG_OLD)\n",
        "        if not target.tag\n",
    ),
    Mutation(
        "lost units of a split stay lost",
        "engine/split.py",
        "        whole[name] += 1\n",
        "        whole[name] += 0\n",
    ),
    Mutation(
        "writes are not numbered",
        "engine/record.py",
        "    seq = record.seq + 1\n",
        "    seq = record.seq\n",
    ),
    Mutation(
        "an older record is believed",
        "reconciler/passes.py",
        "        if written.seq < known.seq and not is_later(written, known):\n",
        "        if written.seq < 0:\n",
    ),
    Mutation(
        "a record that vanished is written again",
        "reconciler/passes.py",
        '"the record vanished from the service (deleted, or written over)"',
        '""',
    ),
    Mutation(
        "silence of Monitoring ends the process",
        "reconciler/observing.py",
        "query, revisions, start, end))\n        except PortError as error:\n",
        "query, revisions, start, end))\n        except Missing as error:\n",
    ),
    Mutation(
        "a failed check is no fail",
        "engine/failing.py",
        "        and seen.value.outcome is CheckOutcome.FAILED\n    ]",
        "        and seen.value.outcome is CheckOutcome.PASSED and not check.name\n    ]",
    ),
)


def found(mutation: Mutation, seconds: int = SECONDS_MOST) -> str:
    """Return what finds a mutation, and after how many seeds; "" where nothing does."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "controller", copy / "controller", ignore=ignore)
        shutil.copytree(ROOT / "tests" / "simulation", copy / "tests" / "simulation", ignore=ignore)
        mutation.applied(copy)
        command = [sys.executable, "-m", "tests.simulation", "--until-broken"]
        done = subprocess.run(
            [*command, "--seeds", str(SEEDS_MOST)],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{mutation.name}: the simulation did not run: {done.stderr[-500:]}")
    return done.stdout.strip() if done.returncode == 1 else ""


def main(arguments: list[str]) -> int:
    """Break one thing after the other; return 1 where one is not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutations")
    parser.add_argument("names", nargs="*", help="only those whose name contains one of these")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    given = parser.parse_args(arguments)
    wanted = given.names
    chosen = [m for m in MUTATIONS if not wanted or any(name in m.name for name in wanted)]
    missed = 0
    results: dict[str, str] = {}
    for mutation in chosen:
        said = found(mutation)
        missed += not said
        told = said or f"NOT FOUND in {SEEDS_MOST} seeds"
        results[mutation.name] = told.partition(" (at")[0]
        print(f"{mutation.name}: {told}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    if given.write:
        write_section("mutations", table(read_section("mutations"), results))
    return 1 if missed else 0


def table(old: str, results: Mapping[str, str]) -> str:
    """Return the table with these results; those of earlier sittings stay where they stand.

    What is not on the list any more goes, and so does what stood below the table.
    """
    rows = (line.strip("| ").partition(" | ") for line in old.splitlines() if line.startswith("|"))
    known = {name: told for name, _, told in rows} | dict(results)
    lines = (f"| {one.name} | {known.get(one.name, 'not yet')} |" for one in MUTATIONS)
    return "\n".join(("| breakage | found by |", "|---|---|", *lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
