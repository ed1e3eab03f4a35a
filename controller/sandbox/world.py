"""The world: services in regions, what is in force when, and what time brings about.

This is what traffic, Monitoring, checks and the Cloud Run APIs look at. How a service may be
written is in `writes`; what people do in it is in `people`. The world knows nothing of plans,
stages or records.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from urllib.parse import urlsplit

import grpc

from controller.sandbox import initial
from controller.sandbox.clock import VirtualClock
from controller.sandbox.errors import RpcError
from controller.sandbox.faults import ShiftFaults
from controller.sandbox.people import People
from controller.sandbox.scenario import Moment, Scenario
from controller.sandbox.services import Revision, Service, Span, micros
from controller.sandbox.setting import Setting

__all__ = ["Operation", "Place", "Span", "World"]


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL of a service means. tag "": the service's own URL, whose requests are split.

    revision: that the tag names; None for the service's own URL and for an unknown tag.
    """

    region: str
    service: str
    tag: str
    revision: str | None
    path: str


@dataclass(slots=True)
class Operation:
    """A long-running operation of Cloud Run: done once its write is observed (or superseded)."""

    name: str
    service: Service
    generation: int
    failure: str = ""

    @property
    def done(self) -> bool:
        """Tell whether the write that it stands for has come to an end."""
        return self.service.observed >= self.generation


