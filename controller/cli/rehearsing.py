"""One quiet rollout in a world of its own, as `apply --scenario` would make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from controller.cli.stops import Stop
from controller.engine.events import Event, Finished
from controller.ports import PortError

if TYPE_CHECKING:
    from controller.cli.wiring import Connection
    from controller.engine.observation import ServiceName
    from controller.plan.model import Plan
    from controller.reconciler import Tick


@dataclass(frozen=True, slots=True)
class Job:
    """What to rehearse. It goes to another process: values only. number: from 1."""

    number: int
    seed: int
    name: ServiceName
    plan: Plan
    scenario: str


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How one rehearsal ended. outcome: a word of `finished`. took: in the world's time.

    excess: how many requests of users failed (5xx) on the candidate beyond stable's rate in the
    same minutes, by the world's truth; below 0 where it was better.
    """

    number: int
    seed: int
    outcome: str
    reason: str
    took: timedelta | None
    excess: float


class QuietView:
    """Shows nothing and keeps the end."""

    def __init__(self) -> None:
        self.finished: Finished | None = None

    def show(self, event: Event) -> None:
        """Keep the end."""
        if isinstance(event, Finished):
            self.finished = event

    def tick(self, tick: Tick) -> None:
        """Show nothing."""

    def about(self, named: Mapping[str, str]) -> QuietView:
        """Return the same: it shows nothing of anything."""
        del named
        return self

    def close(self) -> None:
        """Nothing is left open."""


def rehearse(job: Job) -> Rehearsed:
    """Walk the plan once; an error is an outcome as well. Runs in whatever process it is called."""
    from controller.cli import wiring

    connection = wiring.rehearse(job.name, job.plan, job.scenario, {}, seed=job.seed)
    began = connection.now()
    try:
        finished = follow_quietly(connection, job.plan)
    except (PortError, Stop) as error:
        why = error.what if isinstance(error, PortError) else error.message
        return Rehearsed(job.number, job.seed, "error", why, None, _excess(connection))
    took = finished.took if finished.took is not None else finished.at - began
    outcome, reason = finished.outcome, finished.reason
    return Rehearsed(job.number, job.seed, outcome, reason, took, _excess(connection))


def follow_quietly(connection: Connection, plan: Plan) -> Finished:
    """Follow a rollout of the plan to its end and return that. Raises PortError and Stop."""
    from controller.cli.apply import rollout_id
    from controller.cli.following import follow
    from controller.cli.run import Run
    from controller.engine.begin import Wish

    view = QuietView()
    run = Run(view, place="PLAN", connection=connection)
    rollout = rollout_id(plan.service, connection.now())
    follow(run, Wish(plan, connection.person(), rollout))
    assert view.finished is not None
    return view.finished


def _excess(connection: Connection) -> float:
    assert connection.rehearsal is not None
    return connection.rehearsal.excess()
