"""Whole rollouts through Google's own clients in the sandbox: killed, doubled, disturbed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import pytest
import requests

from controller.cloud.checks import HttpChecker
from controller.cloud.clients import metric_client_on, run_clients_on
from controller.cloud.monitoring import CloudMonitoring
from controller.cloud.run import CloudRun
from controller.engine import acts
from controller.engine.begin import Wish
from controller.engine.codec import BYTES_MAX, Unreadable, decode
from controller.engine.decision import Refusal, State
from controller.engine.duty import SCHEDULE
from controller.engine.events import Event, Shifted
from controller.engine.observation import ServiceName, ServiceState
from controller.engine.record import AskKind, Record
from controller.gates.evidence import Query, Readings
from controller.plan.model import (
    Candidate,
    Check,
    CheckWhen,
    Expect,
    Gate,
    Latency,
    Limits,
    Plan,
    Ref,
    RequestCount,
    ResponseRate,
    Stage,
    Text,
    Versus,
)
from controller.ports import Change, Conflict, PortError
from controller.reconciler import Ports, Reconciler, Tick, people
from controller.sandbox import Sandbox, build
from controller.sandbox.scenario import (
    Act,
    CallFault,
    Load,
    Moment,
    RevisionTruth,
    Scenario,
    ShiftFault,
    Truth,
)
from controller.sandbox.scenario import Change as Later

NAME = ServiceName("demo", "us-central1", "ion-api")
STABLE, CANDIDATE = "ion-api-00041-abc", "ion-api-00042-xyz"
TICKS_MAX = 600
SHORT = timedelta(minutes=10)
ENOUGH = Load(rate_per_s=3.0)  # for PLAN's gates to decide within its holds
HEALTH = Check(
    "health", "GET", Text((Ref("candidate.url"), "/health")), Expect(), when=CheckWhen.ALWAYS
)
PLAN = Plan(
    "ion-api",
    "demo",
    "us-central1",
    Candidate(revision=CANDIDATE),
    (Stage(10, SHORT), Stage(50, SHORT), Stage(100, SHORT)),
    (
        Gate(
            "errors",
            ResponseRate(("5xx",), counts_failures=True),
            Limits(maximum=0.01, roll_back=0.02, emergency=0.2),
            Versus(ratio=1.25),
        ),
        Gate("latency", Latency(95), Limits(maximum=20_000, roll_back=30_000), Versus(ratio=1.25)),
    ),
)
FAILING_LATER = {
    "candidate": RevisionTruth(
        like="stable",
        changes=(
            Later(Moment(shift=2, plus=timedelta(minutes=3)), None, Truth(errors={"500": 0.06})),
        ),
    )
}


@dataclass
class Watched:
    """A world, its ports, and what was written and read through them (the real adapters do it)."""

    sandbox: Sandbox
    router: CloudRun
    metrics: CloudMonitoring
    checker: HttpChecker
    writes: list[tuple[str, dict[str, int], int]] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)

    @property
    def ports(self) -> Ports:
        return Ports(Noting(self), Counting(self), self.checker, self.sandbox.clock)

    def splits(self) -> list[tuple[str, dict[str, int]]]:
        """The splits asked for, one after the other, each named once."""
        found: list[tuple[str, dict[str, int]]] = []
        for what, split, _ in self.writes:
            if not found or found[-1][1] != split:
                found.append((what, split))
        return found

    def record(self) -> Record:
        text = self.router.observe(NAME).record_text
        assert text is not None
        return decode(text)


class Noting:
    """A router that hands everything on and remembers what was written."""

    def __init__(self, watched: Watched) -> None:
        self._watched, self._router = watched, watched.router
        self.observe = self._router.observe
        self.fresh = self._router.fresh
        self.template = self._router.template
        self.services = self._router.services
        self.revision = self._router.revision
        self.revisions = self._router.revisions

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        after = self._router.write(expected, change, decided_at)
        split = {t.revision or "LATEST": t.percent for t in change.targets if t.percent}
        text = change.record_text or ""
        what = decode(text).transitions[-1].what
        self._watched.writes.append((what, split, len(text.encode())))
        return after


class Counting:
    """A metric source that hands everything on and counts the points that come back."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.exists = watched.metrics.exists

    def read(
        self,
        name: ServiceName,
        query: Query,
        revisions: Sequence[str],
        start: datetime,
        end: datetime,
        period: timedelta = timedelta(minutes=1),
    ) -> Readings:
        found = self._watched.metrics.read(name, query, revisions, start, end, period)
        if period == timedelta(minutes=1):  # longer ones are asked once, before the first shift
            self._watched.reads.append(sum(len(series) for series in found.values()))
        return found


