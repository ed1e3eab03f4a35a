"""The breakages that keep the simulation honest still fit the code that they break."""

from __future__ import annotations

import pytest

from tests.simulation.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_a_breakage_changes_one_place(mutation: Mutation) -> None:
    text = (ROOT / "controller" / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.old != mutation.new
