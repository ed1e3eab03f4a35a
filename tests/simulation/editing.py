"""A plan's file edited while its rollout is under way: which edits, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.simulation.scene import Aim, Edit, Incident, PlanFacts, Process, Scene, StageFacts

Stages = list[tuple[StageFacts, str]]
"""What is known of each stage, and what its line says beside that."""


def draw_edit(seed: int, scene: Scene, span: float) -> Scene:
    """Return the scene, in one of seven with an edit. Its chance is its own: no other moves."""
    rng = Random(seed * 1_000_003 + 11)
    if rng.random() >= 1 / 7:
        return scene
    edit = Edit(*edited(rng, scene.plan, scene.facts), replan=rng.random() < 0.5)
    incident = Incident(
        "edit", target=_who_restarts(rng, scene.processes), start=rng.uniform(0, span)
    )
    return replace(scene, edit=edit, incidents=(*scene.incidents, incident))


def with_edit(rng: Random, scene: Scene, aim: Aim) -> Scene:
    """Return the scene with an edit that comes when the rollout is somewhere."""
    edit = Edit(*edited(rng, scene.plan, scene.facts), replan=rng.random() < 0.5)
    incident = Incident("edit", target=_who_restarts(rng, scene.processes), aim=aim)
    return replace(scene, edit=edit, incidents=(*scene.incidents, incident))


def edited(rng: Random, plan: str, facts: PlanFacts) -> tuple[str, PlanFacts]:
    """Return a plan's text and facts with one stage changed, added or dropped."""
    lines = plan.splitlines()
    places = [at for at, line in enumerate(lines) if line.startswith("  - {weight:")]
    stages = [
        (stage, lines[at].partition(", limits: ")[2].removesuffix("}"))
        for stage, at in zip(facts.stages, places, strict=True)
    ]
    at = rng.randrange(len(stages))
    named = "stages: [" in plan  # a gate names a stage by its weight
    ways: list[Callable[[Random, Stages, int], None]] = [_hold, _approval]
    ways += [] if named else [_weight, _insert, _drop]
    ways += [_limits] if "  errors: {" in plan else []
    rng.choice(ways)(rng, stages, at)
    texts = [_line(stage, limits) for stage, limits in stages]
    lines[places[0] : places[-1] + 1] = texts
    changed = replace(facts, stages=tuple(stage for stage, _ in stages))
    return "\n".join(lines) + "\n", changed


def _who_restarts(rng: Random, processes: tuple[Process, ...]) -> str:
    """Return the staying controller that its person ends and starts again with the new file."""
    staying = [process.name for process in processes if not process.schedule]
    return rng.choice(staying) if staying else ""


def _line(stage: StageFacts, limits: str) -> str:
    extra = ", approval: required" if stage.approval else ""
    extra += f", limits: {limits}" if limits else ""
    return f"  - {{weight: {stage.weight}%, hold: {stage.hold}s{extra}}}"


def _hold(rng: Random, stages: Stages, at: int) -> None:
    stage, limits = stages[at]
    stages[at] = replace(stage, hold=rng.choice((stage.hold * 2, stage.hold // 2, 60))), limits


def _approval(rng: Random, stages: Stages, at: int) -> None:
    del rng
    stage, limits = stages[at]
    stages[at] = replace(stage, approval=not stage.approval), limits


def _limits(rng: Random, stages: Stages, at: int) -> None:
    stages[at] = stages[at][0], f"{{errors: {{max: {rng.choice(('1%', '1.5%', '3%'))}}}}}"


def _weight(rng: Random, stages: Stages, at: int) -> None:
    room = _room(stages, at, at + 1)
    if room and at < len(stages) - 1:
        stages[at] = replace(stages[at][0], weight=rng.choice(room)), stages[at][1]


def _insert(rng: Random, stages: Stages, at: int) -> None:
    room = _room(stages, at, at) if stages[at][0].hold else None
    if room:
        stages.insert(at, (StageFacts(rng.choice(room), stages[at][0].hold), ""))


def _drop(rng: Random, stages: Stages, at: int) -> None:
    del rng
    if at < len(stages) - 1:
        del stages[at]


def _room(stages: Stages, before: int, after: int) -> range:
    """Return the weights between the stage before a place and the one after it."""
    low = stages[before - 1][0].weight if before else 0
    high = stages[after][0].weight if after < len(stages) else 100
    return range(low + 1, high)
