"""`rollout history`: what happened, and how earlier rollouts ended, from the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options

if TYPE_CHECKING:
    from controller.engine.record import Record


@click.command(name="history")
@options.target
@options.variables
@options.output
def cli(
    target: str, project: str | None, region: str | None, variables: dict[str, str], output: str
) -> None:
    """Show what happened to a service's rollout, and how earlier ones ended.

    The record keeps the last 20 transitions and the last 10 outcomes.

    \b
    Example:
      rollout history plans/ion-api.yaml
      rollout history ion-api --region us-central1 --project ion-prod -o json
    """
    import json
    import sys

    from controller.cli.stops import Stop
    from controller.cli.target import find
    from controller.cli.views.text import write
    from controller.engine.codec import Unreadable, decode

    found = find(target, project=project, region=region, variables=variables)
    text = found.connect().ports.router.observe(found.name).record_text
    try:
        record = decode(text) if text is not None else None
    except Unreadable as error:
        mend = f"`rollout rollback {found.place}` works without it"
        raise Stop(f"the record on the service cannot be read: {error}", mend) from error
    if output == "json":
        click.echo(json.dumps(plain(record)))
        return
    for line in lines(record):
        write(sys.stdout, line)


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
