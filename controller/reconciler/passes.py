"""observe → decide → act: one tick is one call; the loop waits for what the decision asks.

No policy and no formatting. What a process knows beyond the record (the minutes it has absorbed
since the last write) it keeps only as long as the service's record is the one it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from controller.engine import begin as beginning
from controller.engine.begin import Attach, Nothing, Wish, pinned
from controller.engine.codec import Unreadable, encode, plan_of, read
from controller.engine.decide import decide, over, vanished
from controller.engine.decision import Action, Decision, Refusal, State
from controller.engine.duty import SCHEDULE, assumed, handed_over, settled
from controller.engine.events import Decided, Event, Message, Started
from controller.engine.lost import Lost, Vanished, lost_of
from controller.engine.observation import (
    Gone,
    NotSeen,
    Observation,
    Seen,
    ServiceName,
    ServiceState,
)
from controller.engine.preflight import looks_back, preflight
from controller.engine.record import Phase, Record, Transition, stamp
from controller.engine.remembered import ended_unseen, is_from_before, is_later, is_resumed
from controller.engine.telling import gap_noted
from controller.engine.watching import continued
from controller.gates.evidence import Query, Readings
from controller.plan.compact import digest
from controller.plan.model import Plan
from controller.ports import (
    Change,
    Conflict,
    Missing,
    PortError,
    Ports,
    Unavailable,
)
from controller.reconciler.observing import Observer
from controller.reconciler.telling import Teller
from controller.reconciler.wanted import is_lost_under_way, wanted

CONFLICTS_MAX = 5  # a beginning is tried again so often before it is given up
SILENT_MAX = 3  # looks without an answer, before who begins or acts is told so
RETRY = timedelta(seconds=5)  # after a write that was refused or not answered; it doubles,
SAID_AGAIN = timedelta(minutes=30)  # a sentence that is true at every look
RETRY_MOST = timedelta(seconds=30)  # for some refusals are for good: a permission taken away


@dataclass(frozen=True, slots=True)
class Tick:
    """What one pass saw, decided and did.

    problem: why a write did not happen, or "". look_again: after how long the next pass is due.
    """

    at: datetime
    decision: Decision
    observation: Observation
    events: tuple[Event, ...]
    plan: Plan | None
    look_again: timedelta
    problem: str = ""


class Reconciler:
    """Ticks one service. Holds nothing that the service and Monitoring could not tell again.

    controller: its id, by which a record names it as the one on duty (`engine.duty`). given: the
    plan's file, where a person gave one: where it is the record's plan, its checks may send
    secrets.
    """

    def __init__(
        self,
        ports: Ports,
        name: ServiceName,
        controller: str = SCHEDULE,
        *,
        given: Plan | None = None,
    ) -> None:
        self.ports = ports
        self.name = name
        self.controller = controller
        self._given = given
        self._attaching = controller != SCHEDULE
        self._observer = Observer(ports, name)
        self._memory: Record | None = None
        self._decided: tuple[Action, State, datetime | None] | None = None
        self._said: dict[str, datetime] = {}  # since the decision is what it is
        self._happened: tuple[Transition, ...] = ()
        self._unsure: tuple[Record, tuple[Event, ...]] | None = None
        self._written: ServiceState | None = None  # as the last write, in this pass, left it
        self._late: tuple[Event, ...] = ()
        self._pause = RETRY / 2
        self._teller = Teller(ports, name, controller)

    # A tick ------------------------------------------------------------------------------------

    def tick(self, listed: ServiceState | None = None) -> Tick | None:
        """Make one pass; None: there is no rollout on the service.

        listed: the service, where a listing has just told it. Raises PortError only when nothing
        was ever seen of the rollout; Unreadable and Vanished where nothing is remembered of it.
        """
        now = self.ports.clock.now()
        try:
            service = listed or self.ports.router.observe(self.name)
        except PortError as error:
            if self._memory is None:
                raise
            gone = isinstance(error, Missing)
            return self._unseen(Gone(error.what) if gone else NotSeen(error.what), now)
        record, lost = self._record(service, now)
        if record is None:
            vanished_unseen = lost_of(service)
            if vanished_unseen is not None:
                raise Vanished(vanished_unseen)
            return None
        if record.phase is Phase.DONE:
            decision = over(record)
            told = self._told(record, decision, service, now)
            return self._tick(decision, Observation(Seen(service)), None, now, told=told)
        plan = plan_of(record.plan)
        if lost:
            decision = vanished(record, now, lost)
            told = self._teller.shout(plan, decision, now)
            return self._tick(decision, Observation(Seen(service)), plan, now, told=told)
        if self._given is not None:
            trusted = digest(pinned(self._given, record.candidate))
            self._observer = replace(self._observer, trusted=trusted)
        observation = self._observer.observe(plan, record, service, now, self.controller)
        now = self.ports.clock.now()
        decision = decide(plan, record, observation, now)
        decision = self._settled(plan, record, decision, service, now)
        if self._decided is None or self._decided[1] is not State.TAKEN_OVER:
            decision = gap_noted(plan, record, decision, service, now)
        problem = self._act(decision, service, now)
        told = () if problem else self._told(record, decision, self._written or service, now)
        return self._tick(decision, observation, plan, now, problem, told)

    def follow(self) -> Iterator[Tick]:
        """Tick until the rollout is done, sleeping between ticks as each decision asks.

        A refused or unanswered write is observed again soon, not when the decision asks.
        """
        while True:
            tick = self.tick()
            if tick is None:
                return
            yield tick
            if tick.decision.state is State.DONE and not tick.problem:
                return
            self.ports.clock.sleep(tick.look_again)

    def hand_over(self) -> None:
        """Give up the duty with one write, if it is ours: whoever comes next need not wait for it.

        What hinders the write is left: the record then goes stale, which ends the duty as well.
        """
        if self._memory is None or self.controller == SCHEDULE:
            return
        with suppress(PortError):
            now = self.ports.clock.now()
            service = self.ports.router.observe(self.name)
            record, lost = self._record(service, now)
            decision = record and handed_over(record, service, now, self.controller)
            if decision and not lost:
                self._act(decision, service, now)

    def make_up(self) -> tuple[Event, ...]:
        """Tell what an ended rollout still owes people, before another begins or is refused.

        What hinders it is left: it decides nothing.
        """
        with suppress(PortError, ValueError):
            now = self.ports.clock.now()
            service = self.ports.router.observe(self.name)
            record, _ = self._record(service, now)
            if record is not None and record.phase is Phase.DONE:
                return self._told(record, over(record), service, now)
        return ()

    def _settled(
        self, plan: Plan, record: Record, decision: Decision, service: ServiceState, now: datetime
    ) -> Decision:
        self._attaching &= record.duty != self.controller
        return settled(
            plan, record, decision, service, now, self.controller, attaching=self._attaching
        )

    def _told(
        self, before: Record, decision: Decision, service: ServiceState, now: datetime
    ) -> tuple[Event, ...]:
        """Tell people what is to be told, after the write; nothing hangs on whether that works."""
        known = self._memory
        if known is None:
            return ()
        self._memory, events = self._teller.tell(before, known, decision, service, now)
        return events

    def _unseen(self, service: NotSeen | Gone, now: datetime) -> Tick:
        assert self._memory is not None
        plan = plan_of(self._memory.plan)
        observation = Observation(service)
        decision = decide(plan, self._memory, observation, now)
        told = self._teller.shout(plan, decision, now)
        return self._tick(decision, observation, plan, now, told=told)

    def _tick(
        self,
        decision: Decision,
        observation: Observation,
        plan: Plan | None,
        now: datetime,
        problem: str = "",
        told: tuple[Event, ...] = (),
    ) -> Tick:
        self._teller.saw(decision.state)
        happened = decision.record.transitions[-1:]
        heartbeat = decision.action is Action.NOTE and happened == self._happened
        action = Action.WAIT if heartbeat else decision.action
        said = (action, decision.state, decision.opens)
        self._happened = happened
        decided: tuple[Event, ...] = ()
        # What was decided but not written did not happen: its events would tell a lie.
        true = decision.events if not problem else ()
        if said != self._decided:
            what = (decision.action.value, decision.reason, decision.look_again)
            decided = (Decided(now, *what, decision.opens),)
            self._said.clear()
        true = tuple(event for event in true if not self._is_repeated(event, now))
        self._decided = said
        late, self._late = self._late, ()
        events = (*late, *true, *decided, *told)
        self._pause = min(self._pause * 2, RETRY_MOST) if problem else RETRY / 2
        look_again = self._pause if problem else decision.look_again
        return Tick(now, decision, observation, events, plan, look_again, problem)

    def _is_repeated(self, event: Event, now: datetime) -> bool:
        """Tell whether a sentence was just said: what lasts is said again now and then only.

        Of a shout the numbers change from look to look.
        """
        if not isinstance(event, Message):
            return False
        key = event.level if event.level == "shout" else event.text
        said = self._said.get(key)
        if said is not None and now - said < SAID_AGAIN:
            return True
        self._said[key] = now
        return False

    def _known_after(self, written: Record) -> Record | None:
        """Return what we know; a write whose answer was lost is known to have happened now."""
        if self._unsure is not None and self._unsure[0].nonce == written.nonce:
            self._memory, self._late = self._unsure
        self._unsure = None
        return self._memory

    def _record(self, service: ServiceState, now: datetime) -> tuple[Record | None, str]:
        """Return the record to decide on, and why ours is lost if it is."""
        known = self._memory
        if service.record_text is None:
            if known is None or known.phase is Phase.DONE:
                return None, ""
            return known, "the record vanished from the service (deleted, or written over)"
        try:
            written = read(service.record_text)
        except Unreadable as error:
            if known is None:
                raise Unreadable(f"the record on the service cannot be read: {error}") from error
            return known, f"the record on the service cannot be read any more: {error}"
        known = self._known_after(written)
        if known is None and is_from_before(written, service):
            return written, "the record is older than the tags: somebody wrote it back"
        return self._reconciled(known, written, now)

    def _reconciled(
        self, known: Record | None, written: Record, now: datetime
    ) -> tuple[Record, str]:
        """Bring what we know and what is written together; else say why they cannot be."""
        if known is None or known.rollout != written.rollout:
            if known is not None and known.phase is not Phase.DONE:
                ended = ended_unseen(known, written)
                if ended is not None:
                    self._memory = ended
                    return ended, ""
                if not is_resumed(written, known):
                    return known, f"another rollout's record ({written.rollout}) replaced ours"
            self._attaching = self.controller != SCHEDULE
            self._happened = written.transitions[-1:]
            return self._fresh(written, now), ""
        if written.seq < known.seq and not is_later(written, known):
            return known, "the record went back to an older one (somebody wrote it back)"
        if written.nonce != known.nonce:  # another controller, or a person, wrote after us
            if written.phase is Phase.DONE or written.duty != self.controller:
                return self._fresh(written, now), ""  # the one on duty knows what it has sent
            self._memory = continued(plan_of(written.plan), known, written, now)
            return self._memory, ""
        if known.phase is not Phase.DONE and known.duty != self.controller:
            return assumed(plan_of(known.plan), known, self.controller, now), ""
        return known, ""

    def drained(self, record: Record, since: datetime, delay: timedelta) -> str:
        """Verify a roll back; see `Observer.drained`."""
        return self._observer.drained(record, since, delay)

    def _fresh(self, written: Record, now: datetime) -> Record:
        done = written.phase is Phase.DONE
        self._memory = (
            written if done else assumed(plan_of(written.plan), written, self.controller, now)
        )
        return self._memory

    # Acting ------------------------------------------------------------------------------------

    def _act(
        self, decision: Decision, service: ServiceState, now: datetime, *, first: bool = False
    ) -> str:
        """Write what was decided and remember it; return why it could not be written, or "".

        first: nothing of the rollout is written yet, so what is not worth another try is raised.
        """
        self._written = None
        if decision.write is None:
            self._memory = decision.record
            return ""
        record = stamp(decision.record, service.generation, now)
        change = Change(
            decision.write.targets,
            encode(record),
            decision.write.raises,
            record.rollout,
            decision.write.deploy,
        )
        try:
            self._written = self.ports.router.write(service, change, now)
        except Unavailable as error:
            self._unsure = (record, decision.events)
            return error.what
        except PortError as error:
            if first and not isinstance(error, Conflict):
                raise
            return error.what
        self._memory = record
        self._attaching &= record.duty != self.controller
        self._teller.wrote(service, record)
        return ""

    # Beginning ---------------------------------------------------------------------------------

    def begin(self, wish: Wish) -> Tick | Attach | Nothing | Refusal:
        """Begin the rollout, attach to it, or say why not. Raises PortError."""
        problem = ""
        silent = 0
        started: Decision | None = None
        for _ in range(CONFLICTS_MAX):
            now = self.ports.clock.now()
            try:
                service = self.ports.router.observe(self.name)
                begun = self._begin_on(wish, service, now)
            except (Conflict, Unavailable) as error:
                problem = error.what
                silent += isinstance(error, Unavailable)
                if silent >= SILENT_MAX:
                    raise
                self.ports.clock.sleep(RETRY)
                continue
            if started is not None and _is_ours(begun, self._unsure):
                self._memory, self._unsure = begun.record, None  # the lost answer was a yes
                return self._tick(started, Observation(Seen(service)), wish.plan, now)
            if isinstance(begun, Attach) and begun.decision is not None:
                record = assumed(begun.plan, begun.decision.record, self.controller, now)
                decision = replace(begun.decision, record=record)
                problem = self._act(decision, service, now, first=True)
            elif isinstance(begun, Decision):
                problem = self._act(begun, service, now, first=True)
            else:
                return begun
            if problem:
                started = begun if isinstance(begun, Decision) else None
                self.ports.clock.sleep(RETRY)
                continue
            if isinstance(begun, Attach):
                return begun
            return self._tick(begun, Observation(Seen(service)), wish.plan, now)
        raise Unavailable(
            f"the service changed {CONFLICTS_MAX} times under our hands: {problem}",
            "somebody else writes to it; try again when it is quiet",
        )

    def lost(self) -> Lost | None:
        """Look whether the rollout's record is lost. Raises PortError."""
        return lost_of(self.ports.router.observe(self.name))

    def preview(self, wish: Wish) -> tuple[beginning.Beginning, ServiceState]:
        """Return what `begin` would do and the service it looked at. Writes nothing."""
        service = self.ports.router.observe(self.name)
        return self._begin_on(wish, service, self.ports.clock.now()), service

    def _begin_on(self, wish: Wish, service: ServiceState, now: datetime) -> beginning.Beginning:
        record = _readable(service)
        router = self.ports.router
        found = wanted(router, wish, service, record)
        if is_lost_under_way(router, wish, service, record, found):
            assert record is not None
            self._observer = replace(self._observer, trusted=record.digest)
            return Attach(record, plan_of(record.plan))
        if isinstance(found, Missing):
            raise found
        if isinstance(found, Refusal):
            return found
        candidate, deploy = found
        chosen = candidate.name
        others = [name for name in service.asked if name != chosen]
        main = max(sorted(others), key=lambda name: service.asked[name], default="")
        self._observer = replace(self._observer, trusted=digest(pinned(wish.plan, chosen)))
        stable = None
        if main:
            try:
                stable = router.revision(self.name, main)
            except Missing:
                stable = None
        begun = beginning.begin(wish, service, candidate, stable, record, now, deploy)
        if isinstance(begun, Decision) and begun.action is Action.START:
            return self._preflighted(wish.plan, service, chosen, begun, now)
        return begun

    def _preflighted(
        self, plan: Plan, service: ServiceState, candidate: str, begun: Decision, now: datetime
    ) -> Decision | Refusal:
        """Judge stable by its last day before anything is written."""
        stable = tuple(name for name in service.asked if name != candidate)
        history: dict[Query, Seen[Readings] | NotSeen] = {}
        for query, look in looks_back(plan, now).items():
            history[query] = self._observer.history(query, stable, look)
        found = preflight(plan, service, candidate, history, now)
        if found.refusals:
            return Refusal(
                "; ".join(found.refusals), "change the limits, or mend stable before rolling out"
            )
        told = tuple(Message(now, "warning", text) for text in found.warnings)
        record = replace(begun.record, duty=self.controller, history=found.history)
        events = (
            replace(event, history=found.history) if isinstance(event, Started) else event
            for event in begun.events
        )
        return replace(begun, record=record, events=(*events, *told))


def _is_ours(
    begun: beginning.Beginning, unsure: tuple[Record, tuple[Event, ...]] | None
) -> TypeGuard[Attach]:
    """Tell whether the rollout found is the one that our unanswered write began."""
    return (
        isinstance(begun, Attach) and unsure is not None and begun.record.nonce == unsure[0].nonce
    )


def _readable(service: ServiceState) -> Record | None:
    """Return the record, None where there is none that can be read: what then, `begin` knows."""
    try:
        return read(service.record_text) if service.record_text is not None else None
    except Unreadable:
        return None
