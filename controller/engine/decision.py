"""What a tick decides: always with a reason and with when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from controller.engine.deploying import Deploy
from controller.engine.events import Event
from controller.engine.observation import Target
from controller.engine.record import Record
from controller.gates.verdict import Verdict


class Action(StrEnum):
    """What is done now. Every action but WAIT, TAKEN_OVER and END writes."""

    START = "start"
    SHIFT = "shift"
    STEP_BACK = "step_back"
    ROLL_BACK = "roll_back"
    PROMOTE = "promote"
    ASK = "ask"
    NOTE = "note"  # a transition that moves no traffic, or a heartbeat
    CANCEL = "cancel"
    WAIT = "wait"
    TAKEN_OVER = "taken_over"
    END = "end"


class State(StrEnum):
    """The state a rollout is in after the decision (DESIGN.md §5)."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    ASKING = "asking"
    TAKEN_OVER = "taken_over"
    SHIFTING = "shifting"
    ROLLING_BACK = "rolling_back"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Write:
    """The traffic to ask for, with the decision's record. raises: the candidate gets more.

    deploy: the candidate, where it has yet to be made; only the first write has one.
    """

    targets: tuple[Target, ...]
    raises: bool = False
    deploy: Deploy | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. record: what is known now; it reaches the service only with `write`.

    only_a_person: nothing but a person's act can move the rollout on. opens: all that is missing
    is the plan's window, which opens then. unanswered: what would have led to a roll back, where
    another hand holds the traffic.
    """

    action: Action
    reason: str
    look_again: timedelta
    record: Record
    state: State
    write: Write | None = None
    events: tuple[Event, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    only_a_person: bool = False
    opens: datetime | None = None
    unanswered: str = ""

    def after_look(self, events: tuple[Event, ...], verdicts: Mapping[str, Verdict]) -> Decision:
        """Return the decision with the look's verdicts, and its events before the decision's own.

        Written out: `replace` takes several times as long, at every look.
        """
        return Decision(
            self.action, self.reason, self.look_again, self.record, self.state, self.write,
            (*events, *self.events), verdicts, self.only_a_person, self.opens, self.unanswered,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A person's act or a start that cannot be: why, what to do, and the exit code to end with."""

    reason: str
    mend: str = ""
    exit_code: int = 1
