"""The Dockerfile of examples/scheduled: read, and its lines done in folders of this machine.

`python -m tests.examples.dockerfile DIR` (make check-image) does what `docker build` would in DIR,
which is to be empty: the lines' own installs, by hash, in a fresh environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "examples" / "scheduled" / "Dockerfile"


class Line(NamedTuple):
    """An instruction and what follows it."""

    word: str
    rest: str


def lines() -> list[Line]:
    """Return the instructions in order, comments left out, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text(encoding="utf-8"))
    said = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [Line(*line.split(None, 1)) for line in said]


def copied(line: Line) -> list[str]:
    """Return what a COPY takes from the source; what it takes from another stage is none of it."""
    words = line.rest.split()
    return [] if words[0].startswith("--from=") else words[:-1]


def build(folder: Path) -> Path:
    """Do the first stage's lines below a folder; return the environment that they make."""
    source, made = folder / "src", folder / "opt" / "rollout"
    source.mkdir(parents=True)
    bare = folder / "python"  # as the image has it: an interpreter with pip, nothing else
    subprocess.run([sys.executable, "-m", "venv", str(bare)], check=True)
    # FROM begins the second stage: it only copies.
    stages = "\n".join(f"{line.word} {line.rest}" for line in lines()).split("FROM ")[1:]
    for text in stages[0].splitlines()[1:]:
        line = Line(*text.split(None, 1))
        if line.word == "COPY":
            for name in copied(line):
                _copy(ROOT / name, source / name)
        elif line.word == "RUN":
            run = line.rest.replace("/opt/rollout", str(made))
            print(f"RUN {line.rest}", flush=True)
            env = {**os.environ, "PATH": f"{bare / 'bin'}{os.pathsep}{os.environ['PATH']}"}
            subprocess.run(["sh", "-ec", run], cwd=source, env=env, check=True, timeout=900)
    return made


def _copy(what: Path, to: Path) -> None:
    if what.is_dir():
        shutil.copytree(what, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(what, to)


def main(folder: str) -> None:
    """Build, then run what the image is for as far as it goes without Google."""
    made = build(Path(folder).resolve())
    rollout = str(made / "bin" / "rollout")
    elsewhere = Path(folder).resolve()
    subprocess.run([rollout, "--version"], cwd=elsewhere, check=True)
    plan = str(ROOT / "rollout_plans" / "quickstart.yaml")
    subprocess.run([rollout, "apply", plan, "--sandbox"], cwd=elsewhere, check=True, timeout=120)
    left = sorted(path.name for path in (made / "bin").glob("pip*"))
    assert not left, f"an installer is left in the image: {left}"


if __name__ == "__main__":
    main(sys.argv[1])
