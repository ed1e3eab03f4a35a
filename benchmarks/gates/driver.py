"""One rollout: a world, a policy, and the stages between them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.gates.cells import DELAY, PATIENCE, WEIGHTS
from benchmarks.gates.policy import Policy, Verdict
from benchmarks.gates.worlds import MinuteSample, World


class End(StrEnum):
    """How a rollout ended. HELD: a person would have been asked."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Outcome:
    """minute: the last minute the decision saw. excess: failed requests it cost beyond stable's.

    seen: the candidate's requests the decision rests on. lasted: minutes from the first shift.
    """

    end: End
    minute: int
    excess: float
    seen: int
    lasted: int


class _Run:
    """The rollout's state between minutes."""

    def __init__(self, world: World) -> None:
        self.world, self.excess, self.seen = world, 0.0, 0
        self.stage, self.entered, self.shifted, self.third = 0, 0, 0, -1

    def serve(self, t: int) -> MinuteSample | None:
        """Serve minute t at the weight of now."""
        weight = WEIGHTS[self.stage] if self.stage >= 0 else 0
        served = self.world.minute(t, weight, self.shifted, self.third)
        if served is not None:
            self.excess += served.excess
        return served

    def move(self, by: int, t: int) -> None:
        """Go to the next or the previous stage; minute t is its first."""
        self.stage = max(-1, self.stage + by)
        self.entered = t
        self.shifted = t if by > 0 else -2
        if self.stage == 2 and self.third < 0:
            self.third = t

    def ended(self, verdict: Verdict, held: int) -> End | None:
        """Tell how the verdict ends the rollout; None while it goes on."""
        if verdict is Verdict.ROLL_BACK:
            return End.ROLLED_BACK
        if verdict is Verdict.ADVANCE and self.stage == len(WEIGHTS) - 1:
            return End.PROMOTED
        over = verdict is Verdict.GO_ON and held >= PATIENCE * self.world.cell.hold
        return End.HELD if over else None


def roll_out(world: World, policy: Policy) -> Outcome:
    """Run one rollout to its end. What a decision changes, it changes for the next minute."""
    hold = world.cell.hold
    policy.begin(world.cell, world.history)
    run = _Run(world)
    waiting: deque[MinuteSample | None] = deque()
    t, last = -1, -(10**6)
    while True:
        t += 1
        waiting.append(run.serve(t))
        if len(waiting) <= DELAY:
            continue
        sample, held = waiting.popleft(), t + 1 - run.entered
        if sample is not None and (sample.n_c or policy.sees_stable):
            last, run.seen = t, run.seen + sample.n_c
        elif t - last > policy.memory and held < hold:
            if not any(waiting):  # nothing on its way either: on to where something happens
                t = max(t, min(world.next_busy(t + 1), run.entered + hold - 1) - 1)
            continue
        verdict = policy.look(t - DELAY, run.stage, held, sample)
        end = run.ended(verdict, held)
        if end is not None:
            after = policy.reaction if end is End.ROLLED_BACK else 0
            for i in range(after):
                run.serve(t + 1 + i)
            return Outcome(end, t - DELAY, run.excess, run.seen, t + 1 + after)
        if verdict is not Verdict.GO_ON:
            run.move(+1 if verdict is Verdict.ADVANCE else -1, t + 1)
