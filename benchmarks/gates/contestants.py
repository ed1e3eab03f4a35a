"""Who takes part: our gates, the peers with their usual settings, and each peer tuned.

A peer's one knob (a count, a window, a factor on the limit) is turned until it rolls back as few
good releases as ours, over all good cells together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gates.kayenta import Kayenta
from benchmarks.gates.ours import Ours
from benchmarks.gates.peers import Argo, CloudDeploy, Flagger, ReleaseManager
from benchmarks.gates.policy import Policy

_COUNTS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 90, 150)
_FACTORS = (1.0, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's rule. make: the policy at a knob's value; usual: its values as people set them.

    ladder: values to try, from the quickest to roll back to the slowest. knob: what it is called.
    """

    name: str
    knob: str
    usual: tuple[float, ...]
    ladder: tuple[float, ...]
    make: Callable[[float], Policy]


PEERS = (
    Peer("argo", "failureLimit", (0, 3), _COUNTS, lambda k: Argo(int(k))),
    Peer("argo-5m", "failureLimit", (3,), _COUNTS[:15], lambda k: Argo(int(k), 5)),
    Peer("flagger", "threshold", (5,), _COUNTS[1:], lambda k: Flagger(int(k))),
    Peer("release-manager", "max error rate ×", (1,), _FACTORS, ReleaseManager),
    Peer("cloud-deploy", "retest minutes", (5,), _COUNTS[1:], lambda k: CloudDeploy(int(k))),
    Peer("kayenta", "allowedIncrease", (1,), _FACTORS, Kayenta),
)
_BY_NAME = {peer.name: peer for peer in PEERS}
OURS = "ours"


def usual() -> list[str]:
    """Return the names of the contestants with usual settings, ours first."""
    return [OURS, *(f"{peer.name}({k:g})" for peer in PEERS for k in peer.usual)]


def peer_of(contestant: str) -> Peer:
    """Return the peer of a contestant's name, like argo(3)."""
    return _BY_NAME[contestant.split("(", maxsplit=1)[0]]


def policy_of(contestant: str) -> Policy:
    """Return a fresh policy for a contestant's name: ours, or a peer's with its knob's value."""
    if contestant == OURS:
        return Ours()
    name, _, value = contestant.rstrip(")").partition("(")
    return _BY_NAME[name].make(float(value))
