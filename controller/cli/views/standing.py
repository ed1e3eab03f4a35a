"""Where a rollout stands, read from its service alone: for `status`, `history` and last lines.

Pure: a service state and the time in, values, lines and JSON out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from controller.cli.views.json import seconds, time, verdict_values
from controller.cli.views.text import OUTCOMES, sentence, stamp
from controller.engine import hints
from controller.engine.asking import WAITS
from controller.engine.codec import plan_of, read
from controller.engine.decision import State
from controller.engine.lost import Lost, ended_here, lost_of
from controller.engine.moves import expected_split, state_of
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import Phase, Record
from controller.engine.split import split_text
from controller.engine.telling import whose_hand
from controller.engine.watching import held, hold_of, terms_of, unwatched_after
from controller.engine.wording import minutes_shown
from controller.gates.judging import judge
from controller.gates.verdict import Verdict, word
from controller.plan.model import Plan
from controller.plan.window import closed_text, is_open, next_opening, rule_text, state_text


@dataclass(frozen=True, slots=True)
class Standing:
    """A service and its rollout at one time.

    record None: there is none, or `unreadable` says why it cannot be read; with a state it
    vanished. age: since the record
    was written. unwatched: nobody can be looking any more. waits: what for, a sentence.
    """

    name: ServiceName
    at: datetime
    split: Mapping[str, int]
    record: Record | None = None
    plan: Plan | None = None
    state: State | None = None
    unreadable: str = ""
    age: timedelta | None = None
    unwatched: bool = False
    waits: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    next: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """Return the state in one word; of an ended rollout its outcome."""
        if self.state is None:
            return "unreadable" if self.unreadable else "none"
        outcome = self.record.outcome if self.record else None
        return outcome.outcome if outcome else self.state.value


def standing(service: ServiceState, now: datetime, target: str) -> Standing:
    """Return where the service's rollout stands. target: what commands call the service."""
    split = service.in_force or service.asked
    lost = lost_of(service)
    if lost is not None:
        return _lost(lost, Standing(service.name, now, split, next=hints.of_lost(lost, target)))
    if service.record_text is None:
        ended = ended_here(service)
        return Standing(service.name, now, split, waits=ended, next=_apply(target))
    record = read(service.record_text)
    plan = plan_of(record.plan) if record.phase is not Phase.DONE else None
    if record.uid != service.uid:
        text = "the service was deleted and made anew: the old record is ignored"
        return Standing(service.name, now, split, waits=text, next=_apply(target))
    over = record.phase is Phase.DONE
    taken = not over and service.asked != expected_split(record)
    state = State.TAKEN_OVER if taken else state_of(record)
    age = None if record.at is None else max(now - record.at, timedelta(0))
    unwatched = plan is not None and age is not None and age > unwatched_after(plan, record, now)
    return Standing(
        name=service.name,
        at=now,
        split=split,
        record=record,
        plan=plan,
        state=state,
        age=age,
        unwatched=unwatched,
        waits=_in_line(record, state) or _waits(service, record, plan, state, now),
        verdicts=_verdicts(plan, record),
        next=_next(record, state, target, unwatched=unwatched),
    )


def _lost(lost: Lost, here: Standing) -> Standing:
    """Return where a rollout stands whose record is lost: taken over, where it vanished."""
    if lost.text is None:
        return replace(here, state=State.TAKEN_OVER, waits=lost.told)
    return replace(here, unreadable=lost.why)


def _verdicts(plan: Plan | None, record: Record) -> dict[str, Verdict]:
    if plan is None or not 0 <= record.stage < len(plan.stages):
        return {}
    return {
        gate.name: judge(gate, terms_of(plan, record, gate), record.gates[gate.name].state)
        for gate in plan.gates_at(record.stage)
        if gate.name in record.gates
    }


def _in_line(record: Record, state: State) -> str:
    """Tell which region must be promoted first, "" where it is this one's turn."""
    first = "" if state is State.TAKEN_OVER else record.waits_for
    return f"{first} to be promoted; then this begins" if first else ""


def _waits(
    service: ServiceState, record: Record, plan: Plan | None, state: State, now: datetime
) -> str:
    match state:
        case State.TAKEN_OVER:
            who = whose_hand(record, service)
            wanted, asked = split_text(expected_split(record)), split_text(service.asked)
            return f"{who} changed the traffic to {asked}; the rollout had asked for {wanted}"
        case State.ASKING if record.ask is not None:
            since = minutes_shown(now - record.ask.since)
            return f"a person, for {since}: {record.ask.reason}"
        case State.PAUSED if record.paused is not None:
            why = f": {record.paused.reason}" if record.paused.reason else ""
            return f"`resume`; {record.paused.by} paused it{why}"
        case State.SHIFTING:
            return f"{split_text(expected_split(record))} to come into force"
        case State.STARTING | State.RUNNING if plan is not None and _is_ready(record):
            return _window_waited_for(plan, now)
        case State.STARTING:
            return "the checks before the first shift"
        case State.ROLLING_BACK:
            return f"all traffic to be on {record.stable} again"
        case State.RUNNING if plan is not None:
            left = max(hold_of(plan, record) - held(record, now), timedelta(0))
            if left:
                return f"the hold at {record.weight}%, {minutes_shown(left)} more"
            return f"the evidence at {record.weight}%; the hold is over"
        case _:
            return ""


