"""Whole minutes: Monitoring counts by them."""

from __future__ import annotations

from datetime import datetime

from controller.gates.evidence import MINUTE


def floor_minute(time: datetime) -> datetime:
    """Return the last whole minute at or before `time`."""
    if not time.second and not time.microsecond:
        return time  # as most are: every look asks of several
    return time.replace(second=0, microsecond=0)


def ceil_minute(time: datetime) -> datetime:
    """Return the first whole minute at or after `time`."""
    floor = floor_minute(time)
    return floor if floor == time else floor + MINUTE
