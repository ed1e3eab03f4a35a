"""How large the record of a plan can grow: every gate's state full, every list at its end.

`validate` refuses a plan whose record would not fit; a rollout never finds that out by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from controller.engine import codec
from controller.engine.record import (
    DUTY_MAX,
    HAND_DIGEST,
    OUTCOMES_KEPT,
    OWN_KEPT,
    REASON_BYTES_MAX,
    TRANSITIONS_KEPT,
    Accumulated,
    Act,
    Ask,
    AskKind,
    Hand,
    Outcome,
    OwnCount,
    Record,
    Shift,
    Transition,
    Trial,
)
from controller.gates.betting import Compared, Question
from controller.gates.evidence import Exponential
from controller.gates.history import History
from controller.gates.kernel import Wealth
from controller.gates.rise import Rise
from controller.gates.state import Block, State
from controller.gates.tally import Side, Tally
from controller.gates.trend import Trend
from controller.plan.compact import digest, to_json
from controller.plan.model import (
    Arrival,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    Needs,
    Plan,
    ResponseRate,
)

_WHEN = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_MINUTE = _WHEN.replace(second=0, microsecond=0)
_NAME = "x" * 63  # Cloud Run's longest revision name
_PERSON = "x" * 40
_ID = "x" * 24
_REASON = "x" * REASON_BYTES_MAX
# request_latencies grows by 1.1 a bucket: one side's answers lie in 60 buckets where the slowest
# takes 300 times as long as the fastest. Wider ones cost their bytes and are cut by nobody.
_BUCKETS_FILLED = 60
_PER_BUCKET = 99_999
_REQUESTS = 9_999_999
_SERVING_BEFORE = 2
_ODD = 1234.567890123456  # a number whose hexadecimal form has all its digits


def largest_record(plan: Plan) -> int:
    """Return the bytes of the largest record the plan is counted on to need."""
    before = {f"{_NAME[:-1]}{number}": 50 for number in range(_SERVING_BEFORE)}
    act = Act(_PERSON, _WHEN, _REASON)
    gates = (*plan.gates, *plan.own_gates)
    names = [gate.name for gate in gates]
    sides = sum(plan.needs(f"{side}.url") for side in ("candidate", "stable"))
    record = Record(
        rollout=_ID,
        uid="x" * 36,
        plan=to_json(plan),
        digest=digest(plan),
        candidate=_NAME,
        stable=_NAME,
        before=before,
        started=_WHEN,
        by=_PERSON,
        stage=len(plan.stages) - 1,
        weight=100,
        shift=Shift(_WHEN, 100),
        in_force=_WHEN,
        stopped=_WHEN,
        paused=act,
        ask=Ask(AskKind.MONITORING_OUT, _REASON, _WHEN),
        approved=tuple(range(len(plan.stages))),
        extended=True,
        stepped_back=tuple(range(len(plan.stages))),
        told=(_NAME,) * 5,
        came_from=len(plan.stages) - 1,
        weight_before=99,
        trial=Trial(
            "x" * 40,
            _WHEN,
            _ODD,
            *(_wealth(6),) * 3,
            (_REQUESTS, _REQUESTS),
            blamed=True,
            raised=_WHEN,
        ),
        tried=tuple(range(len(plan.stages))),
        history={gate.name: History(_ODD, _ODD, _ODD, _ODD, 5) for gate in gates},
        gates={gate.name: Accumulated(_MINUTE, _full(plan, gate)) for gate in gates},
        own=(OwnCount(_MINUTE, _NAME, 200, 100, 12_345.6),) * (OWN_KEPT if sides else 0),
        unknown_until=_WHEN,
        verdicts=dict.fromkeys(names, "undecided"),
        transitions=(Transition(_WHEN, "asked: monitoring_out", _REASON),) * TRANSITIONS_KEPT,
        noted=99_999,
        heard={one.name: 99_999 for one in plan.notify},
        hand=Hand(_REASON, "x" * HAND_DIGEST) if plan.notify else None,
        outcomes=(Outcome("rolled_back", _NAME, _WHEN, _REASON, "", before, _ID),) * OUTCOMES_KEPT,
        duty="x" * DUTY_MAX,
        after=plan.regions[-1] if plan.later_regions else "",
        served=_REQUESTS,
        seq=99_999,
        nonce="x" * 12,
        generation=99_999,
        at=_WHEN,
    )
    return len(codec.encode(record).encode())


def _full(plan: Plan, gate: Gate) -> State:
    asked = _questions(plan, gate)
    return State(
        _full_tally(gate),
        {question: _wealth(6) for question in asked},
        frozenset(asked),
        Question.EMERGENCY,
        _MINUTE,
        Rise(
            _MINUTE,
            _ODD,
            Compared(_REQUESTS, _REQUESTS, _REQUESTS, _REQUESTS),
            _full_tally(gate) if isinstance(gate.metric, ResponseRate) else Tally(),
        )
        if gate.versus_stable is not None
        else None,
        _MINUTE,
        Compared(99, 99, 99, 99),
        Block(5, _ODD, 5, _ODD, _ODD),
        Trend(9_999, _ODD, _ODD, _WHEN, _ODD, _REQUESTS, _ODD, _REQUESTS)
        if gate.only_advances
        else Trend(),
        _ODD,
    )


def _questions(plan: Plan, gate: Gate) -> tuple[Question, ...]:
    """Return the questions that a gate can ever bet on."""
    limits, compared = gate.limits, gate.versus_stable is not None
    proves = plan.evidence.needs is Needs.PROOF or any(stage.early for stage in plan.stages)
    wanted = {
        Question.LIMIT: limits.roll_back is not None or isinstance(gate.metric, Arrival),
        Question.STABLE: compared or isinstance(gate.metric, FailedRequests),
        Question.REFERENCE: compared or isinstance(gate.metric, FailedRequests),
        Question.EMERGENCY: limits.emergency is not None,
        Question.PROOF: proves or gate.only_advances,
        Question.RELIEF: compared and limits.roll_back is not None,
    }
    return tuple(question for question, can_be in wanted.items() if can_be)


def _wealth(bets: int) -> Wealth:
    return Wealth(-_ODD, (-_ODD,) * bets)


def _full_tally(gate: Gate) -> Tally:
    match gate.metric:
        case Latency(percentile) | CustomMetric(percentile=percentile) if percentile is not None:
            counts = dict.fromkeys(range(50, 50 + _BUCKETS_FILLED), _PER_BUCKET)
            side = Side(9_999, _REQUESTS, 0, 0.0, Exponential(10.1, 1.1, 120), counts)
        case _:
            side = Side(9_999, _REQUESTS, _REQUESTS, 12_345.678_9)
    return Tally(side, side)
