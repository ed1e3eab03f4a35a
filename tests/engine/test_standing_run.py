"""Where a run stands, told from its minutes alone: just where the controller had it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller.engine.events import Observed
from controller.engine.past import ORIGIN, _batched, past_between
from controller.engine.record import Phase, Shift, Trial
from controller.engine.replaying import Past, Span, replay, stand
from controller.engine.watching import _weight_in_doubt, queries
from controller.gates.evidence import CodeCounts, Latencies, Minute, Query, Requests, Value
from controller.gates.minutes import name_of
from controller.plan.model import Stage
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, at, running
from tests.engine.world import LONG, Truth, World, healthy, incident, poison

HALF = timedelta(minutes=30)
NO_APPROVAL = replace(PLAN, stages=(Stage(10, HALF), Stage(50, HALF), Stage(100, HALF)))


def past_of(world: World) -> Past:
    """Return the run's splits, each with the minutes that were absorbed while it was in force."""
    stage = world.stage
    tested = False
    spans: list[tuple[datetime, int, int, datetime | None]] = []
    first_weight = world.plan.stages[stage].weight
    spans.append((at(0), stage, first_weight, None))
    for entry in world.record.transitions:
        words = entry.what.split()
        if words[0] in ("shift", "step"):
            weight = int(words[-1].rstrip("%"))
            stage = [one.weight for one in world.plan.stages].index(weight)
            tested = False
        elif words[0] in ("test", "back"):
            tested = True
        elif entry.what.endswith("in force"):
            moved = entry.at if tested else None
            since = spans[-1][0] if tested else entry.at
            spans.append((since, stage, int(words[0].rstrip("%")), moved))
    names = {name_of(query): query for query in queries(world.plan, 0).values()}
    events = [e for _, d in world.told for e in d.events if isinstance(e, Observed)]
    starts = [moved or since for since, _, _, moved in spans]
    ends = [*starts[1:], world.now]
    found = []
    for (since, number, weight, moved), start, end in zip(spans, starts, ends, strict=True):
        minutes: dict[Query, tuple[Minute, ...]] = {}
        for event in events:
            if start < event.at <= end:
                for name, many in event.minutes.items():
                    query = names[name]
                    minutes[query] = (*minutes.get(query, ()), *many)
        found.append(Span(number, weight, since, minutes, moved))
    return Past("r1", tuple(found), world.record.history)


@pytest.mark.parametrize(
    ("truth", "stage", "until"),
    [
        (healthy, 0, 25),
        (healthy, 0, 60),
        (healthy, 0, 90),
        (incident(5, 90), 1, 60),
        (poison(), 1, 25),
    ],
    ids=["first stage", "second stage", "third stage", "in a test", "after a test"],
)
def test_a_run_stands_where_the_controller_had_it(truth: Truth, stage: int, until: float) -> None:
    plan = LONG if stage else NO_APPROVAL
    world = World(plan, truth, stage=stage).run(until)
    record = world.record
    stood = stand(plan, past_of(world), record)
    for name, known in record.gates.items():
        assert stood.record.gates[name].state == known.state, name
        assert stood.record.gates[name].watermark == known.watermark
    assert stood.verdicts == dict(world.told[-1][1].verdicts)
    assert (stood.record.stage, stood.record.weight) == (record.stage, record.weight)
    assert (stood.record.in_force, stood.record.tried) == (record.in_force, record.tried)


def test_what_the_record_says_of_a_shift_or_a_test_is_not_the_pasts() -> None:
    minutes: dict[Query, tuple[Minute, ...]] = {
        Requests(): (Minute(at(2), CodeCounts({"2xx": 9}), None),)
    }
    record = running(2, shift=Shift(at(0), 10), trial=Trial("errors", at(0), 0.1), phase=Phase.DONE)
    stood = stand(PLAN, Past("r1", (Span(0, 10, at(0), minutes),)), record)
    there = stood.record
    assert (there.phase, there.stage, there.weight) == (Phase.RUNNING, 0, 10)
    assert (there.shift, there.trial, there.came_from) == (None, None, -1)
    assert (there.rollout, there.candidate, there.before) == ("r1", NEW, {OLD: 100})
    with pytest.raises(ValueError, match="stands nowhere"):
        stand(PLAN, Past("r1", ()), record)
    alone = stand(PLAN, Past("r1", (Span(0, 10, at(0), minutes),)))
    assert alone.verdicts.keys() == stood.verdicts.keys()


def test_what_was_measured_is_cut_where_the_weight_changes() -> None:
    weights = {at(n): weight for n, weight in ((1, 0), (2, 10), (3, 10), (6, 50), (7, 50), (9, 0))}
    many = tuple(Minute(at(n), CodeCounts({"2xx": n}), None) for n in range(1, 11))
    past = past_between(PLAN, "r1", weights, {Requests(): many}, {})
    assert [(s.stage, s.weight, s.in_force) for s in past.spans] == [
        (0, 10, at(1)),
        (1, 50, at(5)),
    ]
    assert [[m.end for m in s.minutes[Requests()]] for s in past.spans] == [
        [at(2), at(3), at(4), at(5)],
        [at(6), at(7), at(8)],
    ]
    last = past_between(PLAN, "r1", {at(2): 10}, {Requests(): many}, {})
    assert [m.end for m in last.spans[0].minutes[Requests()]] == [at(n) for n in range(2, 11)]
    assert past_between(PLAN, "r1", {at(1): 0}, {Requests(): many}, {}).spans == ()
    assert timedelta(minutes=1) == MINUTE


def test_a_run_ends_with_the_last_minute_of_any_metric() -> None:
    minutes: dict[Query, tuple[Minute, ...]] = {
        Requests(): (Minute(at(2), CodeCounts({"2xx": 9}), None),),
        Latencies(): (),
    }
    later = {**minutes, Latencies(): (Minute(at(7), None, None),)}
    spans = (Span(0, 10, at(0), minutes), Span(1, 50, at(4), {}))
    assert replay(PLAN, Past("r1", spans)).end == at(2)
    assert replay(PLAN, Past("r1", (Span(0, 10, at(0), later),))).end == at(7)


def test_a_quarter_hour_of_the_day_before_is_one_value_at_its_end() -> None:
    values: dict[int, Value] = {n: CodeCounts({"2xx": 1}) for n in (-1, -15, -16, -30, -31)}
    assert _batched(values, 15) == {
        ORIGIN: CodeCounts({"2xx": 2}),
        ORIGIN - 15 * MINUTE: CodeCounts({"2xx": 2}),
        ORIGIN - 30 * MINUTE: CodeCounts({"2xx": 1}),
    }


def test_minutes_before_a_tests_split_settled_are_judged_by_the_lower_weight() -> None:
    """At 100% nothing of stable is to be missed, so these stay what they are."""
    for before, weight, judged in ((50, 10, 10), (10, 50, 10), (100, 50, 100)):
        assert _weight_in_doubt(running(1, weight=weight, weight_before=before)) == judged
