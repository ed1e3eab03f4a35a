"""Every key of a plan: one table for the reader, the JSON Schema and the reference page.

The fragments of schema say what a key's value looks like to an editor, which reads YAML with its
own types (5 is a number there, on may be a truth value); the reader itself reads texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.plan.model import Heard
from controller.plan.names import OWN_PATTERN

STAGES_MOST = 20
REGIONS_MOST = 10
GATES_MOST = 30
CHECKS_MOST = 30
ITEMS_MOST = 50
FREEZES_MOST = 20
HEADERS_MOST = 20
NOTIFY_MOST = 10
MESSAGE_MOST = 2_000  # characters
FILTER_MOST = 1_000  # characters
NAME_PATTERN = f"^{OWN_PATTERN}$"

LATER = "leave it out for now"

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(?=.)(\d{1,7}w)?(\d{1,7}d)?(\d{1,7}h)?(\d{1,7}m)?(\d{1,7}s)?$",
}
PERCENT_OR_FRACTION: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^\d+(\.\d+)?%$"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    ]
}
LIMIT: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^\d+(\.\d+)?(%|ms|s|m)$"},
        {"type": "number"},
    ]
}
ON_OFF: Schema = {"enum": ["on", "off", True, False]}
WEIGHT: Schema = {"type": "string", "pattern": r"^([1-9]\d?|100)%$"}
CODE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^[1-5](xx|[0-9]{2})$"},
    ]
}
JSON: Schema = {}
SECRET: Schema = {"type": "string", "pattern": r"^env:[A-Za-z_][A-Za-z0-9_]{0,99}$"}
ANSWERS: Schema = {"enum": ["ask", "advance", "roll_back"]}
EARLY: Schema = {"enum": ["early", "off", False]}
_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
DAYS_PATTERN = f"^{_DAY}(-{_DAY})?$"
_TIME = r"([01]\d|2[0-4]):[0-5]\d"
HOURS_PATTERN = f"^{_TIME}-{_TIME}$"
_DATE = r"\d{4}-\d{2}-\d{2}"
DATES_PATTERN = rf"^{_DATE}(\.\.{_DATE})?$"
ON_FAIL: Schema = {"enum": ["roll_back", "step_back", "ask", "observe"]}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. not_yet: the mend where its behaviour comes with a later version."""

    name: str
    schema: Schema
    about: str
    example: str = ""
    required: bool = False
    not_yet: str = ""


def ref(name: str) -> Schema:
    """Return a reference to a definition of the schema."""
    return {"$ref": f"#/$defs/{name}"}


def one_or_list(item: Schema, most: int) -> Schema:
    """Return the schema of one item or a list of them."""
    return {"anyOf": [item, list_of(item, most)]}