def a_world(traffic: Load = ENOUGH, **scenario: Any) -> Watched:
    sandbox = build(Scenario(traffic=traffic, **scenario))
    session = requests.Session()
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, sandbox.http_adapter)
    run = run_clients_on(sandbox.channel, session, "rollout/test")
    router = CloudRun(run.services, run.revisions, run.session, run.url_of, sandbox.clock)
    metrics = CloudMonitoring(metric_client_on(sandbox.channel, "rollout/test"))
    return Watched(sandbox, router, metrics, HttpChecker(session, sandbox.clock, {}))


def begun(world: Watched, plan: Plan = PLAN, controller: str = SCHEDULE) -> Reconciler:
    reconciler = Reconciler(world.ports, NAME, controller)
    tick = reconciler.begin(Wish(plan, "ada", "r1"))
    assert isinstance(tick, Tick), tick
    world.sandbox.clock.sleep(tick.decision.look_again)
    return reconciler


def ticks(world: Watched, whose: Callable[[int], Reconciler]) -> Iterator[Tick]:
    """Tick to the end; `whose` says which reconciler does the n-th tick."""
    last = ""
    for number in range(TICKS_MAX):
        tick = whose(number).tick()
        assert tick is not None
        last = tick.decision.reason
        yield tick
        if tick.decision.state is State.DONE and not tick.problem:
            return
        pause = timedelta(seconds=5) if tick.problem else tick.decision.look_again
        world.sandbox.clock.sleep(pause)
    pytest.fail(f"not done after {TICKS_MAX} ticks: {last}")


def ticked(world: Watched, reconciler: Reconciler, times: int) -> list[Tick]:
    """Tick so often, whatever comes of it, each time sleeping as the decision asks."""
    found = []
    for _ in range(times):
        tick = reconciler.tick()
        assert tick is not None
        found.append(tick)
        world.sandbox.clock.sleep(tick.decision.look_again)
    return found


def to_the_end(world: Watched, plan: Plan = PLAN) -> list[Tick]:
    reconciler = begun(world, plan)
    return list(ticks(world, lambda _: reconciler))


def transitions(world: Watched) -> list[tuple[str, str]]:
    return [(t.what, t.reason) for t in world.record().transitions]


def timed_transitions(world: Watched) -> list[tuple[datetime, str, str]]:
    return [(t.at, t.what, t.reason) for t in world.record().transitions]


SCENARIOS: Mapping[str, dict[str, Any]] = {
    "healthy": {},
    "failing at 50%": {"revisions": FAILING_LATER},
}


@dataclass(frozen=True)
class Undisturbed:
    """What one controller does alone, when nothing goes wrong. world: as it is at the end."""

    world: Watched
    ticks: tuple[Tick, ...]

    @property
    def moves(self) -> list[str]:
        return [what for what, _ in transitions(self.world)]


PLANS = {"no checks": PLAN, "checks": replace(PLAN, checks=(HEALTH,))}


