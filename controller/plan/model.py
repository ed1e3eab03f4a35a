"""The typed plan: what a rollout plan says once it has been read and found right.

Here live frozen values only. Reading YAML, defaults taken from it, and every error message
are in `reader`; the compact form kept in the record is in `compact`.

Units, everywhere: weights are whole percents 1..100; rates and shares are fractions 0..1;
latencies are milliseconds; times are timedeltas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any


class OnFail(StrEnum):
    """What a failed gate or check leads to."""

    ROLL_BACK = "roll_back"
    STEP_BACK = "step_back"
    ASK = "ask"
    OBSERVE = "observe"


class Then(StrEnum):
    """The plan's answer when a time has passed and nothing was decided."""

    ASK = "ask"
    ADVANCE = "advance"
    ROLL_BACK = "roll_back"


class NewRevision(StrEnum):
    """What a deploy in the middle of a rollout leads to."""

    IGNORE = "ignore"
    ASK = "ask"
    REPLACE = "replace"


class CheckWhen(StrEnum):
    """When a check is sent."""

    BEFORE = "before"  # once, before the first shift
    STAGES = "stages"  # at every tick of a stage with a hold
    ALWAYS = "always"  # both; the default


@dataclass(frozen=True, slots=True)
class ResponseRate:
    """The share of requests whose response code is one of `codes`, from `request_count`.

    codes: exact codes ("429") or classes ("5xx"), as Cloud Monitoring names them.
    counts_failures: whether those requests are the bad ones (error rate) or the good ones
    (success rate).
    """

    codes: tuple[str, ...]
    counts_failures: bool


@dataclass(frozen=True, slots=True)
class Latency:
    """`request_latencies` in milliseconds: a percentile (50..99.9), or None for the mean."""

    percentile: float | None


@dataclass(frozen=True, slots=True)
class RequestCount:
    """The number of requests the candidate served in the stage; a condition to advance only."""


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """Any metric type of Cloud Monitoring, as one number a minute and revision.

    filter: further filter text, joined with AND, or "". aligner/reducer: Cloud Monitoring's names
    ("ALIGN_MEAN"), or None for what fits the metric's kind. revision_label: the label that names
    the revision ("resource.labels.revision_name", "metric.labels.revision"). percentile: for
    distribution metrics, else None.
    """

    type: str
    filter: str = ""
    aligner: str | None = None
    reducer: str | None = None
    revision_label: str = "resource.labels.revision_name"
    percentile: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Every plan's own gate: do the candidate's requests arrive?

    share: of the requests that its weight promises, the least that must reach it (a fraction).
    Cloud Run counts a request only once it has reached a container.
    """

    share: float


@dataclass(frozen=True, slots=True)
class FailedRequests:
    """`max_failed_requests`: failed requests in excess of stable's rate, over the whole rollout."""

    budget: int


Metric = ResponseRate | Latency | RequestCount | CustomMetric | Arrival | FailedRequests


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of one gate. None: that limit is not set.

    Exactly one of `maximum` and `minimum` is set where the gate has a limit to advance.
    roll_back: beyond it the candidate is rolled back (already defaulted to the limit to advance).
    emergency: beyond it at once and without comparing with stable. All in the metric's unit.
    """

    maximum: float | None = None
    minimum: float | None = None
    roll_back: float | None = None
    emergency: float | None = None

    @property
    def to_advance(self) -> float | None:
        """Return the limit to advance, whichever side it is on."""
        return self.maximum if self.maximum is not None else self.minimum

    @property
    def lower_is_better(self) -> bool:
        """Tell whether small values are good ones (a maximum is set)."""
        return self.minimum is None


@dataclass(frozen=True, slots=True)
class Versus:
    """How the candidate may differ from stable over the same minutes; exactly one is set.

    ratio: the candidate's (for a success rate: its failures') at most this many times stable's.
    worse_by: worse by at most this much, in the metric's unit (rates: fraction).
    better_by: must be better by this fraction of stable's value (0.1 = 10%); a condition to
    advance only.
    """

    ratio: float | None = None
    worse_by: float | None = None
    better_by: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a metric. stages: weights in which it is judged, None for all.

    bounds: (least, greatest) value that one minute of a mean can have, None where it is not said.
    """

    name: str
    metric: Metric
    limits: Limits
    versus_stable: Versus | None
    stages: frozenset[int] | None = None
    on_fail: OnFail = OnFail.ROLL_BACK
    bounds: tuple[float, ...] | None = None
    line: int = field(default=0, compare=False)

    @property
    def only_advances(self) -> bool:
        """Tell whether it is a condition to advance only: not met is undecided, never a fail."""
        versus = self.versus_stable
        return isinstance(self.metric, RequestCount) or (
            versus is not None and versus.better_by is not None
        )


