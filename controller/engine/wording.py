"""How durations are written in reasons."""

from __future__ import annotations

from datetime import timedelta


def minutes_shown(span: timedelta) -> str:
    """Write a span for people, at most two units ("3 d", "1 d 4 h", "25 min", "40 s")."""
    seconds = max(round(span.total_seconds()), 0)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    told = [f"{number} {unit}" for number, unit in parts if number]
    first = next((i for i, (number, _) in enumerate(parts) if number), 3)
    return " ".join(told[: 2 if parts[min(first + 1, 3)][0] else 1]) or "0 s"
