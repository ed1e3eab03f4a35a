"""`rollout notify test`: send a message to everybody whom a plan notifies, and tell what came."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from controller.cli.target import Target
    from controller.engine.telling import Letter
    from controller.plan.model import Notify
    from controller.ports import Delivery


@click.group(name="notify")
def cli() -> None:
    """Try the messages to people that a plan asks for.

    \b
    Example:
      rollout notify test plans/ion-api.yaml
    """


@cli.command(name="test", short_help="Send a test message to each.")
@options.target
@options.variables
@click.option("--to", "names", multiple=True, metavar="NAME", help="Only to this one.")
@options.sandbox
@options.output
def test(
    *,
    target: str,
    project: str | None,
    region: str | None,
    variables: dict[str, str],
    names: tuple[str, ...],
    sandbox: bool,
    scenario: str | None,
    output: str,
) -> None:
    """Send a test message to everybody under `notify:`, and tell what became of each.

    The URLs are read from the environment, as the plan's `env:NAME` says. Ends with 1 where
    somebody could not be told. With --sandbox the messages are shown and not sent.

    \b
    Examples:
      rollout notify test plans/ion-api.yaml
      rollout notify test plans/ion-api.yaml --to team
    """
    import os

    from controller.cli.target import find
    from controller.cli.wiring import herald, shown, wall_clock
    from controller.engine.telling import tried
    from controller.ports import Delivered

    in_sandbox = options.scenario_of(sandbox, scenario)
    found = find(target, project=project, region=region, variables=variables, scenario=in_sandbox)
    notifier = shown() if in_sandbox is not None else herald(os.environ)
    letters = [tried(one, found.name, wall_clock()) for one in _whom(found, names)]
    deliveries = notifier.tell(letters)
    for place, (letter, delivery) in enumerate(zip(letters, deliveries, strict=True)):
        _say(letter, delivery, output, is_first=not place)
    failed = [one for one in deliveries if one.outcome in (Delivered.LATER, Delivered.NEVER)]
    if failed:
        raise Stop(
            f"{len(failed)} of {len(letters)} could not be told",
            "set the variables that the plan names where rollout runs, to URLs that take messages",
        )


def _whom(found: Target, names: tuple[str, ...]) -> tuple[Notify, ...]:
    """Return those who are meant. Raises Stop (2)."""
    if found.plan is None:
        mend = "give the plan's file: its record says nothing of the environment"
        raise Stop(f"{found.argument} is no plan", mend, Code.USAGE)
    known = {one.name: one for one in found.plan.notify}
    if not known:
        mend = "add notify: {team: {slack: env:SLACK_URL}}"
        raise Stop("the plan notifies nobody", mend, Code.USAGE)
    for name in names:
        if name not in known:
            raise Stop(
                f"the plan does not notify {name!r}", f"it has: {', '.join(known)}", Code.USAGE
            )
    return tuple(known[name] for name in names or known)


def _say(letter: Letter, delivery: Delivery, output: str, *, is_first: bool) -> None:
    from controller.cli.views.json import write_line
    from controller.cli.views.text import write
    from controller.ports import Delivered

    name, form = letter.to.name, letter.to.form.value
    if output == "json":
        values: dict[str, object] = {"version": 1} if is_first else {}
        values |= {"event": "tried", "to": name, "form": form, "outcome": delivery.outcome.value}
        write_line(sys.stdout, values | {"why": delivery.why or None})
        return
    match delivery.outcome:
        case Delivered.SENT:
            told = "told"
        case Delivered.SHOWN:
            told = "shown\n  " + delivery.why.replace("\n", "\n  ")
        case _:
            told = f"not told: {delivery.why}"
    write(sys.stdout, f"{name} ({form.replace('_', ' ')}): {told}")
