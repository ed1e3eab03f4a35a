"""The simulation's part in the hunt: a fixed slice of seeds, and its fixed scenes undisturbed."""

from __future__ import annotations

from tests.mutants.finders import SIMULATION, digest_of
from tests.mutants.mutants import ROOT
from tests.simulation.drawing import draw
from tests.simulation.kills import SCENES
from tests.simulation.playing import Run
from tests.simulation.wires import Wires

SEEDS = range(1, 61)


def rollouts() -> dict[str, str]:
    """Return the rollouts by name, each with a digest of what they are made of."""
    made_of = (ROOT / f"tests/simulation/{one}.py" for one in ("drawing", "kills", "scenes"))
    digest = digest_of("".join(path.read_text(encoding="utf-8") for path in made_of))
    names = (*SCENES, *(f"seed {seed}" for seed in SEEDS))
    return {f"{SIMULATION}{name}": digest for name in names}


def play(name: str, expected: str) -> tuple[str, str]:
    """Play a rollout; return what is wrong, "" if nothing, and its outcome.

    expected: how a fixed scene has to end, "" where that is asked for. A seed's end is judged by
    the observer alone.
    """
    what = name.removeprefix(SIMULATION)
    scene = SCENES.get(what) or draw(int(what.removeprefix("seed ")))
    try:
        result = Run(scene, Wires()).play()
    except Exception as error:
        return f"{type(error).__name__}: {error}", ""
    wrong = "; ".join(result.violations)
    if not wrong and expected and what in SCENES and result.outcome != expected:
        wrong = f"{result.outcome}, not {expected}"
    return wrong, result.outcome
