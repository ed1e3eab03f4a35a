"""Incidents that wait for the rollout to be somewhere: paused in the last stage, rolling back, …

An incident comes at a time, at a call, or has such an aim. Where a rollout is shows only when its
service changes, so a run without aims pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.simulation.baton import SECOND
from tests.simulation.scene import Incident
from tests.simulation.view import View

PATIENCE = 1_200  # seconds that a run is kept up for the calls an aim waits for


@dataclass(eq=False)
class Aims:
    """Follows where the rollout is. waiting: incidents not yet met, by their place in the scene.

    place: state and kind of stage; since: µs; calls: that began since it is there.
    """

    view: View
    now: Callable[[], int]
    waiting: dict[int, Incident] = field(default_factory=dict)
    place: tuple[str, str] = ("none", "before the first")
    since: int = 0
    calls: int = 0

    def moved(self) -> None:
        """Look where the rollout is, after a change of its service."""
        place = (self.view.state(), self.view.stage_kind())
        if place != self.place:
            self.place, self.since, self.calls = place, self.now(), 0

    def at_once(self) -> Iterator[int]:
        """Yield those that strike as soon as it is there."""
        yield from (at for at, one in self._here() if one.aim is not None and not one.aim.nth)

    def at_call(self, *, before: bool) -> Iterator[int]:
        """Yield those that strike at this call, before or after its effect."""
        for at, one in self._here():
            assert one.aim is not None
            if one.aim.nth and one.aim.nth <= self.calls and one.before is before:
                yield at

    def keep_up(self) -> bool:
        """Tell whether the run should go on for what waits for a call here."""
        waited = (self.now() - self.since) / SECOND
        return bool(self.waiting) and waited < PATIENCE and any(self._here())

    def _here(self) -> list[tuple[int, Incident]]:
        return [
            (at, one)
            for at, one in self.waiting.items()
            if one.aim is not None and (one.aim.state, one.aim.stage) == self.place
        ]
