"""What Cloud Monitoring answers is text of others: in labels, units, errors, wherever it is shown.

A whole rollout in the sandbox, through Google's own client; hostile text stands in every string of
the answers that a metric's writer, or whoever is on the wire, can fill.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import metric_pb2
from google.cloud.monitoring_v3 import types

from controller.cli import ending, views
from controller.cli.history import lines as history_lines
from controller.cli.looking import measured
from controller.cli.story import chosen, of_record
from controller.cli.views import explained, standings, text
from controller.cli.views.json import write_line
from controller.cli.views.standing import lines, plain, standing
from controller.cloud.clients import metric_client_on
from controller.cloud.monitoring import CloudMonitoring
from controller.engine.codec import decode, encode
from controller.engine.explaining import explain
from controller.engine.observation import ServiceState
from controller.engine.record import Record
from controller.engine.telling import Letter
from controller.notify.forms import google_chat, slack, webhook
from controller.plan.model import CustomMetric, Gate, Heard, Limits, Plan
from controller.ports import Delivered, Delivery
from controller.reconciler import Reconciler, Tick
from controller.sandbox.channel import InProcessChannel
from controller.sandbox.errors import Method, RpcError
from tests.cli.test_hostile_text import HOSTILE, RUNNERS, UNSEEN, Terminal, assert_no_line_is_forged
from tests.reconciler.test_reconciler import CANDIDATE, NAME, PLAN, Watched, a_world, begun
from tests.reconciler.test_telling import ALL

PLANTED = HOSTILE + "{{ 1234567*3 }}"
FILLED_IN = "3703701"
PLACE = "ion-api.yaml"
SERVICE = "/google.monitoring.v3.MetricService/"
SCORE = CustomMetric("custom.googleapis.com/score")
HOSTILE_PLAN = replace(
    PLAN, gates=(*PLAN.gates, Gate("score", SCORE, Limits(minimum=0.5), None)), notify=(ALL,)
)
Answer = Callable[[Any, Any], None]


def in_labels(page: Any, request: Any) -> None:
    """Plant it in what names and describes a series; and one more code, of a few requests."""
    if SCORE.type in request.filter:
        page.time_series.add().resource.labels["revision_name"] = CANDIDATE
    for series in list(page.time_series):
        if "response_code_class" in series.metric.labels and series.points:
            more = page.time_series.add()
            more.CopyFrom(series)
            more.metric.labels["response_code_class"] = PLANTED
            for point in more.points:
                point.value.int64_value = 1
        other = page.time_series.add()
        other.CopyFrom(series)
        other.resource.labels["revision_name"] = PLANTED
    for series in page.time_series:
        series.metric.type = series.resource.type = series.unit = PLANTED
        series.metric.labels[PLANTED] = series.resource.labels[PLANTED] = PLANTED
        series.metadata.user_labels[PLANTED] = PLANTED
        series.metadata.system_labels[PLANTED] = PLANTED
        if not series.points and request.interval.end_time.seconds % 60 == 0:
            point = series.points.add()
            point.interval.end_time.CopyFrom(request.interval.end_time)
            point.value.double_value = 0.7
    page.unit = PLANTED


def in_values(page: Any, request: Any) -> None:
    """Plant it in the values: text where numbers should be."""
    del request
    for series in page.time_series:
        for point in series.points:
            point.value.string_value = PLANTED


def in_errors(page: Any, request: Any) -> None:
    """Plant it in what is told of an answer that is not whole."""
    del request
    page.execution_errors.add(code=13, message=PLANTED)


def in_a_refusal(page: Any, request: Any) -> None:
    """Refuse with it."""
    raise RpcError(grpc.StatusCode.PERMISSION_DENIED, f"Permission {PLANTED}")


def in_silence(page: Any, request: Any) -> None:
    """Not answer, and say that."""
    raise RpcError(grpc.StatusCode.UNAVAILABLE, PLANTED)


ANSWERS: tuple[Answer, ...] = (in_labels, in_values, in_errors, in_a_refusal, in_silence)


def metrics_of(world: Watched, plant: Answer) -> CloudMonitoring:
    """Return the world's Monitoring with hostile text planted in each answer."""
    honest = world.sandbox.handlers[f"{SERVICE}ListTimeSeries"]
    make = types.ListTimeSeriesResponse.pb()

    def listed(request: Any) -> Any:
        page = make()
        if SCORE.type not in request.filter:
            answer = honest.handler(request)
            page.MergeFromString(
                answer if isinstance(answer, bytes) else answer.SerializeToString()
            )
        plant(page, request)
        return page

    def described(request: Any) -> Any:
        del request
        found = metric_pb2.MetricDescriptor(
            name=PLANTED, type=PLANTED, unit=PLANTED, description=PLANTED, display_name=PLANTED,
            metric_kind="GAUGE", value_type="DOUBLE",
        )  # fmt: skip
        found.labels.add(key=PLANTED, description=PLANTED)
        return found

    handlers = {
        **world.sandbox.handlers,
        f"{SERVICE}ListTimeSeries": Method(types.ListTimeSeriesRequest.pb(), listed),
        f"{SERVICE}GetMetricDescriptor": Method(types.GetMetricDescriptorRequest.pb(), described),
    }
    return CloudMonitoring(metric_client_on(InProcessChannel(handlers), "rollout/test"))


