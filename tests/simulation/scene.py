"""What a seed means: a scene, frozen, written down before anything runs.

Times are seconds since the scene's start (float or int), latencies milliseconds, shares fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Truth:
    """How a revision really behaves. errors: share of 5xx. gauge: its app's own metric."""

    errors: float = 0.002
    latency: float = 120.0
    gauge: float = 0.9
    health: int = 200


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What the observer must know of a stage. hold: seconds."""

    weight: int
    hold: int
    approval: bool = False


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What the observer must know of the plan, besides its text.

    needs_data: a stage may only be left with requests seen. may_advance_blind: the plan itself says
    to go on when evidence is missing. catches: a gate on errors rolls back at 4% of them. interval:
    seconds between two looks, at most.
    """

    stages: tuple[StageFacts, ...]
    gated: bool
    needs_data: bool
    may_advance_blind: bool
    early: bool
    catches: bool
    interval: int
    delay: int
    waits: int  # seconds that asks, outages and extensions may take by the plan itself
    checked: bool
    step_back: bool
    tells: Mapping[str, frozenset[str]] = field(default_factory=dict)  # whom, of which events


@dataclass(frozen=True, slots=True)
class Edit:
    """What the plan's file says after somebody edited it. replan: `apply --replan` from the first.

    Else whoever runs `apply` is refused once, and then says so.
    """

    plan: str
    facts: PlanFacts
    replan: bool


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the rollout must be for an incident to come. nth: at that call there, 0 at once.

    state, stage: as the observer names states and kinds of stage.
    """

    state: str
    stage: str
    nth: int = 0

    def __str__(self) -> str:
        call = f" (call {self.nth} there)" if self.nth else ""
        return f"{self.state}, {self.stage}{call}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that goes wrong, or that somebody does.

    kind: what (see `incidents`). target: which calls, or which revision. status: an error's name.
    start, end: when it holds. nth: instead, the number of the call at which it happens. aim:
    instead, where the rollout must be; start and end count from then. chance: how often it strikes
    while it holds. number: whatever else the kind needs. before: of that call's effect, else after
    it.
    """

    kind: str
    target: str = ""
    status: str = ""
    start: float = 0.0
    end: float = 0.0
    nth: int = 0
    chance: float = 1.0
    number: float = 0.0
    before: bool = True
    aim: Aim | None = None

    def met(self, now: float) -> Incident:
        """Return it as it comes when its aim is met, at so many seconds."""
        return replace(self, aim=None, start=now + self.start, end=now + self.end)

    def __str__(self) -> str:
        when = f"call {self.nth}" if self.nth else f"{self.start:.0f}..{self.end:.0f} s"
        when = f"{self.aim}, {when}" if self.aim is not None else when
        words = [self.kind, self.target, self.status]
        extra = f" ({self.number:g})" if self.number else ""
        often = f" {self.chance:.0%}" if self.chance < 1 else ""
        side = "" if not self.nth else " before" if self.before else " after"
        return f"{' '.join(w for w in words if w)}{extra} at {when}{side}{often}"


@dataclass(frozen=True, slots=True)
class Process:
    """A controller. schedule: seconds between passes, 0 for one that stays. skew: its clock's.

    ticks: its passes are those of `tick`, which begins nothing; else of `apply --no-wait`.
    """

    name: str
    schedule: int = 0
    skew: float = 0.0
    starts: float = 0.0
    ticks: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The service before: revision → percent; latest: LATEST stands for the greatest of them.

    tags: users' own, tag → revision. Variants of what is not known of Cloud Run:
    generation_on_notes: a write of annotations alone raises the generation. version_on_notes: it
    moves the version that a later write is checked against. version_on_status: a change of status
    moves it too. refuses_missing: a traffic list with a revision that does not exist is refused at
    once, else it never comes into force.
    """

    before: Mapping[str, int]
    latest: bool
    tags: Mapping[str, str]
    reconcile: float
    generation_on_notes: bool = True
    version_on_notes: bool = True
    version_on_status: bool = False
    refuses_missing: bool = True


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a run follows from."""

    seed: int
    plan: str
    facts: PlanFacts
    shape: Shape
    candidate: str
    truths: Mapping[str, Truth]
    character: str
    rate: float
    lag: float
    processes: tuple[Process, ...]
    answers: str  # what the people on call say when asked: approve, reject, nobody
    react: float
    slow: float  # how long a call may take, seconds
    incidents: tuple[Incident, ...] = ()
    edit: Edit | None = None  # an incident of that kind says when

    def without(self, index: int) -> Scene:
        """Return the scene with one incident less."""
        return self.with_only(self.incidents[:index] + self.incidents[index + 1 :])

    def with_only(self, incidents: tuple[Incident, ...]) -> Scene:
        """Return the scene with other incidents."""
        return replace(self, incidents=incidents)
