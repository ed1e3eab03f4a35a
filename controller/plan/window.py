"""The window in which a rollout advances: pure arithmetic with calendars, by the clocks of a place.

Zones are read from the tz database (the system's, else the package tzdata): the one thing here
that is not an argument. Where a zone is not known the window is closed, so that a machine with an
old database never advances what it should not, and rolls back as ever.

A window is told by the clocks on the wall. In a night whose clocks go forward it may be shorter or
not be at all; in one whose clocks go back it may be open twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from controller.plan.model import DAY_MINUTES, AdvanceOnly, Freeze

DAY = timedelta(days=1)
HORIZON_DAYS = 800  # beyond what a plan's freezes can keep closed
FROZEN_DAYS_MOST = 366
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@cache
def zones() -> frozenset[str]:
    """Return the names of all time zones of the tz database."""
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


def zone_of(rule: AdvanceOnly) -> ZoneInfo | None:
    """Return the rule's zone, None where this machine does not know it."""
    try:
        return ZoneInfo(rule.zone)
    except (KeyError, ValueError, OSError):
        return None


def is_open(rule: AdvanceOnly, now: datetime) -> bool:
    """Tell whether the rollout may advance now (aware)."""
    zone = zone_of(rule)
    return zone is not None and _is_open(rule, now.astimezone(zone))


def next_change(rule: AdvanceOnly, now: datetime) -> datetime | None:
    """Return when, after now, the window opens or closes next, in UTC.

    None where it stays as it is for as long as we look ahead (800 days), or the zone is not known.
    """
    zone = zone_of(rule)
    if zone is None:
        return None
    is_open_now = _is_open(rule, now.astimezone(zone))
    for moment in _moments(rule, zone, now):
        if _is_open(rule, moment.astimezone(zone)) is not is_open_now:
            return moment
    return None


def next_opening(rule: AdvanceOnly, now: datetime) -> datetime | None:
    """Return the first instant from now on at which the window is open, in UTC; see `next_change`.

    While it is open that is now.
    """
    return now.astimezone(UTC) if is_open(rule, now) else next_change(rule, now)


def _is_open(rule: AdvanceOnly, local: datetime) -> bool:
    today = local.date()
    if any(freeze.first <= today <= freeze.last for freeze in rule.freezes):
        return False
    minute = local.hour * 60 + local.minute
    if rule.begins < rule.ends:
        return today.isoweekday() in rule.days and rule.begins <= minute < rule.ends
    begun_today = today.isoweekday() in rule.days and minute >= rule.begins
    return begun_today or ((today - DAY).isoweekday() in rule.days and minute < rule.ends)


def _moments(rule: AdvanceOnly, zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """Yield every instant after now at which the window can open or close, in order, in UTC."""
    start = now.astimezone(UTC)
    for _ in range(HORIZON_DAYS):
        end = start + DAY
        first = start.astimezone(zone).date() - DAY
        days = (first + DAY * number for number in range(4))
        found = {moment for day in days for moment in _of_day(rule, zone, day)}
        if start.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
            found.add(_turn(zone, start, end))
        yield from sorted(moment for moment in found if start < moment <= end)
        start = end


def _of_day(rule: AdvanceOnly, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """Yield when a day and its window begin and end; a time that is there twice, twice."""
    for minute in {0, rule.begins, rule.ends % DAY_MINUTES}:
        wall = time(minute // 60, minute % 60)
        for fold in (0, 1):
            yield datetime.combine(day, wall.replace(fold=fold), zone).astimezone(UTC)


def _turn(zone: ZoneInfo, start: datetime, end: datetime) -> datetime:
    """Return the second at which the clocks are changed between two instants."""
    before = start.astimezone(zone).utcoffset()
    low, high = int(start.timestamp()), int(end.timestamp()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        same = datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == before
        low, high = (middle, high) if same else (low, middle)
    return datetime.fromtimestamp(high, UTC)


# Told -----------------------------------------------------------------------------------------


def rule_text(rule: AdvanceOnly) -> str:
    """Return the rule in the plan's words: "mon-thu 09:00-17:00 Asia/Seoul"."""
    parts = [hours_text(rule), rule.zone]
    if len(rule.days) < len(DAY_NAMES):
        parts.insert(0, days_text(rule.days))
    told = " ".join(parts)
    frozen = ", ".join(map(freeze_text, rule.freezes))
    return f"{told} except {frozen}" if frozen else told


def days_text(days: tuple[int, ...]) -> str:
    """Return days as a plan writes them: "mon-thu", "mon, wed"."""
    names = [DAY_NAMES[day - 1] for day in days]
    in_a_row = len(days) > 2 and days[-1] - days[0] == len(days) - 1
    return f"{names[0]}-{names[-1]}" if in_a_row else ", ".join(names)


def hours_text(rule: AdvanceOnly) -> str:
    """Return the hours as a plan writes them: "09:00-17:00"."""
    return "-".join(f"{at // 60:02}:{at % 60:02}" for at in (rule.begins, rule.ends))


def freeze_text(freeze: Freeze) -> str:
    """Return a freeze as a plan writes it."""
    if freeze.first == freeze.last:
        return freeze.first.isoformat()
    return f"{freeze.first.isoformat()}..{freeze.last.isoformat()}"


def moment_text(rule: AdvanceOnly, moment: datetime) -> str:
    """Return an instant by the window's clocks: "Mon 2026-11-30 09:00 Asia/Seoul"."""
    zone = zone_of(rule)
    if zone is None:
        return f"{moment:%a %Y-%m-%d %H:%M} UTC"
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M} {rule.zone}"


def state_text(rule: AdvanceOnly, now: datetime) -> str:
    """Return whether the window is open and until when: "open until …", "closed; opens …"."""
    if not is_open(rule, now):
        return f"closed; {closed_text(rule, now).removeprefix('the window ')}"
    closes = next_change(rule, now)
    return "open" if closes is None else f"open until {moment_text(rule, closes)}"


def closed_text(rule: AdvanceOnly, now: datetime) -> str:
    """Return when a closed window opens, a sentence."""
    opens = next_opening(rule, now)
    if opens is not None:
        return f"the window opens {moment_text(rule, opens)}"
    if zone_of(rule) is None:
        return f"the window cannot be told: this machine does not know the time zone {rule.zone}"
    return f"the window ({rule_text(rule)}) does not open any more"


def frozen_days(freezes: tuple[Freeze, ...]) -> int:
    """Return how many days the freezes take; a day in two of them counts twice."""
    return sum((freeze.last - freeze.first).days + 1 for freeze in freezes)
