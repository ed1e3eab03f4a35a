"""`rollout replay`: what the plan's gates would have said of the past."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options
from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from controller.cli.evidence import Evidence
    from controller.cli.target import Target
    from controller.engine.replaying import Past
    from controller.plan.model import Plan


class Time(click.ParamType[datetime]):
    """A time as ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it; fails the option with an example."""
        if isinstance(value, datetime):
            return value
        try:
            read = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time: 2026-01-05T09:00Z", param, ctx)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


@click.command(name="replay")
@click.argument("plan", metavar="PLAN", shell_complete=options.files)
@click.option("--evidence", metavar="FILE", help="Minutes of any number of runs; - for stdin.")
@click.option("--events", metavar="FILE", help="What `apply -o json` wrote; - for stdin.")
@click.option("--from", "start", type=Time(), metavar="T", help="From when, by Monitoring.")
@click.option("--to", "end", type=Time(), metavar="T", help="Until when.")
@click.option("--candidate", metavar="REV", help="The candidate then.")
@click.option("--stable", metavar="REV", multiple=True, help="Stable then; more than one: again.")
@click.option("--region", metavar="R", help="The service's region.")
@click.option("--project", metavar="P", help="The service's project.")
@options.variables
@options.output
@options.sandbox
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    plan: str,
    evidence: str | None,
    events: str | None,
    start: datetime | None,
    end: datetime | None,
    candidate: str | None,
    stable: tuple[str, ...],
    project: str | None,
    region: str | None,
    variables: dict[str, str],
    output: str,
    sandbox: bool,
    scenario: str | None,
) -> None:
    """Tell what the plan's gates would have said of the past.

    Nothing is shifted and nothing written: past minutes go through the same code that judges a
    rollout, each with the limits of the stage that had its weight, and the first failure is told.
    The minutes come from a file of evidence, from the events of a rollout, or from Monitoring
    (--from, --to, --candidate, --stable), by the two revisions' own request counts. With --scenario
    the plan is first applied in the sandbox, and that is the past.

    \b
    Examples:
      rollout replay plans/ion-api.yaml --evidence runs.jsonl
      rollout replay plans/ion-api.yaml --events rollout.jsonl -o json
      rollout replay plans/ion-api.yaml --from 2026-01-05T09:00Z --to 2026-01-06T10:00Z \\
        --candidate ion-api-00042-xyz --stable ion-api-00041-abc
    """
    import os

    from controller.cli.target import find, read

    scenario = options.scenario_of(sandbox, scenario)
    measured = (start, end, candidate, *stable)
    sources = [evidence, events, any(measured) or None, scenario if not any(measured) else None]
    if sum(source is not None for source in sources) != 1:
        mend = "one of: --evidence FILE; --events FILE; --from, --to, --candidate, --stable"
        raise Stop("what is to be replayed is not clear", mend, Code.USAGE)
    if plan == "-" and "-" in (evidence, events):
        raise Stop("plan and minutes cannot both come from stdin", code=Code.USAGE)
    if evidence is not None or events is not None:
        found, _ = read(plan, variables, os.environ)
        path, of_file = (evidence, _of_evidence) if evidence is not None else (events, _of_events)
        assert path is not None
        ctx.exit(of_file(found, path, output))
    target = find(plan, project=project, region=region, variables=variables, scenario=scenario)
    past = _measured(target, start, end, candidate, stable)
    assert target.plan is not None
    _show(target.plan, [past], output, with_times=True)


# From files -----------------------------------------------------------------------------------


def _of_evidence(plan: Plan, path: str, output: str) -> int:
    """Replay a file of evidence; return the exit code."""
    from controller.cli import evidence
    from controller.engine.past import past_of

    with _without_collection():
        with opened(path) as (name, lines):
            seen = evidence.read(plan, name, lines)
        _tell_problems(seen)
        pasts = (past_of(plan, run, rows) for run, rows in seen.runs.items())
        count = _show(plan, pasts, output, with_times=False)
    if not count and not seen.problems:
        raise Stop(f"{name}: there is no evidence in it", code=Code.USAGE)
    return Code.USAGE if seen.problems else Code.DONE


def _of_events(plan: Plan, path: str, output: str) -> int:
    """Replay a rollout's own events; return the exit code."""
    from controller.cli import journal

    with opened(path) as (name, lines):
        try:
            pasts = journal.read(plan, name, lines)
        except journal.Unusable as error:
            mend = "events are what `rollout apply PLAN -o json` wrote"
            raise Stop(str(error), mend, Code.USAGE) from error
    if not _show(plan, pasts, output, with_times=True):
        raise Stop(f"{name}: there is no rollout in it", code=Code.USAGE)
    return Code.DONE


