"""Mutants and those who may notice them, brought together: one forked process a mutant.

It is a plugin of pytest: when all tests are collected, and everything is imported, it forks.
"""

from __future__ import annotations

import inspect
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.mutants.finders import (
    LEFT_OUT,
    SIMULATION,
    Finder,
    Finders,
    Trace,
    clock,
    digest_of,
    within,
)
from tests.mutants.mutants import ROOT, Mutant, digests, put_in_place

MEMORY_MOST = 3 << 30  # bytes
SPARE = 20.0  # seconds of CPU beside what the finders took when they were traced
IMPORT = "the import"
WALL = 15.0  # so many times the CPU's limit: then it waits for something that never comes


@dataclass(frozen=True)
class Verdict:
    """by: the name of what noticed, "" where nothing did. why: in a few words."""

    mutant: Mutant
    by: str
    why: str = ""
    tried: int = 0


Ask = Callable[[Finders], Iterable[Mutant]]
Tell = Callable[[Verdict], None]


@dataclass(frozen=True)
class Field:
    """Where mutants are hunted: tests (folders or files), rollouts of the simulation by name, with
    a digest of what each is made of.

    kept: the file of who reaches what. play: plays a rollout that has to end as it ended before;
    returns what is wrong, and how it ends. jobs: processes at a time. seconds: of CPU that each
    kind of finder may take for a mutant.
    """

    tests: Sequence[str]
    kept: Path
    rollouts: Mapping[str, str] = field(default_factory=dict)
    play: Callable[[str, str], tuple[str, str]] = lambda _name, _end: ("", "")
    jobs: int = 1
    seconds: float = 40.0


def hunt(on: Field, ask: Ask, tell: Tell) -> None:
    """Let tests and rollouts try to notice mutants; tell each verdict as it comes.

    ask: which mutants, once it is known who reaches what. Raises RuntimeError where pytest does
    not come so far.
    """
    plugin = _Plugin(on, ask, tell)
    options = ["addopts=", "timeout=0"]
    quiet = ["-q", "-s", "--import-mode=importlib", "--no-header", "--no-summary"]
    off = ["no:cacheprovider", "no:xdist"]
    settings = [*(f"-o{one}" for one in options), *(f"-p{one}" for one in off)]
    ended = pytest.main([*quiet, *settings, *on.tests], plugins=[plugin])
    if not plugin.done:
        raise RuntimeError(f"pytest ended before the hunt did: {ended}")


@dataclass
class _Plugin:
    on: Field
    ask: Ask
    tell: Tell
    done: bool = False
    items: dict[str, pytest.Item] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    early: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("collecting failed")
        items = (item for item in session.items if not item.nodeid.startswith(LEFT_OUT))
        self.items = {item.nodeid: item for item in items}
        finders = Finders.read(self.on.kept)
        self._trace(finders)
        self._hunt(finders)
        self.done = True
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(str(report.longrepr).strip().rpartition("\n")[2])

    # Who reaches what -----------------------------------------------------------------------

    def _trace(self, finders: Finders) -> None:
        sources = {**self.on.rollouts, **{n: _source(one) for n, one in self.items.items()}}
        missing = finders.to_trace(sources)
        if not missing:
            return
        print(f"tracing {len(missing)} tests and rollouts", flush=True)
        if not finders.digests:
            finders.digests = digests()
        parts = [missing[at :: self.on.jobs * 8] for at in range(self.on.jobs * 8)]
        running = _Running(self.on.jobs)
        for part in parts:
            running.add("part", partial(self._traced, {n: sources[n] for n in part}), 1800, 1800)
        for _, lines, _ in running.results():
            for line in lines:
                one = Finder(**json.loads(line))
                finders.known[one.name] = one
            finders.store(self.on.kept)
        failed = [n for n in finders.there if not finders.known[n].passed]
        print(
            f"{len(finders.known)} known; of no use here: {', '.join(failed) or 'none'}", flush=True
        )

    def _traced(self, sources: Mapping[str, str], file: Path) -> None:
        names = list(sources)
        with file.open("a", encoding="utf-8") as out:
            for index, name in enumerate(names):
                began = clock()
                following = names[index + 1] if index + 1 < len(names) else None
                with Trace() as trace:
                    wrong, outcome = self._run(name, following)
                took = round(clock() - began, 3)
                one = Finder(name, took, not wrong, sources[name], trace.reached(), outcome)
                out.write(json.dumps(vars(one)) + "\n")
                out.flush()

    def _run(self, name: str, following: str | None = None, expected: str = "") -> tuple[str, str]:
        """Run a test or a rollout; return what is wrong, and the rollout's outcome."""
        if name.startswith(SIMULATION):
            return self.on.play(name, expected)
        self.failures = []
        item = self.items[name]
        after = self.items.get(following) if following else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return "; ".join(self.failures), ""

    # The hunt -------------------------------------------------------------------------------

    def _hunt(self, finders: Finders) -> None:
        running = _Running(self.on.jobs)
        asked = iter(self.ask(finders))
        by_name: dict[str, tuple[Mutant, int]] = {}

        def begin() -> bool:
            for mutant in asked:
                early = self.early[f"{mutant.file}:{mutant.place}"]
                tried = list(within(finders.of(mutant), self.on.seconds, early))
                if not tried:
                    self.tell(Verdict(mutant, "", "nothing runs it"))
                    continue
                by_name[mutant.name] = mutant, len(tried)
                cpu = sum(one.seconds for one in tried) + SPARE
                running.add(
                    mutant.name,
                    partial(self._noticed, mutant, tried),
                    cpu,
                    cpu * WALL,
                )
                return True
            return False

        for _ in range(self.on.jobs):
            begin()
        for name, lines, killed in running.results(then=begin):
            mutant, number = by_name.pop(name)
            verdict = _verdict(mutant, lines, killed, number)
            if verdict.by:
                self.early[f"{mutant.file}:{mutant.place}"][verdict.by] = None
            self.tell(verdict)

    def _noticed(self, mutant: Mutant, tried: list[Finder], file: Path) -> None:
        with file.open("a", encoding="utf-8") as out:
            try:
                put_in_place(mutant)
            except (TypeError, ValueError, ArithmeticError) as error:  # a constant without a value
                out.write(json.dumps({"by": IMPORT, "why": str(error)}) + "\n")
                return
            for index, one in enumerate(tried):
                out.write(json.dumps({"at": one.name}) + "\n")
                out.flush()
                following = tried[index + 1].name if index + 1 < len(tried) else None
                wrong, _ = self._run(one.name, following, one.outcome)
                if wrong:
                    out.write(json.dumps({"by": one.name, "why": wrong[:200]}) + "\n")
                    return
            out.write(json.dumps({"by": ""}) + "\n")


