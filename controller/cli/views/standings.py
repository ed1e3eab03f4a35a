"""Many rollouts at a time: a table for people, what needs somebody first.

Pure: standings in, lines out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from controller.cli.views import text
from controller.cli.views.standing import Standing
from controller.engine.decision import State
from controller.engine.wording import minutes_shown

NONE = "no rollout ever ran on any service there"
_FIRST = (State.TAKEN_OVER, State.ASKING, State.PAUSED, State.ROLLING_BACK)


def order(here: Standing) -> tuple[int, float, str, str]:
    """Return what to sort by: unwatched, unreadable, needing a person, under way, ended."""
    name = (here.name.region, here.name.service)
    if here.unwatched:
        return (0, -_seconds(here.age), *name)
    if here.unreadable:
        return (1, 0, *name)
    if here.state in _FIRST:
        return (2 + _FIRST.index(here.state), 0, *name)
    if here.state is State.DONE:
        return (9, _seconds(here.age), *name)
    return (8, 0, *name)


def _seconds(age: timedelta | None) -> float:
    return age.total_seconds() if age is not None else 0.0


def lines(found: Sequence[Standing], *, width: int | None) -> Iterator[str]:
    """Yield the table in the order given. width: of the terminal, None where lines may be long."""
    if not found:
        yield NONE
        return
    yield from text.table([_HEADER, *map(_row, found)], width=width)


_HEADER = ("SERVICE", "REGION", "STATE", "STAGE", "BEGUN", "WRITTEN", "WAITS FOR")


def _row(here: Standing) -> tuple[str, ...]:
    record, plan = here.record, here.plan
    state = text.OUTCOMES.get(here.word, here.word.replace("_", " "))
    if here.unwatched:
        state = f"UNWATCHED, {state}"
    stage = "-"
    if record is not None and plan is not None and record.stage >= 0:
        stage = f"{record.stage + 1} of {len(plan.stages)}, {record.weight}%"
    begun = minutes_shown(here.at - record.started) if record is not None else "-"
    written = f"{minutes_shown(here.age)} ago" if here.age is not None else "-"
    why = here.unreadable or here.waits
    if record is not None and record.outcome is not None:
        why = record.outcome.reason
    return here.name.service, here.name.region, state, stage, begun, written, why
