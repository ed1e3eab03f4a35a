"""One pass over a rollout, and how a command ends that makes only one: `tick`, `apply --no-wait`.

A pass is one tick; only where its write was refused, or not answered, it is made again.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.cli import ending
from controller.cli.ending import Ending
from controller.cli.stops import Code, Stop
from controller.engine.observation import ServiceState
from controller.reconciler import Reconciler, Tick

REFUSED_MAX = 5  # writes in a row; such a command must end, a schedule runs it again


def one_pass(reconciler: Reconciler, listed: ServiceState | None = None) -> Iterator[Tick]:
    """Yield the tick, and further ones while what was decided could not be written.

    Yields nothing where there is no rollout. listed: the service as a listing has just told it.
    Raises PortError, Unreadable, and Stop where nothing could be written.
    """
    problem = ""
    for attempt in range(REFUSED_MAX):
        tick = reconciler.tick(None if attempt else listed)
        if tick is None:
            return
        yield tick
        problem = tick.problem
        if not problem:
            return
        if attempt < REFUSED_MAX - 1:
            reconciler.ports.clock.sleep(tick.look_again)
    raise Stop(
        f"nothing could be written, {REFUSED_MAX} times: {problem}",
        "the next run tries again; `rollout status` shows where it stands",
    )


def after_one(tick: Tick, place: str, served: int) -> Ending:
    """Return the ending of a command that looked once: 0 as well where the rollout goes on."""
    done = ending.of_done(tick, place, served)
    if done is not None:
        return done
    left = ending.of_open(tick, place, served, "one look, as asked")
    return Ending(left.finished, Code.DONE if left.code == Code.IN_PROGRESS else left.code)
