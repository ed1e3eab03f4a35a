"""What every test shares: how hypothesis searches, and what needs no collecting. No fixture."""

import gc
import os

from hypothesis import settings

# In a job of GitHub Actions commands annotate; the tests of that set it themselves.
os.environ.pop("GITHUB_ACTIONS", None)
os.environ.pop("GITHUB_STEP_SUMMARY", None)

# A deadline measures the machine, not the code: on two busy cores it fails tests that are right.
settings.register_profile("rollout", deadline=None)
settings.load_profile("rollout")


def pytest_collection_finish() -> None:
    """Set aside what was imported and collected: no garbage, and looked through at every turn."""
    gc.freeze()
