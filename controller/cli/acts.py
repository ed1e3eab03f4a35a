"""What a person does to a rollout: approve, pause, advance, rollback and the others.

Here: the arguments and the question on a terminal. What an act means is in the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options
from controller.cli.stops import Code, Stop, as_stop
from controller.ports import PortError

if TYPE_CHECKING:
    from datetime import datetime

    from controller.cli.target import Target
    from controller.cli.wiring import Connection
    from controller.engine.record import Record
    from controller.plan.model import Plan
    from controller.reconciler import Tick

_EXAMPLE = "\b\nExample:\n  rollout {} --region us-central1 --project ion-prod"


def _command(name: str, about: str, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator of one act: its target, --reason, --yes, and the output."""
    everywhere = click.option(
        "--all-regions", is_flag=True, help="In every region of the plan that has several."
    )

    def decorate(function: Callable[..., Any]) -> click.Command:
        for option in (options.output, options.reason, everywhere, options.target):
            function = option(function)
        text = f"{about}\n\n{_EXAMPLE.format(example)}"
        return click.command(name, help=text)(function)

    return decorate


def _stage(about: str) -> Callable[[options.Function], options.Function]:
    return click.option("--stage", type=click.IntRange(1), metavar="N", help=about)


_STAGE = "The stage it is meant for; refused if the rollout has moved on."


@_command("approve", "Say yes to what the rollout asks.", "approve ion-api --stage 5")
@_stage(_STAGE)
def approve(*, stage: int | None, **given: Any) -> None:
    """Run approve."""
    _run("approve", given, stage=stage)


@_command("reject", "Say no to what the rollout asks: it rolls back.", "reject ion-api")
@_stage(_STAGE)
def reject(*, stage: int | None, **given: Any) -> None:
    """Run reject."""
    _run("reject", given, stage=stage)


@_command("pause", "Let the hold stand still; a failed gate still rolls back.", "pause ion-api")
def pause(**given: Any) -> None:
    """Run pause."""
    _run("pause", given)


@_command(
    "resume",
    "Go on after a pause. Where another hand changed the traffic, put ours back (asks first).",
    "resume ion-api",
)
def resume(**given: Any) -> None:
    """Run resume."""
    _run("resume", given, question=_taking_back)


@_command("advance", "Go to the next stage now. Names the gates it skips, and asks.", "advance api")
def advance(**given: Any) -> None:
    """Run advance."""
    _run("advance", given, question=_skipping)


@_command(
    "promote",
    "Give the candidate everything now and finish. Names the gates it skips, and asks.",
    "promote ion-api --reason 'hotfix, looked at by hand'",
)
def promote(**given: Any) -> None:
    """Run promote."""
    _run("promote", given, question=_skipping)


@_command(
    "rollback",
    "Put all traffic on stable; after a promotion, on the revision before. Needs no plan file, no "
    "record and no Monitoring.",
    "rollback ion-api --yes",
)
@click.option("--to-stage", type=click.IntRange(1), metavar="N", help="To an earlier stage.")
@click.option("--to-revision", metavar="REV", help="All traffic to this revision.")
def rollback(*, to_stage: int | None, to_revision: str | None, **given: Any) -> None:
    """Run rollback."""
    if to_stage is not None and to_revision is not None:
        raise click.UsageError("--to-stage and --to-revision cannot both be meant")
    where = to_revision or (f"stage {to_stage}" if to_stage else "stable")
    _run(
        "rollback",
        given,
        question=lambda _connection: f"Put the traffic of this service on {where}?",
        stage=to_stage,
        to_revision=to_revision,
    )


@_command("cancel", "End the rollout and leave the traffic as it is.", "cancel ion-api")
def cancel(**given: Any) -> None:
    """Run cancel."""
    _run("cancel", given, question=_leaving)


# Doing it ---------------------------------------------------------------------------------------


