"""`rollout rehearse`: a plan many times in the sandbox, each time with another seed."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from controller.cli.rehearsing import Rehearsed

RUNS_MAX = 1000


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
    from controller.cli.processes import in_processes, terminated_as_interrupted
    from controller.cli.rehearsing import Job, rehearse
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
        with terminated_as_interrupted(), closing(in_processes(rehearse, jobs)) as all_of_them:
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
