"""Following a rollout to its end: the loop of `apply`, its leave, and a rehearsal's people."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING

import click

from controller.cli import deeds, ending
from controller.cli.ending import Ending
from controller.cli.passing import after_one, one_pass
from controller.cli.stops import Code, Stop
from controller.cli.wiring import wall_clock
from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.decision import Action, Refusal, State
from controller.engine.duty import SCHEDULE
from controller.engine.events import Finished, Message, Started
from controller.engine.record import Ask, AskKind, Phase
from controller.engine.wording import minutes_shown
from controller.ports import PortError
from controller.reconciler import RETRY, Reconciler, Tick

if TYPE_CHECKING:
    from controller.cli.views import View
    from controller.cli.wiring import Connection

GONE = "there is no rollout on the service any more"
DETACH_SECONDS = 5.0  # after a signal a call under way may take so long, then it is left


class Detached(BaseException):
    """A signal came while a call was under way, and the call took too long."""


@dataclass(slots=True)
class Run:
    """One run of `apply`: what it shows, how long it stays, and what it last saw.

    observes: no traffic is moved. answer: what is done when a person is asked; None: a scenario's
    people are told.
    """

    view: View
    timeout: timedelta | None = None
    no_wait: bool = False
    place: str = ""
    connection: Connection | None = None
    last: Tick | None = None
    served: int = 0
    leaving: str = ""
    asked: datetime | None = None
    is_finished: bool = False
    observes: bool = False
    answer: Callable[[Ask], None] | None = None

    def now(self) -> datetime:
        """Return the time of the world; before there is one, the system's."""
        return self.connection.now() if self.connection else wall_clock()

    def message(self, level: str, text: str) -> None:
        """Show a sentence."""
        self.view.show(Message(self.now(), level, text))

    def saw(self, tick: Tick) -> None:
        """Show a tick and remember it."""
        self.last = tick
        self.served = max(self.served, ending.served_so_far(tick))
        self.view.tick(tick)
        ask = tick.decision.record.ask
        if ask is not None and not tick.problem and ask.since != self.asked:
            self._tell_people(ask)

    def _tell_people(self, ask: Ask) -> None:
        """Let a scenario's people know what is asked: by the record, for an event may be lost."""
        self.asked = ask.since
        if self.answer is not None:
            self.answer(ask)
        elif self.connection is not None and self.connection.rehearsal is not None:
            approval = ask.kind is AskKind.APPROVAL
            self.connection.rehearsal.tell("asked" if approval else f"asked:{ask.kind.value}")

    def finish(self, end: Ending) -> int:
        """Show the end, once, and return its exit code."""
        if not self.is_finished:
            self.is_finished = True
            self.view.show(end.finished)
        return end.code

    def fail(self, stop: click.ClickException) -> None:
        """Tell scripts of an error's end (`finished` comes on every exit); people read stderr."""
        at = self.last.at if self.last else self.now()
        self.finish(ending.of_error(at, stop.message, self.last, self.place))

    def is_split_after(self, stop: click.ClickException) -> bool:
        """Tell whether an error leaves the traffic split, which has an exit code of its own."""
        split = ending.split_of(self.last) if self.last else {}
        return stop.exit_code == Code.ERROR and len(split) > 1 and not self.observes


def follow(run: Run, wish: Wish) -> int:
    """Begin or attach, tick until there is an end, show it, and return the exit code.

    Raises PortError and Stop.
    """
    assert run.connection is not None
    connection = run.connection
    controller = SCHEDULE if run.no_wait else connection.controller
    reconciler = Reconciler(connection.ports, connection.name, controller)
    if connection.rehearsal is not None:
        _introduce_people(run, connection)
    until = connection.now() + run.timeout if run.timeout is not None else None
    end = None if run.leaving else _begin(run, reconciler, wish)
    end = end or _stay(run, reconciler, until)
    if end is None or end.code in (Code.WAITING, Code.IN_PROGRESS):
        reconciler.hand_over()  # a signal's alarm is still set: it takes 5 s at most
    return run.finish(end) if end is not None else leave(run)