@dataclass
class Inbox:
    """A notifier that keeps what it was given."""

    letters: list[Letter] = field(default_factory=list)

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        self.letters += letters
        return [Delivery(Delivered.SENT)] * len(letters)


@dataclass(frozen=True)
class Played:
    """A rollout as it was seen: its looks, what people were told, what is left of it."""

    ticks: tuple[Tick, ...]
    letters: tuple[Letter, ...]
    service: ServiceState
    record: Record
    metrics: CloudMonitoring

    @property
    def plan(self) -> Plan:
        return HOSTILE_PLAN


@cache
def played(plant: Answer) -> Played:
    world, inbox = a_world(), Inbox()
    begun(world, HOSTILE_PLAN)  # before: else nothing would begin where stable cannot be judged
    world = replace(world, metrics=metrics_of(world, plant))
    watching = Reconciler(replace(world.ports, notifier=inbox), NAME)
    ticks: list[Tick] = []
    until = world.sandbox.clock.now() + timedelta(hours=4)
    while len(ticks) < 60 and world.sandbox.clock.now() < until:
        tick = watching.tick()
        assert tick is not None
        ticks.append(tick)
        world.sandbox.clock.sleep(tick.decision.look_again)
    service = world.router.observe(NAME)
    assert service.record_text is not None
    record = decode(service.record_text)
    return Played(tuple(ticks), tuple(inbox.letters), service, record, world.metrics)


def shown(run: Played, view: views.View) -> None:
    for tick in run.ticks:
        view.tick(tick)
    view.show(ending.of_open(run.ticks[-1], PLACE, 0).finished)
    view.close()


def looked_at(run: Played, out: io.StringIO) -> None:
    """Write what the commands tell that only look."""
    here = standing(run.service, run.ticks[-1].at, PLACE)
    for one in (here, measured(here, run.metrics)):
        for line in lines(one):
            text.write(out, line)
        write_line(out, plain(one))
    for line in (*standings.lines([here], width=None), *history_lines(run.record)):
        text.write(out, line)


def explained_by(run: Played, out: io.StringIO) -> None:
    story = of_record(run.plan, run.record, NAME, run.metrics, run.ticks[-1].at)
    when, transition = chosen(story, None)
    done = explain(story.plan, story.record, story.transitions, story.past(when), when, transition)
    told = explained.Told(done, story.plan, story.record, story.source, story.doubts, NAME)
    for line in explained.lines(told):
        text.write(out, line)
    write_line(out, explained.plain(told))


