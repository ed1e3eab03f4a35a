"""`rollout explain`: what was judged when a decision was made, and the rule that made it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from controller.cli import options

if TYPE_CHECKING:
    from controller.cli.story import Story
    from controller.cli.target import Target
    from controller.engine.observation import ServiceName

When = datetime | timedelta


class Instant(click.ParamType[When]):
    """A time as ISO 8601, UTC where no zone is said; or how long ago it was ("2h ago")."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> When:
        """Read it; fails the option with examples."""
        from controller.plan.scalars import Unreadable, parse_duration

        if isinstance(value, datetime | timedelta):
            return value
        text = str(value).strip()
        try:
            if text.endswith("ago"):
                return parse_duration(text.removesuffix("ago").strip())
            read = datetime.fromisoformat(text)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        except (ValueError, OverflowError, Unreadable):
            self.fail(f'{text!r} is no time: 2026-01-05T09:00Z, or "2h ago"', param, ctx)


@click.command(name="explain")
@options.target
@click.option("--at", type=Instant(), metavar="TIME", help='When; UTC. Or "2h ago".')
@click.option("--evidence", metavar="FILE", help="Events of `apply` or `tick`; - for stdin.")
@options.variables
@options.output
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    target: str,
    project: str | None,
    region: str | None,
    at: When | None,
    evidence: str | None,
    variables: dict[str, str],
    output: str,
) -> None:
    """Explain a decision: what was judged, by which limits, and the rule that decided.

    The last decision, or what was decided at a time. The minutes are read again from Monitoring,
    which keeps them for six weeks, or from the events that `apply -o json` wrote; the code that
    decides judges them once more. Nothing is written.

    \b
    Examples:
      rollout explain plans/ion-api.yaml
      rollout explain ion-api --region us-central1 --project ion-prod --at "2h ago"
      rollout explain plans/ion-api.yaml --evidence rollout.jsonl --at 2026-01-05T09:45Z
    """
    from controller.cli.stops import Code, Stop
    from controller.cli.target import find
    from controller.ports import PortError

    if target == "-" and evidence == "-":
        raise Stop("plan and events cannot both come from stdin", code=Code.USAGE)
    if evidence is not None:
        _show(_of_file(target, evidence, project, region, variables), at, output, None, target)
        return
    found = find(target, project=project, region=region, variables=variables)
    code: int = Code.DONE
    for name in found.names:
        try:
            _show(_of_service(found, name), at, output, name, found.place)
        except (Stop, PortError) as error:
            if len(found.names) == 1:
                raise
            stop = error if isinstance(error, Stop) else Stop(error.what, error.mend)
            Stop(f"{name.region}: {stop.message}", stop.mend, stop.exit_code).show()
            code = max(code, stop.exit_code)
    ctx.exit(code)


def _of_file(
    target: str, path: str, project: str | None, region: str | None, variables: dict[str, str]
) -> Story:
    import os

    from controller.cli import journal, replay, story
    from controller.cli.stops import Code, Stop
    from controller.cli.target import find, looks_like_plan, read

    if looks_like_plan(target):
        plan, _ = read(target, variables, os.environ)
    else:
        found = find(target, project=project, region=region, variables=variables)
        plan = _of_service(found, found.name).plan
    with replay.opened(path) as (name, lines):
        try:
            return story.of_events(plan, name, lines)
        except journal.Unusable as error:
            mend = "events are what `rollout apply PLAN -o json` wrote"
            raise Stop(str(error), mend, Code.USAGE) from error


def _of_service(found: Target, name: ServiceName) -> Story:
    """Read one service's record. Raises Stop (1) where it tells of no rollout."""
    import os

    from controller.cli import story, wiring
    from controller.cli.stops import Stop
    from controller.engine.codec import Unreadable, decode
    from controller.engine.lost import ended_here, lost_of
    from controller.plan.compact import from_json

    connection = wiring.connect(name, os.environ)
    service = connection.ports.router.observe(name)
    text = service.record_text
    if text is None:
        look = "its past can be judged by `rollout replay`"
        lost = lost_of(service)
        gone = lost.told if lost is not None else ended_here(service)
        raise Stop(gone or f"no rollout ever ran on {name.service} in {name.region}", look)
    try:
        record = decode(text)
    except Unreadable as error:
        mend = "--evidence FILE explains from a rollout's own events"
        raise Stop(f"the record on the service cannot be read: {error}", mend) from error
    try:
        plan = from_json(record.plan)
    except ValueError as error:
        if found.plan is None:
            mend = "name the plan's file instead of the service"
            raise Stop(f"the record's plan cannot be read: {error}", mend) from error
        plan = found.plan
    return story.of_record(plan, record, name, connection.ports.metrics, connection.now())


def _show(story: Story, at: When | None, output: str, name: ServiceName | None, place: str) -> None:
    """Explain and show. Raises Stop where the time is none that can be explained."""
    import sys

    from controller.cli.stops import Stop
    from controller.cli.story import chosen
    from controller.cli.views import explained
    from controller.cli.views.json import write_line
    from controller.cli.views.text import write
    from controller.engine.explaining import explain
    from controller.ports import PortError

    wanted = story.ends - at if isinstance(at, timedelta) else at
    if wanted is not None:
        _check(story, wanted, place)
    when, transition = chosen(story, wanted)
    try:
        past = story.past(when)
    except PortError as error:
        why = f"Monitoring does not answer: {error.what}"
        noted = f"{transition.what}: {transition.reason}" if transition else "no decision then"
        mend = f"the record has: {noted}; {error.mend or 'try again, or --evidence FILE'}"
        raise Stop(why, mend) from error
    done = explain(story.plan, story.record, story.transitions, past, when, transition)
    told = explained.Told(done, story.plan, story.record, story.source, story.doubts, name)
    if output == "json":
        write_line(sys.stdout, explained.plain(told))
        return
    for line in explained.lines(told):
        write(sys.stdout, line)


def _check(story: Story, at: datetime, place: str) -> None:
    """Raise Stop where there is nothing to explain at that time."""
    from controller.cli.stops import Code, Stop
    from controller.cli.story import KEPT
    from controller.cli.views.text import stamp

    look = f"`rollout history {place}` has the times"
    record, kept = story.record, story.transitions
    if at > story.ends:
        raise Stop(f"{stamp(at)} is later than {stamp(story.ends)}", look, Code.USAGE)
    minute = timedelta(minutes=1)
    if at + minute <= record.started:
        began = f"rollout {record.rollout} began at {stamp(record.started)}, after {stamp(at)}"
        raise Stop(began, look, Code.USAGE)
    if story.forgotten and at + minute <= kept[0].at:
        mend = "--evidence FILE explains from a rollout's own events"
        raise Stop(f"the record remembers nothing before {stamp(kept[0].at)}", mend)
    if story.ends - at > KEPT and story.source == "Monitoring":
        mend = "--evidence FILE explains from a rollout's own events"
        raise Stop("Monitoring keeps points for six weeks", mend)
    ended = next((t for t in kept if t.what in ("rolled back", "promoted", "cancelled")), None)
    if ended is not None and at >= ended.at + minute:
        what = f"the rollout had ended by then: {ended.what} at {stamp(ended.at)}"
        raise Stop(what, "without --at the last decision is explained", Code.USAGE)
