"""`rollout history`: what happened, and how earlier rollouts ended, from the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.target import Area, Target
    from controller.engine.record import Record


@click.command(name="history")
@options.targets
@click.option("--all", "everything", is_flag=True, help="The outcomes of every service there.")
@options.variables
@options.output
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    targets: tuple[str, ...],
    project: str | None,
    regions: tuple[str, ...],
    everything: bool,
    variables: dict[str, str],
    output: str,
) -> None:
    """Show what happened to a service's rollout, and how earlier ones ended.

    The record keeps the last 20 transitions and the last 10 outcomes. With --all the outcomes of
    every service of the project's regions, the newest first.

    \b
    Example:
      rollout history plans/ion-api.yaml
      rollout history ion-api --region us-central1 --project ion-prod -o json
      rollout history --all --region us-central1,europe-west1 --project ion-prod
    """
    from controller.cli.stops import Code, Stop
    from controller.cli.target import area, find_many

    if bool(targets) == everything:
        raise Stop("what is meant?", "name plans or services, or use --all", Code.USAGE)
    if everything:
        ctx.exit(_of_all(area(project, regions), output))
    found = find_many(targets, project=project, regions=regions, variables=variables)
    for one in found:
        _of_one(one, output, several=len(found) > 1)


def _of_one(found: Target, output: str, *, several: bool) -> None:
    """Show one service's record."""
    import sys

    from controller.cli.stops import Stop, without_it
    from controller.cli.views.json import write_line
    from controller.cli.views.text import write
    from controller.engine.codec import Unreadable, decode
    from controller.engine.lost import ended_here, lost_of

    service = found.connect().ports.router.observe(found.name)
    text = service.record_text
    try:
        record = decode(text) if text is not None else None
    except Unreadable as error:
        mend = without_it(found.place)
        raise Stop(f"the record on the service cannot be read: {error}", mend) from error
    lost = lost_of(service) if record is None else None
    gone = lost.told if lost is not None else ended_here(service)
    if several and output == "text":
        write(sys.stdout, f"{found.name.service} ({found.name.region})")
    if output == "json":
        named = {"service": found.name.service, "region": found.name.region}
        told = {"gone": gone} if gone else {}
        write_line(sys.stdout, plain(record) | told | (named if several else {}))
        return
    for line in (gone,) if gone else lines(record):
        write(sys.stdout, line)


def _of_all(here: Area, output: str) -> int:
    """Show the outcomes of all services of the regions; return the exit code."""
    import os
    import sys

    from controller.cli.regions import regions_of, tell_lost
    from controller.cli.views import histories
    from controller.cli.views.json import write_line
    from controller.cli.views.text import terminal_width, write
    from controller.cli.wiring import connections

    there = list(regions_of(here, connections(os.environ)))
    found = histories.ended(service for region in there for service in region.services)
    if output == "json":
        for one in found:
            write_line(sys.stdout, histories.plain(one))
    elif found or not any(region.lost for region in there):
        for line in histories.lines(found, width=terminal_width(sys.stdout)):
            write(sys.stdout, line)
    return tell_lost(there)


def lines(record: Record | None) -> Iterator[str]:
    """Yield the record's transitions and outcomes, oldest first, as lines for people."""
    from controller.cli.views.text import OUTCOMES, stamp

    if record is None:
        yield "no rollout ever ran on this service"
        return
    yield f"rollout {record.rollout} of {record.candidate}, begun by {record.by}"
    for one in record.transitions:
        yield f"  {stamp(one.at)}  {one.what}{_because(one.reason, one.by)}"
    if record.outcomes:
        yield "outcomes"
    for end in record.outcomes:
        ended = OUTCOMES.get(end.outcome, end.outcome)
        yield f"  {stamp(end.at)}  {end.candidate} {ended}{_because(end.reason, end.by)}"


def _because(reason: str, by: str) -> str:
    who = f" (by {by})" if by and by not in reason else ""
    return (f": {reason}" if reason else "") + who


def plain(record: Record | None) -> dict[str, Any]:
    """Return the same as JSON values."""
    from controller.cli.views.json import time

    if record is None:
        return {"version": 1, "rollout": None, "transitions": [], "outcomes": []}
    return {
        "version": 1,
        "rollout": record.rollout,
        "candidate": record.candidate,
        "stable": record.stable,
        "transitions": [
            {"at": time(t.at), "what": t.what, "reason": t.reason, "by": t.by or None}
            for t in record.transitions
        ],
        "outcomes": [
            {
                "at": time(o.at),
                "outcome": o.outcome,
                "candidate": o.candidate,
                "reason": o.reason,
                "by": o.by or None,
                "before": dict(o.before),
            }
            for o in record.outcomes
        ],
    }
