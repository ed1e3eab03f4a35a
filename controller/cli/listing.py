"""`rollout list`: the rollouts of a project's regions, from one listing of services each."""

from __future__ import annotations

import os
import sys

import click

from controller.cli import options


@click.command(name="list")
@options.regions
@options.output
@click.pass_context
def cli(ctx: click.Context, *, project: str | None, regions: tuple[str, ...], output: str) -> None:
    """List the rollouts of a project's regions: unwatched first, then what waits for somebody.

    One listing a region; nothing is written. Services that never had a rollout are left out. Where
    a region could not be listed the exit code is 1.

    \b
    Example:
      rollout list --project ion-prod --region us-central1,europe-west1
      rollout list --project ion-prod --region us-central1 -o json
    """
    from controller.cli.regions import regions_of, tell_lost
    from controller.cli.target import area
    from controller.cli.views import standings
    from controller.cli.views.json import write_line
    from controller.cli.views.standing import plain, standing
    from controller.cli.views.text import terminal_width, write
    from controller.cli.wiring import connections
    from controller.engine.lost import ended_here, lost_of

    here = area(project, regions)
    there = list(regions_of(here, connections(os.environ)))
    found = sorted(
        (
            standing(service, region.at, here.place(service.name))
            for region in there
            for service in region.services
            if service.record_text is not None or lost_of(service) or ended_here(service)
        ),
        key=standings.order,
    )
    if output == "json":
        for one in found:
            write_line(sys.stdout, plain(one))
    elif found or not any(region.lost for region in there):
        for line in standings.lines(found, width=terminal_width(sys.stdout)):
            write(sys.stdout, line)
    ctx.exit(tell_lost(there))
