"""`rollout apply`: begin a rollout or attach to it, and stay until it ends.

Here: the arguments, the loop's length, signals, how the command ends. What is done with the traffic
is decided in the engine and carried out by the reconciler.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import click

from controller.cli import options
from controller.cli.stops import Code, Stop, as_stop

if TYPE_CHECKING:
    from controller.cli.run import Run
    from controller.cli.target import Target
    from controller.engine.begin import Wish
    from controller.plan.model import Plan

# Host, path, then a tag or a digest: what a registry's reference may be made of, no finer.
IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._/:-]{0,254}(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?"
    r"(?:@[a-z0-9]+:[0-9a-fA-F]{32,128})?"
)
LONGEST_JOB = timedelta(hours=6)  # what CI services commonly let a job run


@click.command("apply")
@options.target
@click.option("--revision", metavar="REV", help="The candidate; wins over the plan's.")
@click.option("--image", metavar="IMG", help="Deploy this without traffic first: the candidate.")
@options.variables
@click.option(
    "--timeout", type=options.Duration(), help="Leave after this time: 50m (exit 5 or 4)."
)
@click.option("--no-wait", is_flag=True, help="Leave after one look; run it again to go on.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@click.option("--observe", is_flag=True, help="Say what a whole rollout would do; move nothing.")
@click.option(
    "--replace",
    "replacing",
    is_flag=True,
    help="Roll a running one back first; replace a lost record (asks).",
)
@click.option("--replan", is_flag=True, help="Take a changed plan for stages not yet reached.")
@click.option("--again", is_flag=True, help="Even if this candidate was rolled back before.")
@options.reason
@options.output
@options.sandbox
@click.pass_context
def apply(
    ctx: click.Context,
    *,
    target: str,
    project: str | None,
    region: str | None,
    revision: str | None,
    image: str | None,
    variables: dict[str, str],
    timeout: timedelta | None,
    no_wait: bool,
    dry_run: bool,
    observe: bool,
    replacing: bool,
    replan: bool,
    again: bool,
    reason: str,
    yes: bool,
    output: str,
    sandbox: bool,
    scenario: str | None,
) -> None:
    """Walk a candidate through the plan's stages, to promoted or rolled back.

    Run again with the same candidate it attaches and goes on. It stays until the rollout is done;
    Ctrl-C leaves the rollout as it is, for the next run to go on with.

    \b
    Examples:
      rollout apply plans/ion-api.yaml
      rollout apply plans/ion-api.yaml --dry-run
      rollout apply plans/ion-api.yaml --observe             moves nothing, needs to read only
      rollout apply plans/ion-api.yaml --scenario errors     a rehearsal
      rollout apply plans/ion-api.yaml --image us-docker.pkg.dev/ion-prod/api/ion-api:v42
      rollout apply plans/ion-api.yaml --no-wait             on a schedule, from CI
    """
    from controller.cli import observe as watch
    from controller.cli.beginning import may_replace
    from controller.cli.dry_run import rehearsed
    from controller.cli.following import Detached, follow, leave, leaving_on_signals
    from controller.cli.run import Run
    from controller.cli.views import make

    if observe:
        beside = {"--no-wait": no_wait, "--dry-run": dry_run, "--replace": replacing}
        watch.refuse(beside | {"--replan": replan, "--image": image is not None})
    # A question needs the terminal for itself: nothing is drawn before it.
    view = make(output, sys.stdout, sys.stderr, live=not replacing, observed=observe)
    run = Run(view, timeout=timeout, no_wait=no_wait)
    try:
        with leaving_on_signals(run):
            found = _found(
                target,
                project=project,
                region=region,
                variables=variables,
                revision=revision,
                image=image,
                scenario=options.scenario_of(sandbox, scenario),
            )
            run.place, run.names = found.place, found.names
            run.connection = found.connect(deployed=image is None)
            _warn(run, found)
            wish = replace(
                _wish(run, _plan(found), reason),
                again=again,
                replace=replacing,
                replan=replan,
                image=image or "",
            )
            if replacing:
                run.over = may_replace(run, ask=not (yes or dry_run))
                if output == "text":
                    run.view = view = make(output, sys.stdout, sys.stderr, live=True)
            walk = watch.observed if observe else rehearsed if dry_run else follow
            code = walk(run, wish)
    except Detached:
        code = leave(run)
    except Exception as error:
        stop = as_stop(error)
        if output == "json":
            run.fail(stop)
        if run.is_split_after(stop):
            stop = Stop(stop.message, getattr(stop, "mend", ""), Code.SPLIT)
        raise stop from error
    finally:
        view.close()
    ctx.exit(code)


def _found(
    argument: str,
    *,
    project: str | None,
    region: str | None,
    variables: dict[str, str],
    revision: str | None,
    image: str | None,
    scenario: str | None,
) -> Target:
    from controller.cli.target import find
    from controller.plan.model import Candidate
    from controller.plan.names import REVISION

    found = find(
        argument,
        project=project,
        region=region,
        variables=variables,
        scenario=scenario,
    )
    if found.plan is None:
        raise Stop(
            f"{argument} is no plan", f"apply takes a plan's file: {argument}.yaml?", Code.USAGE
        )
    if found.later and not found.plan.later_regions:
        listed = ", ".join(name.region for name in found.names)
        mend = "--region says it, or a list as the plan's `region:`"
        raise Stop(f"several regions are named ({listed}), and none by the plan", mend, Code.USAGE)
    if image is not None:
        _check_image(image, revision)
    if revision is None:
        return found
    if not REVISION.fullmatch(revision) or not revision.startswith(f"{found.plan.service}-"):
        mend = f"their names begin with {found.plan.service}-: {found.plan.service}-00042-xyz"
        raise Stop(f"{revision!r} is no revision of {found.plan.service}", mend, Code.USAGE)
    return replace(found, plan=replace(found.plan, candidate=Candidate(revision=revision)))


def _check_image(image: str, revision: str | None) -> None:
    if revision is not None:
        raise Stop(
            "--image and --revision together: which is the candidate?",
            "--image deploys a new revision; --revision names one that is deployed already",
            Code.USAGE,
        )
    if not IMAGE.fullmatch(image):
        raise Stop(
            f"{image!r} is no image",
            "it looks like REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG, or …@sha256:DIGEST",
            Code.USAGE,
        )


def _plan(found: Target) -> Plan:
    assert found.plan is not None
    return found.plan


def _wish(run: Run, plan: Plan, reason: str) -> Wish:
    from controller.engine.begin import Wish

    assert run.connection is not None
    rollout = rollout_id(plan.service, run.connection.now())
    return Wish(plan, run.connection.person(), rollout, reason=reason)


def rollout_id(service: str, now: datetime) -> str:
    """Return a fresh rollout's id: readable, sortable, and the same in every rehearsal."""
    tail = sha256(f"{service}/{now.timestamp():.6f}".encode()).hexdigest()[:4]
    return f"{now:%Y%m%d-%H%M%S}-{tail}"


