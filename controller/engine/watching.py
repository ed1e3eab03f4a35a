"""What a stage is watched by: which minutes to read, what they add up to, how long is left.

Pure arithmetic on record and plan; what follows from it is in `decide`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.engine.observation import NotSeen, Observation, Seen, Window
from controller.engine.own import assume_own, remembered, users_minutes, with_sent
from controller.engine.record import Accumulated, Record, Told, Trial
from controller.engine.whole import ceil_minute, floor_minute
from controller.gates import dispersion, kernel
from controller.gates.betting import Compared, Question, Terms
from controller.gates.counting import allowed_share, is_rate
from controller.gates.evidence import (
    MINUTE,
    Minute,
    Query,
    query_of,
)
from controller.gates.history import History
from controller.gates.judging import judge
from controller.gates.rise import counted
from controller.gates.state import State, absorb
from controller.gates.verdict import Verdict
from controller.plan.model import (
    Arrival,
    BothFailing,
    CustomMetric,
    FailedRequests,
    Gate,
    Latency,
    OnFail,
    Plan,
    RequestCount,
    ResponseRate,
    Stage,
)

SETTLE = timedelta(seconds=60)  # front ends follow the API by up to a minute (DESIGN.md §5)
FIRST_HOURS = timedelta(hours=2)
INTERVAL_MIN, INTERVAL_MAX = MINUTE, 5 * MINUTE
_UNKNOWN = History()
_COUNTING = (ResponseRate, RequestCount, Arrival, FailedRequests)
RELAPSE = timedelta(minutes=10)
RESERVE = 120  # bets are placed evenly over at least so many minutes
HEARTBEAT_MIN = timedelta(minutes=30)


def stage_of(plan: Plan, record: Record) -> Stage | None:
    """Return the stage the rollout is in, None before the first shift."""
    return plan.stages[record.stage] if 0 <= record.stage < len(plan.stages) else None


def hold_of(plan: Plan, record: Record) -> timedelta:
    """Return how long the stage is watched, its extension included."""
    stage = stage_of(plan, record)
    if stage is None:
        return timedelta(0)
    extra = plan.when.undecided.extend_by
    return stage.hold + (
        (stage.hold if extra is None else extra) if record.extended else MINUTE * 0
    )


def held(record: Record, now: datetime) -> timedelta:
    """Return how much of the hold has passed; time that does not count is left out."""
    if record.in_force is None:
        return timedelta(0)
    until = now if record.stopped is None else record.stopped
    return max(until - (record.in_force + SETTLE) - record.uncounted, timedelta(0))


def interval(plan: Plan, record: Record, now: datetime) -> timedelta:
    """Return the time until the next look (DESIGN.md §6, `interval: auto`)."""
    if plan.evidence.interval is not None:
        return plan.evidence.interval
    if record.in_force is None or now - record.in_force < FIRST_HOURS:
        return INTERVAL_MIN
    stage = stage_of(plan, record)
    hold = stage.hold if stage else timedelta(0)
    return min(max(hold / 300, INTERVAL_MIN), INTERVAL_MAX)


def heartbeat(plan: Plan, record: Record) -> timedelta:
    """Return how long the record may go unwritten: 30 minutes or a tenth of the hold."""
    stage = stage_of(plan, record)
    return max(HEARTBEAT_MIN, (stage.hold if stage else timedelta(0)) / 10)


def unwatched_after(plan: Plan, record: Record, now: datetime) -> timedelta:
    """Return after how long without a write nobody can be watching."""
    return 2 * heartbeat(plan, record) + interval(plan, record, now)


def delay_of(plan: Plan, query: Query) -> timedelta:
    """Return how old a minute must be before it is scored."""
    custom = isinstance(query, CustomMetric)
    return plan.evidence.custom_delay if custom else plan.evidence.delay


def queries(plan: Plan, stage: int) -> dict[str, Query]:
    """Return gate name → question for the gates judged in a stage."""
    exact = plan.exact_codes
    return {gate.name: query_of(gate, exact_codes=exact) for gate in plan.gates_at(stage)}


def judged_stage(record: Record) -> int:
    """Return the stage whose gates are judged now (0-based, -1: none).

    Until a shift is in force it is the stage before: its limits still hold.
    """
    return record.stage if record.shift is None else record.came_from


def windows(plan: Plan, record: Record, now: datetime) -> dict[Query, Window]:
    """Return what to read now: per query the settled minutes that some gate has not absorbed."""
    stage = judged_stage(record)
    if not 0 <= stage < len(plan.stages):
        return {}
    wanted: dict[Query, Window] = {}
    for name, query in queries(plan, stage).items():
        start = watermark(plan, record, name)
        end = floor_minute(now - delay_of(plan, query))
        if start is not None and end > start:
            known = wanted.get(query)
            wanted[query] = Window(min(start, known.start) if known else start, end)
    return wanted


def watermark(plan: Plan, record: Record, gate: str) -> datetime | None:
    """Return up to which minute a gate has absorbed the rollout; at first where evidence starts.

    None: it has seen nothing, and its first stage is not in force yet.
    """
    if gate in record.gates:
        return record.gates[gate].watermark
    return watermark_at_first(plan, record) if record.in_force is not None else None


def watermark_at_first(plan: Plan, record: Record) -> datetime:
    """Return where a stage's hold and evidence start: when the split has settled."""
    assert record.in_force is not None
    return ceil_minute(record.in_force + SETTLE)


