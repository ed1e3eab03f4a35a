"""How a command ends before its time: one sentence, the mend, and the exit code.

Here: the exit codes, and the translation of what may be raised. Not here: how a rollout ends
(`ending`).
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from enum import IntEnum
from typing import IO, Any

import click


class Code(IntEnum):
    """The exit codes that scripts rely on (DESIGN.md §6)."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    ROLLED_BACK = 3
    WAITING = 4
    IN_PROGRESS = 5
    SPLIT = 6


class Stop(click.ClickException):
    """The command cannot go on. mend: what to do about it, or ""."""

    def __init__(self, what: str, mend: str = "", code: int = Code.ERROR) -> None:
        super().__init__(what)
        self.mend = mend
        self.exit_code: int = code  # type: ignore[misc] # click reads it of the instance as well

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it on stderr."""
        stream = file or sys.stderr
        text = _harmless(f"error: {self.message}")
        if self.mend:
            text += "\n" + _harmless(f"mend: {self.mend}")
        _echo(text, stream)
        _annotate(text.removeprefix("error: "), stream)


class Refused(Stop):
    """What was wanted makes no sense as the service stands now; nothing was changed by it."""


class InvalidPlan(Stop):
    """A plan that cannot run; the message is the rendered diagnostics."""

    def __init__(self, rendered: str) -> None:
        super().__init__(rendered, code=Code.USAGE)

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the diagnostics as they are: they name file and line themselves."""
        told = _each_harmless(self.message)
        _echo(told, file or sys.stderr)
        _annotate(told, file or sys.stderr)


def as_stop(error: Exception) -> click.ClickException:
    """Return what to show for an error that nobody caught."""
    from controller.engine.codec import Unreadable
    from controller.engine.hints import listed, of_lost
    from controller.engine.lost import Vanished
    from controller.plan.diagnostics import PlanInvalid, render
    from controller.plan.hiding import without_secrets
    from controller.ports import PortError

    match error:
        case click.ClickException():
            return error
        case PlanInvalid(diagnostics=found):
            return InvalidPlan(render(found))
        case PortError(what=what, mend=mend):
            return Stop(what, mend)
        case Vanished(lost=lost):
            return Stop(lost.told, listed(of_lost(lost, "SERVICE")), Code.SPLIT)
        case Unreadable():
            told, why = "the record on the service cannot be read", str(error)
            return Stop(
                why if why.startswith(told) else f"{told}: {why}",
                f"nothing was written; {without_it('SERVICE')}",
            )
        case OSError(errno=errno.ENOSPC):
            return Stop("the output cannot be written: no space left on its device")
        case _:
            name = type(error).__name__
            return Stop(
                without_secrets(f"something in rollout itself went wrong: {name}: {error}"),
                "the same command with ROLLOUT_DEBUG=1 shows where; traffic is only ever changed "
                "together with its record, so `rollout status` tells the truth",
            )


def without_it(place: str) -> str:
    """Return what a person can do about a record that cannot be read. place: of the service."""
    return (
        f"`rollout rollback {place}`, `rollout cancel {place}` and `rollout apply PLAN --replace` "
        "work without it, and replace it"
    )


def debugging(ctx: click.Context) -> bool:
    """Tell whether tracebacks are wanted: `rollout --debug …` or ROLLOUT_DEBUG=1."""
    return bool(ctx.find_root().params.get("debug") or os.environ.get("ROLLOUT_DEBUG"))


def show_traceback() -> None:
    """Write the traceback of the error being handled on stderr, without what looks secret."""
    from controller.plan.hiding import without_secrets

    _echo(_each_harmless(without_secrets(traceback.format_exc())), sys.stderr)


def made_harmless(error: click.ClickException) -> None:
    """Let an error of click's own quote what was typed without what steers a terminal."""
    error.message = _each_harmless(error.message)  # type: ignore[misc] # click reads it later


def _harmless(text: str) -> str:
    from controller.cli.views.text import harmless

    return harmless(text)


def _each_harmless(text: str) -> str:
    """Return text whose lines are ours, none of them made by what they quote."""
    return "\n".join(_harmless(line) for line in text.split("\n"))


def _annotate(text: str, stream: IO[Any]) -> None:
    """Tell the runner of GitHub Actions, where this is a step of a job."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from controller.report.actions import command

        _echo(command("error", "rollout", text), stream)


def _echo(text: str, stream: IO[Any]) -> None:
    """Write text that the stream's encoding may not have all characters for."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding), file=stream)
