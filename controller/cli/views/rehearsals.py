"""Rehearsals for people and scripts: a line each, and what they come to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from controller.cli.views.json import VERSION, seconds, write_line
from controller.cli.views.text import OUTCOMES, sentence, write
from controller.engine.wording import minutes_shown
from controller.gates.wording import count_text

if TYPE_CHECKING:
    from controller.cli.rehearsing import Rehearsed

REASONS_SHOWN = 5
_NUMBER = re.compile(r"(?<!at )(?<![\d.,])\d[\d.,]*")  # but for the weight in "at 10%: ..."


def show(one: Rehearsed, runs: int, output: str, stdout: TextIO, stderr: TextIO) -> None:
    """Show one run as it ends; people see it on stderr, the distribution is the result."""
    if output == "json":
        write_line(stdout, ({"version": VERSION} if one.number == 1 else {}) | plain(one))
        return
    took = minutes_shown(one.took) if one.took is not None else "-"
    told = sentence(one.outcome, one.reason)
    write(stderr, f"{one.number:>4}/{runs}  seed {one.seed}  {took}: {told[:120]}")


def show_all(done: Sequence[Rehearsed], output: str, stdout: TextIO) -> None:
    """Show what the runs come to."""
    if output == "json":
        write_line(stdout, summary(done))
        return
    for line in lines(done):
        write(stdout, line)


def plain(one: Rehearsed) -> dict[str, Any]:
    """Return a run's JSON values."""
    return {
        "event": "rehearsed",
        "run": one.number,
        "seed": one.seed,
        "outcome": one.outcome,
        "reason": one.reason,
        "took_s": None if one.took is None else seconds(one.took),
        "excess_failed": round(one.excess, 1),
    }


def summary(done: Sequence[Rehearsed]) -> dict[str, Any]:
    """Return what the runs come to, as JSON values; the distributions as 10%, 50%, 90%, most."""
    took = sorted(seconds(one.took) for one in done if one.took is not None)
    excess = sorted(round(one.excess, 1) for one in done)
    return {
        "event": "rehearsals",
        "runs": len(done),
        "outcomes": dict(Counter(one.outcome for one in done).most_common()),
        "took_s": _spread(took),
        "excess_failed": _spread(excess),
        "reasons": [
            {"runs": count, "outcome": outcome, "reason": reason}
            for count, outcome, reason in reasons(done)
        ],
    }


def lines(done: Sequence[Rehearsed]) -> Iterator[str]:
    """Yield what the runs come to, for people."""
    yield f"{count_text(len(done))} runs, seeds {done[0].seed} to {done[-1].seed}"
    outcomes = Counter(one.outcome for one in done).most_common()
    width = max(len(OUTCOMES.get(outcome, outcome)) for outcome, _ in outcomes)
    for outcome, count in outcomes:
        name = OUTCOMES.get(outcome, outcome).ljust(width)
        yield f"  {name}  {count:>4}  {count / len(done):>4.0%}"
    took = sorted(seconds(one.took) for one in done if one.took is not None)
    if took:
        least, middle, most = (
            minutes_shown(timedelta(seconds=took[_rank(took, part)])) for part in (0.1, 0.5, 0.9)
        )
        yield f"took: half at most {middle}; 8 of 10 from {least} to {most}"
    excess = sorted(round(one.excess) for one in done)
    least_, middle_, most_ = (count_text(excess[_rank(excess, part)]) for part in (0.1, 0.5, 0.9))
    yield (
        f"failed requests beyond stable's rate: half at most {middle_}; 8 of 10 from {least_} to "
        f"{most_}; the most {count_text(excess[-1])}"
    )
    yield "most common reasons, with the numbers of the first:"
    for count, outcome, reason in reasons(done):
        yield f"  {count:>4}x  {sentence(outcome, reason)}"


def reasons(done: Sequence[Rehearsed]) -> list[tuple[int, str, str]]:
    """Return the most common reasons: how many runs, the outcome, the first one's sentence.

    Sentences that differ in their numbers only are one reason; the weight is none of those.
    """
    first: dict[tuple[str, str], str] = {}
    count: Counter[tuple[str, str]] = Counter()
    for one in done:
        key = (one.outcome, _NUMBER.sub("N", one.reason))
        first.setdefault(key, one.reason)
        count[key] += 1
    return [(n, key[0], first[key]) for key, n in count.most_common(REASONS_SHOWN)]


def _spread(ordered: Sequence[float]) -> dict[str, float] | None:
    if not ordered:
        return None
    parts = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "max": 1.0}
    return {name: ordered[_rank(ordered, part)] for name, part in parts.items()}


def _rank(ordered: Sequence[float], part: float) -> int:
    """Return the index of the value that at least `part` of all do not exceed."""
    return min(max(-int(-part * len(ordered) // 1) - 1, 0), len(ordered) - 1)
