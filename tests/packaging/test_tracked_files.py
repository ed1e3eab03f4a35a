"""What no tracked file may name: a package registry's host, a path of one machine."""

import configparser
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written in pieces, or this file would name them.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "registry." + "yarnpkg.com",
    "crates" + ".io",
    "goproxy" + ".io",
]
INDEX_LINES = re.compile(r"^\s*(?:-i|-f|--index-url|--extra-index-url|--find-links)[ =]", re.M)
MACHINE_PATHS = re.compile(
    r"(?<![\w.$}:/-])/(?:" + "|".join(["work", "tmp", "root", r"home/\w+", r"Users/\w+"]) + r")/\w"
)


def tracked() -> list[Path]:
    """Return the files that git tracks, symbolic links to folders left out."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there are no tracked files to look at")
    answer = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every tracked text file; NUL bytes tell the others."""
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            yield str(path.relative_to(ROOT)), content.decode("utf-8")


def configured_registries() -> set[str]:
    """Return the hosts this machine installs packages from, as pip and uv are told them."""
    urls = [
        os.environ.get(name, "") for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
    ]
    homes = [Path("/etc"), Path.home() / ".config" / "pip", Path.home() / ".pip"]
    for path in [home / "pip.conf" for home in homes]:
        config = configparser.RawConfigParser(strict=False)
        if path.is_file():
            config.read(path, encoding="utf-8")
            urls += [value for section in config.values() for value in section.values()]
    hosts = {urlsplit(url).hostname or "" for line in urls for url in line.split() if "://" in url}
    return {host for host in hosts if "." in host and not host.startswith("127.")}


def test_no_tracked_file_names_a_registry() -> None:
    hosts = {*REGISTRIES, *configured_registries()}
    named = [f"{name}: {host}" for name, text in texts() for host in hosts if host in text]
    assert not named


def test_requirements_have_no_index_lines() -> None:
    assert not [
        n for n, text in texts() if n.startswith("requirements") and INDEX_LINES.search(text)
    ]


def test_no_tracked_file_has_a_path_of_one_machine() -> None:
    own = [str(ROOT), str(Path.home())]
    found = [
        f"{name}: {hit}"
        for name, text in texts()
        for hit in [*MACHINE_PATHS.findall(text), *(path for path in own if f"{path}/" in text)]
    ]
    assert not found


def test_a_planted_machine_path_would_be_found() -> None:
    planted = "see /" + "tmp/x and $HOME/" + "work/x"
    assert len(MACHINE_PATHS.findall(planted)) == 1


def test_every_text_ends_with_a_line_end() -> None:
    assert not [name for name, text in texts() if text and not text.endswith("\n")]
