"""What strikes at a chosen time of a stage: by chance alone it seldom meets what it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from tests.simulation.scene import Incident, Scene

CHANCE = 1 / 5
SETTLING = 60  # seconds from a split in force until its hold begins (DESIGN.md §5)
LONG = 900.0  # seconds until the people on call see to it: longer than what is waited for
LOOK = 30  # seconds, about, until a look comes after what it waits for


@dataclass(frozen=True, slots=True)
class Span:
    """A stage in an undisturbed run, about. Seconds since the scene's start.

    asked: its split is asked for. over: its hold is over. left: its evidence covers that.
    """

    asked: float
    over: float
    left: float


def spans(scene: Scene) -> tuple[Span, ...]:
    """Return when a scene's stages are likely to begin and end; none that nobody approves."""
    found: list[Span] = []
    asked = 15.0 + scene.shape.reconcile
    for stage in scene.facts.stages:
        if stage.approval and scene.answers != "approve":
            break
        asked += scene.react if stage.approval else 0.0
        over = asked + scene.shape.reconcile + LOOK / 2 + SETTLING + stage.hold
        found.append(Span(asked, over, over + scene.facts.delay + LOOK))
        asked = found[-1].left
    return tuple(found)


def draw_timed(seed: int, scene: Scene) -> Scene:
    """Return the scene, in one of five with something that strikes at a time of its own."""
    rng = Random(seed * 5_000_011 + 3)
    if rng.random() >= CHANCE:
        return scene
    what, found = rng.choice(sorted(WHATS)), spans(scene)
    if not found:
        return scene
    # The later a stage is, the less is its time known.
    span = found[min(rng.randrange(len(found)), rng.randrange(len(found)))]
    made = WHATS[what](rng, scene, span)
    react = LONG if what == "paused at the end" else scene.react
    return replace(scene, incidents=(*scene.incidents, *made), react=react)


def _paused_at_the_end(rng: Random, scene: Scene, span: Span) -> tuple[Incident, ...]:
    """A person pauses when the hold is over, and only its last minutes are waited for."""
    start = span.over + rng.uniform(0, scene.facts.delay)
    return (Incident("say", "pause", start=start),)


def _lost(rng: Random, scene: Scene, span: Span) -> Incident:
    start = rng.uniform(span.asked, span.over)
    kind = rng.choice(("unready", "delete revision"))
    return Incident(kind, scene.candidate, start=start, end=start + rng.choice((300, 900)))


def _lost_alone(rng: Random, scene: Scene, span: Span) -> tuple[Incident, ...]:
    """The candidate is lost, and nothing else is wrong."""
    return (_lost(rng, scene, span),)


def _lost_while_blind(rng: Random, scene: Scene, span: Span) -> tuple[Incident, ...]:
    """The candidate is lost while Monitoring does not answer."""
    lost = _lost(rng, scene, span)
    status = rng.choice(("UNAVAILABLE", "PERMISSION_DENIED"))
    kind = rng.choice(("error", "error", "hang"))
    start, end = lost.start - rng.choice((60, 300)), lost.end + rng.choice((0, 1200))
    return (lost, Incident(kind, "monitoring", status, start=start, end=end))


def _lost_without_a_way_back(rng: Random, scene: Scene, span: Span) -> tuple[Incident, ...]:
    """The candidate is lost when stable has not been ready for long."""
    lost = _lost(rng, scene, span)
    start = max(0.0, lost.start - rng.choice((90, 500, 900)))
    end = lost.end + rng.choice((0, 600))
    ill = (Incident("unready", name, start=start, end=end) for name in sorted(scene.shape.before))
    return (*ill, lost)


def _never_in_force(rng: Random, _scene: Scene, span: Span) -> tuple[Incident, ...]:
    """A shift does not come into force, or for longer than it is waited for."""
    number = rng.choice((1200, 6000, 20_000))
    start = span.asked - rng.uniform(30, 200)
    return (Incident("shift slow", start=start, end=span.asked + 200, number=number),)


WHATS: Mapping[str, Callable[[Random, Scene, Span], tuple[Incident, ...]]] = {
    "paused at the end": _paused_at_the_end,
    "lost alone": _lost_alone,
    "lost while blind": _lost_while_blind,
    "lost without a way back": _lost_without_a_way_back,
    "never in force": _never_in_force,
}
