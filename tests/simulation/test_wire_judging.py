"""The judge of the runs over the wire finds what is wrong, whatever it is, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.simulation.wire.judging import Expected, Judge
from tests.simulation.wire.recorder import Sight

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
EXPECTED = Expected("new", "old", ((10, HOUR), (100, HOUR)))
FAILING = replace(EXPECTED, bad=0)
Story = list[Sight]


def split(weight: int) -> dict[str, int]:
    both = {"old": 100 - weight, "new": weight}
    return {name: percent for name, percent in both.items() if percent}


def story(expected: Expected) -> Story:
    """Return what is seen of a rollout that goes as it must: a write each half hour."""
    weight, in_force, told = 0, 0, list[list[str]]()
    sights = [Sight(START, START, START, 7, split(0), split(0), {}, {}, b"t", {})]
    for seq, what in enumerate(expected.transitions, start=1):
        told = [*told, [f"at {seq}", what]]
        if what.startswith("shift"):
            weight = int(what.removeprefix("shift to ").removesuffix("%"))
        weight = 0 if what == "roll back" else weight
        in_force = weight if "shift" not in what and what != "roll back" else in_force
        at = START + seq * HOUR
        outcomes = [[expected.outcome]] if what in ("promoted", "rolled back") else []
        record = {
            "id": "r", "seq": seq, "weight": weight, "transitions": told, "outcomes": outcomes
        }  # fmt: skip
        asked, seen = split(weight), split(in_force)
        sights.append(Sight(at, at, at, 7 + seq, asked, seen, {}, {}, b"t", record))
    return sights


def judged(sights: Story, expected: Expected = EXPECTED, code: int | None = None) -> list[str]:
    judge = Judge(expected)
    code = expected.code if code is None else code
    judge.judge(sights, codes=[code], processes=1, taken=len(sights) - 1)
    return [text.partition(":")[0] for text in judge.violations]


def at(index: int, change: Callable[[Sight], Sight]) -> Callable[[Story], Story]:
    return lambda sights: [change(s) if i == index else s for i, s in enumerate(sights)]


def hasty(sights: Story) -> Story:
    """Every write a minute after the one before."""
    return [
        replace(s, written=START + timedelta(minutes=i), last=s.last) for i, s in enumerate(sights)
    ]


def again(sights: Story) -> Story:
    """One write more than the record knows of."""
    return [*sights[:-1], replace(sights[-1], generation=sights[-1].generation + 1)]


@pytest.mark.parametrize("expected", [EXPECTED, FAILING])
def test_a_rollout_that_goes_as_it_must_breaks_nothing(expected: Expected) -> None:
    assert judged(story(expected), expected) == []


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("traffic sums to 100", at(3, lambda s: replace(s, asked={"old": 90}))),
        ("at most the stage's weight", at(3, lambda s: replace(s, asked=split(60)))),
        ("the template is left", at(4, lambda s: replace(s, template=b"u"))),
        ("the users' tags are left", at(4, lambda s: replace(s, tags={"try": "new"}))),
        ("others' annotations are left", at(4, lambda s: replace(s, notes={"a": "b"}))),
        ("asked for", lambda s: [*s[:5], s[1], *s[5:]]),
        ("in force", at(4, lambda s: replace(s, in_force=split(100)))),
        ("each hold is served", hasty),
        (
            "what the record told stays",
            at(3, lambda s: replace(s, record={**s.record, "transitions": [[]]})),
        ),
        ("it is one rollout", at(3, lambda s: replace(s, record={**s.record, "id": "q"}))),
        ("the record never goes back", lambda s: [*s[:3], s[1], *s[3:]]),
        ("each write is over the one before", again),
    ],
)
def test_what_must_not_be_is_found(what: str, broken: Callable[[Story], Story]) -> None:
    assert what in judged(broken(story(EXPECTED)))


def test_an_end_that_is_not_the_plans_is_found() -> None:
    assert "one outcome, the right one" in judged(story(FAILING))
    assert "the exit code tells the outcome" in judged(story(EXPECTED), code=3)
    assert "the end" in judged(story(EXPECTED)[:-4])
    assert "no transition is lost or doubled" in judged(story(EXPECTED)[:-1])


@pytest.mark.parametrize(("left_out", "found"), [("10% in force", False), ("shift to 10%", True)])
def test_a_bad_candidate_may_be_found_out_before_its_shift_is_seen_in_force(
    left_out: str,
    found: bool,  # noqa: FBT001 - a case's value
) -> None:
    sights = [
        replace(s, record={**s.record, "transitions": kept})
        for s in story(FAILING)
        for kept in [[t for t in s.record.get("transitions", []) if t[1] != left_out]]
        if s.record
    ]
    what = "no transition is lost or doubled"
    assert (what in judged([story(FAILING)[0], *sights], FAILING)) == found


def test_more_writes_than_there_are_reasons_for_are_found() -> None:
    sights = story(EXPECTED)
    final = {**sights[-1].record, "seq": 90}
    sights[-1] = replace(sights[-1], generation=97, record=final)
    assert judged(sights) == ["writes are bounded"]
