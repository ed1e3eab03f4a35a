"""`rollout validate PLAN…`: everything that is wrong with the plans, before anything runs."""

from __future__ import annotations

import sys

import click


@click.command(name="validate")
@click.argument("plans", metavar="PLAN...", nargs=-1, required=True)
@click.option(
    "--var",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="Fill in {{ var.NAME }} of the plan; may be repeated.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def cli(plans: tuple[str, ...], variables: tuple[str, ...], output: str) -> None:
    """Tell everything that is wrong with plans, with its place and its mend.

    Nothing is asked of Google Cloud. `-` reads a plan from standard input. Warnings do not make
    a plan invalid. Exit code: 0 all are valid, 2 one is not.

    \b
    Example:
      rollout validate rollout_plans/ion-api.yaml
      rollout validate plans/*.yaml --var image=v12 -o json
    """
    given = _variables(variables)
    valid = [_validate(path, given, output) for path in plans]
    if not all(valid):
        sys.exit(2)


def _validate(path: str, variables: dict[str, str], output: str) -> bool:
    """Read one plan and tell what was found. Returns whether it can run."""
    import os

    from controller.engine.codec import BYTES_MAX
    from controller.engine.largest import largest_record
    from controller.plan.diagnostics import Diagnostic, PlanInvalid
    from controller.plan.reader import read_plan
    from controller.plan.source import MOST_BYTES, Source, load

    found: tuple[Diagnostic, ...]
    try:
        source = (
            Source("standard input", sys.stdin.buffer.read(MOST_BYTES + 1))
            if path == "-"
            else load(path)
        )
        reading = read_plan(source, env=os.environ, variables=variables)
        found, plan = reading.warnings, reading.plan
    except PlanInvalid as invalid:
        _tell(path, invalid.diagnostics, output, summary="")
        return False
    size = largest_record(plan)
    if size > BYTES_MAX:
        text = f"its record could grow to {size:,} bytes; the service can keep {BYTES_MAX:,}"
        mend = "fewer or shorter gates, checks and stages; custom filters and bodies cost most"
        _tell(path, (*found, Diagnostic(path, 0, 0, text, mend=mend)), output, summary="")
        return False
    days = sum((stage.hold for stage in plan.stages), start=plan.stages[0].hold * 0)
    counts = (len(plan.stages), "stage"), (len(plan.gates), "gate"), (len(plan.checks), "check")
    parts = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts)
    from controller.engine.wording import minutes_shown

    _tell(path, found, output, summary=f"valid: {parts}; holds add up to {minutes_shown(days)}")
    return True


def _tell(path: str, found: tuple[object, ...], output: str, *, summary: str) -> None:
    """Write findings and, for a plan that can run, the summary. Results go to stdout."""
    import json
    from dataclasses import asdict
    from typing import cast

    from controller.cli.views.text import write
    from controller.plan.diagnostics import Diagnostic, render

    diagnostics = cast(tuple[Diagnostic, ...], found)
    if output == "json":
        values = [asdict(one) for one in diagnostics]
        click.echo(json.dumps({"plan": path, "valid": bool(summary), "diagnostics": values}))
        return
    if diagnostics:
        write(sys.stderr, render(diagnostics))
    if summary:
        write(sys.stdout, f"{path}: {summary}")


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    """Return --var NAME=VALUE as a mapping; raises UsageError for one without "="."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--var wants NAME=VALUE, not {text!r}")
        pairs[name] = value
    return pairs
