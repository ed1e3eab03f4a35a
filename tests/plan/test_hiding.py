"""What a plan writes out of secrets: refused where the record would keep it, quoted nowhere."""

from __future__ import annotations

import pytest

from controller.plan.diagnostics import PlanInvalid
from controller.plan.reader import read_plan
from controller.plan.source import Source

PLAN = """\
service: a
stages: [{weight: 100%, hold: 1h}]
gates: {e: {metric: error_rate, max: 1%}}
"""
CHECK = 'checks: {{c: {{get: "{}", headers: {{{}}}}}}}'
WRITTEN = (
    CHECK.format("https://me:s3cret@example.com/", ""),
    CHECK.format("https://example.com/?access_token=s3cret", ""),
    CHECK.format("https://example.com/?x=1&api_key=s3cret", "x-a: b"),
    CHECK.format("https://example.com/", "authorization: Bearer s3cret"),
    CHECK.format("https://example.com/", 'x-auth-token: "s3cret"'),
    CHECK.format("https://example.com/", "cookie: 's3cret', accept: x"),
    "notify: {team: {slack: https://hooks.slack.com/services/T0/B0/s3cret}}",
    "notify: {team: {webhook: env:HOOK, headers: {authorization: s3cret}}}",
)
BROKEN = tuple(text.rstrip("}") for text in WRITTEN)


@pytest.mark.parametrize(
    ("text", "why"),
    [*((text, "record|password") for text in WRITTEN), *((text, "missing") for text in BROKEN)],
)
def test_a_secret_in_a_plan_is_refused_and_its_line_does_not_quote_it(text: str, why: str) -> None:
    with pytest.raises(PlanInvalid, match=why) as refused:
        read_plan(Source("p.yaml", f"{PLAN}{text}\n".encode()), env={}, variables={})
    assert "s3cret" not in str(refused.value)
    assert all("s3cret" not in repr(one) for one in refused.value.diagnostics)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("https://example.com/?key=me&page_token_count=3", "x-api-key: env:KEY"),
        ("https://example.com/?token", "idempotency-key: 7, accept: json"),
    ],
)
def test_what_only_resembles_a_secret_is_read(url: str, header: str) -> None:
    text = f"{PLAN}{CHECK.format(url, header)}\n"
    assert read_plan(Source("p.yaml", text.encode()), env={}, variables={}).plan.checks
