"""Real time, and the time of a sandbox on a port."""

from __future__ import annotations

from datetime import UTC, timedelta
from itertools import count
from threading import Thread

import pytest

from controller.cloud.clock import SystemClock
from controller.cloud.served_clock import ServedSandboxClock
from controller.ports import Unavailable
from controller.sandbox.clock import VirtualClock
from controller.sandbox.scenario import Scenario
from controller.sandbox.serve import serve
from controller.sandbox.setting import Setting

HOUR = timedelta(hours=1)


def test_the_systems_time_is_in_utc_and_goes_on() -> None:
    clock = SystemClock()
    before = clock.now()
    clock.sleep(timedelta(milliseconds=2))
    assert before.tzinfo is UTC
    assert clock.now() > before
    clock.sleep(timedelta(seconds=-5))


def test_a_stop_ends_a_sleep() -> None:
    clock = SystemClock()
    sleeper = Thread(target=clock.sleep, args=(HOUR,))
    sleeper.start()
    clock.stop()
    sleeper.join(10)
    assert not sleeper.is_alive()


def test_a_served_worlds_time_is_told_and_slept_through() -> None:
    ticks = count()
    with serve(Scenario(), Setting(), real=lambda: float(next(ticks)), speed=1e6) as served:
        clock = ServedSandboxClock(served.address)
        before = clock.now()
        clock.sleep(HOUR)
        assert clock.now() - before >= HOUR


def test_a_stop_ends_a_sleep_in_a_world_that_stands_still() -> None:
    with serve(Scenario(), Setting(), real=lambda: 0.0, speed=0) as served:
        clock = ServedSandboxClock(served.address)
        clock.stop()
        clock.sleep(HOUR)
        assert clock.now() == Scenario().start


def test_a_world_that_does_not_answer_any_more_goes_on_by_our_own_time() -> None:
    """Its clock's silence ended `apply`: a world away for a minute was not come back to."""
    own = VirtualClock(Scenario().start)
    with serve(Scenario(), Setting(), real=lambda: 0.0, speed=60) as served:
        clock = ServedSandboxClock(served.address, own)
        before = clock.now()
    own.sleep(timedelta(minutes=2))
    assert clock.now() - before == 2 * HOUR


def test_a_sleep_in_a_world_that_does_not_answer_ends() -> None:
    with serve(Scenario(), Setting(), real=lambda: 0.0, speed=1e6) as served:
        clock = ServedSandboxClock(served.address)
        before = clock.now()
    clock.sleep(HOUR)
    assert clock.now() - before >= HOUR


def test_no_clock_there_is_unavailable() -> None:
    with serve(Scenario(), Setting(), real=lambda: 0.0) as served:
        wrong = ServedSandboxClock(served.address + "/tags/nothing")
        with pytest.raises(Unavailable):
            wrong.now()
        address = served.address
    with pytest.raises(Unavailable):
        ServedSandboxClock(address).now()
