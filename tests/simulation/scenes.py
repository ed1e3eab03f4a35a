"""Scenes written by hand: a calm one to build on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.simulation.incidents import CANDIDATE, OTHERS
from tests.simulation.scene import PlanFacts, Process, Scene, Shape, StageFacts, Truth

STABLE = OTHERS[0]
PLAN = f"""
service: web
project: sim
region: us-central1
candidate: {CANDIDATE}
stages:
  - {{weight: 10%, hold: 5m}}
  - {{weight: 50%, hold: 5m}}
  - {{weight: 100%, hold: 5m}}
gates:
  errors: {{metric: error_rate, max: 2%, roll_back: 4%}}
  latency: {{metric: latency, percentile: 95, max: 800ms, roll_back: 1s}}
checks:
  health: {{get: "{{{{ candidate.url }}}}/health", expect: {{status: 200}}}}
evidence: {{interval: 1m, delay: 2m}}
when:
  undecided: {{extend_by: 5m, then: ask}}
  monitoring_out: {{hold: 5m, then: ask}}
  nobody_answers: {{after: 15m, then: roll_back}}
"""
FACTS = PlanFacts(
    stages=(StageFacts(10, 300), StageFacts(50, 300), StageFacts(100, 300)),
    gated=True,
    needs_data=True,
    may_advance_blind=False,
    early=False,
    catches=True,
    interval=60,
    delay=120,
    waits=3600,
    checked=True,
    step_back=False,
)
CALM = Scene(
    seed=0,
    plan=PLAN,
    facts=FACTS,
    shape=Shape(before={STABLE: 100}, latest=False, tags={"blue": STABLE}, reconcile=3.0),
    candidate=CANDIDATE,
    truths={"*": Truth(), CANDIDATE: Truth()},
    character="good",
    rate=50.0,
    lag=45.0,
    processes=(Process("controller-a"),),
    answers="nobody",
    react=60.0,
    slow=0.1,
)
BAD = {"*": Truth(), CANDIDATE: Truth(errors=0.3)}


def calm(*incidents: Any, **changes: Any) -> Scene:
    """Return the calm scene with incidents and other changes."""
    return replace(CALM, incidents=tuple(incidents), **changes)
