"""`rollout preview`: what a plan can decide, from its stages and the service's recent traffic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options
from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from datetime import timedelta

    from controller.cli.target import Target
    from controller.cli.wiring import Connection
    from controller.engine.certificate import Tried
    from controller.engine.forecast import Outlook
    from controller.plan.model import Plan

RUNS = 40
_MINUTES = {"s": 1 / 60, "min": 1.0, "h": 60.0, "day": 1_440.0, "week": 10_080.0}


class Rate(click.ParamType[float]):
    """Requests in a time, as 10/s, 2/min, 1500/week; read as requests a minute."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; fails the option with how to write it."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)/(s|min|h|day|week)", str(value), re.ASCII)
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no rate; write 10/s, 2/min or 1500/week", param, ctx)
        return float(found[1]) / _MINUTES[found[2]]


class Share(click.ParamType[float]):
    """A share of requests, as plans write rates: 0.3% or 0.003."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; fails the option with the plan's own words."""
        from controller.plan.scalars import Unreadable, parse_rate

        if isinstance(value, float):
            return value
        try:
            return parse_rate(str(value))
        except Unreadable as error:
            self.fail(f"{error}; {error.mend}", param, ctx)


@click.command(name="preview")
@options.target
@click.option("--rate", type=Rate(), help="Requests to the service, instead of asking: 10/s.")
@click.option(
    "--stable-errors", type=Share(), help="Stable's share of failures, instead of asking: 0.3%."
)
@click.option(
    "--history",
    type=options.Duration(),
    metavar="SPAN",
    help="Also try the plan on so much of stable's own past, at most 42d: 30d.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 1000),
    default=RUNS,
    show_default=True,
    help="How often with --history, for the candidate as it is and for each fault.",
)
@options.variables
@options.sandbox
@options.output
def cli(
    *,
    target: str,
    project: str | None,
    region: str | None,
    rate: float | None,
    stable_errors: float | None,
    history: timedelta | None,
    runs: int,
    variables: dict[str, str],
    sandbox: bool,
    scenario: str | None,
    output: str,
) -> None:
    """Tell what a plan can decide before it runs, and what it cannot.

    For each stage: the requests the candidate will get, and the smallest regression that each
    gate would catch there in 4 of 5 cases. For candidates 2, 5 and 20 times as bad as stable: how
    long they live and how many failed requests they cost. And advice, in words. The traffic is
    stable's last 24 hours in Monitoring, or what --rate and --stable-errors say. Nothing is
    written.

    With --history it is also tried on the service's own past: stable's minutes, split at random
    into a candidate and the rest, as they are and with faults added, through the real gates.

    \b
    Examples:
      rollout preview plans/ion-api.yaml
      rollout preview plans/ion-api.yaml --history 30d --runs 100
      rollout preview plans/ion-api.yaml --rate 0.0025/s --stable-errors 0.3%
    """
    import sys

    from controller.cli.target import find, looks_like_plan, read
    from controller.cli.views import outlook as told
    from controller.cli.views.json import write_line
    from controller.cli.views.text import write
    from controller.engine.forecast import assumed_outlook, forecast

    if not looks_like_plan(target):
        raise Stop(
            f"{target} is no plan", f"preview takes a plan's file: {target}.yaml?", Code.USAGE
        )
    tries: list[Tried] = []
    if rate is not None:
        import os

        if history is not None:
            raise click.UsageError("--history asks Monitoring: leave --rate out")

        plan, _ = read(target, variables, os.environ)
        errors = stable_errors if stable_errors is not None else told.ERRORS_ASSUMED
        seen = assumed_outlook(plan, rate, errors)
    elif stable_errors is not None:
        raise click.UsageError("--stable-errors goes with --rate")
    else:
        found = find(
            target,
            project=project,
            region=region,
            variables=variables,
            scenario=options.scenario_of(sandbox, scenario),
        )
        assert found.plan is not None
        connection = found.connect()
        plan, seen = found.plan, _seen(found, found.plan, connection)
        if history is not None:
            from controller.cli.certifying import certify

            tries = certify(found.name, plan, connection, history, runs)
    foreseen = forecast(plan, seen)
    if output == "json":
        certified = told.plain_tries(tries) if tries else {}
        write_line(sys.stdout, told.plain(plan, seen, foreseen) | certified)
        return
    for line in (*told.lines(plan, seen, foreseen), *told.lines_of_tries(tries)):
        write(sys.stdout, line)


def _seen(found: Target, plan: Plan, connection: Connection) -> Outlook:
    """Return what Monitoring tells of the revisions that serve now. Raises PortError."""
    from dataclasses import replace

    from controller.engine.forecast import outlook_of
    from controller.engine.observation import Seen
    from controller.engine.preflight import looks_back
    from controller.reconciler.observing import Observer

    service = connection.ports.router.observe(found.name)
    stable = tuple(service.in_force or service.asked)
    looks = looks_back(plan, connection.now())
    observer = Observer(connection.ports, found.name)
    read = {query: observer.history(query, stable, look) for query, look in looks.items()}
    seen = {query: one for query, one in read.items() if isinstance(one, Seen)}
    unseen = [one.why for one in read.values() if not isinstance(one, Seen)]
    outlook = outlook_of(plan, stable, seen, looks)
    source = f"stable's last 24 h ({', '.join(stable)})"
    return replace(outlook, source="; ".join((source, *unseen)))
