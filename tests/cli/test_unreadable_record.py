"""A record that this version cannot read: said, kept, and replaced by `rollback` alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.wiring.serving import Served, served
from controller.engine.record import Phase
from tests.cli.test_acts import PLAN, SERVICE, live_in, record_of, run, started

STORED = json.loads((Path("tests/engine/records/running.json")).read_text("utf-8"))
NEXT = json.dumps({**STORED, "v": 2, "weather": "fine"})


@pytest.fixture(scope="module")
def broken() -> Iterator[Served]:
    """Return a world in which a version to come wrote the record of a running rollout."""
    with (
        pytest.MonkeyPatch.context() as patched,
        served("healthy", None, None, port=0, speed=60) as world,
    ):
        live_in(world, patched)
        started()
        yield world


def annotations_of(world: Served) -> dict[str, str]:
    found: dict[str, str] = world.sandbox.world.service("us-central1", "ion-api").raw["metadata"][
        "annotations"
    ]
    return found


def write(world: Served, text: str) -> None:
    service = world.sandbox.world.service("us-central1", "ion-api")
    service.raw["metadata"]["annotations"]["rollout/record"] = text
    service.stamp += 1


@pytest.mark.parametrize(
    "command",
    [
        ("apply", PLAN, "--no-wait"),
        ("apply", PLAN, "--no-wait", "--replace"),
        ("tick", *SERVICE),
        ("pause", *SERVICE),
        ("cancel", *SERVICE, "--yes"),
        ("approve", *SERVICE, "--yes"),
        ("status", *SERVICE),
        ("history", *SERVICE),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("text", "why"),
    [(NEXT, "its format is 2, this version reads 1"), (NEXT[:99], "it is not JSON")],
    ids=["next", "cut"],
)
def test_it_is_said_and_left_as_it_is(
    broken: Served, command: tuple[str, ...], text: str, why: str
) -> None:
    write(broken, text)
    result = run(*command)
    assert why in result.output
    assert "rollout rollback" in result.output
    assert "went wrong" not in result.output
    assert annotations_of(broken)["rollout/record"] == text


def test_a_roll_back_works_without_it(broken: Served) -> None:
    write(broken, NEXT)
    result = run("rollback", *SERVICE, "--yes")
    assert "no record tells what stable is" in result.output
    result = run("rollback", *SERVICE, "--yes", "--to-revision", "ion-api-00041-abc")
    assert result.exit_code == 0, result.output
    assert record_of(broken).phase in (Phase.ROLLING_BACK, Phase.DONE)
