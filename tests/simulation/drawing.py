"""From a seed to a scene: plan, service, truth, traffic, controllers, people and incidents."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.simulation.aiming import ENOUGH, NEEDED, aim_of, aimed
from tests.simulation.cells import Cell
from tests.simulation.editing import draw_edit
from tests.simulation.incidents import CANDIDATE, HOWS, KINDS, LATER, OTHERS, drawn, main_of
from tests.simulation.mailing import draw_mail
from tests.simulation.measured import GAUGE
from tests.simulation.scene import (
    Incident,
    PlanFacts,
    Process,
    Scene,
    Shape,
    StageFacts,
    Truth,
)
from tests.simulation.service import SERVICE
from tests.simulation.timing import draw_timed

EVERY_KIND = frozenset((*KINDS, *LATER))


def draw(
    seed: int, *, kinds: frozenset[str] = EVERY_KIND, aim: Cell | None = None, most: int = 8
) -> Scene:
    """Return the scene of a seed. kinds: the incidents that may be in it.

    aim: the cell that it is made for; without one, some seeds have one of their own. most: stages.
    """
    cell = aim or (aim_of(seed) if kinds >= EVERY_KIND else None)
    rng = Random(seed * 1_000_003 + 7)
    least, most = (1, most) if cell is None else (NEEDED[cell[2]], min(most, ENOUGH))
    plan, facts = _plan(rng, least, most)
    shape = _shape(rng)
    character, truths = _truths(rng)
    processes = _processes(rng)
    named = rng.choice((CANDIDATE, CANDIDATE, "latest-ready"))
    several = len(processes) > 1
    span = sum(stage.hold + 420 for stage in facts.stages)
    scene = Scene(
        seed=seed,
        plan=plan.replace("CANDIDATE", CANDIDATE if shape.latest else named),
        facts=facts,
        shape=shape,
        candidate=CANDIDATE,
        truths=truths,
        character=character,
        rate=rng.choice((0.0, 0.1, 1.0, 5.0, 20.0, 20.0, 100.0, 500.0)),
        lag=rng.choice((20.0, 45.0, 60.0, 90.0)),
        processes=processes,
        answers=rng.choice(("approve", "approve", "approve", "reject", "nobody")),
        react=rng.choice((60.0, 240.0, 900.0)),
        slow=rng.choice((0.2, 0.2, 2.0, 8.0)) if several else rng.choice((0.1, 0.1, 1.0)),
    )
    number = rng.choice((0, 1, 1, 2, 2, 3, 4, 6))
    chosen = [rng.choice(KINDS) for _ in range(number)]
    made = [(kind, _incident(rng, span, scene, kind)) for kind in chosen]
    scene = scene.with_only(tuple(incident for kind, incident in made if kind in kinds))
    if kinds >= frozenset(KINDS):
        scene = draw_timed(seed, _with_what_comes_together(seed, scene, span))
    scene = draw_mail(seed, scene, span) if "message" in kinds else scene
    scene = _with_a_check_that_hangs(seed, scene, span) if "hang" in kinds else scene
    if cell is not None:
        return aimed(Random(seed * 1_000_003 + 23), scene, cell)
    return draw_edit(seed, scene, span) if "edit" in kinds else scene


def _with_what_comes_together(seed: int, scene: Scene, span: float) -> Scene:
    """Add, to one scene in five, what is worst together and seldom meets by chance."""
    rng = Random(seed * 3_000_017 + 5)
    if rng.random() > 0.2:
        return scene
    stable = main_of(scene)
    start = rng.uniform(0, span)
    end = start + rng.choice((90, 300, 900))
    lost = Incident(rng.choice(("unready", "delete revision")), CANDIDATE, start=start, end=end)
    silent = Incident(rng.choice(("error", "hang")), "monitoring", "UNAVAILABLE")
    pairs = (
        (lost, replace(silent, start=start - 60, end=end + 600)),
        (lost, Incident("unready", stable, start=start - rng.choice((5, 90)), end=end + 300)),
        (Incident("say", "pause", start=start),),
        (Incident("delete service", start=start, end=start + 30, number=1),),
        tuple(  # between a decision and its write, which one read precedes
            Incident("suspend", "get", nth=nth, number=rng.choice((70, 600)), before=False)
            for nth in range(rng.randint(2, 4), 40, 3)
        ),
    )
    return scene.with_only((*scene.incidents, *rng.choice(pairs)))


def _with_a_check_that_hangs(seed: int, scene: Scene, span: float) -> Scene:
    """Return the scene, in one of six that have checks with some that nobody answers."""
    rng = Random(seed * 1_000_003 + 19)
    if "\nchecks:" not in scene.plan or rng.random() >= 1 / 6:
        return scene
    start = rng.uniform(0, span)
    end = start + rng.choice((90, 300, 900, 2400))
    hangs = Incident("hang", "check", start=start, end=end, chance=rng.choice((1.0, 0.5)))
    return replace(scene, incidents=(*scene.incidents, hangs))


def _shape(rng: Random) -> Shape:
    number = rng.choice((1, 1, 1, 2, 3, 4))
    cuts = sorted(rng.sample(range(1, 100), number - 1))
    percents = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
    before = dict(zip(OTHERS, percents, strict=False))
    tags = {"blue": rng.choice(list(before)), "try": CANDIDATE} if rng.random() < 0.4 else {}
    return Shape(
        before=before,
        latest=rng.random() < 0.3,
        tags=tags,
        reconcile=rng.choice((1.0, 3.0, 8.0, 25.0, 70.0)),
        generation_on_notes=rng.random() < 0.7,
        version_on_notes=rng.random() < 0.8,
        version_on_status=rng.random() < 0.3,
        refuses_missing=rng.random() < 0.5,
    )


def _truths(rng: Random) -> tuple[str, dict[str, Truth]]:
    good = Truth(errors=rng.choice((0.0, 0.001, 0.004)))
    character = rng.choice(
        ("good", "good", "good", "better", "worse", "slower", "dead", "doubtful")
    )
    mine = {
        "good": good,
        "better": Truth(errors=good.errors / 2, latency=80.0, gauge=0.95),
        "worse": Truth(errors=0.12, gauge=0.6),
        "slower": Truth(errors=good.errors, latency=1500.0),
        "dead": Truth(errors=1.0, latency=30.0, gauge=0.1, health=500),
        "doubtful": Truth(errors=0.015, latency=300.0, gauge=0.78),
    }[character]
    return character, {"*": good, CANDIDATE: mine}


def _processes(rng: Random) -> tuple[Process, ...]:
    def skew() -> float:
        return rng.choice((0.0, 0.0, 0.0, 2.0, -3.0, 20.0, -20.0))

    kind = rng.random()
    if kind < 0.5:
        return (Process("controller-a", skew=skew()),)
    if kind < 0.65:
        every, ticks = rng.choice((60, 180, 300)), rng.random() < 0.5
        return (Process("controller-s", every, skew(), ticks=ticks),)
    if kind < 0.85:
        starts = rng.choice((0.0, 1.0, 200.0))
        return (
            Process("controller-a", skew=skew()),
            Process("controller-b", skew=skew(), starts=starts),
        )
    if kind < 0.95:
        schedule = rng.choice((60, 120))
        return (
            Process("controller-a", skew=skew()),
            Process("controller-s", schedule, skew(), 30.0, ticks=rng.random() < 0.5),
        )
    return (
        Process("controller-a", skew=skew()),
        Process("controller-b", skew=skew(), starts=0.5),
        Process("controller-s", 90, skew(), 61.0),
    )


def _plan(rng: Random, least: int, most: int) -> tuple[str, PlanFacts]:
    number = max(min(rng.choice((1, 2, 2, 3, 3, 3, 4, 5, 8)), most), least)
    weights = [*sorted(rng.sample(range(1, 99), number - 1)), 100]
    interval = rng.choice((30, 60, 60, 120, 300))
    long = 12 if rng.random() < 0.02 else 1
    looks = max(2, 12 // number) * long
    stages, texts = [], []
    for weight in weights:
        hold = interval * rng.randint(max(looks // 2, 1), looks)
        if weight == 100 and rng.random() < 0.2:
            hold = 0
        approval = rng.random() < 0.12
        stages.append(StageFacts(weight, hold, approval=approval))
        extra = ", approval: required" if approval else ""
        texts.append(f"  - {{weight: {weight}%, hold: {hold}s{extra}}}")
    delay = rng.choice((60, 120, 240))
    gates, strict = _gates(rng, weights)
    checks, checked = _checks(rng)
    needs = rng.choice(("sample", "sample", "sample", "proof", "clean"))
    early = bool(gates) and rng.random() < 0.08
    undecided = rng.choice(("ask", "ask", "roll_back", "advance"))
    nobody = rng.choice(("roll_back", "roll_back", "advance"))
    extend, out, after = interval * 4, rng.choice((300, 900)), interval * rng.choice((5, 15))
    text = "\n".join(
        (
            f"service: {SERVICE}",
            "project: sim",
            "region: us-central1",
            "candidate: CANDIDATE",
            "stages:",
            *texts,
            *gates,
            *checks,
            *(("advance: early",) if early else ()),
            f"evidence: {{interval: {interval}s, delay: {delay}s, custom_delay: {delay}s, "
            f"warm_up: {rng.choice((0, 60, 120))}s, needs: {needs}, "
            f"arrival: {rng.choice(('off', '50%', '50%'))}}}",
            "when:",
            f"  undecided: {{extend_by: {extend}s, then: {undecided}}}",
            f"  monitoring_out: {{hold: {out}s, then: {rng.choice(('ask', 'roll_back'))}}}",
            f"  both_failing: {rng.choice(('test', 'test', 'hold', 'roll_back'))}",
            f"  nobody_answers: {{after: {after}s, then: {nobody}}}",
            f"  new_revision: {rng.choice(('ignore', 'ignore', 'ask', 'replace'))}",
        )
    )
    facts = PlanFacts(
        stages=tuple(stages),
        gated=bool(gates),
        needs_data=strict,
        may_advance_blind="advance" in (undecided, nobody),
        early=early,
        catches=any("  errors: " in line and "on_fail: roll_back" in line for line in gates),
        interval=interval,
        delay=delay,
        waits=2 * extend + out + 2 * after,
        checked=checked,
        step_back="step_back" in text,
    )
    return text + "\n", facts


LATENCY = "metric: latency, {how}, max: 800ms, roll_back: 1s"
SCORE = f"metric: {GAUGE}, revision_label: metric.labels.revision, min: 0.75, roll_back: 0.7"
FAILS = ("roll_back", "roll_back", "roll_back", "step_back", "ask")


def _gates(rng: Random, weights: list[int]) -> tuple[list[str], bool]:
    """Return the gates' lines, and whether some gate needs data in every stage."""
    lines: list[str] = []

    def add(name: str, gate: str) -> None:
        lines.append(f"  {name}: {{{gate}, on_fail: {rng.choice(FAILS)}}}")

    if rng.random() < 0.85:
        extra = rng.choice(("", ", emergency: 30%", ", versus_stable: off"))
        add("errors", f"metric: error_rate, max: 2%, roll_back: 4%{extra}")
    if rng.random() < 0.3:
        add("success", "metric: success_rate, min: 97%")
    if rng.random() < 0.4:
        how = rng.choice(("percentile: 95", "percentile: 99", "mean: true"))
        add("latency", LATENCY.format(how=how))
    if rng.random() < 0.25:
        add("score", SCORE)
    if rng.random() < 0.15:
        lines.append("  requests: {metric: request_count, min: 20}")
    strict = bool(lines)
    if rng.random() < 0.08 and len(weights) > 1:
        better = f"versus_stable: {{better_by: 10%}}, stages: [{weights[-2]}%]"
        lines.append(f"  faster: {{metric: latency, mean: true, {better}}}")
    if lines and rng.random() < 0.1:
        lines.append(
            "  beside: {metric: error_rate, versus_stable: {ratio: 1.5}, on_fail: observe}"
        )
    return (["gates:", *lines], strict) if lines else ([], False)


def _checks(rng: Random) -> tuple[list[str], bool]:
    if rng.random() < 0.6:
        return [], False
    when = rng.choice(("always", "always", "before", "stages"))
    fail = rng.choice(("roll_back", "roll_back", "ask", "step_back"))
    url = rng.choice(("candidate", "candidate", "candidate", "stable"))
    get = f'get: "{{{{ {url}.url }}}}/health"'
    line = f"  health: {{{get}, when: {when}, on_fail: {fail}, expect: {{status: 200}}}}"
    return ["checks:", line], url == "candidate" and when != "before" and fail == "roll_back"


def _incident(rng: Random, span: float, scene: Scene, kind: str) -> Incident:
    made, when = drawn(rng, kind, scene), HOWS[kind].when
    if when == "call" or (when == "either" and rng.random() < 0.5):
        calls = 12 * max(20, round(span / scene.facts.interval))
        nth = rng.randint(1, calls) // rng.choice((1, 4, 20)) + 1
        return replace(made, nth=nth, before=rng.random() < 0.5)
    start = rng.uniform(0, span * 1.1)
    return replace(made, start=start, end=start + rng.choice((20, 90, 300, 900, 2400)))
