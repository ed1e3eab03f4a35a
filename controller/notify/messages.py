"""The words of a message: what happened, why, what to do now, and where.

A plan's own text fills in the same names. What is filled in is not ours (names of revisions,
reasons, people's words): each form escapes it before it is put into a text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from urllib.parse import quote

from controller.engine.telling import News
from controller.plan.diagnostics import visible
from controller.plan.model import Text
from controller.plan.text import render

VALUE_MOST = 600  # characters of one value that is filled in

Escape = Callable[[str], str]


def link_to(news: News) -> str:
    """Return the console's page of the service."""
    region, service, project = (
        quote(part, safe="") for part in (news.name.region, news.name.service, news.name.project)
    )
    place = f"{region}/{service}/revisions?project={project}"
    return f"https://console.cloud.google.com/run/detail/{place}"


def values_of(news: News, escape: Escape) -> dict[str, str]:
    """Return what the text of a message may name, escaped: one line each, of bounded length."""
    name = news.name
    plain = {
        "event": news.event,
        "at": f"{news.at.astimezone(UTC):%Y-%m-%d %H:%M}Z",
        "what": news.what,
        "why": news.why,
        "do": "; ".join(news.do),
        "where": f"{name.service} ({name.project}, {name.region})",
        "link": link_to(news),
        "by": news.by,
        "service": name.service,
        "project": name.project,
        "region": name.region,
        "rollout": news.rollout,
        "candidate.revision": news.candidate,
        "stable.revision": news.stable,
        "stage": str(news.stage),
        "stages": str(news.stages),
        "weight": f"{news.weight}%",
    }
    return {key: escape(one_line(value)) for key, value in plain.items()}


def one_line(text: str) -> str:
    """Return text as one line in which nothing is invisible, cut where it is very long."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= VALUE_MOST else line[: VALUE_MOST - 1] + "…"


def written(
    news: News, text: Text | None, escape: Escape, bold: Escape = str, code: Escape = str
) -> str:
    """Return the message: the plan's text, or ours.

    bold, code: how the form marks a headline and a command.
    """
    values = values_of(news, escape)
    if text is not None:
        return render(text, values)
    lines = [bold(f"{values['service']}: {values['what']}")]
    if news.why:
        is_new = news.by and news.by not in f"{news.what} {news.why}"
        lines.append(f"why: {values['why']}" + (f" ({values['by']})" if is_new else ""))
    lines += [f"now: {code(escape(one_line(command)))}" for command in news.do]
    lines.append(f"where: {values['where']}, {values['at']}")
    lines.append(values["link"])
    return "\n".join(lines)