@dataclass(frozen=True, slots=True)
class Ref:
    """A name known only while the rollout runs ("candidate.url", "item") and its filters."""

    path: str
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A string of the plan with what is filled in later; env and var are filled in already."""

    parts: tuple[str | Ref, ...]

    @property
    def open(self) -> tuple[Ref, ...]:
        """Return the parts that are filled in later."""
        return tuple(part for part in self.parts if isinstance(part, Ref))

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the names this text still needs."""
        return tuple(ref.path for ref in self.open)


@dataclass(frozen=True, slots=True)
class Expect:
    """What an answer must be. status: exact HTTP codes. body: JSON subset, or ABSENT for any.

    Objects match as subsets, lists and scalars must be equal; strings in it may be `Text`.
    """

    status: tuple[int, ...] = (200,)
    body: Any = None
    has_body: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """An HTTP request of ours with expectations.

    body: JSON with `Text` for its strings. headers: values may be "env:NAME", a reference that is
    resolved only when the request is sent. each: one request per item, `{{ item }}` in its texts.
    id_token: the audience of the ID token that goes with it; None: the service's own URL, where it
    asks who calls; "": none is ever sent.
    """

    name: str
    method: str
    url: Text
    expect: Expect
    headers: Mapping[str, Text] = field(default_factory=dict)
    body: Any = None
    each: tuple[str, ...] = ()
    when: CheckWhen = CheckWhen.ALWAYS
    on_fail: OnFail = OnFail.ROLL_BACK
    timeout: timedelta = timedelta(seconds=10)
    id_token: str | None = None

    @property
    def texts(self) -> tuple[Text, ...]:
        """Return every text of the request and of what is expected."""
        values = (self.url, *self.headers.values(), self.body, self.expect.body)
        return tuple(text for value in values for text in texts_in(value))

    @property
    def refs(self) -> frozenset[str]:
        """Return every name its URL, headers and bodies still need ("stable.url", "item")."""
        return frozenset(name for text in self.texts for name in text.refs)


@dataclass(frozen=True, slots=True)
class Stage:
    """A weight and a hold. limits: this stage's own numbers by gate, merged and complete.

    early: it is left as soon as every gate's proof is there, before the hold is over.
    """

    weight: int
    hold: timedelta
    approval: bool = False
    limits: Mapping[str, Limits] = field(default_factory=dict)
    early: bool = False


ARRIVAL_GATE, BUDGET_GATE = "arrival", "failed-requests"  # the names of gates nobody wrote


class Needs(StrEnum):
    """What a gate must show before its stage is left."""

    SAMPLE = "sample"  # a minimum sample, and the estimate within the limit to advance
    PROOF = "proof"  # the 95% confidence sequence within the limit to advance
    CLEAN = "clean"  # the estimate within the limit, of whatever was seen: for small services


FALSE_ROLLBACK = 0.01
ARRIVAL = 0.5


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """How evidence is gathered.

    interval: between two looks, None for automatic (1 minute in a stage's first two hours, then
    hold/300, at most 5 minutes). delay: what is younger is not scored; custom_delay: the same for
    custom metrics. warm_up: the time after each shift that is no evidence of latency or of custom
    metrics (cold starts; failures always count). false_rollback: the chance, at most, that the
    whole rollout rolls back a candidate that is within its limits (fraction). arrival: the share
    of its promised requests that the candidate must get (fraction), 0: not looked at.
    """

    interval: timedelta | None = None
    delay: timedelta = timedelta(minutes=4)
    custom_delay: timedelta = timedelta(minutes=10)
    warm_up: timedelta = timedelta(minutes=2)
    needs: Needs = Needs.SAMPLE
    false_rollback: float = FALSE_ROLLBACK
    arrival: float = ARRIVAL