def warmed_up(plan: Plan, record: Record, gate: Gate) -> datetime:
    """Return where a stage's evidence starts for a gate.

    Failures count from the first settled minute; cold starts are no evidence of latency, of an
    application's own metric, or of how many requests arrive.
    """
    settled = watermark_at_first(plan, record)
    return ceil_minute(settled + plan.evidence.warm_up) if _warms_up(gate) else settled


def _warms_up(gate: Gate) -> bool:
    return isinstance(gate.metric, Latency | CustomMetric | Arrival)


def terms_of(plan: Plan, record: Record, gate: Gate) -> Terms:
    """Return what a gate's minutes are judged by, at the weight that is in force."""
    known = record.history.get(gate.name, _UNKNOWN)
    weight = record.weight if record.shift is None else record.weight_before
    stage = plan.stages[max(judged_stage(record), 0)]
    spread = _updates(stage, weight, known)
    tests = record.stage > 0 and may_be_tested(plan, gate)
    waits = record.paused is not None or record.ask is not None  # no test begins meanwhile
    done = record.stage in record.tried or waits
    decides = not tests or (done and record.trial is None)
    in_test = record.trial is not None
    return Terms(
        plan.level, weight, plan.evidence.needs, known, plan.proves, spread, decides, in_test
    )


def may_be_tested(plan: Plan, gate: Gate) -> bool:
    """Tell whether a gate that both revisions fail may lower the weight as a test (`trial`)."""
    counts = is_rate(gate) and gate.limits.roll_back is not None
    acts = gate.on_fail in (OnFail.ROLL_BACK, OnFail.STEP_BACK)
    return plan.when.both_failing is BothFailing.TEST and counts and acts


def _updates(stage: Stage, weight: int, history: History) -> float:
    """Return over how many updates a stage's bets are spread: its minutes with a request."""
    arriving = history.per_minute * weight / 100
    part = -math.expm1(-arriving) if arriving else 1.0
    return max(RESERVE, stage.hold / MINUTE * part)


@dataclass(frozen=True, slots=True)
class Watched:
    """A stage after this tick's minutes. blind: why some metric could not be read, or ""."""

    record: Record
    verdicts: Mapping[str, Verdict]
    fresh: Mapping[Query, tuple[Minute, ...]]
    blind: str


