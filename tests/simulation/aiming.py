"""Worlds made for one cell: this incident, in that state, in such a stage.

The rest of the world is drawn as ever. What leads the rollout there are incidents too, each with an
aim of its own (somebody pauses it there, its candidate is lost, …), and a plan and people by which
it gets so far.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from tests.simulation.cells import BEFORE, BETWEEN, FIRST, LAST, Cell, reachable
from tests.simulation.editing import with_edit
from tests.simulation.incidents import CALL_FAULTS, CANDIDATE, HOWS, drawn, main_of
from tests.simulation.mailing import tells_everything
from tests.simulation.scene import Aim, Incident, Process, Scene, Truth

ONE_IN = 8  # seeds are aimed at a cell
STRIDE = 613  # a prime: neighbouring seeds aim at cells that have little in common
CELLS = tuple(reachable())
LONG = 7_200.0
NEEDED = {BEFORE: 1, FIRST: 2, BETWEEN: 3, LAST: 1}  # stages of a plan that has such a one
ENOUGH = 4  # stages: more of them only take longer to get there
ONLY_PUTS = ("late", "error ABORTED")


def aim_of(seed: int) -> Cell | None:
    """Return the cell that a seed is aimed at, None for most."""
    return CELLS[seed // ONE_IN * STRIDE % len(CELLS)] if seed % ONE_IN == 0 else None


def aimed(rng: Random, scene: Scene, cell: Cell) -> Scene:
    """Return the scene with an incident that strikes in a cell, and with what leads there."""
    state, _, stage = cell
    scene = _gets_on(rng, scene)
    scene = _LEADS[state](rng, scene, stage)
    return _with_incident(rng, scene, cell)


def _gets_on(rng: Random, scene: Scene) -> Scene:
    """Let nothing but the aims' incidents keep the rollout from its last stage."""
    good = scene.truths["*"]
    plan = re.sub(r"(undecided: .*then): \w+", r"\1: ask", scene.plan)
    plan = re.sub(r"(monitoring_out: .*then): \w+", r"\1: ask", plan)
    plan = re.sub(r"nobody_answers: {after: \w+", f"nobody_answers: {{after: {LONG:.0f}s", plan)
    facts = replace(scene.facts, may_advance_blind=False, waits=scene.facts.waits + 2 * int(LONG))
    return replace(
        scene,
        plan=plan,
        facts=facts,
        truths={**scene.truths, CANDIDATE: Truth(errors=good.errors)},
        character="good",
        rate=rng.choice((20.0, 100.0)),
        answers="approve",
        react=rng.choice((240.0, 900.0)),
        incidents=scene.incidents if rng.random() < 1 / 4 else (),
    )


# What leads into a state ------------------------------------------------------------------------

_Lead = Callable[[Random, Scene, str], Scene]


def _with(scene: Scene, *incidents: Incident) -> Scene:
    return scene.with_only((*scene.incidents, *incidents))


def _there(stage: str) -> Aim:
    """Return the aim of who comes when nothing else happens in a kind of stage."""
    return Aim("starting" if stage == BEFORE else "running", stage)


def _nothing(rng: Random, scene: Scene, stage: str) -> Scene:
    del rng, stage
    return scene


def _starting(rng: Random, scene: Scene, stage: str) -> Scene:
    """Let a check of stable fail for a while, before the first shift."""
    del stage
    line = '  ready: {get: "{{ stable.url }}/health", when: before, expect: {status: 200}}'
    if "\nchecks:\n" in scene.plan:
        plan = scene.plan.replace("\nchecks:\n", f"\nchecks:\n{line}\n")
    else:
        plan = scene.plan.replace("\nevidence:", f"\nchecks:\n{line}\nevidence:")
    fails = Incident("app fails", main_of(scene), end=rng.choice((60, 300, 800)))
    return _with(replace(scene, plan=plan), fails)


def _paused(rng: Random, scene: Scene, stage: str) -> Scene:
    del rng
    return _with(scene, Incident("say", "pause", aim=_there(stage)))


def _asking(rng: Random, scene: Scene, stage: str) -> Scene:
    """Let the next stage need an approval, or a newer revision be asked about."""
    following = {BEFORE: 0, FIRST: 1, BETWEEN: 2}.get(stage)
    if following is not None and (stage == BEFORE or rng.random() < 0.7):
        return _with_approval(scene, following)
    plan = re.sub(r"new_revision: \w+", "new_revision: ask", scene.plan)
    return _with(replace(scene, plan=plan), Incident("deploy", number=1, aim=_there(stage)))


def _with_approval(scene: Scene, at: int) -> Scene:
    facts = scene.facts
    if facts.stages[at].approval:
        return scene
    lines = scene.plan.splitlines()
    places = [at for at, line in enumerate(lines) if line.startswith("  - {weight:")]
    lines[places[at]] = lines[places[at]].removesuffix("}") + ", approval: required}"
    stages = list(facts.stages)
    stages[at] = replace(stages[at], approval=True)
    plan = "\n".join(lines) + "\n"
    return replace(scene, plan=plan, facts=replace(facts, stages=tuple(stages)))