@cache
def undisturbed(name: str, plan: str = "no checks") -> Undisturbed:
    """Run a rollout that others are compared with; once, for it is the same every time."""
    world = a_world(**SCENARIOS[name])
    return Undisturbed(world, tuple(to_the_end(world, PLANS[plan])))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_between_any_two_ticks_it_makes_the_same_moves_for_the_same_reasons(
    name: str, plan: str
) -> None:
    alone, killed = undisturbed(name, plan).world, a_world(**SCENARIOS[name])
    begun(killed, PLANS[plan])
    list(ticks(killed, lambda _: Reconciler(killed.ports, NAME)))
    assert timed_transitions(killed) == timed_transitions(alone)
    assert killed.splits() == alone.splits()


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_controllers_make_the_same_moves_as_one(name: str) -> None:
    alone, shared = undisturbed(name).world, a_world(**SCENARIOS[name])
    first = begun(shared, PLAN, "a")
    pair = (first, Reconciler(shared.ports, NAME, "b"))
    list(ticks(shared, lambda number: pair[number % 2]))
    assert shared.splits() == alone.splits()
    assert transitions(shared) == transitions(alone)


def test_a_healthy_candidate_is_promoted_stage_by_stage() -> None:
    world = undisturbed("healthy").world
    assert [split.get(CANDIDATE, 0) for _, split in world.splits()] == [0, 10, 50, 100]
    assert all(sum(split.values()) == 100 for _, split, _ in world.writes)
    outcome = world.record().outcome
    assert outcome is not None
    assert outcome.outcome == "promoted"


def test_a_failing_candidate_ends_at_nothing_and_is_never_raised_again() -> None:
    world = undisturbed("failing at 50%").world
    assert [split.get(CANDIDATE, 0) for _, split in world.splits()] == [0, 10, 50, 0]
    outcome = world.record().outcome
    assert outcome is not None
    assert outcome.outcome == "rolled_back"
    assert "errors" in outcome.reason
    assert world.router.observe(NAME).asked == {STABLE: 100}


def shifts_told(found: Sequence[Tick]) -> list[tuple[bool, int]]:
    events: list[Event] = [event for tick in found for event in tick.events]
    return [
        (event.in_force, event.split.get(CANDIDATE, 0))
        for event in events
        if isinstance(event, Shifted)
    ]


def losing(number: int) -> Watched:
    """A world in which the answer to one of our writes is lost, and the write is not."""
    lost = CallFault("PUT", nth=(number,), error="UNAVAILABLE", applied=True)
    return a_world(faults=(lost,))


@pytest.mark.parametrize("lost", range(1, 9))
def test_a_write_whose_answer_is_lost_is_told_once_and_made_once(
    lost: int,
) -> None:
    world, alone = losing(lost), undisturbed("healthy")
    shifts = shifts_told(alone.ticks)
    assert shifts_told(to_the_end(world)) == shifts
    assert len(shifts) == len(set(shifts))
    assert [what for what, _ in transitions(world)] == alone.moves


@pytest.mark.parametrize("lost", range(2, 9))
def test_killed_while_its_write_is_on_the_way_the_next_process_goes_on(
    lost: int,
) -> None:
    world = losing(lost)
    begun(world)
    list(ticks(world, lambda _: Reconciler(world.ports, NAME)))
    assert [what for what, _ in transitions(world)] == undisturbed("healthy").moves
    assert world.router.observe(NAME).asked == {CANDIDATE: 100}


def test_a_write_that_never_arrived_is_made_again() -> None:
    for lost in (2, 4):
        world = a_world(faults=(CallFault("PUT", nth=(lost,), error="UNAVAILABLE"),))
        to_the_end(world)
        assert [split.get(CANDIDATE, 0) for _, split in world.splits()] == [0, 10, 50, 100]


