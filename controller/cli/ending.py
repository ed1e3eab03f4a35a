"""How `apply` ends: the outcome on the wire, the exit code, and the commands that make sense then.

Pure: a tick in, an ending out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controller.cli.stops import Code
from controller.engine import hints
from controller.engine.decision import State
from controller.engine.events import Finished
from controller.engine.lost import Lost
from controller.engine.moves import expected_split
from controller.engine.observation import Seen
from controller.engine.split import split_text
from controller.engine.watching import served_in_stage
from controller.reconciler import Tick

_OF_OUTCOME = {
    "promoted": Code.DONE,
    "rolled_back": Code.ROLLED_BACK,
    "cancelled": Code.SPLIT,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """What is said last, and the exit code. is_done: the rollout has its outcome."""

    finished: Finished
    code: int
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The ending in one region of several. place: what another command needs to mean it."""

    region: str
    place: str
    ending: Ending


_WORST_FIRST = (
    "error",
    "taken_over",
    "cancelled",
    "rolled_back",
    "waiting",
    "in_progress",
    "promoted",
    "nothing_to_do",
)


def of_all(parts: Sequence[Part], place: str) -> Ending:
    """Return the ending of a rollout in several regions: the worst one's, and each one's outcome.

    Where one rolled back, the way to revert the earlier ones is told: they stay promoted. place:
    what commands call them all.
    """
    rank = {outcome: number for number, outcome in enumerate(_WORST_FIRST)}
    worst = min(parts, key=lambda part: rank[part.ending.finished.outcome])
    ended = worst.ending.finished
    outcomes = {one.region: one.ending.finished.outcome for one in parts}
    commands = ended.next
    if set(outcomes.values()) == {"promoted"}:
        commands = (f"rollout history {place}", f"rollout rollback {place} --all-regions")
    elif ended.outcome == "in_progress":
        commands = onward(place)
    elif ended.outcome in ("rolled_back", "cancelled", "taken_over"):
        serves = ("promoted", "nothing_to_do")  # the latter: promoted by an earlier run
        kept = [one.place for one in parts if outcomes[one.region] in serves]
        commands += tuple(f"rollout rollback {one}" for one in kept)
    alike = [region for region, outcome in outcomes.items() if outcome == ended.outcome]
    spans = [one.ending.finished.took for one in parts if one.ending.finished.took is not None]
    counts = [one.ending.finished.served or 0 for one in parts]
    finished = replace(
        ended,
        at=max(one.ending.finished.at for one in parts),
        reason=f"in {', '.join(alike)}: {ended.reason}",
        took=max(spans, default=None),
        served=sum(counts),
        next=commands,
        regions=outcomes,
    )
    return Ending(finished, worst.ending.code, all(one.ending.is_done for one in parts))


def onward(place: str) -> tuple[str, ...]:
    """Return what goes on with a rollout in all its regions, shows it, and puts it back."""
    back = f"rollout rollback {place} --all-regions"
    return hints.go_on(place), f"rollout status {place}", back


def of_done(tick: Tick, place: str, served: int) -> Ending | None:
    """Return the ending of a rollout that is done, None while it is not."""
    record = tick.decision.record
    outcome = record.outcome
    if tick.decision.state is not State.DONE or outcome is None or tick.problem:
        return None
    commands = {
        "promoted": (f"rollout history {place}", f"rollout rollback {place}"),
        "rolled_back": (f"rollout history {place}",),
        "cancelled": (f"rollout rollback {place}", f"rollout history {place}"),
    }
    reason = outcome.reason
    if outcome.outcome == "promoted":
        reason += f"; traffic stays pinned to {record.candidate}"
    if outcome.outcome == "cancelled":
        reason += f"; traffic stays {split_text(split_of(tick))}, nobody watches"
    return Ending(
        Finished(
            tick.at,
            outcome.outcome,
            reason,
            split_of(tick),
            outcome.at - record.started,
            max(served, record.served),
            commands[outcome.outcome],
        ),
        _OF_OUTCOME[outcome.outcome],
        is_done=True,
    )


def of_open(tick: Tick, place: str, served: int, why: str = "") -> Ending:
    """Return the ending of a command that leaves while the rollout is not done.

    why: what made it leave (time limit, signal), beside what the rollout waits for.
    """
    decision = tick.decision
    reason = f"{why}; {decision.reason}" if why else decision.reason
    if decision.state is State.TAKEN_OVER:
        split = split_text(split_of(tick))
        reason += f"; traffic is {split}, nobody watches"
        commands = hints.of_taken_over(decision.record, tick.observation, place)
        if any(line.startswith("rollout resume ") for line in commands):
            reason += " until it is resumed"
        outcome, code = "taken_over", Code.SPLIT
    elif decision.only_a_person:
        commands = hints.of_a_person(decision.record, place)
        outcome, code = "waiting", Code.WAITING
    else:
        commands = (
            hints.go_on(place),
            f"rollout status {place}",
            f"rollout rollback {place}",
        )
        outcome, code = "in_progress", Code.IN_PROGRESS
    took = tick.at - decision.record.started
    return Ending(Finished(tick.at, outcome, reason, split_of(tick), took, served, commands), code)


def of_lost(at: datetime, lost: Lost, place: str, why: str = "") -> Ending:
    """Return the ending of a command that finds a rollout whose record vanished: taken over.

    why: what hinders it, where that is more.
    """
    commands = hints.of_lost(lost, place)
    finished = Finished(at, "taken_over", why or lost.told, lost.asked, next=commands)
    return Ending(finished, Code.SPLIT)


def of_error(at: datetime, reason: str, last: Tick | None, place: str) -> Ending:
    """Return the ending of a command that an error stops: 6 while traffic is split, else 1."""
    split: Mapping[str, int] = split_of(last) if last else {}
    is_split = len(split) > 1
    commands = (f"rollout status {place}", f"rollout rollback {place}") if is_split else ()
    return Ending(
        Finished(at, "error", reason, split, next=commands), Code.SPLIT if is_split else Code.ERROR
    )


def split_of(tick: Tick) -> Mapping[str, int]:
    """Return revision → percent as this tick left it, as far as it is known."""
    decision = tick.decision
    if decision.write is not None and not tick.problem:
        shares = [(t.revision, t.percent) for t in decision.write.targets if t.percent]
        if all(name for name, _ in shares):
            return {name: percent for name, percent in shares if name}
    match tick.observation.service:
        case Seen(service):
            return service.asked
        case _:
            return expected_split(decision.record)


def served_so_far(tick: Tick) -> int:
    """Return the requests the candidate is known to have served, up to this tick."""
    record = tick.decision.record
    if tick.plan is None or record.in_force is None:
        return record.served
    return record.served + served_in_stage(tick.plan, record)
