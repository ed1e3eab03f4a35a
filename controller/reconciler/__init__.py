"""observe → decide → act: `observing` sees, `passes` decides by the engine and writes.

`people` writes what a person asks for instead.
"""

from controller.ports import Ports
from controller.reconciler.passes import Reconciler, Tick

__all__ = ["Ports", "Reconciler", "Tick"]
