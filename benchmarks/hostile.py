"""How much a hostile plan can take before it is refused: peak memory and time of `validate`.

Goal: each is refused in under 1 s and under 100 MB more than the refusal of an empty plan takes.
Each file is read by a process of its own, as `rollout validate FILE` starts it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

GOAL_SECONDS = 1.0
GOAL_MB = 100.0
ROUNDS = 2
HERE = Path(__file__).resolve().parent.parent
REFUSED = 2  # the exit code of an invalid plan

ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
STAGE = "  - {weight: 5%, hold: 24h}\n"
HOSTILE: dict[str, Callable[[], str]] = {
    "alias bomb": lambda: "a0: &a0 [lol]\n" + ALIASES,
    "nested 100,000 deep": lambda: "".join(" " * min(n, 50) + "a:\n" for n in range(100_000)),
    "flow nested 100,000 deep": lambda: "stages: " + "[" * 100_000,
    "stages without an end": lambda: "service: a\nstages:\n" + STAGE * 500_000,
    "stages, just not too long": lambda: "service: a\nstages:\n" + STAGE * 9_000,
    "10 MB": lambda: "# " + "x" * 10_000_000 + "\nservice: a\n",
    "one scalar of 5 MB": lambda: "service: '" + "x" * 5_000_000 + "'\n",
    "one scalar, just not too long": lambda: "service: '" + "x" * 260_000 + "'\n",
    "a huge whole number": lambda: "service: a\nstages: [{hold: " + "9" * 250_000 + "h}]\n",
    "100,000 keys": lambda: "".join(f"k{n}: 1\n" for n in range(100_000)),
    "20,000 keys": lambda: "".join(f"k{n}: 1\n" for n in range(20_000)),
    "tabs": lambda: "service:\n" + "\t" * 250_000 + "a\n",
    "a long template": lambda: "service: '" + "{{ env.A | lower }}" * 13_000 + "'\n",
    "a deep template": lambda: "service: '{{ " + "(" * 250_000 + " }}'\n",
}


def refuse(file: Path) -> tuple[float, float]:
    """Return the seconds and the megabytes (2**20) at most that refusing the plan file took.

    Raises RuntimeError when it was not refused with the exit code of an invalid plan.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", MEASURED, "validate", str(file)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=HERE, timeout=120
    )
    took = time.perf_counter() - start
    code, kilobytes = done.stdout.splitlines()[-1].split()
    if int(code) != REFUSED or "Traceback" in done.stderr:
        raise RuntimeError(f"{file.name} ended with {code}: {done.stderr[-500:]}")
    return took, int(kilobytes) / 1024


# Runs the command and prints its exit code and the most memory its process had.
MEASURED = """
import resource, runpy, sys
sys.argv = ["rollout", *sys.argv[1:]]
code = 0
try:
    runpy.run_module("controller", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
try:  # ru_maxrss would begin with what the parent had when it started this process
    most = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
except OSError:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"\\n{code} {most}")
"""


def measured(file: Path) -> tuple[float, float]:
    """Return the least of a few refusals: what else the machine does is not ours."""
    rounds = [refuse(file) for _ in range(ROUNDS)]
    return min(took for took, _ in rounds), min(size for _, size in rounds)


def main() -> int:
    """Print one line a file; return 0 when every goal is met, else 1."""
    met = True
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text("", "utf-8")
        base_seconds, base = measured(file)
        print(f"hostile: nothing at all takes {base_seconds:.2f} s, {base:.0f} MB")
        for name, text in HOSTILE.items():
            file.write_text(text(), "utf-8")
            took, size = measured(file)
            met = met and took < GOAL_SECONDS and size - base < GOAL_MB
            told = f"{took:.2f} s, {size - base:.0f} MB more than nothing"
            print(f"hostile: {name} takes {told} (goal < {GOAL_SECONDS:g} s, < {GOAL_MB:g} MB)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
