"""What moves by itself while a rollout is on: rates that drift, incidents that come and go.

Minutes count from the first shift; both begin a day before it.
"""

import math
from random import Random

DAY = 1440
_AR = 0.8


class Path:
    """A stationary AR(1) path of unit variance, from a day before the rollout on."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng: Random | None = None
        self._values: list[float] = []

    def at(self, t: int) -> float:
        """Return the value of minute t."""
        if self._rng is None:
            self._rng = Random(self._seed)
            self._values.append(self._rng.gauss(0, 1))
        values, gauss = self._values, self._rng.gauss
        while len(values) <= t + DAY:
            values.append(_AR * values[-1] + gauss(0, math.sqrt(1 - _AR**2)))
        return values[t + DAY]


class Incidents:
    """Five minutes at a time, begun in 1% of the minutes."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._left: list[int] = [0]

    def at(self, t: int) -> bool:
        """Tell whether an incident is on in minute t."""
        left = self._left
        while len(left) <= t + DAY:
            left.append(5 if self._rng.random() < 0.01 else max(0, left[-1] - 1))
        return left[t + DAY] > 0
