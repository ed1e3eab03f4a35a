"""How evidence is gathered (`evidence`) and what happens when nobody says (`when`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from controller.plan.diagnostics import shown
from controller.plan.fields import Fields, fields_of
from controller.plan.keys import (
    APPROVALS_KEYS,
    EVIDENCE_KEYS,
    MONITORING_OUT_KEYS,
    NOBODY_ANSWERS_KEYS,
    UNDECIDED_KEYS,
    WHEN_KEYS,
    Key,
)
from controller.plan.model import (
    BothFailing,
    EvidenceRules,
    Needs,
    NewRevision,
    Then,
    When,
    WhenMonitoringOut,
    WhenNobodyAnswers,
    WhenUndecided,
)
from controller.plan.read_stages import HOLD_MOST
from controller.plan.read_window import read_window
from controller.plan.scalars import (
    Unreadable,
    duration_text,
    parse_duration,
    parse_rate,
    parse_word,
)


def _between(least: timedelta, most: timedelta) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        value = parse_duration(text)
        if least <= value <= most:
            return value
        raise Unreadable(
            f"{text} is not between {duration_text(least)} and {duration_text(most)}",
            f"write a duration from {duration_text(least)} to {duration_text(most)}",
        )

    return parse


def _interval(text: str) -> timedelta | None:
    if text == "auto":
        return None
    return _between(timedelta(seconds=10), timedelta(hours=1))(text)


def _needs(text: str) -> Needs:
    return Needs(parse_word(text, tuple(Needs)))


def _false_rollback(text: str) -> float:
    value = parse_rate(text)
    if not 0.0001 <= value <= 0.2:
        raise Unreadable(f"{shown(text)} is not between 0.01% and 20%", "write 1%")
    return value


def _arrival(text: str) -> float:
    if text in ("off", "false"):
        return 0.0
    value = parse_rate(text)
    if not 0.05 <= value <= 0.95:
        raise Unreadable(f"{shown(text)} is not between 5% and 95%", "write 50%, or off")
    return value


def read_evidence(fields: Fields) -> EvidenceRules:
    """Return how evidence is gathered, defaults where nothing is said."""
    default = EvidenceRules()
    node = fields.node_of("evidence")
    inner = fields_of(fields.reader, node, EVIDENCE_KEYS, "evidence") if node else None
    if inner is None:
        return default
    hour = _between(timedelta(), timedelta(hours=1))
    day = _between(timedelta(), timedelta(days=1))
    delay, custom_delay = inner.parse("delay", hour), inner.parse("custom_delay", day)
    warm_up = inner.parse("warm_up", day)
    needs = inner.parse("needs", _needs)
    false_rollback = inner.parse("false_rollback", _false_rollback)
    arrival = inner.parse("arrival", _arrival)
    return EvidenceRules(
        interval=inner.parse("interval", _interval),
        delay=default.delay if delay is None else delay,
        custom_delay=default.custom_delay if custom_delay is None else custom_delay,
        warm_up=default.warm_up if warm_up is None else warm_up,
        needs=needs or default.needs,
        false_rollback=false_rollback or default.false_rollback,
        arrival=default.arrival if arrival is None else arrival,
    )


_some_time = _between(timedelta(minutes=1), HOLD_MOST)


def _then(text: str) -> Then:
    return Then(parse_word(text, tuple(Then)))


def _then_at_last(text: str) -> Then:
    if text == "ask":
        raise Unreadable("nobody answered: asking again would wait for ever", "write roll_back")
    return Then(parse_word(text, (Then.ADVANCE, Then.ROLL_BACK)))


def _both_failing(text: str) -> BothFailing:
    return BothFailing(parse_word(text, tuple(BothFailing)))


def _new_revision(text: str) -> NewRevision:
    return NewRevision(parse_word(text, tuple(NewRevision)))


def read_when(fields: Fields) -> When:
    """Return what happens when nobody says, defaults where nothing is said."""
    default = When()
    node = fields.node_of("when")
    reader = fields.reader
    inner = fields_of(reader, node, WHEN_KEYS, "when") if node else None
    if inner is None:
        return default

    def section(name: str, keys: tuple[Key, ...]) -> Fields | None:
        found = inner.node_of(name)
        return fields_of(reader, found, keys, name) if found else None

    undecided, out = default.undecided, default.monitoring_out
    nobody = default.nobody_answers
    if found := section("undecided", UNDECIDED_KEYS):
        undecided = WhenUndecided(
            found.parse("extend_by", _some_time), found.parse("then", _then) or undecided.then
        )
    if found := section("monitoring_out", MONITORING_OUT_KEYS):
        out = WhenMonitoringOut(
            found.parse("hold", _some_time) or out.hold, found.parse("then", _then) or out.then
        )
    if found := section("nobody_answers", NOBODY_ANSWERS_KEYS):
        nobody = WhenNobodyAnswers(
            found.parse("after", _some_time) or nobody.after,
            found.parse("then", _then_at_last) or nobody.then,
        )
    approvals = None
    if found := section("approvals", APPROVALS_KEYS):
        approvals = WhenNobodyAnswers(
            found.parse("after", _some_time) or nobody.after,
            found.parse("then", _then_at_last) or Then.ROLL_BACK,
        )
    both_failing = inner.parse("both_failing", _both_failing) or default.both_failing
    new_revision = inner.parse("new_revision", _new_revision) or default.new_revision
    window = read_window(inner)
    return When(undecided, out, both_failing, nobody, new_revision, approvals, window)
