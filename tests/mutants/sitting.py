"""What was played, kept between sittings: a line a mutant. And which are drawn to be played.

A result holds as long as the code of the mutant's place is the same. The sample is the same
everywhere: mutants in the order of a digest of their name and a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.mutants import Mutant, files, mutants_of

HERE = Path(__file__).parent
PLAYED = HERE / "played.tsv"
REASONS = HERE / "reasons.txt"
SEED = "rollout"


@dataclass(frozen=True)
class Played:
    """What came of a mutant.

    digest: of the place's code then. by: what noticed it, "" where nothing did. unnoticed: nothing
    noticed it when it was first played; a test may have been written since.
    """

    digest: str
    by: str
    unnoticed: bool = False


@dataclass
class Sittings:
    """The results of all sittings, by the mutant's name."""

    results: dict[str, Played] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PLAYED) -> Sittings:
        """Return what was kept, nothing where there is no file."""
        if not path.exists():
            return cls()
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = (line.split("\t") for line in lines)
        found = {n: Played(digest, by, bool(first)) for n, digest, by, first in rows}
        return cls(found)

    def store(self, path: Path = PLAYED) -> None:
        """Keep them, in the order of their names."""
        rows = sorted(self.results.items())
        text = "".join(
            f"{name}\t{one.digest}\t{one.by}\t{'unnoticed' if one.unnoticed else ''}\n"
            for name, one in rows
        )
        path.write_text(text, encoding="utf-8")

    def note(self, mutant: Mutant, by: str) -> None:
        """Keep what came of a mutant, and what had come of it at first."""
        before = self.of(mutant)
        unnoticed = before.unnoticed if before is not None else not by
        self.results[mutant.name] = Played(mutant.digest, by, unnoticed)

    def of(self, mutant: Mutant) -> Played | None:
        """Return what came of a mutant, None where it was not played as it is now."""
        found = self.results.get(mutant.name)
        return found if found and found.digest == mutant.digest else None

    def forget_others(self, mutants: Iterable[Mutant]) -> None:
        """Forget what is no mutant any more."""
        digests = {one.name: one.digest for one in mutants}
        self.results = {n: r for n, r in self.results.items() if digests.get(n) == r.digest}


def drawn(mutants: Iterable[Mutant]) -> list[Mutant]:
    """Return mutants in the order in which they are drawn."""
    return sorted(mutants, key=lambda one: _lot(one.name))


def _lot(name: str) -> str:
    return hashlib.sha256(f"{SEED}/{name}".encode()).hexdigest()


def every() -> list[Mutant]:
    """Return all mutants there are, in the order in which they are drawn."""
    return drawn(one for file in files() for one in mutants_of(file))


def reasons(path: Path = REASONS) -> dict[str, str]:
    """Return why a mutant survives, by its name: a line for the name, an indented one below."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith(" "):
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        else:
            name = line.strip()
    return found
