"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

Function = Callable[..., Any]


class Duration(click.ParamType[timedelta]):
    """A time with its unit, as plans write it: 30m, 1h30m."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it; fails the option with the plan's own words."""
        from controller.plan.scalars import Unreadable, parse_duration

        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except Unreadable as error:
            self.fail(str(error), param, ctx)


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete an argument with files, as the shell would by itself."""
    del ctx, param
    return [CompletionItem(incomplete, type="file")]


def scenarios_and_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete --scenario with the packaged ones, then with files."""
    from controller.cli.wiring import scenarios

    known = [CompletionItem(name) for name in scenarios() if name.startswith(incomplete)]
    return known or files(ctx, param, incomplete)


def target(command: Function) -> Function:
    """Add TARGET (a plan or a service), --region and --project."""
    for decorate in (
        click.option("--region", metavar="R", help="The service's region."),
        click.option("--project", metavar="P", help="The service's project."),
        click.argument("target", metavar="PLAN|SERVICE", shell_complete=files),
    ):
        command = decorate(command)
    return command


def regions(command: Function) -> Function:
    """Add --region, repeated or with commas between, and --project."""
    for decorate in (
        click.option(
            "--region",
            "regions",
            metavar="R",
            multiple=True,
            callback=_split,
            help="A region; repeated, or with commas between, several.",
        ),
        click.option("--project", metavar="P", help="The project."),
    ):
        command = decorate(command)
    return command


def targets(command: Function) -> Function:
    """Add TARGETS (plans or services, as many as there are), --region and --project."""
    return click.argument("targets", metavar="[PLAN|SERVICE]...", nargs=-1, shell_complete=files)(
        regions(command)
    )


def _split(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    del ctx, param
    names = (name.strip() for one in given for name in one.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def reason(command: Function) -> Function:
    """Add --reason and --yes."""
    for decorate in (
        click.option("--yes", "-y", is_flag=True, help="Ask nothing. Never approves anything."),
        click.option("--reason", default="", metavar="TEXT", help="Why; kept in the record."),
    ):
        command = decorate(command)
    return command


def output(command: Function) -> Function:
    """Add -o text|json."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: one object a line on stdout, nothing else.",
    )(command)


def sandbox(command: Function) -> Function:
    """Add --sandbox and --scenario, which implies it."""
    for decorate in (
        click.option(
            "--scenario",
            metavar="NAME|FILE",
            shell_complete=scenarios_and_files,
            help="What happens in the sandbox (implies it).",
        ),
        click.option(
            "--sandbox", is_flag=True, help="Rehearse in a world of its own, in seconds: no cloud."
        ),
    ):
        command = decorate(command)
    return command


def scenario_of(sandbox: bool, scenario: str | None) -> str | None:  # noqa: FBT001 - a flag's value
    """Return the scenario that is meant, None outside the sandbox."""
    return scenario or ("healthy" if sandbox else None)


def variables(command: Function) -> Function:
    """Add --var, as many as there are."""
    return click.option(
        "--var",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_pairs,
        help="Fill in {{ var.NAME }} in the plan.",
    )(command)


def _pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE", ctx, param)
        pairs[name] = value
    return pairs
