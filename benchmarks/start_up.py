"""How fast `rollout` starts, and that its light commands stay light.

Goal: `rollout --version` takes at most 1.5 times as long as `python -c "import click"`, and
`--version`, `--help` and `validate` import no Google library (half a second of import time).
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

GOAL = 1.5
ROUNDS = 15
HERE = Path(__file__).resolve().parent.parent
PLAN = HERE / "rollout_plans" / "quickstart.yaml"
LIGHT = (["--version"], ["--help"], ["validate", str(PLAN)])

# Runs the command in a process of its own and prints the Google modules that it left behind.
SPY = """
import runpy, sys
sys.argv = ["rollout", *sys.argv[1:]]
code = 0
try:
    runpy.run_module("controller", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
heavy = sorted(m for m in sys.modules if m.split(".")[0] in {"google", "grpc"} and m != "google")
print(f"\\n{code} {' '.join(heavy[:3])}")
"""


def seconds(command: list[str]) -> float:
    """Return how long one run of the command took, in real seconds; it must end with 0."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=HERE)
    return time.perf_counter() - start


def ratio_to_click() -> float:
    """Return the ratio of the medians, the two commands taking turns so that noise hits both."""
    ours = [sys.executable, "-m", "controller", "--version"]
    bare = [sys.executable, "-c", "import click"]
    pairs = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def google_modules(arguments: list[str]) -> list[str]:
    """Return the first few Google modules that `rollout ARGUMENTS` imported.

    Raises RuntimeError when the command failed: what never ran imports nothing.
    """
    spy = [sys.executable, "-c", SPY, *arguments]
    done = subprocess.run(spy, check=True, capture_output=True, text=True, cwd=HERE)
    code, *modules = done.stdout.splitlines()[-1].split()
    if code != "0":
        raise RuntimeError(f"rollout {' '.join(arguments)} ended with {code}: {done.stderr}")
    return modules


def main() -> int:
    """Print one line a goal; return 0 when every goal is met, else 1."""
    ratio = ratio_to_click()
    met = ratio <= GOAL
    print(f"start_up: --version takes {ratio:.2f}x of `import click` (goal <= {GOAL}x)")
    for arguments in LIGHT:
        modules = google_modules(arguments)
        met = met and not modules
        found = ", ".join(modules) or "no Google library"
        print(f"start_up: {arguments[0]} imports {found} (goal: none)")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
