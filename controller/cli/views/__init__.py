"""What people and scripts see while a command runs: the same events, shown in one of two ways.

`make` picks the view. What happened is told by the engine's events; nothing is decided here, and
rich is imported only for a terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from controller.engine.events import Event
    from controller.reconciler import Tick

__all__ = ["View", "make"]


class View(Protocol):
    """Shows what happens; `close` ends what is drawn, and may be called twice."""

    def show(self, event: Event) -> None:
        """Show one event that belongs to no tick (started, a warning, finished)."""

    def tick(self, tick: Tick) -> None:
        """Show one pass: its events (do not show them again) and its decision."""

    def close(self) -> None:
        """End the live display, if there is one."""


def make(output: str, stdout: TextIO, stderr: TextIO, *, live: bool) -> View:
    """Return the view for `-o text` or `-o json`.

    live: a display that redraws itself is wanted; it is used only where stderr is a terminal that
    can do it and neither CI nor NO_COLOR is set.
    """
    if output == "json":
        from controller.cli.views.json import JsonView

        return JsonView(stdout)
    if live and _can_redraw(stderr):
        from controller.cli.views.live import LiveView

        return LiveView(stdout, stderr)
    from controller.cli.views.human import HumanView

    return HumanView(stdout, stderr)


def _can_redraw(stream: TextIO) -> bool:
    plain = os.environ.get("CI") or os.environ.get("NO_COLOR")
    return stream.isatty() and not plain and os.environ.get("TERM") != "dumb"
