"""What can go wrong, or be done by somebody: every kind, and how one of it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.simulation.scene import Incident, Scene
from tests.simulation.service import SERVICE

CANDIDATE = f"{SERVICE}-00042-new"
OTHERS = (
    f"{SERVICE}-00041-old",
    f"{SERVICE}-00040-old",
    f"{SERVICE}-00039-old",
    f"{SERVICE}-00038-old",
)
WORDS = ("pause", "resume", "approve", "reject", "rollback", "cancel", "promote", "advance")
CALL_FAULTS = ("error", "lost", "late", "hang", "stale")  # what strikes calls
CALLS = ("get_service", "get_revision", "monitoring", "get", "put", "check", "any")
STATUSES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL")


@dataclass(frozen=True, slots=True)
class How:
    """How incidents of a kind are drawn. when: a window, the number of a call, or either.

    targets: MINE and STABLE stand for what the scene has.
    """

    targets: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    when: str = "window"
    often: bool = False
    kind: str = ""


MINE, STABLE = "candidate", "stable"
HOWS: Mapping[str, How] = {
    "error": How(CALLS, STATUSES, often=True),
    "lost": How(("put", "put", "any"), STATUSES, often=True),
    "late": How(("put",), (), (0.5, 5, 40, 200), often=True),
    "hang": How(CALLS, often=True),
    "stale": How(("get_service", "get", "any"), (), (3, 20, 120), often=True),
    "aborted": How(("put",), ("ABORTED",), often=True, kind="error"),
    "denied": How(CALLS, ("PERMISSION_DENIED",), kind="error"),
    "kill": How(numbers=(1, 30, 400), when="call"),
    "suspend": How(numbers=(70, 600, 3600), when="call"),
    "clock step": How(("controller-a", "controller-b"), (), (-300, -30, 30, 300, 4000)),
    "shift fails": How(numbers=(2, 30)),
    "shift slow": How(numbers=(120, 600, 1500, 6000)),
    "unready": How((MINE, MINE, STABLE)),
    "deploy": How(numbers=(1, 1, 0)),
    "delete revision": How((MINE, MINE, STABLE)),
    "delete service": How(),
    "traffic": How(numbers=(0, 0, 1, 30, 50, 100), when="either"),
    "forget": How(when="either"),
    "garbage": How((), ("{", "null", '{"v":1}', '{"v":2,"id":"x"}'), when="either"),
    "older record": How(when="either"),
    "say": How(WORDS, when="either"),
    "late points": How(numbers=(200, 600, 1800)),
    "hole": How(("", MINE, STABLE)),
    "changed points": How(numbers=(0.5, 1.5)),
    "no points": How(),
    "nan": How(),
    "turns bad": How((MINE, MINE, "both"), (), (0.05, 0.3, 1.0)),
    "app fails": How((MINE, STABLE)),
}
KINDS = tuple(HOWS)
LATER = ("message", "edit")  # drawn by a chance of their own


def drawn(rng: Random, kind: str, scene: Scene) -> Incident:
    """Draw an incident of a kind, all but when it strikes."""
    how = HOWS[kind]
    target = rng.choice(how.targets) if how.targets else ""
    return Incident(
        kind=how.kind or kind,
        target={MINE: CANDIDATE, STABLE: main_of(scene)}.get(target, target),
        status=rng.choice(how.statuses) if how.statuses else "",
        chance=rng.choice((1.0, 0.5, 0.2)) if how.often else 1.0,
        number=rng.choice(how.numbers) if how.numbers else 0.0,
    )


def main_of(scene: Scene) -> str:
    """Return the revision of stable that serves most."""
    before = scene.shape.before
    return max(before, key=lambda name: before[name])
