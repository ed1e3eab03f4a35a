"""What a check sends, what is wrong with an answer, and what its answers come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.engine.checking import (
    Got,
    ToSend,
    aims_at_candidate,
    conclude,
    fault,
    requests_of,
    swapped,
    wanted,
)
from controller.engine.observation import CheckOutcome, NotSeen, Seen
from controller.plan.model import Check, CheckWhen, Expect, Ref, Text
from tests.engine.builders import HEALTH

NAMES = {
    "candidate.url": "https://new.example", "candidate.revision": "api-2",
    "stable.url": "https://old.example", "stable.revision": "api-1",
}  # fmt: skip
ITEM = Text((Ref("item"),))
EACH = replace(
    HEALTH,
    name="personas",
    method="POST",
    headers={"x-who": ITEM},
    body={"persona": ITEM, "list": [ITEM, 3], "deep": {"on": Text((Ref("candidate.revision"),))}},
    each=("lua", "elo"),
)
ELSEWHERE = replace(HEALTH, url=Text(("https://gateway.example/health",)))


@pytest.mark.parametrize(
    ("when", "before", "in_stages"),
    [
        (CheckWhen.ALWAYS, True, True),
        (CheckWhen.BEFORE, True, False),
        (CheckWhen.STAGES, False, True),
    ],
)
def test_a_check_is_sent_when_its_plan_says(
    when: CheckWhen,
    before: bool,  # noqa: FBT001
    in_stages: bool,  # noqa: FBT001
) -> None:
    check = replace(HEALTH, when=when)
    assert (wanted(check, before=True), wanted(check, before=False)) == (before, in_stages)


def test_every_text_of_each_request_is_filled_in() -> None:
    first, second = requests_of(EACH, NAMES)
    assert first == ToSend(
        "POST",
        "https://new.example/health",
        {"x-who": "lua"},
        {"persona": "lua", "list": ["lua", 3], "deep": {"on": "api-2"}},
        "lua",
    )
    assert (second.item, second.headers) == ("elo", {"x-who": "elo"})
    by_url = replace(EACH, url=Text((Ref("candidate.url"), "/chat/", Ref("item"))))
    assert [one.url for one in requests_of(by_url, NAMES)] == [
        "https://new.example/chat/lua", "https://new.example/chat/elo",
    ]  # fmt: skip
    assert requests_of(HEALTH, NAMES) == (ToSend("GET", "https://new.example/health", {}, None),)


def test_the_same_is_asked_of_stable_in_the_candidates_place() -> None:
    (beside,) = requests_of(HEALTH, swapped(NAMES))
    assert beside.url == "https://old.example/health"
    assert swapped(NAMES)["candidate.revision"] == "api-1"
    assert aims_at_candidate(HEALTH)
    assert not aims_at_candidate(ELSEWHERE)


class TestAnAnswer:
    def wrong(self, expected: Any, got: Any) -> str:
        return fault(Expect(body=expected, has_body=True), Got(200, got), NAMES)

    def test_a_status_that_is_not_expected_is_named_with_those_that_are(self) -> None:
        two = Expect(status=(200, 204))
        assert fault(two, Got(204), NAMES) == ""
        assert fault(two, Got(500), NAMES) == "answered 500, expected 200 or 204"

    def test_none_at_all_is_told_with_what_is_known_of_it(self) -> None:
        assert fault(Expect(), Got(0), NAMES) == "no answer"
        assert fault(Expect(), Got(0, None, "timed out"), NAMES) == "timed out"
        assert fault(Expect(), Got(401, None, "no token"), NAMES) == "no token"

    def test_a_body_is_looked_at_only_where_one_is_expected(self) -> None:
        assert fault(Expect(), Got(200, {"status": "ill"}), NAMES) == ""

    @pytest.mark.parametrize(
        ("expected", "got", "said"),
        [
            ({"a": 1}, {"a": 1, "b": 2}, ""),
            ({"a": {"b": True}}, {"a": {"b": True, "c": 0}}, ""),
            ({"a": 1}, {"b": 1}, "body.a is missing"),
            ({"a": {"b": 1}}, {"a": {}}, "body.a.b is missing"),
            ({"a": {"b": 1}}, {"a": 7}, "body.a is 7, expected an object"),
            ({"a": 1}, [1], "body is [1], expected an object"),
            ({"a": 1, "b": 2}, {"a": 9, "b": 9}, "body.a is 9, expected 1"),
            ([1, 2], [1, 2], ""),
            ((1, 2), [1, 2], ""),
            ([1, 2], [1, 2, 3], "body is [1, 2, 3], expected [1, 2]"),
            ([1], {"a": 1}, "body is {'a': 1}, expected [1]"),
            ("ok", "ok", ""),
            ("ok", "no", "body is 'no', expected 'ok'"),
            (1, 1.0, ""),
            (1, True, "body is True, expected 1"),
            (True, 1, "body is 1, expected True"),
            (1, 2, "body is 2, expected 1"),
            ("1", 1, "body is 1, expected '1'"),
            (None, None, ""),
            (None, 0, "body is 0, expected None"),
            ({"v": Text((Ref("candidate.revision"),))}, {"v": "api-2"}, ""),
            ("x" * 58, "x" * 58, ""),
            ("ok", "x" * 58, f"body is '{'x' * 58}', expected 'ok'"),
            ("ok", "x" * 59, f"body is '{'x' * 56}…, expected 'ok'"),
        ],
    )
    def test_objects_match_as_subsets_lists_and_scalars_must_be_equal(
        self, expected: Any, got: Any, said: str
    ) -> None:
        assert self.wrong(expected, got) == said


def answers(check: Check, *got: Got) -> tuple[tuple[ToSend, Got], ...]:
    return tuple(zip(requests_of(check, NAMES), got, strict=True))


class TestTheOutcome:
    OK, BAD, SILENT, SHUT = Got(200), Got(500), Got(0), Got(403)

    def of(self, check: Check, *got: Got, beside: tuple[Got, ...] | None = None) -> tuple[str, str]:
        asked = answers(check, *beside) if beside is not None else None
        match conclude(check, answers(check, *got), asked, NAMES):
            case Seen(seen):
                return seen.outcome.value, seen.reason
            case NotSeen(why):
                return "not seen", why

    def test_it_passes_with_its_code_or_the_number_of_its_requests(self) -> None:
        assert self.of(HEALTH, self.OK) == ("passed", "passed (200)")
        assert self.of(EACH, self.OK, self.OK) == ("passed", "passed (2 requests)")

    def test_each_item_that_fails_is_named(self) -> None:
        assert self.of(EACH, self.OK, self.BAD) == ("failed", "elo: answered 500, expected 200")
        both = "lua: answered 500, expected 200; elo: no answer"
        assert self.of(EACH, self.BAD, self.SILENT) == ("failed", both)

    def test_it_fails_where_stable_passes_the_same(self) -> None:
        said = "answered 500, expected 200; stable passes it"
        assert self.of(HEALTH, self.BAD, beside=(self.OK,)) == ("failed", said)

    def test_where_stable_fails_it_too_or_another_is_asked_it_is_undecided(self) -> None:
        said = "answered 500, expected 200; stable fails it too"
        assert self.of(HEALTH, self.BAD, beside=(self.BAD,)) == ("undecided", said)
        other = "answered 500, expected 200 (not the candidate)"
        assert self.of(ELSEWHERE, self.BAD) == ("undecided", other)

    def test_who_is_not_let_in_has_seen_nothing(self) -> None:
        said = "answered 403, expected 200: the service did not let us in"
        assert self.of(HEALTH, self.SHUT) == ("not seen", said)
        assert self.of(EACH, self.SHUT, self.BAD)[0] == "failed"

    def test_where_neither_answers_it_may_be_our_own_side(self) -> None:
        said = "neither revision answers us: no answer"
        assert self.of(HEALTH, self.SILENT, beside=(self.SILENT,)) == ("not seen", said)
        assert self.of(HEALTH, self.SILENT, beside=(self.BAD,))[0] == "undecided"
        assert self.of(HEALTH, self.BAD, beside=(self.SILENT,))[0] == "undecided"


def test_outcomes_have_the_words_that_a_journal_keeps() -> None:
    assert [one.value for one in CheckOutcome] == ["passed", "failed", "undecided"]