def test_what_a_person_wrote_is_never_written_over() -> None:
    by_hand = {"stable": 70, "candidate": 30}
    world = a_world(people=(Act("traffic", Moment(plus=timedelta(minutes=12)), split=by_hand),))
    reconciler = begun(world)
    found = ticked(world, reconciler, 60)
    assert {tick.decision.state for tick in found[21:]} == {State.TAKEN_OVER}
    assert world.router.observe(NAME).asked == {STABLE: 70, CANDIDATE: 30}


class Interrupted:
    """A router before whose next write somebody else does something."""

    def __init__(self, ports: Ports, meanwhile: Callable[[], None]) -> None:
        self._router, self._meanwhile = ports.router, meanwhile
        self.observe = self._router.observe
        self.fresh = self._router.fresh
        self.template = self._router.template
        self.services = self._router.services
        self.revision = self._router.revision
        self.revisions = self._router.revisions
        self.done = False

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        if not self.done and change.raises:
            self.done = True
            self._meanwhile()
        return self._router.write(expected, change, decided_at)


def interrupted(world: Watched, meanwhile: Callable[[], None]) -> Reconciler:
    ports = world.ports
    begun(world)
    router = Interrupted(ports, meanwhile)
    return Reconciler(Ports(router, ports.metrics, ports.checker, ports.clock), NAME)


def test_a_persons_write_between_decision_and_write_wins() -> None:
    world = a_world()
    people = world.sandbox.world.people
    act = Act("traffic", split={"stable": 60, "candidate": 40})
    reconciler = interrupted(world, lambda: people.do(act))
    found = ticked(world, reconciler, 20)
    assert any(tick.problem for tick in found)
    assert found[-1].decision.state is State.TAKEN_OVER
    assert world.router.observe(NAME).asked == {STABLE: 60, CANDIDATE: 40}


def test_a_decision_that_raises_the_weight_is_void_after_a_minute() -> None:
    world = a_world()
    slept: list[int] = []

    def sleep() -> None:
        slept.append(len(world.writes))
        world.sandbox.clock.sleep(timedelta(seconds=61))

    reconciler = interrupted(world, sleep)
    void = next(tick for tick in ticks(world, lambda _: reconciler) if slept)
    assert void.problem
    assert not [event for event in void.events if isinstance(event, Shifted)]
    assert len(world.writes) == slept[0]
    assert world.router.observe(NAME).asked == {STABLE: 100}
    list(ticks(world, lambda _: reconciler))
    assert world.splits()[-1][1] == {CANDIDATE: 100}


def test_a_decision_that_lowers_the_weight_is_never_void() -> None:
    world = a_world()
    service = world.router.observe(NAME)
    begun(world)
    service = world.router.observe(NAME)
    change = Change(service.targets, service.record_text, raises=False)
    long_ago = world.sandbox.clock.now() - timedelta(hours=8)
    world.router.write(service, change, long_ago)
    again = world.router.observe(NAME)
    up = Change(again.targets, again.record_text, raises=True)
    with pytest.raises(Conflict):
        world.router.write(again, up, long_ago)


def test_a_shift_that_never_comes_into_force_is_taken_back_and_asked_about() -> None:
    world = a_world(faults=(ShiftFault(nth=(2,), takes=timedelta(hours=9)),))
    reconciler = begun(world)
    found = ticks(world, lambda _: reconciler)
    ask = next(tick.decision.record.ask for tick in found if tick.decision.record.ask)
    assert ask.kind is AskKind.SHIFT_FAILED
    assert world.router.observe(NAME).asked == {STABLE: 90, CANDIDATE: 10}


def test_an_act_of_a_person_is_seen_by_the_controller_that_watches() -> None:
    world = a_world()
    watching = begun(world)
    ticked(world, watching, 8)

    def roll_back(record: Record | None, service: ServiceState, now: datetime) -> Any:
        return acts.roll_back_now(record, service, (), now, "ada", "too slow")

    assert not isinstance(people.roll_back(world.ports, NAME, roll_back), Refusal)
    list(ticks(world, lambda _: watching))
    outcome = world.record().outcome
    assert outcome is not None
    assert (outcome.outcome, outcome.by) == ("rolled_back", "ada")


