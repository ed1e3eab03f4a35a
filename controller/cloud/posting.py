"""Messages over HTTP behind the `Poster` port: sent within a few seconds, or given up for now.

The URL and header values are secrets. No error text of a library leaves this module (they quote
the URL), and of an answer only a plain word does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock, Thread
from urllib.parse import urlsplit

import requests

from controller.cloud.quiet import keep_quiet
from controller.cloud.target import is_loopback
from controller.ports import Clock, Delivered, Delivery, Post

WITHIN = timedelta(seconds=5)  # for all messages of one look together
TRY_MOST = timedelta(seconds=2)
TRIES = 3
PAUSE = timedelta(milliseconds=400)  # before another try, if the answer names no time
MOST_READ = 512  # bytes of an answer
_LATER = frozenset((408, 425, 429, *range(500, 600)))
_WORD = re.compile(rb"[a-z_]{3,40}")  # Slack's own: no_service, channel_is_archived

_NO_ANSWER = Delivery(Delivered.LATER, "no answer in time")


class HttpPoster:
    """Sends messages.

    env: where "env:NAME" is looked up. clock: real time, whatever world the rollout is in. Each
    recipient has a thread of its own, so that one that hangs keeps no other waiting; a thread that
    is not back in time is left behind.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        clock: Clock,
        user_agent: str,
        session: Callable[[], requests.Session] = requests.Session,
        within: timedelta = WITHIN,
    ) -> None:
        keep_quiet()
        self._env = env
        self._clock = clock
        self._user_agent = user_agent
        self._session = session
        self._within = within

    def deliver(self, posts: Sequence[Post]) -> Sequence[Delivery]:
        """Send them; see the port. What comes too late is told as not sent."""
        deadline = self._clock.now() + self._within
        found = [_NO_ANSWER] * len(posts)
        closed, lock = [False], Lock()

        def send(places: list[int]) -> None:
            for number, place in enumerate(places):
                delivery = self._sent(posts[place], deadline)
                waits = delivery.outcome is Delivered.LATER  # the next must not overtake it
                with lock:
                    if closed[0]:
                        return
                    for one in places[number:] if waits else [place]:
                        found[one] = delivery
                if waits:
                    return

        threads = [
            Thread(target=send, args=(places,), daemon=True) for places in _by_recipient(posts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max((deadline - self._clock.now()).total_seconds(), 0))
        with lock:
            closed[0] = True
            return list(found)

    def _sent(self, post: Post, deadline: datetime) -> Delivery:
        url = self._secret(post.url)
        secrets = {name: self._secret(ref) for name, ref in post.secrets.items()}
        missing = [
            ref.removeprefix("env:")
            for ref, value in ((post.url, url), *((post.secrets[n], v) for n, v in secrets.items()))
            if not value
        ]
        if missing:
            return Delivery(Delivered.LATER, f"{', '.join(missing)} is not set where rollout runs")
        if not _may_be_posted_to(url):
            name = post.url.removeprefix("env:")
            return Delivery(Delivered.NEVER, f"{name} is no https URL")
        return self._tried(post, url, secrets, deadline)

    def _secret(self, reference: str) -> str:
        return self._env.get(reference.removeprefix("env:"), "").strip()

    def _tried(
        self, post: Post, url: str, secrets: Mapping[str, str], deadline: datetime
    ) -> Delivery:
        delivery = _NO_ANSWER
        for attempt in range(TRIES):
            left = deadline - self._clock.now()
            if left <= timedelta(0):
                return delivery
            delivery, pause = self._once(post, url, secrets, min(left, TRY_MOST))
            if delivery.outcome is not Delivered.LATER or attempt == TRIES - 1:
                return delivery
            if self._clock.now() + pause >= deadline:
                return delivery
            self._clock.sleep(pause)
        return delivery

    def _once(
        self, post: Post, url: str, secrets: Mapping[str, str], within: timedelta
    ) -> tuple[Delivery, timedelta]:
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "User-Agent": self._user_agent,
            **post.headers,
            **secrets,
        }
        try:
            with self._session() as session:
                session.trust_env = False  # a .netrc would add a password of its own
                with session.post(
                    url,
                    data=json.dumps(post.body, ensure_ascii=False).encode(),
                    headers=headers,
                    timeout=within.total_seconds(),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    return _judged(answer, (url, *secrets.values()))
        except requests.Timeout:
            return _NO_ANSWER, PAUSE
        except requests.exceptions.SSLError:
            return Delivery(Delivered.LATER, "its certificate is not trusted"), PAUSE
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader):
            return Delivery(Delivered.NEVER, "its URL or a header's value cannot be sent"), PAUSE
        except (requests.RequestException, OSError, ValueError):
            return Delivery(Delivered.LATER, "no connection"), PAUSE


def _by_recipient(posts: Sequence[Post]) -> list[list[int]]:
    places: dict[str, list[int]] = {}
    for place, post in enumerate(posts):
        places.setdefault(post.to, []).append(place)
    return list(places.values())


def _may_be_posted_to(url: str) -> bool:
    """Tell whether it is https, or plain http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    plain = parts.scheme == "http" and is_loopback(host)
    return bool(host) and (parts.scheme == "https" or plain)


def _judged(answer: requests.Response, secrets: Sequence[str]) -> tuple[Delivery, timedelta]:
    """Return what an answer means, and how long to wait before another try."""
    status = answer.status_code
    if 200 <= status < 300:
        return Delivery(Delivered.SENT), PAUSE
    if 300 <= status < 400:
        return Delivery(
            Delivered.NEVER, f"it answers {status}, a redirect; is the URL right?"
        ), PAUSE
    why = f"it answers {status}{_word(answer, secrets)}"
    if status in _LATER:
        return Delivery(Delivered.LATER, why), _retry_after(answer)
    return Delivery(Delivered.NEVER, why), PAUSE


def _word(answer: requests.Response, secrets: Sequence[str]) -> str:
    """Return the answer's word where it is one; never a piece of what was sent."""
    try:
        body = answer.raw.read(MOST_READ, decode_content=True).strip()
    except Exception:
        return ""
    if not _WORD.fullmatch(body):
        return ""
    word = body.decode()
    return "" if any(word in secret for secret in secrets) else f" ({word})"


def _retry_after(answer: requests.Response) -> timedelta:
    """Return the time that the answer asks for, in seconds; a date is left to a later look."""
    said = answer.headers.get("Retry-After", "")
    if not said:
        return PAUSE
    return timedelta(seconds=int(said)) if said.isdigit() and len(said) < 7 else timedelta(days=1)
