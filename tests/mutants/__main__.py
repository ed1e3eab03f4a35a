"""`python -m tests.mutants`: alter the code a little; do tests and simulation notice?"""

from __future__ import annotations

import sys

from tests.mutants.command import main

sys.exit(main(sys.argv[1:]))