@dataclass(frozen=True, slots=True)
class WhenUndecided:
    """extend_by: how much longer a stage is watched, once; None: as long as its own hold."""

    extend_by: timedelta | None = None
    then: Then = Then.ASK


@dataclass(frozen=True, slots=True)
class WhenMonitoringOut:
    """hold: how long Monitoring may be silent before `then`."""

    hold: timedelta = timedelta(hours=2)
    then: Then = Then.ASK


@dataclass(frozen=True, slots=True)
class WhenNobodyAnswers:
    """after: how long an ask waits before `then` (never ASK). Approvals have one of their own."""

    after: timedelta = timedelta(hours=24)
    then: Then = Then.ROLL_BACK


class BothFailing(StrEnum):
    """What to do while stable fails as the candidate does."""

    TEST = "test"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Freeze:
    """Days on which nothing advances, the first and the last included."""

    first: date
    last: date


EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
DAY_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class AdvanceOnly:
    """The window in which a rollout advances, by the clocks of a place (`window`).

    zone: a name of the tz database. days: ISO weekdays (Monday is 1) on which the window begins.
    begins, ends: minutes after midnight, ends at most 1440; an end before the beginning is on the
    next day. freezes: days of that place without any window, whichever day it began on.
    """

    zone: str
    days: tuple[int, ...] = EVERY_DAY
    begins: int = 0
    ends: int = DAY_MINUTES
    freezes: tuple[Freeze, ...] = ()


@dataclass(frozen=True, slots=True)
class When:
    """What to do when nobody is there to say.

    approvals: None lets an approval wait for ever. advance_only: None advances at any time.
    """

    undecided: WhenUndecided = WhenUndecided()
    monitoring_out: WhenMonitoringOut = WhenMonitoringOut()
    both_failing: BothFailing = BothFailing.TEST
    nobody_answers: WhenNobodyAnswers = WhenNobodyAnswers()
    new_revision: NewRevision = NewRevision.IGNORE
    approvals: WhenNobodyAnswers | None = None
    advance_only: AdvanceOnly | None = None


class Form(StrEnum):
    """How a message to people is written."""

    SLACK = "slack"
    GOOGLE_CHAT = "google_chat"
    WEBHOOK = "webhook"  # one JSON object


class Heard(StrEnum):
    """What people can be told of."""

    STARTED = "started"
    ADVANCED = "advanced"
    STEPPED_BACK = "stepped_back"
    ASKED = "asked"
    OUTAGE = "outage"  # Monitoring does not answer
    STUCK = "stuck"  # a roll back does not come into force
    TAKEN_OVER = "taken_over"
    NOT_ROLLED_BACK = "not_rolled_back"  # the candidate fails, and another hand, or no way back
    UNWATCHED = "unwatched"  # nobody looked for too long; said by the next who does
    ROLLED_BACK = "rolled_back"
    PROMOTED = "promoted"
    CANCELLED = "cancelled"


