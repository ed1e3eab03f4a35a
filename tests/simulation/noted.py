"""The record in the service, read by hand, as the JSON that stands there.

The observer shares no code with the codec: a mistake of one must not hide in the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tests.simulation.scene import PlanFacts


@dataclass(frozen=True, slots=True)
class Noted:
    """What the record in the service says, read by hand."""

    rollout: str
    candidate: str
    uid: str
    phase: str
    stage: int
    weight: int
    seq: int
    ask: str
    ask_since: str
    paused: bool
    shifting: bool
    approved: frozenset[int]
    waived: frozenset[int]
    stepped_back: frozenset[int]
    last: tuple[Any, ...]
    transitions: tuple[tuple[Any, ...], ...]
    outcome: str
    before: Mapping[str, int]
    trial: bool
    in_force: str
    noted: int
    after: str
    digest: str
    stages: tuple[str, ...]  # as they stand in its plan

    @property
    def which(self) -> tuple[str, str]:
        """Return what tells rollouts apart: a service made anew begins one of its own.

        Of several regions each has the same id, which it keeps when one of them begins again.
        """
        return self.rollout, self.uid


@lru_cache(maxsize=16)
def noted(text: str | None) -> Noted | None:
    """Return what a record says, None for none and for what is none."""
    try:
        value = json.loads(text or "")
        transitions = tuple(tuple(one) for one in value.get("transitions", []))
        outcomes = value.get("outcomes", [])
        return Noted(
            rollout=value["id"],
            candidate=value["candidate"],
            uid=value["uid"],
            phase=value["phase"],
            stage=value["stage"],
            weight=value["weight"],
            seq=value["seq"],
            ask=(value.get("ask") or [""])[0],
            ask_since=(value.get("ask") or ["", "", ""])[2],
            paused="paused" in value,
            shifting="shift" in value,
            approved=frozenset(value.get("approved", [])),
            waived=frozenset(value.get("waived", [])),
            stepped_back=frozenset(value.get("stepped_back", [])),
            last=transitions[-1] if transitions else (),
            transitions=transitions,
            outcome=outcomes[-1][0] if outcomes and value["phase"] == "done" else "",
            before=value["before"],
            trial="trial" in value,
            in_force=value.get("in_force", ""),
            noted=value.get("noted", len(transitions)),
            after=value.get("after", ""),
            digest=value["digest"],
            stages=_stages(value["plan"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _stages(plan: str) -> tuple[str, ...]:
    return tuple(json.dumps(stage, sort_keys=True) for stage in json.loads(plan).get("stages", ()))


def fits(facts: PlanFacts, stages: tuple[str, ...]) -> bool:
    """Tell whether these are the stages of that plan."""
    found = [json.loads(text) for text in stages]
    return [(s.weight, s.hold, s.approval) for s in facts.stages] == [
        (one["weight"], one.get("hold", 0), bool(one.get("approval"))) for one in found
    ]
