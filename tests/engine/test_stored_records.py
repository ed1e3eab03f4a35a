"""Records as this version stored them: readable for good; damaged or newer, Unreadable.

Those of records/ were written by `apply` in the sandbox. A change that makes one unreadable leaves
rollouts that are under way without a controller.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.engine.codec import Unreadable, decode, encode, must_fit
from controller.engine.record import Phase
from controller.plan.compact import from_json

STORED = {
    file.stem: file.read_text("utf-8").strip()
    for file in sorted((Path(__file__).parent / "records").glob("*.json"))
}
OF_EVERY_TYPE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**64, 1.5, float("nan"), float("inf"), -1e300),
    *("", "x", "nan", "2026-01-05T09:00:00Z", [], [1], {}, {"a": 1}),
)
STATES = ("starting", "running", "shifting", "asking", "trial", "rolling-back", "done")


def test_there_is_one_of_every_state() -> None:
    assert set(STORED) >= set(STATES)


@pytest.mark.parametrize("name", STORED)
def test_a_stored_record_and_its_plan_are_read_and_written_as_they_were(name: str) -> None:
    record = decode(STORED[name])
    assert json.loads(encode(record)) == json.loads(STORED[name])
    if record.phase is not Phase.DONE:
        must_fit(from_json(record.plan), record)


@pytest.mark.parametrize("name", STORED)
def test_what_a_later_version_adds_within_the_format_is_passed_over(name: str) -> None:
    added = {**json.loads(STORED[name]), "weather": {"rain": [1, None]}}
    assert decode(json.dumps(added)) == decode(STORED[name])


@pytest.mark.parametrize("version", [2, 99, 0, -1, None, "1", [1], {"v": 1}])
def test_another_format_is_named(version: Any) -> None:
    other = {**json.loads(STORED["running"]), "v": version}
    with pytest.raises(Unreadable, match=r"its format is .*, this version reads 1"):
        decode(json.dumps(other))


@pytest.mark.parametrize("name", STORED)
def test_cut_off_anywhere_it_is_unreadable(name: str) -> None:
    text = STORED[name]
    for length in range(0, len(text), 7):
        with pytest.raises(Unreadable, match=r"."):
            decode(text[:length])


def holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with each of its keys or places."""
    places = list(value) if isinstance(value, dict) else range(len(value))
    for place in places:
        yield value, place
        if isinstance(value[place], dict | list):
            yield from holders(value[place])


@pytest.mark.parametrize("name", ["shifting", "asking", "trial", "done"])
def test_with_any_part_missing_or_of_any_type_it_is_read_or_unreadable(name: str) -> None:
    plain = json.loads(STORED[name])
    refused = 0
    for holder, place in list(holders(plain)):
        kept = holder[place]
        for value in OF_EVERY_TYPE:
            holder[place] = value
            refused += not is_read(plain)
        if isinstance(holder, dict):
            order = dict(holder)
            del holder[place]
            refused += not is_read(plain)
            holder.clear()
            holder.update(order)
        holder[place] = kept
    assert plain == json.loads(STORED[name])
    assert refused > 100


def is_read(plain: Any) -> bool:
    """Tell whether a record is read; what is read can be written, and its plan read or refused."""
    try:
        record = decode(json.dumps(plain))
    except Unreadable:
        return False
    assert decode(encode(record)) == record
    with contextlib.suppress(ValueError):
        must_fit(from_json(record.plan), record)
    return True
