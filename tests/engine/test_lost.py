"""A record that vanished or cannot be read: what it is, what people can do, what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine import acts, hints, recordless
from controller.engine.begin import Wish, begin
from controller.engine.codec import FORMAT, Unreadable, encode, read
from controller.engine.decision import Action, Decision, Refusal
from controller.engine.events import Message
from controller.engine.lost import Lost, ended_here, lost_of
from controller.engine.observation import RevisionState, ServiceState, Target
from controller.engine.record import REASON_BYTES_MAX, Phase, Record, cut, stamp
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
        ('{"v":1} trailing, and more of it', "it is a record that was damaged", "damaged, 3"),
        ("null", "it is not a record of rollout", "no record of rollout, 4 bytes: `null`"),
        ('{"kind":"other"}', "it is not a record of rollout", "no record of rollout, 16 bytes"),
        ("hello", "it is not a record of rollout", "no record of rollout, 5 bytes: `hello`"),
        ("9" * 200_000, "it is larger than any record", "no record of rollout, 200,000 bytes"),
    ],
)  # fmt: skip
def test_what_stands_in_the_records_place_is_named(text: str, told: str, kept: str) -> None:
    with pytest.raises(Unreadable) as unread:
        read(text)
    assert told in str(unread.value)
    assert brief(text, reads=FORMAT).startswith(kept)


def test_a_record_cut_off_anywhere_is_called_so() -> None:
    for length in range(1, len(STORED), 13):
        assert brief(STORED[:length], reads=FORMAT).startswith("cut off"), STORED[:length][-30:]


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


def test_where_only_the_tag_of_the_way_back_is_left_a_rollout_ended() -> None:
    service = left({NEW: 100}, None, (Target(OLD, 0, TAG_OLD),))
    assert lost_of(service) is None
    assert "one ended here (tag rollout-old on api-1)" in ended_here(service)
    assert lost_of(left({OLD: 100}, None, ())) is None
    assert not ended_here(left({OLD: 100}, None, ()))


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