def _run(
    word: str,
    given: dict[str, Any],
    *,
    question: Callable[[Connection], str] | None = None,
    stage: int | None = None,
    to_revision: str | None = None,
) -> None:
    """Ask where it must be asked, do it in each region meant, and say what is so now."""
    from controller.cli.target import find

    found = find(given["target"], project=given["project"], region=given["region"])
    if found.later and not given["all_regions"]:
        listed = ", ".join(name.region for name in found.names)
        mend = f"`rollout {word} {found.place} --region {found.name.region}`, or --all-regions"
        raise Stop(f"there are several regions ({listed}): which is meant?", mend, Code.USAGE)
    connection = found.connect()
    act = Act(word, connection, question, stage, to_revision)
    if not found.later:
        done = _do(act, found, given)
        if done is not None:
            _see(act, found, given, done)
        return
    stops: list[click.ClickException] = []
    written: list[tuple[Act, Target, Tick]] = []
    for name in found.names:  # what one region refuses or cannot do holds up no other
        here = replace(found, name=name, later=(), plan=None, argument=name.service)
        one = replace(act, connection=replace(connection, name=name))
        with _noting(stops, here):
            tick = _do(one, here, given)
            written += [(one, here, tick)] if tick is not None else []
    for one, here, tick in written:  # only then: seeing it in force may take minutes
        with _noting(stops, here):
            _see(one, here, given, tick)
    # A region to which the act does not apply is no error beside one where it was done. What could
    # not be done is one; so is a region that may serve the candidate on, whatever hindered it.
    to_stable = word == "rollback" and stage is None
    failed = [stop for stop in stops if to_stable or not isinstance(stop, Refused)]
    if failed or len(stops) == len(found.names):
        raise max(failed or stops, key=lambda stop: stop.exit_code)


@contextmanager
def _noting(stops: list[click.ClickException], found: Target) -> Iterator[None]:
    """Say and note what hinders an act in one region of several."""
    from controller.cli.views.text import write
    from controller.engine.codec import Unreadable

    try:
        yield
    except (Stop, PortError, Unreadable) as error:
        unread = isinstance(error, Unreadable)
        mend = f"`rollout rollback {found.place}` works without it"
        stops.append(Stop(str(error), mend) if unread else as_stop(error))
        write(sys.stderr, f"{found.name.region}: {stops[-1].message}")


class Refused(Stop):
    """What a service refuses because the act makes no sense there now."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a person wants done to one service. question: what is asked first, "" for nothing."""

    word: str
    connection: Connection
    question: Callable[[Connection], str] | None
    stage: int | None
    to_revision: str | None


def _do(act: Act, found: Target, given: dict[str, Any]) -> Tick | None:
    """Do it to one service; None where there was nothing to do.

    Raises PortError, and Stop where it is refused.
    """
    from controller.cli import deeds
    from controller.engine.decision import Refusal

    word, connection = act.word, act.connection
    if given["all_regions"] and word in {"advance", "promote"}:
        _wait_for_turn(connection, f"`rollout {word} {found.place}` begins it before its turn")
    _ask_first(act, found, given)
    ports, name = connection.ports, connection.name
    by, reason = connection.person(), given["reason"]
    done = deeds.perform(
        ports, name, word, by, reason, stage=act.stage, to_revision=act.to_revision
    )
    if isinstance(done, Refusal):
        if done.exit_code:
            raise Refused(done.reason, done.mend, done.exit_code)
        _say(done.reason, found, given, at=connection.now())
        return None
    _show_messages(done, given["output"])
    return done


def _see(act: Act, found: Target, given: dict[str, Any], done: Tick) -> None:
    """See in force what was written, where that matters, and say what is so now."""
    from controller.cli import seen
    from controller.engine.wording import minutes_shown
    from controller.reconciler import Reconciler

    word, ports, name = act.word, act.connection.ports, act.connection.name
    if word in {"rollback", "reject"}:
        told = _told(word, done)
        done, took = seen.rolled_back(Reconciler(ports, name), done)
        _show_messages(done, given["output"])
        _say(f"{told}; in force after {took}", found, given, done, at=done.at)
        return
    if word == "promote":
        told, at = _told(word, done), done.at
        done = seen.promoted(Reconciler(ports, name), done, found.place)
        took = f"; in force after {minutes_shown(done.at - at)}" if done.at > at else ""
        _say(told + took, found, given, done, at=done.at)
        return
    later = _later(done) if word == "approve" else ""
    _say(_told(word, done) + later, found, given, done, at=done.at)


def _wait_for_turn(connection: Connection, mend: str) -> None:
    """Leave a region in line alone where all are meant: only who names it begins it now."""
    record = _record_of(connection)
    if record is not None and record.waits_for:
        raise Refused(f"its turn comes when {record.waits_for} is promoted", mend)


def _ask_first(act: Act, found: Target, given: dict[str, Any]) -> None:
    from controller.cli.views.text import harmless

    asked = act.question(act.connection) if act.question is not None and not given["yes"] else ""
    if asked and not _at_terminal():
        mend = f"`rollout {act.word} {found.place} --yes` does it without asking"
        raise Stop(f"{act.word} asks first, and there is no terminal", mend, Code.USAGE)
    if asked:
        where = f"{found.name.region}: " if given["all_regions"] else ""
        click.confirm(harmless(where + asked), abort=True, err=True)


