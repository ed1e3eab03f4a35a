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

from controller.cli import options, questions
from controller.cli.stops import Code, Refused, Stop, as_stop, without_it
from controller.ports import PortError

if TYPE_CHECKING:
    from datetime import datetime

    from controller.cli.target import Target
    from controller.cli.wiring import Connection
    from controller.engine.events import Message
    from controller.engine.lost import Lost
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
    _run("resume", given, question=questions.taking_back)


@_command("advance", "Go to the next stage now. Names the gates it skips, and asks.", "advance api")
def advance(**given: Any) -> None:
    """Run advance."""
    _run("advance", given, question=questions.skipping)


@_command(
    "promote",
    "Give the candidate everything now and finish. Names the gates it skips, and asks.",
    "promote ion-api --reason 'hotfix, looked at by hand'",
)
def promote(**given: Any) -> None:
    """Run promote."""
    _run("promote", given, question=questions.skipping)


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


@_command(
    "cancel",
    "End the rollout and leave the traffic as it is (asks first). Where its record vanished or "
    "cannot be read it is shown, and replaced.",
    "cancel ion-api",
)
def cancel(**given: Any) -> None:
    """Run cancel."""
    _run("cancel", given, question=questions.leaving)


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
    from controller.engine.lost import Vanished

    try:
        yield
    except (Stop, PortError, Unreadable, Vanished) as error:
        unread = isinstance(error, Unreadable)
        stops.append(Stop(str(error), without_it(found.place)) if unread else as_stop(error))
        write(sys.stderr, f"{found.name.region}: {stops[-1].message}")


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
    shown = _ask_first(act, found, given)
    ports, name = connection.ports, connection.name
    by, reason = connection.person(), given["reason"]
    done = deeds.perform(
        ports, name, word, by, reason, stage=act.stage, to_revision=act.to_revision, shown=shown
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
    told, at = _told(word, done), done.at
    said = _messages(done)
    if word in {"rollback", "reject"}:
        done, took = seen.rolled_back(Reconciler(ports, name), done)
        _show_messages(done, given["output"])
        said += _messages(done)
        told += f"; in force after {took}"
    elif word == "promote":
        done = seen.promoted(Reconciler(ports, name), done, found.place)
        told += f"; in force after {minutes_shown(done.at - at)}" if done.at > at else ""
    elif word == "approve":
        told += _later(done)
    _say(told, found, given, done, said, at=done.at)


def _wait_for_turn(connection: Connection, mend: str) -> None:
    """Leave a region in line alone where all are meant: only who names it begins it now."""
    record = questions.record_of(connection)
    if record is not None and record.waits_for:
        raise Refused(f"its turn comes when {record.waits_for} is promoted", mend)


def _ask_first(act: Act, found: Target, given: dict[str, Any]) -> Lost | None:
    """Ask where it must be asked; return the lost record that was shown with the question."""
    if act.question is None or given["yes"]:
        return None
    lost = questions.lost_at(act.connection)
    if lost is not None and act.word not in {"rollback", "cancel"}:
        return None  # it is refused: there is nothing to ask
    asked = act.question(act.connection)
    where = f"{found.name.region}: " if given["all_regions"] else ""
    if asked:
        again = f"rollout {act.word} {found.place} --yes"
        questions.confirm(act.word, where + questions.over(lost) + asked, lost, again)
    return lost


def _later(tick: Tick) -> str:
    """Say when an approval is acted on, where the window is closed."""
    from controller.plan.window import closed_text, is_open

    rule = tick.plan.when.advance_only if tick.plan else None
    if rule is None or is_open(rule, tick.at):
        return ""
    return f"; kept until {closed_text(rule, tick.at)}"


def _show_messages(tick: Tick, output: str) -> None:
    """Say on stderr what else there is to say of an act: what it replaced, who was told of it."""
    from controller.cli.views import text

    for event in _messages(tick) if output == "text" else ():
        for line in text.lines(event):
            text.write(sys.stderr, line)


def _messages(tick: Tick) -> tuple[Message, ...]:
    from controller.engine.events import Message

    return tuple(event for event in tick.events if isinstance(event, Message))


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
    text: str,
    found: Target,
    given: dict[str, Any],
    tick: Tick | None = None,
    said: tuple[Message, ...] = (),
    *,
    at: datetime,
) -> None:
    """Say how it ended; scripts are told then what people were told as it happened (said)."""
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
    view = view.about(about)
    for message in said:
        view.show(message)
    view.show(Finished(at, named, text, split, next=commands))
    view.close()
