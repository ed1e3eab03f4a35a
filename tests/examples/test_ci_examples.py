"""The CI files under examples/: complete, and in step with the commands that there are."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.y*ml"))
ENDINGS = ["0", "3", "4", "5", "6", "*"]
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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_applies_a_named_revision_and_does_not_wait(path: Path) -> None:
    applied = [arguments for command, arguments in commands(path) if command == "apply"]
    assert applied
    for arguments in applied:
        assert arguments[0] == "plans/ion-api.yaml"
        assert {"--revision", "--no-wait"} <= {*arguments}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_knows_every_way_that_apply_ends(path: Path) -> None:
    applying = [script for script in scripts(path) if "rollout apply" in script]
    for script in applying:
        assert re.findall(r"^\s*([0-9*])\) ", script, re.M) == ENDINGS


@pytest.mark.parametrize("name", ["github-actions.yml", "cloudbuild.yaml"])
def test_it_deploys_without_traffic_under_a_name_it_chose(name: str) -> None:
    (deploying,) = [s for s in scripts(ROOT / "examples" / name) if "gcloud run deploy" in s]
    assert {"--no-traffic", "--revision-suffix", "candidate"} <= {*shlex.split(deploying)}


def test_the_schedule_goes_on_with_the_revision_under_way() -> None:
    scheduled = [ROOT / "examples" / n for n in ("github-actions.yml", "cloudbuild-scheduled.yaml")]
    assert all("rollout-new" in "".join(scripts(path)) for path in scheduled)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [pytest.param(c, a, id=f"{p.stem}-{c}") for p in EXAMPLES for c, a in commands(p)],
)
def test_every_command_and_option_in_it_exists(command: str, arguments: list[str]) -> None:
    page = help_of(command)
    options = [argument for argument in arguments if argument.startswith("--")]
    assert [option for option in options if not re.search(rf"{option}\b", page)] == []
