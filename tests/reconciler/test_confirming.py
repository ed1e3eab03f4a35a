"""An act and a beginning, call by call: what is tried again, how often, and what is told then."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from controller.engine import acts
from controller.engine.begin import Attach, Wish, pinned
from controller.engine.codec import decode, encode
from controller.engine.decision import Action, Refusal, State
from controller.engine.events import Decided, Message
from controller.engine.observation import (
    Container,
    RevisionState,
    ServiceName,
    ServiceState,
    Target,
    Template,
)
from controller.engine.record import Act, Phase, Record, Shift
from controller.gates.evidence import CodeCounts, Explicit, Histogram, Requests
from controller.plan.compact import digest, to_json
from controller.plan.model import Candidate, Form, Heard, Notify, Plan
from controller.ports import (
    Change,
    Conflict,
    Delivered,
    Delivery,
    Denied,
    Missing,
    PortError,
    Ports,
    Refused,
    Unavailable,
)
from controller.reconciler import Reconciler, Tick, people
from controller.reconciler.passes import SAID_AGAIN
from tests.engine.builders import MINUTE, NEW, OLD, PLAN, T0, at, running, service_of

NAME = ServiceName("demo", "us-central1", "api")
TAGS = (Target(NEW, 0, "rollout-new"), Target(OLD, 0, "rollout-old"))
FIVE = timedelta(seconds=5)
RECORD = running(1, plan=pinned(PLAN, NEW), seq=3, nonce="n3")
BOTH = {OLD: 60, "api-0": 40}
NAMED: Plan = replace(PLAN, candidate=Candidate(revision=NEW))
BARE = service_of(RECORD, {OLD: 100}, record_text=None, latest_ready=OLD)


@dataclass
class World:
    """A service whose every call may fail: what comes of each is listed by the call's name."""

    service: ServiceState
    failing: dict[str, list[Exception | None]] = field(default_factory=dict)
    ready: dict[str, bool | None] = field(
        default_factory=lambda: {NEW: True, OLD: True, "api-0": True}
    )
    calls: list[str] = field(default_factory=list)
    writes: list[Record] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    slept: list[timedelta] = field(default_factory=list)
    now_: datetime = field(default_factory=lambda: at(10))
    letters: list[str] = field(default_factory=list)
    lost: bool = False  # the answer to a write that fails is lost, and the write is not

    def _call(self, name: str) -> None:
        self.calls.append(name)
        error = (self.failing.get(name) or [None]).pop(0)
        if error is not None:
            raise error

    def now(self) -> datetime:
        return self.now_

    def sleep(self, span: timedelta) -> None:
        self.slept.append(span)
        self.now_ += span

    def fresh(self, name: ServiceName) -> ServiceState:
        self._call("fresh")
        return self.service

    def observe(self, name: ServiceName) -> ServiceState:
        self._call("observe")
        return self.service

    def revision(self, name: ServiceName, revision: str) -> RevisionState:
        self._call("revision")
        if revision not in self.ready:
            raise Missing(f"no revision {revision}")
        return RevisionState(revision, self.ready[revision])

    def revisions(self, name: ServiceName) -> tuple[RevisionState, ...]:
        self._call("revisions")
        return tuple(RevisionState(one, ready) for one, ready in self.ready.items())

    def template(self, name: ServiceName) -> Template:
        self._call("template")
        return Template(
            self.service.generation, (Container("m", "app:1", takes_requests=True),), ""
        )

    def read(
        self,
        name: Any,
        query: Any,
        revisions: Any,
        start: datetime,
        end: datetime,
        period: timedelta = MINUTE,
    ) -> Any:
        self._call("read")
        ends = [start + period * (n + 1) for n in range((end - start) // period)]
        fine: Any = CodeCounts({"2xx": 9000, "5xx": 1})
        if not isinstance(query, Requests):
            fine = Histogram(Explicit((100.0, 5000.0)), {0: 9000}, 50.0)
        return {name: dict.fromkeys(ends, fine) for name in revisions}

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        failed: PortError | None = None
        try:
            self._call("write")
        except PortError as error:
            if not self.lost:
                raise
            failed = error
        self.changes.append(change)
        self.writes.append(decode(change.record_text or ""))
        self.service = replace(
            expected,
            targets=change.targets,
            record_text=change.record_text,
            generation=expected.generation + 1,
        )
        if failed:
            raise failed
        return self.service

    def tell(self, letters: Any) -> Any:
        self.letters += [letter.news.heard.value for letter in letters]
        return [Delivery(Delivered.SENT) for _ in letters]

    @property
    def ports(self) -> Ports:
        wires: Any = self
        return Ports(wires, wires, wires, wires, wires)


def a_world(record: Record = RECORD, split: dict[str, int] | None = None, **more: Any) -> World:
    service = service_of(record, split, record_text=encode(record))
    return World(replace(service, targets=(*service.targets, *TAGS)), **more)


def paused(world: World) -> Tick | Refusal:
    return people.act(world.ports, NAME, partial(acts.pause, by="ada"))


def rolled_back(world: World) -> Tick | Refusal:
    def deed(record: Record | None, service: ServiceState, now: datetime) -> Any:
        return acts.roll_back_now(record, service, (), now, "ada")

    return people.roll_back(world.ports, NAME, deed)


def percents(change: Change) -> dict[str | None, int]:
    return {target.revision: target.percent for target in change.targets if target.percent}


class TestAnAct:
    def test_is_one_read_and_one_write(self) -> None:
        world = a_world()
        done = paused(world)
        assert isinstance(done, Tick)
        assert world.calls == ["fresh", "write"]
        assert world.writes[0].paused == Act("ada", at(10))
        assert (world.writes[0].seq, done.decision.record) == (4, world.writes[0])
        assert done.plan == pinned(PLAN, NEW)

    def test_that_is_refused_writes_nothing(self) -> None:
        world = a_world(replace(RECORD, paused=Act("bo", T0)))
        refusal = paused(world)
        assert isinstance(refusal, Refusal)
        assert world.writes == []

    def test_without_a_rollout_or_on_a_service_made_anew_is_refused(self) -> None:
        none = World(replace(BARE, record_text=None))
        said = paused(none)
        assert isinstance(said, Refusal)
        assert said.reason == "there is no rollout on this service"
        anew = a_world(replace(RECORD, uid="other"))
        said = paused(anew)
        assert isinstance(said, Refusal)
        assert said.reason == "the service was made anew; its old record counts no more"
        assert anew.writes == []

    @pytest.mark.parametrize("error", [Conflict("changed"), Unavailable("503")])
    def test_whose_write_fails_is_tried_anew_five_times(self, error: PortError) -> None:
        world = a_world(failing={"write": [error] * 4})
        assert isinstance(paused(world), Tick)
        assert world.calls.count("write") == 5
        assert world.slept == [FIVE] * 4
        never = a_world(failing={"write": [error] * 9})
        with pytest.raises(Conflict, match=error.what):
            paused(never)
        assert never.calls.count("write") == 5

    def test_that_may_not_be_written_is_told_at_once(self) -> None:
        world = a_world(failing={"write": [Denied("run.services.update is missing")]})
        with pytest.raises(Denied):
            paused(world)
        assert world.slept == []

    def test_whose_answer_was_lost_is_not_done_twice(self) -> None:
        world = a_world(failing={"write": [Unavailable("503")]}, lost=True)
        done = paused(world)
        assert isinstance(done, Tick)
        assert len(world.writes) == 1
        assert done.decision.record == world.writes[0]

    def test_three_reads_without_an_answer_are_the_most(self) -> None:
        world = a_world(failing={"fresh": [Unavailable("503")] * 2})
        assert isinstance(paused(world), Tick)
        assert world.slept == [FIVE] * 2
        silent = a_world(failing={"fresh": [Unavailable("503")] * 3})
        with pytest.raises(Unavailable):
            paused(silent)
        assert silent.slept == [FIVE] * 2

    @pytest.mark.parametrize(("duty", "told"), [("", ["cancelled"]), ("other", [])])
    def test_is_told_at_once_where_nobody_is_on_duty_who_does(
        self, duty: str, told: list[str]
    ) -> None:
        everything = Notify("all", Form.WEBHOOK, "env:HOOK", events=tuple(Heard))
        plan = replace(NAMED, notify=(everything,))
        record = replace(RECORD, plan=to_json(plan), digest=digest(plan), duty=duty, at=at(9))
        world = a_world(record)
        done = people.act(world.ports, NAME, partial(acts.cancel_now, by="ada"))
        assert isinstance(done, Tick)
        assert world.letters == told
        assert done.decision.record.heard == ({"all": 1} if told else {})


class TestARollBackByHand:
    RECORD = replace(RECORD, before=BOTH)

    def test_looks_first_which_of_several_can_serve(self) -> None:
        world = a_world(self.RECORD, ready={NEW: True, OLD: True, "api-0": False})
        assert isinstance(rolled_back(world), Tick)
        assert world.calls == ["fresh", "revisions", "write"]
        assert percents(world.changes[0]) == {OLD: 100}

    def test_onto_one_looks_at_nothing_until_it_is_refused(self) -> None:
        world = a_world()
        rolled_back(world)
        assert "revisions" not in world.calls
        refused = a_world(
            failing={"write": [Refused("no such revision")]}, ready={NEW: True, OLD: True}
        )
        tagged = (*refused.service.targets, Target("api-9", 0, "blue"))
        refused.service = replace(refused.service, targets=tagged)
        assert isinstance(rolled_back(refused), Tick)
        assert refused.calls == ["fresh", "write", "fresh", "revisions", "write"]
        assert "api-9" not in {target.revision for target in refused.changes[0].targets}
        assert refused.slept == []

    def test_where_nothing_can_be_left_out_the_refusal_is_told(self) -> None:
        world = a_world(failing={"write": [Refused("quota")]})
        with pytest.raises(Refused, match="quota"):
            rolled_back(world)
        again = a_world(self.RECORD, failing={"write": [Refused("one"), Refused("two")]})
        again.ready = {NEW: True, OLD: True}
        with pytest.raises(Refused, match=r"two|one"):
            rolled_back(again)

    def test_does_not_hang_on_the_list_of_revisions(self) -> None:
        world = a_world(self.RECORD, failing={"revisions": [Unavailable("503")]})
        assert isinstance(rolled_back(world), Tick)
        assert percents(world.changes[0]) == BOTH
        refused = a_world(failing={"revisions": [Unavailable("503")], "write": [Refused("quota")]})
        with pytest.raises(Refused, match="quota"):
            rolled_back(refused)

    @pytest.mark.parametrize("text", [None, "garbage"])
    def test_needs_no_record(self, text: str | None) -> None:
        world = a_world()
        world.service = replace(world.service, record_text=text)
        done = rolled_back(world)
        assert isinstance(done, Tick)
        assert done.plan is None
        assert percents(world.changes[0]) == {OLD: 100}


def begin(world: World, controller: str = "me", **wish: Any) -> Any:
    plan = wish.pop("plan", NAMED)
    return Reconciler(world.ports, NAME, controller).begin(Wish(plan, "ada", "r9", **wish))


class TestABeginning:
    def test_reads_stables_day_and_writes_once(self) -> None:
        world = World(BARE)
        tick = begin(world)
        assert isinstance(tick, Tick)
        assert tick.decision.action is Action.START
        assert world.calls == [
            "observe", "revisions", "revision", "revision", "read", "read", "write",
        ]  # fmt: skip
        (record,) = world.writes
        assert (record.duty, record.stable, record.seq) == ("me", OLD, 1)
        assert set(record.history) >= {"errors"}
        assert not world.changes[0].raises

    @pytest.mark.parametrize("error", [Conflict("changed"), Unavailable("503")])
    def test_whose_write_fails_begins_anew_five_times(self, error: PortError) -> None:
        world = World(BARE, {"write": [error] * 4})
        assert isinstance(begin(world), Tick)
        assert world.slept == [FIVE] * 4
        never = World(BARE, {"write": [error] * 9})
        with pytest.raises(Unavailable, match="changed 5 times under our hands"):
            begin(never)
        assert never.calls.count("write") == 5

    def test_what_is_not_worth_another_try_is_told_at_once(self) -> None:
        for error in (Denied("run.services.update"), Refused("quota")):
            with pytest.raises(type(error)):
                begin(World(BARE, {"write": [error]}))

    def test_three_looks_without_an_answer_are_the_most(self) -> None:
        world = World(
            BARE, {"observe": [Unavailable("503"), Conflict("changed"), Unavailable("503")]}
        )
        assert isinstance(begin(world), Tick)
        silent = World(BARE, {"observe": [Unavailable("503")] * 3})
        with pytest.raises(Unavailable, match="503"):
            begin(silent)
        assert silent.slept == [FIVE] * 2

    def test_whose_answer_was_lost_is_known_to_have_begun(self) -> None:
        world = World(BARE, {"write": [Unavailable("503")]}, lost=True)
        tick = begin(world)
        assert isinstance(tick, Tick)
        assert tick.decision.action is Action.START
        assert len(world.writes) == 1

    def test_another_that_began_meanwhile_is_gone_on_with_and_is_not_ours(self) -> None:
        theirs = a_world(replace(RECORD, rollout="r2", nonce="theirs")).service

        class Overtaken(World):
            def sleep(self, span: timedelta) -> None:
                super().sleep(span)
                self.service = theirs

        found = begin(Overtaken(BARE, {"write": [Unavailable("503")]}))
        assert isinstance(found, Attach)
        assert found.record.rollout == "r2"

    def test_the_same_rollout_is_gone_on_with_and_nothing_is_written(self) -> None:
        world = a_world()
        found = begin(world)
        assert isinstance(found, Attach)
        assert (found.record.rollout, found.decision) == ("r1", None)
        assert world.writes == []

    def test_a_replan_is_written_in_its_name(self) -> None:
        world = a_world(replace(RECORD, duty="me"))
        longer = replace(
            NAMED, stages=(*PLAN.stages[:2], replace(PLAN.stages[2], hold=99 * MINUTE))
        )
        found = begin(world, plan=longer, replan=True)
        assert isinstance(found, Attach)
        (record,) = world.writes
        assert record.transitions[-1].what == "replanned"
        with pytest.raises(Denied):
            begin(a_world(failing={"write": [Denied("no")]}), plan=longer, replan=True)

    @pytest.mark.parametrize("ready", [{OLD: True}, {OLD: True, NEW: False}])
    def test_one_under_way_whose_candidate_is_lost_is_attached_to(self, ready: Any) -> None:
        latest = replace(PLAN, candidate=Candidate())
        world = a_world(ready=ready)
        world.service = replace(world.service, latest_ready=OLD)
        found = begin(world, plan=latest)
        assert isinstance(found, Attach)
        assert found.record == RECORD

    def test_but_not_where_it_is_well(self) -> None:
        latest = replace(PLAN, candidate=Candidate())
        world = a_world()
        world.service = replace(world.service, latest_ready=OLD)
        assert isinstance(begin(world, plan=latest), Refusal)

    def test_a_candidate_that_does_not_exist_is_told(self) -> None:
        missing = World(BARE, ready={OLD: True})
        refusal = begin(missing)
        assert isinstance(refusal, Refusal)
        latest = World(replace(BARE, latest_ready="api-7"))
        with pytest.raises(Missing, match="api-7"):
            begin(latest, plan=replace(PLAN, candidate=Candidate()))

    def test_stable_that_is_gone_is_no_way_back(self) -> None:
        world = World(BARE, ready={NEW: True})
        refusal = begin(world)
        assert isinstance(refusal, Refusal)
        assert "no way back" in refusal.reason

    def test_an_image_is_deployed_where_it_has_no_revision_yet(self) -> None:
        world = World(BARE)
        tick = begin(world, image="app:2")
        assert isinstance(tick, Tick)
        (change,) = world.changes
        assert change.deploy is not None
        assert change.deploy.image == "app:2"
        made = change.deploy.revision
        there = World(BARE, ready={OLD: True, made: True})
        begin(there, image="app:2")
        assert there.changes[0].deploy is None
        assert there.writes[0].candidate == made
        going = a_world(
            replace(RECORD, candidate=made, plan=RECORD.plan), ready={OLD: True, made: True}
        )
        begin(going, image="app:2")
        assert "template" not in going.calls

    def test_what_a_person_should_know_before_is_a_warning(self) -> None:
        tick = begin(World(replace(BARE, unusual=("session affinity is on",))))
        assert isinstance(tick, Tick)
        said = [(e.level, e.text) for e in tick.events if isinstance(e, Message)]
        assert ("warning", "session affinity is on") in said

    def test_stable_beyond_its_limits_is_refused_before_anything_is_written(self) -> None:
        strict = replace(PLAN.gates[0], limits=replace(PLAN.gates[0].limits, maximum=0.00001))
        world = World(BARE)
        refusal = begin(world, plan=replace(NAMED, gates=(strict,)))
        assert isinstance(refusal, Refusal)
        assert "this can never advance" in refusal.reason
        assert world.writes == []


class TestALook:
    def test_is_decided_at_the_time_when_all_was_seen(self) -> None:
        class Slow(World):
            def read(self, *args: Any, **more: Any) -> Any:
                self.sleep(timedelta(seconds=20))
                return super().read(*args, **more)

        plain = a_world(replace(RECORD, duty="me"))
        tick = self.reconciler(Slow(plain.service)).tick()
        assert tick is not None
        assert tick.at == at(10) + timedelta(seconds=40)

    def reconciler(self, world: World, controller: str = "me") -> Reconciler:
        return Reconciler(world.ports, NAME, controller)

    def test_a_write_that_fails_is_tried_again_ever_more_seldom(self) -> None:
        record = replace(RECORD, duty="me", shift=Shift(T0, 10), in_force=None, came_from=0)
        world = a_world(record, failing={"write": [Denied("no")] * 5})
        one = self.reconciler(world)
        pauses = []
        for _ in range(6):
            tick = one.tick()
            assert tick is not None
            pauses.append(tick.look_again.total_seconds())
        assert pauses == [5, 10, 20, 30, 30, 15]
        assert len(world.writes) == 1

    def test_of_a_write_that_failed_nothing_is_told(self) -> None:
        record = replace(RECORD, duty="me", shift=Shift(T0, 10), in_force=None, came_from=0)
        world = a_world(record, failing={"write": [Conflict("changed")]})
        one = self.reconciler(world)
        failed, done = one.tick(), one.tick()
        assert failed is not None
        assert done is not None
        assert failed.problem == "changed"
        told = [[type(event).__name__ for event in tick.events] for tick in (failed, done)]
        assert "Shifted" not in told[0]
        assert "Shifted" in told[1]

    def test_what_was_seen_before_is_judged_though_the_service_is_not_seen_now(self) -> None:
        world = a_world(replace(RECORD, duty="me"))
        one = self.reconciler(world)
        one.tick()
        for error, state in ((Unavailable("503"), "running"), (Missing("gone"), "taken_over")):
            world.failing["observe"] = [error]
            tick = one.tick()
            assert tick is not None
            assert tick.decision.state.value == state
        with pytest.raises(Unavailable):
            self.reconciler(World(BARE, {"observe": [Unavailable("503")]})).tick()

    def test_what_is_decided_is_told_when_it_changes_and_not_at_every_look(self) -> None:
        world = a_world(replace(RECORD, duty="me"))
        one = self.reconciler(world)

        def told() -> list[str]:
            tick = one.tick()
            assert tick is not None
            return [event.action for event in tick.events if isinstance(event, Decided)]

        assert told() == ["wait"]
        assert told() == []
        world.sleep(40 * MINUTE)  # a heartbeat is no other decision
        assert told() == ["ask"]
        assert told() == ["wait"]

    def test_a_gap_is_noted_by_whoever_comes_and_not_while_another_hand_was_seen(self) -> None:
        long_ago = replace(RECORD, duty="me", at=at(-200))

        def noted(*splits: dict[str, int]) -> list[str]:
            world = a_world(long_ago)
            ours = world.service.targets
            one = self.reconciler(world)
            for split in splits:
                lines = tuple(Target(name, percent) for name, percent in split.items())
                world.service = replace(world.service, targets=(*lines, *TAGS))
                one.tick()
            world.service = replace(world.service, targets=ours)
            one.tick()
            return [t.what for record in world.writes for t in record.transitions]

        assert "unwatched" in noted()
        assert "unwatched" not in noted({OLD: 70, NEW: 30})

    def test_what_lasts_is_shouted_again_now_and_then_only(self) -> None:
        back = replace(
            RECORD, phase=Phase.ROLLING_BACK, weight=0, shift=Shift(at(9), 50), duty="me"
        )
        world = a_world(back)
        stuck = (Target(OLD, 50), Target(NEW, 50))
        world.service = replace(world.service, statuses=stuck)
        one = self.reconciler(world)

        def shouted(after: timedelta) -> bool:
            world.sleep(after)
            tick = one.tick()
            assert tick is not None
            assert tick.decision.state is State.ROLLING_BACK
            return any(isinstance(e, Message) and e.level == "shout" for e in tick.events)

        assert shouted(MINUTE)
        assert shouted(MINUTE)  # now it only waits, which is told anew
        assert not shouted(MINUTE)
        assert not shouted(SAID_AGAIN - 2 * MINUTE)
        assert shouted(MINUTE)
        assert not shouted(MINUTE)

    def test_the_duty_is_given_up_with_one_write_and_a_schedule_has_none(self) -> None:
        world = a_world(replace(RECORD, duty="me"))
        one = self.reconciler(world)
        one.hand_over()
        assert world.calls == []
        one.tick()
        before = len(world.writes)
        one.hand_over()
        assert world.writes[before].duty == ""
        assert world.writes[before:][1:] == []
        world.failing["observe"] = [Unavailable("503")]
        one.hand_over()
        passing = self.reconciler(a_world(replace(RECORD, duty="schedule")), "schedule")
        passing.tick()
        passing.hand_over()

    def test_a_service_without_a_record_has_nothing_to_look_after(self) -> None:
        assert self.reconciler(World(BARE)).tick() is None
