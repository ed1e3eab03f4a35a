"""Deterministic simulation: a cloud that tries to break the controller, and an observer of it.

One seed is one world (`drawing`): a plan, a service, a truth about the candidate, traffic, and a
schedule of incidents. Production's adapters, engine and reconciler run on it unchanged, through
Google's own clients (`wires`). The world (`cloud`, `measured`) and its `observer` share no
code with them: they know of Cloud Run what its documentation says, and of rollout only what stands
in the service.
"""
