"""Replayed runs for people and scripts: a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from controller.cli.views.json import VERSION, time, write_line
from controller.cli.views.text import stamp, write
from controller.engine.replaying import Past, Replayed, minute_number

_WORDS = {"fail": "failed", "pass": "passed", "undecided": "undecided"}


@dataclass(frozen=True, slots=True)
class Told:
    """A run and its past. with_times: its minutes were real ones, not numbers in a file."""

    run: Replayed
    past: Past
    with_times: bool

    @property
    def minute(self) -> int | None:
        """Return the number of the minute that the verdict is about, None: there is none."""
        return None if self.run.end is None else minute_number(self.past, self.run.end)


def show(told: Told, output: str, stdout: TextIO, *, is_first: bool) -> None:
    """Write a run."""
    if output == "json":
        write_line(stdout, ({"version": VERSION} if is_first else {}) | plain(told))
    else:
        write(stdout, line(told))


def plain(told: Told) -> dict[str, Any]:
    """Return a run's JSON values. Stages count from 1; what does not apply is null."""
    run = told.run
    values = {
        "event": "replayed",
        "run": run.run,
        "verdict": run.verdict,
        "minute": told.minute,
        "stage": run.stage + 1 if run.stage >= 0 else None,
        "gate": run.gate or None,
        "reason": run.reason,
    }
    if told.with_times:
        values["at"] = None if run.end is None else time(run.end)
    return values


def line(told: Told) -> str:
    """Return a run's line for people."""
    run = told.run
    if run.end is None:
        return f"{run.run}: {run.verdict}: {run.reason}"
    when = f"minute {told.minute:,}" + (f" ({stamp(run.end)})" if told.with_times else "")
    gate = f": {run.gate} {run.reason}" if run.gate else ""
    return f"{run.run}: {run.verdict} at {when}, stage {run.stage + 1}{gate}"


def show_summary(verdicts: Mapping[str, int], stdout: TextIO) -> None:
    """Write how many runs there were of each verdict."""
    parts = ", ".join(f"{verdicts.get(verdict, 0):,} {word}" for verdict, word in _WORDS.items())
    write(stdout, f"{sum(verdicts.values()):,} runs: {parts}")