def _slow(rng: Random, scene: Scene, stage: str) -> Scene:
    """Let what is asked for take a while to be in force."""
    del stage
    slow = rng.choice((scene.shape.reconcile, 25.0, 70.0))
    return replace(scene, shape=replace(scene.shape, reconcile=slow))


def _taken_over(rng: Random, scene: Scene, stage: str) -> Scene:
    weights = {one.weight for one in scene.facts.stages}
    other = next(w for w in rng.sample(range(1, 100), 50) if w not in weights)
    return _with(scene, Incident("traffic", number=other, aim=_there(stage)))


def _rolling_back(rng: Random, scene: Scene, stage: str) -> Scene:
    scene = _slow(rng, scene, stage)
    lost = Incident("unready", CANDIDATE, end=900, aim=_there(stage))
    if stage == BEFORE:  # only who promotes from there leaves something to roll back
        slow = replace(scene, shape=replace(scene.shape, reconcile=70.0))
        promote = Incident("say", "promote", aim=_there(stage))
        return _with(slow, promote, replace(lost, start=20, end=920))
    return _with(scene, rng.choice((lost, Incident("say", "rollback", aim=_there(stage)))))


def _done(rng: Random, scene: Scene, stage: str) -> Scene:
    if stage == LAST and rng.random() < 0.7:
        return scene
    word = rng.choice(("cancel", "rollback")) if stage != BEFORE else "cancel"
    return _with(scene, Incident("say", word, aim=_there(stage)))


_LEADS: Mapping[str, _Lead] = {
    "none": _nothing,
    "starting": _starting,
    "running": _nothing,
    "paused": _paused,
    "asking": _asking,
    "shifting": _slow,
    "taken over": _taken_over,
    "rolling back": _rolling_back,
    "done": _done,
}


# What strikes there -----------------------------------------------------------------------------


def _with_incident(rng: Random, scene: Scene, cell: Cell) -> Scene:
    state, what, stage = cell
    kind, _, which = what.partition(" ")
    there = Aim(state, stage)
    if what == "edit":
        return with_edit(rng, scene, there)
    if kind == "message":
        return _with_message(rng, scene, which, there)
    made = _drawn(rng, scene, what, there)
    if kind == "shift":  # somebody deploys, and Cloud Run takes long over it, or fails
        return _with(scene, made, Incident("deploy", number=1, aim=there))
    if state == "done" and what in ONLY_PUTS and stage != BEFORE:
        return _with(scene, made, Incident("say", "rollback", aim=there))
    return _with(scene, made)


def _drawn(rng: Random, scene: Scene, what: str, there: Aim) -> Incident:
    kind, which = _kind_of(what)
    made = drawn(rng, kind, scene)
    how = HOWS[kind]
    made = replace(made, target=which) if kind == "say" else replace(made, status=which)
    if made.kind in CALL_FAULTS and "any" in how.targets and rng.random() < 0.85:
        made = replace(made, target="any")
    if kind == "clock step":
        made = replace(made, target=rng.choice(scene.processes).name)
    calls = rng.choice((1, 1, 2, 3, 5)) if how.when == "call" else rng.choice((0, 0, 1, 4))
    lasts = 0.0 if how.when != "window" else rng.choice((300.0, 900.0, 2400.0))
    if what in ONLY_PUTS or kind.startswith("shift "):
        calls, lasts = 0, 2400.0
    elif there.state == "done" and made.kind in CALL_FAULTS:
        lasts = max(lasts, 900.0)  # whoever stays looks again after five minutes
    aim = replace(there, nth=calls)
    return replace(made, end=lasts, chance=1.0, before=rng.random() < 0.5, aim=aim)


def _kind_of(what: str) -> tuple[str, str]:
    """Return the kind of incident that a cell's name stands for, and which of them."""
    for kind, how in HOWS.items():
        plain = how.kind or kind
        which = how.targets if plain == "say" else how.statuses
        for one in which or ("",):
            if what == f"{plain} {one}".strip():
                return kind, one
    raise ValueError(f"{what} is no incident")


def _with_message(rng: Random, scene: Scene, met: str, there: Aim) -> Scene:
    """Let messages go nowhere until then, so that there is one to tell there.

    One that stays tries again ever more seldom; a schedule's passes try at each.
    """
    scene = tells_everything(scene)
    if rng.random() < 0.8:
        passes = Process("controller-s", schedule=60, ticks=rng.random() < 0.5)
        slow = max(scene.shape.reconcile, 150.0)
        scene = replace(scene, processes=(passes,), shape=replace(scene.shape, reconcile=slow))
    strikes = Incident("message", status=met, end=900, aim=there)
    return _with(scene, strikes, Incident("message", status="no connection", end=LONG / 3))