def _begin(run: Run, reconciler: Reconciler, wish: Wish) -> Ending | None:
    """Begin or attach; return an ending where there is nothing to follow."""
    for event in reconciler.make_up():
        run.view.show(event)
    begun = reconciler.begin(wish)
    match begun:
        case Refusal(reason, mend, code):
            raise Stop(reason, mend, code)
        case Nothing(reason):
            return Ending(Finished(run.now(), "nothing_to_do", reason), Code.DONE)
        case Attach(record, plan, _):
            stages = tuple((stage.weight, stage.hold) for stage in plan.stages)
            names = (record.rollout, plan.service, record.candidate, record.stable)
            history = record.history
            run.view.show(Started(run.now(), *names, stages, attached=True, history=history))
            return None
        case Tick():
            run.saw(begun)
            if Action.ROLL_BACK is begun.decision.action or begun.decision.state is State.DONE:
                return _replaced(run, reconciler, wish, begun)
            return None


def _replaced(run: Run, reconciler: Reconciler, wish: Wish, begun: Tick) -> Ending | None:
    """--replace: see the running one rolled back, then begin the new one, unless told to leave."""
    if begun.decision.state is not State.DONE:
        end = _stay(run, reconciler, None)
        if end is None or end.code != Code.ROLLED_BACK:
            return end
    return _begin(run, Reconciler(reconciler.ports, reconciler.name, reconciler.controller), wish)


def _stay(run: Run, reconciler: Reconciler, until: datetime | None) -> Ending | None:
    """Stay as long as was asked: one pass, or to an end; None: a signal ended it."""
    if not run.no_wait:
        return _loop(run, reconciler, until)
    last: Tick | None = None
    for last in one_pass(reconciler):
        run.saw(last)
        if run.leaving:
            return None
    if last is None:
        raise Stop(GONE, "`rollout status` looks again")
    return after_one(last, run.place, run.served)


def _loop(run: Run, reconciler: Reconciler, until: datetime | None) -> Ending | None:
    """Tick until the rollout ends or this run does; None: a signal ended it."""
    while not run.leaving:
        tick = reconciler.tick()
        if tick is None:
            raise Stop(GONE, "`rollout status` looks again")
        run.saw(tick)
        end = _end(run, reconciler, tick, until)
        if end is not None:
            return end
        pause = RETRY if tick.problem else tick.decision.look_again
        if until is not None:
            pause = min(pause, max(until - reconciler.ports.clock.now(), timedelta(0)))
        reconciler.ports.clock.sleep(pause)
    return None


def _end(run: Run, reconciler: Reconciler, tick: Tick, until: datetime | None) -> Ending | None:
    done = ending.of_done(tick, run.place, run.served)
    if done is not None:
        if until is None and not run.observes:
            _verify(run, reconciler, tick)
        return done
    if until is not None and run.now() >= until:
        return ending.of_open(tick, run.place, run.served, "the time limit has come")
    rehearsal = run.connection.rehearsal if run.connection else None
    stuck = tick.decision.only_a_person and not tick.problem
    if rehearsal is not None and stuck and not rehearsal.people_left():
        return ending.of_open(tick, run.place, run.served, "the scenario has nobody left to act")
    return None


def _verify(run: Run, reconciler: Reconciler, tick: Tick) -> None:
    """After a roll back: say how long it took, and see that the candidate gets no requests."""
    record = tick.decision.record
    began = next((t.at for t in reversed(record.transitions) if t.what == "roll back"), None)
    if began is None or tick.plan is None or record.phase is not Phase.DONE:
        return
    run.message("info", f"back on stable {minutes_shown(tick.at - began)} after the decision")
    left = reconciler.drained(record, tick.at, tick.plan.evidence.delay)
    if left:
        run.message("shout", left)
    else:
        run.message("info", "verified: no request reaches the candidate any more")


def leave(run: Run) -> int:
    """Show the end after a signal, detached whatever the rollout waits for; return its code."""
    why = f"detached by {run.leaving}; nobody watches now"
    if run.last is None:
        place = run.place
        commands = (
            f"rollout apply {place}",
            f"rollout status {place}",
            f"rollout rollback {place}",
        )
        finished = Finished(run.now(), "in_progress", why, next=commands)
        return run.finish(Ending(finished, Code.IN_PROGRESS))
    end = ending.of_open(run.last, run.place, run.served, why)
    return run.finish(Ending(end.finished, Code.IN_PROGRESS))


# People of a scenario ---------------------------------------------------------------------------


def _introduce_people(run: Run, connection: Connection) -> None:
    """Let what a scenario's people say to rollout run the real act, on the same ports."""
    assert connection.rehearsal is not None

    def say(word: str, details: Mapping[str, str]) -> None:
        person, reason = details.get("person", "somebody"), details.get("reason", "")
        try:
            done = deeds.perform(connection.ports, connection.name, word, person, reason)
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
