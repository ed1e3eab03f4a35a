"""The shape of a message for each kind of recipient, as they document it.

Slack: https://docs.slack.dev/messaging/formatting-message-text (the three characters to escape)
and https://docs.slack.dev/reference/block-kit/composition-objects/text-object (verbatim). Google
Chat: https://developers.google.com/workspace/chat/format-messages (it documents no escape for the
`<` that begins a mention or a link, so it is written as another character).
"""

from __future__ import annotations

import re
from typing import Any

from controller.engine.telling import Letter, News
from controller.notify.messages import link_to, written
from controller.plan.model import Form, Text
from controller.ports import Post

VERSION = 1
SLACK_MOST = 3_000  # characters of a section's text
CHAT_MOST = 4_000  # bytes; Google Chat takes 4,096
_HALF_ENTITY = re.compile(r"&[a-z]{0,3}$")


def post_of(letter: Letter) -> Post:
    """Return a letter as it is sent."""
    to, news = letter.to, letter.news
    bodies = {Form.SLACK: slack, Form.GOOGLE_CHAT: google_chat, Form.WEBHOOK: webhook}
    # A receiver that keeps these can drop a message that was sent twice.
    headers = {"Idempotency-Key": news.id} if to.form is Form.WEBHOOK else {}
    return Post(to.name, to.url, bodies[to.form](news, to.text), headers, to.headers)


def text_of(letter: Letter) -> str:
    """Return a letter's plain text."""
    return written(letter.news, letter.to.text, str)


def slack(news: News, text: Text | None) -> dict[str, Any]:
    """Return the body for a Slack incoming webhook."""
    told = written(news, text, _for_slack, lambda line: f"*{line}*", lambda line: f"`{line}`")
    if len(told) > SLACK_MOST:
        told = _HALF_ENTITY.sub("", told[: SLACK_MOST - 1]) + "…"
    # verbatim: a name that looks like a channel or a URL is not made into a link.
    section = {"type": "section", "text": {"type": "mrkdwn", "text": told, "verbatim": True}}
    return {"text": told, "blocks": [section], "unfurl_links": False, "unfurl_media": False}


def google_chat(news: News, text: Text | None) -> dict[str, Any]:
    """Return the body for a Google Chat incoming webhook."""
    told = written(news, text, _for_chat, lambda line: f"*{line}*", lambda line: f"`{line}`")
    data = told.encode()
    if len(data) > CHAT_MOST:
        told = data[: CHAT_MOST - 3].decode(errors="ignore") + "…"
    return {"text": told}


def webhook(news: News, text: Text | None) -> dict[str, Any]:
    """Return the JSON event for any other endpoint; docs/notify.md tells its keys."""
    name = news.name
    return {
        "version": VERSION,
        "id": news.id,
        "event": news.event,
        "at": news.at.isoformat().replace("+00:00", "Z"),
        "service": name.service,
        "project": name.project,
        "region": name.region,
        "rollout": news.rollout,
        "candidate": news.candidate,
        "stable": news.stable,
        "stage": news.stage,
        "stages": news.stages,
        "weight": news.weight,
        "what": news.what,
        "why": news.why,
        "by": news.by or None,
        "do": list(news.do),
        "link": link_to(news),
        "text": written(news, text, str),
    }


def _for_slack(value: str) -> str:
    """Escape what Slack reads as a mention, a link or a command; a backtick would end a code."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("`", "'")


def _for_chat(value: str) -> str:
    return value.replace("<", "\u2039").replace(">", "\u203a").replace("`", "'")
