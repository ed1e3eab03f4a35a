"""The record comes back as it was written; anything else is Unreadable and nothing worse."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine.codec import BYTES_MAX, Unreadable, decode, encode, must_fit
from controller.engine.record import (
    DUTY_MAX,
    Accumulated,
    Act,
    Ask,
    AskKind,
    Hand,
    Outcome,
    OwnCount,
    Phase,
    Record,
    Shift,
    Transition,
    Trial,
    cut,
    stamp,
)
from controller.gates.betting import Compared, Question
from controller.gates.evidence import Exponential
from controller.gates.history import History
from controller.gates.kernel import wealth_of
from controller.gates.rise import Rise
from controller.gates.state import Block, State
from controller.gates.tally import Side, Tally
from controller.gates.trend import Trend
from tests.engine.builders import PLAN, running

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
COUNTS = st.integers(0, 10**9)
PERCENT = st.integers(0, 100)
FLOATS = st.floats(0, 1e9)
SIDES = st.builds(Side, COUNTS, COUNTS, COUNTS, FLOATS) | st.builds(
    Side,
    COUNTS,
    COUNTS,
    COUNTS,
    FLOATS,
    st.just(Exponential(10.1, 1.1, 120)),
    st.dictionaries(st.integers(0, 121), st.integers(1, 999), max_size=5),
)
SPLITS = st.one_of(
    st.builds(lambda name: {name: 100}, TEXT),
    st.builds(lambda p: {"a": p, "b": 100 - p}, st.integers(1, 99)),
)
LOGS = st.floats(-700, 700)
WEALTHS = st.one_of(
    *(st.builds(wealth_of, st.floats(-700, 0), st.tuples(*[LOGS] * bets)) for bets in (4, 5, 6))
)
MINUTES = TIMES.map(lambda time: time.replace(second=0, microsecond=0))
STATES = st.builds(
    State,
    tally=st.builds(Tally, SIDES, SIDES),
    wealth=st.dictionaries(st.sampled_from(Question), WEALTHS, max_size=3),
    touched=st.frozensets(st.sampled_from(Question)),
    failed=st.none() | st.sampled_from(Question),
    failed_at=st.none() | MINUTES,
    rise=st.none()
    | st.builds(
        Rise,
        MINUTES,
        FLOATS,
        st.builds(Compared, COUNTS, COUNTS, COUNTS, COUNTS),
        st.builds(Tally, SIDES, SIDES),
    ),
    failing_since=st.none() | MINUTES,
    pending=st.builds(Compared, COUNTS, COUNTS, COUNTS, COUNTS),
    block=st.builds(Block, COUNTS, FLOATS, COUNTS, FLOATS, FLOATS),
    trend=st.builds(Trend, COUNTS, FLOATS, FLOATS, st.none() | MINUTES, FLOATS, COUNTS),
    excess=FLOATS,
)
HISTORIES = st.builds(
    History, st.none() | st.floats(1, 1e6), FLOATS, st.none() | FLOATS, st.none() | FLOATS,
    st.integers(1, 5),
)  # fmt: skip
TRIALS = st.builds(
    Trial, TEXT, TIMES, st.floats(0, 1), WEALTHS, WEALTHS, WEALTHS, st.tuples(COUNTS, COUNTS),
    st.none() | st.booleans(), st.none() | TIMES,
)  # fmt: skip
RECORDS = st.builds(
    Record,
    rollout=TEXT,
    uid=TEXT,
    plan=TEXT,
    digest=TEXT,
    candidate=TEXT,
    stable=TEXT,
    before=SPLITS,
    started=TIMES,
    by=TEXT,
    phase=st.sampled_from(Phase),
    stage=st.integers(-1, 19),
    weight=PERCENT,
    shift=st.none() | st.builds(Shift, TIMES, PERCENT),
    in_force=st.none() | TIMES,
    uncounted=st.timedeltas(timedelta(0), timedelta(days=30)),
    stopped=st.none() | TIMES,
    paused=st.none() | st.builds(Act, TEXT, TIMES, TEXT),
    ask=st.none() | st.builds(Ask, st.sampled_from(AskKind), TEXT, TIMES),
    approved=st.lists(st.integers(0, 20), max_size=4).map(tuple),
    waived=st.lists(st.integers(0, 20), max_size=4).map(tuple),
    extended=st.booleans(),
    stepped_back=st.lists(st.integers(0, 20), max_size=4).map(tuple),
    told=st.lists(TEXT, max_size=3).map(tuple),
    duty=st.text(st.characters(exclude_categories=["Cs"]), max_size=DUTY_MAX),
    noted=COUNTS,
    heard=st.dictionaries(TEXT, COUNTS, max_size=3),
    hand=st.none() | st.builds(Hand, TEXT, TEXT),
    gates=st.dictionaries(
        TEXT,
        st.builds(Accumulated, TIMES, STATES),
        max_size=3,
    ),
    came_from=st.integers(-1, 19),
    weight_before=PERCENT,
    unknown_until=st.none() | TIMES,
    trial=st.none() | TRIALS,
    tried=st.lists(st.integers(0, 20), max_size=4).map(tuple),
    history=st.dictionaries(TEXT, HISTORIES, max_size=3),
    own=st.lists(st.builds(OwnCount, TIMES, TEXT, COUNTS, COUNTS, FLOATS), max_size=3).map(tuple),
    verdicts=st.dictionaries(TEXT, TEXT, max_size=3),
    transitions=st.lists(st.builds(Transition, TIMES, TEXT, TEXT, TEXT), max_size=3).map(tuple),
    outcomes=st.lists(
        st.builds(
            Outcome,
            st.sampled_from(("promoted", "rolled_back", "cancelled")),
            TEXT,
            TIMES,
            TEXT,
            TEXT,
            SPLITS | st.just({}),
        ),
        max_size=3,
    ).map(tuple),
    served=COUNTS,
    seq=COUNTS,
    nonce=TEXT,
    generation=COUNTS,
    at=TIMES,
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "running"]),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def a_record() -> Record:
    return Record("r1", "u", "{}", "d", "new", "old", {"old": 100}, NOW, "me", at=NOW)


def a_full_record() -> Record:
    """Return a record in which every part holds something."""
    side = Side(9, 7, 1, 0.5, Exponential(10.1, 1.1, 120), {3: 7})
    compared, wealth = Compared(9, 1, 9, 2), wealth_of(-0.5, (0.1, -0.2, 0.3, 0.4))
    state = State(
        Tally(side, side),
        wealth={Question.LIMIT: wealth},
        touched=frozenset({Question.LIMIT}),
        failed=Question.LIMIT,
        failed_at=NOW,
        rise=Rise(NOW, 0.5, compared, Tally(side, side)),
        failing_since=NOW,
        pending=compared,
        block=Block(3, 0.5, 3, 0.5, 0.25),
        trend=Trend(3, 0.5, 0.25, NOW, 0.5, 2),
        excess=0.5,
    )
    return replace(
        a_record(),
        stage=1,
        weight=10,
        shift=Shift(NOW, 5),
        in_force=NOW,
        uncounted=timedelta(minutes=3),
        stopped=NOW,
        paused=Act("ada", NOW, "lunch"),
        ask=Ask(AskKind.APPROVAL, "100%", NOW),
        approved=(1, 4),
        waived=(2,),
        extended=True,
        stepped_back=(2,),
        told=("newer",),
        duty="a",
        noted=9,
        heard={"team": 8},
        hand=Hand("eve", "0123456789ab"),
        after="europe-west1",
        weight_before=5,
        unknown_until=NOW,
        gates={"g": Accumulated(NOW, state)},
        trial=Trial("g", NOW, 0.5, wealth, wealth, wealth, (9, 9), blamed=True, raised=NOW),
        tried=(1,),
        history={"g": History(1.5, 120.0, 0.1, 0.2, 3)},
        own=(OwnCount(NOW, "new", 3, 1, 0.5),),
        verdicts={"g": "as asked"},
        transitions=(Transition(NOW, "started", "by hand", "ada"),),
        outcomes=(Outcome("promoted", "well", NOW, "ada", "new", {"new": 100}),),
        served=9,
        seq=9,
        nonce="n",
        generation=7,
    )


def test_the_full_record_has_every_part() -> None:
    full = a_full_record()
    assert [part.name for part in fields(full) if not getattr(full, part.name)] == []
    assert decode(encode(full)) == full


@given(RECORDS)
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert decode(encode(record)) == record


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_last_digit(number: float) -> None:
    gates = {"g": Accumulated(NOW, State(Tally(Side(1, 1, 0, number)), excess=number))}
    assert decode(encode(replace(a_record(), gates=gates))).gates == gates


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_record_or_unreadable(text: str) -> None:
    with contextlib.suppress(Unreadable):
        decode(text)


@given(JSON)
def test_no_json_makes_anything_but_a_record_or_unreadable(value: Any) -> None:
    with contextlib.suppress(Unreadable):
        decode(json.dumps(value))


@given(st.data(), JSON)
def test_a_record_with_any_one_part_replaced_is_read_or_unreadable(
    data: st.DataObject, value: Any
) -> None:
    plain = json.loads(encode(a_full_record()))
    holder, key = plain, data.draw(st.sampled_from(sorted(plain)))
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from([*holder] if isinstance(holder, dict) else [0]))
    holder[key] = value
    with contextlib.suppress(Unreadable):
        decode(json.dumps(plain))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"v":2}',
        '{"v":1}',
        "[" * 100_000,
        "\ud800",
        '{"v":1,"pad":"' + "x" * 100_000 + '"}',
    ],
)
def test_what_is_no_record_of_this_format_is_unreadable_and_says_why(text: str) -> None:
    with pytest.raises(Unreadable, match=r"."):
        decode(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("started", "0001-01-01T00:00:00+05:00"),
        ("started", "2026-01-05T09:00:00"),
        ("uncounted", 1e300),
        ("uncounted", "nan"),
        ("uncounted", -1),
        ("at", None),
        ("own", [["2026-01-05T09:00Z", 0, 200, 1, float("nan")]]),
        ("before", {"old": 99}),
        ("before", {}),
        ("weight", 101),
        ("stage", 1.0),
        ("stage", True),
        ("phase", "asleep"),
        ("ask", ["approval"]),
        ("gates", {"g": []}),
        ("shift", []),
    ],
)
def test_a_part_that_cannot_be_is_unreadable(key: str, value: Any) -> None:
    plain = {**json.loads(encode(a_record())), key: value}
    with pytest.raises(Unreadable, match=r"."):
        decode(json.dumps(plain))


def test_a_record_that_names_no_controller_on_duty_has_none_and_an_endless_name_is_cut() -> None:
    plain = json.loads(encode(a_record()))
    assert "duty" not in plain
    assert decode(json.dumps(plain)).duty == ""
    assert decode(json.dumps({**plain, "duty": "x" * 5000})).duty == "x" * DUTY_MAX


def test_times_are_read_in_utc_whatever_their_zone() -> None:
    seoul = NOW.astimezone(timezone(timedelta(hours=9)))
    plain = {**json.loads(encode(a_record())), "started": seoul.isoformat()}
    assert decode(json.dumps(plain)) == a_record()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_reason_is_cut_to_120_bytes_and_never_inside_a_character(reason: str) -> None:
    short = cut(reason)
    assert len(short.encode()) <= 120
    assert short == reason or short.endswith("…")


def test_every_write_has_a_nonce_of_its_own() -> None:
    first = stamp(a_record(), 7, NOW)
    assert (first.seq, first.generation, first.at) == (1, 7, NOW)
    others = {
        stamp(first, 7, NOW).nonce,
        stamp(a_record(), 8, NOW).nonce,
        stamp(a_record(), 7, NOW + timedelta(microseconds=1)).nonce,
    }
    assert first.nonce not in others
    assert {len(nonce) for nonce in (first.nonce, *others)} == {12}
    assert len(others) == 3


@pytest.mark.parametrize(
    ("phase", "said"), [("rolling back", Phase.ROLLING_BACK), ("promoting", Phase.PROMOTING)]
)
def test_one_that_goes_somewhere_must_have_asked_for_it(phase: str, said: Phase) -> None:
    with pytest.raises(Unreadable, match=f"it is {phase} and never asked for it"):
        must_fit(PLAN, running(1, phase=said, weight=0))


def test_a_record_that_came_from_a_stage_its_plan_does_not_have_is_refused() -> None:
    record = running(1, came_from=len(PLAN.stages))
    with pytest.raises(Unreadable, match="it came from stage 4 of 3"):
        must_fit(PLAN, record)


WHEN = "2026-01-05T09:00:00Z"
MOST = 2**53


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("stage", -1, 99),
        ("came_from", -1, 99),
        ("weight", 0, 100),
        ("weight_before", 0, 100),
        ("seq", 0, MOST),
        ("gen", 0, MOST),
        ("noted", 0, MOST),
        ("served", 0, MOST),
    ],
)
def test_a_number_is_read_within_its_limits_and_not_beyond(key: str, least: int, most: int) -> None:
    plain = json.loads(encode(a_full_record()))
    for value in (least, most):
        decode(json.dumps({**plain, key: value}))
    for value in (least - 1, most + 1):
        with pytest.raises(Unreadable, match=f"{least}..{most}"):
            decode(json.dumps({**plain, key: value}))


@pytest.mark.parametrize(
    ("fits", "does_not"),
    [
        ({"shift": [WHEN, 100]}, {"shift": [WHEN, 101]}),
        ({"own": [[WHEN, 0, 200, 1, MOST]]}, {"own": [[WHEN, 0, 200, 1, MOST + 2]]}),
        ({"own": [[WHEN, 0, 200, 1, 0]]}, {"own": [[WHEN, 0, 200, 1, -1]]}),
        ({"before": {"a": 100}}, {"before": {"a": 101, "b": -1}}),
        ({"before": {"a": 0, "b": 100}}, {"before": {"a": 50, "b": 51}}),
        ({"approved": [0]}, {"approved": [-1]}),
        ({"heard": {"a": 0}}, {"heard": {"a": -1}}),
        ({"after": "europe-west1"}, {"after": "--project"}),
        ({"after": ""}, {"after": 7}),
    ],
)
def test_so_is_each_number_inside_of_a_part(fits: dict[str, Any], does_not: dict[str, Any]) -> None:
    plain = json.loads(encode(a_full_record()))
    decode(json.dumps({**plain, **fits}))
    with pytest.raises(Unreadable):
        decode(json.dumps({**plain, **does_not}))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_a_test_is_one(share: float) -> None:
    trial = a_full_record().trial
    assert trial is not None
    record = replace(a_full_record(), trial=replace(trial, rate=share))
    assert decode(encode(record)) == record
    for beyond in (share - 1.1, share + 1.1):
        plain = json.loads(encode(record))
        plain["trial"][2] = beyond.hex()
        with pytest.raises(Unreadable, match="not a share"):
            decode(json.dumps(plain))
    plain = json.loads(encode(record))
    plain["trial"][7] = 2
    with pytest.raises(Unreadable, match="not an answer"):
        decode(json.dumps(plain))


def test_what_a_record_leaves_out_is_as_it_is_for_a_new_one() -> None:
    """Of the smallest record that is read: only what every record of ours has had."""
    needed = (
        "v", "id", "seq", "nonce", "at", "uid", "plan", "digest", "candidate", "stable", "before",
        "started", "phase", "stage", "weight",
    )  # fmt: skip
    full = a_full_record()
    plain = json.loads(encode(full))
    small = decode(json.dumps({key: plain[key] for key in needed}))
    assert small == Record(
        rollout=full.rollout, uid=full.uid, plan=full.plan, digest=full.digest,
        candidate=full.candidate, stable=full.stable, before=full.before, started=full.started,
        by="", phase=full.phase, stage=full.stage, weight=full.weight, seq=full.seq,
        nonce=full.nonce, at=full.at,
    )  # fmt: skip
    for key in needed:
        with pytest.raises(Unreadable):
            decode(json.dumps({k: v for k, v in plain.items() if k != key}))


def test_an_outcome_of_before_names_no_rollout_and_what_is_none_is_no_outcome() -> None:
    plain = json.loads(encode(a_full_record()))
    plain["outcomes"] = [["promoted", "well", WHEN, "why", "", {}]]
    (outcome,) = decode(json.dumps(plain)).outcomes
    assert (outcome.rollout, outcome.before) == ("", {})
    plain["outcomes"] = [["lost", "well", WHEN, "why", "", {}]]
    with pytest.raises(Unreadable, match="not an outcome: 'lost'"):
        decode(json.dumps(plain))


def test_which_format_it_is_of_is_said() -> None:
    with pytest.raises(Unreadable, match="its format is 7, this version reads 1"):
        decode('{"v":7}')


def test_what_says_nothing_is_not_written() -> None:
    plain = json.loads(encode(a_record()))
    assert set(plain) == {
        "v", "id", "seq", "nonce", "gen", "uid", "plan", "digest", "candidate", "stable", "before",
        "started", "by", "phase", "stage", "weight",
    } | ({"at"} if a_record().at else set())  # fmt: skip


def test_a_text_longer_than_four_records_is_not_even_parsed() -> None:
    filled = '{"v":1,"pad":"%s"}'
    room = 4 * BYTES_MAX - len(filled % "")
    with pytest.raises(Unreadable, match="KeyError"):
        decode(filled % ("x" * room))
    with pytest.raises(Unreadable, match="larger than any record"):
        decode(filled % ("x" * (room + 1)))


def test_a_rollout_that_is_done_has_an_outcome_and_no_other_has() -> None:
    ended = Outcome("promoted", "new", NOW, "well")
    assert running(phase=Phase.DONE, outcomes=(ended,)).outcome is ended
    assert running(phase=Phase.DONE).outcome is None
    assert running(outcomes=(ended,)).outcome is None


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 116 + "…"),
        ("a" * 70 + "; " + "b" * 70, "a" * 70 + " …"),
        ("a" * 70 + " " + "b" * 70, "a" * 70 + " …"),
        ("a" * 50 + "; " + "b" * 90, "a" * 50 + "; " + "b" * 64 + "…"),
        ("a " * 40 + "; " + "b " * 40, "a " * 40 + " …"),
        ("가" * 60, "가" * 38 + "…"),
    ],
)
def test_a_reason_is_cut_after_a_part_of_it_or_a_word_where_that_leaves_enough(
    reason: str, short: str
) -> None:
    assert cut(reason) == short
