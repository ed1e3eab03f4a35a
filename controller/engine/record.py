"""The record: everything a rollout must remember, as it stands in the service's annotation.

Values only; the wire form is in `codec`. Times are aware UTC, percents whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TypedDict, Unpack

from controller.gates.betting import Terms
from controller.gates.history import History
from controller.gates.kernel import Wealth
from controller.gates.state import State
from controller.gates.verdict import Verdict
from controller.plan.model import Gate

TRANSITIONS_KEPT = 20
OUTCOMES_KEPT = 10
REASON_BYTES_MAX = 120
HAND_DIGEST = 12  # hex digits
DUTY_MAX = 16  # characters of a controller's id
OWN_KEPT = 40  # entries: two sides, the minutes Monitoring is late by, and some to spare


class Phase(StrEnum):
    """Where a rollout is; paused, asking and shifting are facts beside it."""

    STARTING = "starting"  # before the first shift: pre-checks
    RUNNING = "running"
    PROMOTING = "promoting"  # a person asked for 100%; the rollout is done once that is in force
    ROLLING_BACK = "rolling_back"
    DONE = "done"


class AskKind(StrEnum):
    """Why a person is needed."""

    APPROVAL = "approval"
    UNDECIDED = "undecided"
    MONITORING_OUT = "monitoring_out"
    NO_WAY_BACK = "no_way_back"
    SHIFT_FAILED = "shift_failed"
    GATE = "gate"  # a gate or check whose on_fail is "ask"
    NEW_REVISION = "new_revision"
    BOTH_FAILING = "both_failing"

    @property
    def waits_for_ever(self) -> bool:
        """Tell whether no answer is given for a person (DESIGN.md §5, invariant 4)."""
        return self in {AskKind.APPROVAL, AskKind.NO_WAY_BACK}


@dataclass(frozen=True, slots=True)
class Ask:
    """A person is waited for, since when and why."""

    kind: AskKind
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did: who, when, why."""

    by: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """A split that was asked for and is not yet known to be in force."""

    at: datetime
    weight_before: int


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict, and what it was judged by."""

    gate: Gate
    terms: Terms
    verdict: Verdict

    def holds_for(self, gate: Gate, terms: Terms) -> bool:
        """Tell whether the same evidence would be judged in the same way."""
        return self.gate is gate and self.terms == terms


@dataclass(frozen=True, slots=True)
class Accumulated:
    """A gate's evidence up to `watermark` (a whole minute).

    told: the verdict on just this state, so that a look without a new minute need not judge it
    again. It follows from the rest: it is not written, and a fresh process judges anew.
    """

    watermark: datetime
    state: State = State()
    told: Told | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """A step back as a test: do both revisions fail because of the candidate?

    gate: the one that saw it. at: when the lowered weight came into force, at first when it was
    asked for. rate: what all requests' bad share (fraction) is tested against: most of what it was
    while both failed; once raised again, what it fell to. fell, stayed, well: the evidence that it
    is lower, that it is higher, and that the service is within the gate's limit. seen: bad
    requests at the lower weight, and all. blamed: None while that is open, then whether it fell.
    raised: when the candidate was put back.
    """

    gate: str
    at: datetime
    rate: float
    fell: Wealth = Wealth()
    stayed: Wealth = Wealth()
    well: Wealth = Wealth()
    seen: tuple[int, int] = (0, 0)
    blamed: bool | None = None
    raised: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One thing that happened, for `history`. by: a person, or "" for the controller."""

    at: datetime
    what: str
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rollout ended: promoted, rolled_back or cancelled. rollout: its id."""

    outcome: str
    candidate: str
    at: datetime
    reason: str
    by: str = ""
    before: Mapping[str, int] = field(default_factory=dict)  # the way back after promotion
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class OwnCount:
    """Requests of ours in one minute: how many, of one code, with their mean latency."""

    end: datetime
    revision: str
    code: int
    count: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Hand:
    """Another hand that changed the traffic, as people were told. split: a digest of its split."""

    by: str
    split: str


class Looked(TypedDict, total=False):
    """What a look changes in a record."""

    gates: Mapping[str, Accumulated]
    own: tuple[OwnCount, ...]
    unknown_until: datetime | None
    trial: Trial | None
    verdicts: Mapping[str, str]
    at: datetime


@dataclass(frozen=True)  # without slots: `after_look` copies all fields at once
class Record:
    """The durable state of one rollout.

    before: the split before, with LATEST resolved. stage: number of the stage reached (0-based),
    -1 before the first shift. entered/in_force: when this stage's split was asked for and came
    into force. uncounted/stopped: time of this stage that does not count as hold: the sum so far,
    and since when the hold stands still (None: it runs). duty: the controller that sends the
    checks, "" for none. noted: the number of the last transition, counted from the first. heard: by
    whom the plan notifies, the number of the last transition that was told. after: the region that
    must be promoted before the first shift here, "" where it is this one's turn.
    """

    rollout: str
    uid: str
    plan: str
    digest: str
    candidate: str
    stable: str
    before: Mapping[str, int]
    started: datetime
    by: str
    phase: Phase = Phase.STARTING
    stage: int = -1
    weight: int = 0
    shift: Shift | None = None
    in_force: datetime | None = None
    uncounted: timedelta = timedelta(0)
    stopped: datetime | None = None
    paused: Act | None = None
    ask: Ask | None = None
    approved: tuple[int, ...] = ()  # stages (0-based) a person let the rollout enter
    waived: tuple[int, ...] = ()  # stages it may enter although gates or checks are open
    extended: bool = False
    stepped_back: tuple[int, ...] = ()
    came_from: int = -1  # the stage before the last shift; its limits hold until that is in force
    weight_before: int = 0  # and the candidate's weight before it
    trial: Trial | None = None
    tried: tuple[int, ...] = ()  # stages in which a test was made
    history: Mapping[str, History] = field(default_factory=dict)  # by gate, before the first shift
    told: tuple[str, ...] = ()  # newer revisions a person was told of
    gates: Mapping[str, Accumulated] = field(default_factory=dict)
    own: tuple[OwnCount, ...] = ()
    unknown_until: datetime | None = None  # up to here our own requests are not known any more
    verdicts: Mapping[str, str] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    noted: int = 0
    heard: Mapping[str, int] = field(default_factory=dict)
    hand: Hand | None = None
    outcomes: tuple[Outcome, ...] = ()
    duty: str = ""
    after: str = ""
    served: int = 0  # requests of stages left behind, as far as counted
    seq: int = 0
    nonce: str = ""
    generation: int = 0
    at: datetime | None = None

    @property
    def outcome(self) -> Outcome | None:
        """Return this rollout's own outcome once it is done."""
        return self.outcomes[-1] if self.phase is Phase.DONE and self.outcomes else None

    def after_look(self, **seen: Unpack[Looked]) -> Record:
        """Return the record after a look: what `replace` does, for the fields that every look sets.

        `replace` hands on forty fields one by one; that, not the statistics, took the most of a
        look.
        """
        new = object.__new__(Record)
        new.__dict__.update(self.__dict__)
        new.__dict__.update(seen)
        return new

    @property
    def waits_for(self) -> str:
        """Return the region that must be promoted first, "" once this one has begun."""
        return self.after if self.phase is Phase.STARTING else ""

    def resumed(self, now: datetime) -> Record:
        """Return the record with its hold running on: the time it stood still does not count.

        While it is paused, a person is asked, or a test goes on, it stands still as before.
        """
        waits = self.paused is not None or self.ask is not None or self.trial is not None
        if self.stopped is None or waits:
            return self
        still = max(now - self.stopped, timedelta(0))
        return replace(self, stopped=None, uncounted=self.uncounted + still)

    def noting(self, at: datetime, what: str, reason: str, by: str = "") -> Record:
        """Return the record with one more transition; old ones fall off the end."""
        entry = Transition(at, what, cut(reason), by)
        kept = (*self.transitions, entry)[-TRANSITIONS_KEPT:]
        return replace(self, transitions=kept, noted=self.noted + 1)

    def without_last(self) -> Record:
        """Return the record without its last transition, which was not written yet."""
        return replace(self, transitions=self.transitions[:-1], noted=self.noted - 1)

    def numbered(self) -> tuple[tuple[int, Transition], ...]:
        """Return the transitions that are kept, each with its number."""
        first = self.noted - len(self.transitions) + 1
        return tuple(enumerate(self.transitions, start=first))


def cut(reason: str) -> str:
    """Cut a reason to 120 bytes of UTF-8: after a part of it ("; ") or a word, if there is one."""
    data = reason.encode()
    if len(data) <= REASON_BYTES_MAX:
        return reason
    room = data[: REASON_BYTES_MAX - 4].decode(errors="ignore")
    for end in ("; ", " "):
        kept, found, _ = room.rpartition(end)
        if found and len(kept) > len(room) // 2:
            return kept + " …"
    return room + "…"


def stamp(record: Record, generation: int, now: datetime) -> Record:
    """Return the record as it will be written: next sequence number, its nonce, what it is over.

    The nonce is derived, not drawn, so that the engine stays a function: it differs between two
    writers that decided at different instants, and two that decided the same at the same instant
    wrote the same thing.
    """
    seq = record.seq + 1
    text = f"{record.rollout}/{seq}/{generation}/{now.timestamp():.6f}"
    nonce = sha256(text.encode()).hexdigest()[:12]
    return replace(record, seq=seq, nonce=nonce, generation=generation, at=now)
