"""What a command is about: a plan, or a service by name; and where that service is.

Here: reading the plan's file, project and region with who said them. No client is made here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.stops import Code, Stop
from controller.engine.observation import ServiceName

if TYPE_CHECKING:
    from controller.cli.wiring import Connection, Resolved
    from controller.plan.diagnostics import Diagnostic
    from controller.plan.model import Plan

SANDBOX_PROJECT = "demo"
SANDBOX_REGION = "us-central1"


@dataclass(frozen=True, slots=True)
class Target:
    """A service and, where one was named, its plan.

    argument: as it was typed, quoted for a shell's paste by `place`. name: the service in the first
    region, later: in those after it. said: who named project and region. left_out: regions of the
    plan that the environment leaves out.
    """

    argument: str
    name: ServiceName
    plan: Plan | None = None
    warnings: tuple[Diagnostic, ...] = ()
    said: str = ""
    scenario: str | None = None
    later: tuple[ServiceName, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[ServiceName, ...]:
        """Return the service in every region, in the plan's order."""
        return (self.name, *self.later)

    @property
    def place(self) -> str:
        """Return what another command needs to mean the same service."""
        name = self.name
        if self.plan is None or self.argument == "-":
            return place_of(name)
        plan = self.argument if " " not in self.argument else f"'{self.argument}'"
        is_one_of_several = bool(self.plan.later_regions) and not self.later
        return f"{plan} --region {name.region}" if is_one_of_several else plan

    def connect(self, *, deployed: bool = True) -> Connection:
        """Connect to where the service is. Raises PortError.

        deployed: whether a sandbox's world begins with the candidate in it.
        """
        from controller.cli import wiring

        if self.scenario is not None:
            return wiring.rehearse(
                self.name, self.plan, self.scenario, os.environ, deployed=deployed
            )
        return wiring.connect(self.name, os.environ)


def place_of(name: ServiceName) -> str:
    """Return what another command needs to mean this service."""
    return name.place


def looks_like_plan(argument: str) -> bool:
    """Tell a plan's path from a service's name."""
    return (
        argument == "-"
        or argument.endswith((".yaml", ".yml"))
        or "/" in argument
        or os.sep in argument
        or Path(argument).is_file()
    )


def find(
    argument: str,
    *,
    project: str | None,
    region: str | None,
    variables: Mapping[str, str] | None = None,
    scenario: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Target:
    """Return what the arguments mean. Flags win over the environment, which wins over the plan.

    scenario: the sandbox's; in it the environment says nothing, and there is always a project.
    Raises PlanInvalid, and Stop (2) where project or region are not said.
    """
    env = os.environ if env is None else env
    target = Target(argument, ServiceName("", "", argument), scenario=scenario)
    plan = None
    if looks_like_plan(argument):
        plan, warnings = read(argument, variables or {}, env)
        target = replace(target, plan=plan, warnings=warnings)
    from controller.cli.wiring import IN_THE_PLAN, Resolved, resolve_project, resolve_region

    around: Mapping[str, str] = {} if scenario is not None else env
    named = resolve_project(project, around, plan.project if plan else None)
    there = resolve_region(region, around, plan.region if plan else None)
    if scenario is not None:
        named = named or Resolved(SANDBOX_PROJECT, "the sandbox")
        there = there or Resolved(SANDBOX_REGION, "the sandbox")
    if named is None:
        mend = "--project P, GOOGLE_CLOUD_PROJECT, or `project:` in the plan"
        raise Stop("no project is named", mend, Code.USAGE)
    if there is None:
        mend = "--region R, CLOUDSDK_RUN_REGION, or `region:` in the plan"
        raise Stop("no region is named", mend, Code.USAGE)
    service = plan.service if plan is not None else argument
    in_plan = plan is not None and there.source == IN_THE_PLAN
    regions = plan.regions if plan is not None and in_plan else _listed(there, plan)
    where = f"region{'s' if len(regions) > 1 else ''} {', '.join(regions)} ({there.source})"
    names = tuple(ServiceName(named.value, region, service) for region in regions)
    said = f"project {named.value} ({named.source}), {where}"
    left_out: tuple[str, ...] = ()
    if plan is not None and region is None and len(plan.regions) > 1:
        left_out = tuple(one for one in plan.regions if one not in regions)
    return replace(target, name=names[0], later=names[1:], said=said, left_out=left_out)


def _listed(there: Resolved, plan: Plan | None) -> tuple[str, ...]:
    """Return the regions that a flag or the environment names, with commas between.

    Beside a plan a list of several says where rollouts are looked for: it chooses among the plan's,
    and adds none. Raises Stop (2) where none is chosen.
    """
    parts = (part.strip() for part in there.value.split(","))
    listed = tuple(dict.fromkeys(part for part in parts if part)) or (there.value,)
    if plan is None or len(listed) == 1 or not plan.regions:
        return listed
    chosen = tuple(one for one in plan.regions if one in listed)
    if not chosen:
        what = f"none of {', '.join(listed)} ({there.source}) is a region of the plan"
        raise Stop(what, f"--region one of {', '.join(plan.regions)}", Code.USAGE)
    return chosen


@dataclass(frozen=True, slots=True)
class Area:
    """Where the services of a project are looked for. regions: at least one."""

    project: str
    regions: tuple[str, ...]

    def place(self, name: ServiceName) -> str:
        """Return what another command needs to mean a service found there."""
        return Target(name.service, name).place


def area(project: str | None, regions: Sequence[str], env: Mapping[str, str] | None = None) -> Area:
    """Return which project and regions are meant where no plan says it; raises Stop (2)."""
    from controller.cli.wiring import resolve_project, resolve_region

    env = os.environ if env is None else env
    named = resolve_project(project, env, None)
    there = resolve_region(",".join(regions) or None, env, None)
    if named is None:
        raise Stop("no project is named", "--project P, or GOOGLE_CLOUD_PROJECT", Code.USAGE)
    if there is None:
        mend = "--region R (or several: --region R,S), or CLOUDSDK_RUN_REGION"
        raise Stop("no region is named", mend, Code.USAGE)
    parts = (part.strip() for part in there.value.split(","))
    return Area(named.value, tuple(dict.fromkeys(part for part in parts if part)))


def find_many(
    arguments: Sequence[str],
    *,
    project: str | None,
    regions: Sequence[str],
    variables: Mapping[str, str] | None = None,
) -> tuple[Target, ...]:
    """Return what several arguments mean, each in every region that is named.

    Where none is, the environment or the plan says it. Two that mean one service are one. Raises
    as `find` does.
    """
    found: dict[ServiceName, Target] = {}
    for argument in arguments:
        for region in regions or (None,):
            every = find(argument, project=project, region=region, variables=variables)
            for name in every.names:
                one = replace(every, name=name, later=())
                if one.name not in found or one.plan is not None:
                    found[one.name] = one
    return tuple(found.values())


def read(
    path: str, variables: Mapping[str, str], env: Mapping[str, str]
) -> tuple[Plan, tuple[Diagnostic, ...]]:
    """Read a plan's file, "-" for standard input. Raises PlanInvalid."""
    from controller.plan.reader import read_plan
    from controller.plan.source import MOST_BYTES, Source, load

    if path == "-":
        source = Source("standard input", sys.stdin.buffer.read(MOST_BYTES + 1))
    else:
        source = load(path)
    reading = read_plan(source, env=env, variables=variables)
    return reading.plan, reading.warnings
