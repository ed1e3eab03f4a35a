"""The processes of a run: a world that is served, and controllers, each ended by its own id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from tests.simulation.wire.front import Front, Write

COMMAND = (sys.executable, "-m", "controller")
START_S = 60.0  # the longest that a process may take to start, on a machine that is busy
_ours = ("CLOUDSDK_", "GOOGLE_", "ROLLOUT_", "GITHUB_")


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Look until it holds. Raises TimeoutError, naming what did not come."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        Event().wait(0.02)


def _environment() -> dict[str, str]:
    """Return the environment without anything that leads elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_ours) and k != "CI"}
    return {**kept, "CLOUDSDK_CORE_ACCOUNT": "ci@example.com", "NO_PROXY": "127.0.0.1"}


class World:
    """A `rollout sandbox serve` of its own, on a free port; a context manager that ends it."""

    def __init__(self, folder: Path, plan: Path, scenario: Path, speed: float) -> None:
        self._out = folder / "world.jsonl"
        options = ("--port", "0", "--speed", f"{speed:g}", "-o", "json")
        with self._out.open("wb") as out, (folder / "world.err").open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "sandbox", "serve", "--scenario", scenario, "--plan", plan, *options],
                stdout=out,
                stderr=err,
                env=_environment(),
            )
        try:
            wait_until(self._told, START_S, "the world is served")
            told: dict[str, Any] = json.loads(self._out.read_text(encoding="utf-8"))
        except BaseException:
            self.end()
            raise
        self.port: int = told["port"]
        self.address: str = told["address"]
        self.env: dict[str, str] = told["env"]

    def _told(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the world ended with {self.process.returncode}")
        return self._out.read_bytes().endswith(b"\n")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def stop(self) -> None:
        """Let the process stand still: it answers nothing, and its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run on; its clock has gone on meanwhile."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it, also where it stands still."""
        if self.process.poll() is None:
            self.process.terminate()
            self.go_on()
        _ended(self.process)


class Controller:
    """One place from which `rollout apply` is run: a door of its own, one process at a time.

    ended: the exit codes of its processes, -9 for one that was killed.
    """

    def __init__(self, world: World, plan: Path, folder: Path, name: str) -> None:
        self.front = Front(world.port)
        self.front.at_write = self._at_write
        self.ended: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.doom: Callable[[Write], bool] = lambda _write: False
        self._plan = plan
        self._out, self._err = folder / f"{name}.jsonl", folder / f"{name}.err"
        self._env = {
            key: value.replace(world.address, self.front.address)
            for key, value in {**_environment(), **world.env}.items()
        }

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        self.wait(10)
        self.front.__exit__()

    def start(self) -> None:
        """Run `rollout apply` as a new process."""
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "apply", self._plan, "-o", "json"], stdout=out, stderr=err, env=self._env
            )

    def kill(self) -> None:
        """Kill its process at once, without any notice."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def wait(self, seconds: float) -> int | None:
        """Wait for its process to end; None where it goes on for longer than that."""
        if self.process is None:
            return None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self.process = None
        self.ended.append(code)
        return code

    @property
    def looks(self) -> int:
        """Return how many looks its processes told of."""
        if not self._out.exists():
            return 0
        return self._out.read_bytes().count(b'{"event": "observed"')

    def last_words(self) -> str:
        """Return the end of what its processes said, for people who ask why."""
        told = [p.read_text(encoding="utf-8", errors="replace") for p in (self._out, self._err)]
        return "\n".join(text[-1500:] for text in told)

    def _at_write(self, write: Write) -> bool:
        if not self.doom(write):
            return True
        self.kill()
        return False


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