def watch(plan: Plan, record: Record, observation: Observation) -> Watched:
    """Absorb what is new and judge every gate of the stage. Each minute is absorbed once."""
    if observation.own:
        record = record.after_look(own=with_sent(record, observation.own))
    fresh, blind = _read(record, observation)
    stage = judged_stage(record)
    if stage < 0:
        return Watched(record, {}, fresh, blind)
    asked = queries(plan, stage)
    gates = dict(record.gates)
    verdicts: dict[str, Verdict] = {}
    for gate in plan.gates_at(stage):
        query = asked[gate.name]
        start = watermark(plan, record, gate.name)
        if start is None:
            continue
        known = gates.get(gate.name) or Accumulated(start)
        terms, told = terms_of(plan, record, gate), known.told
        if query in fresh:
            if record.trial is not None and record.trial.gate == gate.name:
                record = record.after_look(trial=_tested(record, gate, known, fresh[query]))
            state = _absorbed(plan, record, gate, terms, known, fresh[query])
            told = told if state is known.state else None
            known = Accumulated(max(observation.windows[query].end, known.watermark), state, told)
            gates[gate.name] = known
        if told is None or not told.holds_for(gate, terms):
            told = Told(gate, terms, judge(gate, terms, known.state))
            if gate.name in gates:
                gates[gate.name] = Accumulated(known.watermark, known.state, told)
        verdicts[gate.name] = told.verdict
    return Watched(remembered(record.after_look(gates=gates)), verdicts, fresh, blind)


def _read(record: Record, observation: Observation) -> tuple[dict[Query, tuple[Minute, ...]], str]:
    """Return what could be read, as users made it, and why something could not be, or ""."""
    fresh: dict[Query, tuple[Minute, ...]] = {}
    blind = ""
    for query, seen in observation.readings.items():
        match seen:
            case NotSeen(why):
                blind = why
            case Seen(readings):
                fresh[query] = users_minutes(record, readings, observation.windows[query])
    return fresh, blind


def _tested(
    record: Record, gate: Gate, known: Accumulated, minutes: tuple[Minute, ...]
) -> Trial | None:
    """Return the trial with the new minutes: all requests, of both revisions together."""
    trial, limit = record.trial, gate.limits.roll_back
    if trial is None or record.shift is not None or limit is None:
        return trial
    since = trial.raised or trial.at
    start = max(known.watermark, ceil_minute(since + SETTLE))
    allowed = allowed_share(gate, limit)
    for minute in minutes:
        if start < minute.end and (trial.raised is None or minute.end <= relapse_until(trial)):
            trial = _with_total(trial, counted(gate, minute, limit), allowed)
    return trial


def relapse_until(trial: Trial) -> datetime:
    """Return up to which minute failing again tells that the candidate was to blame."""
    assert trial.raised is not None
    return ceil_minute(trial.raised + SETTLE) + RELAPSE


def _with_total(trial: Trial, seen: Compared, allowed: float) -> Trial:
    bad, requests = seen.mine + seen.theirs, seen.of_mine + seen.of_theirs
    if not requests or not 0 < trial.rate < 1:
        return trial
    down = kernel.increments(kernel.PASS, bad, requests, trial.rate)
    up = kernel.increments(kernel.FAIL, bad, requests, trial.rate)
    well = kernel.increments(kernel.PASS, bad, requests, allowed)
    return replace(
        trial,
        fell=_bet_at_once(kernel.PASS, trial.fell, down),
        stayed=_bet_at_once(kernel.FAIL, trial.stayed, up),
        well=_bet(kernel.PASS, trial.well, well),
        seen=(trial.seen[0] + bad, trial.seen[1] + requests),
    )


def _bet(grid: kernel.Grid, wealth: kernel.Wealth, increments: tuple[float, ...]) -> kernel.Wealth:
    fraction = kernel.MINUTE if wealth.bets else kernel.FIRST
    return kernel.settled(grid, wealth, increments, fraction, dispersion.cap(1.0))


def _bet_at_once(
    grid: kernel.Grid, wealth: kernel.Wealth, increments: tuple[float, ...]
) -> kernel.Wealth:
    """Bet on "from the first minute on": what begins later has nothing to do with the shift."""
    fraction = 0.0 if wealth.bets else kernel.FIRST
    return kernel.settled(grid, wealth, increments, fraction, dispersion.cap(1.0))


