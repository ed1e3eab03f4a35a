"""What the observer knows of the world: the record, the state, and whose hand traffic is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.baton import SECOND
from tests.simulation.cloud import Cloud
from tests.simulation.measured import Measured
from tests.simulation.noted import Noted, noted
from tests.simulation.scene import Scene
from tests.simulation.service import Service
from tests.simulation.told import Told

HIDING = {"late points", "hole", "changed points", "no points", "nan", "deploy"}


@dataclass(eq=False)
class View:
    """The world of one run, seen from outside. violations: what must never be, and was.

    ours: the service as it stood after the last write through rollout. hand, hand_at: who else
    wrote since, and when; hand_noted: and rollout noted it. next_one: a later rollout, of another
    candidate, began. before: of the region that comes first.
    """

    scene: Scene
    cloud: Cloud
    measured: Measured
    say: Callable[[str], None]
    violations: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    ours: Service | None = None
    hand: str = ""
    hand_at: int = 0
    hand_noted: bool = False
    next_one: bool = False
    edited: bool = False
    disturbed: bool = False
    before: View | None = None
    _noted: tuple[str | None, Noted | None] = (None, None)

    def __post_init__(self) -> None:
        self.facts = self.scene.facts  # of the plan that the record has
        self.told = Told(self.scene.facts.tells, self.cloud.region)
        timed = (one for one in self.scene.incidents if one.aim is None)
        self.last_incident = max((max(one.start, one.end) for one in timed), default=0.0)
        # Where a write of annotations alone moves no version, the server lets the next one pass
        # over it unseen: nothing that a client does can hold what only annotations said.
        self.guarded = self.scene.shape.version_on_notes
        self.drift = sum(abs(p.skew) for p in self.scene.processes) + sum(
            abs(i.number) for i in self.scene.incidents if i.kind == "clock step"
        )

    def violated(self, what: str, detail: str) -> None:
        """Note a violation."""
        at = self.cloud.baton.now / SECOND
        text = f"{what}: {detail} (at {at:.1f} s)"
        if len(self.violations) < 5:
            self.violations.append(text)
        self.say(f"*** {text}")

    def must(self, holds: bool, what: str, detail: Callable[[], str]) -> None:  # noqa: FBT001
        """Note that an invariant was looked at, and its violation where it does not hold."""
        self.checks[f"checked {what}"] += 1
        if not holds:
            self.violated(what, detail())

    def record(self) -> Noted | None:
        """Return what stands in the service now."""
        text = self.cloud.service.record if self.cloud.service is not None else None
        if self._noted[0] != text or text is None:
            self._noted = (text, noted(text))
        return self._noted[1]

    def state(self) -> str:
        """Return the state of the rollout, as DESIGN.md §5 names them."""
        service, record = self.cloud.service, self.record()
        if self.taken_over():
            return "taken over"
        if service is None or record is None:
            return "none"
        if record.phase in ("done", "rolling_back"):
            return record.phase.replace("_", " ")
        if record.ask:
            return "asking"
        if record.paused:
            return "paused"
        if record.shifting or record.phase == "promoting":
            return "shifting"
        return record.phase

    def stage_kind(self) -> str:
        """Return what kind of stage the rollout is in."""
        record = self.record()
        stages = self.facts.stages
        if record is None or record.stage < 0:
            return "before the first"
        if record.stage == len(stages) - 1:
            return "the last"
        return "the first" if record.stage == 0 else "between"

    def taken_over(self) -> bool:
        """Tell whether another hand changed what our last write left."""
        ours, now = self.ours, self.cloud.service
        if ours is None:
            return False
        last = noted(ours.record)
        if last is None:
            return False
        if last.phase == "done":  # what is active now is an older record, written back
            left = self.record()
            same = now is not None and now.uid == ours.uid
            return same and left is not None and left.phase != "done"
        return (
            now is None
            or self.is_held(now, last)
            or now.uid != ours.uid
            or now.asked != ours.asked
            or now.record != ours.record
        )

    def is_held(self, service: Service, record: Noted) -> bool:
        """Tell whether another hand's split, noted in our record, is still what is asked for."""
        return self.hand_noted and service.asked.get(self.scene.candidate, 0) != record.weight

    def is_hopeless(self) -> bool:
        """Tell whether all that traffic was asked for is deleted: a rollout can only shout then."""
        service = self.cloud.service
        return service is not None and not service.asked.keys() & service.revisions.keys()

    def cannot_be_written(self) -> bool:
        """Tell whether stable is deleted while it serves: whatever repeats its share is refused."""
        service, record = self.cloud.service, self.record()
        if service is None or record is None or record.before.keys() & service.revisions.keys():
            return False
        return bool(service.asked.keys() - service.revisions.keys())

    def plainly_bad(self) -> bool:
        """Tell whether the candidate fails at 12% and more, and nothing hides it or blames stable.

        The limit is 4%: a hundred requests settle it, where what is told of them is true.
        """
        truths = self.scene.truths
        if not self.scene.facts.catches:
            return False
        if truths[self.scene.candidate].errors < 0.1 or truths["*"].errors >= 0.01:
            return False
        return not any(i.kind in HIDING or i.target == "both" for i in self.scene.incidents)

    def in_force_since(self, service: Service) -> int:
        """Return since when the candidate's weight in force is what it is now."""
        mine = self.scene.candidate
        share = service.asked.get(mine, 0) / 100
        since = self.cloud.baton.now
        for at, shares in reversed(self.cloud.spans):
            if abs(shares.get(mine, 0.0) - share) > 1e-9:
                break
            since = at
        return since

    def outcome(self) -> str:
        """Return how it ended, or what it waits for."""
        record = self.record()
        if self.taken_over():
            return "taken over"
        if record is None:
            return "nothing"
        if record.outcome:
            return record.outcome
        return f"waits: {record.ask}" if record.ask else "paused" if record.paused else record.phase
