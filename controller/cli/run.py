"""One run of `apply`: what it shows, how long it stays, and the legs it follows, one a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from controller.cli import ending
from controller.cli.ending import Ending
from controller.cli.stops import Code, Refused
from controller.cli.wiring import wall_clock
from controller.engine.events import Message
from controller.engine.lost import Lost
from controller.engine.observation import ServiceName
from controller.engine.record import Ask, AskKind
from controller.reconciler import Reconciler, Tick

if TYPE_CHECKING:
    from controller.cli.views import View
    from controller.cli.wiring import Connection


@dataclass(slots=True)
class Leg:
    """What a run follows in one region: the rollout of one service, and what was last seen of it.

    place: what another command needs to mean it. region: "" where it is the only one. due: when to
    look next. end: how it ended, or why this run follows it no longer.
    """

    name: ServiceName
    place: str
    view: View
    reconciler: Reconciler
    region: str = ""
    last: Tick | None = None
    served: int = 0
    asked: datetime | None = None
    due: datetime | None = None
    end: Ending | None = None


@dataclass(slots=True)
class Run:
    """One run of `apply`.

    place: what the command was about. names: the service in each region, in the plan's order.
    observes: no traffic is moved. answer: what is done when a person is asked; None: a scenario's
    people are told. over: the lost records that may be replaced, as they were shown.
    """

    view: View
    timeout: timedelta | None = None
    no_wait: bool = False
    place: str = ""
    connection: Connection | None = None
    names: tuple[ServiceName, ...] = ()
    legs: tuple[Leg, ...] = ()
    leaving: str = ""
    is_finished: bool = False
    observes: bool = False
    answer: Callable[[Ask], None] | None = None
    over: Mapping[ServiceName, Lost] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the time of the world; before there is one, the system's."""
        return self.connection.now() if self.connection else wall_clock()

    @property
    def current(self) -> Leg | None:
        """Return the leg under way: the first that has not ended, else the last."""
        under_way = (leg for leg in self.legs if leg.end is None)
        return next(under_way, self.legs[-1] if self.legs else None)

    @property
    def last(self) -> Tick | None:
        """Return what was last seen of the leg under way."""
        return self.current.last if self.current else None

    def message(self, level: str, text: str, leg: Leg | None = None) -> None:
        """Show a sentence, of one leg or of the whole."""
        (leg or self).view.show(Message(self.now(), level, text))

    def saw(self, leg: Leg, tick: Tick) -> None:
        """Show a tick and remember it."""
        leg.last = tick
        leg.served = max(leg.served, ending.served_so_far(tick))
        leg.view.tick(tick)
        ask = tick.decision.record.ask
        if ask is not None and not tick.problem and ask.since != leg.asked:
            leg.asked = ask.since
            self._tell_people(ask)

    def _tell_people(self, ask: Ask) -> None:
        """Let a scenario's people know what is asked: by the record, for an event may be lost."""
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
        if isinstance(stop, Refused):
            return False
        split = ending.split_of(self.last) if self.last else {}
        return stop.exit_code == Code.ERROR and len(split) > 1 and not self.observes
