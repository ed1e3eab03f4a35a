"""`rollout rehearse`: a plan many times in the sandbox, each time with another seed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from controller.cli.rehearsing import Job, Rehearsed

RUNS_MAX = 1000
PROCESSES_MAX = 4


@click.command(name="rehearse")
@click.argument("plan", metavar="PLAN", shell_complete=options.files)
@click.option(
    "--scenario",
    default="healthy",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=options.scenarios_and_files,
    help="What happens in the sandbox.",
)
@click.option("--runs", type=click.IntRange(1, RUNS_MAX), default=20, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The first run's; then +1.")
@options.variables
@options.output
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    plan: str,
    scenario: str,
    runs: int,
    seed: int,
    variables: dict[str, str],
    output: str,
) -> None:
    """Run a plan many times in the sandbox: how it ends, how soon, and what it costs users.

    Each run is what `apply --scenario` does, with the real engine and a seed of its own. Nothing
    outside is asked or changed. Runs are shared among the processor's cores.

    \b
    Examples:
      rollout rehearse plans/ion-api.yaml --scenario errors
      rollout rehearse plans/ion-api.yaml --scenario my-incident.yaml --runs 100 -o json
    """
    from controller.cli.rehearsing import Job
    from controller.cli.target import find
    from controller.cli.views import rehearsals
    from controller.cli.wiring import scenario_named

    scenario_named(scenario)  # what is wrong with it is said once, here
    found = find(plan, project=None, region=None, variables=variables, scenario=scenario)
    if found.plan is None:
        raise Stop(f"{plan} is no plan", f"rehearse takes a plan's file: {plan}.yaml?", Code.USAGE)
    jobs = [Job(n, seed + n - 1, found.name, found.plan, scenario) for n in range(1, runs + 1)]
    done: list[Rehearsed] = []
    interrupted = False
    try:
        with _terminated_as_interrupted(), closing(_all(jobs)) as all_of_them:
            for one in all_of_them:
                done.append(one)
                rehearsals.show(one, runs, output, sys.stdout, sys.stderr)
    except KeyboardInterrupt:
        interrupted = True
    if done:
        rehearsals.show_all(done, output, sys.stdout)
    if interrupted:
        raise Stop(f"interrupted after {len(done)} of {runs} runs")
    ctx.exit(Code.DONE)


def _all(jobs: Sequence[Job]) -> Generator[Rehearsed, None, None]:
    """Yield every rehearsal in order, made by as many processes as it takes."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    from controller.cli.rehearsing import rehearse

    processes = min(os.cpu_count() or 1, PROCESSES_MAX, len(jobs))
    if processes == 1:
        yield from map(rehearse, jobs)
        return
    others = set(active_children())
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_leave_signals_alone) as pool:
        try:
            for future in [pool.submit(rehearse, job) for job in jobs]:
                yield future.result()
        except BrokenProcessPool as error:
            raise Stop("a process that rehearsed was ended from outside") from error
        except BaseException:  # a signal: what is under way would take its time
            # Nothing is cancelled first: the pool itself ends what its processes leave open, and
            # trips over futures that were (CPython 3.11).
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _leave_signals_alone() -> None:
    """Let the process that shows the results decide: Ctrl-C goes to all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end it as Ctrl-C does, so that no process stays behind."""

    def heard(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, heard)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
