"""One pass over many services at a time: what is done for each, and who waits for whom (nobody).

Every service is a job of its own; a few workers take them one after the other. The one that shows
the results takes them as they come, and leaves at its time limit whatever is not done by then: a
pass that is cut off anywhere loses nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import click

from controller.cli import ending
from controller.cli.ending import Ending
from controller.cli.passing import after_one, one_pass
from controller.cli.stops import Code, Stop, as_stop, without_it
from controller.cli.target import Target
from controller.cli.wiring import Connection, wall_clock
from controller.engine.codec import Unreadable
from controller.engine.duty import SCHEDULE
from controller.engine.events import Finished
from controller.engine.lost import Vanished
from controller.engine.observation import ServiceName, ServiceState
from controller.reconciler import Reconciler, Tick

FRESH = timedelta(seconds=30)  # a listing's answer counts as an observation for so long
GRACE = timedelta(seconds=5)  # after a signal, for the calls under way
LOOK = timedelta(milliseconds=200)  # between looks at whether a signal came
WORST = (Code.SPLIT, Code.ROLLED_BACK, Code.ERROR, Code.WAITING, Code.IN_PROGRESS, Code.DONE)
"""Exit codes, the worst first: a run over several services ends with the worst of theirs."""


@dataclass(frozen=True, slots=True)
class Job:
    """A service to look at. listed: what a listing told of it, and when (the world's time)."""

    target: Target
    listed: ServiceState | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """What became of one service in this run. ticks: usually one. error: what ended it, if any."""

    target: Target
    ticks: tuple[Tick, ...]
    end: Ending
    error: click.ClickException | None = None


def pass_over(connect: Callable[[ServiceName], Connection], job: Job) -> Passed:
    """Make one pass over one service. Nothing is raised: an error is this service's own."""
    ticks: list[Tick] = []
    place = job.target.place
    at = wall_clock()
    try:
        connection = connect(job.target.name)
        at = connection.now()
        listed = job.listed if job.at is not None and at - job.at < FRESH else None
        reconciler = Reconciler(connection.ports, job.target.name, SCHEDULE, given=job.target.plan)
        ticks.extend(one_pass(reconciler, listed))
    except Vanished as error:
        return Passed(job.target, (), ending.of_lost(at, error.lost, place))
    except Exception as error:
        stop = _as_stop(error, place)
        return Passed(job.target, tuple(ticks), _of_error(at, stop, ticks, place), stop)
    if not ticks:
        nothing = Finished(at, "nothing_to_do", "there is no rollout on this service")
        return Passed(job.target, (), Ending(nothing, Code.DONE))
    served = max(map(ending.served_so_far, ticks))
    return Passed(job.target, tuple(ticks), after_one(ticks[-1], place, served))


def _as_stop(error: Exception, place: str) -> click.ClickException:
    if isinstance(error, Unreadable):
        return Stop(str(error), without_it(place))
    return as_stop(error)


def _of_error(
    at: datetime, stop: click.ClickException, ticks: Sequence[Tick], place: str
) -> Ending:
    mend = getattr(stop, "mend", "")
    reason = stop.message + (f" (mend: {mend})" if mend else "")
    return ending.of_error(at, reason, ticks[-1] if ticks else None, place)


def unfinished(job: Job, why: str) -> Passed:
    """Return what is said of a service that this run did not come to an end with."""
    reason = f"{why} before it was done; the next run looks again"
    finished = Finished(wall_clock(), "in_progress", reason)
    return Passed(job.target, (), Ending(finished, Code.IN_PROGRESS))


def in_rounds(
    work: Callable[[Job], Passed],
    jobs: Sequence[Job],
    *,
    workers: int,
    until: datetime,
    called: Callable[[], str],
) -> Iterator[Passed]:
    """Yield every job's result as it comes, and at the end what is said of those left undone.

    workers: at most so many jobs at a time. until: when to leave, by the system's time. called:
    the signal that wants this process to end, or "": no job begins then, those under way have some
    seconds.
    """
    waiting = {job.target.name: job for job in jobs}
    round_ = _Round(work, jobs)
    why = "the time limit came"
    for _ in range(min(workers, len(jobs))):
        threading.Thread(
            target=round_.take, daemon=True
        ).start()  # it may outlive this run: no wait
    while waiting and wall_clock() < until:
        if called() and not round_.stopped.is_set():
            round_.stopped.set()
            why, until = f"{called()} came", min(until, wall_clock() + GRACE)
        if round_.stopped.is_set() and not round_.busy(waiting):
            break
        try:
            job, passed = round_.done.get(timeout=LOOK.total_seconds())
        except queue.Empty:
            continue
        del waiting[job.target.name]
        yield passed
    round_.stopped.set()
    for job in waiting.values():
        yield unfinished(job, why)


class _Round:
    """The jobs and their results, between the workers and whoever shows them."""

    def __init__(self, work: Callable[[Job], Passed], jobs: Sequence[Job]) -> None:
        self._work = work
        self._todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Job, Passed]] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self._begun: set[ServiceName] = set()
        for job in jobs:
            self._todo.put(job)

    def take(self) -> None:
        """Do one job after the other until there is none, or no more is wanted."""
        while not self.stopped.is_set():
            try:
                job = self._todo.get_nowait()
            except queue.Empty:
                return
            self._begun.add(job.target.name)
            self.done.put((job, self._work(job)))

    def busy(self, waiting: Container[ServiceName]) -> bool:
        """Tell whether a job that is waited for is under way."""
        return any(name in waiting for name in tuple(self._begun))


def worst(codes: Sequence[int]) -> int:
    """Return the code that a run over several services ends with."""
    return next((code for code in WORST if code in codes), Code.DONE)
