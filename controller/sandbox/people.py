"""The people of a scenario: what they do to the world, and what they say.

What is done goes through the same writes as a client's. What is said (approve, pause, …) is
only announced: wiring runs the real command.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import TYPE_CHECKING

from controller.sandbox import writes
from controller.sandbox.scenario import SAYS, Act
from controller.sandbox.services import Json, Service, targets_of

if TYPE_CHECKING:
    from controller.sandbox.world import World


class People:
    """Everybody in a scenario, each with what they wait for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._scheduled = 0

    def begin(self) -> None:
        """Schedule what happens at a time known in advance."""
        for act in self._world.scenario.people:
            if act.since is not None and act.since.shift is None:
                self._schedule(act, self._world.began + act.since.plus + act.after)

    def shift_came(self, revision: str) -> None:
        """Schedule what waits for this shift of a revision."""
        world = self._world
        count = len(world.shifts_up(world.setting.service, revision))
        for act in world.scenario.people:
            since = act.since
            if (
                since is not None
                and since.shift == count
                and world.setting.revision(since.revision or "candidate") == revision
            ):
                self._schedule(act, world.clock.now() + since.plus + act.after)

    def hear(self, trigger: str) -> None:
        """Schedule what waits for a trigger; it may be told more than once."""
        for act in self._world.scenario.people:
            if act.trigger == trigger:
                self._schedule(act, self._world.clock.now() + act.after)

    def left(self) -> bool:
        """Tell whether anything is scheduled."""
        return self._scheduled > 0

    def _schedule(self, act: Act, when: datetime) -> None:
        self._scheduled += 1

        def happen() -> None:
            self._scheduled -= 1
            self.do(act)

        self._world.clock.at(when, happen)

    def do(self, act: Act) -> None:
        """Let a person act now; on a service that is gone nothing happens."""
        world = self._world
        if act.do in SAYS:
            world.announcements(act.do, {"person": act.person, **act.details})
            return
        service = world.find(world.setting.service)
        if service is None:
            return
        revision = world.setting.revision(act.details.get("revision", "candidate"))
        match act.do:
            case "traffic":
                self._replace(service, act, traffic=self._split(service, act))
            case "deploy":
                self._deploy(service, act)
            case "ready" | "unready":
                state = "ready" if act.do == "ready" else "failed"
                writes.set_readiness(world, service, revision, state, writes.NOT_LISTENING)
            case "set_annotation":
                key, value = act.details["key"], act.details.get("value", "")
                self._replace(service, act, annotations={key: value})
            case "delete_annotation":
                self._replace(service, act, annotations={act.details["key"]: None})
            case "delete_revision":
                writes.delete_revision(world, service, revision, force=True)
            case "delete_service":
                writes.delete_service(world, service)
            case _:
                raise ValueError(f"nobody can {act.do!r}")

    def _split(self, service: Service, act: Act) -> list[Json]:
        """Return a traffic list as gcloud writes it: percents first, tags kept without one."""
        wanted = {self._world.setting.revision(key): percent for key, percent in act.split.items()}
        traffic: list[Json] = [
            {"revisionName": name, "percent": percent}
            for name, percent in wanted.items()
            if percent
        ]
        traffic.extend(
            {"revisionName": service.resolve(target), "tag": target.tag}
            for target in targets_of(service.raw["spec"].get("traffic"))
            if target.tag
        )
        return traffic

    def _deploy(self, service: Service, act: Act) -> None:
        body = copy.deepcopy(service.raw)
        template = body["spec"]["template"]
        template["metadata"] = {**template.get("metadata", {})}
        template["metadata"].pop("name", None)
        if "revision" in act.details:
            template["metadata"]["name"] = act.details["revision"]
        container = template["spec"]["containers"][0]
        default = f"{container['image'].rsplit(':', 1)[0]}:v{service.generation + 1}"
        container["image"] = act.details.get("image", default)
        writes.replace(self._world, service, body, who=act.person)

    def _replace(
        self,
        service: Service,
        act: Act,
        traffic: list[Json] | None = None,
        annotations: dict[str, str | None] | None = None,
    ) -> None:
        body = copy.deepcopy(service.raw)
        if traffic is not None:
            body["spec"]["traffic"] = traffic
        for key, value in (annotations or {}).items():
            if value is None:
                body["metadata"]["annotations"].pop(key, None)
            else:
                body["metadata"]["annotations"][key] = value
        writes.replace(self._world, service, body, who=act.person)
