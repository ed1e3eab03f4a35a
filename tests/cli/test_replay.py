"""`rollout replay`: evidence in, a verdict a run out; what cannot be read is named."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller.cli.app import cli

PLAN = "rollout_plans/ion-api.yaml"
CONFIDENCE = "custom.googleapis.com/ion/confidence_score"


def replay(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["replay", PLAN, *arguments], input=stdin)


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def line(run: str, minute: int, role: str, failed: int = 0, **changes: Any) -> dict[str, Any]:
    """Return one line as the format has it: 5%, a hundred requests, all of them fast."""
    return {
        "run": run,
        "minute": minute,
        "weight": 5,
        "role": role,
        "responses": {"2xx": 100 - failed, "5xx": failed},
        "latency_ms": {"bounds": [100, 200], "counts": [80, 20, 0]},
        "metrics": {CONFIDENCE: 0.81},
    } | changes


def run_of(name: str, failed: int = 0, minutes: int = 40) -> list[dict[str, Any]]:
    return [
        line(name, minute, role, failed if role == "candidate" else 0)
        for minute in range(minutes)
        for role in ("candidate", "stable")
    ]


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in lines)


def test_each_run_gets_one_line_and_the_first_has_the_version() -> None:
    result = replay(
        "--evidence", "-", "-o", "json", stdin=text_of(run_of("good") + run_of("bad", 20))
    )
    assert result.exit_code == 0, result.output
    good, bad = lines_of(result)
    assert good["version"] == 1
    assert "version" not in bad
    assert (good["event"], good["run"], good["verdict"]) == ("replayed", "good", "pass")
    assert (good["minute"], good["stage"], good["gate"]) == (39, 1, None)
    assert (bad["run"], bad["verdict"], bad["gate"]) == ("bad", "fail", "error-rate")
    assert 0 < bad["minute"] < 20
    assert bad["stage"] == 1


def test_people_get_a_sentence_a_run_and_a_summary(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    few = run_of("few", minutes=12)
    file.write_text(text_of(run_of("good") + run_of("bad", 20) + few[:5]), encoding="utf-8")
    result = replay("--evidence", str(file))
    assert result.exit_code == 0, result.output
    assert "good: pass at minute 39, stage 1" in result.stdout
    assert "bad: fail at minute " in result.stdout
    assert "few: undecided at minute 2, stage 1: " in result.stdout
    assert "3 runs: 1 failed, 1 passed, 1 undecided" in result.stdout


def test_interleaved_runs_in_any_order_say_the_same() -> None:
    lines = run_of("a") + run_of("b", 20) + run_of("c", 2) + run_of("d", 9)
    first = lines_of(replay("--evidence", "-", "-o", "json", stdin=text_of(lines)))
    for seed in range(3):
        shuffled = random.Random(seed).sample(lines, len(lines))
        again = lines_of(replay("--evidence", "-", "-o", "json", stdin=text_of(shuffled)))
        assert again[0]["version"] == 1
        plain = {r["run"]: {k: v for k, v in r.items() if k != "version"} for r in first}
        assert {r["run"]: {k: v for k, v in r.items() if k != "version"} for r in again} == plain


def test_minutes_before_the_rollout_are_stables_history() -> None:
    """By then stable was ten times as noisy as independent requests are: a burst proves less."""
    rng = random.Random(3)
    history = [
        line("r", -n, "stable", weight=0, responses={"2xx": 1000, "5xx": rng.choice([0, 0, 40])})
        for n in range(1, 1441)
    ]
    burst = run_of("r", 30)
    with_it = lines_of(replay("--evidence", "-", "-o", "json", stdin=text_of(history + burst)))
    without = lines_of(replay("--evidence", "-", "-o", "json", stdin=text_of(burst)))
    assert with_it[0]["verdict"] == without[0]["verdict"] == "fail"
    assert with_it[0]["minute"] > without[0]["minute"]


GOOD = json.dumps(line("r", 0, "candidate"))
BAD = [
    ("{", "runs:2:2: this is not JSON"),
    ("[1]", "runs:2:1: a line is one JSON object"),
    (GOOD.replace("0.81", "NaN"), "runs:2:1: this is not JSON: NaN is no number"),
    ('{"minute": 1}', "run is missing"),
    (GOOD.replace('"minute": 0', '"minute": 0.5'), "runs:2:14: minute is missing"),
    (GOOD.replace('"minute": 0', '"minute": true'), "minute is missing"),
    (GOOD.replace("candidate", "canary"), "runs:2:40: role is candidate or stable"),
    (
        GOOD.replace('"weight": 5', '"weight": 7'),
        "runs:2:27: no stage of the plan has 7%; it has 5%, 10%, 25%, 50%, 100%",
    ),
    (GOOD.replace('"weight": 5, ', ""), "weight is missing"),
    (GOOD.replace('"2xx": 100', '"2xx": -1'), "-1 is no count of requests"),
    (GOOD.replace('"2xx"', '"ok"'), "'ok' is no response code"),
    (GOOD.replace("[80, 20, 0]", "[80, 20]"), "3 counts belong to 2 bounds, not 2"),
    (GOOD.replace("[100, 200]", "[200, 100]"), "bounds rise"),
    (GOOD.replace("[100, 200]", '["a", 200]'), "bounds are numbers"),
    (GOOD.replace("[100, 200]", "[[], 200]"), "bounds are numbers"),
    (GOOD.replace("[80, 20, 0]", "[80, 20, 0.5]"), "0.5 is no count"),
    (GOOD.replace("0.81", '"high"'), "'high' is no number"),
    (GOOD.replace("0.81", "1e999"), "inf is no number"),
    (GOOD.replace('{"2xx": 100, "5xx": 0}', "7"), "responses are counts by code"),
    (json.dumps(line("good", 3, "candidate")), "minute 3 of candidate stands in line 1 already"),
    ("9" * 5000, "this is not JSON"),
    ("[" * 100_000, "this is not JSON"),
    ("\\xff", "this is not JSON"),
]


@pytest.mark.parametrize(("bad", "said"), BAD, ids=[said[-24:] for _, said in BAD])
def test_a_line_that_cannot_be_used_is_named_and_nothing_else_is_lost(
    bad: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Path(PLAN).resolve()
    monkeypatch.chdir(tmp_path)
    rest = [one for one in run_of("good") if (one["minute"], one["role"]) != (3, "candidate")]
    first = json.dumps(line("good", 3, "candidate"))
    Path("runs").write_text(f"{first}\n{bad}\n{text_of(rest)}", encoding="utf-8")
    result = CliRunner().invoke(cli, ["replay", str(plan), "--evidence", "runs", "-o", "json"])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "runs:2:" in result.stderr
    assert "Traceback" not in result.output
    (good,) = lines_of(result)
    assert (good["run"], good["verdict"], good["minute"]) == ("good", "pass", 39)


def test_two_roles_that_disagree_on_the_weight_are_refused() -> None:
    other = [line("r", 0, "candidate"), line("r", 0, "stable", weight=10)]
    result = replay("--evidence", "-", stdin=text_of(other))
    assert result.exit_code == 2
    assert "standard input:2:27: the other role's line says 5% of this minute" in result.stderr


def test_a_key_that_nobody_reads_is_said() -> None:
    typo = [line("r", 0, "candidate", response={"5xx": 3})]
    result = replay("--evidence", "-", stdin=text_of(typo))
    assert result.exit_code == 0
    assert "nobody reads response" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "what is to be replayed is not clear"),
        (("--evidence", "no-such.jsonl"), "no-such.jsonl: cannot be read"),
        (("--evidence", "/dev/null"), "there is no evidence"),
    ],
)
def test_what_cannot_be_done_is_bad_usage(arguments: tuple[str, ...], said: str) -> None:
    result = replay(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


CODES = """
service: api
stages: [{weight: 100%, hold: 1h}]
gates: {limited: {metric: error_rate, codes: ["429"], max: 1%}}
"""


def test_a_class_that_hides_the_code_a_gate_counts_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "codes.yaml"
    plan.write_text(CODES, encoding="utf-8")

    def exit_code(responses: dict[str, int]) -> int:
        only = [line("r", 0, "candidate", weight=100, responses=responses)]
        command = ["replay", str(plan), "--evidence", "-"]
        return CliRunner().invoke(cli, command, input=text_of(only)).exit_code

    assert exit_code({"2xx": 9, "429": 1}) == 0
    assert exit_code({"2xx": 9, "4xx": 1}) == 2


QUICK = "rollout_plans/quickstart.yaml"


def events_of(scenario: str, plan: str = QUICK) -> str:
    result = CliRunner().invoke(cli, ["apply", plan, "--scenario", scenario, "-o", "json"])
    return result.stdout


def replayed(events: str, plan: str = QUICK) -> Result:
    command = ["replay", plan, "--events", "-", "-o", "json"]
    return CliRunner().invoke(cli, command, input=events)


@pytest.fixture(scope="module")
def failed() -> str:
    return events_of("errors")


def test_a_rollouts_own_events_say_what_it_decided_to_the_last_digit(failed: str) -> None:
    told = [json.loads(line) for line in failed.splitlines()]
    (decided,) = [e for e in told if e["event"] == "verdict" and e["verdict"] == "fail"]
    result = replayed(failed)
    assert result.exit_code == 0, result.output
    (again,) = lines_of(result)
    assert (again["verdict"], again["gate"]) == ("fail", decided["gate"])
    assert again["reason"] == decided["reason"]
    newest = max(
        minute["end"]
        for event in told
        if event["event"] == "observed" and event["at"] <= decided["at"]
        for minute in event["minutes"]["request_count"]
    )
    assert again["at"] == newest
    assert again["stage"] == 2


def test_a_good_rollouts_events_pass() -> None:
    (again,) = lines_of(replayed(events_of("healthy")))
    assert (again["verdict"], again["stage"], again["version"]) == ("pass", 3, 1)


def test_a_test_of_both_failing_begins_no_stage_anew() -> None:
    """The candidate poisons what both share: no gate fails it, the test's outcome did."""
    (again,) = lines_of(replayed(events_of("poison")))
    assert (again["verdict"], again["gate"]) == ("undecided", "error-rate")
    assert "both revisions are failing" in again["reason"]


