"""The record's wire form: compact JSON in the annotation, untrusted when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

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
)
from controller.engine.unreadable import described
from controller.gates import history, kernel, state_json
from controller.plan.compact import from_json
from controller.plan.model import Plan
from controller.plan.names import REGION

FORMAT = 1
BYTES_MAX = 24_000
# What reading a value of another shape or size raises (ArithmeticError: a time out of all range).
_NOT_A_RECORD = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class Unreadable(ValueError):
    """The annotation is not a record this version can read; str() says why, and what it is."""


def encode(record: Record) -> str:
    """Return the compact JSON text of a record."""
    return json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> Record:
    """Read a record. Raises Unreadable for anything that is not one, whatever it is."""
    try:
        return _decoded(text)
    except Unreadable as error:
        raise Unreadable(described(text, str(error), reads=FORMAT)) from error


@lru_cache(maxsize=8)
def plan_of(text: str) -> Plan:
    """Return the plan of a record's text; raises ValueError where it cannot be read."""
    return from_json(text)


@lru_cache(maxsize=8)  # between two writes every tick reads the same text
def read(text: str) -> Record:
    """Read a record that can be decided on: if it is not done, one that its plan allows.

    Raises Unreadable for any other.
    """
    record = decode(text)
    if record.phase is Phase.DONE:
        return record
    try:
        must_fit(plan_of(record.plan), record)
    except ValueError as error:
        raise Unreadable(described(text, str(error), reads=FORMAT)) from error
    return record


def _decoded(text: str) -> Record:
    if len(text.encode(errors="replace")) > 4 * BYTES_MAX:
        raise Unreadable("it is larger than any record")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable("it is not an object")
    if value.get("v") != FORMAT:
        raise Unreadable(f"its format is {value.get('v')!r}, this version reads {FORMAT}")
    try:
        return _record(value)
    except _NOT_A_RECORD as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def must_fit(plan: Plan, record: Record) -> None:
    """Raise Unreadable for a record, not done, that no rollout of its plan could have written."""
    shifting, running = record.shift is not None, record.phase is Phase.RUNNING
    if record.stage >= len(plan.stages):
        raise Unreadable(f"it is in stage {record.stage + 1} of {len(plan.stages)}")
    if record.came_from >= len(plan.stages):
        raise Unreadable(f"it came from stage {record.came_from + 1} of {len(plan.stages)}")
    ending = record.phase in (Phase.PROMOTING, Phase.ROLLING_BACK)
    if (record.stage < 0) == running and not ending:
        raise Unreadable(f"it is {record.phase.value} in stage {record.stage + 1}")
    if running and not shifting and record.in_force is None:
        raise Unreadable("its split is neither in force nor asked for")
    if ending and not shifting:
        raise Unreadable(f"it is {record.phase.value.replace('_', ' ')} and never asked for it")


def _plain(r: Record) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "v": FORMAT,
        "id": r.rollout,
        "seq": r.seq,
        "nonce": r.nonce,
        "gen": r.generation,
        "at": _time(r.at),
        "uid": r.uid,
        "plan": r.plan,
        "digest": r.digest,
        "candidate": r.candidate,
        "stable": r.stable,
        "before": dict(r.before),
        "started": _time(r.started),
        "by": r.by,
        "phase": r.phase.value,
        "stage": r.stage,
        "weight": r.weight,
        "shift": r.shift and [_time(r.shift.at), r.shift.weight_before],
        "in_force": _time(r.in_force),
        "uncounted": r.uncounted.total_seconds() or None,
        "stopped": _time(r.stopped),
        "paused": r.paused and [r.paused.by, _time(r.paused.at), r.paused.reason],
        "ask": r.ask and [r.ask.kind.value, r.ask.reason, _time(r.ask.since)],
        "approved": list(r.approved),
        "waived": list(r.waived),
        "extended": r.extended or None,
        "stepped_back": list(r.stepped_back),
        "told": list(r.told),
        "came_from": r.came_from if r.came_from >= 0 else None,
        "weight_before": r.weight_before or None,
        "trial": r.trial and _plain_trial(r.trial),
        "tried": list(r.tried),
        "history": {n: history.to_json(h) for n, h in r.history.items()},
        "gates": {
            n: [_minute(a.watermark), state_json.to_json(a.state)] for n, a in r.gates.items()
        },
        "own": [
            [_minute(o.end), _side(r, o.revision), o.code, o.count, o.latency_ms] for o in r.own
        ],
        "unknown_until": _time(r.unknown_until),
        "verdicts": dict(r.verdicts),
        "transitions": [[_time(t.at), t.what, t.reason, t.by] for t in r.transitions],
        "noted": r.noted if r.noted != len(r.transitions) else None,
        "heard": dict(r.heard),
        "hand": r.hand and [r.hand.by, r.hand.split],
        "outcomes": [
            [o.outcome, o.candidate, _time(o.at), o.reason, o.by, dict(o.before), o.rollout]
            for o in r.outcomes
        ],
        "duty": r.duty or None,
        "after": r.after or None,
        "served": r.served or None,
    }
    return {key: value for key, value in plain.items() if value not in (None, [], {})}


