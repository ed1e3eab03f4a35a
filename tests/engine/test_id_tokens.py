"""Which request may carry an ID token, and for whom; a token that is missing blames nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.engine.checking import (
    OUR_SIDE,
    Got,
    audience_of,
    conclude,
    has_secrets,
    requests_of,
)
from controller.engine.observation import NotSeen
from tests.engine.builders import HEALTH

NAMES = {
    "candidate.url": "https://rollout-new---api-abc-uc.a.run.app",
    "stable.url": "https://rollout-old---api-abc-uc.a.run.app",
    "candidate.revision": "api-2",
    "stable.revision": "api-1",
}


@pytest.mark.parametrize("side", ["candidate", "stable"])
def test_the_services_own_hosts_are_told_by_the_services_own_url(side: str) -> None:
    url = NAMES[f"{side}.url"] + "/health"
    assert audience_of(HEALTH, url, NAMES) == "https://api-abc-uc.a.run.app"


@pytest.mark.parametrize(
    "url",
    [
        "https://rollout-new---api-abc-uc.a.run.app.evil.example.com/",
        "https://rollout-new---api-abc-uc.a.run.app@evil.example.com/",
        "https://other-abc-uc.a.run.app/",
        "http://rollout-new---api-abc-uc.a.run.app/",
        "https://rollout-new---api-abc-uc.a.run.app:8443/",
    ],
)
def test_no_other_host_is_told_who_we_are(url: str) -> None:
    assert audience_of(HEALTH, url, NAMES) == ""


def test_the_plans_audience_is_for_wherever_the_check_is_sent_and_needs_the_plans_file() -> None:
    check = replace(HEALTH, id_token="https://gateway.example.com")
    assert audience_of(check, "https://10.0.0.1/", NAMES) == "https://gateway.example.com"
    assert has_secrets(check)
    off = replace(HEALTH, id_token="")
    assert audience_of(off, NAMES["candidate.url"], NAMES) == ""
    assert not has_secrets(off)


@pytest.mark.parametrize("status", OUR_SIDE)
def test_a_service_that_does_not_let_us_in_has_not_been_seen(status: int) -> None:
    request = requests_of(HEALTH, NAMES)[0]
    seen = conclude(HEALTH, ((request, Got(status)),), None, NAMES)
    assert isinstance(seen, NotSeen)


def test_a_token_that_is_missing_is_said_and_is_no_fail() -> None:
    request = requests_of(HEALTH, NAMES)[0]
    seen = conclude(HEALTH, ((request, Got(401, None, "no ID token for x")),), None, NAMES)
    assert isinstance(seen, NotSeen)
    assert "no ID token for x" in seen.why


def test_a_check_that_expects_to_be_refused_carries_none() -> None:
    stranger = replace(HEALTH, expect=replace(HEALTH.expect, status=(401,)))
    assert audience_of(stranger, NAMES["candidate.url"], NAMES) == ""
