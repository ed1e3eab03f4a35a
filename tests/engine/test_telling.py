"""Which transitions people are told of, who tells, and what is noted so that it can be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine import codec, moves
from controller.engine.decide import decide
from controller.engine.decision import Decision
from controller.engine.duty import SCHEDULE
from controller.engine.largest import largest_record
from controller.engine.observation import Observation, Seen, Target
from controller.engine.record import Ask, AskKind, Hand, Outcome, Phase, Record, Shift
from controller.engine.telling import (
    GRACE,
    STUCK,
    News,
    gap_noted,
    hand_noted,
    owed,
    owes,
    patience,
    told,
    tried,
    unwritten,
    whose_hand,
    without_strangers,
)
from controller.plan.compact import to_json
from controller.plan.model import Form, Heard, Notify
from tests.engine.builders import OLD, PLAN, at, running, service_of, starting

ALL = Notify("all", Form.WEBHOOK, "env:HOOK", events=tuple(Heard))
NOTIFIED = replace(PLAN, notify=(ALL,))
NOW = timedelta(0)
SECOND = timedelta(seconds=1)


def heard(record: Record) -> list[str]:
    letters = owed(NOTIFIED, record, service_of(record).name, at(500), NOW)
    return [letter.news.heard.value for letter in letters]


@pytest.mark.parametrize(
    ("what", "reason", "event"),
    [
        ("started", "", "started"),
        ("shift to 10%", "", "advanced"),
        ("step back to 5%", "", "stepped_back"),
        ("test at 5%", "", "stepped_back"),
        ("asked: approval", "", "asked"),
        ("shift failed", "", "asked"),
        ("hold stands still", "Monitoring does not answer: 503", "outage"),
        ("roll back not in force", "", "stuck"),
        ("taken over", "", "taken_over"),
        ("not rolled back", "", "not_rolled_back"),
        ("unwatched", "", "unwatched"),
        ("rolled back", "", "rolled_back"),
        ("promoted", "", "promoted"),
        ("cancelled", "", "cancelled"),
    ],
)
def test_a_transition_is_told_by_its_event(what: str, reason: str, event: str) -> None:
    assert heard(running().noting(at(1), what, reason)) == [event]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("10% in force", ""),
        ("roll back", ""),
        ("hold stands still", "stable fails as well"),
        ("hold goes on", ""),
        ("paused", ""),
        ("", ""),
        ("anything that a forged record may say", "x"),
    ],
)
def test_of_other_transitions_nobody_is_told(what: str, reason: str) -> None:
    assert heard(running().noting(at(1), what, reason)) == []


def test_what_was_told_is_not_owed_though_the_list_of_transitions_forgets() -> None:
    record = running()
    for minute in range(50):
        record = record.noting(at(minute), "asked: gate", "")
    assert record.noted == 50
    assert len(heard(replace(record, heard={"all": 48}))) == 2
    assert len(heard(replace(record, heard={"all": 3}))) == 5  # so many at once


def test_a_record_of_before_counts_what_it_has() -> None:
    record = running().noting(at(1), "started", "").noting(at(2), "shift to 10%", "")
    text = codec.encode(record)
    assert "noted" not in text
    assert codec.decode(text).noted == 2


def test_the_one_on_duty_tells_a_schedule_waits_a_minute_others_only_once_it_is_silent() -> None:
    record = replace(running(), duty="a", at=at(100))
    assert patience(NOTIFIED, record, "a", at(101)) == NOW
    assert patience(NOTIFIED, record, "b", at(101)) is None
    assert patience(NOTIFIED, record, "b", at(100 + 24 * 60)) == GRACE
    assert patience(NOTIFIED, replace(record, duty=SCHEDULE), SCHEDULE, at(101)) == GRACE
    assert patience(NOTIFIED, replace(record, duty=""), "b", at(101)) == GRACE
    ended = patience(NOTIFIED, replace(record, phase=Phase.DONE), "b", at(101))
    assert ended is not None
    assert GRACE < ended < timedelta(minutes=15)


def test_nothing_overtakes_what_whoever_wrote_it_may_be_telling() -> None:
    record = running().noting(at(1), "started", "").noting(at(1.5), "asked: gate", "")
    name = service_of(record).name
    own = frozenset({2})
    assert owed(NOTIFIED, record, name, at(1.6), GRACE, own) == ()
    told = owed(NOTIFIED, record, name, at(2.1), GRACE, own)
    assert [one.news.number for one in told] == [1, 2]


def test_what_an_ended_rollout_owes_is_told_for_a_day() -> None:
    record = replace(running(), phase=Phase.DONE, plan=to_json(NOTIFIED), at=at(10))
    record = record.noting(at(10), "promoted", "")
    name = service_of(record).name
    assert owes(record, name, at(20))
    assert not owes(record, name, at(10 + 24 * 60 + 1))
    assert not owes(replace(record, heard={"all": 1}), name, at(20))
    assert not owes(replace(record, plan="{}"), name, at(20))
    assert not owes(replace(record, plan='{"notify":[1]}'), name, at(20))


def test_a_gap_is_noted_before_what_is_decided_now() -> None:
    before = replace(running().noting(at(0), "started", ""), at=at(0))
    service = service_of(before)
    decision = moves.roll_back(before, service, at(600), "it fails")
    noted = gap_noted(NOTIFIED, before, decision, service, at(600))
    assert [t.what for t in noted.record.transitions] == ["started", "unwatched", "roll back"]
    assert noted.record.transitions[1].reason == "nobody watched for 10 h"
    assert noted.record.noted == before.noted + 2
    assert gap_noted(NOTIFIED, before, decision, service, at(30)) == decision


def test_the_age_of_a_record_that_another_hand_kept_from_being_written_tells_nothing() -> None:
    before = replace(running().noting(at(0), "started", ""), at=at(0))
    taken = service_of(before, targets=(Target(OLD, 100),))
    ended = decide(NOTIFIED, before, Observation(Seen(taken)), at(600))
    assert ended.record.phase is Phase.DONE
    assert gap_noted(NOTIFIED, before, ended, taken, at(600)) is ended
    let_go = replace(before, hand=Hand("eve", "ab"))
    decision = moves.roll_back(let_go, service_of(before), at(600), "it fails")
    assert gap_noted(NOTIFIED, let_go, decision, service_of(before), at(600)) is decision


def test_a_roll_back_that_does_not_come_into_force_is_told_once() -> None:
    record = replace(running(), phase=Phase.ROLLING_BACK, weight=0, shift=Shift(at(0), 10))
    decision = stuck(record)
    assert decision.record.transitions[-1].what == STUCK
    assert [t.what for t in stuck(decision.record).record.transitions].count(STUCK) == 1


def stuck(record: Record) -> Decision:
    service = replace(service_of(record), statuses=(), reconciling=False)
    return decide(NOTIFIED, record, Observation(Seen(service)), at(20))


def test_whose_hand_it_is_stays_known_when_we_wrote_last() -> None:
    record = running()
    taken = replace(service_of(replace(record, weight=30)), last_modifier="eve@example.com")
    noted = hand_noted(NOTIFIED, record, taken, at(5))
    assert noted is not None
    ours = replace(taken, last_modifier="rollout@example.com")
    assert whose_hand(noted, ours) == "eve@example.com"
    assert hand_noted(NOTIFIED, noted, ours, at(6)) is None
    assert hand_noted(PLAN, record, taken, at(5)) is None
    deaf = replace(PLAN, notify=(replace(ALL, events=(Heard.PROMOTED,)),))
    assert hand_noted(deaf, record, taken, at(5)) is None
    other = service_of(replace(record, weight=40), last_modifier="bo@example.com")
    assert whose_hand(noted, other) == "bo@example.com"
    assert hand_noted(NOTIFIED, noted, other, at(6)) is not None


def test_the_largest_record_counts_the_recipients_and_their_marks() -> None:
    many = replace(PLAN, notify=tuple(replace(ALL, name=f"to-{n}") for n in range(10)))
    grown = largest_record(many) - largest_record(PLAN)
    assert grown > len(to_json(many)) - len(to_json(PLAN)) + 10 * len('"to-0":99999')


PLACE = "api --region us-central1 --project demo"


def letter(record: Record) -> News:
    """Return what is told of the last transition."""
    return owed(NOTIFIED, record, service_of(record).name, at(500), NOW)[-1].news


@pytest.mark.parametrize(
    ("what", "said", "words"),
    [
        ("started", "the rollout of api-2 starts", "status rollback"),
        ("shift to 10%", "api-2 gets 10% of the requests", "status rollback"),
        ("step back to 5%", "api-2 steps back to 5%", "status rollback"),
        (
            "test at 5%",
            "both revisions fail: api-2 is lowered to 5% as a test",
            "status rollback",
        ),
        ("asked: gate", "a person is needed at 10%", "approve reject rollback cancel"),
        ("roll back not in force", "the roll back does not come into force", "status rollback"),
        (
            "taken over",
            "taken over by bo: the rollout changes nothing any more",
            "resume rollback cancel",
        ),
        ("unwatched", "the rollout was unwatched, and is watched again", "status rollback"),
    ],
)
def test_a_message_says_what_happened_and_what_can_be_done(
    what: str, said: str, words: str
) -> None:
    ask = Ask(AskKind.GATE, "errors", at(1)) if what.startswith("asked") else None
    told = letter(running(ask=ask).noting(at(1), what, "why", "bo"))
    assert (told.what, told.why, told.by) == (said, "why", "bo")
    assert told.do == tuple(f"rollout {word} {PLACE}" for word in words.split())
    assert (told.rollout, told.candidate, told.stable) == ("r1", "api-2", "api-1")
    assert (told.number, told.at, told.stage, told.stages, told.weight) == (1, at(1), 1, 3, 10)
    assert told.id == f"r1/us-central1/1/{told.event}"


@pytest.mark.parametrize(
    ("what", "said", "words"),
    [
        ("promoted", "promoted: api-2 serves everything", "history rollback"),
        ("rolled back", "rolled back: traffic is api-0 100%", "history"),
        ("roll back", "rolled back: traffic is api-0 100%", "history"),
        (
            "cancelled",
            "cancelled: the traffic stays as it is, and nobody watches",
            "rollback history",
        ),
        ("roll back not in force", "the roll back does not come into force", "history"),
        ("taken over", "taken over by : the rollout changes nothing any more", "history"),
        ("asked: gate", "a person is needed at 10%", "history"),
        ("started", "the rollout of api-2 starts", "history"),
    ],
)
def test_once_it_is_over_a_message_names_what_still_makes_sense(
    what: str, said: str, words: str
) -> None:
    ended = Outcome("rolled_back", "api-2", at(1), "why", before={"api-0": 100})
    told = letter(running(phase=Phase.DONE, outcomes=(ended,)).noting(at(1), what, "why"))
    assert told.what == said
    assert told.do == tuple(f"rollout {word} {PLACE}" for word in words.split())


def test_before_the_first_shift_no_weight_is_named() -> None:
    told = letter(starting().noting(at(1), "asked: undecided", "why"))
    assert told.what == "a person is needed before the first shift"
    assert told.stage == 0


def test_a_roll_back_to_a_named_revision_is_told_only_where_it_is_the_end() -> None:
    named = running(phase=Phase.DONE).noting(at(1), "roll back", "")
    assert heard(named) == ["rolled_back"]
    assert heard(named.noting(at(2), "rolled back", "")) == ["rolled_back"]


def test_a_try_whether_messages_arrive_is_no_event() -> None:
    name = service_of(running()).name
    news = tried(replace(ALL, events=(Heard.STARTED, Heard.ASKED)), name, at(1)).news
    assert (news.event, news.is_test, news.number) == ("test", True, 0)
    assert news.rollout == "test-20260105-090100"
    assert news.why == "`rollout notify test` was run; what will be told: started, asked"
    assert news.do == (f"rollout status {PLACE}",)
    assert (news.candidate, news.stable, news.stage, news.weight) == ("", "", 0, 0)


def test_a_takeover_that_cannot_be_noted_is_told_to_who_wants_to_hear_of_takeovers() -> None:
    deaf = replace(ALL, name="deaf", events=(Heard.PROMOTED,))
    plan = replace(PLAN, notify=(deaf, ALL))
    (told,) = unwritten(plan, running(), service_of(running()).name, at(1), "it vanished")
    assert told.to is ALL
    assert (told.news.by, told.news.number, told.news.why) == ("", 0, "it vanished")
    assert told.news.do == (f"rollout status {PLACE}",)


def test_marks_stop_at_the_first_letter_that_has_to_be_sent_again() -> None:
    record = running(heard={"all": 0, "gone": 3})
    for minute in (1, 2, 3):
        record = record.noting(at(minute), "asked: gate", "")
    both = replace(PLAN, notify=(ALL, replace(ALL, name="other")))
    letters = owed(both, record, service_of(record).name, at(9), NOW)
    done = (True, False, True, True, True, True)
    assert told(record, letters, done) == {"all": 1, "gone": 3, "other": 3}
    assert without_strangers(both, {"all": 1, "gone": 3}) == {"all": 1}


def test_what_waits_is_told_a_minute_after_it_was_written() -> None:
    record = running().noting(at(1), "started", "")
    name = service_of(record).name
    assert owed(NOTIFIED, record, name, at(2) - SECOND, GRACE) == ()
    assert len(owed(NOTIFIED, record, name, at(2), GRACE)) == 1


def test_a_day_after_the_end_nothing_is_owed_any_more() -> None:
    record = running(phase=Phase.DONE, at=at(1)).noting(at(1), "promoted", "")
    name = service_of(record).name
    day = timedelta(days=1)
    assert owed(NOTIFIED, record, name, at(1) + day, NOW)
    assert not owed(NOTIFIED, record, name, at(1) + day + SECOND, NOW)
    assert owed(NOTIFIED, replace(record, phase=Phase.RUNNING), name, at(1) + 2 * day, NOW)
    assert owed(NOTIFIED, replace(record, at=None), name, at(1) + 2 * day, NOW)


def test_after_the_end_another_than_who_was_on_duty_waits_for_two_looks_and_a_minute() -> None:
    record = running(phase=Phase.DONE, duty="a", at=at(0))
    assert patience(NOTIFIED, record, "b", at(100)) == timedelta(minutes=3)