def assert_it_is_text(told: str) -> None:
    assert not UNSEEN.search(told)
    assert not RUNNERS.search(told)
    assert FILLED_IN not in told
    assert_no_line_is_forged(told)


def reached(run: Played) -> bool:
    """Tell whether the planted text came as far as an event; else nothing is tried here."""
    out = io.StringIO()
    shown(run, views.make("json", out, out, live=False))
    return "evil\\u001b" in out.getvalue()


@pytest.mark.parametrize("plant", ANSWERS)
def test_for_people_it_is_text(plant: Answer) -> None:
    run = played(plant)
    if plant is not in_values:  # of a value that is no number only its type is told
        assert reached(run)
    out = io.StringIO()
    for observed in (False, True):
        shown(run, views.make("text", out, out, live=False, observed=observed))
    for view in views.make_each("text", out, out, [NAME, replace(NAME, service="other")]):
        shown(run, view)
    looked_at(run, out)
    if plant is in_labels:
        explained_by(run, out)
    assert_it_is_text(out.getvalue())
    if plant in {in_errors, in_silence}:
        assert "evil<U+001B>" in out.getvalue()


def test_a_code_that_nobody_has_heard_of_is_a_key_for_scripts_and_no_failure() -> None:
    run = played(in_labels)
    out = io.StringIO()
    shown(run, views.make("json", out, out, live=False))
    assert_it_is_text(out.getvalue())
    codes = {
        code
        for line in out.getvalue().splitlines()
        for minutes in json.loads(line).get("minutes", {}).values()
        for minute in minutes
        for side in ("candidate", "stable")
        for code in (minute[side] or {}).get("codes", {})
    }
    assert PLANTED in codes
    assert run.record.stage >= 0  # it goes on: the text judges nothing


@pytest.mark.parametrize("plant", ANSWERS)
def test_in_the_live_view_it_is_text(plant: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CI", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    shown(played(plant), views.make("text", io.StringIO(), terminal, live=True))
    told = terminal.getvalue()
    for steers in ("\x1b[2J", "\x1b]", "\x07", "\u202e"):
        assert steers not in told
    assert FILLED_IN not in told


@pytest.mark.parametrize("plant", ANSWERS)
@pytest.mark.parametrize("output", ["text", "json"])
def test_in_a_job_it_is_no_command_and_in_its_summary_no_markup(
    plant: Answer, output: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    out = io.StringIO()
    shown(played(plant), views.make(output, out, out, live=False))
    told = out.getvalue()
    ours = [line for line in told.split("\n") if line.startswith("::")]
    assert all(line.split("::")[1].startswith(("error ", "warning ", "notice ")) for line in ours)
    assert not UNSEEN.search(told)
    assert not any("::add-mask" in line.split(":")[0] for line in told.split("\n"))
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert not UNSEEN.search(summary)
    assert FILLED_IN not in told + summary


@pytest.mark.parametrize("plant", ANSWERS)
def test_in_a_message_to_people_it_mentions_nobody_and_forges_no_line(plant: Answer) -> None:
    run = played(plant)
    assert run.letters
    told = {letter.news.heard for letter in run.letters if "evil" in letter.news.why}
    assert told == ({Heard.OUTAGE} if plant in {in_a_refusal, in_silence} else set())
    for letter in run.letters:
        for body in (slack(letter.news, None), google_chat(letter.news, None)):
            assert not UNSEEN.search(body["text"])
            assert "<!" not in body["text"]
            assert "<b>" not in body["text"]
            assert "\npromoted" not in body["text"]
            assert FILLED_IN not in body["text"]
        assert json.loads(json.dumps(webhook(letter.news, None)))


@pytest.mark.parametrize("plant", ANSWERS)
def test_the_record_that_it_may_reach_is_read_again(plant: Answer) -> None:
    record = played(plant).record
    assert decode(encode(record)) == record
