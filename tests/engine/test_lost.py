"""A record that vanished or cannot be read: what it is, what people can do, what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine import acts, hints, recordless
from controller.engine.begin import Wish, begin
from controller.engine.codec import FORMAT, Unreadable, encode, read
from controller.engine.decision import Action, Decision, Refusal, State, Write
from controller.engine.events import Message, Shifted
from controller.engine.lost import Lost, Vanished, ended_here, lost_of
from controller.engine.observation import RevisionState, ServiceState, Target
from controller.engine.record import (
    REASON_BYTES_MAX,
    Outcome,
    Phase,
    Record,
    Transition,
    cut,
    stamp,
)
from controller.engine.split import TAG_NEW, TAG_OLD
from controller.engine.unreadable import brief, described, quoted
from tests.engine.builders import NEW, OLD, PLAN, T0, running, service_of, split_asked, starting

STORED = (Path(__file__).parent / "records" / "running.json").read_text("utf-8").strip()
NEWER = json.dumps({**json.loads(STORED), "v": FORMAT + 1})
DAMAGED = json.dumps({**json.loads(STORED), "stage": "x"})
HOSTILE = "\x1b[2J::error::x\n<b>`x` https://me:pa55word@host/ Bearer t0kent0ken" + "z" * 2000
THIRD = "api-3"
TAGS = (Target(NEW, 0, TAG_NEW), Target(OLD, 0, TAG_OLD))
READY = {name: RevisionState(name, ready=True) for name in (OLD, NEW, THIRD)}


def left(
    split: dict[str, int], text: str | None, tags: tuple[Target, ...] = TAGS, **changes: Any
) -> ServiceState:
    """Return a service whose record is lost: this text stands in its place."""
    service = service_of(running(0), split, record_text=text, **changes)
    return replace(service, targets=(*service.targets, *tags))


def lost_on(service: ServiceState) -> Lost:
    lost = lost_of(service)
    assert lost is not None
    return lost


def cancelled(service: ServiceState, shown: Lost | None = None) -> Decision | Refusal:
    return recordless.cancel(lost_on(service), service, T0, "ada", "enough", shown)


def begun(service: ServiceState, candidate: str = THIRD, **wish: Any) -> Any:
    wished = Wish(PLAN, "ada", "r2", **wish)
    stable = READY[OLD] if candidate != OLD else READY[NEW]
    return begin(wished, service, READY[candidate], stable, None, T0)


def reason_of(record: Record, what: str) -> str:
    (found,) = [t.reason for t in record.transitions if t.what == what]
    return found


# What it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told", "kept"),
    [
        ("", "it is empty", "empty"),
        (" \n", "it is empty", "empty"),
        ("{", "it begins as a record and is cut off", "cut off, 1 byte: `{`"),
        (STORED[:2000], "it begins as a record and is cut off", "cut off, 2,000 bytes: "),
        (STORED[:-1], "it begins as a record and is cut off", "cut off, "),
        (NEWER, "a newer rollout wrote it and is likely still at work here", "of format 2, "),
        (NEWER[:99], "of format 2 and is cut off; a newer rollout", "of format 2, cut off, 99 b"),
        (DAMAGED, "it is a record that was damaged, or changed by hand", "damaged, "),
        ('{"v":1} and', "it is a record that was damaged", "damaged, 11 bytes: `{"),
        ('{"v":0,"id":"x"}', "it is not a record of rollout", "no record of rollout, 16 bytes: "),
        ('{"v":2} and', "a newer rollout wrote it", "of format 2, 11 bytes: "),
        ('{"v":2,', "of format 2 and is cut off", "of format 2, cut off, 7 bytes: "),
        ("\ud800", "it is not a record of rollout", "no record of rollout, 1 byte: `<U+D800>`"),
        ("null", "it is not a record of rollout", "no record of rollout, 4 bytes: `null`"),
        ('{"kind":"other"}', "it is not a record of rollout", "no record of rollout, 16 bytes"),
        ("hello", "it is not a record of rollout", "no record of rollout, 5 bytes: `hello`"),
        ('{"v":2,"a":"' + "9" * 100_000, "a newer rollout wrote it", "of format 2, 100,012 b"),
        ("9" * 200_000, "it is larger than any record", "no record of rollout, 200,000 bytes"),
    ],
)  # fmt: skip
def test_what_stands_in_the_records_place_is_named(text: str, told: str, kept: str) -> None:
    with pytest.raises(Unreadable) as unread:
        read(text)
    assert told in str(unread.value)
    assert brief(text, reads=FORMAT).startswith(kept)


def test_a_record_cut_off_anywhere_is_called_so() -> None:
    for text in (STORED, '{"v":1,"a":[false,null,true,-1.5e+9,"\\u00e9\\n"],"b":{}}'):
        for length in (*range(1, min(len(text), 80)), *range(80, len(text), 13)):
            assert brief(text[:length], reads=FORMAT).startswith("cut off"), text[:length][-30:]


@pytest.mark.parametrize(
    "text", ['{"v":1,"a":falsy}', '{"v":1,"a":"\\u00x9"}', '{"v":1,"a":1 23456}', '{"v":1}{"v":1}']
)
def test_a_record_that_is_broken_before_its_end_is_damaged(text: str) -> None:
    assert brief(text, reads=FORMAT).startswith("damaged")


def test_a_text_is_quoted_up_to_48_characters_and_a_why_up_to_120() -> None:
    assert quoted("x" * 48) == f"`{'x' * 48}`"
    assert quoted("x" * 49) == f"`{'x' * 47}…`"
    assert quoted("a`b") == "`a'b`"
    assert (
        quoted("Bearer " + "t0ken" * 400) == "`Bearer (secret)…`"
    )  # longer than what is looked at
    told = described("x", "y" * 121, reads=FORMAT)
    assert told == f"{'y' * 119}…; it is not a record of rollout; 1 byte: `x`"
    assert described("x", "y" * 120, reads=FORMAT).startswith("y" * 120 + "; ")


def test_of_a_hostile_text_a_short_and_harmless_beginning_is_quoted() -> None:
    for told in (described(HOSTILE, HOSTILE, reads=FORMAT), brief(HOSTILE, reads=FORMAT)):
        assert "<U+001B>[2J" in told
        assert "pa55word" not in told
        assert "t0ken" not in told
        assert "zzz" not in told
        assert len(told) < 400
    assert quoted(HOSTILE).count("`") == 2


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_described_in_one_printable_line_that_can_be_kept(text: str, why: str) -> None:
    for told in (described(text, why, reads=FORMAT), brief(text, reads=FORMAT)):
        assert told.isprintable()
        assert len(cut(told).encode()) <= REASON_BYTES_MAX


@given(st.text(max_size=300))
def test_a_cancel_of_any_text_leaves_a_record_that_can_be_read(text: str) -> None:
    lost = lost_of(left({OLD: 90, NEW: 10}, text))
    if lost is None:
        return
    decision = cancelled(left({OLD: 90, NEW: 10}, text))
    assert isinstance(decision, Decision)
    stamped = stamp(decision.record, 1, T0)
    assert read(encode(stamped)) == stamped


# What is known without it ---------------------------------------------------------------------


def test_our_tags_tell_of_whom_a_vanished_rollout_was_and_the_split_is_said() -> None:
    lost = lost_on(left({OLD: 90, NEW: 10}, None))
    assert (lost.candidate, lost.stable) == (NEW, OLD)
    assert lost.told == (
        f"a rollout of {NEW} was here (tag rollout-new), and its record vanished; "
        f"traffic is {OLD} 90%, {NEW} 10%; nobody goes on with it"
    )


def test_of_an_unreadable_one_the_split_is_said_and_nothing_of_who_goes_on() -> None:
    lost = lost_on(left({OLD: 90, NEW: 10}, "hello"))
    told = "not JSON: Expecting value: line 1 column 1 (char 0); it is not a record of rollout"
    assert lost.what == f"it is {told}; 5 bytes: `hello`"
    assert lost.why == f"the record on the service cannot be read: {lost.what}"
    assert lost.told == f"{lost.why}; traffic is {OLD} 90%, {NEW} 10%"
    assert lost.replaced == f"replaced: a record that could not be read: {lost.what}"
    assert lost.brief == "no record of rollout, 5 bytes: `hello`"


def test_of_a_vanished_one_is_said_whom_our_tag_names() -> None:
    lost = lost_on(left({OLD: 100}, None))
    assert Vanished(lost).lost is lost
    assert str(Vanished(lost)) == lost.told
    assert lost.replaced == f"no record was there to replace: {lost.why}"
    assert lost.brief == f"vanished; rollout-new was on {NEW}"
    nobody = lost_on(left({OLD: 100}, None, (Target(None, 0, TAG_NEW),)))
    assert (nobody.candidate, nobody.stable) == ("", "")
    assert nobody.brief == "vanished; rollout-new was on LATEST"
    assert nobody.why == "a rollout of LATEST was here (tag rollout-new), and its record vanished"


def test_who_may_be_a_candidate_that_serves_is_told_by_the_tag_or_by_the_split() -> None:
    for tags, split, who in (
        (TAGS, {OLD: 90, NEW: 10}, NEW),
        (TAGS, {OLD: 90, THIRD: 10}, ""),
        ((), {OLD: 100}, ""),
        ((), {NEW: 10, OLD: 90}, f"{OLD} or {NEW}"),
    ):
        assert lost_on(left(split, "hello", tags)).under_way == who


def test_where_only_the_tag_of_the_way_back_is_left_a_rollout_ended() -> None:
    service = left({NEW: 100}, None, (Target(OLD, 0, TAG_OLD),))
    assert lost_of(service) is None
    assert "one ended here (tag rollout-old on api-1)" in ended_here(service)
    assert lost_of(left({OLD: 100}, None, ())) is None
    assert ended_here(left({OLD: 100}, None, ())) == ""
    assert ended_here(left({NEW: 100}, "hello")) == ""


def test_a_record_that_is_there_is_not_lost() -> None:
    assert lost_of(left({OLD: 90, NEW: 10}, encode(running(0)))) is None
    assert lost_of(left({OLD: 90, NEW: 10}, encode(replace(running(0), stage=7)))) is not None


# Cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, NEWER, STORED[:99], "hello"])
@pytest.mark.parametrize("split", [{OLD: 90, NEW: 10}, {OLD: 100}, {NEW: 100}, {THIRD: 100}])
def test_a_cancel_leaves_every_share_ends_it_and_keeps_what_it_replaced(
    text: str | None, split: dict[str, int]
) -> None:
    service = left(split, text)
    decision = cancelled(service)
    assert isinstance(decision, Decision)
    assert decision.action is Action.CANCEL
    assert split_asked(decision) == split
    record = decision.record
    assert record.phase is Phase.DONE
    assert record.outcome is not None
    assert (record.outcome.outcome, record.outcome.candidate) == ("cancelled", NEW)
    kept = reason_of(record, recordless.REPLACED)
    assert kept.startswith("vanished" if text is None else brief(text, reads=FORMAT)[:20])
    assert record.transitions[-1].by == "ada"
    (message,) = [event for event in decision.events if isinstance(event, Message)]
    assert "replace" in message.text


def by_hand(text: str, what: str, candidate: str = NEW, **changes: Any) -> Record:
    """Return what a person's end leaves where NEW was rolled out beside OLD."""
    plain = Record(
        "by-hand", "uid", "{}", "", candidate, OLD, {OLD: 100}, T0, "ada", Phase.DONE,
        transitions=(
            Transition(T0, "record replaced", "no record of rollout, 5 bytes: `hello`", "ada"),
            Transition(T0, what, text, "ada"),
        ),
        noted=2,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.mark.parametrize("split", [{OLD: 90, NEW: 10}, {OLD: 20, NEW: 80}])
def test_what_a_cancel_writes_and_says(split: dict[str, int]) -> None:
    service = left(split, "hello")
    text = "cancelled by ada: enough"
    end = Outcome("cancelled", NEW, T0, text, "ada", {OLD: 100}, "by-hand")
    assert cancelled(service) == Decision(
        Action.CANCEL,
        text,
        timedelta(0),
        by_hand(text, "cancelled", outcomes=(end,)),
        State.DONE,
        Write((*(Target(*share) for share in split.items()), Target(OLD, 0, TAG_OLD))),
        (Message(T0, "warning", lost_on(service).replaced),),
    )


def test_what_a_cancel_writes_where_no_tag_tells_who_was_who() -> None:
    service = left({NEW: 40, OLD: 60}, "hello", ())
    decision = recordless.cancel(lost_on(service), service, T0, "ada", "", None)
    text = "cancelled by ada"
    end = Outcome("cancelled", OLD, T0, text, "ada", {}, "by-hand")
    assert isinstance(decision, Decision)
    assert decision.record == by_hand(text, "cancelled", OLD, outcomes=(end,))
    assert decision.write == Write((Target(NEW, 40), Target(OLD, 60)))
    tie = left({NEW: 50, OLD: 50}, "hello", ())
    decision = recordless.cancel(lost_on(tie), tie, T0, "ada", "", None)
    assert isinstance(decision, Decision)
    assert decision.record.stable == OLD  # by name, so that all say the same
    nobody = left({}, "hello", ())
    decision = recordless.cancel(lost_on(nobody), nobody, T0, "ada", "", None)
    assert isinstance(decision, Decision)
    assert (decision.record.candidate, decision.record.before) == ("", {"": 100})


def test_what_a_roll_back_writes_and_says() -> None:
    service = left({OLD: 90, NEW: 10}, "hello")
    text = "rolled back by ada: bad"
    end = Outcome("rolled_back", NEW, T0, text, "ada", {OLD: 100}, "by-hand")
    assert acts.roll_back_now(None, service, (), T0, "ada", "bad") == Decision(
        Action.ROLL_BACK,
        text,
        timedelta(seconds=10),
        by_hand(text, "roll back", outcomes=(end,)),
        State.ROLLING_BACK,
        Write((Target(OLD, 100),)),
        (
            Message(T0, "warning", lost_on(service).replaced),
            Shifted(T0, {OLD: 100}, in_force=False, reason=text),
        ),
    )


def test_a_roll_back_without_record_or_tag_goes_to_the_older_of_two_or_asks_for_a_name() -> None:
    revisions = (READY[THIRD], READY[NEW], READY[OLD])
    two = acts.roll_back_now(None, left({NEW: 90, OLD: 10}, None, ()), revisions, T0, "ada")
    assert isinstance(two, Decision)
    assert split_asked(two) == {OLD: 100}
    assert two.record.outcomes == ()
    line = "rollout rollback api --region us-central1 --project demo --to-revision"
    unready = (*revisions, RevisionState("api-0", ready=False))
    for split in ({NEW: 100}, {THIRD: 10, NEW: 40, OLD: 50}):
        refused = acts.roll_back_now(None, left(split, None, ()), unready, T0, "ada")
        assert isinstance(refused, Refusal)
        assert refused.mend == f"ready revisions: {THIRD}, {NEW}, {OLD}; name one: `{line} {OLD}`"
    unread = acts.roll_back_now(None, left({NEW: 100}, "hello", ()), (), T0, "ada")
    assert isinstance(unread, Refusal)
    leave = "rollout cancel api --region us-central1 --project demo"
    assert unread.mend == (
        f"ready revisions: ; name one: `{line} REV`; or leave it as it is: `{leave}`"
    )


def test_a_cancel_takes_rollout_new_away_and_keeps_the_way_back_and_the_users_tags() -> None:
    service = left({OLD: 90, NEW: 10}, None, (*TAGS, Target(NEW, 0, "blue")))
    decision = cancelled(service)
    assert isinstance(decision, Decision)
    assert decision.write is not None
    tags = {t.tag: t.revision for t in decision.write.targets if t.tag}
    assert tags == {TAG_OLD: OLD, "blue": NEW}


def test_a_cancel_pins_nothing_where_latest_serves() -> None:
    """The text may be none of ours, on a service that never had a rollout."""
    service = replace(left({}, "hello"), targets=(Target(None, 100),))
    decision = cancelled(service)
    assert isinstance(decision, Decision)
    assert decision.write is not None
    assert decision.write.targets == (Target(None, 100),)


def test_a_cancel_ends_only_what_was_shown() -> None:
    service = left({OLD: 100}, "hello")
    assert isinstance(cancelled(service, lost_on(service)), Decision)
    for text in ("hello!", None):
        refused = cancelled(left({OLD: 100}, text), lost_on(service))
        assert isinstance(refused, Refusal)
        assert "changed since it was shown" in refused.reason


def test_a_rollback_after_a_cancel_goes_where_the_tag_had_said_or_asks_for_a_name() -> None:
    revisions = (READY[NEW], READY[OLD])
    for tags, split in ((TAGS, {NEW: 100}), ((TAGS[0],), {OLD: 90, NEW: 10})):
        decision = cancelled(left(split, None, tags))
        assert isinstance(decision, Decision)
        assert decision.write is not None
        after = replace(left(split, None), targets=decision.write.targets)
        back = acts.roll_back_now(decision.record, after, revisions, T0, "ada")
        assert isinstance(back, Decision), back
        assert split_asked(back) == {OLD: 100}


# Rollback -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, NEWER, "hello"])
@pytest.mark.parametrize("split", [{OLD: 90, NEW: 10}, {OLD: 100}, {NEW: 100}])
def test_a_rollback_goes_to_the_tag_says_what_it_replaces_and_forbids_the_candidate(
    text: str | None, split: dict[str, int]
) -> None:
    service = left(split, text)
    decision = acts.roll_back_now(None, service, (), T0, "ada", "bad")
    assert isinstance(decision, Decision)
    assert split_asked(decision) == {OLD: 100}
    assert reason_of(decision.record, recordless.REPLACED)
    assert any("replace" in e.text for e in decision.events if isinstance(e, Message))
    ended = replace(service, record_text=encode(stamp(decision.record, 1, T0)))
    again = begin(Wish(PLAN, "ada", "r2"), ended, READY[NEW], READY[OLD], decision.record, T0)
    assert isinstance(again, Refusal)
    assert again.exit_code == 3


def test_a_rollback_to_the_candidate_calls_nobody_rolled_back() -> None:
    service = left({OLD: 90, NEW: 10}, None)
    decision = acts.roll_back_now(None, service, (), T0, "ada", to_revision=NEW)
    assert isinstance(decision, Decision)
    assert decision.record.outcomes == ()


# apply --replace ------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "code"), [(None, 6), (NEWER, 1), ("hello", 1)])
def test_nobody_begins_beside_it_unasked(text: str | None, code: int) -> None:
    service = left({OLD: 100}, text)
    for wished in (False, True):  # --replace alone has shown nobody what it replaces
        refused = begun(service, replace=wished)
        assert isinstance(refused, Refusal)
        assert refused.exit_code == code
        assert "rollout cancel api --region us-central1 --project demo" in refused.mend


@pytest.mark.parametrize("text", [None, NEWER, "hello"])
def test_replace_begins_anew_where_the_candidate_gets_nothing(text: str | None) -> None:
    for split in ({OLD: 100}, {OLD: 60, THIRD: 40}):
        service = left(split, text)
        decision = begun(service, NEW, replace=True, over=lost_on(service))
        assert isinstance(decision, Decision), decision
        assert decision.action is Action.START
        assert split_asked(decision) == split
        assert decision.record.before == split
        assert reason_of(decision.record, recordless.REPLACED)
        assert decision.record.transitions[-1].what == "started"
        assert decision.record.noted == 2


@pytest.mark.parametrize(
    ("split", "tags"),
    [
        ({OLD: 90, NEW: 10}, TAGS),
        ({NEW: 100}, TAGS),
        ({OLD: 90, NEW: 10}, ()),  # no tag fits: either may be the candidate
        ({OLD: 90, NEW: 10}, (TAGS[1],)),
    ],
)
def test_replace_is_refused_with_the_way_on_while_its_candidate_may_serve(
    split: dict[str, int], tags: tuple[Target, ...]
) -> None:
    service = left(split, "hello", tags)
    refused = begun(service, replace=True, over=lost_on(service))
    assert isinstance(refused, Refusal)
    assert "who is stable is not known" in refused.reason
    assert "first `rollout rollback api" in refused.mend
    assert "apply" not in refused.mend


def test_replace_writes_over_nothing_but_what_was_shown() -> None:
    shown = lost_on(left({OLD: 100}, "hello"))
    for text in ("hello!", None):
        refused = begun(left({OLD: 100}, text), replace=True, over=shown)
        assert isinstance(refused, Refusal)
        assert "changed since it was shown" in refused.reason
    record = starting(rollout="r9")
    service = left({OLD: 100}, encode(record))
    wish = Wish(PLAN, "ada", "r2", replace=True, over=shown)
    readable = begin(wish, service, READY[THIRD], READY[OLD], record, T0)
    assert isinstance(readable, Refusal)
    assert "can be read now" in readable.reason


# What is suggested ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "hello"])
@pytest.mark.parametrize("tags", [TAGS, (TAGS[0],)])
@pytest.mark.parametrize("split", [{OLD: 90, NEW: 10}, {OLD: 100}, {NEW: 100}])
def test_what_is_suggested_is_not_refused(
    text: str | None, tags: tuple[Target, ...], split: dict[str, int]
) -> None:
    service = left(split, text, tags)
    lost = lost_on(service)
    lines = hints.of_lost(lost, "api.yaml")
    assert "rollout cancel api.yaml" in lines
    assert any("--replace" in line for line in lines) == (NEW not in split)
    for line in lines:
        named = NEW if split == {OLD: 100} else OLD
        to = named if "--to-revision REV" in line else None
        if " rollback " in line:
            revisions = (READY[NEW], READY[OLD])
            done = acts.roll_back_now(None, service, revisions, T0, "ada", to_revision=to)
            assert isinstance(done, Decision), line
        elif "--replace" in line:
            assert isinstance(begun(service, replace=True, over=lost), Decision), line
