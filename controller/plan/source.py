"""A plan's bytes and where they came from.

Opening files is here, and only opening: a sized read, and a plain sentence where it cannot be
done. What the bytes say is the reader's business; standard input is read by the command line.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from controller.plan.diagnostics import Diagnostic, PlanInvalid

MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a plan and the name they are called by in messages."""

    name: str
    data: bytes


def load(path: str) -> Source:
    """Return the plan file's bytes, at most one more than a plan may have.

    Raises PlanInvalid when there is no such file or it is no readable, regular file.
    """
    file = Path(path)
    try:
        _refuse_what_is_no_file(path, file)
        with file.open("rb") as opened:
            return Source(path, opened.read(MOST_BYTES + 1))
    except PermissionError:
        raise _invalid(path, "this file may not be read", f"chmod +r {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _invalid(path, f"cannot be opened: {reason}", "check the path") from None


def _refuse_what_is_no_file(path: str, file: Path) -> None:
    if not path:
        raise _invalid('""', "a plan's path is empty", "name a file: rollout_plans/ion-api.yaml")
    if file.is_dir():
        plans = [str(found) for found in sorted(file.glob("*.y*ml"))][:4]
        mend = f"name a file in it: {', '.join(plans)}" if plans else "name a plan file"
        raise _invalid(path, "this is a directory, not a plan", mend)
    if not file.exists():
        raise _invalid(path, "there is no such file", _nearest(file))
    if not file.is_file():
        raise _invalid(
            path, "this is a pipe or a device, not a file", "give a plan on standard input with -"
        )


def _nearest(file: Path) -> str:
    parent = file.parent
    if not parent.is_dir():
        return f"there is no directory {parent} either"
    names = [found.name for found in sorted(parent.iterdir())[:1000] if found.is_file()]
    near = difflib.get_close_matches(file.name, names, n=2, cutoff=0.6)
    near = near or [name for name in names if name.endswith((".yaml", ".yml"))][:4]
    if not near:
        return f"there is no plan in {parent}"
    return "did you mean " + " or ".join(str(parent / name) for name in near) + "?"


def _invalid(path: str, message: str, mend: str) -> PlanInvalid:
    return PlanInvalid([Diagnostic(path, 0, 0, message, mend=mend)])