def _absorbed(
    plan: Plan,
    record: Record,
    gate: Gate,
    terms: Terms,
    known: Accumulated,
    minutes: tuple[Minute, ...],
) -> State:
    """Absorb the minutes after the watermark: those before the split settled by their own stage."""
    state = known.state
    for _, state in absorbing(plan, record, gate, terms, known, minutes):  # noqa: B007 the last
        pass
    return state


def absorbing(
    plan: Plan,
    record: Record,
    gate: Gate,
    terms: Terms,
    known: Accumulated,
    minutes: tuple[Minute, ...],
) -> Iterator[tuple[datetime, State]]:
    """Yield the end of each minute after the watermark that is evidence, and the state with it.

    Minutes before the split settled are judged by their own stage.
    """
    state = known.state
    new = [minute for minute in minutes if minute.end > known.watermark]
    if not new:
        return
    if record.in_force is None:
        leaving = _stepped_back_from(record, gate)
        for minute in new:
            state = absorb(leaving, terms, state, minute, in_stage=True)
            yield minute.end, state
        return
    start = warmed_up(plan, record, gate)
    tail = _tail(plan, record, gate) if new[0].end <= start else None
    moved = _moved_in_test(plan, record, gate)
    for minute in new:
        if minute.end > start:
            if moved is None or minute.end > moved[1]:
                state = absorb(gate, terms, state, minute, in_stage=True)
            elif minute.end <= moved[0]:
                then = replace(terms, weight=_weight_in_doubt(record))
                state = absorb(gate, then, state, minute, in_stage=True)
            else:
                continue
        elif tail is not None and minute.end <= tail[1]:
            then = replace(terms, weight=record.weight_before)
            state = absorb(tail[0], then, state, minute, in_stage=False)
        else:
            continue
        yield minute.end, state


def _weight_in_doubt(record: Record) -> int:
    """Return the weight that minutes before a test's split settled are judged by.

    At 100% stable had no minutes of its own, so that nothing of it is to be missed. Else it is the
    lower one: it asks for fewer requests.
    """
    before = record.weight_before
    return before if before == 100 else min(record.weight, before)


def _moved_in_test(plan: Plan, record: Record, gate: Gate) -> tuple[datetime, datetime] | None:
    """Return up to when a test's split before held, and from when its present one is evidence.

    Monitoring tells of both only after the shift: what arrived at the lower weight is no sign of
    requests lost at the higher one.
    """
    if record.trial is None or record.shift is not None:
        return None
    since = record.trial.raised or record.trial.at
    settled = ceil_minute(since + SETTLE)
    if not _warms_up(gate):
        return settled, settled
    return ceil_minute(since), ceil_minute(settled + plan.evidence.warm_up)


def seen_since_raised(plan: Plan, record: Record, trial: Trial) -> bool:
    """Tell whether every gate has absorbed what a test's last shift must be known for."""
    assert trial.raised is not None
    return covered(plan, record, ceil_minute(trial.raised + SETTLE + plan.evidence.warm_up))


def _tail(plan: Plan, record: Record, gate: Gate) -> tuple[Gate, datetime] | None:
    """Return the gate as the stage before the last shift has it, and up to when that holds.

    Failures are judged by it until the split has settled; what needs warming up, only until it
    came into force.
    """
    assert record.in_force is not None
    if record.came_from < 0 or record.shift is not None:
        return None
    earlier = next((g for g in plan.gates_at(record.came_from) if g.name == gate.name), None)
    settled = watermark_at_first(plan, record)
    until = settled if warmed_up(plan, record, gate) == settled else ceil_minute(record.in_force)
    return (_stepped_back_from(record, earlier), until) if earlier is not None else None


