"""`rollout status`: where the rollout stands, from the service alone; `--now` asks Monitoring."""

from __future__ import annotations

import click

from controller.cli import options


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

    One read of the service, in each region; nothing is written. The numbers are those of the last
    record, and their age is told; `--now` also reads what Monitoring has measured since.

    \b
    Example:
      rollout status plans/ion-api.yaml
      rollout status ion-api --region us-central1 --project ion-prod -o json
    """
    import sys

    from controller.cli.target import find, place_of
    from controller.cli.views import standing as told
    from controller.cli.views.json import write_line
    from controller.cli.views.text import write

    found = find(
        target,
        project=project,
        region=region,
        variables=variables,
        scenario=options.scenario_of(sandbox, scenario),
    )
    connection = found.connect()
    for name in found.names:
        service = connection.ports.router.observe(name)
        place = place_of(name) if found.later else found.place
        here = told.standing(service, connection.now(), place)
        if fresh:
            from controller.cli.looking import measured

            here = measured(here, connection.ports.metrics)
        if output == "json":
            write_line(sys.stdout, told.plain(here))
            continue
        for line in told.lines(here):
            write(sys.stdout, line)
