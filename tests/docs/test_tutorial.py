"""The lines of docs/tutorial.md do what it says: each terminal a shell of its own, one world."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```sh (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(BLOCK.findall(TUTORIAL))
SECONDS = 100


@contextmanager
def terminal(lines: str, folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run lines of the tutorial in a shell of their own, which ends with the block."""
    around = {**os.environ, "PORT": str(port), "CLOUDSDK_CORE_ACCOUNT": "olga@example.com"}
    around["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{around['PATH']}"
    around.pop("CI", None)
    around.pop("GITHUB_ACTIONS", None)
    shell = subprocess.Popen(
        ["bash", "-c", lines],
        cwd=folder,
        env=around,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield shell
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, 15)
        shell.communicate(timeout=20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.timeout(180)  # two dozen processes, one after the other, on a machine that may be busy
@pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="the lines are for a shell"
)
def test_the_tutorials_lines_end_in_a_promotion_that_everybody_saw(tmp_path: Path) -> None:
    port, env = free_port(), BLOCKS["env"]
    with ExitStack() as opened:
        world = opened.enter_context(terminal(BLOCKS["t1"], tmp_path, port))
        assert world.stdout is not None
        assert world.stdout.readline().startswith(f"listening on http://127.0.0.1:{port}")
        schedule = opened.enter_context(terminal(env + BLOCKS["t2"], tmp_path, port))
        assert schedule.stdout is not None
        assert any(line.startswith("still in progress") for line in schedule.stdout)
        with (
            terminal(env + BLOCKS["t3"], tmp_path, port) as watching,
            terminal(env + BLOCKS["t4"], tmp_path, port) as person,
        ):
            answered = person.communicate(timeout=SECONDS)[0]
            watched = watching.communicate(timeout=SECONDS)[0]
            passes = schedule.communicate(timeout=SECONDS)[0]
    assert (schedule.returncode, watching.returncode, person.returncode) == (0, 0, 0)
    assert "ion-api (us-central1): promoted" in passes
    assert "a person is needed (approval): 100% needs an approval" in watched
    assert "approved: the numbers are good (by olga@example.com)" in watched
    assert "\npromoted: " in watched
    assert "\npromoted: " in answered
    assert re.search(r"^ENDED .*\n\d{4}-\d\d-\d\d .* ion-api-00042-xyz +promoted", answered, re.M)
