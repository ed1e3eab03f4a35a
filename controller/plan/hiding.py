"""What looks like a secret, taken out of text that is shown: a second net.

The first is that secrets are references (`env:NAME`) and that who sends one takes it out of what
comes back. This one knows secrets by their shape: a name or password in a URL, the value of a query
that is named like a secret, a token of OAuth, a JWT, what follows `Bearer`.
"""

from __future__ import annotations

import re

HIDDEN = "(secret)"
_WORDS = r"(?:token|secret|password|passwd|signature|credentials?|api[-_]?key|access[-_]?key)"
_HEADER = re.compile(
    rf"(?:[a-z0-9]+[-_])*(?:(?:proxy-)?authorization|auth|cookie|{_WORDS})",
    re.IGNORECASE | re.ASCII,
)
_PARAMETER = re.compile(rf"[?&;]((?:[a-z0-9]+[-_])*{_WORDS})=[^&#]", re.IGNORECASE | re.ASCII)
_SECRET = re.compile(
    r"""
    (?<=://)[^/\s@"'<>]+(?=@)                                   # https://NAME:PASSWORD@host
    | (?<=[?&])(?P<query>[\w.-]*(?:key|token|secret|sig|signature|passw(?:or)?d|auth|code)=)
      [^&\s"'<>}]+                                              # ?api_key=…
    | (?P<bearer>\b[Bb]earer\s+)[\w.~+/=-]{4,}
    | \bya29\.[\w.-]+                                           # Google's access tokens
    | \beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?                       # a JWT: {" in base64
    | https://hooks\.slack\.com/(?:services|workflows|triggers)/[^\s"'<>]+
    """,
    re.VERBOSE | re.IGNORECASE,
)


# In a plan's line only: prose, too, has colons behind such words.
_WRITTEN = re.compile(
    r"""(\b(?:[\w-]+-)?(?:authorization|cookie|token|secret|api-key)["']?\s*:\s*["']?)"""
    r"""(?!env:|[\s{\["'])([^"',}\n]+)""",
    re.IGNORECASE | re.ASCII,
)


def without_secrets(text: str) -> str:
    """Return text with a word for what looks like a secret."""
    return _SECRET.sub(lambda found: _kept(found) + HIDDEN, text)


def starred(line: str) -> str:
    """Return a line with a star for each character of what looks like a secret; columns stay."""
    line = _SECRET.sub(lambda found: _kept(found).ljust(len(found[0]), "*"), line)
    return _WRITTEN.sub(lambda found: found[1] + "*" * len(found[2]), line)


def _kept(found: re.Match[str]) -> str:
    return found["query"] or found["bearer"] or ""


def is_secret_header(name: str) -> bool:
    """Tell whether a header's name says that its value is a secret."""
    return bool(_HEADER.fullmatch(name))


def secret_parameter(url: str) -> str:
    """Return the name of the first parameter of a URL that says it is a secret, "" for none."""
    found = _PARAMETER.search(url)
    return found[1] if found else ""
