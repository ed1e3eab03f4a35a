"""`when.advance_only`: the days, hours and freezes of a place (`window` tells what they mean)."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise

from controller.plan import nodes
from controller.plan.diagnostics import did_you_mean, shown
from controller.plan.fields import Fields, fields_of, sequence_of
from controller.plan.keys import (
    ADVANCE_ONLY_KEYS,
    DATES_PATTERN,
    DAYS_PATTERN,
    FREEZES_MOST,
    HOURS_PATTERN,
)
from controller.plan.model import DAY_MINUTES, EVERY_DAY, AdvanceOnly, Freeze
from controller.plan.scalars import Unreadable
from controller.plan.window import DAY_NAMES, FROZEN_DAYS_MOST, frozen_days, zones

_LONG = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}


def read_window(fields: Fields) -> AdvanceOnly | None:
    """Return the window; None where there is none, or where what is wrong has been noted."""
    node = fields.node_of("advance_only")
    if node is None:
        return None
    inner = fields_of(fields.reader, node, ADVANCE_ONLY_KEYS, "advance_only")
    if inner is None:
        return None
    days, freezes = _days(inner), _freezes(inner)
    begins, ends = inner.parse("hours", parse_hours) or (0, DAY_MINUTES)
    zone = inner.constant("zone", parse_zone)
    if not any(inner.has(key) for key in ("days", "hours", "except")):
        inner.reader.error(
            node, "advance_only has no window", 'add days: mon-thu, or hours: "09:00-17:00"'
        )
    return AdvanceOnly(zone, days, begins, ends, freezes) if zone else None


def parse_days(text: str) -> tuple[int, ...]:
    """Read "mon" or "mon-thu" (or "fri-mon", over the week's end) as ISO weekdays."""
    if not re.fullmatch(DAYS_PATTERN, text):
        words = re.split("-", text)
        wrong = next((word for word in words if word not in DAY_NAMES), text)
        near = wrong.lower()[:3] if wrong.lower() in {*_LONG, *DAY_NAMES} else ""
        raise Unreadable(
            f"`{shown(text)}` is no day of the week",
            f"write {near}" if near else "write mon-thu, or [mon, wed]",
        )
    first, _, last = text.partition("-")
    begin, end = DAY_NAMES.index(first), DAY_NAMES.index(last or first)
    return tuple((begin + number) % 7 + 1 for number in range((end - begin) % 7 + 1))


def parse_hours(text: str) -> tuple[int, int]:
    """Read "09:00-17:00" as minutes after midnight; an end of 00:00 is 24:00."""
    if not re.fullmatch(HOURS_PATTERN, text, re.ASCII):
        raise Unreadable(
            f"`{shown(text)}` are no hours", 'write "09:00-17:00" (from 00:00 to 24:00)'
        )
    begins, ends = (int(at[:2]) * 60 + int(at[3:]) for at in text.split("-"))
    if begins >= DAY_MINUTES or ends > DAY_MINUTES:
        raise Unreadable(f"`{text}` goes beyond the day", 'over midnight write "22:00-04:00"')
    if begins == ends:
        raise Unreadable(
            f"`{text}` is empty: the window never opens", 'write "00:00-24:00" for the whole day'
        )
    return begins, ends or DAY_MINUTES


def parse_zone(text: str) -> str:
    """Read the name of a time zone."""
    if text in zones():
        return text
    by_city = [name for name in sorted(zones()) if name.lower().endswith(f"/{text.lower()}")]
    raise Unreadable(
        f"`{shown(text)}` is no time zone",
        f"write {by_city[0]}" if by_city else did_you_mean(text, tuple(sorted(zones()))),
    )


def parse_freeze(text: str) -> Freeze:
    """Read "2026-12-20" or "2026-12-20..2027-01-03"."""
    if not re.fullmatch(DATES_PATTERN, text, re.ASCII):
        raise Unreadable(
            f"`{shown(text)}` is no date", "write 2026-12-20 or 2026-12-20..2027-01-03"
        )
    first, _, last = text.partition("..")
    freeze = Freeze(_date(first), _date(last or first))
    if freeze.last < freeze.first:
        raise Unreadable(f"{text} ends before it begins", f"write {last}..{first}")
    return freeze


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"there is no day {text}", "write a day of the calendar") from None


def _days(inner: Fields) -> tuple[int, ...]:
    node = inner.node_of("days")
    if node is None:
        return EVERY_DAY
    found: set[int] = set()
    for item in _items(inner, "days", node, len(DAY_NAMES)):
        days = inner.reader.parse(item, "a day", parse_days) or ()
        for day in days:
            if day in found:
                inner.reader.error(item, f"{DAY_NAMES[day - 1]} is named twice", "name it once")
                break
        found.update(days)
    return tuple(sorted(found))


def _freezes(inner: Fields) -> tuple[Freeze, ...]:
    node = inner.node_of("except")
    if node is None:
        return ()
    read = [
        (freeze, item)
        for item in _items(inner, "except", node, FREEZES_MOST)
        if (freeze := inner.reader.parse(item, "a date", parse_freeze)) is not None
    ]
    read.sort(key=lambda one: one[0].first)
    for (before, _), (after, item) in pairwise(read):
        if after.first <= before.last:
            inner.reader.error(item, f"{after.first} is frozen twice", "name each day once")
    freezes = tuple(freeze for freeze, _ in read)
    if frozen_days(freezes) > FROZEN_DAYS_MOST:
        inner.reader.error(
            node,
            f"{frozen_days(freezes)} days without a window: the rollout would never end",
            f"freeze at most {FROZEN_DAYS_MOST} days; to stop a rollout, `rollout pause`",
        )
    return freezes


def _items(inner: Fields, key: str, node: nodes.Node, most: int) -> tuple[nodes.Node, ...]:
    if isinstance(node, nodes.Scalar):
        return (node,)
    found = sequence_of(inner.reader, node, f"`{key}`", most)
    return tuple(found.items) if found else ()
