"""Whom to tell of what (`notify`): addresses are secrets, and stand here by name only."""

from __future__ import annotations

from collections.abc import Mapping

from controller.plan import names, nodes
from controller.plan.diagnostics import shown
from controller.plan.fields import Fields, Reader, fields_of, mapping_of, sequence_of
from controller.plan.keys import HEADERS_MOST, MESSAGE_MOST, NOTIFY_KEYS, NOTIFY_MOST
from controller.plan.model import HEARD_BY_DEFAULT, Form, Heard, Notify, Text
from controller.plan.read_gates import check_name
from controller.plan.scalars import parse_word
from controller.plan.text import NEWS_NAMES


def read_notify(reader: Reader, node: nodes.Node | None) -> tuple[Notify, ...]:
    """Return those to tell, without the ones in error."""
    mapping = mapping_of(reader, node, "`notify`", "team") if node else None
    if mapping is None:
        return ()
    _hide_urls(reader, mapping)
    if len(mapping.entries) > NOTIFY_MOST:
        reader.error(
            mapping.entries[NOTIFY_MOST].key,
            f"{len(mapping.entries)} to notify, at most {NOTIFY_MOST} are read",
            "write fewer",
        )
    read = [_read_one(reader, entry) for entry in mapping.entries[:NOTIFY_MOST]]
    return tuple(one for one in read if one is not None)


def _hide_urls(reader: Reader, node: nodes.Node) -> None:
    """Keep every URL in here, under whatever key, out of what is told: it may be a secret."""
    match node:
        case nodes.Mapping():
            for entry in node.entries:
                _hide_urls(reader, entry.value)
        case nodes.Sequence():
            for item in node.items:
                _hide_urls(reader, item)
        case nodes.Scalar() if "://" in node.text:
            reader.findings.hide(node.span)
        case _:
            pass


def _read_one(reader: Reader, entry: nodes.Entry) -> Notify | None:
    what = f"notify {shown(entry.key.text)}"
    check_name(reader, entry.key, "recipient")
    fields = fields_of(reader, entry.value, NOTIFY_KEYS, what)
    if fields is None:
        return None
    form, url = _read_address(fields, entry.key, what)
    headers = _read_headers(fields, form, what)
    events = _read_events(fields)
    text = _read_text(fields)
    if form is None or url is None:
        return None
    return Notify(entry.key.text, form, url, headers, events, text)


def _read_address(fields: Fields, key: nodes.Scalar, what: str) -> tuple[Form | None, str | None]:
    written = [form for form in Form if fields.has(form)]
    if not written:
        fields.reader.error(key, f"{what} says nowhere to send to", "add slack: env:SLACK_URL")
        return None, None
    if len(written) > 1:
        fields.reader.error(
            fields.key_span(written[1]),
            f"{what} is one of slack, google_chat and webhook",
            "write the other under a name of its own",
        )
    form = written[0]
    node = fields.node_of(form)
    return form, _secret(fields.reader, node, form) if node else None


def _secret(reader: Reader, node: nodes.Node, key: str) -> str | None:
    """Return a reference "env:NAME"; whatever else was written is refused and not shown."""
    scalar = reader.scalar(node, f"`{shown(key)}`")
    if scalar is None:
        return None
    if names.ENV_REFERENCE.fullmatch(scalar.text):
        return scalar.text
    reader.findings.hide(scalar.span)
    reader.error(
        scalar,
        f"`{shown(key)}` is a secret: in the plan, the service's record would keep it for every "
        "viewer to read",
        f"write {shown(key)}: env:NAME, and set NAME where rollout runs",
    )
    return None


def _read_headers(fields: Fields, form: Form | None, what: str) -> Mapping[str, str]:
    node, reader = fields.node_of("headers"), fields.reader
    mapping = mapping_of(reader, node, f"`headers` of {what}", "authorization") if node else None
    if mapping is None:
        return {}
    if form is not None and form is not Form.WEBHOOK:
        reader.error(
            fields.key_span("headers"), f"{form} takes no headers", "delete them, or use webhook"
        )
    headers: dict[str, str] = {}
    for entry in mapping.entries[:HEADERS_MOST]:
        if not names.HEADER.fullmatch(entry.key.text):
            mend = "write authorization: env:NAME"
            reader.error(entry.key, f"`{shown(entry.key.text)}` is no header", mend)
            continue
        value = _secret(reader, entry.value, entry.key.text)
        if value is not None:
            headers[entry.key.text] = value
    if len(mapping.entries) > HEADERS_MOST:
        reader.error(
            mapping.entries[HEADERS_MOST].key,
            f"at most {HEADERS_MOST} headers are read",
            "write fewer",
        )
    return headers


def _read_events(fields: Fields) -> tuple[Heard, ...]:
    node, reader = fields.node_of("events"), fields.reader
    if node is None:
        return HEARD_BY_DEFAULT
    items = sequence_of(reader, node, "`events`", most=len(Heard))
    if items is None:
        return HEARD_BY_DEFAULT
    read = [reader.parse(item, "an event", _heard) for item in items.items]
    return tuple(dict.fromkeys(one for one in read if one is not None)) or HEARD_BY_DEFAULT


def _heard(text: str) -> Heard:
    return Heard(parse_word(text, tuple(Heard)))


def _read_text(fields: Fields) -> Text | None:
    node = fields.node_of("text")
    if node is None:
        return None
    reader = fields.reader.naming(*NEWS_NAMES)
    text = reader.text(node, "`text`")
    if isinstance(node, nodes.Scalar) and len(node.text) > MESSAGE_MOST:
        reader.error(node, f"a message has at most {MESSAGE_MOST:,} characters", "write it shorter")
        return None
    return text
