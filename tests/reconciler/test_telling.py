"""People are told once of what happened: killed, doubled, refused, in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from controller.engine import acts
from controller.engine.codec import decode
from controller.engine.decision import State
from controller.engine.events import Message
from controller.engine.observation import ServiceState
from controller.engine.record import Record
from controller.engine.telling import Letter
from controller.plan.model import Form, Heard, Notify, Plan, Stage
from controller.ports import Change, Conflict, Delivered, Delivery, Ports, TrafficRouter
from controller.reconciler import Reconciler, Tick, people
from controller.sandbox.scenario import Act, RevisionTruth, Truth
from tests.reconciler.test_reconciler import (
    FAILING_LATER,
    NAME,
    PLAN,
    SHORT,
    Watched,
    a_world,
    begun,
    ticked,
    ticks,
)

TEAM = Notify("team", Form.SLACK, "env:SLACK_URL")
ALL = Notify("all", Form.WEBHOOK, "env:HOOK", events=tuple(Heard))
TOLD = replace(PLAN, notify=(TEAM,))
STAGED = replace(TOLD, stages=(Stage(10, SHORT), Stage(100, SHORT, approval=True)))
BAD = {"candidate": RevisionTruth(truth=Truth(errors={"500": 0.5}))}


class Killed(BaseException):
    """The process ends at this very place."""


@dataclass
class Ears:
    """A notifier that remembers what it was given; `answers` are used up one a letter."""

    heard: list[tuple[str, str]] = field(default_factory=list)
    answers: list[Delivered] = field(default_factory=list)
    kill_before: bool = False
    kill_after: bool = False

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        if self.kill_before:
            raise Killed
        found = []
        for letter in letters:
            outcome = self.answers.pop(0) if self.answers else Delivered.SENT
            if outcome is Delivered.SENT:
                self.heard.append((letter.to.name, letter.news.heard.value))
            found.append(Delivery(outcome, "" if outcome is Delivered.SENT else "it answers 500"))
        if self.kill_after:
            raise Killed
        return found

    def of(self, name: str) -> list[str]:
        return [event for to, event in self.heard if to == name]


def ports_with(world: Watched, ears: Ears) -> Ports:
    return replace(world.ports, notifier=ears)


def hearing(world: Watched, ears: Ears, controller: str = "a", plan: Plan = TOLD) -> Reconciler:
    """Begin a rollout whose messages go to `ears`."""
    begun(world, plan, controller)
    return Reconciler(ports_with(world, ears), NAME, controller)


def to_the_end(world: Watched, ears: Ears, plan: Plan = TOLD) -> list[Tick]:
    reconciler = hearing(world, ears, plan=plan)
    return list(ticks(world, lambda _: reconciler))


def record_of(world: Watched) -> Record:
    return world.record()


def test_a_promotion_is_told_once() -> None:
    world, ears = a_world(), Ears()
    to_the_end(world, ears)
    assert ears.heard == [("team", "promoted")]
    assert record_of(world).heard == {"team": record_of(world).noted}


def test_each_hears_the_events_it_wants_in_their_order() -> None:
    world, ears = a_world(revisions=FAILING_LATER), Ears()
    to_the_end(world, ears, replace(PLAN, notify=(TEAM, ALL)))
    assert ears.of("team") == ["rolled_back"]
    assert ears.of("all") == ["started", "advanced", "advanced", "rolled_back"]


def test_a_fresh_process_at_every_look_repeats_nothing() -> None:
    world, ears = a_world(revisions=FAILING_LATER), Ears()
    plan = replace(PLAN, notify=(ALL,), evidence=replace(PLAN.evidence))
    begun(world, plan)
    list(ticks(world, lambda _: Reconciler(ports_with(world, ears), NAME)))
    world.sandbox.clock.sleep(timedelta(minutes=5))
    for _ in range(3):
        Reconciler(ports_with(world, ears), NAME).tick()
        world.sandbox.clock.sleep(timedelta(minutes=5))
    assert sorted(ears.of("all")) == sorted(["started", "advanced", "advanced", "rolled_back"])


@pytest.mark.parametrize("controller", ["a", "schedule"])
def test_killed_between_the_write_and_the_message_it_is_made_up_for(controller: str) -> None:
    world, ears = a_world(revisions=BAD), Ears()
    dying = Ears(kill_before=True)
    reconciler = hearing(world, dying, controller)
    with pytest.raises(Killed):
        list(ticks(world, lambda _: reconciler))
    assert record_of(world).outcome is not None
    world.sandbox.clock.sleep(timedelta(minutes=5))
    Reconciler(ports_with(world, ears), NAME).tick()
    world.sandbox.clock.sleep(timedelta(minutes=5))
    Reconciler(ports_with(world, ears), NAME).tick()
    assert ears.heard == [("team", "rolled_back")]


def test_killed_between_the_message_and_its_mark_it_is_repeated_once_at_most() -> None:
    world, ears = a_world(revisions=BAD), Ears()
    dying = Ears(kill_after=True)
    reconciler = hearing(world, dying)
    with pytest.raises(Killed):
        list(ticks(world, lambda _: reconciler))
    for _ in range(4):
        world.sandbox.clock.sleep(timedelta(minutes=5))
        Reconciler(ports_with(world, ears), NAME).tick()
    assert dying.heard + ears.heard == [("team", "rolled_back")] * 2


def test_of_two_controllers_one_tells() -> None:
    world, ears = a_world(revisions=FAILING_LATER), Ears()
    plan = replace(PLAN, notify=(ALL,))
    first = hearing(world, ears, "a", plan)
    pair = (first, Reconciler(ports_with(world, ears), NAME, "b"))
    list(ticks(world, lambda number: pair[number % 2]))
    for one in pair:
        one.tick()
    assert ears.of("all") == ["started", "advanced", "advanced", "rolled_back"]


def test_a_message_that_fails_changes_no_outcome_and_is_said() -> None:
    alone, world = a_world(), a_world()
    to_the_end(alone, Ears(), PLAN)
    ears = Ears(answers=[Delivered.LATER] * 50)
    seen = to_the_end(world, ears)
    outcome = record_of(world).outcome
    assert outcome is not None
    assert outcome.outcome == "promoted"
    assert [split for _, split in world.splits()] == [split for _, split in alone.splits()]
    said = [e.text for tick in seen for e in tick.events if isinstance(e, Message)]
    assert "team is not yet told: promoted: it answers 500; a later look tries again" in said
    assert record_of(world).heard == {}


def test_who_could_not_be_told_is_told_by_a_later_look_after_a_pause() -> None:
    world = a_world()
    ears = Ears(answers=[Delivered.LATER])
    reconciler = hearing(world, ears, plan=STAGED)
    for tick in ticks(world, lambda _: reconciler):
        if tick.decision.state is State.ASKING:
            break
    assert ears.heard == []
    ticked(world, reconciler, 3)
    assert ears.heard == [("team", "asked")]


def test_what_is_refused_for_good_is_said_and_not_tried_again() -> None:
    world = a_world()
    ears = Ears(answers=[Delivered.NEVER])
    to_the_end(world, ears)
    assert ears.heard == []
    assert record_of(world).heard["team"] == record_of(world).noted


@dataclass
class Refusing:
    """A router that refuses the next marks: writes that change nothing but what was told."""

    inner: TrafficRouter
    times: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        assert expected.record_text is not None
        before, after = decode(expected.record_text), decode(change.record_text or "")
        if self.times and after.heard != before.heard and after.noted == before.noted:
            self.times -= 1
            raise Conflict("somebody else wrote")
        return self.inner.write(expected, change, decided_at)


def test_a_mark_that_is_refused_is_written_by_the_next_look_and_nothing_is_repeated() -> None:
    world, ears = a_world(), Ears()
    begun(world, STAGED, "a")
    router: Any = Refusing(world.ports.router, times=2)
    reconciler = Reconciler(replace(ports_with(world, ears), router=router), NAME, "a")
    for tick in ticks(world, lambda _: reconciler):
        if tick.decision.state is State.ASKING:
            break
    assert record_of(world).heard == {}
    ticked(world, reconciler, 3)
    assert router.times == 0
    assert record_of(world).heard["team"] > 0
    assert ears.heard == [("team", "asked")]


def test_a_takeover_is_told_once_by_fresh_processes_and_the_traffic_is_left() -> None:
    world, ears = a_world(), Ears()
    reconciler = hearing(world, ears)
    ticked(world, reconciler, 4)
    split = by_hand(world, 30)
    for _ in range(4):
        world.sandbox.clock.sleep(timedelta(minutes=5))
        tick = Reconciler(ports_with(world, ears), NAME, "a").tick()
        assert tick is not None
        assert tick.decision.state is State.TAKEN_OVER
        assert "eve@example.com changed the traffic" in tick.decision.reason
    assert ears.heard == [("team", "taken_over")]
    assert world.router.observe(NAME).asked == split
    by_hand(world, 40)
    Reconciler(ports_with(world, ears), NAME, "a").tick()
    assert ears.of("team") == ["taken_over"] * 2


def test_a_candidate_that_fails_in_another_hand_is_told_of_once_by_fresh_processes() -> None:
    world, ears = a_world(revisions=BAD), Ears()
    reconciler = hearing(world, ears)
    ticked(world, reconciler, 5)
    split = by_hand(world, 30)
    for _ in range(12):
        world.sandbox.clock.sleep(timedelta(minutes=10))
        tick = Reconciler(ports_with(world, ears), NAME, "a").tick()
        assert tick is not None
        assert tick.decision.state is State.TAKEN_OVER
    assert ears.heard == [("team", "taken_over"), ("team", "not_rolled_back")]
    assert world.router.observe(NAME).asked == split
    last = record_of(world).transitions[-1]
    assert last.what == "not rolled back"
    assert "but eve@example.com holds the traffic" in last.reason


def test_nobody_to_tell_means_nothing_is_written_while_taken_over() -> None:
    world = a_world()
    reconciler = begun(world, PLAN, "a")
    ticked(world, reconciler, 4)
    by_hand(world, 30)
    before = record_of(world)
    ticked(world, reconciler, 3)
    assert record_of(world) == before


def by_hand(world: Watched, weight: int) -> dict[str, int]:
    """Let eve change the traffic, as gcloud would; the record stays."""
    split = {"candidate": weight, "stable": 100 - weight}
    world.sandbox.world.people.do(Act("traffic", person="eve@example.com", split=split))
    return world.router.observe(NAME).asked


def test_after_a_gap_the_next_look_says_that_nobody_watched() -> None:
    world, ears = a_world(), Ears()
    long = replace(TOLD, stages=(Stage(10, timedelta(hours=12)), Stage(100, SHORT)))
    reconciler = hearing(world, ears, "schedule", long)
    ticked(world, reconciler, 4)
    world.sandbox.clock.sleep(timedelta(hours=5))
    tick = Reconciler(ports_with(world, ears), NAME).tick()
    Reconciler(ports_with(world, ears), NAME).tick()
    assert tick is not None
    assert ears.heard == [("team", "unwatched")]
    assert any("nobody watched for 5 h" in t.reason for t in record_of(world).transitions)


def test_who_watched_while_another_hand_held_the_traffic_did_watch() -> None:
    world, ears = a_world(), Ears()
    long = replace(TOLD, stages=(Stage(10, timedelta(hours=12)), Stage(100, SHORT)))
    reconciler = hearing(world, ears, "a", long)
    ticked(world, reconciler, 5)
    by_hand(world, 30)
    said = [e for tick in ticked(world, reconciler, 300) for e in tick.events]
    by_hand(world, 10)
    assert ticked(world, reconciler, 60)[-1].decision.state is State.RUNNING
    assert ears.heard == [("team", "taken_over")]
    assert not any(t.what == "unwatched" for t in record_of(world).transitions)
    warned = [e.at for e in said if isinstance(e, Message) and "changed the traffic" in e.text]
    assert len(warned) * 10 < 200  # every half an hour, not at every look


def test_an_act_is_told_by_the_one_on_duty_and_else_by_who_acts() -> None:
    everything = replace(STAGED, notify=(ALL,))
    cancel = partial(acts.cancel_now, by="ada")
    world, ears, mine = a_world(), Ears(), Ears()
    watching = hearing(world, ears, "a", everything)
    ticked(world, watching, 3)
    people.act(ports_with(world, mine), NAME, cancel)
    watching.tick()
    assert mine.heard == []
    assert ears.of("all")[-1] == "cancelled"

    world, ears, mine = a_world(), Ears(), Ears()
    watching = hearing(world, ears, "a", everything)
    ticked(world, watching, 3)
    watching.hand_over()
    people.act(ports_with(world, mine), NAME, cancel)
    assert mine.of("all") == ["cancelled"]


def test_whoever_a_replanned_plan_adds_hears_nothing_of_the_past() -> None:
    from controller.engine.begin import Wish

    world, ears = a_world(), Ears()
    reconciler = begun(world, PLAN, "a")
    ticked(world, reconciler, 6)
    again = Reconciler(ports_with(world, ears), NAME, "a")
    again.begin(Wish(replace(PLAN, notify=(ALL,)), "ada", "r2", replan=True))
    ticked(world, again, 3)
    assert ears.heard == []


@dataclass
class Overlapped(Ears):
    """While it tells, another pass of the same schedule looks: its first is not over yet."""

    other: Reconciler | None = None

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        if self.other is not None:
            self.other.tick()
        return super().tell(letters)


def test_of_two_passes_of_a_schedule_that_overlap_the_one_that_wrote_tells() -> None:
    world, theirs = a_world(revisions=BAD), Ears()
    mine = Overlapped(other=Reconciler(ports_with(world, theirs), NAME))
    reconciler = hearing(world, mine, "schedule")
    list(ticks(world, lambda _: reconciler))
    assert mine.heard == [("team", "rolled_back")]
    assert theirs.heard == []
