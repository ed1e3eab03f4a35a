"""`rollout validate PLAN…`: everything that is wrong with the plans, before anything runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from controller.cli import options

if TYPE_CHECKING:
    from controller.plan.diagnostics import Diagnostic


@click.command(name="validate")
@click.argument("plans", metavar="PLAN...", nargs=-1, required=True, shell_complete=options.files)
@options.variables
@options.output
def cli(plans: tuple[str, ...], variables: dict[str, str], output: str) -> None:
    """Tell everything that is wrong with plans, with its place and its mend.

    Nothing is asked of Google Cloud. `-` reads a plan from standard input. Warnings do not make
    a plan invalid. Exit code: 0 all are valid, 2 one is not.

    \b
    Example:
      rollout validate rollout_plans/ion-api.yaml
      rollout validate plans/*.yaml --var image=v12 -o json
    """
    valid = [_validate(path, variables, output) for path in plans]
    if not all(valid):
        sys.exit(2)


def _validate(path: str, variables: dict[str, str], output: str) -> bool:
    """Read one plan and tell what was found. Returns whether it can run."""
    import os

    from controller.cli.target import read
    from controller.engine.codec import BYTES_MAX
    from controller.engine.largest import largest_record
    from controller.engine.wording import minutes_shown
    from controller.plan.diagnostics import Diagnostic, PlanInvalid

    try:
        plan, found = read(path, variables, os.environ)
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
    _tell(path, found, output, summary=f"valid: {parts}; holds add up to {minutes_shown(days)}")
    return True


def _tell(path: str, found: tuple[Diagnostic, ...], output: str, *, summary: str) -> None:
    """Write findings and, for a plan that can run, the summary. Results go to stdout."""
    from dataclasses import asdict

    from controller.cli.views.json import write_line
    from controller.cli.views.text import write
    from controller.plan.diagnostics import render

    if output == "json":
        values = [asdict(one) for one in found]
        write_line(sys.stdout, {"plan": path, "valid": bool(summary), "diagnostics": values})
        return
    if found:
        for line in render(found).split("\n"):
            write(sys.stderr, line)
    if summary:
        write(sys.stdout, f"{path}: {summary}")
