"""What is suggested works: every command named is one that the act does not refuse."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from controller.cli.ending import of_open
from controller.cli.views.standing import standing
from controller.engine import acts, hints, moves
from controller.engine.codec import encode
from controller.engine.decide import vanished
from controller.engine.decision import Decision, Refusal
from controller.engine.observation import Gone, NotSeen, Observation, Seen, ServiceState, Target
from controller.engine.record import Act, Ask, AskKind, Record
from controller.engine.split import TAG_NEW
from controller.reconciler import Tick
from tests.engine.builders import NEW, OLD, PLAN, T0, at, running, service_of

NOW = at(40)
PLACE = "api --region us-central1 --project demo"
DEEDS: dict[str, Any] = {
    "approve": acts.approve,
    "reject": acts.reject,
    "resume": acts.resume,
    "promote": acts.promote_now,
    "cancel": acts.cancel_now,
}
ASKS = [None, *AskKind]
PAUSES = [None, Act("bo", T0, "lunch")]
ANSWERED: list[dict[str, Any]] = [{}, {"approved": (2,)}, {"waived": (2,)}]


def outcome_of(line: str, record: Record, service: ServiceState) -> Decision | Refusal:
    _, word, *rest = line.split()
    if word == "rollback":
        named = "api-0" if "--to-revision" in rest else None
        return acts.roll_back_now(record, service, (), NOW, "ada", to_revision=named)
    return DEEDS[word](PLAN, record, service, NOW, "ada")  # type: ignore[no-any-return]


@pytest.mark.parametrize(("ask", "paused", "answered"), list(product(ASKS, PAUSES, ANSWERED)))
def test_nothing_is_suggested_that_would_be_refused(
    ask: AskKind | None, paused: Act | None, answered: dict[str, Any]
) -> None:
    if ask is None and paused is None:
        return
    asked = Ask(ask, "why", T0) if ask else None
    record = running(1, ask=asked, paused=paused, stopped=T0, **answered)
    service = service_of(record, record_text=encode(record))
    waiting = moves.wait(record, "why", NOW - T0)
    lines = {*standing(service, NOW, PLACE).next}
    if waiting.only_a_person:
        lines |= {*of_open(tick(record, service, waiting), PLACE, 0).finished.next}
    for line in lines:
        assert isinstance(outcome_of(line, record, service), Decision), line


def tick(record: Record, service: ServiceState, decision: Decision) -> Tick:
    return Tick(
        NOW,
        replace(decision, record=record),
        Observation(Seen(service)),
        (),
        PLAN,
        decision.look_again,
    )


def suggested(record: Record, service: ServiceState) -> tuple[str, ...]:
    decision = vanished(record, NOW, "the record vanished")
    return of_open(tick(record, service, decision), PLACE, 0).finished.next


def test_where_the_record_vanished_only_the_rollback_works_and_is_suggested() -> None:
    record = running(1)
    gone = service_of(record, record_text=None)
    assert suggested(record, gone) == (f"rollout rollback {PLACE}", f"rollout status {PLACE}")
    assert isinstance(outcome_of(f"rollout rollback {PLACE}", record, gone), Decision)


def test_where_another_rollout_or_service_took_its_place_one_can_only_look() -> None:
    record = running(1, nonce="n")
    other = service_of(record, record_text=encode(replace(record, rollout="r2")))
    anew = service_of(record, record_text=None, uid="another")
    for service in (other, anew):
        assert suggested(record, service) == (f"rollout status {PLACE}",)


def test_where_a_person_split_the_traffic_all_three_ways_on_are_suggested() -> None:
    record = running(1, nonce="n")
    theirs = service_of(record, {OLD: 93, NEW: 7}, record_text=encode(record))
    found = suggested(record, theirs)
    assert [line.split()[1] for line in found] == ["resume", "rollback", "cancel"]
    for line in found:
        assert isinstance(outcome_of(line, record, theirs), Decision), line


def test_status_suggests_no_new_start_where_our_tag_says_that_a_record_is_missing() -> None:
    service = service_of(running(1), record_text=None)
    tagged = replace(service, targets=(*service.targets, Target(NEW, 0, TAG_NEW)))
    back, end = (f"rollout {word} {PLACE}" for word in ("rollback", "cancel"))
    assert standing(tagged, NOW, PLACE).next == (back, end)


@pytest.mark.parametrize("service", [NotSeen("503"), Gone("deleted")])
def test_of_a_service_that_is_not_seen_one_can_only_look(service: Any) -> None:
    found = hints.of_taken_over(running(1), Observation(service), PLACE)
    assert found == (f"rollout status {PLACE}",)
    anew = Observation(Seen(service_of(running(1), uid="other")))
    assert hints.of_taken_over(running(1), anew, PLACE) == (f"rollout status {PLACE}",)


def test_where_all_is_on_stable_by_hand_and_the_record_another_hands_one_can_only_look() -> None:
    record = running(1, nonce="n")
    back = service_of(record, {OLD: 100}, record_text=encode(replace(record, nonce="theirs")))
    assert suggested(record, back) == (f"rollout status {PLACE}",)
    split = service_of(record, {OLD: 30, NEW: 70}, record_text=encode(replace(record, nonce="x")))
    assert suggested(record, split) == (f"rollout rollback {PLACE}", f"rollout status {PLACE}")
