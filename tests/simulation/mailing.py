"""Who is told what by a drawn plan, and what becomes of messages on their way."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.simulation.scene import Incident, Scene

# As docs/notify.md has them; the first are told where `events` is not said.
SAID = frozenset(("asked", "outage", "stuck", "taken_over", "unwatched", "rolled_back", "promoted"))
ALL = SAID | {"cancelled", "started", "advanced", "stepped_back"}
EVERYTHING = (
    "notify:",
    f"  team: {{webhook: env:TEAM, events: [{', '.join(sorted(ALL))}]}}",
)
MET = ("hang", "lost", "500", "429", "404", "no connection")


def draw_mail(seed: int, scene: Scene, span: float) -> Scene:
    """Return the scene, in one of three with people to tell. Its chance is its own."""
    rng = Random(seed * 1_000_003 + 13)
    if rng.random() >= 1 / 3:
        return scene
    lines, wants = [*EVERYTHING], {"team": ALL}
    if rng.random() < 0.4:
        lines.append("  pager: {webhook: env:PAGER}")
        wants["pager"] = SAID
    number = rng.choice((0, 0, 1, 1, 2))
    met = tuple(_incident(rng, span, sorted(wants)) for _ in range(number))
    return replace(
        scene,
        plan=scene.plan + "\n".join(lines) + "\n",
        facts=replace(scene.facts, tells=wants),
        incidents=(*scene.incidents, *met),
    )


def tells_everything(scene: Scene) -> Scene:
    """Return the scene with a team that is told of everything, if nobody is told yet."""
    if scene.facts.tells:
        return scene
    facts = replace(scene.facts, tells={"team": ALL})
    return replace(scene, plan=scene.plan + "\n".join(EVERYTHING) + "\n", facts=facts)


def _incident(rng: Random, span: float, names: list[str]) -> Incident:
    start = rng.uniform(0, span)
    return Incident(
        "message",
        target=rng.choice((*names, "")),
        status=rng.choice(MET),
        start=start,
        end=start + rng.choice((60, 300, 900, 2400)),
        chance=rng.choice((1.0, 0.5, 0.2)),
    )
