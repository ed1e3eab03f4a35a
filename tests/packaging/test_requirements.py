"""The locked requirements: hashed, agreeing with each other and with pyproject.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = ["requirements.txt", "requirements-dev.txt", "requirements-build.txt"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def entries(name: str) -> list[str]:
    """Return the requirements of a file, each with its continuation lines joined."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, str]:
    """Return package → exact version of a requirements file."""
    parsed = [Requirement(entry.split(" --hash=")[0].strip()) for entry in entries(name)]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in parsed}


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_with_its_hashes(name: str) -> None:
    whole = re.compile(r"[\w.\-\[\]]+==[\w.+!]+ .*--hash=sha256:[0-9a-f]{64}")
    assert [entry for entry in entries(name) if not whole.match(entry)] == []


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (PROJECT["project"]["dependencies"], "requirements.txt"),
        (PROJECT["dependency-groups"]["dev"], "requirements-dev.txt"),
        (PROJECT["dependency-groups"]["build"], "requirements-build.txt"),
        (PROJECT["build-system"]["requires"], "requirements-build.txt"),
    ],
)
def test_what_is_declared_is_locked_within_its_bounds(declared: list[str], name: str) -> None:
    locked = pins(name)
    for requirement in map(Requirement, declared):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version} is locked"


def test_the_files_agree_on_every_version() -> None:
    seen: dict[str, set[str]] = {}
    for name in FILES:
        for package, version in pins(name).items():
            seen.setdefault(package, set()).add(version)
    assert {package: versions for package, versions in seen.items() if len(versions) > 1} == {}


def test_every_runtime_dependency_says_why_it_is_there() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    declared = [Requirement(text).name for text in PROJECT["project"]["dependencies"]]
    assert [name for name in declared if f"`{name}`" not in page] == []
