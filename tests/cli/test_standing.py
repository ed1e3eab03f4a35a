"""Where a rollout stands is told from the service alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.cli.examples import example_plan
from controller.cli.views.standing import lines, plain, standing
from controller.engine import moves
from controller.engine.asking import WAITS
from controller.engine.codec import encode
from controller.engine.decision import State
from controller.engine.observation import ServiceName, ServiceState, Target
from controller.engine.record import Ask, AskKind, Phase, Record
from controller.plan.compact import digest, to_json
from controller.plan.model import AdvanceOnly
from controller.plan.reader import read_plan
from controller.plan.source import load

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PLAN = read_plan(load(str(example_plan("ion-api"))), env={}, variables={}).plan
RUNNING = Record(
    rollout="r1",
    uid="u1",
    plan=to_json(PLAN),
    digest=digest(PLAN),
    candidate="new",
    stable="old",
    before={"old": 100},
    started=AT,
    by="kim@example.com",
    phase=Phase.RUNNING,
    stage=1,
    weight=10,
    in_force=AT,
    at=AT,
    seq=3,
    nonce="n",
)


def service(record: Record | None, split: dict[str, int] | None = None) -> ServiceState:
    split = split or (moves.expected_split(record) if record else {"old": 100})
    targets = tuple(Target(name, percent) for name, percent in split.items())
    text = encode(record) if record else None
    name = ServiceName("demo", "us-central1", "ion-api")
    return ServiceState(
        name,
        uid="u1",
        generation=1,
        reconciling=False,
        targets=targets,
        statuses=targets,
        ready=True,
        ready_message="",
        latest_ready="new",
        latest_created="new",
        record_text=text,
        last_modifier="lee@example.com",
    )


def told(
    record: Record | None,
    after: timedelta,
    split: dict[str, int] | None = None,
    target: str = "ion-api --region us-central1 --project demo",
) -> str:
    return "\n".join(lines(standing(service(record, split), AT + after, target)))


def test_a_running_rollout_tells_its_stage_and_the_hold_that_is_left() -> None:
    text = told(RUNNING, timedelta(minutes=5))
    assert "running, stage 2 of 5 at 10%" in text
    assert "waits for  the hold at 10%, 23 h 56 min more" in text
    assert "as of      5 min ago" in text
    assert "UNWATCHED" not in text
    assert "next: rollout rollback ion-api" in text


def test_a_record_nobody_wrote_for_hours_is_unwatched() -> None:
    text = told(RUNNING, timedelta(hours=9))
    assert "UNWATCHED" in text
    assert "next: rollout tick ion-api" in text
    assert "next: rollout apply a.yaml" in told(RUNNING, timedelta(hours=9), target="a.yaml")


def test_an_ask_tells_its_reason_and_how_to_answer() -> None:
    asking = replace(RUNNING, ask=Ask(AskKind.APPROVAL, "100% needs an approval", AT))
    text = told(asking, timedelta(hours=1))
    assert "waits for  a person, for 1 h: 100% needs an approval" in text
    assert "next: rollout approve ion-api" in text


def test_traffic_changed_by_another_hand_is_named() -> None:
    text = told(RUNNING, timedelta(minutes=1), {"old": 93, "new": 7})
    assert "taken over" in text
    assert "lee@example.com changed the traffic to old 93%, new 7%" in text


def test_an_ended_rollout_tells_its_outcome() -> None:
    over = moves.roll_back(
        replace(RUNNING, phase=Phase.STARTING, weight=0), service(None), AT, "no"
    )
    text = told(over.record, timedelta(minutes=1))
    assert "rolled back: no" in text
    assert plain(standing(service(over.record), AT, "x"))["state"] == "rolled_back"


def test_a_service_without_a_record_has_no_rollout() -> None:
    assert "no rollout" in told(None, timedelta(0))


def test_a_record_that_is_none_is_said_and_what_replaces_it_offered() -> None:
    broken = replace(service(None), record_text="{}")
    text = "\n".join(lines(standing(broken, AT, "ion-api")))
    assert "cannot be read" in text
    assert "next: rollout cancel ion-api" in text


@given(st.text(max_size=100), st.sampled_from((None, "rollout-new", "rollout-old")))
def test_whatever_stands_in_the_records_place_is_told(written: str, tag: str | None) -> None:
    tags = (Target("new", 0, tag),) if tag else ()
    plain_one = service(None)
    for text in (written, None):
        here = replace(plain_one, record_text=text, targets=(*plain_one.targets, *tags))
        told = standing(here, AT, "ion-api")
        assert told.unreadable if text is not None else not told.unreadable
        assert (told.state is State.TAKEN_OVER) == (text is None and tag == "rollout-new")
        assert lines(told)
        assert json.loads(json.dumps(plain(told)))["state"] == told.word


WINDOW = AdvanceOnly("Asia/Seoul", (1, 2, 3, 4), 9 * 60, 17 * 60)
WINDOWED = replace(PLAN, when=replace(PLAN.when, advance_only=WINDOW))
READY = replace(RUNNING, plan=to_json(WINDOWED)).noting(AT, WAITS, "ready")


def test_what_waits_for_the_window_says_when_it_opens() -> None:
    here = standing(service(READY), AT, "ion-api")
    assert "waits for  the window, which opens Tue 2026-01-06 09:00 Asia/Seoul" in lines(here)
    assert plain(here)["window"] == {
        "rule": "mon-thu 09:00-17:00 Asia/Seoul",
        "open": False,
        "opens": "2026-01-06T00:00:00Z",
    }


def test_a_window_that_is_open_says_until_when() -> None:
    here = standing(service(READY), AT - timedelta(hours=2), "ion-api")
    assert "window     open until Mon 2026-01-05 17:00 Asia/Seoul" in lines(here)
    assert plain(here)["window"]["open"] is True


def test_a_plan_without_a_window_has_none() -> None:
    assert plain(standing(service(RUNNING), AT, "ion-api"))["window"] is None
