"""`apply --observe`: a whole rollout that only says what it would do, and lives in this process.

The same engine and reconciler as ever, on a router that writes nothing. What cannot be judged that
way is left out of the plan, and said: the candidate gets what it gets in truth, not what a stage
would have asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from controller.cli import deeds
from controller.cli.following import follow
from controller.cli.run import Run
from controller.cli.stops import Code, Stop
from controller.cli.views.observed import observed_view
from controller.cli.wiring.observed import ObservedRouter
from controller.engine.begin import Wish, choose_candidate
from controller.engine.codec import Unreadable, decode
from controller.engine.decision import Refusal
from controller.engine.observation import ServiceState
from controller.engine.record import Ask, AskKind, Phase
from controller.engine.split import TAG_OLD
from controller.plan.model import BothFailing, Check, Plan

if TYPE_CHECKING:
    from controller.cli.wiring import Connection

BY = "--observe"


def observed(run: Run, wish: Wish) -> int:
    """Follow what a rollout would do to its end; return the exit code. Raises PortError, Stop."""
    assert run.connection is not None
    connection = run.connection
    if len(run.names) > 1:
        listed = ", ".join(name.region for name in run.names)
        mend = f"`rollout apply {run.place} --observe --region {run.names[0].region}`"
        raise Stop(f"one region is observed at a time (the plan has {listed})", mend, Code.USAGE)
    real = connection.ports.router.observe(connection.name)
    _refuse_beside(real, run.place)
    candidate = _candidate(connection, wish.plan, real)
    router = ObservedRouter(connection.ports.router, connection.ports.clock, candidate)
    ports = replace(connection.ports, router=router)
    run.observes = True
    run.view = observed_view(run.view, lambda: router.split, run.place)
    plan, told = as_observed(wish.plan, real, candidate)
    for text in told:
        run.message("info", text)
    _answered_by_itself(run, replace(connection, ports=ports))
    code = follow(run, replace(wish, plan=plan))
    return Code.ERROR if code == Code.SPLIT else code


def _refuse_beside(real: ServiceState, place: str) -> None:
    """Refuse to observe a service that has a rollout: what it would do is what that one does."""
    try:
        record = decode(real.record_text) if real.record_text is not None else None
    except Unreadable:
        record = None
    if record is not None and record.uid == real.uid and record.phase is not Phase.DONE:
        raise Stop(
            f"a rollout of {record.candidate} is under way: there is nothing to observe beside it",
            f"`rollout status {place}` shows it",
        )


def _candidate(connection: Connection, plan: Plan, real: ServiceState) -> str:
    named = plan.candidate.revision is not None
    revisions = connection.ports.router.revisions(connection.name) if named else ()
    chosen = choose_candidate(plan, real, revisions)
    if isinstance(chosen, Refusal):
        raise Stop(chosen.reason, chosen.mend, chosen.exit_code)
    return chosen


def as_observed(plan: Plan, real: ServiceState, candidate: str) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan with what can be judged of it while nothing is moved, and what cannot."""
    share = real.in_force.get(candidate, 0)
    told = ["observing: nothing is moved, nothing is written; it lives as long as this process"]
    if share:
        told.append(
            f"the candidate gets {share}% of the traffic by hand, whatever a stage asks for: "
            "evidence comes at that rate"
        )
    else:
        told.append(
            "the candidate gets no traffic: gates that need its requests cannot be judged. Give it "
            f"some by hand: `gcloud run services update-traffic {real.name.service} --region "
            f"{real.name.region} --project {real.name.project} --to-revisions {candidate}=5`"
        )
    if plan.gates:
        told.append("not judged: whether its requests arrive, and a test of both failing (held)")
    sent = tuple(check for check in plan.checks if _can_be_sent(check, real, candidate))
    unsent = ", ".join(check.name for check in plan.checks if check not in sent)
    if unsent:
        told.append(f"not sent, for a revision that they ask has no tag and no URL: {unsent}")
    if any(stage.approval for stage in plan.stages):
        told.append("approvals are said, and taken for given")
    if plan.notify:
        told.append("the plan's messages are sent to nobody")
    evidence = replace(plan.evidence, arrival=0.0)
    when = replace(plan.when, both_failing=_untested(plan.when.both_failing))
    plan = replace(plan, evidence=evidence, when=when, checks=sent, notify=())
    return plan, tuple(told)


def _untested(rule: BothFailing) -> BothFailing:
    """Return what takes the place of a test, which shows nothing where no traffic is moved."""
    return BothFailing.HOLD if rule is BothFailing.TEST else rule


def _can_be_sent(check: Check, real: ServiceState, candidate: str) -> bool:
    tagged = {one.revision for one in real.statuses if one.tag and one.url}
    stable = real.url_of(TAG_OLD) or (real.url and len(real.in_force) == 1)
    others = any(name in tagged for name in real.in_force if name != candidate)
    has = {"candidate.url": candidate in tagged, "stable.url": bool(stable) or others}
    return all(has.get(name, True) for name in check.refs)


def _answered_by_itself(run: Run, connection: Connection) -> None:
    """Take each approval for given; nobody else can answer a rollout that nobody sees."""
    answered = True

    def answer(ask: Ask) -> None:
        nonlocal answered
        answered = ask.kind is AskKind.APPROVAL
        if answered:
            done = deeds.perform(connection.ports, connection.name, "approve", BY, ask.reason)
            if isinstance(done, Refusal):
                run.message("warning", f"not taken for given: {done.reason}")

    rehearsal = connection.rehearsal
    if rehearsal is not None:
        nobody = replace(rehearsal, people_left=lambda: answered, listen=_unheard)
        connection = replace(connection, rehearsal=nobody)
    run.connection = connection
    run.answer = answer


def _unheard(_listener: object) -> None:
    """Let nobody of a scenario speak to the rollout: they would speak to the real one."""


def refuse(given: Mapping[str, bool]) -> None:
    """Refuse options that make no sense beside --observe. Raises Stop (2)."""
    for name in (name for name, is_given in given.items() if is_given):
        text = f"--observe and {name} cannot both be meant"
        raise Stop(text, "an observed rollout writes nothing, and stays to its end", Code.USAGE)
