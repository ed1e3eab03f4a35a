"""The same work many times, in as many processes as it takes; signals leave none behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from controller.cli.stops import Stop

PROCESSES_MAX = 4
Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job]
) -> Generator[Result, None, None]:
    """Yield the result of every job, in order. Jobs and results are values that can be pickled.

    Raises Stop where a process was ended from outside.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import active_children, get_context

    processes = min(os.cpu_count() or 1, PROCESSES_MAX, len(jobs))
    if processes <= 1:
        yield from map(work, jobs)
        return
    others = set(active_children())
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_leave_signals_alone) as pool:
        try:
            for future in [pool.submit(work, job) for job in jobs]:
                yield future.result()
        except BrokenProcessPool as error:
            raise Stop("one of the processes was ended from outside") from error
        except BaseException:  # a signal: what is under way would take its time
            # Nothing is cancelled first: the pool itself ends what its processes leave open, and
            # trips over futures that were (CPython 3.11).
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _leave_signals_alone() -> None:
    """Let the process that shows the results decide: Ctrl-C goes to all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end it as Ctrl-C does, so that no process stays behind."""

    def heard(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, heard)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
