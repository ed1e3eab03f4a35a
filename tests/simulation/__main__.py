"""`python -m tests.simulation`: play seeds, tell what broke, replay one with its trace."""

from __future__ import annotations

import sys

from tests.simulation.command import main

sys.exit(main(sys.argv[1:]))
