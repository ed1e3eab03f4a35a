"""Checks: HTTP requests of ours and what their answers must be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from controller.plan import names, nodes
from controller.plan.diagnostics import shown
from controller.plan.fields import Fields, Reader, fields_of, mapping_of, sequence_of
from controller.plan.hiding import is_secret_header, secret_parameter
from controller.plan.keys import (
    AUDIENCE_PATTERN,
    CHECK_KEYS,
    CHECKS_MOST,
    EXPECT_KEYS,
    ITEMS_MOST,
    METHODS,
)
from controller.plan.model import Check, CheckWhen, Expect, OnFail, Text
from controller.plan.read_gates import check_name
from controller.plan.scalars import Unreadable, parse_duration, parse_word
from controller.plan.text import ITEM, REVISION_NAMES, is_url

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
TIMEOUT_MOST = timedelta(seconds=60)


def read_checks(
    reader: Reader, node: nodes.Node | None, taken: Mapping[str, int]
) -> tuple[Check, ...]:
    """Return the checks without error. taken: names of gates and their lines."""
    mapping = mapping_of(reader, node, "`checks`") if node else None
    if mapping is None:
        return ()
    if len(mapping.entries) > CHECKS_MOST:
        reader.error(
            mapping.entries[CHECKS_MOST].key,
            f"{len(mapping.entries)} checks, at most {CHECKS_MOST} are read",
            "write fewer",
        )
    checks = []
    for entry in mapping.entries[:CHECKS_MOST]:
        if entry.key.text in taken:
            reader.error(
                entry.key,
                f"`{entry.key.text}` is a gate's name, in line {taken[entry.key.text]}",
                "give the check another name: outputs call both by name",
            )
        checks.append(_read_check(reader, entry))
    return tuple(check for check in checks if check is not None)


def _read_check(reader: Reader, entry: nodes.Entry) -> Check | None:
    what = f"check {shown(entry.key.text)}"
    check_name(reader, entry.key, "check")
    fields = fields_of(reader, entry.value, CHECK_KEYS, what)
    if fields is None:
        return None
    naming = REVISION_NAMES + ((ITEM,) if fields.has("each") else ())
    open_reader = reader.naming(*naming)
    each = _read_each(fields)
    method, url = _read_request(fields, open_reader, entry.key, what)
    headers = _read_headers(fields, open_reader, what)
    body = _read_body(fields, open_reader, method)
    expect = _read_expect(fields, open_reader, what)
    when = fields.parse("when", lambda text: parse_word(text, tuple(CheckWhen)))
    on_fail = fields.parse("on_fail", lambda text: parse_word(text, tuple(OnFail)))
    timeout = fields.parse("timeout", _timeout)
    id_token = _read_id_token(fields, open_reader, headers)
    if url is None or expect is None or headers is None:
        return None
    check = Check(
        name=entry.key.text,
        method=method.upper(),
        url=url,
        expect=expect,
        headers=headers,
        body=body,
        each=each,
        when=CheckWhen(when or CheckWhen.ALWAYS),
        on_fail=OnFail(on_fail or OnFail.ROLL_BACK),
        timeout=timeout or timedelta(seconds=10),
        id_token=id_token,
    )
    _warn_if_item_unused(reader, entry.key, check)
    return check


def _warn_if_item_unused(reader: Reader, key: nodes.Scalar, check: Check) -> None:
    if check.each and ITEM not in check.refs:
        reader.warn(
            key,
            f"check {check.name} sends the same request {len(check.each)} times",
            "name the item in it: {{ item }}",
        )


def _read_request(
    fields: Fields, reader: Reader, key: nodes.Scalar, what: str
) -> tuple[str, Text | None]:
    methods = [method for method in METHODS if fields.has(method)]
    if not methods:
        reader.error(key, f"{what} sends nothing", 'add get: "{{ candidate.url }}/health"')
        return "get", None
    if len(methods) > 1:
        reader.error(
            fields.key_span(methods[1]), "one request a check", "write the other as its own check"
        )
    node = fields.node_of(methods[0])
    url = reader.text(node, f"`{methods[0]}`") if node else None
    if url is None or node is None:
        return methods[0], None
    if not is_url(url):
        written = node.text if isinstance(node, nodes.Scalar) else ""
        message = f"`{shown(written, 60)}` is no http(s) URL"
        mend = 'write "{{ candidate.url }}/path" or https://host/path'
        if "@" in written.partition("//")[2].partition("/")[0]:
            message, mend = "a URL with a name or password in it", "send them as a header: env:NAME"
            reader.findings.hide(node.span)
        reader.error(node, message, mend)
        return methods[0], None
    secret = secret_parameter("".join(p if isinstance(p, str) else "x" for p in url.parts))
    if secret:
        message = f"the secret `{shown(secret)}` in a URL would be kept in the service's record"
        reader.error(
            node,
            f"{message}, for every viewer to read",
            "send it as a header: env:NAME, which is read only when the request is sent",
        )
        return methods[0], None
    return methods[0], url


def _read_id_token(
    fields: Fields, reader: Reader, headers: Mapping[str, Text] | None
) -> str | None:
    audience = fields.constant("id_token", _audience)
    if audience and any(name.lower() == "authorization" for name in headers or {}):
        mend = "delete the header, or id_token"
        reader.error(fields.key_span("id_token"), "the header authorization is said already", mend)
    return audience


def _audience(text: str) -> str:
    if text in ("off", "false"):
        return ""
    if text in ("on", "true"):
        raise Unreadable(
            "an ID token is for somebody: for whom?", "write id_token: https://…, or off"
        )
    if not re.fullmatch(AUDIENCE_PATTERN, text, re.ASCII):
        raise Unreadable(f"`{shown(text)}` is no audience", "write id_token: https://…, or off")
    return text


def _timeout(text: str) -> timedelta:
    timeout = parse_duration(text)
    if not timedelta(seconds=1) <= timeout <= TIMEOUT_MOST:
        raise Unreadable(f"a try may take 1s to 60s, not {text}", "write timeout: 10s")
    return timeout


def _read_each(fields: Fields) -> tuple[str, ...]:
    node = fields.node_of("each")
    items = sequence_of(fields.reader, node, "`each`", most=ITEMS_MOST) if node else None
    if items is None:
        return ()
    read = [fields.reader.constant(item, "an item", _item) for item in items.items]
    return tuple(item for item in read if item is not None)


def _item(text: str) -> str:
    if len(text) > 200:
        raise Unreadable("an item has at most 200 characters", "write it shorter")
    return text


# --- headers --------------------------------------------------------------------------------


def _read_headers(fields: Fields, reader: Reader, what: str) -> Mapping[str, Text] | None:
    node = fields.node_of("headers")
    if node is None:
        return {}
    mapping = mapping_of(reader, node, f"`headers` of {what}", "accept")
    if mapping is None:
        return None
    headers: dict[str, Text] = {}
    for entry in mapping.entries[:20]:
        if not names.HEADER.fullmatch(entry.key.text):
            reader.error(entry.key, f"`{shown(entry.key.text)}` is no header", "write accept: …")
            continue
        value = reader.text(entry.value, f"header {entry.key.text}")
        if value is not None and _header_allowed(reader, entry, value):
            headers[entry.key.text] = value
    if len(mapping.entries) > 20:
        reader.error(mapping.entries[20].key, "a check has at most 20 headers", "write fewer")
    return headers


def _header_allowed(reader: Reader, entry: nodes.Entry, value: Text) -> bool:
    constant = "".join(part for part in value.parts if isinstance(part, str))
    if names.ENV_REFERENCE.fullmatch(constant):
        return True
    if is_secret_header(entry.key.text):
        reader.findings.hide(entry.value.span)
        reader.error(
            entry.value,
            "a secret in the plan would be kept in the service's record, for every viewer to read",
            f"write {entry.key.text}: env:NAME, which is read only when the request is sent",
        )
        return False
    if constant.startswith("env:"):
        reader.error(entry.value, "env: needs the name of a variable", "write env:API_TOKEN")
        return False
    if "\n" in constant or len(constant) > 2_000:
        reader.error(
            entry.value, "a header is one line of at most 2,000 characters", "write it shorter"
        )
        return False
    return True


# --- JSON -----------------------------------------------------------------------------------


def _read_body(fields: Fields, reader: Reader, method: str) -> Any:
    node = fields.node_of("body")
    if node is None:
        return None
    if method in ("get", "head"):
        reader.error(
            fields.key_span("body"),
            f"a {method} request has no body",
            "use post, or expect: {body: …}",
        )
        return None
    return read_json(reader, node)


def _read_expect(fields: Fields, reader: Reader, what: str) -> Expect | None:
    node = fields.node_of("expect")
    if node is None:
        return Expect()
    inner = fields_of(reader, node, EXPECT_KEYS, f"expect of {what}")
    if inner is None:
        return None
    status = _read_status(inner)
    body_node = inner.node_of("body")
    body = read_json(reader, body_node) if body_node else None
    return Expect(status, body, has_body=body_node is not None)


def _read_status(fields: Fields) -> tuple[int, ...]:
    node = fields.node_of("status")
    if node is None:
        return Expect().status
    if not isinstance(node, nodes.Sequence):
        status = fields.parse("status", _status)
        return (status,) if status else Expect().status
    items = sequence_of(fields.reader, node, "`status`", most=20)
    read = [
        fields.reader.parse(item, "a status", _status) for item in (items.items if items else ())
    ]
    return tuple(status for status in read if status)


def _status(text: str) -> int:
    if re.fullmatch(r"[1-5][0-9]{2}", text, re.ASCII):
        return int(text)
    raise Unreadable(f"`{shown(text)}` is no HTTP status", "write status: 200, or a list of them")


def read_json(reader: Reader, node: nodes.Node) -> Any:
    """Return a node as JSON: what was written with quotes is a string, its templates parsed.

    Without quotes, true, false, null and JSON's numbers are themselves and all else is a string:
    `yes` and `010` are strings, as they look. An error leaves None in its place.
    """
    match node:
        case nodes.Mapping():
            for entry in node.entries:
                if "{{" in entry.key.text:
                    reader.error(entry.key, "a key is written out, never filled in", "name it")
            return {entry.key.text: read_json(reader, entry.value) for entry in node.entries}
        case nodes.Sequence():
            return tuple(read_json(reader, item) for item in node.items)
        case nodes.Scalar():
            return _json_scalar(reader, node)


def _json_scalar(reader: Reader, node: nodes.Scalar) -> Any:
    if node.plain:
        if node.empty:
            return None
        if node.text in ("true", "false"):
            return node.text == "true"
        if _JSON_NUMBER.fullmatch(node.text):
            return _json_number(reader, node)
    if not node.text:
        return Text(())
    return reader.text(node, "a value")


def _json_number(reader: Reader, node: nodes.Scalar) -> int | float | None:
    if len(node.text) <= 25:
        value: int | float = json.loads(node.text)
        if abs(value) < 1e300:
            return value
    reader.error(node, f"the number {shown(node.text, 20)} is too long", "quote it: it is a text")
    return None
