"""Several regions: a later one begins when the one before is promoted, and never otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.engine import acts, recordless
from controller.engine.codec import decode, encode
from controller.engine.decide import decide
from controller.engine.decision import Action, Decision, State
from controller.engine.events import Started
from controller.engine.lost import Lost, lost_of
from controller.engine.observation import (
    Gone,
    NotSeen,
    Observation,
    RevisionState,
    Seen,
    ServiceState,
    Target,
)
from controller.engine.preflight import looks_back
from controller.engine.record import Act, Outcome, Phase, Record, stamp
from controller.engine.regions import LOOK, NOT_BEGUN_MAX, Turn, turn_of
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Latencies, Readings
from controller.plan.compact import differences, from_json, to_json
from tests.engine.builders import NEW, OLD, PLAN, T0, at, running, service_of, starting

BOTH = replace(PLAN, later_regions=("europe-west1",))
QUEUED = starting(BOTH, after="us-central1")


def there(record: Record | None) -> Seen[ServiceState]:
    """Return the service of the first region with this record on it."""
    text = None if record is None else encode(stamp(record, 7, T0))
    return Seen(replace(service_of(running()), record_text=text))


def ended(*outcomes: str, rollout: str = QUEUED.rollout) -> Record:
    """Return a record whose rollout has ended so, one after the other."""
    entries = tuple(
        Outcome(one, NEW, at(30 + n), "error-rate 4% of 1,203 requests", rollout=rollout)
        for n, one in enumerate(outcomes)
    )
    return replace(running(2), rollout=rollout, phase=Phase.DONE, outcomes=entries)


def stable_day(record: Record, minutes: float, failed: int) -> dict[object, Seen[Readings]]:
    """Return stable's last day: a thousand requests a quarter hour, so many of them failed."""
    seen: dict[object, Seen[Readings]] = {}
    for query, look in looks_back(BOTH, at(minutes)).items():
        count = (look.window.end - look.window.start) // look.period
        ends = [look.window.start + look.period * (n + 1) for n in range(count)]
        fast = Histogram(Explicit((100.0, 5000.0)), {0: 1000}, 50.0)
        value = CodeCounts({"2xx": 1000 - failed, "5xx": failed})
        one = fast if isinstance(query, Latencies) else value
        seen[query] = Seen({record.stable: dict.fromkeys(ends, one)})
    return seen


def look(
    record: Record,
    minutes: float,
    earlier: Seen[ServiceState] | NotSeen | Gone,
    *,
    failed: int = 1,
    ready: bool = True,
) -> Decision:
    seen = Observation(
        Seen(service_of(record)),
        Seen(RevisionState(NEW, ready=ready)),
        Seen(RevisionState(OLD, ready=True)),
        earlier=earlier,
        history=stable_day(record, minutes, failed),  # type: ignore[arg-type]
    )
    return decide(BOTH, record, seen, at(minutes))


def test_it_waits_while_the_region_before_is_under_way() -> None:
    decision = look(QUEUED, 20, there(running()))
    assert decision.action is Action.WAIT
    assert decision.state is State.STARTING
    assert decision.reason == "its turn comes when us-central1 is promoted"


def test_while_it_waits_its_record_shows_that_somebody_watches() -> None:
    decision = look(QUEUED, 31, there(running()))
    assert decision.action is Action.NOTE
    assert decision.record.transitions == QUEUED.transitions


def test_its_turn_comes_when_the_region_before_is_promoted() -> None:
    decision = look(QUEUED, 40, there(ended("promoted")))
    assert decision.action is Action.NOTE
    assert not decision.record.after
    assert [entry.what for entry in decision.record.transitions] == ["its turn"]
    assert any(isinstance(event, Started) for event in decision.events)
    begun = look(decision.record, 41, there(ended("promoted")))
    assert begun.action is Action.SHIFT
    assert begun.record.weight == 10


def test_stable_is_looked_at_anew_when_its_turn_has_come() -> None:
    fresh = look(QUEUED, 40, there(ended("promoted"))).record.history
    assert set(fresh) >= {"errors", "latency"}
    assert not QUEUED.history


def test_where_stable_breaks_a_limit_by_then_it_never_begins() -> None:
    decision = look(QUEUED, 40, there(ended("promoted")), failed=50)
    assert decision.state is State.DONE
    assert decision.record.outcomes[-1].outcome == "rolled_back"
    assert decision.reason.startswith("never began here: errors: stable itself is at 5%")


@pytest.mark.parametrize("outcome", ["rolled_back", "cancelled"])
def test_a_rollback_in_one_region_stops_the_later_ones(outcome: str) -> None:
    decision = look(QUEUED, 40, there(ended(outcome)))
    assert decision.state is State.DONE
    assert decision.record.outcomes[-1].outcome == "rolled_back"
    told = outcome.replace("_", " ")
    assert decision.reason == (
        f"never began here: {told} in us-central1: error-rate 4% of 1,203 requests"
    )


def test_an_outcome_of_an_earlier_rollout_does_not_count() -> None:
    told = turn_of(QUEUED, there(ended("promoted", rollout="earlier")))
    assert told.turn is Turn.NOT_BEGUN


