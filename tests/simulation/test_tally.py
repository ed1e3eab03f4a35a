"""The figures of many runs, added up over several sittings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.cells import not_reached, reachable
from tests.simulation.command import main
from tests.simulation.tally import Tally


def test_a_tally_goes_on_where_it_stopped_and_takes_no_seed_twice(tmp_path: Path) -> None:
    kept = tmp_path / "tally.json"
    assert main(["--seeds", "11-12", "--into", str(kept)]) == 0
    assert main(["--seeds", "13-13", "--into", str(kept)]) == 0
    both, once = Tally.read(kept), tmp_path / "once.json"
    assert (both.number, both.ranges, both.broken) == (3, [(11, 13)], [])
    assert main(["--seeds", "11-13", "--into", str(once)]) == 0
    assert once.read_text() == kept.read_text()
    with pytest.raises(SystemExit):
        main(["--seeds", "12-20", "--into", str(kept)])


def test_what_was_never_tried_is_told_with_what_can_be() -> None:
    counts = Counter(reachable())
    every = len(counts)
    assert not_reached(counts).startswith(f"{every:,} of {every:,} reachable cells")
    del counts["paused", "kill", "between"]
    assert "- kill: paused (between)" in not_reached(counts)
