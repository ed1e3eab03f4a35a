"""How a revision really behaves at an instant: the scenario's truths, changes and incidents.

What lives here: which of the scenario's statements hold when, and what they make together. Not
here: drawing requests from it (traffic).

Statements are layers, each applied to what held before it: the setting's healthy app, then what
`like` copies, the revision's own truth, its changes in the order they are written, and incidents
last. Errors and gauges override by key, a latency replaces, `faster` and `slower` multiply. What
the candidate poisons comes on top of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.sandbox.histogram import Lognormal, lognormal
from controller.sandbox.scenario import Moment, RevisionTruth, Truth
from controller.sandbox.world import World

P50_OF_P95 = 4 / 9
HEALTHY_4XX = 0.002
CLASS_CODES: Mapping[str, tuple[tuple[str, float], ...]] = {
    "5xx": (("500", 0.8), ("503", 0.2)),
    "4xx": (("404", 1.0),),
    "3xx": (("302", 1.0),),
}
"""Which response codes a class stands for, and the share of each."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A revision's truth at an instant.

    codes: response code -> fraction of its requests, for all codes but 200. latency: of every
    request, whatever its code. gauges: metric type -> value, in the metric's unit.
    """

    codes: tuple[tuple[str, float], ...]
    latency: Lognormal
    gauges: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One statement and when it holds; since None holds always. owner: whose moments it has."""

    truth: Truth
    owner: str = ""
    since: Moment | None = None
    until: Moment | None = None
    lasts: timedelta | None = None


