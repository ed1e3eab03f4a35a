"""What one tick observes: revisions, the minutes of metrics that are new, the answers to checks.

Every part is `Seen` or `NotSeen`; no error of a port leaves this module. No decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.engine.checking import (
    OUR_SIDE,
    Got,
    ToSend,
    aims_at_candidate,
    audience_of,
    conclude,
    has_secrets,
    requests_of,
    swapped,
    wanted,
)
from controller.engine.duty import ELSEWHERE
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
from controller.engine.preflight import Look, looks_back
from controller.engine.record import Phase, Record
from controller.engine.regions import Turn, turn_of
from controller.engine.split import TAG_NEW, TAG_OLD
from controller.engine.watching import SETTLE, windows
from controller.engine.whole import ceil_minute
from controller.gates.evidence import CodeCounts, Query, Readings, Requests
from controller.plan.compact import digest
from controller.plan.model import Check, CustomMetric, Plan
from controller.ports import (
    Caller,
    Denied,
    Missing,
    PortError,
    Ports,
    Request,
)

TRIES = 3
BETWEEN_TRIES = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Observer:
    """Sees one service through the ports.

    trusted: digest of the plan a person gave this process, or "". Whoever may update the service
    may forge a record, and a forged plan could send a secret ("env:NAME" in a header) anywhere:
    such checks are sent only for the trusted plan.
    """

    ports: Ports
    name: ServiceName
    trusted: str = ""

    def observe(
        self, plan: Plan, record: Record, service: ServiceState, now: datetime, controller: str
    ) -> Observation:
        """Look at everything the engine needs now; nothing that it does not.

        controller: who looks. Checks are sent only by the one whom the record names.
        """
        if record.phase is Phase.DONE:
            return Observation(Seen(service))
        candidate, stable = self._revision(record.candidate), self._revision(record.stable)
        others = [n for n in record.before if n not in (record.candidate, record.stable)]
        beside = {name: self._revision(name) for name in others}
        on_duty = record.duty == controller
        seen = Observation(Seen(service), candidate, stable, on_duty=on_duty, beside=beside)
        if record.phase is Phase.ROLLING_BACK:
            return seen
        if record.waits_for and record.shift is None:
            return self._in_line(plan, record, seen, now)
        asked = windows(plan, record, now)
        readings = {query: self._read(query, record, asked[query]) for query in asked}
        if record.shift is not None:
            return replace(seen, readings=readings, windows=asked)
        if not on_duty:
            unsent = {check.name: NotSeen(ELSEWHERE) for check in plan.checks}
            return replace(seen, readings=readings, windows=asked, checks=unsent)
        checks, own = self._send_checks(plan, record, service)
        return replace(seen, readings=readings, windows=asked, checks=checks, own=own)

    def _in_line(self, plan: Plan, record: Record, seen: Observation, now: datetime) -> Observation:
        """Look at the region before; once it is promoted, at stable's last day here."""
        earlier = self._earlier(record.after)
        if turn_of(record, earlier).turn is not Turn.COME:
            return replace(seen, earlier=earlier)
        stable, looks = tuple(record.before), looks_back(plan, now)
        history = {query: self.history(query, stable, look) for query, look in looks.items()}
        return replace(seen, earlier=earlier, history=history)

    def _earlier(self, region: str) -> Seen[ServiceState] | NotSeen | Gone:
        try:
            return Seen(self.ports.router.observe(replace(self.name, region=region)))
        except Missing as error:
            return Gone(error.what)
        except PortError as error:
            return NotSeen(error.what)

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
            if has_secrets(check) and (not self.trusted or digest(plan) != self.trusted):
                seen[check.name] = NotSeen(
                    "it sends a secret, which needs the plan's file (`rollout apply PLAN`)"
                )
            elif wanted(check, before=record.stage < 0):
                seen[check.name] = self._check(check, names, record, own)
        return seen, tuple(own)

    def _check(
        self, check: Check, names: Mapping[str, str], record: Record, own: list[OwnRequest]
    ) -> Seen[CheckSeen] | NotSeen:
        try:
            requests = requests_of(check, names)
        except KeyError as error:
            return NotSeen(str(error.args[0]))
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
        audience = audience_of(check, request.url, names)
        caller = Caller(audience, at_once=bool(check.id_token)) if audience else None
        what = (request.method, request.url, request.headers, request.body, check.timeout)
        try:
            answer = self.ports.checker.send(Request(*what, caller))
        except Denied as error:
            return Got(OUR_SIDE[0], None, error.what)
        except PortError as error:
            return Got(0, None, error.what)
        for side, revision in (("candidate", record.candidate), ("stable", record.stable)):
            base = names.get(f"{side}.url")
            if base and request.url.startswith(base):
                at = self.ports.clock.now()
                own.append(OwnRequest(at, revision, answer.status, answer.latency_ms))
        return Got(answer.status, answer.body)

    def history(
        self, query: Query, stable: tuple[str, ...], look: Look
    ) -> Seen[Readings] | NotSeen:
        """Read stable's last day."""
        metrics, (start, end) = self.ports.metrics, (look.window.start, look.window.end)
        try:
            if isinstance(query, CustomMetric) and not metrics.exists(
                self.name.project, query.type
            ):
                return NotSeen(f"nobody ever wrote {query.type} in {self.name.project}")
            return Seen(metrics.read(self.name, query, stable, start, end, look.period))
        except PortError as error:
            return NotSeen(error.what)

    def drained(self, record: Record, since: datetime, delay: timedelta) -> str:
        """Verify a roll back: "" once the candidate is seen to get no requests any more.

        Else what is seen instead. Waits until Monitoring can tell: settling, a minute, the delay.
        since: when the split with candidate 0 came into force.
        """
        start = ceil_minute(since + SETTLE)
        end = start + timedelta(minutes=1)
        self.ports.clock.sleep(max(end + delay - self.ports.clock.now(), timedelta(0)))
        if self.ports.clock.now() < end + delay:
            return "whether requests still reach it was not waited for"
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


def _names(record: Record, service: ServiceState) -> dict[str, str]:
    """Return what a check's texts may name; a URL is there only once its tag is in force."""
    names = {"candidate.revision": record.candidate, "stable.revision": record.stable}
    for side, tag in (("candidate", TAG_NEW), ("stable", TAG_OLD)):
        url = service.url_of(tag)
        if url:
            names[f"{side}.url"] = url.rstrip("/")
    return names
