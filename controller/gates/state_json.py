"""A gate's state as it stands in the record: compact JSON, floats in hexadecimal.

A fresh process computes the same from it, to the last digit. What is read is untrusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controller.gates import kernel, means, tally
from controller.gates.betting import NOTHING, Compared, Question
from controller.gates.kernel import Wealth
from controller.gates.rise import Rise
from controller.gates.state import Block, State
from controller.gates.tally import Tally
from controller.gates.trend import Trend


def to_json(state: State) -> dict[str, Any]:
    """Return the compact form; what is as in a fresh state is left out."""
    plain: dict[str, Any] = {
        "t": tally.to_json(state.tally),
        "w": {q.value: kernel.to_json(w) for q, w in sorted(state.wealth.items())},
        "b": "".join(sorted(question.value for question in state.touched)) or None,
        "f": state.failed and state.failed.value,
        "fa": _time(state.failed_at),
        "u": _rise(state.rise),
        "bf": _time(state.failing_since),
        "c": _pending(state.pending),
        "k": _block(state.block),
        "q": _trend(state.trend),
        "x": state.excess.hex() if state.excess else None,
    }
    return {key: value for key, value in plain.items() if value not in (None, [], {})}


def from_json(value: Any) -> State:
    """Read `to_json`'s form. Raises ValueError for anything else."""
    if not isinstance(value, Mapping):
        raise ValueError("a gate's state is an object")  # noqa: TRY004 untrusted, not a bug
    try:
        return State(
            tally.from_json(value["t"]),
            {Question(q): wealth_from_json(w) for q, w in value.get("w", {}).items()},
            frozenset(Question(q) for q in value.get("b", "")),
            Question(value["f"]) if "f" in value else None,
            _read_time(value.get("fa")),
            _read_rise(value["u"]) if "u" in value else None,
            _read_time(value.get("bf")),
            _read_pending(value["c"]) if "c" in value else NOTHING,
            _read_block(value["k"]) if "k" in value else Block(),
            _read_trend(value["q"]) if "q" in value else Trend(),
            _number(value["x"]) if "x" in value else 0.0,
        )
    except (TypeError, LookupError, OverflowError, AttributeError) as error:
        raise ValueError(f"not a gate's state: {error}") from error


def wealth_from_json(value: Any) -> Wealth:
    """Read a wealth of whatever grid has as many bets. Raises ValueError."""
    bets = len(value) - 1 if isinstance(value, list) else 0
    grids = (kernel.FAIL, kernel.PASS, means.MEANS)
    grid = next((one for one in grids if len(one.log_weights) == bets), kernel.FAIL)
    return kernel.from_json(value, grid)


def _rise(rise: Rise | None) -> list[Any] | None:
    if rise is None:
        return None
    begun = [_time(rise.since), rise.weight.hex(), _pending(rise.seen)]
    return begun if rise.before == Tally() else [*begun, tally.to_json(rise.before)]


def _read_rise(v: Any) -> Rise:
    since = _read_time(v[0])
    if since is None:
        raise ValueError("a rise began some time")
    before = tally.from_json(v[3]) if len(v) > 3 else Tally()
    return Rise(since, _number(v[1]), _read_pending(v[2]), before)


def _pending(seen: Compared) -> list[int] | None:
    if seen == NOTHING:
        return None
    return [seen.mine, seen.of_mine, seen.theirs, seen.of_theirs]


def _read_pending(v: Any) -> Compared:
    return NOTHING if v is None else Compared(*(_count(one) for one in v[:4]))


def _block(block: Block) -> list[Any] | None:
    if block == Block():
        return None
    sums = (block.mine, block.mine_paired, block.theirs)
    return [block.minutes, block.pairs, *(one.hex() for one in sums)]


def _read_block(v: Any) -> Block:
    mine, paired, theirs = (_number(one) for one in v[2:5])
    return Block(_count(v[0]), mine, _count(v[1]), paired, theirs)


def _trend(trend: Trend) -> list[Any] | None:
    if trend == Trend():
        return None
    sums = (trend.mean, trend.squares, trend.mine, trend.theirs)
    counts = [trend.blocks, trend.of_mine, trend.of_theirs]
    return [*counts, _time(trend.until), *(one.hex() for one in sums)]


def _read_trend(v: Any) -> Trend:
    mean, squares, mine, theirs = (_number(one) for one in v[4:8])
    return Trend(
        _count(v[0]), mean, squares, _read_time(v[3]), mine, _count(v[1]), theirs, _count(v[2])
    )


def _number(value: Any) -> float:
    number = float.fromhex(value)
    if not math.isfinite(number):
        raise ValueError(f"not a number: {value!r}")
    return number


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"not a count: {value!r}")
    return value


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _read_time(value: Any) -> datetime | None:
    if value is None:
        return None
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"a time without a zone: {value!r}")
    return time.astimezone(UTC)
