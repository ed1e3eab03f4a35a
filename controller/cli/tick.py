"""`rollout tick`: one pass over some rollouts, or over all there are, and the end.

Here: which services are meant, signals, the exit code. What one pass does is in `passing`, many at
a time in `rounds`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop, as_stop

if TYPE_CHECKING:
    from controller.cli.rounds import Job
    from controller.cli.target import Area, Target
    from controller.cli.views.passes import PassesView
    from controller.cli.wiring import Connection
    from controller.engine.observation import ServiceName, ServiceState
    from controller.engine.record import Record

    Connect = Callable[[ServiceName], Connection]


@click.command("tick")
@options.targets
@click.option("--all", "everything", is_flag=True, help="Every rollout under way in the regions.")
@click.option("--workers", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N",
              help="So many services at a time.")  # fmt: skip
@click.option("--timeout", type=options.Duration(), default="4m", show_default=True,
              help="Leave after this time; the next run does the rest.")  # fmt: skip
@options.variables
@options.output
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    targets: tuple[str, ...],
    project: str | None,
    regions: tuple[str, ...],
    everything: bool,
    workers: int,
    timeout: timedelta,
    variables: dict[str, str],
    output: str,
) -> None:
    """Make one pass over rollouts: look, decide, act, end. A schedule of these is a controller.

    Rollouts begin with `apply --no-wait` and need no plan here: the record on the service has it.
    Only where its checks send secrets name the plan, beside --all as well. Runs may overlap, be
    killed, or come late.

    The exit code is 0 for what goes on or was promoted, 4 where a person is needed, 3 for rolled
    back, 6 where traffic is split or the record vanished and nobody moves it, 1 where a service
    could not be looked at or its record not be read, 5 where the run had to leave before; of
    several services the worst: 6, 3, 1, 4, 5, 0. --all leaves out the rollouts that ended in an
    earlier run.

    \b
    Examples:
      rollout tick ion-api --region us-central1 --project ion-prod
      rollout tick --all --region us-central1,europe-west1 --project ion-prod
      rollout tick plans/ion-api.yaml -o json
    """
    from controller.cli import rounds
    from controller.cli.target import find_many
    from controller.cli.views import passes
    from controller.cli.wiring import connections, wall_clock

    view = passes.make(output, sys.stdout, sys.stderr)
    until = wall_clock() + timeout
    try:
        _check(targets, everything=everything)
        found = find_many(targets, project=project, regions=regions, variables=variables)
        connect = connections(os.environ)
        jobs = [rounds.Job(one) for one in found]
        codes: list[int] = []
        ended: set[ServiceName] = set()
        if everything:
            area = _area(found, project, regions)
            jobs, ended, codes = _under_way(area, found, connect, view)
    except Exception as error:
        view.fail(wall_clock(), as_stop(error))
        raise
    with _signals() as called:
        for passed in rounds.in_rounds(
            lambda job: rounds.pass_over(connect, job),
            jobs,
            workers=workers,
            until=until,
            called=called,
        ):
            view.show(passed)
            told_before = passed.target.name in ended and passed.error is None
            codes.append(Code.DONE if told_before else passed.end.code)
    view.close(wall_clock())
    ctx.exit(rounds.worst(codes))


def _check(targets: Sequence[str], *, everything: bool) -> None:
    if not targets and not everything:
        raise Stop("nothing is named", "name plans or services, or use --all", Code.USAGE)


def _area(found: Sequence[Target], project: str | None, regions: Sequence[str]) -> Area:
    """Return where to look for rollouts: where the named plans' services are, unless it is said."""
    from controller.cli.target import area

    if not found:
        return area(project, regions)
    there = regions or tuple(dict.fromkeys(one.name.region for one in found))
    return area(found[0].name.project, there)


def _under_way(
    area: Area, found: Sequence[Target], connect: Connect, view: PassesView
) -> tuple[list[Job], set[ServiceName], list[int]]:
    """Return a job for each rollout to look at, and an error's code for each lost region.

    Those are the ones that are not done; and those that ended, named too, where somebody was not
    told of it yet.
    """
    from controller.cli.regions import regions_of
    from controller.cli.rounds import Job
    from controller.cli.target import Target

    named = {one.name: one for one in found}
    jobs: list[Job] = []
    ended: set[ServiceName] = set()
    codes: list[int] = []
    for region in regions_of(area, connect):
        if region.lost is not None:
            view.warn(region.name, region.at, region.lost)
            codes.append(Code.ERROR)
        owing = {one.name for one in region.services if _owes(one, region.at)}
        ended |= owing
        jobs += [
            Job(named.get(one.name) or Target(one.name.service, one.name), one, region.at)
            for one in region.services
            if one.name in owing or _is_under_way(one)
        ]
    return jobs, ended, codes


def _is_under_way(service: ServiceState) -> bool:
    """Tell whether there is a rollout to look at; of one whose record is lost, that is told."""
    from controller.engine.lost import lost_of
    from controller.engine.record import Phase

    if lost_of(service) is not None:
        return True
    record = _record_on(service)
    return record is not None and record.phase is not Phase.DONE


def _owes(service: ServiceState, now: datetime) -> bool:
    """Tell whether a rollout that ended still owes somebody a message."""
    from controller.engine.codec import Unreadable
    from controller.engine.record import Phase
    from controller.engine.telling import owes

    try:
        record = _record_on(service)
    except Unreadable:
        return False
    if record is None or record.phase is not Phase.DONE:
        return False
    return owes(record, service.name, now)


def _record_on(service: ServiceState) -> Record | None:
    """Return the service's own record; raises Unreadable."""
    from controller.engine.codec import decode

    if service.record_text is None:
        return None
    record = decode(service.record_text)
    return record if record.uid == service.uid else None


@contextmanager
def _signals() -> Iterator[Callable[[], str]]:
    """Let SIGINT and SIGTERM be asked for, instead of ending the process at once."""
    heard: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return

    def hear(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(signal.Signals(number).name)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: heard[0] if heard else ""
    finally:
        for number, what in before.items():
            signal.signal(number, what)
