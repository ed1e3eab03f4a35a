"""What a text is that should be a record and cannot be read: in words for people, and safe.

The text is untrusted: of it only a short beginning is quoted, in which nothing steers a terminal
and nothing looks like a secret. Pure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from controller.plan.diagnostics import shown
from controller.plan.hiding import without_secrets

QUOTED_MOST = 48  # characters of an unreadable text that are shown
WHY_MOST = 120
_LOOKED_AT = 1_000  # characters from which those are taken, with secrets hidden
_PARSED_MOST = 100_000  # characters: more than any record has
_TAIL = len("u00e9")  # an escape whose string has no end; a literal's beginning is shorter
_BEGINS = '{"v":'
_VERSION = re.compile(r'\s*\{\s*"v"\s*:\s*(\d{1,9})\b')


@dataclass(frozen=True, slots=True)
class Kind:
    """What such a text is. brief: for a record's transition; told: a clause for people."""

    brief: str
    told: str = ""


def kind_of(text: str, *, reads: int) -> Kind:
    """Return what an unreadable text is. reads: the format that this version reads."""
    if not text.strip():
        return Kind("empty", "it is empty")
    version, is_cut = _VERSION.match(text), _is_cut(text)
    if version is not None and int(version[1]) > reads:
        wrote = "a newer rollout wrote it and is likely still at work here: go on with that one"
        if is_cut:
            cut = f"it begins as a record of format {version[1]} and is cut off"
            return Kind(f"of format {version[1]}, cut off", f"{cut}; {wrote}")
        return Kind(f"of format {version[1]}", wrote)
    if is_cut and (version is not None or _BEGINS.startswith(text)):
        return Kind("cut off", "it begins as a record and is cut off")
    if version is not None and int(version[1]) == reads:
        return Kind("damaged", "it is a record that was damaged, or changed by hand")
    return Kind("no record of rollout", "it is not a record of rollout")


def described(text: str, why: str, *, reads: int) -> str:
    """Return why a text is no record, what it is, how long, and how it begins."""
    told = kind_of(text, reads=reads).told
    if not text.strip():
        return told
    why = shown(without_secrets(why), WHY_MOST)
    return f"{why}; {told}; {size_text(text)}: {quoted(text)}"


def brief(text: str, *, reads: int) -> str:
    """Return the same for a record's transition, where there is little room."""
    kind = kind_of(text, reads=reads).brief
    return f"{kind}, {size_text(text)}: {quoted(text)}" if text.strip() else kind


def quoted(text: str) -> str:
    """Return how a text begins, as it can be shown anywhere."""
    head = without_secrets(text[:_LOOKED_AT]).replace("`", "'")
    more = "…" if len(text) > _LOOKED_AT else ""
    return f"`{shown(head + more, QUOTED_MOST)}`"


def size_text(text: str) -> str:
    """Return how long a text is, in UTF-8."""
    size = len(text.encode(errors="replace"))
    return f"{size:,} {'byte' if size == 1 else 'bytes'}"


def _is_cut(text: str) -> bool:
    """Tell whether a text is JSON up to its end, which is missing."""
    if len(text) > _PARSED_MOST:
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Extra data"):
            return False
        # A string is blamed where it begins, a literal or an escape a little before the end.
        return error.msg.startswith("Unterminated") or len(text) - error.pos <= _TAIL
    except (ValueError, RecursionError):
        return False
    return False
