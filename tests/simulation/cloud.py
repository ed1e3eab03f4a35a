"""A Cloud Run of one service: what may be written, what comes into force when, how it looks.

Made from Cloud Run's documentation and the little that is known of its server, independently of
`controller/sandbox`, which another hand could have made the same mistake in as in the adapters.
What is not known is a variant of the scene's `Shape`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from google.cloud import run_v2

from tests.simulation.baton import SECOND, Baton
from tests.simulation.scene import Scene

Json = dict[str, Any]
START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
PROJECT, REGION, SERVICE = "sim", "us-central1", "web"
HOST = "web-abc-uc.a.run.app"
RECORD = "rollout/record"
MODIFIER = "serving.knative.dev/lastModifier"
KEPT = 8  # how many earlier looks of the service a stale read may show
_READY = {True: 4, False: 3, None: 2}
_ServicePb, _RevisionPb = run_v2.Service.pb(), run_v2.Revision.pb()


class Answer(Exception):
    """Cloud Run says no. status: gRPC's name."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def path_in(region: str) -> str:
    """Return the service's full name."""
    return f"projects/{PROJECT}/locations/{region}/services/{SERVICE}"


def instant(now: int) -> datetime:
    """Return the world's time as a datetime."""
    return START + timedelta(microseconds=now)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a traffic list. revision None: LATEST."""

    revision: str | None
    percent: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision. ready None: it is being started."""

    name: str
    born: int
    ready: bool | None = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """The service as it is between two changes: frozen, so that a look of it can be kept.

    version: µs of the last write a later one is checked against; status_at: of the last change.
    """

    uid: str
    generation: int
    observed: int
    version: int
    status_at: int
    notes: Mapping[str, str]
    template: str
    traffic: tuple[Line, ...]
    in_force: tuple[Line, ...]
    ready: bool | None
    message: str
    revisions: Mapping[str, Revision]
    latest_ready: str
    latest_created: str

    @property
    def record(self) -> str | None:
        """Return the annotation that rollout keeps."""
        return self.notes.get(RECORD)

    def percents(self, lines: tuple[Line, ...]) -> dict[str, int]:
        """Return revision → percent of a traffic list, LATEST resolved."""
        found: dict[str, int] = {}
        for line in lines:
            if line.percent:
                name = line.revision or self.latest_ready
                found[name] = found.get(name, 0) + line.percent
        return found

    @property
    def asked(self) -> dict[str, int]:
        """Return what was asked for."""
        return self.percents(self.traffic)

    @property
    def serving(self) -> dict[str, int]:
        """Return what is in force."""
        return self.percents(self.in_force)

    def tags(self) -> dict[str, str]:
        """Return tag → revision as asked for."""
        return {line.tag: line.revision or self.latest_ready for line in self.traffic if line.tag}

    def can_serve(self, lines: tuple[Line, ...]) -> str:
        """Return why a traffic list cannot come into force, or nothing."""
        for name in self.percents(lines):
            found = self.revisions.get(name)
            if found is None:
                return f"Revision '{name}' not found."
            if found.ready is False:
                return f"Revision '{name}' is not ready and cannot serve traffic. {found.why}"
        for tag, name in self.tags().items() if lines is self.traffic else ():
            if name not in self.revisions:
                return f"Revision '{name}' of tag '{tag}' not found."
        return ""


Watcher = Callable[[Service | None, Service | None, str], None]


