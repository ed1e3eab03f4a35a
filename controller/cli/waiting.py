"""`rollout wait` and `rollout watch`: following rollouts that somebody else moves, read-only.

Here: how long, what is shown, how it ends. What a look sees is in `looking`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop, as_stop, without_it
from controller.engine.events import Finished, Message
from controller.engine.observation import ServiceName

if TYPE_CHECKING:
    from controller.cli.ending import Ending
    from controller.cli.looking import Looker
    from controller.cli.run import Run
    from controller.cli.target import Target
    from controller.cli.views import View
    from controller.reconciler import Tick


@click.command("wait")
@options.target
@click.option(
    "--timeout", type=options.Duration(), help="Leave after this time: 50m (exit 5 or 4)."
)
@options.variables
@options.output
@click.pass_context
def wait(
    ctx: click.Context,
    *,
    target: str,
    project: str | None,
    region: str | None,
    timeout: timedelta | None,
    variables: dict[str, str],
    output: str,
) -> None:
    """Follow a rollout to its outcome, without acting: somebody else's passes move it.

    It reads the service and nothing else, twice a minute, and tells the events of `apply`. The exit
    codes are those of `apply`: 0 promoted, 3 rolled back, 6 cancelled; at --timeout 4 where only a
    person is missing, 6 where it is taken over, else 5. Before a rollout began there is nothing to
    wait for: 1. Where its record vanished nobody moves it any more: 6, at once.

    \b
    Examples:
      rollout wait plans/ion-api.yaml --timeout 5h
      rollout wait ion-api --region us-central1 --project ion-prod -o json
    """
    from controller.cli.target import find_many

    regions = (region,) if region else ()

    def found() -> Sequence[Target]:
        return find_many((target,), project=project, regions=regions, variables=variables)

    ctx.exit(_followed(found, output, timeout=timeout, measured=False))


@click.command("watch")
@options.targets
@options.variables
@options.output
@click.pass_context
def watch(
    ctx: click.Context,
    *,
    targets: tuple[str, ...],
    project: str | None,
    regions: tuple[str, ...],
    variables: dict[str, str],
    output: str,
) -> None:
    """Show rollouts as they go, from any machine, without acting, until they have ended.

    On a terminal it is the live view of `apply`; elsewhere a line a change. It also asks Monitoring
    for what was measured since the record was written; without that permission the record's numbers
    are shown. Ctrl-C leaves the rollouts as they are. The exit code is that of `wait`, of several
    services the worst.

    \b
    Examples:
      rollout watch ion-api --region us-central1 --project ion-prod
      rollout watch plans/*.yaml
    """
    from controller.cli.target import find_many

    def found() -> Sequence[Target]:
        if not targets:
            raise Stop("nothing is named", "name services or plans", Code.USAGE)
        return find_many(targets, project=project, regions=regions, variables=variables)

    ctx.exit(_followed(found, output, timeout=None, measured=True))


@dataclass(slots=True)
class _One:
    """One service that is followed: what it was last seen as."""

    target: Target
    looker: Looker
    view: View
    last: Tick | None = None
    served: int = 0
    lost: str = ""  # why the last look saw nothing

    def look(self, now: datetime, until: datetime | None) -> Ending | None:
        """Look, show it, and return the end where it has come."""
        from controller.cli import ending
        from controller.engine.codec import Unreadable
        from controller.engine.lost import Vanished
        from controller.ports import PortError

        try:
            tick = self.looker.look()
        except Vanished as error:
            return ending.of_lost(now, error.lost, self.target.place)
        except (PortError, Unreadable) as error:
            if self.last is None:
                return _error(now, error, self.target.place)
            if str(error) != self.lost:
                self.view.show(Message(now, "warning", f"not seen: {error}"))
            self.lost = str(error)
            tick = self.last
        else:
            self.lost = ""
            if tick is None:
                what = Stop(
                    "there is no rollout on this service", "`rollout apply PLAN` begins one"
                )
                return _error(now, what, self.target.place)
            self.last = tick
            self.served = max(self.served, ending.served_so_far(tick))
            self.view.tick(tick)
            done = ending.of_done(tick, self.target.place, self.served)
            if done is not None:
                return done
        if until is not None and now >= until:
            why = "the time limit has come"
            return ending.of_open(tick, self.target.place, self.served, why)
        return None

    def leave(self, now: datetime, signal: str) -> Ending:
        """Return the end of this command after a signal; the rollout has none of it."""
        from controller.cli import ending
        from controller.cli.ending import Ending

        why = f"{signal} came; the rollout goes on as before"
        if self.last is None:
            return Ending(Finished(now, "in_progress", why), Code.IN_PROGRESS)
        end = ending.of_open(self.last, self.target.place, self.served, why)
        return Ending(end.finished, Code.IN_PROGRESS)


def _error(now: datetime, error: Exception, place: str) -> Ending:
    from controller.cli.ending import Ending
    from controller.engine.codec import Unreadable

    unread = isinstance(error, Unreadable)
    mend = without_it(place) if unread else getattr(error, "mend", "")
    reason = f"{as_stop(error).message if isinstance(error, Stop) else error}"
    return Ending(
        Finished(now, "error", f"{reason} (mend: {mend})" if mend else reason), Code.ERROR
    )


def _followed(
    find: Callable[[], Sequence[Target]], output: str, *, timeout: timedelta | None, measured: bool
) -> int:
    """Follow what is found to its end; return the exit code."""
    from controller.cli.following import leaving_on_signals
    from controller.cli.looking import Looker
    from controller.cli.rounds import worst
    from controller.cli.run import Run
    from controller.cli.views import make_each
    from controller.cli.wiring import connections, wall_clock

    try:
        found = find()
        connect = connections(os.environ)
    except Exception as error:
        if output == "json":
            end = Finished(wall_clock(), "error", as_stop(error).message)
            make_each(output, sys.stdout, sys.stderr, [ServiceName("", "", "")])[0].show(end)
        raise
    views = make_each(output, sys.stdout, sys.stderr, [one.name for one in found])
    run = Run(views[0])
    run.connection = connect(found[0].name)
    lookers = (
        Looker(connect(one.name).ports, one.name, one.place, measured=measured) for one in found
    )
    many = [_One(*each) for each in zip(found, lookers, views, strict=True)]
    try:
        with leaving_on_signals(run):
            return worst(_to_the_end(run, many, timeout))
    finally:
        views[0].close()


def _to_the_end(run: Run, many: Sequence[_One], timeout: timedelta | None) -> list[int]:
    """Look at all of them again and again, until each has ended or this command leaves."""
    from controller.cli.following import Detached
    from controller.cli.looking import EVERY

    assert run.connection is not None
    until = run.now() + timeout if timeout is not None else None
    codes: list[int] = []
    left = list(many)
    try:
        while left and not run.leaving:
            for one in tuple(left):
                end = one.look(run.now(), until)
                if end is not None:
                    one.view.show(end.finished)
                    codes.append(end.code)
                    left.remove(one)
            looks = [one.last.decision.look_again for one in left if one.last is not None]
            pause = min(looks, default=EVERY)
            if until is not None:
                pause = min(pause, max(until - run.now(), timedelta(0)))
            if left:
                run.connection.ports.clock.sleep(pause)
    except Detached:
        pass  # a call took too long after the signal
    for one in left:
        end = one.leave(run.now(), run.leaving)
        one.view.show(end.finished)
        codes.append(end.code)
    return codes