@pytest.mark.parametrize("by", ["one that stays", "fresh processes"])
def test_a_promotion_by_a_person_is_seen_in_force_by_whoever_watches(by: str) -> None:
    world = a_world()
    watching = begun(world)
    ticked(world, watching, 10)
    done = people.act(world.ports, NAME, partial(acts.promote_now, by="ada", reason="hotfix"))
    assert isinstance(done, Tick), done
    assert world.record().outcome is None
    fresh = by == "fresh processes"
    found = list(ticks(world, lambda _: Reconciler(world.ports, NAME) if fresh else watching))
    outcome = world.record().outcome
    assert outcome is not None
    assert (outcome.outcome, outcome.by) == ("promoted", "ada")
    assert found[-1].at > done.at
    assert world.router.observe(NAME).in_force == {CANDIDATE: 100}


def test_a_promotion_that_never_comes_into_force_is_taken_back_and_asked_about() -> None:
    world = a_world(faults=(ShiftFault(nth=(2,), takes=timedelta(hours=9)),))
    watching = begun(world)
    ticked(world, watching, 10)
    assert isinstance(people.act(world.ports, NAME, partial(acts.promote_now, by="ada")), Tick)
    found = ticks(world, lambda _: watching)
    ask = next(tick.decision.record.ask for tick in found if tick.decision.record.ask)
    assert ask.kind is AskKind.SHIFT_FAILED
    assert world.router.observe(NAME).asked == {STABLE: 90, CANDIDATE: 10}


@pytest.mark.parametrize("deed", [acts.advance, acts.pause, acts.cancel_now])
def test_an_act_whose_answer_is_lost_is_done_once_and_said_to_be_done(deed: Any) -> None:
    def acted(each: Watched) -> Tick | Refusal:
        ticked(each, begun(each), 10)
        return people.act(
            each.ports,
            NAME,
            lambda plan, record, service, now: deed(plan, record, service, now, "ada"),
        )

    alone = a_world()
    assert isinstance(acted(alone), Tick)
    nth = (len(alone.writes),)
    lost = CallFault("PUT", nth=nth, error="UNAVAILABLE", applied=True)
    world = a_world(faults=(lost,))
    done = acted(world)
    assert isinstance(done, Tick), done
    assert transitions(world) == transitions(alone)
    assert world.router.observe(NAME).asked == alone.router.observe(NAME).asked


@pytest.mark.parametrize(
    "change",
    [
        {"stage": 9},
        {"stage": -1},
        {"in_force": None},
        {"phase": "rolling_back", "shift": None},
        {"gates": {"errors": ["2026-01-05T09:00:00Z", [[1, 1, 0, "nan"], [0, 0, 0, "0x0p+0"]]]}},
    ],
)
def test_a_record_that_cannot_be_is_taken_for_another_hand_and_never_a_crash(
    change: dict[str, Any],
) -> None:
    world = a_world()
    reconciler = begun(world)
    ticked(world, reconciler, 10)
    known = json.loads(world.router.observe(NAME).record_text or "")
    text = json.dumps({k: v for k, v in {**known, **change}.items() if v is not None})
    details = {"key": "rollout/record", "value": text}
    world.sandbox.world.people.do(Act("set_annotation", details=details))
    tick = reconciler.tick()
    assert tick is not None
    assert tick.decision.state is State.TAKEN_OVER
    with pytest.raises(Unreadable):
        Reconciler(world.ports, NAME).tick()


def test_a_record_that_vanishes_is_not_fought_over() -> None:
    gone = Act(
        "delete_annotation", Moment(plus=timedelta(minutes=12)), details={"key": "rollout/record"}
    )
    world = a_world(people=(gone,))
    reconciler = begun(world)
    assert ticked(world, reconciler, 40)[-1].decision.state is State.TAKEN_OVER
    assert world.router.observe(NAME).record_text is None


