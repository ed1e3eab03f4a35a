"""The traffic model: truths, layers of them, and minutes drawn from the seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.sandbox.clock import VirtualClock
from controller.sandbox.histogram import merge, percentile
from controller.sandbox.scenario import (
    Act,
    Change,
    Incident,
    Load,
    Moment,
    Poison,
    RevisionTruth,
    Scenario,
    Truth,
)
from controller.sandbox.setting import Gauge, Setting
from controller.sandbox.traffic import Traffic, minute_end
from controller.sandbox.truth import Behaviour
from controller.sandbox.world import World

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SCORE = "custom.googleapis.com/ion/confidence_score"
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
START = Scenario().start


def shift(hours: float, percent: int) -> Act:
    split = {"candidate": percent, "stable": 100 - percent}
    return Act("traffic", Moment(plus=hours * HOUR), split=split)


def a_model(*, after: timedelta = 3 * HOUR, **scenario: Any) -> tuple[World, Traffic]:
    """Build a world and its traffic; the candidate gets 10% after one hour, 50% after two."""
    scenario.setdefault("people", (shift(1, 10), shift(2, 50)))
    world = World(
        Scenario(**scenario), Setting(gauges=(Gauge(SCORE, bad=0.6),)), VirtualClock(START)
    )
    traffic = Traffic(world)
    world.clock.sleep(after)
    return world, traffic


def behaviour(revision: str, hours: float, **scenario: Any) -> Behaviour:
    """Return how a revision behaves so many hours after the start."""
    _, traffic = a_model(**scenario)
    return traffic.truths.at(revision, START + hours * HOUR)


def candidate(*changes: Change, like: str | None = None, **truth: Any) -> dict[str, RevisionTruth]:
    return {"candidate": RevisionTruth(like, Truth(**truth), changes)}


def test_a_revision_of_which_nothing_is_said_is_like_stable() -> None:
    stable = Truth(errors={"5xx": 0.01}, p50_ms=100.0, p95_ms=300.0)
    revisions = {"stable": RevisionTruth(truth=stable)}
    assert behaviour(CANDIDATE, 1, revisions=revisions) == behaviour(STABLE, 1, revisions=revisions)


def test_without_any_truth_the_app_is_healthy_as_the_setting_says() -> None:
    healthy = behaviour(STABLE, 0)
    assert dict(healthy.codes) == pytest.approx({"404": 0.002, "500": 0.0016, "503": 0.0004})
    assert (healthy.latency.p50_ms, healthy.latency.p95_ms) == (4000, 9000)
    assert healthy.gauges == {SCORE: 0.82}


def test_faster_and_slower_multiply_what_held_before() -> None:
    slower = Change(Moment(plus=HOUR), None, Truth(pace=3.0))
    revisions = candidate(slower, pace=0.8)
    assert behaviour(CANDIDATE, 0.5, revisions=revisions).latency.p95_ms == pytest.approx(7200)
    assert behaviour(CANDIDATE, 1.5, revisions=revisions).latency.p95_ms == pytest.approx(21600)


def test_one_percentile_alone_keeps_the_shape() -> None:
    latency = behaviour(CANDIDATE, 0, revisions=candidate(p95_ms=1800.0)).latency
    assert (latency.p50_ms, latency.p95_ms) == pytest.approx((800, 1800))


def test_errors_override_by_code_or_class() -> None:
    codes = behaviour(CANDIDATE, 0, revisions=candidate(errors={"5xx": 0.0, "429": 0.05})).codes
    assert dict(codes) == pytest.approx({"404": 0.002, "429": 0.05})


def test_gauges_are_bad_as_the_setting_says() -> None:
    assert behaviour(CANDIDATE, 0, revisions=candidate(gauges_are="bad")).gauges == {SCORE: 0.6}


def test_a_change_counts_the_shifts_of_its_own_revision() -> None:
    change = Change(Moment(shift=2, plus=30 * MINUTE), None, Truth(errors={"5xx": 0.08}))
    revisions = candidate(change)
    early = behaviour(CANDIDATE, 2.4, revisions=revisions)
    late = behaviour(CANDIDATE, 2.6, revisions=revisions)
    assert dict(early.codes)["500"] == pytest.approx(0.0016)
    assert dict(late.codes)["500"] == pytest.approx(0.064)


def test_a_change_ends_at_its_until() -> None:
    change = Change(Moment(plus=HOUR), Moment(plus=2 * HOUR), Truth(pace=2.0))
    at = [behaviour(CANDIDATE, hours, revisions=candidate(change)) for hours in (0.9, 1.1, 2.1)]
    assert [one.latency.p95_ms for one in at] == [9000, 18000, 9000]


def test_an_incident_is_the_last_layer_of_every_revision() -> None:
    incident = Incident(Moment(shift=1, plus=HOUR), 20 * MINUTE, Truth(errors={"500": 0.3}))
    scenario: dict[str, Any] = {
        "incidents": (incident,),
        "revisions": candidate(errors={"500": 0.05}),
    }
    during = [dict(behaviour(name, 2.1, **scenario).codes)["500"] for name in (STABLE, CANDIDATE)]
    after = [dict(behaviour(name, 2.5, **scenario).codes)["500"] for name in (STABLE, CANDIDATE)]
    assert during == pytest.approx([0.3 + 0.0016, 0.3 + 0.0016])
    assert after == pytest.approx([0.0016, 0.05 + 0.0016])


def failing(hours: float, code: str = "500", **scenario: Any) -> list[float]:
    """Return how often stable and the candidate answer with a code."""
    codes = [dict(behaviour(name, hours, **scenario).codes) for name in (STABLE, CANDIDATE)]
    return [found.get(code, 0.0) for found in codes]


class TestPoison:
    """What the candidate breaks for everybody: the candidate has 10% after 1 h, 50% after 2 h."""

    def test_it_adds_to_everybodys_errors_in_proportion_to_the_candidates_share(self) -> None:
        scenario: dict[str, Any] = {"poison": (Poison({"500": 0.4}),)}
        assert failing(0.5, **scenario) == pytest.approx([0.0016] * 2)
        assert failing(1.5, **scenario) == pytest.approx([0.0016 + 0.04] * 2)
        assert failing(2.5, **scenario) == pytest.approx([0.0016 + 0.20] * 2)

    def test_it_counts_the_share_in_force_and_not_the_one_asked_for(self) -> None:
        second = 1 / 3600
        scenario: dict[str, Any] = {"poison": (Poison({"500": 0.4}),)}
        assert failing(1 + 5 * second, **scenario) == pytest.approx([0.0016] * 2)
        assert failing(1 + 60 * second, **scenario) == pytest.approx([0.0416] * 2)

    def test_it_falls_with_the_candidates_share(self) -> None:
        people = (shift(1, 50), shift(2, 10), shift(2.5, 0))
        scenario: dict[str, Any] = {"poison": (Poison({"500": 0.4}),), "people": people}
        assert failing(1.5, **scenario) == pytest.approx([0.0016 + 0.20] * 2)
        assert failing(2.25, **scenario) == pytest.approx([0.0016 + 0.04] * 2)
        assert failing(2.75, **scenario) == pytest.approx([0.0016] * 2)

    def test_it_begins_and_ends_when_it_is_said_to(self) -> None:
        poison = Poison({"500": 0.4}, Moment(2, "candidate"), Moment(plus=2.5 * HOUR))
        assert failing(1.5, poison=(poison,)) == pytest.approx([0.0016] * 2)
        assert failing(2.25, poison=(poison,)) == pytest.approx([0.2016] * 2)
        assert failing(2.75, poison=(poison,)) == pytest.approx([0.0016] * 2)

    def test_several_add_up_on_top_of_a_revisions_own(self) -> None:
        scenario: dict[str, Any] = {
            "poison": (Poison({"500": 0.4}), Poison({"500": 0.2})),
            "revisions": candidate(errors={"500": 0.05}),
        }
        assert failing(2.5, **scenario) == pytest.approx([0.0016 + 0.30, 0.05 + 0.0016 + 0.30])

    def test_nobody_fails_more_than_always(self) -> None:
        scenario: dict[str, Any] = {"poison": (Poison({"500": 1.0}), Poison({"500": 1.0}))}
        stable, mine = failing(2.5, **scenario)
        assert stable == mine
        assert stable <= 1.0 + 0.0016

    def test_latency_and_gauges_are_as_they_were(self) -> None:
        clean, poisoned = (
            behaviour(STABLE, 2.5, poison=poison) for poison in ((), (Poison({"500": 0.4}),))
        )
        assert (clean.latency, clean.gauges) == (poisoned.latency, poisoned.gauges)


def test_revisions_that_are_like_each_other_still_have_an_end() -> None:
    revisions = {
        "candidate": RevisionTruth("stable"),
        "stable": RevisionTruth("candidate", Truth(p50_ms=10.0, p95_ms=20.0)),
    }
    assert behaviour(CANDIDATE, 0, revisions=revisions).latency.p95_ms == 20.0


def test_a_minute_in_which_the_split_changes_is_shared_out() -> None:
    _, traffic = a_model(traffic=Load(rate_per_s=1000.0))
    end = START + HOUR + MINUTE  # the shift comes into force 20 s into this minute
    sample = traffic.minute("ion-api", CANDIDATE, end)
    assert sample.users == pytest.approx(1000 * 40 * 0.1, rel=0.05)


def test_a_minute_that_is_not_over_is_not_remembered() -> None:
    world, traffic = a_model(after=HOUR)
    end = START + HOUR + MINUTE
    assert not traffic.minute("ion-api", CANDIDATE, end).users
    world.clock.sleep(HOUR)
    assert traffic.minute("ion-api", CANDIDATE, end).users


def test_the_requests_of_a_minute_are_those_of_its_histograms() -> None:
    _, traffic = a_model()
    for minute in range(1, 60):
        sample = traffic.minute("ion-api", STABLE, START + minute * MINUTE)
        counted = {code: drawn.count for code, drawn in sample.latencies.items()}
        assert counted == dict(sample.classes)
        assert sum(counted.values()) == sample.users


def test_the_latencies_of_an_hour_have_the_truths_percentile_within_a_bucket() -> None:
    _, traffic = a_model(revisions=candidate(pace=0.8))
    drawn = merge(
        [
            histogram
            for minute in range(130, 180)
            for histogram in traffic.minute(
                "ion-api", CANDIDATE, START + minute * MINUTE
            ).latencies.values()
        ]
    )
    assert 7200 / 1.1 < (percentile(drawn, 95) or 0) < 7200 * 1.1


def test_rare_traffic_is_poisson_too() -> None:
    _, traffic = a_model(after=10 * HOUR, traffic=Load(rate_per_s=1500 / (7 * 86_400)))
    counts = [traffic.minute("ion-api", STABLE, START + n * MINUTE).users for n in range(-6000, 1)]
    assert sum(counts) == pytest.approx(6000 * 1500 / 10_080, rel=0.1)
    assert max(counts) < 5


def test_our_own_requests_count_but_are_no_users() -> None:
    world, traffic = a_model(people=())
    now = world.clock.now()
    traffic.minute("ion-api", CANDIDATE, now)
    traffic.record_own("ion-api", CANDIDATE, now, 200, 40.0)
    sample = traffic.minute("ion-api", CANDIDATE, now)
    assert (dict(sample.classes), sample.users) == ({"200": 1}, 0)
    assert traffic.gauge(SCORE, "ion-api", CANDIDATE, now) is None
    assert traffic.served(now - MINUTE, now) == [("ion-api", STABLE), ("ion-api", CANDIDATE)]


def test_a_minute_ends_with_the_instant_that_closes_it() -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert minute_end(noon) == noon
    assert minute_end(noon + timedelta(microseconds=1)) == noon + MINUTE


def test_samples_do_not_depend_on_the_order_in_which_they_are_asked() -> None:
    _, forwards = a_model()
    _, backwards = a_model()
    keys = [(name, START + n * MINUTE) for n in range(30, 180, 7) for name in (STABLE, CANDIDATE)]
    one = {key: forwards.minute("ion-api", *key) for key in keys}
    two = {key: backwards.minute("ion-api", *key) for key in reversed(keys)}
    assert one == two


def test_what_is_forgotten_is_drawn_again_the_same() -> None:
    _, traffic = a_model()
    first = traffic.minute("ion-api", STABLE, START)
    for minute in range(1, 4200):
        traffic.minute("ion-api", STABLE, START - minute * MINUTE)
    again = traffic.minute("ion-api", STABLE, START)
    assert again == first
    assert again is not first
