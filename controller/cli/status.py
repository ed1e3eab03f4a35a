"""`rollout status`: where the rollout stands, from the service alone; `--now` asks Monitoring."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.views.standing import Standing
    from controller.cli.wiring import Connection


@click.command(name="status")
@options.target
@options.sandbox
@options.variables
@click.option("--now", "fresh", is_flag=True, help="Ask Monitoring for the minutes since.")
@options.output
def cli(
    *,
    target: str,
    project: str | None,
    region: str | None,
    scenario: str | None,
    variables: dict[str, str],
    output: str,
    sandbox: bool,
    fresh: bool,
) -> None:
    """Show where a rollout stands, who watches it and what it waits for.

    One read of the service; nothing is written. The numbers are those of the last record, and
    their age is told; `--now` also reads what Monitoring has measured since.

    \b
    Example:
      rollout status plans/ion-api.yaml
      rollout status ion-api --region us-central1 --project ion-prod -o json
    """
    import json
    import sys

    from controller.cli.target import find
    from controller.cli.views import standing as told
    from controller.cli.views.text import write

    found = find(
        target,
        project=project,
        region=region,
        variables=variables,
        scenario=options.scenario_of(sandbox, scenario),
    )
    connection = found.connect()
    service = connection.ports.router.observe(found.name)
    here = told.standing(service, connection.now(), found.place)
    if fresh:
        here = _measured(here, connection)
    if output == "json":
        click.echo(json.dumps(told.plain(here)))
        return
    for line in told.lines(here):
        write(sys.stdout, line)


def _measured(here: Standing, connection: Connection) -> Standing:
    """Return the standing with what Monitoring has measured since the record was written."""
    from controller.engine.duty import assumed
    from controller.engine.observation import NotSeen, Observation, Seen
    from controller.engine.watching import watch, windows
    from controller.gates.evidence import Query, Readings
    from controller.ports import PortError

    if here.record is None or here.plan is None or here.record.in_force is None:
        return here
    record = assumed(here.plan, here.record, "", here.at)
    asked = windows(here.plan, record, here.at)
    revisions = tuple(dict.fromkeys((record.candidate, *record.before)))
    readings: dict[Query, Seen[Readings] | NotSeen] = {}
    for query, window in asked.items():
        try:
            read = connection.ports.metrics.read(
                here.name, query, revisions, window.start, window.end
            )
            readings[query] = Seen(read)
        except PortError as error:
            readings[query] = NotSeen(error.what)
    seen = Observation(NotSeen("not asked"), readings=readings, windows=asked)
    watched = watch(here.plan, record, seen)
    blind = f"{here.waits}; Monitoring does not answer: {watched.blind}" if watched.blind else ""
    return replace(here, verdicts=watched.verdicts, waits=blind or here.waits)
