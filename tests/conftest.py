"""What every test shares: how hypothesis searches. No fixture lives here."""

from hypothesis import settings

# A deadline measures the machine, not the code: on two busy cores it fails tests that are right.
settings.register_profile("rollout", deadline=None)
settings.load_profile("rollout")
