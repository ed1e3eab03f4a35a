"""What counts as missed, and that the report says what was measured."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks.gates import figures, goals, tables
from benchmarks.gates.cells import Cell, Noise
from benchmarks.gates.contestants import OURS, PEERS, peer_of, policy_of, usual
from benchmarks.gates.evidence import Ratio
from benchmarks.gates.grid import cell
from benchmarks.gates.peers import Argo
from benchmarks.gates.run import play
from benchmarks.gates.tally import Tally

FINE = Tally("", OURS, 1000, 0.0, 1.0, 0.0, 1.0, 0.0, 0.1, None, 0.0, None, 1.1)


def told(cells: list[Cell], said: dict[tuple[str, str], Tally]) -> list[str]:
    """Return the goals missed where everybody does fine but for what is said."""
    results = [
        said.get((c.name, name), replace(FINE, cell=c.name, contestant=name, excess=8.0))
        for c in cells
        for name in usual()
    ]
    results = [
        replace(t, cell=c, contestant=n)
        for t, (c, n) in zip(results, [(c.name, n) for c in cells for n in usual()], strict=True)
    ]
    found = goals.check({c.name: c for c in cells}, results, [], [])
    return [f"{miss.cell}: {miss.goal}" for miss in found]


@pytest.mark.parametrize(
    ("noise", "rate", "missed"),
    [
        (Noise.NONE, 0.012, False),
        (Noise.NONE, 0.02, True),
        (Noise.INCIDENTS, 0.02, True),
        (Noise.CLUSTERS, 0.02, False),
        (Noise.CLUSTERS, 0.04, True),
        (Noise.STORMS_10, 0.04, False),
    ],
)
def test_good_releases_rolled_back_miss_the_goal_of_their_noise(
    *, noise: Noise, rate: float, missed: bool
) -> None:
    made = cell(20.0, noise=noise)
    assert bool(told([made], {(made.name, OURS): replace(FINE, rolled_back=rate)})) is missed


def test_slow_good_releases_miss_only_where_the_delay_lets_them_be_in_time() -> None:
    half, tenth = cell(20.0), cell(20.0, hold=10)
    slow = replace(FINE, in_time=0.5)
    (missed,) = told([half, tenth], {(half.name, OURS): slow, (tenth.name, OURS): slow})
    assert missed.startswith(half.name)


def test_excess_is_held_against_the_best_peer_that_spares_good_releases() -> None:
    good, bad = cell(20.0), cell(20.0, "20%")
    ours = {(bad.name, OURS): replace(FINE, promoted=0.0, excess=30.0)}
    assert len(told([good, bad], ours)) == 1
    unfair = {(good.name, name): replace(FINE, rolled_back=0.06) for name in usual()[1:]}
    assert not told([good, bad], ours | unfair)


def test_poison_must_be_gone_in_half_an_hour() -> None:
    good, bad = cell(20.0), cell(20.0, "poison")
    late = replace(FINE, rolled_back=1.0, promoted=0.0, within_30=0.9)
    assert len(told([good, bad], {(bad.name, OURS): late})) == 1


def test_evidence_beyond_its_share_of_the_floor_is_missed() -> None:
    ratios = [Ratio(0.01, 3, 700.0, 350.0), Ratio(0.01, 2, 7000.0, 1177.0)]
    (missed,) = goals.check({}, [], [], ratios)
    assert missed.text == "2.00"


def test_every_contestant_has_a_policy_and_every_peer_a_ladder_from_quick_to_slow() -> None:
    for name in usual():
        assert policy_of(name).reaction >= 0
    assert isinstance(policy_of("argo(3)"), Argo)
    assert peer_of("argo-5m(3)").name == "argo-5m"
    for peer in PEERS:
        assert list(peer.ladder) == sorted(peer.ladder)
        assert set(peer.usual) <= set(peer.ladder)


def test_a_rollout_is_the_same_however_the_work_is_cut() -> None:
    name, who = "2rps-0.5%-x3-30m", ("argo(0)", "flagger(5)")
    _, whole = play((name, 0, 4, who))
    _, first = play((name, 0, 1, who))
    _, rest = play((name, 1, 3, who))
    assert whole == {w: first[w] + rest[w] for w in who}


def test_the_report_has_a_row_for_every_cell_and_the_plots_are_svg() -> None:
    chosen = {c.name: c for c in (cell(20.0), cell(20.0, "20%"))}
    results = [replace(FINE, cell=c, contestant=n) for c in chosen for n in usual()]
    report = tables.report(chosen, results, [], [Ratio(0.01, 3, 490.0, 350.0)])
    assert all(f"| `{name}` |" in report for name in chosen)
    assert "| 1.0% | 3× | 490 | 350 | 1.40 |" in report
    bars = figures.Bars("a < b", "%", ("g",), tuple(usual()), ((50.0,),) * len(usual()), 100)
    drawn = ElementTree.fromstring(figures.svg(bars))
    heights = {r.get("height") for r in drawn.iter("{http://www.w3.org/2000/svg}rect")}
    assert "97.0" in heights
