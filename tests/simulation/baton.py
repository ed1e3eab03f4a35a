"""Virtual time, and who runs: one actor at a time holds the baton, and passes it at every call.

Actors are threads only so that production code can be held in the middle of a call; exactly one
runs at any instant, and which one is next follows from the times alone. So a run is a function of
its scene.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

SECOND = 1_000_000  # the world counts in microseconds


class Killed(BaseException):
    """The process that this is raised in is gone."""


@dataclass(eq=False, slots=True)
class Actor:
    """One process or person. wake: when it goes on."""

    name: str
    wake: int
    run: Callable[[], None]
    baton: threading.Lock = field(default_factory=threading.Lock)
    over: bool = False


class Baton:
    """Time and its actors. now: microseconds since the scene's start."""

    def __init__(self) -> None:
        self.now = 0
        self.stopped = False
        self.crash: BaseException | None = None
        self.running: Actor | None = None
        self._actors: list[Actor] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._end = threading.Lock()

    def at(self, when: int, event: Callable[[], None]) -> None:
        """Let something happen at a time (now, if that has passed)."""
        self._serial += 1
        heapq.heappush(self._events, (max(when, self.now), self._serial, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen after a while."""
        self.at(self.now + round(seconds * SECOND), event)

    def start(self, name: str, run: Callable[[], None], delay: float = 0.0) -> Actor:
        """Add an actor that begins after a while."""
        actor = Actor(name, self.now + round(delay * SECOND), run)
        actor.baton.acquire()
        self._actors.append(actor)
        threading.Thread(target=self._body, args=(actor,), name=name, daemon=True).start()
        return actor

    def play(self) -> None:
        """Run until nobody is left or somebody said `stop`; raises what crashed."""
        self._end.acquire()
        self._hand_on(None)
        self._end.acquire()
        if self.crash is not None:
            raise self.crash

    def stop(self) -> None:
        """End the run: every actor is killed where it waits."""
        self.stopped = True

    def rest(self, until: int) -> None:
        """Let the running actor wait until a time; others, and the world, go on meanwhile."""
        actor = self.running
        assert actor is not None
        actor.wake = max(until, self.now)
        self._hand_on(actor)
        if self.stopped:
            raise Killed

    def _body(self, actor: Actor) -> None:
        actor.baton.acquire()
        try:
            if not self.stopped:
                actor.run()
        except Killed:
            pass
        except BaseException as error:
            self.crash = self.crash or error
            self.stopped = True
        actor.over = True
        self._actors.remove(actor)
        self._hand_on(None)

    def _hand_on(self, me: Actor | None) -> None:
        """Let time pass to whatever comes next; return when it is `me`, at once without one."""
        chosen = self._next()
        if chosen is me and me is not None:
            self.running = me
            return
        self.running = chosen
        if chosen is None:
            self._end.release()
        else:
            chosen.baton.release()
        if me is not None:
            me.baton.acquire()

    def _next(self) -> Actor | None:
        while True:
            if self.stopped:
                return self._actors[0] if self._actors else None
            first = min(self._actors, key=lambda actor: actor.wake, default=None)
            if self._events and (first is None or self._events[0][0] <= first.wake):
                if first is None:
                    return None  # a world in which nobody is left
                when, _, event = heapq.heappop(self._events)
                self.now = max(self.now, when)
                try:
                    event()
                except BaseException as error:
                    self.crash = self.crash or error
                    self.stopped = True
                continue
            if first is not None:
                self.now = max(self.now, first.wake)
            return first