def _warn_of_unset(run: Run, plan: Plan) -> None:
    """Say now, not at 3 a.m., who could not be told of anything from here."""
    for one in plan.notify:
        names = (ref.removeprefix("env:") for ref in (one.url, *one.headers.values()))
        unset = [name for name in names if not os.environ.get(name)]
        if unset:
            run.message("warning", f"{one.name} cannot be told from here: set {', '.join(unset)}")


def _warn(run: Run, found: Target) -> None:
    """Show what the reader found doubtful, and what a CI job would not live to see."""
    from controller.plan.diagnostics import render

    for warning in found.warnings:
        run.message("warning", render([warning]))
    if found.scenario is None:
        run.message("info", found.said)
        if found.left_out:
            text = (
                f"the plan's {', '.join(found.left_out)} is left out, for the environment says so"
            )
            run.message("warning", f"{text}: unset CLOUDSDK_RUN_REGION for all of its regions")
        if not run.no_wait:
            _warn_of_unset(run, _plan(found))
    whole = sum((stage.hold for stage in _plan(found).stages), timedelta())
    waits = not run.no_wait and found.scenario is None
    if os.environ.get("CI") and waits and whole > LONGEST_JOB:
        run.message(
            "warning",
            f"the plan takes {whole.days} d {whole.seconds // 3600} h, longer than a CI job lives: "
            f"`rollout apply {found.place} --no-wait`, run again on a schedule",
        )
