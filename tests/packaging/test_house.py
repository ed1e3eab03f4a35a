"""The house: every module has its place, every import its declaration."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]
# The longest prefix wins: google is a namespace that many distributions share.
DISTRIBUTIONS = {
    "google.cloud.run_v2": "google-cloud-run",
    "google.cloud.monitoring_v3": "google-cloud-monitoring",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "google.api": "googleapis-common-protos",
    "google.rpc": "googleapis-common-protos",
    "google.iam": "grpc-google-iam-v1",
    "google.longrunning": "googleapis-common-protos",
    "google.type": "googleapis-common-protos",
    "grpc": "grpcio",
    "proto": "proto-plus",
    "yaml": "pyyaml",
}


def contract(name: str) -> dict[str, Any]:
    (found,) = [contract for contract in CONTRACTS if contract["name"] == name]
    return found


def imports_of(path: Path) -> set[str]:
    """Return the absolute modules that a file imports, `from a.b import c` as a.b.c."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def distribution_of(module: str) -> str | None:
    """Return the distribution that brings a module; None for ours and the standard library."""
    top = module.split(".", maxsplit=1)[0]
    if top == "controller" or top in sys.stdlib_module_names:
        return None
    known = [prefix for prefix in DISTRIBUTIONS if f"{module}.".startswith(f"{prefix}.")]
    return DISTRIBUTIONS[max(known, key=len)] if known else top if top != "google" else module


def test_every_top_level_module_has_its_floor() -> None:
    layers = contract("The house has one direction")
    placed = {name for layer in layers["layers"] for name in re.findall(r"\w+", layer)}
    there = {
        path.stem
        for path in (ROOT / "controller").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert layers["exhaustive"] is True
    assert there - {"__init__"} <= placed


def test_policy_may_not_reach_google_the_network_the_terminal_or_a_clock() -> None:
    policy = contract("Policy knows no Google, network, terminal or clock")
    assert {"controller.plan", "controller.gates", "controller.engine"} <= {
        *policy["source_modules"]
    }
    assert {"google", "grpc", "requests", "time", "random", "os"} <= {*policy["forbidden_modules"]}


def test_the_sandbox_imports_nothing_of_ours_but_the_clocks_protocol() -> None:
    ours = {
        (path.name, module)
        for path in (ROOT / "controller" / "sandbox").rglob("*.py")
        for module in imports_of(path)
        if module.startswith("controller.")
        and not module.startswith(("controller.sandbox", "controller.ports"))
    }
    assert ours == set()


def test_every_package_we_import_is_declared() -> None:
    declared = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    used = {
        distribution
        for path in (ROOT / "controller").rglob("*.py")
        for module in imports_of(path)
        if (distribution := distribution_of(module))
    }
    assert used <= declared