def list_of(item: Schema, most: int) -> Schema:
    """Return the schema of a list of one to `most` items."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": most}


def named(item: Schema, most: int) -> Schema:
    """Return the schema of a mapping from names to items."""
    return {
        "type": "object",
        "propertyNames": {"pattern": NAME_PATTERN},
        "additionalProperties": item,
        "maxProperties": most,
    }


PLAN_KEYS = (
    Key("service", TEXT, "The Cloud Run service.", "service: my-api", required=True),
    Key("project", TEXT, "The project; or --project, or the environment."),
    Key(
        "region",
        one_or_list(TEXT, REGIONS_MOST),
        "The region, or a list: one after the other; or --region, or the environment.",
    ),
    Key(
        "candidate",
        {"anyOf": [TEXT, ref("candidate")]},
        "The revision to roll out: latest-ready (the default), a revision's name, or {tag: …}.",
    ),
    Key(
        "stages",
        list_of(ref("stage"), STAGES_MOST),
        "The weights and how long each is watched; weights rise, the last is 100%.",
        "stages: [{weight: 10%, hold: 1h}, {weight: 100%}]",
        required=True,
    ),
    Key("gates", named(ref("gate"), GATES_MOST), "Conditions on metrics, by name."),
    Key("checks", named(ref("check"), CHECKS_MOST), "HTTP requests of ours, by name."),
    Key("evidence", ref("evidence"), "How evidence is gathered."),
    Key("when", ref("when"), "What to do when nobody is there to say."),
    Key("notify", named(ref("notify"), NOTIFY_MOST), "Messages to people, by name."),
    Key("advance", EARLY, "early: leave a stage as soon as every gate's proof is there."),
    Key(
        "max_failed_requests",
        {"type": "integer", "minimum": 1},
        "Roll back a candidate that has cost this many failed requests more than stable's rate.",
    ),
)
CANDIDATE_KEYS = (
    Key("tag", TEXT, "The traffic tag of the revision.", "tag: candidate", required=True),
)
STAGE_KEYS = (
    Key(
        "weight",
        WEIGHT,
        "The candidate's share of requests, a whole percent.",
        "weight: 10%",
        required=True,
    ),
    Key("hold", DURATION, "How long the stage is watched. At 100% it is the bake."),
    Key(
        "limits",
        named(ref("limits"), GATES_MOST),
        "This stage's own numbers, by gate; what is not said here is as the gate says.",
    ),
    Key(
        "approval",
        {"enum": ["required", "off", False]},
        "required: a person is asked before the stage is entered.",
    ),
    Key("advance", EARLY, "early: leave it as soon as every gate's proof is there; off."),
)
LIMIT_KEYS = (
    Key("max", LIMIT, "Limit to advance: at most this."),
    Key("min", LIMIT, "Limit to advance: at least this."),
    Key("roll_back", LIMIT, "Limit to roll back; the limit to advance where it is not said."),
    Key("emergency", LIMIT, "Beyond this at once, without comparing with stable."),
)
GATE_KEYS = (
    Key(
        "metric",
        TEXT,
        "error_rate, success_rate, latency, request_count, or a metric type with a /.",
        "metric: error_rate",
        required=True,
    ),
    *LIMIT_KEYS,
    Key(
        "versus_stable",
        {"anyOf": [{"enum": ["off", False]}, ref("versus_stable")]},
        "How the candidate may differ from stable over the same minutes; off: not compared.",
    ),
    Key("stages", list_of(WEIGHT, STAGES_MOST), "Weights of the stages it is judged in."),
    Key("on_fail", ON_FAIL, "What a fail does; roll_back is the default."),
    Key("codes", list_of(CODE, 20), "Response codes that count, for rates: [5xx, 429]."),
    Key(
        "percentile",
        {"type": "number", "minimum": 50, "maximum": 99.9},
        "Which percentile, 50 to 99.9, of latency or another distribution.",
    ),
    Key("mean", ON_OFF, "true: latency's mean instead of a percentile."),
    Key("filter", TEXT, "More conditions on the time series, in Monitoring's filter language."),
    Key("aligner", {"type": "string", "pattern": "^ALIGN_"}, "Monitoring's aligner."),
    Key("reducer", {"type": "string", "pattern": "^REDUCE_"}, "Monitoring's reducer."),
    Key("revision_label", TEXT, "The label that names the revision: metric.labels.revision."),
    Key(
        "range",
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "The least and greatest value a minute's mean can have; [0, 1] for limits within it.",
    ),
)
VERSUS_KEYS = (
    Key(
        "ratio",
        {"type": "number", "minimum": 1, "maximum": 100},
        "At most this many times stable's value (for a success rate: stable's failures).",
    ),
    Key("worse_by", LIMIT, "Worse by at most this, in the metric's unit."),
    Key(
        "better_by",
        PERCENT_OR_FRACTION,
        "Better by at least this share of stable's value; a condition to advance only.",
    ),
)
AUDIENCE_PATTERN = r"^[A-Za-z0-9/][A-Za-z0-9._:/@-]{2,199}$"
METHODS = ("get", "post", "put", "patch", "delete", "head")
CHECK_KEYS = (
    *(Key(method, TEXT, f"The URL of a {method.upper()} request.") for method in METHODS),
    Key(
        "headers",
        {"type": "object", "maxProperties": HEADERS_MOST},
        "Headers; env:NAME for a secret.",
    ),
    Key("body", JSON, "The request's body, sent as JSON."),
    Key(
        "each",
        list_of({"type": ["string", "number", "boolean"]}, ITEMS_MOST),
        "One request for each item, which {{ item }} names.",
    ),
    Key("when", {"enum": ["before", "stages", "always"]}, "When it is sent; always by default."),
    Key("expect", ref("expect"), "What the answer must be; status 200 by default."),
    Key("on_fail", ON_FAIL, "What a fail does; roll_back is the default."),
    Key("timeout", DURATION, "How long one try may take, 1s to 60s; 10s by default."),
    Key(
        "id_token",
        {"anyOf": [{"enum": ["off", False]}, {"type": "string", "pattern": AUDIENCE_PATTERN}]},
        "The audience of an ID token that is sent along; off: none, ever. Where it is not said the "
        "service itself gets one when it answers 401 or 403.",
    ),
)
EXPECT_KEYS = (
    Key(
        "status",
        one_or_list({"type": "integer", "minimum": 100, "maximum": 599}, 20),
        "The HTTP status, or a list of those allowed.",
    ),
    Key("body", JSON, "JSON that must be in the answer: objects as subsets, all else equal."),
)
EVIDENCE_KEYS = (
    Key("interval", {"anyOf": [{"const": "auto"}, DURATION]}, "Between two looks; auto."),
    Key("delay", DURATION, "What is younger is not scored; 4m."),
    Key("custom_delay", DURATION, "The same for custom metrics; 10m."),
    Key(
        "warm_up",
        DURATION,
        "What follows a shift and is no evidence of latency or custom metrics; 2m.",
    ),
    Key(
        "needs",
        {"enum": ["sample", "proof", "clean"]},
        "sample: a least sample within the limits. proof: proved to be within them. "
        "clean: what was seen is within them.",
    ),
    Key(
        "false_rollback",
        PERCENT_OR_FRACTION,
        "How often, at most, a candidate within its limits may be rolled back; 1%.",
    ),
    Key(
        "arrival",
        {"anyOf": [{"enum": ["off", False]}, *PERCENT_OR_FRACTION["anyOf"]]},
        "The share of its promised requests that the candidate must get; 50%.",
    ),
)
NOTIFY_KEYS = (
    Key("slack", SECRET, "Slack's incoming webhook: env:NAME, its URL is a secret."),
    Key("google_chat", SECRET, "Google Chat's incoming webhook: env:NAME."),
    Key("webhook", SECRET, "Any HTTP endpoint that takes a JSON event: env:NAME."),
    Key(
        "headers",
        {"type": "object", "maxProperties": HEADERS_MOST, "additionalProperties": SECRET},
        "Headers of a webhook, each env:NAME.",
    ),
    Key(
        "events",
        list_of({"enum": [one.value for one in Heard]}, len(Heard)),
        "What is told; asked, rolled_back, promoted, taken_over, outage, unwatched, stuck, "
        "not_rolled_back.",
    ),
    Key(
        "text",
        {"type": "string", "minLength": 1, "maxLength": MESSAGE_MOST},
        "The message; {{ what }}, {{ why }}, {{ do }} and others are filled in.",
    ),
)
WHEN_KEYS = (
    Key("undecided", ref("undecided"), "The hold has passed, the evidence does not suffice."),
    Key("monitoring_out", ref("monitoring_out"), "Monitoring does not answer."),
    Key(
        "both_failing",
        {"enum": ["test", "hold", "roll_back"]},
        "Stable fails as the candidate does.",
    ),
    Key("nobody_answers", ref("nobody_answers"), "An ask that nobody answers; not approvals."),
    Key("new_revision", {"enum": ["ignore", "ask", "replace"]}, "A deploy during the rollout."),
    Key("approvals", ref("approvals"), "An approval that nobody gives; without it, for ever."),
    Key("advance_only", ref("advance_only"), "When to advance; a roll back is never held back."),
)
UNDECIDED_KEYS = (
    Key("extend_by", DURATION, "How much longer the stage is watched, once; its own hold."),
    Key("then", ANSWERS, "And after that; ask."),
)
MONITORING_OUT_KEYS = (
    Key("hold", DURATION, "How long Monitoring may be silent; 2h."),
    Key("then", ANSWERS, "And after that; ask."),
)
NOBODY_ANSWERS_KEYS = (
    Key("after", DURATION, "How long an ask waits; 24h."),
    Key("then", {"enum": ["advance", "roll_back"]}, "And after that; roll_back."),
)
APPROVALS_KEYS = (
    Key("after", DURATION, "How long an approval is waited for.", "after: 3d", required=True),
    Key(
        "then",
        {"enum": ["advance", "roll_back"]},
        "And after that; roll_back. advance: as if it had been given.",
    ),
)
ADVANCE_ONLY_KEYS = (
    Key(
        "days",
        one_or_list({"type": "string", "pattern": DAYS_PATTERN}, 7),
        "Days on which the window begins: mon-thu, or [mon, wed]; every day.",
    ),
    Key(
        "hours",
        {"type": "string", "pattern": HOURS_PATTERN},
        'From and to, quoted: "09:00-17:00", "22:00-04:00" over midnight; the whole day.',
    ),
    Key(
        "zone",
        {"type": "string", "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"},
        "The time zone by its name in the tz database.",
        "zone: Asia/Seoul",
        required=True,
    ),
    Key(
        "except",
        one_or_list({"type": "string", "pattern": DATES_PATTERN}, FREEZES_MOST),
        "Days without a window: a date, or from..to: [2026-12-20..2027-01-03].",
    ),
)

SECTIONS: Mapping[str, tuple[Key, ...]] = {
    "candidate": CANDIDATE_KEYS,
    "stage": STAGE_KEYS,
    "limits": LIMIT_KEYS,
    "gate": GATE_KEYS,
    "versus_stable": VERSUS_KEYS,
    "check": CHECK_KEYS,
    "expect": EXPECT_KEYS,
    "evidence": EVIDENCE_KEYS,
    "notify": NOTIFY_KEYS,
    "when": WHEN_KEYS,
    "undecided": UNDECIDED_KEYS,
    "monitoring_out": MONITORING_OUT_KEYS,
    "nobody_answers": NOBODY_ANSWERS_KEYS,
    "approvals": APPROVALS_KEYS,
    "advance_only": ADVANCE_ONLY_KEYS,
}

# What other tools call our keys: offered before the nearest spelling.
SAID_BY_OTHERS: Mapping[str, str] = {
    "steps": "stages",
    "phases": "stages",
    "percent": "weight",
    "percentage": "weight",
    "traffic": "weight",
    "setweight": "weight",
    "duration": "hold",
    "pause": "hold",
    "wait": "hold",
    "bake": "hold",
    "threshold": "max",
    "maximum": "max",
    "minimum": "min",
    "metrics": "gates",
    "analysis": "gates",
    "probes": "checks",
    "rollback": "roll_back",
    "withdraw": "roll_back",
    "versus": "versus_stable",
    "url": "get",
    "regions": "region",
    "revision": "candidate",
    "canary": "candidate",
    "manual": "approval",
    "approve": "approval",
    "require_approval": "approval",
    "on_undecided": "undecided",
    "on_failure": "on_fail",
    "p95": "percentile",
    "timezone": "zone",
    "tz": "zone",
    "times": "hours",
    "window": "advance_only",
    "windows": "advance_only",
    "freeze": "except",
    "freezes": "except",
    "json": "body",
    "auth": "id_token",
    "audience": "id_token",
    "notifications": "notify",
    "on": "events",
    "chat": "google_chat",
    "template": "text",
}
