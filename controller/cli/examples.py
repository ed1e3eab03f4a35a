"""Where the example plans are: beside the checkout, or inside the installed package.

Here: finding the file. Not here: reading it (plan/) or what is done with it.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# The wheel carries rollout_plans/ as controller/_plans (pyproject.toml); a checkout has the folder.
_FOLDERS = (_PACKAGE / "_plans", _PACKAGE.parent / "rollout_plans")


def example_plan(name: str) -> Path:
    """Return the path of an example plan, named without its ending: `ion-api`, `quickstart`.

    Raises FileNotFoundError naming the plans there are.
    """
    known: list[str] = []
    for folder in _FOLDERS:
        plan = folder / f"{name}.yaml"
        if plan.is_file():
            return plan
        known += sorted(path.stem for path in folder.glob("*.yaml"))
    raise FileNotFoundError(f"no example plan is called {name}; there are: {', '.join(known)}")
