"""Following a rollout to its end: the loop of `apply`, its leave, and a rehearsal's people."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING

from controller.cli import deeds, ending
from controller.cli.beginning import begin_all
from controller.cli.ending import Ending, Part
from controller.cli.passing import after_one, one_pass
from controller.cli.run import Leg, Run
from controller.cli.stops import Code, Refused, Stop, as_stop
from controller.cli.target import place_of
from controller.cli.views.text import sentence
from controller.engine.begin import Wish
from controller.engine.codec import Unreadable
from controller.engine.decision import Refusal
from controller.engine.duty import SCHEDULE
from controller.engine.events import Finished, Shifted
from controller.engine.lost import Vanished
from controller.engine.observation import Seen
from controller.engine.record import Phase
from controller.engine.wording import minutes_shown
from controller.ports import Missing, PortError
from controller.reconciler import Reconciler, Tick

if TYPE_CHECKING:
    from controller.cli.wiring import Connection

GONE = "there is no rollout on the service any more"
DETACH_SECONDS = 5.0  # after a signal a call under way may take so long, then it is left


class Detached(BaseException):
    """A signal came while a call was under way, and the call took too long."""


def follow(run: Run, wish: Wish) -> int:
    """Begin or attach, tick until there is an end, show it, and return the exit code.

    Raises PortError and Stop.
    """
    assert run.connection is not None
    connection = run.connection
    run.legs = _legs(run, connection)
    if connection.rehearsal is not None:
        _introduce_people(run, connection)
    until = connection.now() + run.timeout if run.timeout is not None else None
    if not run.leaving:
        try:
            begin_all(run, wish, lambda leg: _stay(run, (leg,), None))
        except (Stop, Missing) as refused:
            if not run.no_wait:
                raise
            return _look_all_the_same(run, refused)
        _stay(run, run.legs, until)
    for leg in run.legs:
        if leg.end is None or leg.end.code in (Code.WAITING, Code.IN_PROGRESS):
            leg.reconciler.hand_over()  # a signal's alarm is still set: it takes 5 s at most
    if run.leaving and any(leg.end is None for leg in run.legs):
        return leave(run)
    return run.finish(_whole(run))


def _legs(run: Run, connection: Connection) -> tuple[Leg, ...]:
    controller = SCHEDULE if run.no_wait else connection.controller
    names = run.names or (connection.name,)
    several = len(names) > 1
    return tuple(
        Leg(
            name,
            place_of(name) if several else run.place,
            run.view.about({"region": name.region}) if several else run.view,
            Reconciler(connection.ports, name, controller),
            name.region if several else "",
        )
        for name in names
    )


def _whole(run: Run) -> Ending:
    """Return the ending of all legs together; one that stopped the rest leaves them open."""
    parts = []
    for leg in run.legs:
        end = leg.end
        if end is None:
            assert leg.last is not None
            end = ending.of_open(leg.last, leg.place, leg.served)
        parts.append(Part(leg.region, leg.place, end))
    return parts[0].ending if len(parts) == 1 else ending.of_all(parts, run.place)


# Staying ----------------------------------------------------------------------------------------


def _stay(run: Run, legs: tuple[Leg, ...], until: datetime | None) -> None:
    """Stay as long as was asked: one pass, or to an end, or until a signal comes."""
    if not run.no_wait:
        _loop(run, legs, until)
        return
    for leg in legs:
        if run.leaving or leg.end is not None:
            continue
        for tick in one_pass(leg.reconciler):
            run.saw(leg, tick)
            if run.leaving:
                return
        if leg.last is None:
            raise Stop(GONE, "`rollout status` looks again")
        leg.end = after_one(leg.last, leg.place, leg.served)


def _look_all_the_same(run: Run, refused: Exception) -> int:
    """Look once after what is under way, though what was wanted beside it is refused.

    Whoever runs `apply --no-wait` on a schedule relies on it to watch: an edited plan, or another
    candidate, must not leave the rollout alone. Returns the look's exit code where it moved traffic
    or somebody is needed; else raises Refused: all is as it was.
    """
    stop, moved = as_stop(refused), False
    for leg in run.legs:
        try:
            for tick in one_pass(leg.reconciler):
                if tick.plan is None:  # it is done: there is nothing to look after
                    break
                run.saw(leg, tick)
                moved |= any(isinstance(e, Shifted) and not e.in_force for e in tick.events)
                if run.leaving:
                    return leave(run)
        except (Unreadable, Vanished):
            continue  # the refusal is about that; other regions are looked after
        except (PortError, Stop) as error:
            run.message("warning", f"what is under way could not be looked at: {error}", leg)
        if leg.last is not None:
            leg.end = after_one(leg.last, leg.place, leg.served)
    run.legs = tuple(leg for leg in run.legs if leg.last is not None) or run.legs
    if run.last is None:
        raise refused
    end = _whole(run)
    if not moved and end.code == Code.DONE:
        raise Refused(stop.message, getattr(stop, "mend", ""), stop.exit_code) from refused
    run.message("warning", f"looked after what is under way; what was wanted is refused: {stop}")
    return run.finish(end)


def _loop(run: Run, legs: tuple[Leg, ...], until: datetime | None) -> None:
    """Tick each leg when it is due, until all have ended or this run does.

    All that are due are looked at before this run ends: it tells where each of them stands.
    """
    while not _is_over(run, legs):
        for leg in legs:
            is_due = leg.due is None or leg.due <= run.now()
            if leg.end is None and is_due and not run.leaving:
                _look(run, leg, until)
        if _is_over(run, legs):
            return
        due = min(leg.due for leg in legs if leg.end is None and leg.due is not None)
        legs[0].reconciler.ports.clock.sleep(max(due - run.now(), timedelta(0)))


def _is_over(run: Run, legs: tuple[Leg, ...]) -> bool:
    """Tell whether this run ends: all legs have, a signal came, or one waits for a person."""
    ends = [leg.end for leg in legs]
    stopped = any(end is not None and not end.is_done for end in ends)
    return bool(run.leaving) or stopped or all(end is not None for end in ends)


def _look(run: Run, leg: Leg, until: datetime | None) -> None:
    tick = leg.reconciler.tick()
    if tick is None:
        raise Stop(GONE, "`rollout status` looks again")
    run.saw(leg, tick)
    leg.end = _end(run, leg, tick, until)
    if leg.end is not None and leg.end.is_done and leg.region:
        said = leg.end.finished
        run.message("info", sentence(said.outcome, said.reason), leg)
    due = run.now() + tick.look_again
    leg.due = due if until is None else min(due, until)


def _end(run: Run, leg: Leg, tick: Tick, until: datetime | None) -> Ending | None:
    done = ending.of_done(tick, leg.place, leg.served)
    if done is not None:
        if until is None and not run.observes:
            _verify(run, leg, tick)
        return done
    if until is not None and run.now() >= until:
        return ending.of_open(tick, leg.place, leg.served, "the time limit has come")
    rehearsal = run.connection.rehearsal if run.connection else None
    is_seen = isinstance(tick.observation.service, Seen)  # else an answer may be on it already
    stuck = tick.decision.only_a_person and is_seen and not tick.problem
    if rehearsal is not None and stuck and not rehearsal.people_left():
        why = "the scenario has nobody left to act"
        return ending.of_open(tick, leg.place, leg.served, why)
    return None


def _verify(run: Run, leg: Leg, tick: Tick) -> None:
    """After a roll back: say how long it took, and see that the candidate gets no requests."""
    record = tick.decision.record
    began = next((t.at for t in reversed(record.transitions) if t.what == "roll back"), None)
    if began is None or tick.plan is None or record.phase is not Phase.DONE:
        return
    run.message("info", f"back on stable {minutes_shown(tick.at - began)} after the decision", leg)
    left = leg.reconciler.drained(record, tick.at, tick.plan.evidence.delay)
    if left:
        run.message("shout", left, leg)
    else:
        run.message("info", "verified: no request reaches the candidate any more", leg)


def leave(run: Run) -> int:
    """Show the end after a signal, detached whatever the rollout waits for; return its code."""
    why = f"detached by {run.leaving}; nobody watches now"
    leg = run.current
    if leg is None or leg.last is None:
        place = run.place
        commands = (
            f"rollout apply {place}",
            f"rollout status {place}",
            f"rollout rollback {place}",
        )
        finished = Finished(run.now(), "in_progress", why, next=commands)
        return run.finish(Ending(finished, Code.IN_PROGRESS))
    finished = ending.of_open(leg.last, leg.place, leg.served, why).finished
    if len(run.legs) > 1 and finished.outcome == "in_progress":
        finished = replace(finished, next=ending.onward(run.place))
    return run.finish(Ending(finished, Code.IN_PROGRESS))


# People of a scenario ---------------------------------------------------------------------------


def _introduce_people(run: Run, connection: Connection) -> None:
    """Let what a scenario's people say to rollout run the real act, on the same ports."""
    assert connection.rehearsal is not None

    def say(word: str, details: Mapping[str, str]) -> None:
        person, reason = details.get("person", "somebody"), details.get("reason", "")
        name = run.current.name if run.current else connection.name
        try:
            done = deeds.perform(connection.ports, name, word, person, reason)
        except PortError as error:
            run.message("warning", f"{person}: {word} did not work: {error.what}")
            return
        if isinstance(done, Refusal):
            run.message("warning", f"{person}: {word} was refused: {done.reason}")
        else:
            run.message("info", f"{person}: {word}" + (f" ({reason})" if reason else ""))

    connection.rehearsal.listen(say)


# Signals ----------------------------------------------------------------------------------------


@contextmanager
def leaving_on_signals(run: Run) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the loop at its next look, at the latest after 5 s (Detached).

    A call cut off midway loses nothing: the next run sees on the service what was written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        del frame
        if run.leaving:
            raise Detached
        run.leaving = signal.Signals(number).name
        if run.connection is not None:
            run.connection.stop()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, DETACH_SECONDS)

    def give_up(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Detached

    handlers: dict[int, Callable[[int, FrameType | None], None]]
    handlers = {signal.SIGINT: heard, signal.SIGTERM: heard}
    if hasattr(signal, "SIGALRM"):
        handlers[signal.SIGALRM] = give_up
    before = {number: signal.signal(number, what) for number, what in handlers.items()}
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, what in before.items():
            signal.signal(number, what)
