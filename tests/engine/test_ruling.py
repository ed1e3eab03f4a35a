"""Which rule a decision came from, told from what the record says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.engine import moves
from controller.engine.decision import Action
from controller.engine.record import Record, Transition
from controller.engine.ruling import ruled
from controller.gates.verdict import Fail, Figures, Verdict
from controller.plan.model import OnFail
from tests.engine.builders import ERRORS, HEALTH, MINUTE, PLAN, SLOW, T0, running, service_of

CHECKED = replace(PLAN, gates=(ERRORS, replace(SLOW, on_fail=OnFail.STEP_BACK)), checks=(HEALTH,))
HERE = running(1, CHECKED)


def told(
    what: str, reason: str = "", record: Record | None = HERE, by: str = "", **verdicts: Verdict
) -> tuple[str, str]:
    return ruled(CHECKED, record, Transition(T0, what, reason, by), None, verdicts)


@pytest.mark.parametrize(
    ("reason", "said", "file"),
    [
        ("the candidate api-2 was deleted", "the candidate was lost", "decide"),
        ("100% needs an approval; nobody gave it for 2 h", "nobody gave the approval", "asking"),
        ("errors; nobody answered for 24 h", "nobody answered in the plan's time", "asking"),
        ("Monitoring does not answer: 503 (for 2 h)", "Monitoring was silent", "staying"),
        ("the shift to 10% is not in force after 31 min", "a shift did not come", "decide"),
        ("api-3 was deployed and replaces this candidate", "a newer revision", "staying"),
        ("at 50%: check health: answered 500", "a check whose on_fail is roll_back", "failing"),
        ("after 30 min at 50%: errors are between", "the hold was over and something", "staying"),
        ("at 50%: errors over its limit", "a gate whose on_fail is roll_back", "failing"),
        ("at 50%: latency over its limit", "gate latency failed; on_fail is step", "failing"),
        ("it was us", "no rule of gates", "decide"),
    ],
)  # fmt: skip
def test_a_roll_back_by_its_reason(reason: str, said: str, file: str) -> None:
    for what in ("roll back", "rolled back"):
        sentence, where = told(what, reason)
        assert sentence.startswith(said)
        assert where == f"engine/{file}.py"


def test_a_roll_back_before_the_first_shift_or_by_an_emergency() -> None:
    assert told("roll back", "check health: answered 500", None)[0].startswith("a check before")
    emergency = Fail("over 5%", Figures(), emergency=True)
    assert told("roll back", "at 50%: errors over 5%", errors=emergency) == (
        "gate errors is over its emergency limit, whatever its on_fail", "engine/failing.py",
    )  # fmt: skip
    plain = Fail("over 2%", Figures())
    assert "roll_back failed" in told("roll back", "at 50%: errors over 2%", errors=plain)[0]


def test_of_several_that_failed_the_first_one_named_decides_and_a_step_back_names_all() -> None:
    assert "(errors)" in told("roll back", "at 50%: errors over 2%; latency over 2 s")[0]
    assert told("step back to 10%", "at 50%: latency over 2 s; check health: 500") == (
        "a failed gate or check (latency, check health) whose on_fail is step_back; once a stage",
        "engine/failing.py",
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("approved: 100% needs an approval", "a person approved, nothing is open any more"),
        ("proved: errors within", "every gate is proved good before the hold is over"),
        ("a stage without hold is not judged", "a stage without hold is not judged"),
        ("after 30 min at 50%: errors between", "something was open; when.undecided says: advance"),
        ("errors within its limit", "the hold is over, the evidence covers it"),
    ],
)
def test_an_advance_by_its_reason(reason: str, said: str) -> None:
    sentence, where = told("shift to 100%", reason)
    assert sentence.startswith(said)
    assert sentence.endswith("and the next stage begins")
    assert where == "engine/staying.py"
    promoted, _ = told("promoted", reason)
    assert promoted.endswith("and the candidate is the new stable")
    first, _ = told("shift to 10%", reason, None)
    assert first == "nothing failed before the first shift, and the next stage begins"


@pytest.mark.parametrize(
    ("what", "said", "file"),
    [
        ("started", "a rollout was begun", "begin"),
        ("asked: approval", "the next stage needs a person's approval", "asking"),
        ("asked: gate", "a gate or check whose on_fail is ask failed", "staying"),
        ("asked: undecided", "the hold, extension included, was over", "staying"),
        ("asked: monitoring_out", "Monitoring was silent", "staying"),
        ("asked: no_way_back", "stable is gone or not ready", "decide"),
        ("asked: shift_failed", "a shift did not come into force", "decide"),
        ("asked: new_revision", "a newer revision came; when.new_revision says: ask", "staying"),
        ("asked: both_failing", "both revisions fail, which blames neither", "trial"),
        ("extended", "the hold was over and something was still open", "staying"),
        ("hold stands still", "what cannot be judged does not count as hold", "staying"),
        ("hold goes on", "what had stopped the hold is over", "staying"),
        ("waits for the window", "all is ready, and when.advance_only is closed", "asking"),
        ("goes on unapproved", "nobody gave the approval; when.approvals says", "asking"),
        ("test at 10%", "both revisions fail at this weight", "trial"),
        ("back to 50%", "the test is over", "trial"),
        ("incident", "both revisions fail whatever the weight", "trial"),
        ("new revision", "a newer revision came; it waits at 0%", "staying"),
        ("way back", "stable is ready again", "decide"),
        ("stable changed", "a revision of stable is gone, or cannot serve", "decide"),
        ("shift failed", "a shift did not come into force", "decide"),
        ("50% in force", "no rule of gates", "decide"),
    ],
)
def test_everything_else_by_what_happened(what: str, said: str, file: str) -> None:
    sentence, where = told(what)
    assert sentence.startswith(said)
    assert where == f"engine/{file}.py"


def test_a_persons_word_stands_above_all_but_how_a_rollout_starts_or_waits() -> None:
    assert told("roll back", "at 50%: errors", by="ada") == (
        "a person's word (ada): acts stand above what gates say", "engine/acts.py",
    )  # fmt: skip
    assert told("started", by="ada")[1] == "engine/begin.py"
    assert told("waits for the window", by="ada")[1] == "engine/asking.py"


def test_where_nothing_happened_it_says_what_was_waited_for() -> None:
    waits = moves.wait(HERE, "holding", MINUTE)
    notes = moves.note(HERE, service_of(HERE), T0, "holding", MINUTE)
    back = moves.roll_back(HERE, service_of(HERE), T0, "errors")
    assert ruled(CHECKED, None, None, None, {})[0].startswith("nothing is in force yet")
    for decision in (waits, notes):
        sentence, _ = ruled(CHECKED, HERE, None, decision, {})
        assert sentence == "no gate failed, and it is not yet time to go on"
    assert back.action is Action.ROLL_BACK
    assert ruled(CHECKED, HERE, None, back, {}) == (
        "the next look decides: roll back", "engine/staying.py",
    )  # fmt: skip


def test_a_gate_that_a_reason_begins_with_is_named_by_it() -> None:
    assert "(errors)" in told("roll back", "errors over 2%; latency over 2 s")[0]
    assert told("roll back", "no-errors-here")[0].startswith("no rule of gates")
