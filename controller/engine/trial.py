"""Both revisions are failing: an incident, or the candidate breaking what they share? Pure.

A comparison with stable cannot tell. So, once a stage, the candidate's weight is lowered as a
test. Did all failures fall? Then it goes up once more, and failing again tells that it was us.
They stayed? Then it is an incident, and the rollout goes on when that is over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine import moves
from controller.engine.asking import ask_once, kept
from controller.engine.decision import Decision
from controller.engine.events import Message
from controller.engine.observation import ServiceState
from controller.engine.record import Accumulated, AskKind, Record, Trial
from controller.engine.watching import (
    Watched,
    interval,
    may_be_tested,
    relapse_until,
    seen_since_raised,
    terms_of,
)
from controller.gates.betting import NOTHING, Question, needed
from controller.gates.intervals import lower, upper
from controller.gates.state import relieved
from controller.gates.verdict import Undecided, Verdict, Why
from controller.gates.wording import count_text
from controller.plan.model import Gate, OnFail, Plan
from controller.plan.window import closed_text, is_open, next_opening

NEAR_A_SHIFT = timedelta(minutes=11)  # a minute to settle, and ten
LONG = timedelta(hours=1)
SUFFERED_LEAST = 20  # bad requests, before what falls can be told from what fell
SUFFERED_FOR = timedelta(minutes=10)
TEST_MOST = timedelta(hours=1)
LEVEL = 0.05
STILL = 0.8  # of the bad share before: above that it has not fallen
AGAIN = 0.5  # of that: below it nothing has come back
TOLD = "both failing since"  # of which incident a person was asked, among what was told
PROVED = -math.log(LEVEL)


def failing_with_stable(plan: Plan, verdicts: Mapping[str, Verdict]) -> dict[str, Undecided]:
    """Return the gates that the candidate breaks together with stable; what only observes, not."""
    observes = {
        gate.name for gate in (*plan.gates, *plan.own_gates) if gate.on_fail is OnFail.OBSERVE
    }
    return {
        name: verdict
        for name, verdict in verdicts.items()
        if isinstance(verdict, Undecided)
        and verdict.why is Why.BOTH_FAILING
        and name not in observes
    }


def is_over(plan: Plan, record: Record, verdicts: Mapping[str, Verdict]) -> bool:
    """Tell whether what both revisions failed is over."""
    if record.trial is not None:
        return record.trial.well.log_evidence >= PROVED
    return not failing_with_stable(plan, verdicts)


def proved_guilty(record: Record, service: ServiceState, now: datetime) -> Decision | None:
    """Roll back if the failures fell with the weight and came back with it, whoever waits."""
    trial = record.trial
    if trial is None or trial.raised is None or not trial.blamed:
        return None
    if trial.stayed.log_evidence < PROVED:
        return None
    bad, requests = trial.seen
    reason = (
        "it was us: the failures of both revisions fell with the candidate's weight and came "
        f"back with it ({count_text(bad)} of {count_text(requests)} requests)"
    )
    return moves.roll_back(record, service, now, reason)


def both_failing(
    plan: Plan, record: Record, service: ServiceState, watched: Watched, now: datetime
) -> Decision | None:
    """Hold, and find out whose failure it is; None where nothing of the kind goes on."""
    if record.ask is not None:
        return None
    if record.trial is not None:
        return _in_trial(plan, record, service, record.trial, now)
    suffering = failing_with_stable(plan, watched.verdicts)
    if not suffering:
        return None
    why = "; ".join(f"{name} {verdict.reason}" for name, verdict in suffering.items())
    since = _since(record, suffering)
    gate = _testable(plan, record, suffering)
    if gate is not None and _is_suspicious(record, gate, now):
        lowered = _lower(plan, record, service, gate, now, why)
        if lowered is not None:
            return lowered
    look = interval(plan, record, now)
    if record.stopped is None:
        still = replace(record, stopped=now)
        said = Message(now, "warning", f"{why}; the hold stands still")
        return moves.note(
            still, service, now, why, look, transition="hold stands still", events=(said,)
        )
    return _ask_of_long(plan, record, service, since, now, why)


def _ask_of_long(
    plan: Plan, record: Record, service: ServiceState, since: datetime, now: datetime, why: str
) -> Decision:
    """Ask a person once an incident is long; once of each."""
    key = f"{TOLD} {since:%Y-%m-%dT%H:%M}"
    if now - since < LONG or key in record.told:
        return kept(plan, record, service, now, why, interval(plan, record, now))
    others = [told for told in record.told if not told.startswith(TOLD)]
    asked = replace(record, told=(*others, key)[-5:])
    return ask_once(plan, asked, service, now, AskKind.BOTH_FAILING, why)


def _since(record: Record, suffering: Mapping[str, Undecided]) -> datetime:
    found = [
        since
        for name in suffering
        if name in record.gates and (since := record.gates[name].state.failing_since)
    ]
    return min(found)


def _testable(plan: Plan, record: Record, suffering: Mapping[str, Undecided]) -> Gate | None:
    """Return the gate whose failures can be counted on both revisions together, if it may be."""
    if record.stage in record.tried:
        return None
    judged = [gate for gate in plan.gates_at(record.stage) if gate.name in suffering]
    rates = [gate for gate in judged if may_be_tested(plan, gate)]
    if record.weight == 100:  # worse than stable was the day before: is it, beside live stable?
        rates = [gate for gate in rates if _is_beyond_reference(plan, record, gate)]
    return next(iter(rates), None)


def _is_beyond_reference(plan: Plan, record: Record, gate: Gate) -> bool:
    found = record.gates[gate.name].state.log_evidence(Question.REFERENCE)
    return record.stage > 0 and found >= needed(
        gate, terms_of(plan, record, gate), Question.REFERENCE
    )


def _is_suspicious(record: Record, gate: Gate, now: datetime) -> bool:
    state = record.gates[gate.name].state
    assert state.failing_since is not None
    assert record.in_force is not None
    near = record.weight == 100 or state.failing_since - record.in_force <= NEAR_A_SHIFT
    lasts = now - state.failing_since
    suffered = state.rise.seen if state.rise is not None else NOTHING
    enough = suffered.mine + suffered.theirs >= SUFFERED_LEAST or lasts >= SUFFERED_FOR
    return enough and (near or lasts >= LONG)


def _lower(
    plan: Plan, record: Record, service: ServiceState, gate: Gate, now: datetime, why: str
) -> Decision | None:
    """Lower the weight; None where nothing of it was yet seen to fail: what should fall?"""
    rise = record.gates[gate.name].state.rise
    seen = rise.seen if rise is not None else NOTHING
    bad, requests = seen.mine + seen.theirs, seen.of_mine + seen.of_theirs
    if not bad:
        return None
    weight = plan.stages[record.stage - 1].weight if record.stage else 0
    trial = Trial(gate.name, now, STILL * lower(bad, requests, LEVEL))
    reason = f"a test whether it is the candidate: {why}"
    return moves.lower_to_test(record, service, now, weight, trial, reason)


# In a trial -----------------------------------------------------------------------------------


def _in_trial(
    plan: Plan,
    record: Record,
    service: ServiceState,
    trial: Trial,
    now: datetime,
) -> Decision:
    if trial.raised is not None:
        return _after_raising(plan, record, service, trial, now)
    look = interval(plan, record, now)
    well = trial.well.log_evidence >= PROVED
    if trial.blamed is False:
        if well:
            text = "the incident is over: both revisions are within the limit again"
            return _raise(plan, record, service, trial, now, text)
        text = "an incident, not the candidate: the failures did not fall when its weight did"
        return _ask_of_long(plan, record, service, trial.at, now, text)
    if well or trial.fell.log_evidence >= PROVED:
        text = "the failures fell with the candidate's weight; it goes up once more to make sure"
        calm = max(upper(*trial.seen, LEVEL), AGAIN * trial.rate)
        once_more = Trial(trial.gate, trial.at, min(calm, AGAIN), blamed=True)
        return _raise(plan, record, service, once_more, now, text)
    known = record.gates.get(trial.gate)
    seen_for = (known.watermark if known is not None else now) - trial.at
    if trial.stayed.log_evidence >= PROVED or seen_for > TEST_MOST:
        text = "an incident, not the candidate: the failures did not fall when its weight did"
        told = replace(record, trial=replace(trial, blamed=False))
        said = Message(now, "warning", text)
        return moves.note(told, service, now, text, look, transition="incident", events=(said,))
    text = f"a test at {record.weight}%: do the failures fall with the candidate's weight?"
    return kept(plan, record, service, now, text, look)


def _raise(
    plan: Plan, record: Record, service: ServiceState, trial: Trial, now: datetime, reason: str
) -> Decision:
    """Put the candidate back to its stage's weight, in the window: it gets more by that too."""
    rule = plan.when.advance_only
    if rule is not None and not is_open(rule, now):
        text = f"{reason}; {closed_text(rule, now)}"
        waiting = kept(plan, record, service, now, text, interval(plan, record, now))
        return replace(waiting, opens=next_opening(rule, now))
    weight = plan.stages[record.stage].weight
    gates = acquitted(record.gates)
    return moves.raise_after_test(record, service, now, weight, trial, gates, reason)