def _later(tick: Tick) -> str:
    """Say when an approval is acted on, where the window is closed."""
    from controller.plan.window import closed_text, is_open

    rule = tick.plan.when.advance_only if tick.plan else None
    if rule is None or is_open(rule, tick.at):
        return ""
    return f"; kept until {closed_text(rule, tick.at)}"


def _show_messages(tick: Tick, output: str) -> None:
    """Say on stderr who was told of an act, and who could not be."""
    from controller.cli.views import text
    from controller.engine.events import Message

    for event in tick.events if output == "text" else ():
        if isinstance(event, Message):
            for line in text.lines(event):
                text.write(sys.stderr, line)


def _split(tick: Tick) -> dict[str, int]:
    from controller.cli.ending import split_of

    return dict(split_of(tick))


def _told(word: str, tick: Tick) -> str:
    from controller.engine.split import split_text

    reason = tick.decision.reason
    said = {
        "approve": "approved",
        "reject": "rejected, rolled back",
        "pause": "paused",
        "resume": "resumed",
        "advance": "advanced",
        "promote": "promoted",
        "rollback": "rolled back",
        "cancel": "cancelled",
    }[word]
    return f"{said}: traffic is {split_text(_split(tick))}" + (f" ({reason})" if reason else "")


def _say(
    text: str, found: Target, given: dict[str, Any], tick: Tick | None = None, *, at: datetime
) -> None:
    from controller.cli.views import make
    from controller.cli.views.text import write
    from controller.engine.events import Finished

    region = found.name.region if given["all_regions"] else ""
    if given["output"] == "text":
        write(sys.stdout, f"{region}: {text}" if region else text)
        return
    split = _split(tick) if tick is not None else {}
    outcome = tick.decision.state.value if tick is not None else "done"
    known = {"done": "nothing_to_do", "taken_over": "taken_over", "rolling_back": "rolled_back"}
    record = tick.decision.record if tick is not None else None
    if record is not None and record.outcome is not None:
        named = record.outcome.outcome
    else:
        named = known.get(outcome, "in_progress")
    commands = (f"rollout status {found.place}",)
    view = make("json", sys.stdout, sys.stderr, live=False)
    about = {"region": region} if region else {}
    view.about(about).show(Finished(at, named, text, split, next=commands))
    view.close()


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


# What is asked ----------------------------------------------------------------------------------


def _skipping(connection: Connection) -> str:
    """Name what is skipped: another region's turn, a closed window, gates and their verdicts."""
    from controller.cli.deeds import plan_of

    record = _record_of(connection)
    plan = plan_of(record)
    closed = _turn(record) + _closed(plan, connection)
    if record is None or plan is None or record.stage < 0:
        return f"{closed}Go on without waiting for the checks?"
    last = record.verdicts
    gates = [f"{g.name} ({last.get(g.name, 'not judged')})" for g in plan.gates_at(record.stage)]
    skipped = f"the gates {', '.join(gates)}" if gates else "the rest of the hold"
    return f"{closed}Skip {skipped}?"


def _record_of(connection: Connection) -> Record | None:
    from controller.engine.codec import decode

    service = connection.ports.router.observe(connection.name)
    return decode(service.record_text) if service.record_text else None


def _turn(record: Record | None) -> str:
    """Say that another region comes first: who begins this one now decides against the plan."""
    waits_for = record.waits_for if record is not None else ""
    return f"It is not this region's turn before {waits_for} is promoted. " if waits_for else ""


def _closed(plan: Plan | None, connection: Connection) -> str:
    """Say that the window is closed: who goes on now decides against the plan."""
    from controller.plan.window import closed_text, is_open

    rule = plan.when.advance_only if plan else None
    if rule is None or is_open(rule, connection.now()):
        return ""
    opens = closed_text(rule, connection.now()).removeprefix("the window ")
    return f"The window is closed ({opens}). "


def _taking_back(connection: Connection) -> str:
    """Ask only where another hand changed the traffic."""
    from controller.engine.codec import decode
    from controller.engine.moves import expected_split
    from controller.engine.split import split_text

    service = connection.ports.router.observe(connection.name)
    record = decode(service.record_text) if service.record_text else None
    if record is None or service.asked == expected_split(record):
        return ""
    ours = split_text(expected_split(record))
    return f"Traffic is {split_text(service.asked)}. Put it back to {ours}?"


def _leaving(connection: Connection) -> str:
    from controller.engine.split import split_text

    service = connection.ports.router.observe(connection.name)
    return f"End the rollout and leave the traffic at {split_text(service.asked)}?"