@dataclass(eq=False)
class Cloud:
    """The service, its past, and what time does to it. watcher: called after every change."""

    scene: Scene
    baton: Baton
    service: Service | None = None
    # since when which split was in force: (µs, revision → share)
    spans: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    past: list[tuple[int, Service | None]] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    serial: int = 0
    region: str = REGION
    course: Callable[[], tuple[float, str]] = lambda: (0.0, "")
    _last_us: int = 0
    _v2: tuple[Service, bytes] | None = None

    def __post_init__(self) -> None:
        shape, mine = self.scene.shape, self.scene.candidate
        born = -3600 * SECOND
        revisions = {
            name: Revision(name, born + at) for at, name in enumerate(sorted(shape.before))
        }
        # Where LATEST serves, the candidate is an older revision: else it would serve already.
        revisions[mine] = Revision(mine, born + (-1 if shape.latest else 1000))
        newest = max(revisions.values(), key=lambda one: one.born).name
        lines = tuple(
            Line(None if shape.latest and name == newest else name, percent)
            for name, percent in sorted(shape.before.items())
        )
        lines += tuple(Line(name, 0, tag) for tag, name in shape.tags.items())
        first = Service(
            uid="uid-1",
            generation=3,
            observed=3,
            version=self._next(),
            status_at=self._next(),
            notes={"team": "web", MODIFIER: "deployer@example.com"},
            template="image:2",
            traffic=lines,
            in_force=lines,
            ready=True,
            message="",
            revisions=revisions,
            latest_ready=newest,
            latest_created=newest,
        )
        self.service = first
        self.spans.append((born, _shares(first.serving)))

    # Reading.

    def must(self) -> Service:
        """Return the service; raises NOT_FOUND where it is deleted."""
        if self.service is None:
            raise Answer("NOT_FOUND", f"Resource '{SERVICE}' of kind 'SERVICE' does not exist.")
        return self.service

    def earlier(self, ago: int) -> Service | None:
        """Return the service as it was so many microseconds ago, as far as that is kept."""
        wanted = self.baton.now - ago
        for when, service in reversed(self.past):
            if when <= wanted:
                return service
        return self.past[0][1] if self.past else self.service

    def revision(self, name: str) -> Revision:
        """Return a revision; raises NOT_FOUND."""
        found = self.must().revisions.get(name)
        if found is None:
            raise Answer("NOT_FOUND", f"Resource '{name}' of kind 'REVISION' does not exist.")
        return found

    def share_in(self, revision: str, start: int, end: int) -> float:
        """Return the seconds, times its share, that a revision served in (start, end]."""
        total = 0.0
        for at, (since, shares) in enumerate(self.spans):
            until = self.spans[at + 1][0] if at + 1 < len(self.spans) else end
            overlap = min(until, end) - max(since, start)
            if overlap > 0 and revision in shares:
                total += shares[revision] * overlap / SECOND
        return total

    # Writing.

    def put(self, body: Json, who: str) -> Service:
        """Replace the service by a v1 object, as replaceService does."""
        old = self.must()
        metadata, spec = body["metadata"], body["spec"]
        said = metadata.get("resourceVersion")
        if said and _version(said) < old.version:
            text = f"Conflict for resource '{SERVICE}': version '{_version(said)}' was specified "
            raise Answer("ABORTED", text + f"but current version is '{old.version}'.")
        lines = tuple(_line(entry) for entry in spec["traffic"])
        if sum(line.percent for line in lines) != 100:
            raise Answer("INVALID_ARGUMENT", "spec.traffic: percents must sum to 100.")
        tags = [line.tag for line in lines if line.tag]
        if len(set(tags)) != len(tags):
            raise Answer("INVALID_ARGUMENT", "spec.traffic: a tag is used twice.")
        refuses = self.scene.shape.refuses_missing
        if refuses and any(line.revision and line.revision not in old.revisions for line in lines):
            raise Answer("INVALID_ARGUMENT", "spec.traffic: a revision was not found.")
        notes = {k: v for k, v in metadata.get("annotations", {}).items() if k != MODIFIER}
        return self._write(
            old, traffic=lines, notes=notes, template=spec["template"]["image"], who=who
        )

    def by_hand(
        self,
        who: str,
        *,
        traffic: tuple[Line, ...] | None = None,
        record: str | None = None,
        forget: bool = False,
    ) -> None:
        """Let somebody else write: traffic, or the annotation (forget: delete it)."""
        old = self.service
        if old is None:
            return
        notes = {k: v for k, v in old.notes.items() if k != MODIFIER}
        if record is not None:
            notes[RECORD] = record
        if forget:
            notes.pop(RECORD, None)
        lines = old.traffic if traffic is None else traffic
        self._write(old, traffic=lines, notes=notes, template=old.template, who=who)

    def _write(
        self, old: Service, *, traffic: tuple[Line, ...], notes: Json, template: str, who: str
    ) -> Service:
        shape = self.scene.shape
        spec = traffic != old.traffic or template != old.template
        same = {k: v for k, v in old.notes.items() if k != MODIFIER} == notes
        if not spec and same:
            return old
        moves = spec or shape.generation_on_notes
        now = self._next()
        new = replace(
            old,
            generation=old.generation + moves,
            version=now if spec or shape.version_on_notes else old.version,
            status_at=now,
            notes={**notes, MODIFIER: who},
            template=template,
            traffic=traffic,
            ready=None if moves else old.ready,
        )
        self.changed(new, who)
        if moves:
            delay, fails = self.course() if spec else (min(2.0, shape.reconcile), "")
            self._settle_after(delay, fails)
        return new

    def deploy(self, name: str, who: str, *, ready: bool) -> None:
        """Let somebody deploy a new revision without traffic."""
        old = self.service
        if old is None or name in old.revisions:
            return
        self.serial += 1
        revisions = {**old.revisions, name: Revision(name, self.baton.now, None)}
        self._write(
            replace(old, revisions=revisions, latest_created=name),
            traffic=old.traffic,
            notes={k: v for k, v in old.notes.items() if k != MODIFIER},
            template=f"image:{name}",
            who=who,
        )
        why = "" if ready else "The user-provided container failed to start."
        self.baton.after(8.0, lambda: self.set_ready(name, ready=ready, why=why))

    def set_ready(self, name: str, *, ready: bool, why: str) -> None:
        """Let a revision become ready, or lose it."""
        service = self.service
        if service is None or name not in service.revisions:
            return
        revisions = {
            **service.revisions,
            name: replace(service.revisions[name], ready=ready, why=why),
        }
        good = [one for one in revisions.values() if one.ready]
        latest = max(good, key=lambda one: (one.born, one.name), default=None)
        self.touched(
            replace(service, revisions=revisions, latest_ready=latest.name if latest else "")
        )

    def delete_revision(self, name: str) -> None:
        """Let somebody delete a revision, whatever it serves."""
        service = self.service
        if service is None:
            return
        left = {n: one for n, one in service.revisions.items() if n != name}
        good = [one for one in left.values() if one.ready]
        latest = max(good, key=lambda one: (one.born, one.name), default=None)
        self.touched(replace(service, revisions=left, latest_ready=latest.name if latest else ""))

    def delete(self) -> None:
        """Let somebody delete the service."""
        self.changed(None, "somebody@example.com")

    def recreate(self, *, as_it_was: bool = False) -> None:
        """Let somebody make the service anew: as it was (an export's file), or without rollout."""
        last = next((s for _, s in reversed(self.past) if s is not None), None)
        if self.service is not None or last is None:
            return
        self.serial += 1
        if as_it_was:
            copy = replace(last, uid=f"uid-{self.serial + 1}", version=self._next())
            self.changed(copy, "somebody@example.com")
            self._note_span()
            return
        name = f"{SERVICE}-9{self.serial:04d}-new"
        now = self._next()
        lines = (Line(None, 100),)
        fresh = replace(
            last,
            uid=f"uid-{self.serial + 1}",
            generation=1,
            observed=1,
            version=now,
            status_at=now,
            notes={MODIFIER: "somebody@example.com"},
            traffic=lines,
            in_force=lines,
            ready=True,
            message="",
            revisions={name: Revision(name, self.baton.now)},
            latest_ready=name,
            latest_created=name,
        )
        self.changed(fresh, "somebody@example.com")
        self._note_span()

    # What time brings about.

    def touched(self, new: Service) -> None:
        """Take a change of status."""
        now = self._next()
        moves = self.scene.shape.version_on_status
        self.changed(replace(new, status_at=now, version=now if moves else new.version), "")
        self._note_span()

    def changed(self, new: Service | None, who: str) -> None:
        """Take a change, and let the watchers see it. who: its writer, "" for the cloud itself."""
        old = self.service
        self.past.append((self.baton.now, old))
        del self.past[:-KEPT]
        self.service = new
        for watcher in self.watchers:
            watcher(old, new, who)

    def _settle_after(self, delay: float, fails: str) -> None:
        assert self.service is not None
        uid, generation = self.service.uid, self.service.generation

        def settle() -> None:
            now = self.service
            if now is None or now.uid != uid or now.generation != generation:
                return  # another write superseded it
            why = fails or now.can_serve(now.traffic)
            in_force = now.in_force if why else now.traffic
            self.touched(
                replace(now, observed=generation, ready=not why, message=why, in_force=in_force)
            )
            if why:  # Cloud Run tries again of itself, now and then
                self.baton.after(120.0, lambda: self._try_again(uid, generation))

        self.baton.after(delay, settle)

    def _try_again(self, uid: str, generation: int) -> None:
        now = self.service
        if now is None or now.uid != uid or now.generation != generation or now.ready:
            return
        delay, fails = self.course()
        self._settle_after(delay, fails)

    def _note_span(self) -> None:
        service = self.service
        shares = _shares(service.serving) if service is not None else {}
        if shares != self.spans[-1][1]:
            self.spans.append((self.baton.now, shares))

    def _next(self) -> int:
        self._last_us = max(self._last_us + 1, round(START.timestamp()) * SECOND + self.baton.now)
        return self._last_us

    # How it looks.

    def v2(self, service: Service | None = None) -> bytes:
        """Return a google.cloud.run.v2.Service, serialised."""
        it = service or self.must()
        if self._v2 is None or self._v2[0] is not it:
            self._v2 = (it, _v2(it, self.region))
        return self._v2[1]

    def list_revisions(self) -> bytes:
        """Return a ListRevisionsResponse, serialised."""
        answer = run_v2.ListRevisionsResponse.pb()()
        for it in self.must().revisions.values():
            answer.revisions.add().ParseFromString(revision_v2(it, self.region))
        return bytes(answer.SerializeToString())

    def list_services(self) -> bytes:
        """Return a ListServicesResponse, serialised."""
        answer = run_v2.ListServicesResponse.pb()()
        if self.service is not None:
            answer.services.add().ParseFromString(self.v2())
        return bytes(answer.SerializeToString())

    def v1(self, service: Service | None = None) -> Json:
        """Return the v1 (Knative) object."""
        return _v1(service or self.must(), self.region)


