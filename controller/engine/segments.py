"""Which stage a service was in, minute by minute, read from two revisions' request counts. Pure.

The most likely path through the plan's weights (Viterbi 1967): a minute's requests are drawn with
the weight's odds, and leaving a weight costs as much as a few minutes of evidence, so that a quiet
minute does not look like a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SWITCH = 10.0  # nats that a change of the weight costs
NEARLY = 1e-4  # at 0% and 100% a stray request (a check, a late answer) is no shift


def weights_of(plan: Sequence[int], counts: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the candidate's most likely weight in each minute: 0 or one of the plan's.

    plan: the stages' weights, whole percent. counts: (candidate's requests, stable's) by minute.
    """
    if not counts:
        return ()
    weights = (0, *plan)
    logs = [(math.log(share), math.log1p(-share)) for share in map(_share, weights)]
    best = [0.0] * len(weights)
    came_from: list[list[int]] = []
    for mine, theirs in counts:
        top = max(range(len(weights)), key=best.__getitem__)
        switched = best[top] - SWITCH
        origin = [n if best[n] >= switched else top for n in range(len(weights))]
        best = [
            max(best[n], switched) + mine * gain + theirs * loss
            for n, (gain, loss) in enumerate(logs)
        ]
        came_from.append(origin)
    at = max(range(len(weights)), key=best.__getitem__)
    path = []
    for origin in reversed(came_from):
        path.append(weights[at])
        at = origin[at]
    return tuple(reversed(path))


def _share(weight: int) -> float:
    return min(max(weight / 100, NEARLY), 1 - NEARLY)
