"""The figures as lines for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.gates.cells import Cell
from benchmarks.gates.contestants import OURS, usual
from benchmarks.gates.evidence import Ratio
from benchmarks.gates.goals import By, best_fair, mean_ratio, total_excess
from benchmarks.gates.tally import Tally, floor_of


def line(cell: Cell, made: list[Tally]) -> str:
    """Return one line of a cell: rolled back (good) or excess (bad) of every contestant."""
    bad = cell.candidate.bad
    shown = [f"{t.excess:.4g}" if bad else f"{t.rolled_back:.1%}" for t in made]
    ours = made[0]
    note = f"back {ours.rolled_back:.1%}" if bad else f"in time {ours.in_time:.1%}"
    minute = f" min {ours.minute:g}" if ours.minute is not None else ""
    names = (t.contestant for t in made)
    pairs = "  ".join(f"{n} {s}" for n, s in zip(names, shown, strict=True))
    return f"{cell.name:38} {'excess' if bad else 'false '}  {pairs}  | ours: {note}{minute}"


def report(
    chosen: dict[str, Cell], results: list[Tally], tuned: list[str], ratios: list[Ratio]
) -> str:
    """Return all tables in Markdown."""
    by = {(t.cell, t.contestant): t for t in results}
    parts = [
        "### In total\n", _totals(chosen, by, tuned),
        "\n### Good releases rolled back\n", _good(chosen, by),
        "\n### Bad releases\n", _bad(chosen, by),
        "\n### Evidence needed by the rate test\n", _evidence(ratios),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def summary(chosen: dict[str, Cell], results: list[Tally], tuned: list[str]) -> str:
    """Return the totals as text."""
    return _totals(chosen, {(t.cell, t.contestant): t for t in results}, tuned)


def _totals(chosen: dict[str, Cell], by: By, tuned: list[str]) -> str:
    good = [c.name for c in chosen.values() if not c.candidate.bad]
    bad = [c.name for c in chosen.values() if c.candidate.bad]
    rows = []
    for name in dict.fromkeys([*usual(), *tuned]):
        mine = [by[c, name] for c in good]
        theirs = [by[c, name] for c in bad]
        lengths = [t.lasted for t in mine if t.lasted is not None]
        rows.append([
            name + (" (tuned)" if name in tuned else ""),
            _percent(_mean(t.rolled_back for t in mine)),
            _percent(_mean(t.promoted for t in theirs)),
            _percent(_mean(t.rolled_back for t in theirs)),
            f"{total_excess(chosen, by, name):,.0f}",
            f"{mean_ratio(chosen, by, name):.2f}",
            f"{_mean(lengths):.2f}" if lengths else "–",
        ])  # fmt: skip
    head = ["", "good rolled back", "bad promoted", "bad rolled back", "excess, sum",
            "ours ÷ its excess, mean", "length ÷ holds"]  # fmt: skip
    return _table(head, rows)


def _good(chosen: dict[str, Cell], by: By) -> str:
    rows = []
    for cell in chosen.values():
        if not cell.candidate.bad:
            ours = by[cell.name, OURS]
            shares = [_percent(by[cell.name, name].rolled_back) for name in usual()]
            rows.append([f"`{cell.name}`", *shares, _percent(ours.in_time), _percent(ours.held),
                         "–" if ours.lasted is None else f"{ours.lasted - 1:+.0%}"])  # fmt: skip
    return _table(["cell", *usual(), "ours in time", "ours held", "ours longer by"], rows)


def _bad(chosen: dict[str, Cell], by: By) -> str:
    rows = []
    for cell in chosen.values():
        if cell.candidate.bad:
            ours, best, floor = by[cell.name, OURS], best_fair(cell, by), floor_of(cell)
            harm = [f"{by[cell.name, name].excess:.4g}" for name in usual()]
            minute = "–" if ours.minute is None else f"{ours.minute:g}"
            ratio = f"{ours.seen / floor:.1f}" if floor and ours.seen else "–"
            rows.append([f"`{cell.name}`", _percent(ours.rolled_back), _percent(ours.promoted),
                         minute, ratio, *harm, best.contestant if best else "–"])  # fmt: skip
    head = ["cell", "ours back", "ours promoted", "ours minute", "requests ÷ floor"]
    return _table([*head, *(f"excess {name}" for name in usual()), "best fair peer"], rows)


def _evidence(ratios: list[Ratio]) -> str:
    rows = [
        [
            f"{r.limit:.1%}",
            f"{r.factor:g}×",
            f"{r.requests:.0f}",
            f"{r.floor:.0f}",
            f"{r.ratio:.2f}",
        ]
        for r in ratios
    ]
    return _table(["limit", "true rate", "requests", "Wald's floor", "ratio"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else 0.0