@lru_cache(maxsize=64)
def revision_v2(it: Revision, region: str = REGION) -> bytes:
    """Return a google.cloud.run.v2.Revision, serialised."""
    shown = _RevisionPb(name=f"{path_in(region)}/revisions/{it.name}", uid=f"r-{it.name}")
    shown.conditions.add(type_="Ready", state=_READY[it.ready], message=it.why)
    shown.create_time.FromDatetime(instant(it.born))
    shown.containers.add(image=f"image:{it.name}")
    return bytes(shown.SerializeToString())


def _shares(percents: Mapping[str, int]) -> dict[str, float]:
    return {name: percent / 100 for name, percent in percents.items()}


def _v2(it: Service, region: str) -> bytes:
    path = path_in(region)
    shown = _ServicePb(
        name=path,
        uid=it.uid,
        generation=it.generation,
        observed_generation=it.observed,
        annotations={k: v for k, v in it.notes.items() if k != MODIFIER},
        last_modifier=it.notes.get(MODIFIER, ""),
        reconciling=it.observed < it.generation,
        latest_ready_revision=f"{path}/revisions/{it.latest_ready}" if it.latest_ready else "",
        latest_created_revision=f"{path}/revisions/{it.latest_created}",
        uri=f"https://{HOST}",
        etag=f'"{it.status_at}"',
    )
    for line in it.traffic:
        entry = shown.traffic.add(percent=line.percent, tag=line.tag)
        entry.type_, entry.revision = (2, line.revision) if line.revision else (1, "")
    for line in it.in_force:
        shown.traffic_statuses.add(
            type_=2 if line.revision else 1,
            revision=line.revision or "",
            percent=line.percent,
            tag=line.tag,
            uri=f"https://{line.tag}---{HOST}" if line.tag else "",
        )
    shown.terminal_condition.type_ = "Ready"
    shown.terminal_condition.state = _READY[it.ready]
    shown.terminal_condition.message = it.message
    return bytes(shown.SerializeToString())