def _source(item: pytest.Item) -> str:
    function = getattr(item, "obj", None)
    return digest_of(inspect.getsource(inspect.unwrap(function)) if function else item.nodeid)


def _verdict(mutant: Mutant, lines: list[str], killed: bool, number: int) -> Verdict:  # noqa: FBT001
    told = [json.loads(line) for line in lines]
    last = told[-1] if told else {}
    if "by" in last:
        return Verdict(mutant, last["by"], last.get("why", ""), number)
    if not last:
        raise RuntimeError(f"{mutant.name} could not be put in place")
    return Verdict(mutant, last["at"], "it never ends" if killed else "the process dies", number)


# Processes ----------------------------------------------------------------------------------------


@dataclass
class _Child:
    name: str
    work: Callable[[Path], None]
    cpu: float
    wall: float
    file: Path = Path()
    began: float = 0.0


@dataclass
class _Running:
    """Forked processes, so many at a time; each tells by lines in a file of its own."""

    jobs: int
    waiting: list[_Child] = field(default_factory=list)
    children: dict[int, _Child] = field(default_factory=dict)

    def add(self, name: str, work: Callable[[Path], None], cpu: float, wall: float) -> None:
        """Let a process do some work, now or when there is room. cpu, wall: seconds it may take."""
        self.waiting.append(_Child(name, work, cpu, wall))

    def results(
        self, then: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[str, list[str], bool]]:
        """Yield, for each process that ended: name, lines, whether it was ended by a limit."""
        while self.waiting or self.children:
            while self.waiting and len(self.children) < self.jobs:
                self._fork(self.waiting.pop(0))
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                time.sleep(0.02)
                self._end_the_late()
                continue
            child = self.children.pop(pid)
            lines = child.file.read_text(encoding="utf-8").splitlines()
            child.file.unlink()
            by_limit = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (
                signal.SIGXCPU,
                signal.SIGKILL,
            )
            then()
            yield child.name, lines, by_limit

    def _end_the_late(self) -> None:
        for pid, child in self.children.items():
            if time.monotonic() - child.began > child.wall:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _fork(self, child: _Child) -> None:
        handle, name = tempfile.mkstemp()
        os.close(handle)
        child.file, child.began = Path(name), time.monotonic()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self.children[pid] = child
            return
        code = 1
        try:
            _limit(child.cpu)
            child.work(child.file)
            code = 0
        finally:
            os._exit(code)


def _limit(cpu: float) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MOST, MEMORY_MOST))
    os.chdir(ROOT)
