"""The breakages that keep the simulation honest still fit the code that they break."""

from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS, ROOT, Mutation, table


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_a_breakage_changes_one_place(mutation: Mutation) -> None:
    text = (ROOT / "controller" / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.old != mutation.new


def test_the_table_keeps_what_other_sittings_found() -> None:
    first, second = MUTATIONS[0].name, MUTATIONS[1].name
    before = table("", {first: "seed 3, 3 played: a | b", second: "seed 9"})
    after = table(f"{before}\n\nPlayed in two sittings.\n", {second: "seed 4"}).splitlines()
    assert after[2:5] == [
        f"| {first} | seed 3, 3 played: a | b |",
        f"| {second} | seed 4 |",
        f"| {MUTATIONS[2].name} | not yet |",
    ]
    assert len(after) == 2 + len(MUTATIONS)
