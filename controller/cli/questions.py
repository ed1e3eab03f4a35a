"""What a person is asked on a terminal before something is done that cannot be taken back."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from controller.cli.stops import Code, Stop

if TYPE_CHECKING:
    from controller.cli.wiring import Connection
    from controller.engine.lost import Lost
    from controller.engine.record import Record
    from controller.plan.model import Plan


def confirm(word: str, asked: str, lost: Lost | None, again: str) -> None:
    """Ask; raises Abort where the answer is no, and Stop (2) where there is nobody to ask.

    lost: the record that would be replaced. again: the command that does it without asking.
    """
    from controller.cli.views.text import harmless

    if not at_terminal():
        about = f": {lost.told}" if lost is not None else ""
        mend = f"`{again}` does it without asking"
        raise Stop(f"{word} asks first, and there is no terminal{about}", mend, Code.USAGE)
    with _answered_by_a_signal():
        click.confirm(harmless(asked), abort=True, err=True)


@contextmanager
def _answered_by_a_signal() -> Iterator[None]:
    """Let Ctrl-C mean no: a command that stays means by it to leave, at its next look."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def lost_at(connection: Connection) -> Lost | None:
    """Look for a lost record, which is then replaced."""
    from controller.engine.lost import lost_of

    return lost_of(connection.ports.router.observe(connection.name))


def over(lost: Lost | None) -> str:
    """Say, before the question, which record is replaced."""
    if lost is None:
        return ""
    return f"{lost.told}.\n{'' if lost.text is None else 'This replaces it. '}"


def at_terminal() -> bool:
    """Tell whether there is somebody who sees a question and can answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def skipping(connection: Connection) -> str:
    """Name what is skipped: another region's turn, a closed window, gates and their verdicts."""
    from controller.cli.deeds import plan_of

    record = record_of(connection)
    plan = plan_of(record)
    closed = _turn(record) + _closed(plan, connection)
    if record is None or plan is None or record.stage < 0:
        return f"{closed}Go on without waiting for the checks?"
    last = record.verdicts
    gates = [f"{g.name} ({last.get(g.name, 'not judged')})" for g in plan.gates_at(record.stage)]
    skipped = f"the gates {', '.join(gates)}" if gates else "the rest of the hold"
    return f"{closed}Skip {skipped}?"


def record_of(connection: Connection) -> Record | None:
    """Return the record, None where there is none that can be read."""
    from controller.engine.codec import Unreadable, read

    text = connection.ports.router.observe(connection.name).record_text
    try:
        return read(text) if text is not None else None
    except Unreadable:
        return None  # the act itself says so


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


def taking_back(connection: Connection) -> str:
    """Ask only where another hand changed the traffic."""
    from controller.engine.moves import expected_split
    from controller.engine.split import split_text

    service = connection.ports.router.observe(connection.name)
    record = record_of(connection)
    if record is None or service.asked == expected_split(record):
        return ""
    ours = split_text(expected_split(record))
    return f"Traffic is {split_text(service.asked)}. Put it back to {ours}?"


def leaving(connection: Connection) -> str:
    """Ask with the split that is left."""
    from controller.engine.split import split_text

    service = connection.ports.router.observe(connection.name)
    return f"End the rollout and leave the traffic at {split_text(service.asked)}?"
