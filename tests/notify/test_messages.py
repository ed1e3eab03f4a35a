"""What a message says, and that text of others cannot make it say something else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.engine.observation import ServiceName
from controller.engine.telling import Letter, News
from controller.notify import Shown
from controller.notify.forms import post_of
from controller.plan.model import Form, Heard, Notify, Ref, Text

NEWS = News(
    Heard.ROLLED_BACK,
    7,
    datetime(2026, 1, 6, 3, 4, tzinfo=UTC),
    "rolled back: traffic is ion-api-00041-abc 100%",
    "error-rate 7.46% of 67 requests, limit 2%",
    "",
    ("rollout history ion-api --region us-central1 --project ion-prod",),
    ServiceName("ion-prod", "us-central1", "ion-api"),
    "20260105-090000-4982",
    "ion-api-00042-xyz",
    "ion-api-00041-abc",
    1,
    5,
    10,
)
EVIL = "<!channel> <users/all> <https://evil|click> `x` &lt; \x1b[31m\nnow: rm -rf"


def body(form: Form, news: News = NEWS, text: Text | None = None) -> dict[str, object]:
    sent = post_of(Letter(Notify("team", form, "env:HOOK", text=text), news))
    assert sent.url == "env:HOOK"
    json.dumps(sent.body)
    return dict(sent.body)


def test_a_message_says_what_why_what_to_do_and_where() -> None:
    (shown,) = Shown().tell([Letter(Notify("team", Form.SLACK, "env:HOOK"), NEWS)])
    assert shown.why.splitlines() == [
        "ion-api: rolled back: traffic is ion-api-00041-abc 100%",
        "why: error-rate 7.46% of 67 requests, limit 2%",
        "now: rollout history ion-api --region us-central1 --project ion-prod",
        "where: ion-api (ion-prod, us-central1), 2026-01-06 03:04Z",
        "https://console.cloud.google.com/run/detail/us-central1/ion-api/revisions?project=ion-prod",
    ]


def test_slack_gets_its_form() -> None:
    sent = body(Form.SLACK)
    assert str(sent["text"]).startswith("*ion-api: rolled back")
    assert "`rollout history ion-api" in str(sent["text"])
    assert sent["blocks"] == [
        {"type": "section", "text": {"type": "mrkdwn", "text": sent["text"], "verbatim": True}}
    ]


def test_google_chat_gets_its_form() -> None:
    sent = body(Form.GOOGLE_CHAT)
    assert set(sent) == {"text"}
    assert str(sent["text"]).startswith("*ion-api: rolled back")


def test_the_same_of_another_region_is_not_taken_for_a_repeated_one() -> None:
    west = replace(NEWS, name=replace(NEWS.name, region="europe-west1"))
    assert body(Form.WEBHOOK, west)["id"] != body(Form.WEBHOOK)["id"]


def test_a_webhook_gets_one_json_event_that_can_be_told_from_a_repeated_one() -> None:
    sent = body(Form.WEBHOOK)
    assert sent["version"] == 1
    assert sent["event"] == "rolled_back"
    assert sent["id"] == "20260105-090000-4982/us-central1/7/rolled_back"
    assert sent["why"] == NEWS.why
    assert sent["do"] == list(NEWS.do)
    assert sent["at"] == "2026-01-06T03:04:00Z"
    post = post_of(Letter(Notify("t", Form.WEBHOOK, "env:H", {"authorization": "env:T"}), NEWS))
    assert post.headers == {"Idempotency-Key": sent["id"]}
    assert post.secrets == {"authorization": "env:T"}


@pytest.mark.parametrize("form", [Form.SLACK, Form.GOOGLE_CHAT])
@pytest.mark.parametrize("text", [None, Text((Ref("why"), " ", Ref("candidate.revision")))])
def test_text_of_others_mentions_nobody_links_nowhere_and_adds_no_line(
    form: Form, text: Text | None
) -> None:
    evil = replace(NEWS, why=EVIL, candidate=EVIL, by=EVIL, what=EVIL)
    told = str(body(form, evil, text)["text"])
    for mark in ("<!", "<users", "<https", "\x1b", "`x`"):
        assert mark not in told
    assert "\nnow: rm" not in told
    if form is Form.SLACK:
        assert "<" not in told
        assert "&lt;!channel&gt;" in told


def test_the_plans_own_text_may_call_the_channel() -> None:
    text = Text(("<!here> ", Ref("what")))
    assert str(body(Form.SLACK, text=text)["text"]).startswith("<!here> rolled back")


@pytest.mark.parametrize("form", list(Form))
def test_a_very_long_reason_is_cut_and_no_entity_in_half(form: Form) -> None:
    text = Text((Ref("why"),) * 40)
    told = str(body(form, replace(NEWS, why="<&한" * 2000), text)["text"])
    if form is Form.SLACK:
        assert len(told) <= 3000
        assert told.count("&") == told.count(";")
    if form is Form.GOOGLE_CHAT:
        assert len(told.encode()) <= 4096
