"""Which rule a decision came from, in words, and the file that has it. Pure; for `explaining`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.engine.decision import Action, Decision
from controller.engine.record import Record, Transition
from controller.gates.verdict import Fail, Verdict
from controller.plan.model import OnFail, Plan

Rule = tuple[str, str]  # the sentence, and the file of the rule

_DECIDE = "engine/decide.py"
_STAYING = "engine/staying.py"
_FAILING = "engine/failing.py"
_ASKING = "engine/asking.py"
_TRIAL = "engine/trial.py"
_ACTS = "engine/acts.py"

_BACK: tuple[tuple[str, Rule], ...] = (
    ("the candidate ", ("the candidate was lost, and no evidence stands before that", _DECIDE)),
    ("nobody gave it", ("nobody gave the approval in the plan's time (when.approvals)", _ASKING)),
    ("nobody answered", ("nobody answered in the plan's time (when.nobody_answers)", _ASKING)),
    ("Monitoring does not answer",
     ("Monitoring was silent for longer than when.monitoring_out allows", _STAYING)),
    ("not in force after", ("a shift did not come into force in time", _DECIDE)),
    ("was deployed and replaces", ("a newer revision replaces it (when.new_revision)", _STAYING)),
)  # fmt: skip

_WORDS: tuple[tuple[str, Rule], ...] = (
    ("started", ("a rollout was begun; its first write moves no traffic", "engine/begin.py")),
    ("asked: approval", ("the next stage needs a person's approval", _ASKING)),
    ("asked: gate", ("a gate or check whose on_fail is ask failed", _STAYING)),
    ("asked: undecided", ("the hold, extension included, was over and something was still open; "
                          "when.undecided says: ask", _STAYING)),
    ("asked: monitoring_out", ("Monitoring was silent for longer than when.monitoring_out allows",
                               _STAYING)),
    ("asked: no_way_back", ("stable is gone or not ready: nothing could be put back", _DECIDE)),
    ("asked: shift_failed", ("a shift did not come into force; the split before was written back",
                             _DECIDE)),
    ("asked: new_revision", ("a newer revision came; when.new_revision says: ask", _STAYING)),
    ("asked: both_failing", ("both revisions fail, which blames neither", _TRIAL)),
    ("extended", ("the hold was over and something was still open: once it is extended "
                  "(when.undecided.extend_by)", _STAYING)),
    ("hold stands still", ("what cannot be judged does not count as hold", _STAYING)),
    ("hold goes on", ("what had stopped the hold is over", _STAYING)),
    ("waits for the window", ("all is ready, and when.advance_only is closed", _ASKING)),
    ("goes on unapproved", ("nobody gave the approval; when.approvals says: advance", _ASKING)),
    ("test at", ("both revisions fail at this weight: lowering it tells whether the candidate is "
                 "to blame", _TRIAL)),
    ("back to", ("the test is over: the candidate goes back to its stage's weight", _TRIAL)),
    ("incident", ("both revisions fail whatever the weight: it is the service's", _TRIAL)),
    ("new revision", ("a newer revision came; it waits at 0%", _STAYING)),
    ("way back", ("stable is ready again", _DECIDE)),
    ("stable changed", ("a revision of stable is gone, or cannot serve: the others take its share",
                        _DECIDE)),
    ("shift failed", ("a shift did not come into force; the split before was written back",
                      _DECIDE)),
)  # fmt: skip

_OTHER: Rule = ("no rule of gates: the record's reason says it all", _DECIDE)


def ruled(
    plan: Plan,
    record: Record | None,
    transition: Transition | None,
    decision: Decision | None,
    verdicts: Mapping[str, Verdict],
) -> Rule:
    """Return the rule that decided. record None: nothing was in force yet."""
    if transition is None:
        return _of_waiting(decision)
    what, reason = transition.what, transition.reason
    if transition.by and what not in ("started", "waits for the window"):
        return f"a person's word ({transition.by}): acts stand above what gates say", _ACTS
    if what in ("roll back", "rolled back"):
        return _of_roll_back(plan, record, reason, verdicts)
    if what.startswith("step back"):
        names = ", ".join(_named(plan, reason))
        return (
            f"a failed gate or check ({names}) whose on_fail is step_back; once a stage",
            _FAILING,
        )
    if what.startswith("shift to") or what == "promoted":
        return _of_advance(record, what, reason)
    return next((rule for word, rule in _WORDS if what.startswith(word)), _OTHER)


def _of_roll_back(
    plan: Plan, record: Record | None, reason: str, verdicts: Mapping[str, Verdict]
) -> Rule:
    for sign, rule in _BACK:
        if sign in reason:
            return rule
    if record is None:
        return "a check before the first shift failed: the candidate never got traffic", _STAYING
    if "check " in reason:
        return "a check whose on_fail is roll_back failed, and that needs nothing else", _FAILING
    if reason.startswith("after "):
        told = "the hold was over and something still open; when.undecided says: roll_back"
        return told, _STAYING
    failed = list(_named(plan, reason))
    name = failed[0] if failed else ""
    verdict = verdicts.get(name)
    if isinstance(verdict, Fail) and verdict.emergency:
        return f"gate {name} is over its emergency limit, whatever its on_fail", _FAILING
    on_fail = {gate.name: gate.on_fail for gate in plan.gates_at(max(record.stage, 0))}
    if on_fail.get(name) is OnFail.STEP_BACK:
        told = f"gate {name} failed; on_fail is step_back, and there is no step left to go back"
        return told, _FAILING
    if name:
        whose = f"a gate whose on_fail is roll_back failed ({name})"
        return f"{whose}, and rolling back needs nothing else", _FAILING
    return _OTHER


def _named(plan: Plan, reason: str) -> Iterator[str]:
    """Yield the gates and checks that a reason names."""
    gates = (gate.name for gate in (*plan.gates, *plan.own_gates))
    checks = (f"check {check.name}" for check in plan.checks)
    positions = ((f" {reason}".find(f" {name}"), name) for name in (*gates, *checks))
    yield from (name for at, name in sorted(positions) if at >= 0)


def _of_advance(record: Record | None, what: str, reason: str) -> Rule:
    next_ = "the candidate is the new stable" if what == "promoted" else "the next stage begins"
    if record is None:
        return f"nothing failed before the first shift, and {next_}", _STAYING
    if reason.startswith("approved"):
        return f"a person approved, nothing is open any more, and {next_}", _STAYING
    if reason.startswith("proved"):
        return f"every gate is proved good before the hold is over, and {next_}", _STAYING
    if reason.startswith("a stage without hold"):
        return f"a stage without hold is not judged, and {next_}", _STAYING
    if reason.startswith("after "):
        return f"something was open; when.undecided says: advance, and {next_}", _STAYING
    return (
        f"the hold is over, the evidence covers it, every gate and check passes, and {next_}",
        _STAYING,
    )


def _of_waiting(decision: Decision | None) -> Rule:
    if decision is None:
        return "nothing is in force yet, so there is nothing to judge", _DECIDE
    if decision.action in (Action.WAIT, Action.NOTE):
        return "no gate failed, and it is not yet time to go on", _STAYING
    return f"the next look decides: {decision.action.value.replace('_', ' ')}", _STAYING
