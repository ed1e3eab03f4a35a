"""`rollout`: a progressive-delivery controller for Cloud Run.

Here: the version, said once. Everything else is in the modules; docs/architecture.md draws them.
"""

__version__ = "0.1.0"
