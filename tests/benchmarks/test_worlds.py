"""The made-up worlds are what their names say, and the same for every policy."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from statistics import fmean, pvariance

import pytest

from benchmarks.gates.cells import Cell, Noise
from benchmarks.gates.contestants import OURS, policy_of, usual
from benchmarks.gates.draws import binomial, geometric, poisson
from benchmarks.gates.driver import End, Outcome, roll_out
from benchmarks.gates.grid import SLICE, cell, cells
from benchmarks.gates.peers import Argo
from benchmarks.gates.policy import History, Verdict
from benchmarks.gates.tally import floor_requests, tally
from benchmarks.gates.worlds import MinuteSample, World
from controller.gates.dispersion import inflation


class Script:
    """A policy that does what it is told at the minutes it is told."""

    memory, reaction, sees_stable = 10**9, 0, True

    def __init__(self, acts: dict[int, Verdict]) -> None:
        self.acts, self.seen = acts, list[tuple[int, int, int, MinuteSample | None]]()

    def begin(self, cell: Cell, history: History) -> None:
        self.seen = []

    def look(self, minute: int, stage: int, held: int, sample: MinuteSample | None) -> Verdict:
        self.seen.append((minute, stage, held, sample))
        return self.acts.get(minute, Verdict.GO_ON)


def served(world: World, weight: int, minutes: int) -> list[MinuteSample]:
    drawn = (world.minute(t, weight, -9) for t in range(minutes))
    return [sample for sample in drawn if sample is not None]


def rate_of(samples: list[MinuteSample]) -> float:
    return sum(s.x_c for s in samples) / sum(s.n_c for s in samples)


@pytest.mark.parametrize(("tries", "chance"), [(60, 0.005), (45, 0.4), (1200, 0.03), (30, 0.9)])
def test_binomial_draws_have_their_mean_and_variance(tries: int, chance: float) -> None:
    rng = Random(7)
    drawn = [binomial(rng, tries, chance) for _ in range(20_000)]
    spread = tries * chance * (1 - chance)
    assert fmean(drawn) == pytest.approx(tries * chance, abs=4 * (spread / 20_000) ** 0.5)
    assert pvariance(drawn) == pytest.approx(spread, rel=0.06)


def test_poisson_and_geometric_draws_have_their_means() -> None:
    rng = Random(8)
    for mean in (0.15, 6.0, 120.0):
        drawn = [poisson(rng, mean) for _ in range(20_000)]
        assert fmean(drawn) == pytest.approx(mean, rel=0.05)
        assert pvariance(drawn) == pytest.approx(mean, rel=0.06)
    sizes = [geometric(rng, 5.5) for _ in range(20_000)]
    assert min(sizes) == 1
    assert fmean(sizes) == pytest.approx(5.5, rel=0.03)
    assert sum(s * s for s in sizes) / sum(sizes) == pytest.approx(10, rel=0.06)


def test_the_same_rollout_is_the_same_world_in_any_order() -> None:
    for name in ("20rps-0.5%-equal-30m-storms-10m", "20rps-0.5%-equal-30m-ar1-own"):
        one, other = (World(cells()[name], 3) for _ in range(2))
        one.history()
        forward = [one.minute(t, 5) for t in range(40)]
        backward = [other.minute(t, 5) for t in reversed(range(40))]
        assert forward == backward[::-1]
        assert one.history() == other.history()
        assert forward != [World(cells()[name], 4).minute(t, 5) for t in range(40)]


@pytest.mark.parametrize("noise", [n for n in Noise if not n.startswith("incident")])
def test_noise_does_not_change_the_rate(noise: Noise) -> None:
    made = cell(200.0, noise=noise)
    samples = [s for i in range(4) for s in served(World(made, i), 50, 1000)]
    assert rate_of(samples) == pytest.approx(0.005, rel=0.15)
    assert fmean(s.excess for s in samples) == pytest.approx(0, abs=3)


def test_clusters_inflate_the_variance_tenfold_and_chance_does_not() -> None:
    for noise, low, high in ((Noise.NONE, 0.8, 1.5), (Noise.CLUSTERS, 6, 13)):
        batches = World(cell(20.0, noise=noise), 1).history()
        assert low < inflation([(b.n_s, b.x_s) for b in batches]) < high


def test_a_storm_is_longer_than_a_minute() -> None:
    def echo(noise: Noise, lag: int) -> float:
        x = [s.x_c for s in served(World(cell(20.0, noise=noise), 2), 50, 3000)]
        mean, spread = fmean(x), pvariance(x)
        return fmean((a - mean) * (b - mean) for a, b in zip(x, x[lag:], strict=False)) / spread

    assert abs(echo(Noise.CLUSTERS, 1)) < 0.08
    assert echo(Noise.STORMS_3, 1) > 0.3
    assert abs(echo(Noise.STORMS_3, 5)) < 0.08
    assert echo(Noise.STORMS_10, 5) > 0.15


def test_an_incident_hits_both_sides_and_costs_nothing() -> None:
    samples = served(World(cell(200.0, noise=Noise.INCIDENTS, stable=0.002), 0), 50, 2000)
    struck = [s for s in samples if s.x_s > 0.1 * s.n_s]
    assert 0.02 < len(struck) / len(samples) < 0.10
    assert all(s.x_c > 0.1 * s.n_c for s in struck)
    assert fmean(s.excess for s in struck) == pytest.approx(0, abs=10)


def test_poison_grows_with_the_candidates_weight_and_hits_both() -> None:
    world = World(cell(200.0, "poison"), 0)
    for weight in (0, 10, 50):
        samples = served(world, weight, 50)
        stable = sum(s.x_s for s in samples) / sum(s.n_s for s in samples)
        assert stable == pytest.approx(0.005 + weight / 100, rel=0.15)
    assert fmean(s.excess for s in served(world, 10, 50)) == pytest.approx(1200, rel=0.05)


def test_a_late_regression_begins_at_half_the_traffic() -> None:
    world = World(cell(200.0, "late"), 0)
    assert rate_of(served(world, 25, 60)) < 0.01
    assert rate_of(served(world, 50, 60)) > 0.04


def test_cold_starts_last_two_minutes_after_a_shift() -> None:
    world = World(cell(200.0, noise=Noise.COLD), 0)
    rates = [
        rate_of([s]) for t in range(10, 14) if (s := world.minute(t, 50, shifted=10)) is not None
    ]
    assert min(rates[:2]) > 0.03 > max(rates[2:])


def test_a_decision_comes_the_delay_after_its_minute_and_costs_what_is_served_till_then() -> None:
    world = World(cell(20.0, "dead"), 0)
    outcome = roll_out(world, Script({2: Verdict.ROLL_BACK}))
    served_until_then = [world.minute(t, 5) for t in range(7)]
    assert (outcome.end, outcome.minute, outcome.lasted) == (End.ROLLED_BACK, 2, 7)
    assert outcome.excess == pytest.approx(sum(s.excess for s in served_until_then if s))


def test_a_step_back_lowers_the_weight_and_an_advance_raises_it_again() -> None:
    script = Script({0: Verdict.STEP_BACK, 5: Verdict.ADVANCE, 12: Verdict.ROLL_BACK})
    roll_out(World(cell(20.0), 0), script)
    weights = [sample.weight for _, _, _, sample in script.seen if sample]
    assert weights == [5] * 5 + [0] * 5 + [5] * 3
    assert [stage for _, stage, _, _ in script.seen][:7] == [0, -1, -1, -1, -1, -1, 0]


def test_who_never_decides_is_held_after_four_holds() -> None:
    outcome = roll_out(World(cell(20.0, hold=10), 0), Script({}))
    assert (outcome.end, outcome.lasted) == (End.HELD, 40)


def test_all_policies_at_one_weight_see_the_same_minutes() -> None:
    world = World(cell(20.0), 5)
    one, other = Script({9: Verdict.ROLL_BACK}), Script({9: Verdict.ROLL_BACK})
    roll_out(world, one)
    roll_out(world, Argo(3))
    roll_out(world, other)
    assert one.seen == other.seen


def test_looks_left_out_for_want_of_requests_change_nothing() -> None:
    made = replace(cells()["0.0025rps-0.5%-x3-24h"], hold=240)
    for contestant in usual():
        for rollout in range(2):
            policy, patient = policy_of(contestant), policy_of(contestant)
            patient.memory = 10**9
            world = World(made, rollout)
            assert roll_out(world, policy) == roll_out(world, patient)


def test_the_grid_is_named_and_every_bad_cell_has_its_good_twin() -> None:
    grid = cells()
    assert 140 <= len(grid) <= 170
    assert set(SLICE) <= set(grid)
    for made in grid.values():
        assert bool(made.twin) == made.candidate.bad
        assert not made.twin or not grid[made.twin].candidate.bad


def test_ours_keeps_the_good_and_rolls_back_the_dead() -> None:
    good, dead = (cell(20.0, kind) for kind in ("equal", "dead"))
    assert roll_out(World(good, 0), policy_of(OURS)).end is End.PROMOTED
    outcome = roll_out(World(dead, 0), policy_of(OURS))
    assert outcome.end is End.ROLLED_BACK
    assert outcome.minute <= 4  # a minute to settle, and three that say so


def test_walds_floor_is_the_published_one() -> None:
    # ln(100) / KL(q || 1%), as any statistics package gives it.
    expected = {0.015: 4207.079, 0.02: 1176.704, 0.03: 349.890, 0.1: 31.874}
    for rate, floor in expected.items():
        assert floor_requests(rate, 0.01) == pytest.approx(floor, abs=1e-3)
    assert floor_requests(1.0, 0.01) == pytest.approx(1.0)


def test_a_tally_counts_ends_and_averages_excess() -> None:
    made = cell(20.0)
    outcomes = [
        Outcome(End.PROMOTED, 145, 0.0, 900, 150),
        Outcome(End.PROMOTED, 195, 2.0, 900, 200),
        Outcome(End.ROLLED_BACK, 10, 4.0, 600, 15),
        Outcome(End.HELD, 115, 2.0, 700, 120),
    ]
    found = tally(made, "any", outcomes)
    assert (found.promoted, found.rolled_back, found.held) == (0.5, 0.25, 0.25)
    assert found.lasted == pytest.approx(175 / 150)
    assert (found.in_time, found.within_30, found.excess, found.minute) == (0.25, 0.25, 2.0, 10)
