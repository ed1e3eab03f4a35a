"""The figures of many runs, added up over several sittings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.cells import not_reached, reachable
from tests.simulation.command import main
from tests.simulation.report import cells, figures
from tests.simulation.tally import Tally


def test_a_tally_goes_on_where_it_stopped_and_takes_no_seed_twice(tmp_path: Path) -> None:
    kept = tmp_path / "tally.json"
    assert main(["--seeds", "13-14", "--into", str(kept)]) == 0
    assert main(["--seeds", "15-15", "--into", str(kept)]) == 0
    both, once = Tally.read(kept), tmp_path / "once.json"
    assert (both.number, both.ranges, both.broken) == (3, [(13, 15)], [])
    assert main(["--seeds", "13-15", "--into", str(once)]) == 0
    assert once.read_text() == kept.read_text()
    with pytest.raises(SystemExit):
        main(["--seeds", "14-20", "--into", str(kept)])


def test_what_no_seed_hit_is_aimed_at_until_it_is(tmp_path: Path) -> None:
    kept, missing = tmp_path / "tally.json", ("paused", "traffic", "the first")
    cells = Counter({cell: 1 for cell in reachable() if cell != missing})
    Tally(number=9, ranges=[(1, 9)], cells=cells).store(kept)
    assert main(["--aim-missing", "--into", str(kept)]) == 0
    found = Tally.read(kept)
    assert found.cells[missing]
    assert (found.number, found.ranges) == (9 + found.aimed, [(1, 9)])
    assert "1-9, and" in figures(found)


def test_what_was_never_tried_is_told_with_what_can_be() -> None:
    counts = Counter(reachable())
    every = len(counts)
    assert not_reached(counts).startswith(f"{every:,} of {every:,} reachable cells")
    del counts["paused", "kill", "between"]
    assert "- kill: paused (between)" in not_reached(counts)


def test_the_table_counts_each_cell_and_says_what_cannot_be() -> None:
    table = cells(Counter({("paused", "message 404", "the last"): 3})).splitlines()
    row = next(line for line in table if line.startswith("| message 404 |"))
    assert row.startswith("| message 404 | – | 0 | 0/0/0 | 0/0/0/3 |")
    assert any(line.startswith("What cannot be (–): message, none:") for line in table)
