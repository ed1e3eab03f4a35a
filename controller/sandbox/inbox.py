"""What was posted to the served world, for tests and for people to read: /sandbox/inbox.

POST /sandbox/inbox/NAME keeps a message; GET /sandbox/inbox lists all, or /sandbox/inbox/NAME one
recipient's, oldest first; DELETE empties it. Whatever is posted is taken: it may be any form.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from controller.sandbox.web import HttpAnswer, json_answer

PATH = "/sandbox/inbox"
MESSAGES_MOST = 1_000  # older ones are dropped
BYTES_MOST = 64 * 1024


class Inbox:
    """The messages that came, each with its time, its headers and its body."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque(maxlen=MESSAGES_MOST)

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, now: str
    ) -> HttpAnswer:
        """Answer one request. path: begins with PATH. now: the world's time."""
        name = unquote(path.removeprefix(PATH).strip("/"))
        match method:
            case "GET":
                found = [one for one in self._messages if not name or one["to"] == name]
                return json_answer(200, {"messages": found})
            case "DELETE":
                self._messages.clear()
                return json_answer(200, {})
            case "POST" if not name:
                return json_answer(404, {"error": f"name a recipient: POST {PATH}/NAME"})
            case "POST" if len(body) > BYTES_MOST:
                return json_answer(413, {"error": "a message has at most 64 kB"})
            case "POST":
                told = {key.lower(): value for key, value in headers.items()}
                message = {"to": name, "at": now, "headers": told, "body": _read(body)}
                self._messages.append(message)
                return json_answer(200, {})
            case _:
                return json_answer(405, {"error": f"{method} is not known here"})


def _read(body: bytes) -> Any:
    """Return a JSON body's value, any other as text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
