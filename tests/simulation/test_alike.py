"""Two controllers on one service make the same moves as one (DESIGN.md §5, invariant 7)."""

from __future__ import annotations

import pytest

from tests.simulation.alike import compared, scene_of
from tests.simulation.wires import Wires

SEEDS = [seed for seed in range(1, 25) if scene_of(seed) is not None][:5]


@pytest.fixture(scope="module")
def wires() -> Wires:
    return Wires()


@pytest.mark.parametrize("seed", SEEDS)
def test_several_controllers_move_as_one(seed: int, wires: Wires) -> None:
    assert list(compared(seed, wires)) == []
