"""The command `rollout` itself: which commands there are, and how every one of them ends badly.

Commands are imported when they are called, so that `--version`, `--help` and completion import
neither Google's libraries nor anything else that costs time.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from controller import __version__
from controller.cli.stops import Stop, as_stop, debugging, made_harmless, show_traceback

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Roll out", ("apply", "status", "history", "explain")),
    ("With nobody at a terminal", ("tick", "wait", "watch", "list")),
    ("Decide", ("approve", "reject", "pause", "resume", "advance", "promote")),
    ("Go back", ("rollback", "cancel")),
    ("Write plans", ("validate", "schema", "notify")),
    ("Before a rollout", ("preview", "rehearse", "replay")),
    ("Try it without a cloud", ("demo", "sandbox")),
)
COMMANDS: dict[str, tuple[str, str]] = {
    "apply": ("apply", "Walk a candidate through the plan's stages, to promoted or rolled back."),
    "status": ("status", "Show where a rollout stands, who watches it and what it waits for."),
    "history": ("history", "Show what happened, and how earlier rollouts ended."),
    "explain": ("explain", "Explain a decision: what was judged, and the rule that decided."),
    "tick": ("tick", "Make one pass over rollouts and end: what a schedule runs."),
    "wait": ("waiting", "Follow a rollout to its outcome, without acting."),
    "watch": ("waiting", "Show rollouts as they go, from any machine, without acting."),
    "list": ("listing", "List the rollouts of a project's regions, unwatched ones first."),
    "approve": ("acts", "Say yes to what the rollout asks."),
    "reject": ("acts", "Say no to what the rollout asks: it rolls back."),
    "pause": ("acts", "Let the hold stand still; a failed gate still rolls back."),
    "resume": ("acts", "Go on after a pause, or take the traffic back from another hand."),
    "advance": ("acts", "Go to the next stage now, past the gates."),
    "promote": ("acts", "Give the candidate everything now, past the gates."),
    "rollback": ("acts", "Put all traffic on stable; after a promotion, on the revision before."),
    "cancel": ("acts", "End the rollout and leave the traffic as it is."),
    "validate": ("validate", "Check plans: every error with its line and its mend."),
    "preview": (
        "preview",
        "Tell what a plan can decide, before it runs: what it catches, and when.",
    ),
    "schema": ("schema", "Print the JSON Schema of a plan, for editors."),
    "notify": ("notify", "Try the messages to people that a plan asks for."),
    "rehearse": ("rehearse", "Run a plan many times in the sandbox: how it ends, and how soon."),
    "replay": ("replay", "Tell what the plan's gates would have said of past minutes."),
    "demo": ("demo", "Show a promotion and a rollback in the sandbox, in seconds."),
    "sandbox": ("sandbox", "Serve a small world that answers Google's APIs, on one local port."),
}
"""Name → (module in this package, the line in the overview)."""

_ABORT = "there is no `abort`: rollback (to stable) or cancel (leave as it is)?"


class Commands(click.Group):
    """The commands above, imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names in the order of the overview."""
        del ctx
        return [name for _, names in SECTIONS for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"controller.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name, None) or module.cli
        found.name = cmd_name
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; where there is none, say which might be."""
        wanted = args[0]
        if wanted in COMMANDS or wanted.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if wanted == "abort":
            raise click.UsageError(_ABORT, ctx)
        near = difflib.get_close_matches(wanted, COMMANDS, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"No such command {wanted!r}.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview, section by section, without importing any command."""
        del ctx
        for title, names in SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever goes wrong ends on one screen, with its exit code."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if not isinstance(error, Stop):
                made_harmless(error)
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # the last: whoever read our output went away, which click ends quietly
        except Exception as error:
            if debugging(ctx):
                show_traceback()
            raise as_stop(error) from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="rollout COMMAND --help tells more and has an example.",
)
@click.version_option(__version__, prog_name="rollout")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def cli(*, debug: bool) -> None:
    """Roll a Cloud Run revision out in stages, watched by Cloud Monitoring.

    A new revision is deployed with no traffic. `rollout apply PLAN` gives it a growing share of the
    requests, looks at its metrics in every stage, and either promotes it or puts every request back
    on the stable revision. All it remembers is written on the service itself: end it at any time,
    and run the same command again to go on.

    \b
    Exit codes:
      0  promoted, or done as asked      4  waiting for a person
      1  error, traffic is as before     5  still in progress
      2  bad usage or invalid plan       6  ended while traffic is split
      3  rolled back

    \b
    Example:
      rollout apply plans/ion-api.yaml --sandbox     a rehearsal, in seconds, without a cloud
    """
    del debug  # read by `debugging`, which also knows the environment


def run() -> int:
    """Run the command line of this process and return its exit code."""
    _open_what_is_closed()
    code = 0
    try:
        cli.main(prog_name="rollout")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    _flush()
    return code


def _open_what_is_closed() -> None:
    """Give a process that was started without standard streams (`>&-`) some that lead nowhere.

    Python has None for them; and the next file opened, a connection to Google, would get their
    number.
    """
    nowhere = Path(os.devnull)
    if sys.stdin is None:
        sys.stdin = nowhere.open(encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = nowhere.open("w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = nowhere.open("w", encoding="utf-8")


def _flush() -> None:
    """Write what is left. Where that cannot be, the exit code stays what it is.

    Python would end with 120 instead, and a promotion would look like an error.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
        sys.stdout = nowhere