def test_events_of_an_attached_process_alone_are_enough(failed: str) -> None:
    """The beginning was another process's: what is there is judged, from where it begins."""
    lines = failed.splitlines()
    started = json.loads(lines[0]) | {"attached": True}
    half = next(n for n, one in enumerate(lines) if '"in_force": true' in one and '"10' not in one)
    (again,) = lines_of(replayed("\n".join([json.dumps(started), *lines[half + 40 :]])))
    assert (again["verdict"], again["gate"]) == ("fail", "error-rate")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "this is no event of a rollout"),
        ('{"event": "observed", "stage": 1, "minutes": {}}', "`started` is missing before it"),
        ('{"no": "event"}', "it has no name"),
        ('{"event": "started"}', "no 'rollout'"),
    ],
)
def test_a_line_that_is_no_event_is_named(line: str, said: str) -> None:
    result = replayed(f"\n{line}\n")
    assert result.exit_code == 2
    assert "standard input:2:1:" in result.stderr
    assert said in result.stderr


def test_events_in_which_nothing_began_are_bad_usage() -> None:
    result = replayed('{"event": "finished"}\n')
    assert result.exit_code == 2
    assert "there is no rollout in it" in result.stderr


@pytest.mark.parametrize(("scenario", "verdict"), [("errors", "fail"), ("healthy", "pass")])
def test_monitorings_minutes_say_the_same_as_the_rollout(scenario: str, verdict: str) -> None:
    result = CliRunner().invoke(cli, ["replay", QUICK, "--scenario", scenario, "-o", "json"])
    assert result.exit_code == 0, result.output
    (told,) = lines_of(result)
    assert (told["run"], told["verdict"]) == ("ion-api-00042-xyz", verdict)
    assert told["stage"] == (2 if verdict == "fail" else 3)


def test_two_revisions_of_which_one_never_served_are_undecided() -> None:
    result = CliRunner().invoke(
        cli, ["replay", QUICK, "--scenario", "no-approval", "--candidate", "ion-api-00099-old"]
    )
    assert result.exit_code == 0, result.output
    assert "undecided: the candidate got no requests" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "yesterday"), "'yesterday' is no time"),
        (("--project", "p", "--from", "2026-01-05"), "--to, --candidate, --stable?"),
        (("--events", "x", "--evidence", "y"), "not clear"),
        (("--sandbox", "--from", "2026-01-05", "--to", "2026-01-04"), "--from is not before --to"),
    ],
)
def test_what_is_asked_of_monitoring_must_be_whole(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(cli, ["replay", QUICK, *arguments])
    assert result.exit_code == 2, result.output
    assert said in result.output