class Truths:
    """The truths of one region; remembers what the same statements made the last time.

    A moment that is a shift is one of the region's own.
    """

    def __init__(self, world: World, region: str | None = None) -> None:
        self._world = world
        self._region = region
        self._layers: dict[tuple[str, str], tuple[_Layer, ...]] = {}
        self._made: dict[tuple[str, tuple[int, ...], tuple[tuple[str, float], ...]], Behaviour] = {}
        self._steady: dict[str, Behaviour] = {}

    def at(self, revision: str, when: datetime) -> Behaviour:
        """Return how this revision (a name) behaves at an instant of the past or present."""
        return self._steady.get(revision) or self._holding(revision, when)

    def _holding(self, revision: str, when: datetime) -> Behaviour:
        """Compose what holds at this instant; note it as steady where nothing ever changes it."""
        key = revision, self._world.setting.candidate
        layers = self._layers.get(key)
        if layers is None:
            layers = self._layers[key] = self._layers_of(revision)
        holding = tuple(i for i, layer in enumerate(layers) if self._holds(layer, when))
        poison = self._poison(when)
        behaviour = self._made.get((revision, holding, poison))
        if behaviour is None:
            behaviour = self._compose([layers[i].truth for i in holding], dict(poison))
            self._made[revision, holding, poison] = behaviour
        if all(layer.since is layer.until is None for layer in layers) and not (
            self._world.scenario.poison
        ):
            self._steady[revision] = behaviour
        return behaviour

    def _poison(self, when: datetime) -> tuple[tuple[str, float], ...]:
        """Return what the candidate adds to everybody's errors, by its share of the traffic."""
        active = [
            poison
            for poison in self._world.scenario.poison
            if self.holds(poison.since, poison.until, None, when)
        ]
        if not active:
            return ()
        setting = self._world.setting
        spans = self._world.spans(setting.service, when, when + timedelta(seconds=1), self._region)
        share = spans[0].shares.get(setting.candidate, 0.0) if spans else 0.0
        total: dict[str, float] = {}
        for poison in active:
            for code, part in poison.errors.items():
                total[code] = total.get(code, 0.0) + part * share
        return tuple(sorted(total.items()))

    def holds(
        self, since: Moment | None, until: Moment | None, owner: str | None, when: datetime
    ) -> bool:
        """Tell whether `when` is in [since, until); owner: whose shifts are meant where unsaid.

        since None: from the beginning. until None: for ever. A moment to come is not yet.
        """
        owner = owner or self._world.setting.candidate
        if since is not None:
            start = self._world.when(since, owner, self._region)
            if start is None or when < start:
                return False
        end = self._world.when(until, owner, self._region) if until is not None else None
        return end is None or when < end

    def _holds(self, layer: _Layer, when: datetime) -> bool:
        if layer.since is None or layer.lasts is None:
            return self.holds(layer.since, layer.until, layer.owner, when)
        start = self._world.when(layer.since, layer.owner, self._region)
        return start is not None and start <= when < start + layer.lasts

    def _layers_of(self, revision: str) -> tuple[_Layer, ...]:
        candidate = self._world.setting.candidate
        incidents = (
            _Layer(incident.truth, candidate, incident.since, lasts=incident.lasts)
            for incident in self._world.scenario.incidents
        )
        return (_Layer(self._healthy()), *self._said_of(revision, ()), *incidents)

    def _said_of(self, revision: str, asked_by: tuple[str, ...]) -> tuple[_Layer, ...]:
        """Return the layers of a revision, after those of the one it is like (stable, unsaid)."""
        setting, said = self._world.setting, self._world.scenario.revisions
        key = self._world.role(revision)[1]
        truth = said.get(revision) or said.get(key) or RevisionTruth()
        like = setting.revision(truth.like or "stable")
        base: tuple[_Layer, ...] = ()
        if like != revision and like not in asked_by:
            base = self._said_of(like, (*asked_by, revision))
        changes = (_Layer(c.truth, revision, c.since, c.until) for c in truth.changes)
        return (*base, _Layer(truth.truth), *changes)

    def _healthy(self) -> Truth:
        setting = self._world.setting
        return Truth(
            errors={"5xx": setting.stable_error_rate, "4xx": HEALTHY_4XX},
            p50_ms=setting.stable_p95_ms * P50_OF_P95,
            p95_ms=setting.stable_p95_ms,
            gauges_are="good",
        )

    def _all_gauges(self, which: str | None) -> dict[str, float]:
        """Return every gauge of the setting at its good or its bad value, {} for None."""
        gauges = self._world.setting.gauges
        match which:
            case "good":
                return {gauge.metric_type: gauge.good for gauge in gauges}
            case "bad":
                return {gauge.metric_type: gauge.bad for gauge in gauges}
            case _:
                return {}

    def _compose(self, truths: Sequence[Truth], poison: Mapping[str, float]) -> Behaviour:
        errors: dict[str, float] = {}
        gauges: dict[str, float] = {}
        p50 = p95 = 1.0
        for truth in truths:
            errors |= truth.errors or {}
            gauges |= self._all_gauges(truth.gauges_are) | dict(truth.gauges or {})
            p50, p95 = _latency(truth, p50, p95)
        for code, part in poison.items():
            errors[code] = min(errors.get(code, 0.0) + part, 1.0)
        return Behaviour(_codes(errors), lognormal(p50, max(p50, p95)), gauges)


def _latency(truth: Truth, p50: float, p95: float) -> tuple[float, float]:
    """Return the percentiles after one more layer; one that is not said keeps its proportion."""
    if truth.p50_ms is not None and truth.p95_ms is not None:
        p50, p95 = truth.p50_ms, truth.p95_ms
    elif truth.p95_ms is not None:
        p50, p95 = p50 * truth.p95_ms / p95, truth.p95_ms
    elif truth.p50_ms is not None:
        p50, p95 = truth.p50_ms, p95 * truth.p50_ms / p50
    pace = truth.pace if truth.pace is not None else 1.0
    return p50 * pace, p95 * pace


def _codes(errors: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Return the share of each response code but 200; classes become the codes they stand for."""
    shares: dict[str, float] = {}
    for name in sorted(errors):
        for code, part in CLASS_CODES.get(name, ((name, 1.0),)):
            shares[code] = shares.get(code, 0.0) + errors[name] * part
    return tuple((code, share) for code, share in sorted(shares.items()) if share > 0)
