"""The JSON Schema of a plan, for editors, from the same table of keys that the reader uses.

A schema knows shapes only: that weights rise, that a limit is on the right side and a name exists
is the reader's to say.
"""

from __future__ import annotations

from typing import Any

from controller.plan.keys import METHODS, PLAN_KEYS, SECTIONS, Key
from controller.plan.model import Form


def json_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12, as JSON values."""
    definitions = {name: _object(keys) for name, keys in SECTIONS.items()}
    definitions["limits"]["minProperties"] = 1
    definitions["versus_stable"] |= {"minProperties": 1, "maxProperties": 1}
    definitions["check"]["oneOf"] = [{"required": [method]} for method in METHODS]
    definitions["notify"]["oneOf"] = [{"required": [form.value]} for form in Form]
    limited = ("max", "min", "versus_stable")
    definitions["gate"]["anyOf"] = [{"required": [name]} for name in limited]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A rollout plan",
        **_object(PLAN_KEYS),
        "$defs": definitions,
    }


def _object(keys: tuple[Key, ...]) -> dict[str, Any]:
    offered = [key for key in keys if not key.not_yet]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: {"description": key.about, **key.schema} for key in offered},
    }
    required = [key.name for key in offered if key.required]
    return schema | ({"required": required} if required else {})