def test_a_rollout_that_was_replaced_there_meanwhile_does_not_count() -> None:
    replaced = ended("rolled_back", rollout="replaced").outcomes
    promoted = ended("promoted")
    both = replace(promoted, outcomes=(*replaced, *promoted.outcomes))
    assert turn_of(QUEUED, there(ended("rolled_back", rollout="replaced"))).turn is Turn.NOT_BEGUN
    assert turn_of(QUEUED, there(both)).turn is Turn.COME


def test_a_person_who_rolls_the_promoted_region_back_stops_the_later_ones() -> None:
    assert turn_of(QUEUED, there(ended("promoted", "rolled_back"))).turn is Turn.NEVER


def test_it_is_found_among_outcomes_after_another_rollout_began_there() -> None:
    mine = ended("promoted").outcomes
    other = replace(running(), rollout="another", candidate="api-3", outcomes=mine)
    assert turn_of(QUEUED, there(other)).turn is Turn.COME


@pytest.mark.parametrize("missing", [None, ended("promoted", rollout="earlier")])
def test_what_was_never_begun_there_is_waited_for_an_hour(missing: Record | None) -> None:
    early = NOT_BEGUN_MAX / timedelta(minutes=1) - 1
    assert look(QUEUED, 1, there(missing)).action is Action.WAIT
    assert look(QUEUED, early, there(missing)).state is State.STARTING
    late = look(QUEUED, early + 2, there(missing))
    assert late.state is State.DONE
    assert "has not begun in us-central1" in late.reason


def test_a_region_that_is_not_seen_is_no_answer() -> None:
    decision = look(QUEUED, 600, NotSeen("Cloud Run does not answer: deadline"))
    assert decision.state is State.STARTING
    assert "us-central1 is not seen" in decision.reason


def test_a_record_there_that_cannot_be_read_is_no_answer() -> None:
    torn = Seen(replace(service_of(running()), record_text='{"v": 1, "id'))
    decision = look(QUEUED, 600, torn)
    assert decision.state is State.STARTING
    assert "cannot be read" in decision.reason


def test_a_record_that_vanished_there_is_no_answer_until_somebody_ends_it() -> None:
    service = service_of(running(), record_text=None)
    tagged = replace(service, targets=(*service.targets, Target(NEW, 0, "rollout-new")))
    decision = look(QUEUED, 600, Seen(tagged))
    assert decision.state is State.STARTING
    assert "in us-central1: a rollout of api-2 was here (tag rollout-new)" in decision.reason
    by_hand = recordless.cancel(_lost(tagged), tagged, at(30), "ada", "", None)
    assert isinstance(by_hand, Decision)
    assert turn_of(QUEUED, there(by_hand.record)).turn is Turn.NEVER
    later = replace(QUEUED, started=at(31))
    assert turn_of(later, there(by_hand.record)).turn is Turn.NOT_BEGUN


def _lost(service: ServiceState) -> Lost:
    lost = lost_of(service)
    assert lost is not None
    return lost


def test_a_service_that_is_gone_there_ends_it() -> None:
    decision = look(QUEUED, 5, Gone("ion-api was not found"))
    assert decision.state is State.DONE


def test_a_candidate_lost_while_it_waits_ends_it() -> None:
    decision = look(QUEUED, 5, there(running()), ready=False)
    assert decision.record.outcomes[-1].outcome == "rolled_back"
    assert "lost its readiness" in decision.reason


def test_paused_it_does_not_begin_though_its_turn_has_come() -> None:
    still = replace(QUEUED, paused=Act("kim", T0))
    decision = look(still, 10, there(ended("promoted")))
    assert decision.record.after == "us-central1"
    assert decision.reason == "paused by kim"


def test_a_person_may_begin_it_before_its_turn() -> None:
    decision = acts.advance(BOTH, QUEUED, service_of(QUEUED), at(5), "kim", "alone")
    assert isinstance(decision, Decision)
    assert decision.record.weight == 10
    shifting = look(decision.record, 6, there(running()))
    assert shifting.state is not State.STARTING


def test_the_record_remembers_whom_it_waits_for() -> None:
    assert decode(encode(stamp(QUEUED, 7, T0))).after == "us-central1"


def test_regions_share_the_chance_of_a_rollback_for_nothing() -> None:
    assert BOTH.level == pytest.approx(PLAN.level / 2)


def test_a_plan_of_two_regions_is_read_back_from_its_record() -> None:
    assert from_json(to_json(BOTH)) == BOTH
    assert differences(PLAN, BOTH) == ("region: us-central1 → us-central1, europe-west1",)


def test_while_it_waits_it_is_looked_at_as_often_as_the_region_before_may_change() -> None:
    decision = look(QUEUED, 20, there(running()))
    assert decision.look_again == LOOK
    paused = replace(QUEUED, paused=Act("kim", T0), at=at(5))
    assert look(paused, 10, there(running())).look_again == LOOK
    begun = look(QUEUED, 40, there(ended("promoted")))
    assert begun.look_again == timedelta(seconds=15)
    started = next(event for event in begun.events if isinstance(event, Started))
    assert (started.candidate, started.stable, started.attached) == (NEW, OLD, True)
    assert started.stages == tuple((stage.weight, stage.hold) for stage in BOTH.stages)
    assert begun.reason == "us-central1 is promoted"
    edge = NOT_BEGUN_MAX / timedelta(minutes=1)
    assert look(QUEUED, edge - 1 / 60, there(None)).state is State.STARTING
    assert look(QUEUED, edge, there(None)).state is State.DONE