def _v1(it: Service, region: str) -> Json:
    ready = {True: "True", False: "False", None: "Unknown"}[it.ready]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE,
            "namespace": PROJECT,
            "uid": it.uid,
            "generation": it.generation,
            "resourceVersion": _version_text(max(it.version, it.status_at)),
            "annotations": dict(it.notes),
            "labels": {"cloud.googleapis.com/location": region},
        },
        "spec": {
            "template": {"metadata": {}, "spec": {"containers": []}, "image": it.template},
            "traffic": [_v1_line(line) for line in it.traffic],
        },
        "status": {
            "observedGeneration": it.observed,
            "conditions": [{"type": "Ready", "status": ready, "message": it.message}],
            "latestReadyRevisionName": it.latest_ready,
            "latestCreatedRevisionName": it.latest_created,
            "traffic": [_v1_status(it, line) for line in it.in_force],
            "url": f"https://{HOST}",
        },
    }


def _v1_status(it: Service, line: Line) -> Json:
    shown = {**_v1_line(line), "revisionName": line.revision or it.latest_ready}
    return {**shown, "url": f"https://{line.tag}---{HOST}"} if line.tag else shown


def _v1_line(line: Line) -> Json:
    shown: Json = {"revisionName": line.revision} if line.revision else {"latestRevision": True}
    if line.percent:
        shown["percent"] = line.percent
    if line.tag:
        shown["tag"] = line.tag
    return shown


def _line(entry: Json) -> Line:
    latest = entry.get("latestRevision", False)
    return Line(
        None if latest else entry["revisionName"], entry.get("percent", 0), entry.get("tag", "")
    )


def _version_text(micros: int) -> str:
    return base64.b64encode(micros.to_bytes(8, "big")).decode().rstrip("=")


def _version(text: str) -> int:
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4)), "big")
