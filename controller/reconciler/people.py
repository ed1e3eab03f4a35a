"""The acts of people: a fresh read, the deed, a write, and a second read that still shows it.

No policy: what an act means is in the engine. Nothing is remembered between two acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from controller.engine import hints
from controller.engine.codec import Unreadable, decode, encode, plan_of
from controller.engine.decision import Action, Decision, Refusal
from controller.engine.lost import Lost, ended_here, lost_of
from controller.engine.observation import Observation, Seen, ServiceName, ServiceState
from controller.engine.record import Record, stamp
from controller.engine.way_back import spared
from controller.plan.model import Plan
from controller.ports import Change, Conflict, PortError, Ports, Refused, Unavailable
from controller.reconciler.passes import RETRY, SILENT_MAX, Tick
from controller.reconciler.telling import Teller

PERSON = "a person"  # no controller's id
TRIES_MAX = 5  # a service that changes under our hands so often is not quiet enough for an act

Deed = Callable[[Plan, Record, ServiceState, datetime], Decision | Refusal]
DeedWithout = Callable[[Record | None, ServiceState, datetime], Decision | Refusal]
"""A deed that needs neither a record nor its plan."""
DeedOnLost = Callable[[Lost, ServiceState, datetime], Decision | Refusal]


def act(
    ports: Ports, name: ServiceName, deed: Deed, without: DeedOnLost | None = None
) -> Tick | Refusal:
    """Do what a person asks, and see it confirmed; raises PortError.

    without: what is done instead where the record is lost; None: that is refused.
    """

    def on(record: Record | None, service: ServiceState, now: datetime) -> Decision | Refusal:
        lost = lost_of(service)
        if lost is not None:
            return without(lost, service, now) if without is not None else refused(lost, name)
        if record is None:
            ended = ended_here(service)
            told = f"there is no rollout on this service{'; ' if ended else ''}{ended}"
            return Refusal(told, "`rollout apply PLAN`")
        if record.uid != service.uid:
            return Refusal("the service was made anew; its old record counts no more")
        return deed(plan_of(record.plan), record, service, now)

    return _confirmed(ports, name, on)


def refused(lost: Lost, name: ServiceName) -> Refusal:
    """Refuse an act that needs the record, and name those that do not."""
    return Refusal(lost.told, hints.listed(hints.of_lost(lost, name.place)))


def roll_back(ports: Ports, name: ServiceName, deed: DeedWithout) -> Tick | Refusal:
    """Roll back by hand; works with no record, or with one that cannot be read."""
    return _confirmed(ports, name, deed)


def _confirmed(
    ports: Ports,
    name: ServiceName,
    deed: DeedWithout,
) -> Tick | Refusal:
    problem = ""
    silent = 0
    unsure: Tick | None = None
    refusal: Refused | None = None
    for _ in range(TRIES_MAX):
        now = ports.clock.now()
        try:
            service = ports.router.fresh(name)
        except Unavailable:
            silent += 1
            if silent >= SILENT_MAX:
                raise
            ports.clock.sleep(RETRY)
            continue
        record = _if_readable(service)
        if unsure is not None and record is not None and _holds(record, unsure.decision.record):
            return unsure  # only the answer was lost; done again it would be done twice
        decision = deed(record, service, now)
        if isinstance(decision, Refusal):
            return decision
        decision = _spared(ports, name, decision, refusal)
        sent = replace(decision, record=stamp(decision.record, service.generation, now))
        plan = _plan_if_readable(record)
        unsure = Tick(now, sent, Observation(Seen(service)), decision.events, plan, RETRY)
        try:
            problem, after = _write(ports, sent, service, now)
        except Refused as error:
            if refusal is not None:
                raise
            refusal = error
            continue
        if after is not None:
            return _told(ports, name, record, unsure, service, after)
        ports.clock.sleep(RETRY)
    raise Conflict(problem, "somebody else writes to the service; try again")


def _told(
    ports: Ports,
    name: ServiceName,
    before: Record | None,
    done: Tick,
    service: ServiceState,
    after: ServiceState,
) -> Tick:
    """Tell people of an act, where nobody is on duty who does."""
    decision = done.decision
    if before is None:
        return done
    teller = Teller(ports, name, PERSON)
    teller.wrote(service, decision.record)
    record, events = teller.tell(before, decision.record, decision, after, done.at)
    told = replace(decision, record=record)
    return replace(done, decision=told, events=(*done.events, *events))


def _write(
    ports: Ports, decision: Decision, service: ServiceState, now: datetime
) -> tuple[str, ServiceState | None]:
    """Write a decision whose record is stamped.

    Return the service as that left it, or None and why it is not confirmed.
    """
    assert decision.write is not None
    text = encode(decision.record)
    change = Change(decision.write.targets, text, decision.write.raises, decision.record.rollout)
    try:
        return "", ports.router.write(service, change, now)
    except (Conflict, Unavailable) as error:
        return error.what, None


def _spared(
    ports: Ports, name: ServiceName, decision: Decision, refusal: Refused | None
) -> Decision:
    """Return the decision without what cannot serve, once it was refused; raises the refusal again.

    Cloud Run may also take a split over several revisions that can never be: a roll back looks
    first.
    """
    assert decision.write is not None
    named = frozenset(t.revision for t in decision.write.targets if t.revision)
    asked = {t.revision for t in decision.write.targets if t.percent}
    if refusal is None and (decision.action is not Action.ROLL_BACK or len(asked) < 2):
        return decision
    try:
        ready = {one.name: one.ready for one in ports.router.revisions(name)}
    except PortError as error:  # the way back must not hang on a list
        if refusal is not None:
            raise refusal from error
        return decision
    unable = frozenset(n for n in named if ready.get(n, False) is False)
    left = spared(decision, unable, named - ready.keys())
    if refusal is not None and left.write == decision.write:
        raise refusal
    return left


def _holds(record: Record, sent: Record) -> bool:
    """Tell whether a record is the one that was sent, or was written on top of it."""
    return record.rollout == sent.rollout and sent.transitions[-1] in record.transitions


def _if_readable(service: ServiceState) -> Record | None:
    try:
        return decode(service.record_text) if service.record_text is not None else None
    except Unreadable:
        return None


def _plan_if_readable(record: Record | None) -> Plan | None:
    """Return the record's plan; a roll back by hand needs none, and goes on without it."""
    try:
        return plan_of(record.plan) if record is not None else None
    except ValueError:
        return None
