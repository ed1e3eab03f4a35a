"""Whether what was seen of the world is what the plan allows; nothing is taken on trust."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from tests.simulation.wire.recorder import Sight

SETTLE = timedelta(seconds=60)  # from a split in force until the hold begins (DESIGN.md §5)
HEARTBEAT = timedelta(minutes=30)  # the record is not written more often without a reason


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a rollout. bad: the stage (0-based) in which the candidate fails, or None.

    stages: (percent, hold) of each.
    """

    candidate: str
    stable: str
    stages: tuple[tuple[int, timedelta], ...]
    bad: int | None = None

    @property
    def outcome(self) -> str:
        return "promoted" if self.bad is None else "rolled_back"

    @property
    def code(self) -> int:
        return 0 if self.bad is None else 3

    @property
    def weights(self) -> list[int]:
        """Return the candidate's weights, one after the other."""
        if self.bad is None:
            return [0, *(weight for weight, _ in self.stages)]
        return [0, *(weight for weight, _ in self.stages[: self.bad + 1]), 0]

    @property
    def transitions(self) -> list[str]:
        """Return what the record must tell of, in this order and nothing else."""
        told = ["started", "0% in force"]
        reached = self.stages if self.bad is None else self.stages[: self.bad + 1]
        for weight, _ in reached:
            told += [f"shift to {weight}%", f"{weight}% in force"]
        return [*told, *(["promoted"] if self.bad is None else ["roll back", "rolled back"])]

    @property
    def hasty(self) -> list[str]:
        """Return the same where a bad candidate is found out before its shift was seen in force.

        So it is when nobody could look meanwhile, and the minutes that were missed tell enough.
        """
        told = self.transitions
        return told if self.bad is None else [*told[:-3], *told[-2:]]


@dataclass(eq=False)
class Judge:
    """Looks through what was seen.

    violations: what must not be, and was. checks: how often what was looked at.
    """

    expected: Expected
    violations: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)

    def must(self, holds: bool, what: str, detail: object = "") -> None:  # noqa: FBT001
        """Note that something must hold, and whether it does."""
        self.checks[what] += 1
        if not holds:
            self.violations.append(f"{what}: {detail}")

    def judge(
        self, sights: list[Sight], *, codes: Iterable[int], processes: int, taken: int
    ) -> None:
        """Judge a whole rollout by all that was seen of it, in order.

        codes: how the processes that came to an end by themselves ended. processes: how many were
        started. taken: the writes that the server answered with 200, as far as the answer came.
        """
        self._each(sights)
        self._moves(sights)
        self._holds(sights)
        self._record(sights)
        self._writes(sights, processes, taken)
        self._end(sights[-1])
        for code in codes:
            self.must(code == self.expected.code, "the exit code tells the outcome", code)

    def _each(self, sights: list[Sight]) -> None:
        mine, first = self.expected.candidate, sights[0]
        largest = max(self.expected.weights)
        for sight in sights:
            asked, weight = sight.asked.get(mine, 0), sight.record.get("weight", 0)
            self.must(sum(sight.asked.values()) == 100, "traffic sums to 100", sight.asked)
            self.must(asked <= min(weight, largest), "at most the stage's weight", sight.asked)
            self.must(sight.template == first.template, "the template is left", sight.first)
            self.must(sight.tags == first.tags, "the users' tags are left", sight.tags)
            self.must(_users(sight) == _users(first), "others' annotations are left", sight.notes)

    def _moves(self, sights: list[Sight]) -> None:
        mine = self.expected.candidate
        asked = _runs(sight.asked.get(mine, 0) for sight in sights)
        what = "asked for: each weight of the plan once, in its order"
        self.must(asked == self.expected.weights, what, asked)
        in_force = _runs(sight.in_force.get(mine, 0) for sight in sights)
        rest = iter(self.expected.weights)  # a split may be in force for less than a look
        self.must(all(w in rest for w in in_force), "in force: the same, in that order", in_force)

    def _holds(self, sights: list[Sight]) -> None:
        """Each stage lasts for its hold at least, from write to write by the server's own times."""
        mine = self.expected.candidate
        begins: dict[int, Sight] = {}
        for sight in sights:
            begins.setdefault(sight.asked.get(mine, 0), sight)
        judged = self.expected.stages[: self.expected.bad]
        ends = [begins.get(weight) for weight, _ in self.expected.stages[1:]]
        last = sights[-1] if self.expected.bad is None else None
        for (weight, hold), end in zip(judged, [*ends, last], strict=False):
            begin = begins.get(weight)
            if begin is None or end is None:
                continue  # said by `_moves`
            served = end.written - begin.written
            self.must(served >= hold + SETTLE, "each hold is served", f"{weight}% for {served}")

    def _record(self, sights: list[Sight]) -> None:
        final = _transitions(sights[-1])
        told = [what for _, what, *_ in final]
        right = told in (self.expected.transitions, self.expected.hasty)
        self.must(right, "no transition is lost or doubled", told)
        for sight in sights:
            kept = _transitions(sight)
            self.must(kept == final[: len(kept)], "what the record told stays", kept)
        rollouts = {sight.record["id"] for sight in sights if sight.record}
        self.must(len(rollouts) == 1, "it is one rollout", rollouts)
        numbers = [sight.record.get("seq", 0) for sight in sights]
        self.must(numbers == sorted(numbers), "the record never goes back", numbers)

    def _writes(self, sights: list[Sight], processes: int, taken: int) -> None:
        first, last = sights[0], sights[-1]
        writes = last.generation - first.generation
        seq = last.record.get("seq", 0)
        self.must(writes == seq, "each write is over the one before", f"{writes}, record {seq}")
        self.must(taken <= writes, "a write that was told was taken", f"{taken} of {writes}")
        took = last.last - first.first
        bound = len(self.expected.transitions) + processes + took // HEARTBEAT + 1
        self.must(writes <= bound, "writes are bounded", f"{writes} by {processes} processes")

    def _end(self, last: Sight) -> None:
        one = self.expected.candidate if self.expected.bad is None else self.expected.stable
        self.must(last.asked == {one: 100}, "the end: all is asked of one", last.asked)
        self.must(last.in_force == {one: 100}, "the end: and in force", last.in_force)
        outcomes = [outcome[0] for outcome in last.record.get("outcomes", [])]
        self.must(outcomes == [self.expected.outcome], "one outcome, the right one", outcomes)


def _users(sight: Sight) -> dict[str, str]:
    """Return the annotations that nobody but their owner touches."""
    ours = ("serving.knative.dev/lastModifier", "run.googleapis.com/operation-id")
    return {key: value for key, value in sight.notes.items() if key not in ours}


def _transitions(sight: Sight) -> list[Any]:
    return list(sight.record.get("transitions", []))


def _runs(values: Iterable[int]) -> list[int]:
    """Return the values without repetitions."""
    kept = list(values)
    return kept[:1] + [after for before, after in pairwise(kept) if before != after]
