"""The simulation's part in the hunt: a fixed slice of seeds, and its fixed scenes undisturbed."""

from __future__ import annotations

from tests.mutants.finders import SIMULATION
from tests.simulation.drawing import draw
from tests.simulation.kills import SCENES
from tests.simulation.playing import Run
from tests.simulation.wires import Wires

SEEDS = range(1, 61)
NAMES = (
    *(f"{SIMULATION}{name}" for name in SCENES),
    *(f"{SIMULATION}seed {seed}" for seed in SEEDS),
)


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