HEARD_BY_DEFAULT = (
    Heard.ASKED,
    Heard.ROLLED_BACK,
    Heard.PROMOTED,
    Heard.TAKEN_OVER,
    Heard.OUTAGE,
    Heard.UNWATCHED,
    Heard.STUCK,
    Heard.NOT_ROLLED_BACK,
)


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom to tell of what. url, and every header's value: "env:NAME", never the secret itself.

    headers: of a webhook only. text: the message, None for ours.
    """

    name: str
    form: Form
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Heard, ...] = HEARD_BY_DEFAULT
    text: Text | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Which revision is rolled out: by name, by tag, or (both None) the latest ready one."""

    revision: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One rollout plan. project/region: None where the plan leaves them to flags or environment.

    own_gates: the gates that nobody wrote: requests arrive, not too many have failed. level: each
    gate's share of `false_rollback` (a fraction). proves: whether proofs are wanted, of the plan or
    to leave a stage early. exact_codes: whether some gate names a single response code ("429"), so
    that all are asked for. They follow from the rest, and are computed once: every look at a
    rollout asks for them.
    """

    service: str
    project: str | None
    region: str | None
    candidate: Candidate
    stages: tuple[Stage, ...]
    gates: tuple[Gate, ...] = ()
    checks: tuple[Check, ...] = ()
    evidence: EvidenceRules = EvidenceRules()
    when: When = When()
    max_failed_requests: int = 0  # 0: no budget
    notify: tuple[Notify, ...] = ()
    later_regions: tuple[str, ...] = ()  # after `region`, in this order, one at a time
    own_gates: tuple[Gate, ...] = field(init=False, repr=False, compare=False)
    level: float = field(init=False, repr=False, compare=False)
    proves: bool = field(init=False, repr=False, compare=False)
    exact_codes: bool = field(init=False, repr=False, compare=False)
    _judged: tuple[tuple[Gate, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own_gates", self._own_gates())
        object.__setattr__(self, "level", self._level())
        early = any(stage.early for stage in self.stages)
        object.__setattr__(self, "proves", self.evidence.needs is Needs.PROOF or early)
        object.__setattr__(self, "exact_codes", self._exact_codes())
        judged = tuple(self._gates_in(stage) for stage in self.stages)
        object.__setattr__(self, "_judged", judged)

    @property
    def regions(self) -> tuple[str, ...]:
        """Return every region the plan names, in the order they are rolled out."""
        return (self.region, *self.later_regions) if self.region is not None else ()

    def gates_at(self, stage: int) -> tuple[Gate, ...]:
        """Return the gates judged in stage number `stage` (0-based), with that stage's limits."""
        return self._judged[stage]

    def _gates_in(self, here: Stage) -> tuple[Gate, ...]:
        written = tuple(
            gate if gate.name not in here.limits else _with_limits(gate, here.limits[gate.name])
            for gate in self.gates
            if gate.stages is None or here.weight in gate.stages
        )
        own = (
            gate
            for gate in self.own_gates
            if here.weight < 100 or not isinstance(gate.metric, Arrival)
        )
        return (*written, *own)

    def _own_gates(self) -> tuple[Gate, ...]:
        if not self.gates:
            return ()
        found = []
        if self.evidence.arrival:
            found.append(Gate(ARRIVAL_GATE, Arrival(self.evidence.arrival), Limits(), None))
        if self.max_failed_requests:
            metric = FailedRequests(self.max_failed_requests)
            found.append(Gate(BUDGET_GATE, metric, Limits(), None))
        return tuple(found)

    def _exact_codes(self) -> bool:
        rates = [gate.metric for gate in self.gates if isinstance(gate.metric, ResponseRate)]
        return any(not code.endswith("xx") for metric in rates for code in metric.codes)

    def _level(self) -> float:
        """Return what each gate gets where all share equally.

        Gates that cannot roll back take no share (the union bound needs none for them). Regions
        share it too: it is the chance that the whole rollout goes back for nothing.
        """
        sharing = [
            gate
            for gate in (*self.gates, *self.own_gates)
            if not gate.only_advances and gate.on_fail is not OnFail.OBSERVE
        ]
        return self.evidence.false_rollback / max(len(sharing), 1) / max(len(self.regions), 1)

    def needs(self, ref: str) -> bool:
        """Tell whether any check's URL, header or body needs `ref` ("stable.url")."""
        return any(ref in check.refs for check in self.checks)


def _with_limits(gate: Gate, limits: Limits) -> Gate:
    return replace(gate, limits=limits)


def texts_in(value: Any) -> tuple[Text, ...]:
    """Return every `Text` inside a JSON-like value, in order."""
    match value:
        case Text():
            return (value,)
        case Mapping():
            return tuple(text for item in value.values() for text in texts_in(item))
        case list() | tuple():
            return tuple(text for item in value for text in texts_in(item))
        case _:
            return ()
