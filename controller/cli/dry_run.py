"""`apply --dry-run`: what would be done, in order, with traffic before → after. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from controller.cli.ending import Ending
from controller.cli.stops import Code, Stop
from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.decision import Decision, Refusal
from controller.engine.events import Finished
from controller.engine.observation import ServiceName
from controller.engine.record import Record
from controller.engine.split import shares, split_text
from controller.engine.wording import minutes_shown
from controller.plan.model import CheckWhen, Plan
from controller.reconciler import Reconciler

if TYPE_CHECKING:
    from controller.cli.run import Run


def rehearsed(run: Run, wish: Wish) -> int:
    """Show what `apply` would do now and return the exit code; raises PortError and Stop."""
    assert run.connection is not None
    ports, names = run.connection.ports, run.names
    reason, split = _told(run, wish, Reconciler(ports, names[0]), _head(names, 0))
    for number, name in enumerate(names[1:], 1):
        reason, _ = _told(run, wish, Reconciler(ports, name), _head(names, number))
        split = {}
    image = f" --image {wish.image}" if wish.image else ""
    over = " --replace" if run.over else ""
    return _end(run, reason, split, f"rollout apply {run.place}{image}{over}")


def _head(names: Sequence[ServiceName], number: int) -> str:
    """Return the line that stands before a region's part, "" where there is only one."""
    if len(names) == 1:
        return ""
    before = f", when {names[number - 1].region} is promoted" if number else ""
    return f"{names[number].region}{before}:"


def _told(run: Run, wish: Wish, reconciler: Reconciler, head: str) -> tuple[str, Mapping[str, int]]:
    """Show what would be done in one region; return how that ends, and the split now."""
    if head:
        run.message("info", head)
    begun, service = reconciler.preview(replace(wish, over=run.over.get(reconciler.name)))
    lines: tuple[str, ...]
    match begun:
        case Refusal(reason, mend, code):
            raise Stop(reason, mend, code)
        case Nothing(reason):
            return reason, service.asked
        case Attach(record, plan, _):
            run.message("info", f"would attach to rollout {record.rollout} of {record.candidate}")
            lines = _stages(plan, record, record.stage + 1)
        case Decision(record=record, events=events):
            run.message("info", "dry run, nothing is written; it would go like this:")
            for event in events:
                run.view.show(event)
            run.message("info", f"would begin: {begun.reason}")
            if begun.write is not None and begun.write.deploy is not None:
                deploy = begun.write.deploy
                run.message("info", f"would deploy {deploy.revision} of {deploy.image}, at 0%")
            lines = (*_checks(wish.plan), *_stages(wish.plan, record, 0))
    for line in lines:
        run.message("info", line)
    return "dry run: nothing was written", service.asked


def _end(run: Run, reason: str, split: Mapping[str, int], command: str) -> int:
    finished = Finished(run.now(), "nothing_to_do", reason, split, next=(command,))
    return run.finish(Ending(finished, Code.DONE))


def _checks(plan: Plan) -> tuple[str, ...]:
    sent = [check.name for check in plan.checks if check.when is not CheckWhen.STAGES]
    return (f"would send the checks {', '.join(sent)}",) if sent else ()


def _stages(plan: Plan, record: Record, first: int) -> tuple[str, ...]:
    """Return a line for each stage still to come."""
    lines = []
    weight = record.weight
    for number, stage in enumerate(plan.stages[first:], first):
        before = split_text(shares(record.before, record.candidate, weight))
        after = split_text(shares(record.before, record.candidate, stage.weight))
        gates = ", ".join(gate.name for gate in plan.gates_at(number)) or "no gates"
        approval = "after an approval, " if stage.approval else ""
        lines.append(
            f"stage {number + 1}: {approval}{before} → {after}, "
            f"held {minutes_shown(stage.hold)}, judged by {gates}"
        )
        weight = stage.weight
    return (*lines, f"then promote {record.candidate}")