def _is_ready(record: Record) -> bool:
    """Tell whether nothing but the window is waited for."""
    return bool(record.transitions) and record.transitions[-1].what == WAITS


def _window_waited_for(plan: Plan, now: datetime) -> str:
    rule = plan.when.advance_only
    if rule is None or is_open(rule, now):
        return "the next look: the window is open"
    return closed_text(rule, now).replace("the window opens", "the window, which opens")


def _apply(target: str) -> tuple[str, ...]:
    """Return the command that begins or goes on; it needs a plan, which a service's name is not."""
    return ("rollout apply PLAN" if " --project " in target else f"rollout apply {target}",)


def _back(target: str) -> tuple[str, ...]:
    return (f"rollout rollback {target}",)


def _next(record: Record, state: State, target: str, *, unwatched: bool) -> tuple[str, ...]:
    go_on = (hints.go_on(target),) if unwatched else ()
    match state:
        case State.DONE:
            promoted = record.outcome is not None and record.outcome.outcome == "promoted"
            return (f"rollout history {target}", *(_back(target) if promoted else ()))
        case State.ASKING | State.PAUSED:
            return (*hints.of_a_person(record, target), *go_on)
        case State.TAKEN_OVER:
            return (f"rollout resume {target}", *_back(target), f"rollout cancel {target}")
        case _:
            return (*go_on, *_back(target))


# Told -----------------------------------------------------------------------------------------


def lines(here: Standing) -> tuple[str, ...]:
    """Return it as lines for people."""
    name, record = here.name, here.record
    told = [f"{name.service} ({name.project}, {name.region}): {_headline(here)}"]
    told.append(f"traffic    {split_text(here.split)}")
    if here.unreadable:
        told.append(here.unreadable)
    if record is not None:
        told.append(f"candidate  {record.candidate}, stable {record.stable}")
        told.append(f"rollout    {record.rollout}, begun {stamp(record.started)} by {record.by}")
    told += [f"gate       {name}: {word(v)}, {v.reason}" for name, v in here.verdicts.items()]
    if here.state is State.RUNNING and not here.verdicts:
        told.append("gates      none in the record yet: `status --now` asks Monitoring")
    if here.waits:
        told.append(f"waits for  {here.waits}" if record else here.waits)
    if here.plan is not None and here.plan.when.advance_only is not None:
        told.append(f"window     {state_text(here.plan.when.advance_only, here.at)}")
    if here.age is not None:
        told.append(f"as of      {minutes_shown(here.age)} ago{_watched(here)}")
    told += [f"next: {command}" for command in here.next]
    return tuple(told)


def _headline(here: Standing) -> str:
    state = OUTCOMES.get(here.word, here.word.replace("_", " "))
    record = here.record
    if record is None:
        return "no rollout" if here.word == "none" else state
    if record.outcome is not None:
        return sentence(here.word, record.outcome.reason)
    if here.plan is None or record.stage < 0:
        return state
    return f"{state}, stage {record.stage + 1} of {len(here.plan.stages)} at {record.weight}%"


def _watched(here: Standing) -> str:
    if not here.unwatched:
        return ""
    return "; UNWATCHED: no controller has looked for too long, and no gate can roll it back"


def plain(here: Standing) -> dict[str, Any]:
    """Return it as JSON values. stage counts from 1, 0 before the first shift."""
    record, plan = here.record, here.plan
    values: dict[str, Any] = {
        "version": 1,
        "project": here.name.project,
        "region": here.name.region,
        "service": here.name.service,
        "at": time(here.at),
        "state": here.word,
        "split": dict(here.split),
        "waits_for": here.waits or None,
        "next": list(here.next),
    }
    if here.unreadable:
        values["unreadable"] = here.unreadable
    if record is None:
        return values
    return values | {
        "rollout": record.rollout,
        "candidate": record.candidate,
        "stable": record.stable,
        "started": time(record.started),
        "by": record.by,
        "stage": record.stage + 1,
        "stages": len(plan.stages) if plan else None,
        "weight": record.weight,
        "asked": record.ask and {"kind": record.ask.kind.value, "reason": record.ask.reason},
        "age_s": None if here.age is None else seconds(here.age),
        "unwatched": here.unwatched,
        "window": _window(plan, here.at),
        "gates": {name: verdict_values(verdict) for name, verdict in here.verdicts.items()},
    }


def _window(plan: Plan | None, now: datetime) -> dict[str, Any] | None:
    """Return the plan's window; opens: the instant from which on it is open, null if never."""
    rule = plan.when.advance_only if plan else None
    if rule is None:
        return None
    opens = next_opening(rule, now)
    return {
        "rule": rule_text(rule),
        "open": is_open(rule, now),
        "opens": None if opens is None else time(opens),
    }