def test_a_service_without_a_rollout_has_nothing_to_tick() -> None:
    world = a_world()
    assert Reconciler(world.ports, NAME).tick() is None


def test_a_first_look_that_is_not_answered_is_an_error_and_a_later_one_is_not() -> None:
    since = Moment(plus=timedelta(minutes=5))
    world = a_world(faults=(CallFault("GetService", error="PERMISSION_DENIED", since=since),))
    reconciler = begun(world)
    assert reconciler.tick() is not None
    world.sandbox.clock.sleep(timedelta(minutes=10))
    later = reconciler.tick()
    assert later is not None
    assert later.decision.write is None
    with pytest.raises(PortError):
        Reconciler(world.ports, NAME).tick()


def test_the_record_stays_small_and_what_is_read_does_not_grow() -> None:
    hold = timedelta(hours=6)
    plan = replace(PLAN, stages=(Stage(10, hold), Stage(100, SHORT)), checks=(HEALTH,))
    world = a_world()
    to_the_end(world, plan)
    assert max(size for _, _, size in world.writes) <= BYTES_MAX
    assert json.loads(world.router.observe(NAME).record_text or "")["v"] == 1
    # Two revisions and the minutes since the last look: no more in the last hours than at first.
    assert max(world.reads) <= 2 * 3


IDLE = replace(
    PLAN,
    stages=(Stage(10, timedelta(hours=2)), Stage(100, SHORT)),
    gates=(Gate("traffic", RequestCount(), Limits(minimum=5), None),),
    checks=(HEALTH,),
)


def counted(found: Sequence[Tick]) -> int:
    """Return how many of the candidate's requests were evidence; some minutes must have been."""
    seen = [tick.decision.record.gates for tick in found]
    gates = [each for each in seen if "traffic" in each]
    assert len(gates) > 10
    return max(gate["traffic"].state.tally.candidate.total for gate in gates)


def test_own_requests_stay_no_evidence_when_a_person_pauses_and_resumes_in_between() -> None:
    world = a_world(traffic=Load(rate_per_s=0.0))
    watching = begun(world, IDLE)
    found = ticked(world, watching, 20)
    deeds: tuple[Any, ...] = (acts.pause, acts.resume)
    for deed in deeds:
        done = people.act(world.ports, NAME, partial(deed, by="ada"))
        assert isinstance(done, Tick), done
        found += ticked(world, watching, 10)
    assert counted(found) == 0


def test_own_requests_stay_no_evidence_when_another_controller_wrote_in_between() -> None:
    world = a_world(traffic=Load(rate_per_s=0.0))
    first, second = begun(world, IDLE, "a"), Reconciler(world.ports, NAME, "b")
    found = ticked(world, first, 20)
    writes = len(world.writes)
    found += ticked(world, second, 40)
    assert len(world.writes) > writes
    found += ticked(world, first, 20)
    assert counted(found) == 0


@pytest.mark.parametrize("plan", ["no plan", "[]", "{}", '{"service": 3}'])
def test_a_roll_back_by_hand_works_although_the_records_plan_cannot_be_read(plan: str) -> None:
    world = a_world()
    ticked(world, begun(world), 10)
    known = json.loads(world.router.observe(NAME).record_text or "")
    details = {"key": "rollout/record", "value": json.dumps({**known, "plan": plan})}
    world.sandbox.world.people.do(Act("set_annotation", details=details))
    assert world.router.observe(NAME).asked != {STABLE: 100}

    def roll_back(record: Record | None, service: ServiceState, now: datetime) -> Any:
        return acts.roll_back_now(record, service, (), now, "ada")

    done = people.roll_back(world.ports, NAME, roll_back)
    assert isinstance(done, Tick), done
    assert world.router.observe(NAME).asked == {STABLE: 100}
