"""What happened, for people and scripts: few event names, a contract (DESIGN.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.gates.evidence import Minute
from controller.gates.history import History
from controller.gates.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Started:
    """A rollout began, or a process attached to one.

    history: what each gate is told of stable's last day.
    """

    at: datetime
    rollout: str
    service: str
    candidate: str
    stable: str
    stages: tuple[tuple[int, timedelta], ...]
    attached: bool
    changed: tuple[str, ...] = ()  # candidate against stable, a line each
    history: Mapping[str, History] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """The minutes that were new to this tick, by the metric's name, our own requests taken out."""

    at: datetime
    stage: int
    minutes: Mapping[str, tuple[Minute, ...]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate's verdict changed."""

    at: datetime
    gate: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided and why. action: a word ("wait", "shift", "roll_back" …).

    opens: when the window opens that all waits for, None where it waits for none.
    """

    at: datetime
    action: str
    reason: str
    look_again: timedelta
    opens: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shifted:
    """A split was asked for (in_force False) or came into force (True)."""

    at: datetime
    split: Mapping[str, int]
    in_force: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A person is needed. kind: a word of `record.AskKind`."""

    at: datetime
    kind: str
    reason: str
    stage: int


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for people. level: info | warning | shout."""

    at: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of this command, on every exit. next: commands that make sense now.

    observed: the outcome is what would have been; nothing was moved.
    regions: each one's outcome, where there are several.
    """

    at: datetime
    outcome: str
    reason: str
    split: Mapping[str, int] = field(default_factory=dict)
    took: timedelta | None = None
    served: int | None = None
    next: tuple[str, ...] = ()
    observed: bool = False
    regions: Mapping[str, str] = field(default_factory=dict)


Event = Started | Observed | Judged | Decided | Shifted | Asked | Message | Finished