class World:
    """Everything there is.

    base_url: "" gives the URLs Cloud Run would give; "http://127.0.0.1:8080" gives paths under it,
    for a world on a port. Services live under (region, name); wherever a region can be left out,
    the setting's first is meant.
    """

    def __init__(
        self, scenario: Scenario, setting: Setting, clock: VirtualClock, base_url: str = ""
    ) -> None:
        self.scenario = scenario
        self.setting = setting
        self.clock = clock
        self.seed = scenario.seed
        self.project_number = initial.PROJECT_NUMBER
        self.began = clock.now()
        self.announcements: Callable[[str, Mapping[str, str]], None] = lambda _what, _details: None
        self.services: dict[tuple[str, str], Service] = {}
        self.operations: dict[str, Operation] = {}
        self.shift_faults = ShiftFaults(scenario.faults)
        self.people = People(self)
        self._base_url = base_url
        self._last_us = 0
        self._serials = 0
        self._roles = {
            name: (one.service, role)
            for one in setting.each
            for name, role in ((one.stable, "stable"), (one.candidate, "candidate"))
        }
        for region in setting.regions:
            for one in setting.each:
                self.add(initial.service(one, region, self.began, self.next_uid))
        self.people.begin()

    # What traffic, Monitoring and checks ask.

    def spans(
        self, service: str, start: datetime, end: datetime, region: str | None = None
    ) -> tuple[Span, ...]:
        """Return the splits really in force, gapless; before the world began, the initial one.

        Empty where there is no such service (any more).
        """
        found = self.find(service, region)
        return found.spans(start, end) if found else ()

    def shifts_up(
        self, service: str, revision: str, region: str | None = None
    ) -> tuple[datetime, ...]:
        """Return the instants at which the revision's share in force rose, oldest first."""
        found = self.find(service, region)
        return found.rises(revision) if found else ()

    def born(self, revision: str) -> datetime:
        """Return when a revision was created; raises KeyError for one that never was."""
        for service in self.services.values():
            if revision in service.revisions:
                return service.revisions[revision].born
        raise KeyError(revision)

    def seed_of(self, region: str) -> str:
        """Return what a region's chances are drawn from: another region has other ones."""
        first = region == self.setting.regions[0]
        return str(self.seed) if first else f"{self.seed}/{region}"

    def when(
        self, moment: Moment, own: str | None = None, region: str | None = None
    ) -> datetime | None:
        """Return the time that a moment means, None while its shift has not come.

        own: the revision in whose truth the moment stands, region: where.
        """
        if moment.shift is None:
            return self.began + moment.plus
        revision = self.setting.revision(moment.revision or own or "candidate")
        rises = self.shifts_up(self.role(revision)[0], revision, region)
        return rises[moment.shift - 1] + moment.plus if len(rises) >= moment.shift else None

    def role(self, revision: str) -> tuple[str, str]:
        """Return the service of a revision, and what a scenario calls it: "stable", "candidate"."""
        return self._roles.get(revision, (self.setting.service, revision))

    def is_on(self, since: Moment | None, until: Moment | None) -> bool:
        """Tell whether now lies between two moments; None on either side is unbounded."""
        now = self.clock.now()
        if since is not None:
            begins = self.when(since)
            if begins is None or now < begins:
                return False
        ends = self.when(until) if until is not None else None
        return ends is None or now < ends

    # People.

    def people_left(self) -> bool:
        """Tell whether somebody will still do something, unless rollout itself does.

        Who waits for a trigger counts from the moment it is told: tell first, then ask.
        """
        return self.people.left()

    def tell(self, trigger: str) -> None:
        """Let the people know that something was announced ("asked", …)."""
        self.people.hear(trigger)

    # Places.

    @property
    def base_url(self) -> str:
        """Return the address under which a served world's services are, "" in process."""
        return self._base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        for service in self.services.values():
            service.stamp += 1

    def url_of(self, service: str, tag: str | None = None, region: str | None = None) -> str:
        """Return the URL of a service or of one of its tags, without a slash at the end."""
        if self._base_url:
            where = f"tags/{service}/{tag}" if tag else f"services/{service}"
            elsewhere = region is not None and region != self.setting.regions[0]
            return f"{self._base_url}/{f'regions/{region}/' if elsewhere else ''}{where}"
        prefix = f"{tag}---" if tag else ""
        tail = _host_tail(self.setting.project, region or self.setting.regions[0])
        return f"https://{prefix}{service}-{tail}"

    def place_of(self, url: str) -> Place | None:
        """Return what a URL means, None where it is none of a service of this world."""
        parts = urlsplit(url)
        if self._base_url:
            return self._served_place(parts.path)
        host = parts.hostname or ""
        for region, name in self.services:
            tail = f"{name}-{_host_tail(self.setting.project, region)}"
            deterministic = f"{name}-{self.project_number}.{region}.run.app"
            for own in (tail, deterministic):
                if host == own or host.endswith(f"---{own}"):
                    return self._place(
                        region, name, host[: -len(own)].removesuffix("---"), parts.path
                    )
        return None

    def _served_place(self, path: str) -> Place | None:
        region = self.setting.regions[0]
        if path.startswith("/regions/"):
            _, _, region, path = (*path.split("/", 3), "")[:4]
            path = f"/{path}"
        match path.split("/", 4):
            case ["", "tags", name, tag, *rest]:
                pass
            case ["", "services", name, *rest]:
                tag = ""
            case _:
                return None
        if (region, name) not in self.services:
            return None
        return self._place(region, name, tag, "/" + "/".join(rest))

    def _place(self, region: str, name: str, tag: str, path: str) -> Place:
        revision = self.services[region, name].revision_of_tag(tag) if tag else None
        return Place(region, name, tag, revision, path or "/")

    # Services, for the APIs.

    def find(self, name: str, region: str | None = None) -> Service | None:
        """Return a service, None where it does not exist."""
        return self.services.get((region or self.setting.regions[0], name))

    def service(self, region: str, name: str) -> Service:
        """Return a service; raises RpcError NOT_FOUND with Cloud Run's text."""
        found = self.services.get((region, name))
        if found is None:
            raise self.not_found("SERVICE", name, region)
        return found

    def revision(
        self, region: str, name: str, service: str | None = None
    ) -> tuple[Service, Revision]:
        """Return a revision and its service; raises RpcError NOT_FOUND."""
        for (place, owner), candidate in self.services.items():
            if place == region and service in {None, "-", owner} and name in candidate.revisions:
                return candidate, candidate.revisions[name]
        raise self.not_found("REVISION", name, region)

    def not_found(self, kind: str, name: str, region: str) -> RpcError:
        """Return the refusal that Cloud Run gives for what does not exist."""
        return RpcError(
            grpc.StatusCode.NOT_FOUND,
            f"Resource '{name}' of kind '{kind}' in region '{region}' in project "
            f"'{self.setting.project}' does not exist.",
        )

    def add(self, service: Service) -> None:
        """Put a new service into the world, as it is."""
        service.spec_us = service.status_us = self.next_us()
        self.services[service.region, service.name] = service
        self.split_changed(service)

    def split_changed(self, service: Service) -> None:
        """Note the split now in force, and let happen what waits for a shift."""
        for revision in service.note_split(self.clock.now()):
            if service is self.find(self.setting.service):
                self.people.shift_came(revision)

    def starts(self, revision: str) -> bool:
        """Tell whether a new revision is ever ready, by the scenario."""
        said, names = self.scenario.revisions, self.setting
        key = {names.stable: "stable", names.candidate: "candidate"}.get(revision, revision)
        truth = said.get(revision) or said.get(key)
        return truth.starts if truth is not None else True

    def revision_made(self, service: Service, name: str) -> None:
        """Note a new revision: where the candidate was yet to be deployed, this is it."""
        if not self.setting.deployed and service.name == self.setting.service:
            self.setting = replace(self.setting, candidate=name, deployed=True)

    def touch(self, service: Service) -> None:
        """Note that a service's status changed now."""
        service.status_us = self.next_us()
        service.stamp += 1

    def start_operation(self, service: Service) -> Operation:
        """Return a new operation for the write that a service has just taken."""
        operation = Operation(self.next_uid(), service, service.generation)
        self.operations[operation.name] = operation
        return operation

    def next_us(self) -> int:
        """Return the time in microseconds since 1970, each call later than the one before."""
        self._last_us = max(micros(self.clock.now()), self._last_us + 1)
        return self._last_us

    def next_uid(self) -> str:
        """Return a new UUID, the same in every run of the scenario."""
        self._serials += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.seed}/{self._serials}"))


@lru_cache(maxsize=64)
def _host_tail(project: str, region: str) -> str:
    digest = hashlib.sha256(f"{project}/{region}".encode()).hexdigest()
    letters = "".join(chr(ord("a") + int(digit, 16)) for digit in digest[:10])
    parts = region.split("-")
    code = "".join(part[0] for part in parts[:2]) if len(parts) > 1 else region[:2]
    return f"{letters}-{code}.a.run.app"
