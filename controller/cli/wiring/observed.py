"""A traffic router that writes nothing: what would be written is kept in this process only.

What it shows is the service as it would be: asked for and in force at once. All else is the real
service's: its revisions, their readiness, who changed what. Only reading needs permission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.engine.observation import RevisionState, ServiceName, ServiceState, Target, Template
from controller.engine.split import shares, targets_for
from controller.ports import Change, Clock, Conflict, TrafficRouter

VOID_AFTER = timedelta(seconds=60)  # as the real router has it


class ObservedRouter:
    """Decorates a traffic router; candidate: begins with nothing, whatever it gets by hand."""

    def __init__(self, router: TrafficRouter, clock: Clock, candidate: str) -> None:
        self._router = router
        self._clock = clock
        self._candidate = candidate
        self._written: Change | None = None
        self.split: Mapping[str, int] = {}
        """The service's real split, as it was last seen."""

    def observe(self, name: ServiceName) -> ServiceState:
        """Read the service, and show it as if written; see the port."""
        real = self._router.observe(name)
        self.split = real.in_force or real.asked
        return self._as_if(real)

    def fresh(self, name: ServiceName) -> ServiceState:
        """Read it by the same call: nothing is written that a version would have to guard."""
        return self.observe(name)

    def template(self, name: ServiceName) -> Template:
        """Ask the router; see the port."""
        return self._router.template(name)

    def services(self, project: str, region: str) -> tuple[ServiceState, ...]:
        """Ask the router; see the port."""
        return self._router.services(project, region)

    def revision(self, name: ServiceName, revision: str) -> RevisionState:
        """Ask the router; see the port."""
        return self._router.revision(name, revision)

    def revisions(self, name: ServiceName) -> tuple[RevisionState, ...]:
        """Ask the router; see the port."""
        return self._router.revisions(name)

    def write(self, expected: ServiceState, change: Change, decided_at: datetime) -> ServiceState:
        """Keep what would be written, under the conditions of a real write; see the port."""
        if change.raises and self._clock.now() - decided_at > VOID_AFTER:
            raise Conflict("the decision is over 60 s old")
        now = self.observe(expected.name)
        if (now.uid, now.record_text) != (expected.uid, expected.record_text):
            raise Conflict("the service is not any more what was observed")
        self._written = change
        return self._as_if(now)

    def _as_if(self, real: ServiceState) -> ServiceState:
        if self._written is None:
            if not real.asked.get(self._candidate) or len(real.asked) == 1:
                return real
            targets = targets_for(real, shares(real.asked, self._candidate, 0), {})
            record = real.record_text
        else:
            targets, record = self._written.targets, self._written.record_text
        statuses = tuple(replace(one, url=_url(real, one)) for one in targets)
        return replace(
            real, targets=targets, statuses=statuses, record_text=record, reconciling=False
        )


def _url(real: ServiceState, target: Target) -> str | None:
    """Return where a tag's revision can be asked in truth: by any tag of it, or as the service."""
    if target.tag is None:
        return None
    tagged = {one.revision: one.url for one in real.statuses if one.tag and one.url}
    if target.revision in tagged:
        return tagged[target.revision]
    return real.url if target.revision and real.in_force == {target.revision: 100} else None
