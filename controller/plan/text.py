"""Fill in what a plan leaves open until the rollout runs: candidate.url, item and their kin.

Substitution of parsed `Text` only: what is filled in is never read as a template again. Parsing
templates is in `template`; this half is apart so that a running rollout does not import Jinja2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from controller.plan.model import Ref, Text

REVISION_NAMES = ("candidate.revision", "candidate.url", "stable.revision", "stable.url")
ITEM = "item"
NEWS_NAMES = (
    "event",
    "at",
    "what",
    "why",
    "do",
    "where",
    "link",
    "by",
    "service",
    "project",
    "region",
    "rollout",
    "candidate.revision",
    "stable.revision",
    "stage",
    "stages",
    "weight",
)
"""What the text of a message may name."""
URL_MOST = 2_000  # characters
_URL = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?")
FILTERS: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "urlencode": lambda value: quote(value, safe=""),
}


class NotKnown(KeyError):
    """A text needs a name that nobody gave a value for; str() is the sentence."""

    def __str__(self) -> str:
        """Return the sentence itself, not its repr as KeyError does."""
        return str(self.args[0])


def render(text: Text, names: Mapping[str, str]) -> str:
    """Return text with every reference filled in from names.

    names: by path ("candidate.url", "item"). Raises NotKnown when one is missing.
    """
    return "".join(part if isinstance(part, str) else _resolve(part, names) for part in text.parts)


def render_json(value: Any, names: Mapping[str, str]) -> Any:
    """Return a check's body or expected body as plain JSON values, every `Text` in it filled in.

    Raises NotKnown as render does.
    """
    match value:
        case Text():
            return render(value, names)
        case Mapping():
            return {key: render_json(item, names) for key, item in value.items()}
        case list() | tuple():
            return [render_json(item, names) for item in value]
        case _:
            return value


def is_url(text: Text) -> bool:
    """Tell whether text will be an http(s) URL without credentials, whatever is filled in."""
    later = {"candidate.url": "https://x", "stable.url": "https://x"}
    example = "".join(
        part if isinstance(part, str) else later.get(part.path, "x") for part in text.parts
    )
    return len(example) <= URL_MOST and bool(_URL.fullmatch(example))


def _resolve(ref: Ref, names: Mapping[str, str]) -> str:
    if ref.path not in names:
        raise NotKnown(f"{{{{ {ref.path} }}}} is not known here")
    return filtered(names[ref.path], ref.filters)


def filtered(value: str, filters: tuple[str, ...]) -> str:
    """Return value after the named filters, from left to right."""
    for name in filters:
        value = FILTERS[name](value)
    return value
