"""How `apply` begins, or attaches, in one region or in several. What to write is the engine's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click

from controller.cli import ending, questions
from controller.cli.ending import Ending
from controller.cli.run import Leg, Run
from controller.cli.stops import Code, Stop
from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.decision import Action, Refusal, State
from controller.engine.events import Finished, Started
from controller.engine.lost import Lost, lost_of
from controller.engine.observation import ServiceName
from controller.reconciler import Reconciler, Tick

Stay = Callable[[Leg], None]
"""Follow one leg until it ends."""


def begin_all(run: Run, wish: Wish, stay: Stay) -> None:
    """Begin or attach in every region, the last one first.

    A run that dies in between leaves records that wait for a region not begun: nothing starts out
    of turn, and the same command again goes on. Nothing is written where any region refuses.
    Raises PortError and Stop.
    """
    after = {leg.name: "" for leg in run.legs}
    if len(run.legs) > 1:
        wish, after = _looked_ahead(run, wish)
    for leg in reversed(run.legs):
        over = run.over.get(leg.name)
        _begin(run, leg, replace(wish, after=after[leg.name], over=over), stay)


def may_replace(run: Run, *, ask: bool) -> dict[ServiceName, Lost]:
    """Return the lost records that `--replace` may write over, each as a person was shown it.

    ask: nobody said --yes. One that will be refused is not asked about. Raises PortError, and Stop
    where the answer is no, or nobody can give one.
    """
    assert run.connection is not None
    found: dict[ServiceName, Lost] = {}
    for name in run.names:
        lost = lost_of(run.connection.ports.router.observe(name))
        if lost is None:
            continue
        found[name] = lost
        if not ask or lost.under_way:
            continue
        where = f"{name.region}: " if len(run.names) > 1 else ""
        asked = f"{where}{questions.over(lost)}Begin a new rollout from this split?"
        again = f"rollout apply {run.place} --replace --yes"
        try:
            questions.confirm("apply --replace", asked, lost, again)
        except click.Abort as error:
            raise Stop("the answer was no: nothing was written") from error
    return found


def _looked_ahead(run: Run, wish: Wish) -> tuple[Wish, dict[ServiceName, str]]:
    """Return the wish under the id of what runs already, and whom each region waits for."""
    after: dict[ServiceName, str] = {}
    before = ""
    for leg in run.legs:
        for event in leg.reconciler.make_up():  # before any region may refuse
            leg.view.show(event)
        begun, _ = leg.reconciler.preview(replace(wish, over=run.over.get(leg.name)))
        if isinstance(begun, Refusal):
            raise Stop(f"{leg.region}: {begun.reason}", begun.mend, begun.exit_code)
        if isinstance(begun, Attach):
            wish = replace(wish, rollout=begun.record.rollout)
        after[leg.name] = before
        if not isinstance(begun, Nothing):
            before = leg.region
    return wish, after


def _begin(run: Run, leg: Leg, wish: Wish, stay: Stay) -> None:
    """Begin or attach; the leg has an end where there is nothing to follow."""
    for event in leg.reconciler.make_up():
        leg.view.show(event)
    begun = leg.reconciler.begin(wish)
    match begun:
        case Refusal(reason, mend, code):
            lost = leg.reconciler.lost() if code == Code.SPLIT else None
            if lost is None:
                raise Stop(reason, mend, code)
            leg.end = ending.of_lost(run.now(), lost, leg.place, reason)
        case Nothing(reason):
            leg.end = Ending(Finished(run.now(), "nothing_to_do", reason), Code.DONE, is_done=True)
        case Attach(record, plan, _):
            stages = tuple((stage.weight, stage.hold) for stage in plan.stages)
            names = (record.rollout, plan.service, record.candidate, record.stable)
            history = record.history
            leg.view.show(Started(run.now(), *names, stages, attached=True, history=history))
        case Tick():
            run.saw(leg, begun)
            if Action.ROLL_BACK is begun.decision.action or begun.decision.state is State.DONE:
                _replaced(run, leg, wish, begun, stay)


def _replaced(run: Run, leg: Leg, wish: Wish, begun: Tick, stay: Stay) -> None:
    """--replace: see the running one rolled back, then begin the new one, unless told to leave."""
    old = leg.reconciler
    if begun.decision.state is not State.DONE:
        stay(leg)
        if leg.end is None or leg.end.code != Code.ROLLED_BACK:
            return
    leg.end, leg.due = None, None
    leg.reconciler = Reconciler(old.ports, old.name, old.controller)
    _begin(run, leg, wish, stay)
