"""What urllib3 logs is kept out of every log: URLs of webhooks, and headers that a server repeats.

Nothing here logs by default; but whoever turns logging on for the process would write down secrets
(DEBUG names each path, a warning quotes headers that cannot be parsed).
"""

from __future__ import annotations

import logging


def keep_quiet() -> None:
    """Let urllib3 log nothing below what it never uses; may be called again."""
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
