"""Random counts: exact where they are small, normal where the difference cannot be seen.

A gate lives in the tail, so nothing here replaces a rare binomial by a Poisson.
"""

import math
from random import Random

_EXACT = 30.0  # up to this mean a count is drawn by inversion, above it by the normal law


def poisson(rng: Random, mean: float) -> int:
    """Draw a Poisson count."""
    if mean <= 0:
        return 0
    if mean > _EXACT:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    at, count, chance = rng.random(), 0, math.exp(-mean)
    while at > chance and count < 200:
        at -= chance
        count += 1
        chance *= mean / count
    return count


def binomial(rng: Random, tries: int, chance: float) -> int:
    """Draw a binomial count (chance 0..1)."""
    if tries <= 0 or chance <= 0:
        return 0
    if chance >= 1:
        return tries
    if chance > 0.5:
        return tries - binomial(rng, tries, 1 - chance)
    mean = tries * chance
    if mean > _EXACT:
        drawn = round(rng.gauss(mean, math.sqrt(mean * (1 - chance))))
        return min(tries, max(0, drawn))
    odds = chance / (1 - chance)
    at, count, here = rng.random(), 0, math.exp(tries * math.log1p(-chance))
    while at > here and count < tries:
        at -= here
        count += 1
        here *= odds * (tries - count + 1) / count
    return count


def geometric(rng: Random, mean: float) -> int:
    """Draw a geometric count of at least 1 with this mean; its E[S²]/E[S] is 2·mean − 1."""
    return 1 + int(math.log(1 - rng.random()) / math.log1p(-1 / mean))
