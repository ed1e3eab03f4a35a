"""observe → decide → act: one tick is one call; the loop waits for what the decision asks.

No policy and no formatting. What a process knows beyond the record (the minutes it has absorbed
since the last write) it keeps only as long as the service's record is the one it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from controller.engine import begin as beginning
from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.checking import (
    Got,
    ToSend,
    aims_at_candidate,
    conclude,
    requests_of,
    swapped,
    wanted,
)
from controller.engine.codec import Unreadable, decode, encode
from controller.engine.decide import decide, over, vanished
from controller.engine.decision import Action, Decision, Refusal, State
from controller.engine.events import Decided, Event, Message
from controller.engine.observation import (
    CheckSeen,
    Gone,
    NotSeen,
    Observation,
    OwnRequest,
    RevisionState,
    Seen,
    ServiceName,
    ServiceState,
    Window,
)
from controller.engine.preflight import PERIOD, history_windows, preflight
from controller.engine.record import Phase, Record, Transition, stamp
from controller.engine.split import TAG_NEW, TAG_OLD
from controller.engine.watching import SETTLE, assume_own, ceil_minute, windows
from controller.gates.evidence import CodeCounts, Query, Readings, Requests
from controller.plan.compact import from_json
from controller.plan.model import Check, CustomMetric, Plan
from controller.ports import (
    Change,
    Checker,
    Clock,
    Conflict,
    MetricSource,
    Missing,
    PortError,
    Request,
    TrafficRouter,
    Unavailable,
)

TRIES = 3
BETWEEN_TRIES = timedelta(seconds=5)
CONFLICTS_MAX = 5  # a person's act is tried again so often before it is given up
RETRY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Ports:
    """Every door the reconciler may use."""

    router: TrafficRouter
    metrics: MetricSource
    checker: Checker
    clock: Clock


@dataclass(frozen=True, slots=True)
class Tick:
    """What one pass saw, decided and did. problem: why a write did not happen, or ""."""

    at: datetime
    decision: Decision
    observation: Observation
    events: tuple[Event, ...]
    plan: Plan | None
    problem: str = ""


@lru_cache(maxsize=8)
def _plan_of(text: str) -> Plan:
    return from_json(text)


class Reconciler:
    """Ticks one service. Holds nothing that the service and Monitoring could not tell again."""

    def __init__(self, ports: Ports, name: ServiceName) -> None:
        self.ports = ports
        self.name = name
        self._memory: Record | None = None
        self._decided: tuple[Action, State] | None = None
        self._happened: tuple[Transition, ...] = ()
        self._unsure: tuple[Record, tuple[Event, ...]] | None = None
        self._late: tuple[Event, ...] = ()

    # A tick ------------------------------------------------------------------------------------

    def tick(self) -> Tick | None:
        """Make one pass; None: there is no rollout on the service.

        Raises PortError only when nothing was ever seen of the rollout.
        """
        now = self.ports.clock.now()
        try:
            service = self.ports.router.observe(self.name)
        except PortError as error:
            if self._memory is None:
                raise
            gone = isinstance(error, Missing)
            return self._unseen(Gone(error.what) if gone else NotSeen(error.what), now)
        record, lost = self._record(service, now)
        if record is None:
            return None
        if record.phase is Phase.DONE:
            return self._tick(over(record), Observation(Seen(service)), None, now)
        plan = _plan_of(record.plan)
        if lost:
            decision = vanished(record, now, lost)
            return self._tick(decision, Observation(Seen(service)), plan, now)
        observation = self._observe(plan, record, service, now)
        now = self.ports.clock.now()
        decision = decide(plan, record, observation, now)
        problem = self._act(decision, service, now)
        return self._tick(decision, observation, plan, now, problem)

    def follow(self) -> Iterator[Tick]:
        """Tick until the rollout is done, sleeping between ticks as each decision asks.

        A refused or unanswered write is observed again soon, not at the next look.
        """
        while True:
            tick = self.tick()
            if tick is None:
                return
            yield tick
            if tick.decision.state is State.DONE and not tick.problem:
                return
            self.ports.clock.sleep(RETRY if tick.problem else tick.decision.look_again)

    def _unseen(self, service: NotSeen | Gone, now: datetime) -> Tick:
        assert self._memory is not None
        plan = _plan_of(self._memory.plan)
        observation = Observation(service)
        return self._tick(decide(plan, self._memory, observation, now), observation, plan, now)

    def _tick(
        self,
        decision: Decision,
        observation: Observation,
        plan: Plan | None,
        now: datetime,
        problem: str = "",
    ) -> Tick:
        happened = decision.record.transitions[-1:]
        heartbeat = decision.action is Action.NOTE and happened == self._happened
        said = (Action.WAIT if heartbeat else decision.action, decision.state)
        self._happened = happened
        decided: tuple[Event, ...] = ()
        if said != self._decided:
            decided = (Decided(now, decision.action.value, decision.reason, decision.look_again),)
        self._decided = said
        # What was decided but not written did not happen: its events would tell a lie.
        told = decision.events if not problem else ()
        late, self._late = self._late, ()
        return Tick(now, decision, observation, (*late, *told, *decided), plan, problem)

    def _record(self, service: ServiceState, now: datetime) -> tuple[Record | None, str]:
        """Return the record to decide on, and why ours is lost if it is."""
        known = self._memory
        if service.record_text is None:
            if known is None or known.phase is Phase.DONE:
                return None, ""
            return known, "the record vanished from the service (deleted, or written over)"
        try:
            written = decode(service.record_text)
            if written.phase is not Phase.DONE:
                _plan_of(written.plan)
        except ValueError as error:
            if known is None:
                raise Unreadable(f"the record on the service cannot be read: {error}") from error
            return known, f"the record on the service cannot be read any more: {error}"
        if self._unsure is not None and self._unsure[0].nonce == written.nonce:
            # The answer to our write was lost, the write was not: what it did is told now.
            known, self._late = self._unsure
            self._memory = known
        self._unsure = None
        if known is None or known.rollout != written.rollout:
            if known is not None and known.phase is not Phase.DONE:
                return known, f"another rollout's record ({written.rollout}) replaced ours"
            done = written.phase is Phase.DONE
            self._memory = written if done else assume_own(_plan_of(written.plan), written, now)
            return self._memory, ""
        if written.seq < known.seq:
            return known, "the record went back to an older one (somebody wrote it back)"
        if written.nonce != known.nonce:  # another controller, or a person, wrote after us
            self._memory = replace(written, own=known.own)
        return self._memory, ""

    # Observing ---------------------------------------------------------------------------------

    def _observe(
        self, plan: Plan, record: Record, service: ServiceState, now: datetime
    ) -> Observation:
        if record.phase in (Phase.DONE, Phase.ROLLING_BACK):
            return Observation(Seen(service))
        candidate, stable = self._revision(record.candidate), self._revision(record.stable)
        seen = Observation(Seen(service), candidate, stable)
        if record.shift is not None:
            return seen
        asked = windows(plan, record, now)
        readings = {query: self._read(query, record, asked[query]) for query in asked}
        checks, own = self._send_checks(plan, record, service)
        return replace(seen, readings=readings, windows=asked, checks=checks, own=own)

    def _revision(self, name: str) -> Seen[RevisionState] | NotSeen | Gone:
        try:
            return Seen(self.ports.router.revision(self.name, name))
        except Missing as error:
            return Gone(error.what)
        except PortError as error:
            return NotSeen(error.what)

    def _read(self, query: Query, record: Record, window: Window) -> Seen[Readings] | NotSeen:
        start, end = window.start, window.end
        revisions = tuple(dict.fromkeys((record.candidate, *record.before)))
        try:
            return Seen(self.ports.metrics.read(self.name, query, revisions, start, end))
        except PortError as error:
            return NotSeen(error.what)

    def _send_checks(
        self, plan: Plan, record: Record, service: ServiceState
    ) -> tuple[Mapping[str, Seen[CheckSeen] | NotSeen], tuple[OwnRequest, ...]]:
        names = _names(record, service)
        own: list[OwnRequest] = []
        seen: dict[str, Seen[CheckSeen] | NotSeen] = {}
        for check in plan.checks:
            if wanted(check, before=record.stage < 0):
                seen[check.name] = self._check(check, names, record, own)
        return seen, tuple(own)

    def _check(
        self, check: Check, names: Mapping[str, str], record: Record, own: list[OwnRequest]
    ) -> Seen[CheckSeen] | NotSeen:
        try:
            requests = requests_of(check, names)
        except KeyError as error:
            return NotSeen(f"{error.args[0]} is not known")
        result: Seen[CheckSeen] | NotSeen = NotSeen("not sent")
        answers: tuple[tuple[ToSend, Got], ...] = ()
        for attempt in range(TRIES):
            if attempt:
                self.ports.clock.sleep(BETWEEN_TRIES)
            answers = tuple((r, self._send(check, r, names, record, own)) for r in requests)
            result = conclude(check, answers, None, names)
            if isinstance(result, Seen) and result.value.outcome.value == "passed":
                return result
        if aims_at_candidate(check) and "stable.url" in names:
            others = requests_of(check, swapped(names))
            beside = tuple((r, self._send(check, r, names, record, own)) for r in others)
            result = conclude(check, answers, beside, names)
        return result

    def _send(
        self,
        check: Check,
        request: ToSend,
        names: Mapping[str, str],
        record: Record,
        own: list[OwnRequest],
    ) -> Got:
        try:
            answer = self.ports.checker.send(
                Request(request.method, request.url, request.headers, request.body, check.timeout)
            )
        except PortError as error:
            return Got(0, None, error.what)
        for side, revision in (("candidate", record.candidate), ("stable", record.stable)):
            base = names.get(f"{side}.url")
            if base and request.url.startswith(base):
                at = self.ports.clock.now()
                own.append(OwnRequest(at, revision, answer.status, answer.latency_ms))
        return Got(answer.status, answer.body)

    # Acting ------------------------------------------------------------------------------------

    def _act(self, decision: Decision, service: ServiceState, now: datetime) -> str:
        """Write what was decided and remember it; return why it could not be written, or ""."""
        if decision.write is None:
            self._memory = decision.record
            return ""
        record = stamp(decision.record, service.generation, now)
        change = Change(decision.write.targets, encode(record), decision.write.raises)
        try:
            self.ports.router.write(service, change, now)
        except Unavailable as error:
            self._unsure = (record, decision.events)
            return error.what
        except PortError as error:
            return error.what
        self._memory = record
        return ""

    # Beginning and the acts of people ------------------------------------------------------------

    def begin(self, wish: Wish) -> Tick | Attach | Nothing | Refusal:
        """Begin the rollout, attach to it, or say why not. Raises PortError."""
        problem = ""
        for _ in range(CONFLICTS_MAX):
            now = self.ports.clock.now()
            service = self.ports.router.observe(self.name)
            begun = self._begin_on(wish, service, now)
            if isinstance(begun, Attach) and begun.decision is not None:
                problem = self._act(begun.decision, service, now)
            elif isinstance(begun, Decision):
                problem = self._act(begun, service, now)
            else:
                return begun
            if problem:
                self.ports.clock.sleep(RETRY)
                continue
            if isinstance(begun, Attach):
                return begun
            return self._tick(begun, Observation(Seen(service)), wish.plan, now)
        raise Unavailable(
            f"the service changed {CONFLICTS_MAX} times under our hands: {problem}",
            "somebody else writes to it; try again when it is quiet",
        )

    def _begin_on(self, wish: Wish, service: ServiceState, now: datetime) -> beginning.Beginning:
        record = self._decoded(service)
        router = self.ports.router
        named = wish.plan.candidate.revision is not None
        revisions = router.revisions(self.name) if named else ()
        chosen = beginning.choose_candidate(wish.plan, service, revisions)
        if isinstance(chosen, Refusal):
            return chosen
        others = [name for name in service.asked if name != chosen]
        main = max(sorted(others), key=lambda name: service.asked[name], default="")
        candidate = router.revision(self.name, chosen)
        stable = None
        if main:
            try:
                stable = router.revision(self.name, main)
            except Missing:
                stable = None
        begun = beginning.begin(wish, service, candidate, stable, record, now)
        if isinstance(begun, Decision) and begun.action is Action.START:
            return self._preflighted(wish.plan, service, chosen, begun, now)
        return begun

    def _preflighted(
        self, plan: Plan, service: ServiceState, candidate: str, begun: Decision, now: datetime
    ) -> Decision | Refusal:
        """Judge stable by its last day before anything is written."""
        stable = tuple(name for name in service.asked if name != candidate)
        history: dict[Query, Seen[Readings] | NotSeen] = {}
        for query, window in history_windows(plan, now).items():
            history[query] = self._history(query, stable, window)
        found = preflight(plan, service, candidate, history, now)
        if found.refusals:
            return Refusal(
                "; ".join(found.refusals), "change the limits, or mend stable before rolling out"
            )
        told = tuple(Message(now, "warning", text) for text in found.warnings)
        return replace(begun, events=(*begun.events, *told))

    def _history(
        self, query: Query, stable: tuple[str, ...], window: Window
    ) -> Seen[Readings] | NotSeen:
        metrics, (start, end) = self.ports.metrics, (window.start, window.end)
        try:
            if isinstance(query, CustomMetric) and not metrics.exists(
                self.name.project, query.type
            ):
                return NotSeen(f"nobody ever wrote {query.type} in {self.name.project}")
            return Seen(metrics.read(self.name, query, stable, start, end, PERIOD))
        except PortError as error:
            return NotSeen(error.what)

    def drained(self, record: Record, since: datetime, delay: timedelta) -> str:
        """Verify a roll back: return "" once the candidate is seen to get no requests any more,
        else what is seen instead. Waits until Monitoring can tell: settling, a minute, the delay.

        since: when the split with candidate 0 came into force.
        """
        start = ceil_minute(since + SETTLE)
        end = start + timedelta(minutes=1)
        self.ports.clock.sleep(max(end + delay - self.ports.clock.now(), timedelta(0)))
        try:
            seen = self.ports.metrics.read(self.name, Requests(), (record.candidate,), start, end)
        except PortError as error:
            return f"whether requests still reach it could not be seen: {error.what}"
        values = seen.get(record.candidate, {}).values()
        left = sum(value.total for value in values if isinstance(value, CodeCounts))
        own = sum(o.count for o in record.own if start < o.end <= end)
        if left <= own:
            return ""
        return f"the candidate still got {left} requests in the minute before {end:%H:%M}Z"

    def _decoded(self, service: ServiceState) -> Record | None:
        if service.record_text is None:
            return None
        return decode(service.record_text)

    def act(
        self, deed: Callable[[Plan, Record, ServiceState, datetime], Decision | Refusal]
    ) -> Tick | Refusal:
        """Do what a person asks: fresh read, write, and a second read that still shows it.

        Raises PortError, and Unreadable for a record this version cannot read.
        """

        def on(record: Record | None, service: ServiceState, now: datetime) -> Decision | Refusal:
            if record is None:
                return Refusal("there is no rollout on this service", "`rollout apply PLAN`")
            return deed(_plan_of(record.plan), record, service, now)

        return self._by_person(on)

    def roll_back(
        self, deed: Callable[[Record | None, ServiceState, datetime], Decision | Refusal]
    ) -> Tick | Refusal:
        """Roll back by hand; works with no record, or with one that cannot be read."""
        return self._by_person(deed, lenient=True)

    def _by_person(
        self,
        deed: Callable[[Record | None, ServiceState, datetime], Decision | Refusal],
        *,
        lenient: bool = False,
    ) -> Tick | Refusal:
        problem = ""
        for _ in range(CONFLICTS_MAX):
            now = self.ports.clock.now()
            service = self.ports.router.fresh(self.name)
            try:
                record = self._decoded(service)
            except Unreadable:
                if not lenient:
                    raise
                record = None
            decision = deed(record, service, now)
            if isinstance(decision, Refusal):
                return decision
            problem = self._write_confirmed(decision, service, now)
            if not problem:
                plan = _plan_of(record.plan) if record and record.digest else None
                return Tick(now, decision, Observation(Seen(service)), decision.events, plan)
            self.ports.clock.sleep(RETRY)
        raise Conflict(problem, "somebody else writes to the service; try again")

    def _write_confirmed(self, decision: Decision, service: ServiceState, now: datetime) -> str:
        assert decision.write is not None
        record = stamp(decision.record, service.generation, now)
        change = Change(decision.write.targets, encode(record), decision.write.raises)
        try:
            self.ports.router.write(service, change, now)
        except (Conflict, Unavailable) as error:
            return error.what
        self._memory = record
        return ""


def _names(record: Record, service: ServiceState) -> dict[str, str]:
    """Return what a check's texts may name; a URL is there only once its tag is in force."""
    names = {"candidate.revision": record.candidate, "stable.revision": record.stable}
    for side, tag in (("candidate", TAG_NEW), ("stable", TAG_OLD)):
        url = service.url_of(tag)
        if url:
            names[f"{side}.url"] = url.rstrip("/")
    return names
