"""The way in: `rollout` and `python -m controller` are the same. No behaviour lives here."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from controller.cli.app import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