def _record(v: Mapping[str, Any]) -> Record:
    return Record(
        rollout=_text(v["id"]),
        seq=_whole(v["seq"]),
        nonce=_text(v["nonce"]),
        generation=_whole(v.get("gen", 0)),
        at=_must_time(v["at"]),
        uid=_text(v["uid"]),
        plan=_text(v["plan"]),
        digest=_text(v["digest"]),
        candidate=_text(v["candidate"]),
        stable=_text(v["stable"]),
        before=_split(v["before"]),
        started=_must_time(v["started"]),
        by=_text(v.get("by", "")),
        phase=Phase(v["phase"]),
        stage=_whole(v["stage"], low=-1, high=99),
        weight=_whole(v["weight"], high=100),
        shift=Shift(_must_time(v["shift"][0]), _whole(v["shift"][1], high=100))
        if "shift" in v
        else None,
        in_force=_read_time(v.get("in_force")),
        uncounted=timedelta(seconds=_number(v.get("uncounted", 0))),
        stopped=_read_time(v.get("stopped")),
        paused=_act(v["paused"]) if "paused" in v else None,
        ask=_ask(v["ask"]) if "ask" in v else None,
        approved=tuple(_whole(n) for n in v.get("approved", [])),
        waived=tuple(_whole(n) for n in v.get("waived", [])),
        extended=bool(v.get("extended", False)),
        stepped_back=tuple(_whole(n) for n in v.get("stepped_back", [])),
        told=tuple(_text(n) for n in v.get("told", [])),
        gates={
            _text(n): Accumulated(_must_time(a[0]), state_json.from_json(a[1]))
            for n, a in v.get("gates", {}).items()
        },
        came_from=_whole(v.get("came_from", -1), low=-1, high=99),
        weight_before=_whole(v.get("weight_before", 0), high=100),
        trial=_trial(v["trial"]) if "trial" in v else None,
        tried=tuple(_whole(n) for n in v.get("tried", [])),
        history={_text(n): history.from_json(h) for n, h in v.get("history", {}).items()},
        own=tuple(
            OwnCount(
                _must_time(o[0]), _revision(v, o[1]), _whole(o[2]), _whole(o[3]), _number(o[4])
            )
            for o in v.get("own", [])
        ),
        unknown_until=_read_time(v.get("unknown_until")),
        verdicts={_text(n): _text(t) for n, t in v.get("verdicts", {}).items()},
        transitions=tuple(
            Transition(_must_time(t[0]), _text(t[1]), _text(t[2]), _text(t[3]))
            for t in v.get("transitions", [])
        ),
        noted=_whole(v.get("noted", len(v.get("transitions", []))), low=0),
        heard={_text(n): _whole(number) for n, number in v.get("heard", {}).items()},
        hand=Hand(_text(v["hand"][0]), _text(v["hand"][1])) if "hand" in v else None,
        outcomes=tuple(_outcome(o) for o in v.get("outcomes", [])),
        duty=_text(v.get("duty", ""))[:DUTY_MAX],
        after=_region(v.get("after", "")),
        served=_whole(v.get("served", 0)),
    )


def _plain_trial(t: Trial) -> list[Any]:
    wealth = (kernel.to_json(w) for w in (t.fell, t.stayed, t.well))
    return [t.gate, _time(t.at), t.rate.hex(), *wealth, list(t.seen), t.blamed, _time(t.raised)]


def _trial(v: Any) -> Trial:
    rate = float.fromhex(v[2])
    if not 0 <= rate <= 1:
        raise ValueError(f"not a share: {v[2]!r}")
    fell, stayed, well = (state_json.wealth_from_json(one) for one in v[3:6])
    if v[7] not in (None, True, False):
        raise ValueError(f"not an answer: {v[7]!r}")
    seen = (_whole(v[6][0]), _whole(v[6][1]))
    raised = _read_time(v[8])
    return Trial(_text(v[0]), _must_time(v[1]), rate, fell, stayed, well, seen, v[7], raised)


def _act(v: Any) -> Act:
    return Act(_text(v[0]), _must_time(v[1]), _text(v[2]))


def _ask(v: Any) -> Ask:
    return Ask(AskKind(v[0]), _text(v[1]), _must_time(v[2]))


def _outcome(v: Any) -> Outcome:
    before = _split(v[5]) if v[5] else {}
    if v[0] not in ("promoted", "rolled_back", "cancelled"):
        raise ValueError(f"not an outcome: {v[0]!r}")
    rollout = _text(v[6]) if len(v) > 6 else ""
    at = _must_time(v[2])
    return Outcome(_text(v[0]), _text(v[1]), at, _text(v[3]), _text(v[4]), before, rollout)


def _split(value: Any) -> dict[str, int]:
    split = {_text(name): _whole(percent, high=100) for name, percent in value.items()}
    if sum(split.values()) != 100:
        raise ValueError(f"a split sums to 100, not {sum(split.values())}")
    return split


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text wanted, not {type(value).__name__}")
    return value


def _region(value: Any) -> str:
    if value and not REGION.fullmatch(_text(value)):
        raise ValueError("`after` is no region")
    return _text(value)


def _whole(value: Any, *, low: int = 0, high: int = 2**53) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"a whole number {low}..{high} wanted, not {value!r}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 2**53:  # NaN is neither
        raise ValueError(f"a number from 0 wanted, not {value!r}")
    return float(value)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _minute(value: datetime) -> str:
    """Return the shortest form that loses nothing: most of these are whole minutes."""
    whole = not (value.second or value.microsecond)
    return (
        value.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
        if whole and value.year > 999
        else str(_time(value))
    )


def _side(record: Record, revision: str) -> str | int:
    """Return 0 for the candidate and 1 for stable, whose names stand in the record already."""
    return {record.candidate: 0, record.stable: 1}.get(revision, revision)


def _revision(v: Mapping[str, Any], side: Any) -> str:
    if type(side) is int:
        return _text((v["candidate"], v["stable"])[side])
    return _text(side)


def _read_time(value: Any) -> datetime | None:
    return None if value is None else _must_time(value)


def _must_time(value: Any) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError(f"a time without a zone: {value!r}")
    return time.astimezone(UTC)
