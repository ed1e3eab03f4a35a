"""The mutation tester itself: what it changes, what it finds, what it draws and keeps."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.altering import alterations
from tests.mutants.mutants import ROOT, mutants_of
from tests.mutants.sitting import Played, Sittings, drawn, reasons
from tests.mutants.telling import Whole, interval, section

TEST = (
    "tests/engine/test_split.py"
    "::test_our_tags_are_left_out_where_name_and_tag_have_over_46_characters"
)
WHOLE = "controller/engine/whole.py"


def altered(body: str, returns: str = "None") -> set[str]:
    """Return what a function of one statement is altered to."""
    text = f"def f(a, b) -> {returns}:\n    {body}"

    def free(name: str) -> frozenset[str]:
        return frozenset({"timeout"}) if name == "call" else frozenset()

    found = set()
    for nth in range(len(alterations(ast.parse(text).body[0], free))):
        tree = ast.parse(text)
        alterations(tree.body[0], free)[nth].do()
        compile(ast.fix_missing_locations(tree), "f", "exec")
        found.add("; ".join(ast.unparse(tree).split("\n    ")[1:]))
    return found


@pytest.mark.parametrize(
    ("body", "returns", "expected"),
    [
        ("a < b", "None", {"pass", "a <= b"}),
        ("return a is b", "bool", {"return a is not b"}),
        (
            "return a and b",
            "bool",
            {"return a or b", "return True and b", "return True and a", "return not (a and b)"},
        ),
        ("return a.b", "bool", {"return not a.b"}),
        ("return a.b", "tuple[int, ...]", {"return ()"}),
        ("return a.b", "Plan | None", {"return None"}),
        ("a = min(b, 7)", "None", {"pass", "a = max(b, 7)", "a = min(b, 8)"}),
        ("replace(a, x=b)", "None", {"pass", "replace(a)"}),
        ("call(a, timeout=b, by=b)", "None", {"pass", "call(a, by=b)"}),
        ("x = a + b", "None", {"x = a - b"}),
        ("x = (*a, 'two words')", "None", set()),
        ("x: int = 'word'", "None", {"x: int = 'wordXX'"}),
        ("x = f'{a + b}%'", "None", {"x = f'{a - b}%'"}),
        ("x = isinstance(a, int | str)", "None", set()),
        ("assert a > b", "None", set()),
        ("if a: raise b", "None", {"if not a:;     raise b", "if a:;     pass"}),
        ("x = [c for c in a if c]", "None", {"x = [c for c in a if not c]"}),
    ],
)
def test_a_statement_is_altered_in_each_way_that_somebody_could_notice(
    body: str, returns: str, expected: set[str]
) -> None:
    assert altered(body, returns) == expected


def test_a_breakage_that_a_test_knows_is_found_and_one_that_none_knows_is_not(
    tmp_path: Path,
) -> None:
    """In a process of its own, as it is used: tests are collected, and each mutant is a fork."""
    code = f"""
from pathlib import Path
from tests.mutants.hunting import Field, hunt
from tests.mutants.mutants import mutants_of
on = Field([{TEST!r}], Path({str(tmp_path / "kept")!r}))
names = ("tags_fit: <= → <", "tags_fit: returns the opposite", "TAG_AND_SERVICE_MAX: 46 → 47")
wanted = [one for one in mutants_of("controller/engine/split.py") if one.name.endswith(names)]
wanted += [one for one in mutants_of({WHOLE!r})][:1]
hunt(on, lambda _: wanted, lambda told: print("TOLD", told.mutant.place, told.by, told.why))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    told = [line.split(" ")[1:] for line in done.stdout.splitlines() if line.startswith("TOLD")]
    known = [line for line in told if line[1] == TEST]
    assert {line[0] for line in known} == {"tags_fit", "TAG_AND_SERVICE_MAX"}, done.stdout
    assert [" ".join(line[2:]) for line in told if line not in known] == ["nothing runs it"]


def test_the_same_mutants_are_drawn_everywhere() -> None:
    mutants = mutants_of(WHOLE)
    assert len(mutants) > 5
    assert drawn(mutants) == drawn(reversed(mutants))
    assert drawn(mutants) != mutants


def test_a_result_holds_as_long_as_the_code_is_the_same(tmp_path: Path) -> None:
    mutant, other = mutants_of(WHOLE)[:2]
    sittings = Sittings({mutant.name: Played(mutant.digest, "tests/x.py::test_y")})
    sittings.store(tmp_path / "played")
    read = Sittings.read(tmp_path / "played")
    assert read.of(mutant) == Played(mutant.digest, "tests/x.py::test_y")
    assert read.of(other) is None
    assert read.of(replace(mutant, digest="another")) is None


def test_what_came_of_a_mutant_at_first_is_kept(tmp_path: Path) -> None:
    mutant, other = mutants_of(WHOLE)[:2]
    sittings = Sittings()
    for by in ("", "tests/x.py::test_y"):
        sittings.note(mutant, by)
        sittings.note(other, "tests/x.py::test_z")
    sittings.store(tmp_path / "played")
    read = Sittings.read(tmp_path / "played")
    assert read.of(mutant) == Played(mutant.digest, "tests/x.py::test_y", unnoticed=True)
    assert read.of(other) == Played(other.digest, "tests/x.py::test_z", unnoticed=False)


def test_a_share_of_a_sample_is_told_with_what_it_says_of_all() -> None:
    low, high = interval(95, 100)
    assert (round(low, 3), round(high, 3)) == (0.888, 0.978)  # Wilson (1927)


def test_every_survivor_that_is_kept_has_its_reason() -> None:
    left = {name for name, played in Sittings.read().results.items() if not played.by}
    assert not left - reasons().keys(), "kill it by a test, or say why in tests/mutants/reasons.txt"


def test_the_section_tells_the_share_and_who_survives_why() -> None:
    found, left, late, open_one = mutants_of(WHOLE)[:4]
    played = {
        found.name: Played(found.digest, "t"),
        left.name: Played(left.digest, "", unnoticed=True),
        late.name: Played(late.digest, "t", unnoticed=True),
    }
    why = {left.name: "Equivalent: it | is the same"}
    sample = [found, left, late, open_one]
    text = section(sample, Whole(10, 2), Sittings(played), why)
    assert "3 of 10 mutants were played" in text
    assert "That is 66.7%, and 100.0% of those that differ." in text
    assert "Of the 1 drawn after them, 0.0% were noticed when first played" in text
    assert f"| {left.name} | Equivalent: it \\| is the same |" in text
