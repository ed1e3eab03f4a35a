"""Small plots as SVG, written by hand: no plotting library is worth two bar charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from xml.sax.saxutils import escape

from benchmarks.gates.cells import Cell, Metric
from benchmarks.gates.contestants import usual
from benchmarks.gates.goals import FAIR_PEER, By
from benchmarks.gates.tally import Tally

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 300, 64, 36, 70
COLOURS = ("#0b6e4f", "#c44536", "#e07a5f", "#f2a65a", "#6d597a", "#457b9d", "#a8a29e", "#8d6a3f")
TRAFFIC = (0.2, 2.0, 20.0, 200.0)


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars; values[series][group]. log: the smallest decade shown, None for linear.

    faint: (series, group) of bars that are drawn pale.
    """

    title: str
    unit: str
    groups: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    top: float
    log: float | None = None
    faint: frozenset[tuple[int, int]] = frozenset()


def write(folder: Path, chosen: dict[str, Cell], results: list[Tally]) -> None:
    """Write the plots into the folder, which is made where it is missing."""
    by = {(t.cell, t.contestant): t for t in results}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "good-rolled-back.svg").write_text(svg(_false(chosen, by)), encoding="utf-8")
    (folder / "excess.svg").write_text(svg(_excess(chosen, by)), encoding="utf-8")


def _false(chosen: dict[str, Cell], by: By) -> Bars:
    good = [c for c in chosen.values() if not c.candidate.bad and c.metric is Metric.ERRORS]
    values = tuple(
        tuple(
            100 * fmean([by[c.name, name].rolled_back for c in good if c.rate == rate] or [0.0])
            for rate in TRAFFIC
        )
        for name in usual()
    )
    groups = tuple(f"{rate:g}/s" for rate in TRAFFIC)
    return Bars("Good releases rolled back", "%", groups, tuple(usual()), values, 100)


def _excess(chosen: dict[str, Cell], by: By) -> Bars:
    kinds = [c for c in chosen.values() if c.rate == 20 and c.hold == 30 and c.stable == 0.005]
    bad = [c for c in kinds if c.candidate.bad and c.noise == "independent"]
    values = tuple(tuple(by[c.name, name].excess for c in bad) for name in usual())
    top = 10 ** math.ceil(math.log10(max([v for row in values for v in row] or [10])))
    groups = tuple(c.candidate.kind for c in bad)
    title = "Failed requests of a bad release, 20/s (pale: rolls back over 5% of good releases too)"
    faint = frozenset(
        (s, g)
        for g, c in enumerate(bad)
        for s, name in enumerate(usual())
        if (c.twin, name) in by and by[c.twin, name].rolled_back > FAIR_PEER
    )
    return Bars(title, "", groups, tuple(usual()), values, top, log=1.0, faint=faint)


def svg(bars: Bars) -> str:
    """Return the chart as an SVG document."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(bars.title)}</text>',
    ]
    for value in _ticks(bars):
        y = _y(bars, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        label = f"{value:,g}{bars.unit}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    step = (WIDTH - 10 - LEFT) / max(1, len(bars.groups))
    for index, group in enumerate(bars.groups):
        parts += _group(bars, index, LEFT + index * step, step)
        middle = LEFT + (index + 0.5) * step
        y = HEIGHT - BOTTOM + 16
        parts.append(f'<text x="{middle:.1f}" y="{y}" text-anchor="middle">{escape(group)}</text>')
    parts += _legend(bars)
    return "\n".join([*parts, "</svg>", ""])


def _group(bars: Bars, index: int, x: float, step: float) -> list[str]:
    wide = step * 0.84 / len(bars.series)
    drawn = []
    for place, (name, row) in enumerate(zip(bars.series, bars.values, strict=True)):
        y = _y(bars, row[index])
        left, tall = x + step * 0.08 + place * wide, max(1.0, HEIGHT - BOTTOM - y)
        pale = ' opacity="0.3"' if (place, index) in bars.faint else ""
        drawn.append(
            f'<rect x="{left:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" width="{wide * 0.9:.1f}" '
            f'height="{tall:.1f}" fill="{COLOURS[place]}"{pale}>'
            f"<title>{escape(name)}: {row[index]:.4g}{bars.unit}</title></rect>"
        )
    return drawn


def _legend(bars: Bars) -> list[str]:
    step, drawn = (WIDTH - LEFT) / 4, []
    for index, name in enumerate(bars.series):
        x, y = LEFT + (index % 4) * step, HEIGHT - 34 + 18 * (index // 4)
        drawn.append(f'<rect x="{x:.0f}" y="{y}" width="10" height="10" fill="{COLOURS[index]}"/>')
        drawn.append(f'<text x="{x + 15:.0f}" y="{y + 9}">{escape(name)}</text>')
    return drawn


def _ticks(bars: Bars) -> list[float]:
    if bars.log is None:
        return [bars.top * i / 4 for i in range(5)]
    return [bars.log * 10**i for i in range(round(math.log10(bars.top / bars.log)) + 1)]


def _y(bars: Bars, value: float) -> float:
    if bars.log is None:
        part = value / bars.top
    else:
        part = math.log10(max(value, bars.log) / bars.log) / math.log10(bars.top / bars.log)
    return HEIGHT - BOTTOM - min(1.0, part) * (HEIGHT - BOTTOM - TOP)
