"""The CI files under examples/: complete, and in step with the commands that there are."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.y*ml"))
GREEN, RED = (0, 4, 5), (1, 2, 3, 6, 137)
# Line by line: a command at the start of a line, or what a message tells people to type.
COMMAND = re.compile(r"(?:^|: |&& |\| )rollout ([a-z]+)((?: [^\s\"')]+| \"[^\"]*\")*)")


def strings_of(value: Any) -> Iterator[str]:
    """Yield every string of a YAML document that is long enough to be a script."""
    match value:
        case dict():
            for item in value.values():
                yield from strings_of(item)
        case list():
            for item in value:
                yield from strings_of(item)
        case str() if "\n" in value:
            yield value
        case _:
            pass


def scripts(path: Path) -> list[str]:
    """Return the shell scripts of a CI file as the shell sees them."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    # Cloud Build makes $ of $$ and puts its substitutions in.
    is_cloud_build = "steps" in document
    return [text.replace("$$", "$") if is_cloud_build else text for text in strings_of(document)]


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """Return each `rollout` command of a CI file with its arguments."""
    return [
        (hit[1], shlex.split(hit[2]))
        for script in scripts(path)
        for line in script.splitlines()
        for hit in COMMAND.finditer(line.strip())
    ]


def help_of(command: str) -> str:
    ask = [sys.executable, "-m", "controller", command, "--help"]
    done = subprocess.run(ask, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"rollout {command} --help: {done.stderr[-500:]}"
    return done.stdout


def test_there_is_one_for_github_and_one_for_cloud_build() -> None:
    assert {"github-actions.yml", "cloudbuild.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_its_scripts_are_shell(path: Path) -> None:
    assert scripts(path)
    for script in scripts(path):
        done = subprocess.run(
            ["bash", "-n"], input=script, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["github-actions.yml", "cloudbuild.yaml"])
def test_it_applies_a_named_revision_and_does_not_wait(name: str) -> None:
    path = ROOT / "examples" / name
    applied = [arguments for command, arguments in commands(path) if command == "apply"]
    assert applied
    for arguments in applied:
        assert arguments[0] == "plans/ion-api.yaml"
        assert {"--revision", "--no-wait"} <= {*arguments}


RUNS = [
    pytest.param(script, id=f"{path.stem}-{script.split('rollout ')[-1].split()[0]}")
    for path in EXAMPLES
    for script in scripts(path)
    if "rollout " in script and "code=" in script
]
STUBS = """
rollout() { return "$CODE"; }
git() { :; }; python() { :; }; cat() { echo ion-api-00042-xyz; }
COMMIT_SHA=; _ROLLOUT_REF=; _ROLLOUT_REPOSITORY=; REVISION=
"""


@pytest.mark.parametrize("code", [*GREEN, *RED])
@pytest.mark.parametrize("script", RUNS)
def test_the_job_is_red_for_what_somebody_must_look_at_and_for_nothing_else(
    script: str, code: int
) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    run = [bash, "-eu", "-c", STUBS + script]
    env = {"CODE": str(code), "PATH": ""}  # nothing but the stubs is run
    done = subprocess.run(run, env=env, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == (0 if code in GREEN else code), done.stderr


def test_the_table_in_the_docs_says_the_same() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d) \|.*\| (green|red) \|$", page, re.M))
    assert {int(code): colour for code, colour in rows.items()} == (
        dict.fromkeys(GREEN, "green") | {1: "red", 2: "red", 3: "red", 6: "red"}
    )


@pytest.mark.parametrize("name", ["github-actions.yml", "cloudbuild.yaml"])
def test_it_deploys_without_traffic_under_a_name_it_chose(name: str) -> None:
    (deploying,) = [s for s in scripts(ROOT / "examples" / name) if "gcloud run deploy" in s]
    assert {"--no-traffic", "--revision-suffix", "candidate"} <= {*shlex.split(deploying)}


def test_the_schedule_takes_up_what_is_under_way_by_its_record() -> None:
    for name in ("github-actions.yml", "cloudbuild-scheduled.yaml"):
        ticks = [a for c, a in commands(ROOT / "examples" / name) if c == "tick"]
        assert ticks
        assert all("--all" in arguments for arguments in ticks)


def test_a_job_that_waits_does_not_hold_up_the_passes() -> None:
    document = yaml.safe_load((ROOT / "examples" / "github-actions.yml").read_text("utf-8"))
    assert "github.event_name" in document["concurrency"]["group"]
    jobs = {n: job for n, job in document["jobs"].items() if "rollout wait" in str(job)}
    assert [job["if"] for job in jobs.values()] == ["github.event_name == 'workflow_dispatch'"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [pytest.param(c, a, id=f"{p.stem}-{c}") for p in EXAMPLES for c, a in commands(p)],
)
def test_every_command_and_option_in_it_exists(command: str, arguments: list[str]) -> None:
    page = help_of(command)
    options = [argument for argument in arguments if argument.startswith("--")]
    assert [option for option in options if not re.search(rf"{option}\b", page)] == []
