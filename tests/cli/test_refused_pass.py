"""A pass of `apply --no-wait` that is refused looks after what is under way all the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.cli.wiring.serving import Served
from tests.cli.test_tick import a_world, begin, events, live_in, record_of, run, written

MINUTE = timedelta(minutes=1)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path, "ion-api")


@pytest.fixture(params=["healthy"])
def world(
    plan: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    with a_world(plan, request.param) as one:
        live_in(one, monkeypatch)
        yield one


def edited(plan: Path) -> Path:
    plan.write_text(plan.read_text().replace("hold: 5m", "hold: 20m"), encoding="utf-8")
    return plan


def test_an_edited_plan_is_refused_and_the_rollout_looked_at(plan: Path, world: Served) -> None:
    begin(plan)
    before = record_of(world)
    world.clock.sleep(40 * MINUTE)  # long enough for a heartbeat
    result = run("apply", str(edited(plan)), "--no-wait", "-o", "json")
    assert result.exit_code == 1, result.output
    assert "stages[1].hold: 5m → 20m" in result.stderr
    assert record_of(world).seq > before.seq
    told = [event for event in events(result) if event["event"] == "finished"]
    assert [one["outcome"] for one in told] == ["error"]


def test_where_the_look_moves_traffic_its_own_code_counts(plan: Path, world: Served) -> None:
    begin(plan)
    edited(plan)
    weight = record_of(world).weight
    for _ in range(6):
        world.clock.sleep(6 * MINUTE)
        result = run("apply", str(plan), "--no-wait")
        before, weight = weight, record_of(world).weight
        assert result.exit_code == (0 if weight != before else 1), result.output
        told = "looked after what is under way; what was wanted is refused" in result.output
        assert told is (weight != before)
    assert weight == 100


@pytest.mark.parametrize("world", ["not-ready"], indirect=True)
def test_a_schedule_whose_plan_was_edited_still_rolls_back(plan: Path, world: Served) -> None:
    plan.write_text(plan.read_text().replace("hold: 5m", "hold: 6h"), encoding="utf-8")
    begin(plan)
    plan.write_text(plan.read_text().replace("hold: 6h", "hold: 8h"), encoding="utf-8")
    codes: list[int] = []
    while not codes or (codes[-1] < 3 and len(codes) < 10):
        world.clock.sleep(50 * MINUTE)
        codes.append(run("apply", str(plan), "--no-wait").exit_code)
    assert codes[-1] == 3
    assert record_of(world).weight == 0


def test_another_candidate_is_refused_and_the_rollout_looked_at(plan: Path, world: Served) -> None:
    begin(plan)
    before = record_of(world)
    world.clock.sleep(40 * MINUTE)  # long enough for a heartbeat
    other = plan.with_name("other.yaml")
    other.write_text(plan.read_text() + "candidate: ion-api-00041-abc\n", encoding="utf-8")
    result = run("apply", str(other), "--no-wait")
    assert "ion-api-00042-xyz is under way" in result.output
    assert record_of(world).seq > before.seq


def test_with_nothing_under_way_a_refusal_stays_one(plan: Path, world: Served) -> None:
    del world
    result = run("apply", str(plan), "--revision", "ion-api-00099-abc", "--no-wait", "-o", "json")
    assert result.exit_code == 1
    assert "ion-api-00099-abc does not exist" in result.stderr
    assert [one["event"] for one in events(result)][-1] == "finished"


def test_who_stays_is_refused_at_once(plan: Path, world: Served) -> None:
    begin(plan)
    before = record_of(world)
    world.clock.sleep(40 * MINUTE)
    assert run("apply", str(edited(plan)), "--timeout", "10m").exit_code == 1
    assert record_of(world) == before