@contextmanager
def opened(path: str) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Open a file, "-" for standard input; with its name for messages."""
    if path == "-":
        yield "standard input", sys.stdin.buffer
        return
    try:
        with open(path, "rb") as lines:  # noqa: PTH123 - a FIFO is welcome
            yield path, lines
    except OSError as error:
        raise Stop(f"{path}: cannot be read: {error.strerror}", code=Code.USAGE) from error


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the garbage collector out: minutes by the million, and not one cycle among them.

    It would look through all of them again and again, for as long as reading them takes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _tell_problems(seen: Evidence) -> None:
    from controller.cli.evidence import KEYS, PROBLEMS_SHOWN
    from controller.cli.views.text import write

    for problem in seen.problems[:PROBLEMS_SHOWN]:
        write(sys.stderr, problem)
    more = len(seen.problems) - PROBLEMS_SHOWN
    if more > 0:
        write(sys.stderr, f"and {more:,} more lines that cannot be used")
    if seen.problems:
        write(sys.stderr, "error: the lines above are left out; all others are replayed")
    if seen.unknown:
        names = ", ".join(sorted(seen.unknown)[:5])
        write(sys.stderr, f"warning: nobody reads {names}; a line has {', '.join(KEYS)}")


# From Monitoring ------------------------------------------------------------------------------


def _measured(
    target: Target,
    start: datetime | None,
    end: datetime | None,
    candidate: str | None,
    stable: Sequence[str],
) -> Past:
    """Read the past from Monitoring; in the sandbox there has to be one first."""
    from controller.cli.measured import past_of

    if target.plan is None:
        raise Stop(f"{target.argument} is no plan", "replay takes a plan's file", Code.USAGE)
    wanted = {"--from": start, "--to": end, "--candidate": candidate, "--stable": stable or None}
    missing = [option for option, value in wanted.items() if value is None]
    if target.scenario is None and missing:
        raise Stop(f"Monitoring is asked for a time and two revisions: {', '.join(missing)}?",
                   "--from T --to T --candidate REV --stable REV", Code.USAGE)  # fmt: skip
    connection = target.connect()
    if target.scenario is not None:
        from controller.cli.rehearsing import follow_quietly

        began = connection.now()
        follow_quietly(connection, target.plan)
        connection.ports.clock.sleep(target.plan.evidence.custom_delay)
        there = connection.rehearsal
        assert there is not None
        start, end = start or began, end or connection.now()
        candidate, stable = candidate or there.candidate, stable or (there.stable,)
    assert start is not None
    assert end is not None
    assert candidate is not None
    if start >= end:
        raise Stop("--from is not before --to", code=Code.USAGE)
    metrics = connection.ports.metrics
    return past_of(target.plan, metrics, target.name, candidate, stable, start, end)


# What is told ---------------------------------------------------------------------------------


def _show(plan: Plan, pasts: Iterable[Past], output: str, *, with_times: bool) -> int:
    """Replay and show, a line a run, and for people a summary. Return how many runs there were."""
    from controller.cli.views import replays
    from controller.engine.replaying import replay

    verdicts: dict[str, int] = {}
    for past in pasts:
        run = replay(plan, past)
        is_first = not verdicts
        verdicts[run.verdict] = verdicts.get(run.verdict, 0) + 1
        told = replays.Told(run, past, with_times=with_times)
        replays.show(told, output, sys.stdout, is_first=is_first)
    total = sum(verdicts.values())
    if output != "json" and total > 1:
        replays.show_summary(verdicts, sys.stdout)
    return total