def acquitted(gates: Mapping[str, Accumulated]) -> dict[str, Accumulated]:
    """Return the gates' evidence as a test ends: what accused both revisions accuses nobody."""
    return {
        name: Accumulated(known.watermark, relieved(known.state).without(Question.REFERENCE))
        for name, known in gates.items()
    }


def _after_raising(
    plan: Plan,
    record: Record,
    service: ServiceState,
    trial: Trial,
    now: datetime,
) -> Decision:
    """Wait for ten minutes: failures that come back within them roll back (`proved_guilty`)."""
    assert trial.raised is not None
    look = interval(plan, record, now)
    known = record.gates.get(trial.gate)
    if trial.blamed and (known is None or known.watermark < relapse_until(trial)):
        text = f"back at {record.weight}%: do both revisions fail again?"
        return kept(plan, record, service, now, text, min(look, timedelta(minutes=1)))
    if not seen_since_raised(plan, record, trial):
        text = f"back at {record.weight}%: its first minutes are not yet visible in Monitoring"
        return kept(plan, record, service, now, text, min(look, timedelta(minutes=1)))
    over = replace(record, trial=None).resumed(now)
    text = "an incident that ended by itself, not the candidate" if trial.blamed else "it is over"
    return moves.note(over, service, now, text, look, transition="hold goes on")