def _stepped_back_from(record: Record, gate: Gate) -> Gate:
    """Return the gate as it judges the minutes of a stage that was stepped back from.

    What they say has led to that already, and is forgiven: only an emergency still leads further.
    """
    forward = record.stage >= record.came_from
    if forward or gate.on_fail is not OnFail.STEP_BACK or gate.only_advances:
        return gate
    return replace(gate, limits=replace(gate.limits, roll_back=None), versus_stable=None)


def entered(plan: Plan, record: Record) -> Mapping[str, Accumulated]:
    """Return the gates' evidence as the stage's split comes into force: tallies anew, bets kept.

    A gate that the stage before did not judge starts here, whatever it saw earlier.
    """
    first = watermark_at_first(plan, record)
    asked_anew = _proof_asked_anew(plan, record)
    here = {gate.name for gate in plan.gates_at(record.stage)} if record.stage >= 0 else set()
    judged = (
        {gate.name for gate in plan.gates_at(record.came_from)} if record.came_from >= 0 else set()
    )
    return {
        name: Accumulated(
            first if name in here and name not in judged else known.watermark,
            (
                known.state.without(Question.PROOF) if name in asked_anew else known.state
            ).in_new_stage(),
        )
        for name, known in record.gates.items()
    }


def _proof_asked_anew(plan: Plan, record: Record) -> set[str]:
    """Return the gates whose limit to advance is another in this stage: another question."""
    if min(record.stage, record.came_from) < 0:
        return set()
    earlier = {gate.name: gate for gate in plan.gates_at(record.came_from)}
    return {
        gate.name
        for gate in plan.gates_at(record.stage)
        if gate.name in earlier and earlier[gate.name].limits.to_advance != gate.limits.to_advance
    }


def covered(plan: Plan, record: Record, until: datetime) -> bool:
    """Tell whether every gate of the stage has absorbed the minutes up to `until`."""
    return all(
        gate.name in record.gates and record.gates[gate.name].watermark >= floor_minute(until)
        for gate in plan.gates_at(record.stage)
    )


def last_seen(plan: Plan, record: Record) -> datetime:
    """Return when Monitoring last answered for every gate, as far as the watermarks tell."""
    assert record.in_force is not None
    seen = [
        record.gates[name].watermark + delay_of(plan, query)
        for name, query in queries(plan, record.stage).items()
        if name in record.gates
    ]
    # Until the first minute of the stage has settled there is nothing to ask for.
    settled = watermark_at_first(plan, record) + max(
        plan.evidence.delay, plan.evidence.custom_delay
    )
    return max(min(seen, default=settled), settled)


def served_in_stage(plan: Plan, record: Record) -> int:
    """Return the candidate's requests of this stage as far as a request gate counted them."""
    counted = [
        record.gates[gate.name].state.tally.candidate.total
        for gate in (*plan.gates, *plan.own_gates)
        if isinstance(gate.metric, _COUNTING) and gate.name in record.gates
    ]
    return max(counted, default=0)


def continued(plan: Plan, known: Record, written: Record, now: datetime) -> Record:
    """Return another writer's record with what this process knows beyond it.

    Minutes absorbed here stay absorbed where they are further; own requests of both are kept.
    """
    both = {(o.end, o.revision, o.code): o for o in written.own}
    for own in known.own:
        other = both.get((own.end, own.revision, own.code))
        if other is None or other.count < own.count:
            both[own.end, own.revision, own.code] = own
    own_now = tuple(both.values())
    same = _split_of(known) == _split_of(written)
    further = all(
        name in known.gates and known.gates[name].watermark >= state.watermark
        for name, state in written.gates.items()
    )
    if same and further:
        return replace(written, gates=known.gates, verdicts=known.verdicts, own=own_now)
    return assume_own(plan, replace(written, own=own_now), interval(plan, written, now), now)


def _split_of(record: Record) -> tuple[object, ...]:
    """Return what a record's evidence was gathered under."""
    tested = record.trial and (record.trial.at, record.trial.raised, record.trial.blamed)
    begun = (record.stage, record.in_force, record.weight, record.digest)
    return (*begun, record.tried, tested)
