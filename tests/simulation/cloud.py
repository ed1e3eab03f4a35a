"""A Cloud Run of one service: what may be written, what comes into force when.

Made from Cloud Run's documentation and the little that is known of its server, independently of
`controller/sandbox`, which another hand could have made the same mistake in as in the adapters.
What is not known is a variant of the scene's `Shape`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from google.cloud import run_v2

from tests.simulation.baton import SECOND, Baton
from tests.simulation.scene import Scene
from tests.simulation.service import (
    MODIFIER,
    RECORD,
    REGION,
    SERVICE,
    START,
    Line,
    Revision,
    Service,
)
from tests.simulation.shown import Json, line_of, revision_v2, service_v1, service_v2, version_of

KEPT = 8  # how many earlier looks of the service a stale read may show


class Answer(Exception):
    """Cloud Run says no. status: gRPC's name."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


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
        if said and version_of(said) < old.version:
            text = f"Conflict for resource '{SERVICE}': version '{version_of(said)}' was specified "
            raise Answer("ABORTED", text + f"but current version is '{old.version}'.")
        lines = tuple(line_of(entry) for entry in spec["traffic"])
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
            self._v2 = (it, service_v2(it, self.region))
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
        return service_v1(service or self.must(), self.region)


def _shares(percents: Mapping[str, int]) -> dict[str, float]:
    return {name: percent / 100 for name, percent in percents.items()}
