"""What people and scripts see while a command runs: the same events, shown in one of two ways.

`make` picks the view. What happened is told by the engine's events; nothing is decided here, and
rich is imported only for a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.engine.events import Event
    from controller.engine.observation import ServiceName
    from controller.reconciler import Tick

__all__ = ["View", "harmless", "make", "make_each"]


class View(Protocol):
    """Shows what happens; `close` ends what is drawn, and may be called twice."""

    def show(self, event: Event) -> None:
        """Show one event that belongs to no tick (started, a warning, finished)."""

    def tick(self, tick: Tick) -> None:
        """Show one pass: its events (do not show them again) and its decision."""

    def about(self, named: Mapping[str, str]) -> View:
        """Return a view of the same place, whose lines say this as well ({"region": …})."""

    def close(self) -> None:
        """End the live display, if there is one."""


def make(
    output: str, stdout: TextIO, stderr: TextIO, *, live: bool, observed: bool = False
) -> View:
    """Return the view for `-o text` or `-o json`.

    live: a display that redraws itself is wanted; it is used only where stderr is a terminal that
    can do it and neither CI nor NO_COLOR is set. A job of GitHub Actions gets annotations and a
    summary beside it. observed: nothing that it shows happens, so a job is told of no outcome.
    """
    in_a_job = os.environ.get("GITHUB_ACTIONS") == "true"
    if observed:
        return _observed(output, stdout, stderr, in_a_job=in_a_job)
    if in_a_job:
        return _in_a_job(output, stdout, stderr)
    if output == "json":
        from controller.cli.views.json import JsonView

        return JsonView(stdout)
    if live and _can_redraw(stderr):
        from controller.cli.views.live import LiveView

        return LiveView(stdout, stderr)
    from controller.cli.views.human import HumanView

    return HumanView(stdout, stderr)


def _observed(output: str, stdout: TextIO, stderr: TextIO, *, in_a_job: bool) -> View:
    from controller.cli.views.observed import make as make_observed

    if not in_a_job:
        return make_observed(output, stdout, stderr)
    from controller.cli.views.actions import disarmed
    from controller.report.actions import disarmed_json

    out = disarmed(stdout, disarmed_json) if output == "json" else disarmed(stdout)
    return make_observed(output, out, disarmed(stderr))


def _in_a_job(output: str, stdout: TextIO, stderr: TextIO) -> View:
    from controller.cli.views.actions import ActionsView, disarmed
    from controller.cli.views.human import HumanView
    from controller.cli.views.json import JsonView
    from controller.report.actions import disarmed_json

    if output == "json":
        inner: View = JsonView(disarmed(stdout, disarmed_json))
    else:
        inner = HumanView(disarmed(stdout), disarmed(stderr))
    return ActionsView(inner, stderr, os.environ)


def harmless(output: str, stdout: TextIO, stderr: TextIO) -> tuple[TextIO, TextIO]:
    """Return the streams as a job of GitHub Actions needs them: no text becomes a command there."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return stdout, stderr
    from controller.cli.views.actions import disarmed
    from controller.report.actions import disarmed_json

    told = disarmed(stdout, disarmed_json) if output == "json" else disarmed(stdout)
    return told, disarmed(stderr)


def make_each(
    output: str, stdout: TextIO, stderr: TextIO, names: Sequence[ServiceName]
) -> list[View]:
    """Return a view for each of several services, as `make` would with `live`; of one, just that.

    Every line says which service it is about.
    """
    if len(names) == 1:
        return [make(output, stdout, stderr, live=True)]
    stdout, stderr = harmless(output, stdout, stderr)
    if output == "json":
        from controller.cli.views.json import JsonView

        root = JsonView(stdout)
        return [root.about({"service": n.service, "region": n.region}) for n in names]
    several = len({name.region for name in names}) > 1
    titles = [f"{n.service} ({n.region})" if several else n.service for n in names]
    if _can_redraw(stderr):
        from controller.cli.views.live import live_views

        return list(live_views(stdout, stderr, titles))
    from controller.cli.views.human import HumanView

    return [HumanView(stdout, stderr, title) for title in titles]


def _can_redraw(stream: TextIO) -> bool:
    plain = os.environ.get("CI") or os.environ.get("NO_COLOR")
    return stream.isatty() and not plain and os.environ.get("TERM") != "dumb"
