"""`rollout demo`: the main job twice, on a good and on a bad candidate, with a few words between.

It runs `apply` as anybody would type it; nothing here knows how a rollout works.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

_GOOD = """\
A service, ion-api, serves everybody from its stable revision. A new revision, the candidate, is
deployed and gets no requests yet. The plan gives it 5, 10, 25, 50 and at last 100% of them over
eight days, and looks at Cloud Monitoring in every stage: errors, latency, the app's own numbers.
Time is virtual here and a small world answers Google's APIs; everything else is as in production.

First a good candidate. Before the last stage somebody has to approve; somebody will.
"""
_BAD = """\
Promoted: every gate passed in every stage, a person approved, and the last day at 100% was watched
as well. Now the same plan with a candidate that fails 8% of its requests from the second stage on.
"""
_END = """\
Rolled back: the gate saw it, every request is on the stable revision again, and the last lines say
why, after how long, and how many requests the candidate had served. No person had to be awake.

Next:  rollout sandbox list                          what else can go wrong
       rollout apply PLAN --scenario outage          try it
       rollout validate PLAN                         check a plan of your own
"""


@click.command(name="demo")
def cli() -> None:
    """Show a promotion and a rollback in the sandbox, in seconds.

    Nothing outside this process is asked or changed. Exit code: 0 when the good candidate was
    promoted and the bad one rolled back.

    \b
    Example:
      rollout demo
    """
    from controller.cli.examples import example_plan
    from controller.cli.stops import Code, Stop

    file = example_plan("ion-api")
    here = Path.cwd()
    plan = str(file.relative_to(here) if file.is_relative_to(here) else file)
    _narrate(_GOOD)
    good = _run(["apply", plan, "--scenario", "healthy"])
    if good != Code.DONE:
        raise Stop(f"the good candidate should have been promoted (0), but apply ended with {good}")
    _narrate(_BAD)
    bad = _run(["apply", plan, "--scenario", "errors"])
    if bad != Code.ROLLED_BACK:
        raise Stop(
            f"the bad candidate should have been rolled back (3), but apply ended with {bad}"
        )
    _narrate(_END)


def _narrate(words: str) -> None:
    from controller.cli.views.text import write

    sys.stderr.flush()
    for line in ("", *words.splitlines(), ""):
        write(sys.stdout, line)


def _run(arguments: Sequence[str]) -> int:
    """Run a command line in this process, shown as it is typed. Returns its exit code."""
    from controller.cli.app import cli as rollout

    _narrate(f"$ rollout {' '.join(arguments)}")
    try:
        rollout.main(args=list(arguments), prog_name="rollout")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
