"""What a policy is: it looks every minute and says what becomes of the rollout."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from benchmarks.gates.cells import Cell
from benchmarks.gates.worlds import MinuteSample


class Verdict(Enum):
    """What a look leads to. GO_ON: the stage goes on, also where its hold is over."""

    GO_ON = "go on"
    ADVANCE = "advance"
    ROLL_BACK = "roll back"
    STEP_BACK = "step back"


History = Callable[[], list[MinuteSample]]
"""Drawn only for who asks: it costs more than the rollout."""


class Policy(Protocol):
    """One rule with its settings; an object serves one rollout.

    memory: minutes after which a minute without requests can no longer change its verdict within
    a hold; the driver leaves such looks out. sees_stable: whether stable's requests alone count as
    such. reaction: minutes from ROLL_BACK to the shift.
    """

    memory: int
    sees_stable: bool
    reaction: int

    def begin(self, cell: Cell, history: History) -> None:
        """Start; history(): stable's 24 hours before, in batches of 15 minutes, oldest first."""

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        """Judge: `sample` is the minute that became visible (served maybe in the stage before).

        stage, held: the stage the rollout is in now and for how many minutes, the one that just
        ended counted. Stage -1 is a step back to 0%.
        """
