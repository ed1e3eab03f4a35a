"""After an act: what was written is seen in force before the command says that it is done."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from controller.cli.ending import split_of
from controller.cli.stops import Code, Stop
from controller.engine.codec import Unreadable
from controller.engine.decision import State
from controller.engine.lost import Vanished
from controller.engine.moves import POLL
from controller.engine.wording import minutes_shown
from controller.ports import PortError
from controller.reconciler import Reconciler, Tick

WAIT_MAX = timedelta(minutes=3)


def rolled_back(reconciler: Reconciler, done: Tick) -> tuple[Tick, str]:
    """See a rollback to its end, and return how long that took, for people.

    Whoever watches the rollout does the same meanwhile. Raises Stop (6) where it was written and
    is not seen in force within three minutes.
    """
    clock = reconciler.ports.clock
    until = clock.now() + WAIT_MAX
    wanted = dict(split_of(done))
    while clock.now() < until:
        with suppress(PortError):  # it is written: what cannot be read now is looked at again
            service = reconciler.ports.router.observe(reconciler.name)
            if service.in_force == wanted and not service.reconciling:
                break
        clock.sleep(POLL)
    else:
        raise Stop(
            "the rollback was written and is not seen in force after 3 minutes",
            "look with `rollout status`, or run it again",
            Code.SPLIT,
        )
    took = minutes_shown(clock.now() - done.at)
    with suppress(PortError, Unreadable, Vanished):  # it is in force, whoever took the record
        # Closes the record; a controller that watches may have done it, and the next one would.
        return reconciler.tick() or done, took
    return done, took


def promoted(reconciler: Reconciler, done: Tick, place: str) -> Tick:
    """See a promotion to its end, as whoever watches does, and return its last tick.

    Raises Stop where it came to another end (3: rolled back), or to none within three minutes (6).
    """
    clock = reconciler.ports.clock
    until = clock.now() + WAIT_MAX
    look = f"look with `rollout status {place}`"
    last = done
    while last.decision.state is State.SHIFTING or last.problem:
        if clock.now() >= until:
            what = "the promotion was written and is not seen in force after 3 minutes"
            raise Stop(what, f"{look}; `rollout apply` goes on with it", Code.SPLIT)
        clock.sleep(POLL)
        with suppress(PortError):  # it is written: what cannot be read now is looked at again
            last = reconciler.tick() or last
    outcome = last.decision.record.outcome
    ended = outcome.outcome if outcome is not None else ""
    if ended != "promoted":
        code = Code.ROLLED_BACK if ended == "rolled_back" else Code.SPLIT
        why = outcome.reason if outcome is not None else last.decision.reason
        raise Stop(f"not promoted: {why}", look, code)
    return last
