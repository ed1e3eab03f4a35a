"""What a look sees through the ports: whatever is not seen says why, and nothing is raised."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.engine.observation import (
    Gone,
    NotSeen,
    RevisionState,
    ServiceName,
    ServiceState,
    Target,
    Window,
)
from controller.engine.preflight import Look
from controller.engine.record import OwnCount, Phase, Record, Shift
from controller.gates.evidence import CodeCounts, Latencies, Requests
from controller.plan.compact import digest
from controller.plan.model import Check, CheckWhen, CustomMetric, Expect, Plan, Text
from controller.ports import Answer, Denied, Missing, Ports, Request, Unavailable
from controller.reconciler.observing import Observer, _names
from tests.engine.builders import (
    HEALTH,
    MINUTE,
    NEW,
    OLD,
    PLAN,
    T0,
    at,
    running,
    service_of,
    starting,
)

NAME = ServiceName("demo", "us-central1", "api")
CHECKED: Plan = replace(PLAN, checks=(HEALTH,))
TAGS = (
    Target(NEW, 0, "rollout-new", "https://new.example/"),
    Target(OLD, 0, "rollout-old", "https://old.example/"),
)


@dataclass
class Wires:
    """Everything a look asks: a small world of its own, whose answers are listed."""

    answers: list[Any] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    slept: list[timedelta] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    error: Exception | None = None
    now_: datetime = field(default_factory=lambda: at(10))
    left: int = 0  # requests that still reach the candidate

    def now(self) -> datetime:
        return self.now_

    def sleep(self, span: timedelta) -> None:
        self.slept.append(span)
        self.now_ += span

    def revision(self, name: ServiceName, revision: str) -> RevisionState:
        self.asked.append(revision)
        if self.error:
            raise self.error
        return RevisionState(revision, ready=True)

    def observe(self, name: ServiceName) -> ServiceState:
        self.asked.append(name.region)
        if self.error:
            raise self.error
        return service_of(running(), name=name)

    def read(
        self,
        name: ServiceName,
        query: Any,
        revisions: Any,
        start: datetime,
        end: datetime,
        period: Any = MINUTE,
    ) -> Any:
        self.asked.append(f"{type(query).__name__} of {','.join(revisions)}")
        if self.error:
            raise self.error
        return {NEW: {end: CodeCounts({"2xx": self.left})}}

    def exists(self, project: str, metric: str) -> bool:
        self.asked.append(f"is there {metric} in {project}")
        return metric == "custom/score"

    def send(self, request: Request) -> Answer:
        self.sent.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer, None, "", 20.0)

    @property
    def ports(self) -> Ports:
        wires: Any = self
        return Ports(wires, wires, wires, wires)


def look(
    wires: Wires, record: Record, plan: Plan = CHECKED, controller: str = "", **more: Any
) -> Any:
    targets = (*service_of(record).targets, *TAGS)
    service = service_of(record, targets=targets, statuses=targets)
    return Observer(wires.ports, NAME, **more).observe(plan, record, service, at(10), controller)


class TestWhatIsAsked:
    def test_of_a_running_one_both_revisions_its_metrics_and_its_checks(self) -> None:
        wires = Wires()
        seen = look(wires, running(before={OLD: 60, "api-0": 40}))
        assert wires.asked == [
            NEW, OLD, "api-0", f"Requests of {NEW},{OLD},api-0", f"Latencies of {NEW},{OLD},api-0",
        ]  # fmt: skip
        assert set(seen.windows) == {Requests(), Latencies()}
        assert set(seen.beside) == {"api-0"}
        assert [one.url for one in wires.sent] == ["https://new.example/health"]
        assert seen.checks["health"].value.reason == "passed (200)"
        assert [(one.revision, one.code, one.at) for one in seen.own] == [(NEW, 200, at(10))]

    def test_of_one_that_is_over_nothing_and_of_a_roll_back_no_metric(self) -> None:
        wires = Wires()
        look(wires, running(phase=Phase.DONE))
        assert (wires.asked, wires.sent) == ([], [])
        look(wires, running(phase=Phase.ROLLING_BACK, weight=0))
        assert (wires.asked, wires.sent) == ([NEW, OLD], [])

    def test_while_shifting_no_check_is_sent(self) -> None:
        wires = Wires()
        seen = look(wires, running(1, shift=Shift(T0, 10), came_from=0))
        assert seen.windows
        assert wires.sent == []

    def test_who_is_not_on_duty_sends_none(self) -> None:
        wires = Wires()
        seen = look(wires, running(duty="other"), controller="me")
        assert wires.sent == []
        assert not seen.on_duty
        assert seen.checks == {"health": NotSeen("sent by the controller on duty")}

    def test_in_line_only_the_region_before_is_looked_at(self) -> None:
        wires = Wires()
        seen = look(wires, starting(CHECKED, after="europe-west1"))
        assert wires.asked == [NEW, OLD, "europe-west1"]
        assert seen.earlier.value.name.region == "europe-west1"
        assert (seen.windows, wires.sent) == ({}, [])

    @pytest.mark.parametrize(
        ("when", "record", "sent"),
        [
            (CheckWhen.BEFORE, running(), 0), (CheckWhen.BEFORE, starting(), 1),
            (CheckWhen.STAGES, running(), 1), (CheckWhen.STAGES, starting(), 0),
        ],
    )  # fmt: skip
    def test_a_check_is_sent_when_it_is_wanted(
        self, when: CheckWhen, record: Record, sent: int
    ) -> None:
        wires = Wires()
        look(wires, record, replace(PLAN, checks=(replace(HEALTH, when=when),)))
        assert len(wires.sent) == sent


class TestWhatIsNotSeen:
    @pytest.mark.parametrize(
        ("error", "seen"),
        [
            (Missing("no such"), Gone("no such")),
            (Unavailable("503"), NotSeen("503")),
            (Denied("403"), NotSeen("403")),
        ],
    )
    def test_says_why_or_that_it_is_gone(self, error: Exception, seen: Any) -> None:
        found = look(Wires(error=error), running())
        assert (found.candidate, found.stable) == (seen, seen)
        assert set(found.readings.values()) == {NotSeen(str(seen.why))}
        earlier = look(Wires(error=error), starting(CHECKED, after="europe-west1")).earlier
        assert earlier == seen


class TestChecks:
    def checked(self, *answers: Any, check: Check = HEALTH, **more: Any) -> tuple[Wires, Any]:
        wires = Wires(list(answers))
        plan = replace(PLAN, checks=(check,))
        return wires, look(wires, running(plan=plan), plan, **more)

    def test_three_tries_five_seconds_apart_and_then_stable_is_asked_the_same(self) -> None:
        wires, seen = self.checked(500, 500, 500)
        assert [one.url.split("/")[2] for one in wires.sent] == ["new.example"] * 3 + [
            "old.example"
        ]
        assert wires.slept == [timedelta(seconds=5)] * 2
        assert seen.checks["health"].value.outcome.value == "failed"
        assert [(one.revision, one.code) for one in seen.own] == [(NEW, 500)] * 3 + [(OLD, 200)]

    def test_the_first_that_passes_is_enough(self) -> None:
        wires, seen = self.checked(500, 200)
        assert len(wires.sent) == 2
        assert seen.checks["health"].value.outcome.value == "passed"

    def test_one_of_a_dependency_is_not_asked_of_stable(self) -> None:
        other = replace(HEALTH, url=Text(("https://gateway.example/",)))
        wires, seen = self.checked(500, 500, 500, check=other)
        assert len(wires.sent) == 3
        assert seen.checks["health"].value.outcome.value == "undecided"
        assert seen.own == ()

    def test_no_answer_and_who_may_not_ask_are_told_apart(self) -> None:
        _, seen = self.checked(*[Unavailable("timed out")] * 4)
        assert seen.checks["health"] == NotSeen("neither revision answers us: timed out")
        _, seen = self.checked(*[Denied("no token")] * 4)
        assert seen.checks["health"] == NotSeen("no token: the service did not let us in")
        assert seen.own == ()

    def test_a_url_that_is_not_there_yet_is_said(self) -> None:
        wires = Wires()
        record = running(plan=CHECKED)
        seen = Observer(wires.ports, NAME).observe(CHECKED, record, service_of(record), at(10), "")
        assert seen.checks == {"health": NotSeen("{{ candidate.url }} is not known here")}

    def test_one_that_sends_a_secret_is_sent_for_the_plan_of_a_person_only(self) -> None:
        secret = replace(HEALTH, headers={"authorization": Text(("env:TOKEN",))})
        plan = replace(PLAN, checks=(secret,))
        for trusted, sent in (("", 0), ("another", 0), (digest(plan), 1)):
            wires, seen = self.checked(check=secret, trusted=trusted)
            assert len(wires.sent) == sent
            if not sent:
                assert seen.checks["health"].why.startswith("it sends a secret, which needs")

    def test_who_asks_is_told_where_a_token_is_wanted(self) -> None:
        with_token = replace(HEALTH, id_token="https://api.example")
        plan = replace(PLAN, checks=(with_token,))
        wires, _ = self.checked(check=with_token, trusted=digest(plan))
        (request,) = wires.sent
        assert request.caller is not None
        assert (request.caller.audience, request.caller.at_once) == ("https://api.example", True)
        stranger = replace(HEALTH, expect=Expect(status=(403,)))
        wires, _ = self.checked(403, check=stranger)
        assert wires.sent[0].caller is None
        plain, _ = self.checked()
        assert plain.sent[0].caller is not None
        assert not plain.sent[0].caller.at_once


def test_a_text_of_a_check_may_name_both_revisions_and_their_urls_once_in_force() -> None:
    record = running()
    service = service_of(record, statuses=TAGS)
    assert _names(record, service) == {
        "candidate.revision": NEW, "stable.revision": OLD,
        "candidate.url": "https://new.example", "stable.url": "https://old.example",
    }  # fmt: skip
    assert set(_names(record, service_of(record))) == {"candidate.revision", "stable.revision"}


class TestWhetherItDrained:
    RECORD = running(own=(OwnCount(at(7), NEW, 200, 2, 20.0), OwnCount(at(6), NEW, 200, 9, 20.0)))

    def drained(self, wires: Wires, record: Record = RECORD) -> str:
        return Observer(wires.ports, NAME).drained(record, at(5), timedelta(minutes=4))

    def test_the_first_minute_after_it_settled_is_waited_for_and_read(self) -> None:
        wires = Wires()
        assert self.drained(wires) == ""
        assert wires.slept == [MINUTE]  # at 10: the minute ends at 7, and shows 4 minutes later
        assert wires.asked == [f"Requests of {NEW}"]
        late = Wires(now_=at(30))
        assert self.drained(late) == ""
        assert late.slept == [timedelta(0)]

    @pytest.mark.parametrize(("left", "drained"), [(2, True), (3, False)])
    def test_our_own_requests_of_that_minute_do_not_count(
        self,
        left: int,
        drained: bool,  # noqa: FBT001
    ) -> None:
        said = self.drained(Wires(left=left))
        assert (said == "") is drained
        if not drained:
            assert said == "the candidate still got 3 requests in the minute before 09:07Z"

    def test_what_is_not_seen_or_not_waited_for_is_said(self) -> None:
        assert self.drained(Wires(error=Unavailable("503"))) == (
            "whether requests still reach it could not be seen: 503"
        )

        class Impatient(Wires):
            def sleep(self, span: timedelta) -> None:
                """Somebody wants to go."""

        assert self.drained(Impatient()) == "whether requests still reach it was not waited for"


def test_of_stables_day_an_applications_own_metric_is_read_only_where_somebody_writes_it() -> None:
    wires = Wires()
    look_back = Look(Window(at(-1440), at(0)), 15 * MINUTE)
    observer = Observer(wires.ports, NAME)
    there = observer.history(CustomMetric("custom/score"), (OLD,), look_back)
    assert not isinstance(there, NotSeen)
    other = observer.history(CustomMetric("custom/other"), (OLD,), look_back)
    assert other == NotSeen("nobody ever wrote custom/other in demo")
    assert not isinstance(observer.history(Requests(), (OLD,), look_back), NotSeen)
    assert wires.asked[-2:] == ["is there custom/other in demo", f"Requests of {OLD}"]
