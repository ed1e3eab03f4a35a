"""The wheel: what an installed `rollout` finds where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import controller

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release would, offline, with the build backend that is locked."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    """Return the wheel's files, as an installation would lay them out."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_has_the_version_that_the_package_says(wheel: Path) -> None:
    assert wheel.name == f"rollout-{controller.__version__}-py3-none-any.whl"


@pytest.mark.parametrize(
    ("folder", "inside", "pattern"),
    [
        ("rollout_plans", "_plans", "*.yaml"),
        ("controller/sandbox/scenarios", "sandbox/scenarios", "*.yaml"),
    ],
)
def test_the_wheel_carries_every_plan_and_scenario(
    unpacked: Path, folder: str, inside: str, pattern: str
) -> None:
    expected = {path.name: path.read_bytes() for path in (ROOT / folder).glob(pattern)}
    carried = {
        path.name: path.read_bytes() for path in (unpacked / "controller" / inside).glob(pattern)
    }
    assert expected
    assert carried == expected


def test_the_wheel_carries_code_types_and_licence_and_no_tests(unpacked: Path) -> None:
    (about,) = unpacked.glob("*.dist-info")
    assert (unpacked / "controller" / "py.typed").is_file()
    assert (about / "licenses" / "LICENSE").is_file()
    assert {path.name for path in unpacked.iterdir()} == {"controller", about.name}
    assert "rollout = controller.__main__:main" in (about / "entry_points.txt").read_text()


def test_an_installed_rollout_finds_its_plans_away_from_the_checkout(
    unpacked: Path, tmp_path: Path
) -> None:
    ask = "from controller.cli.examples import example_plan; print(example_plan('ion-api'))"
    env = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == unpacked / "controller" / "_plans" / "ion-api.yaml"


def test_a_wheel_built_from_the_source_distribution_has_the_same_files(
    wheel: Path, tmp_path: Path
) -> None:
    backend = [sys.executable, "-m", "hatchling", "build"]
    source = [*backend, "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(source, cwd=ROOT, check=True, capture_output=True)
    (packed,) = tmp_path.glob("*.tar.gz")
    # In a process of its own: which filters tarfile knows and warns about differs within 3.11.
    unpack = [sys.executable, "-m", "tarfile", "-e", str(packed), str(tmp_path)]
    subprocess.run(unpack, check=True, capture_output=True)
    rebuilt = [*backend, "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(
        rebuilt, cwd=tmp_path / packed.name.removesuffix(".tar.gz"), check=True, capture_output=True
    )
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(tmp_path / wheel.name) as theirs:
        assert set(ours.namelist()) == set(theirs.namelist())


def test_the_changelog_has_a_place_for_what_is_not_yet_released() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in changelog.splitlines() if line.startswith("## ")]
    assert headings[0] == "## [Unreleased]"
