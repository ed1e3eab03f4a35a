"""A small world that answers Google's APIs, with a clock of its own.

What a newcomer tries in it is what runs in production: Google's unmodified clients, in process
(`channel`, `http`) or over one loopback port (`serve`). It knows nothing of plans, records and
stages. `build` puts it together; everything it needs of Google is imported only then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.sandbox.channel import InProcessChannel
    from controller.sandbox.checks import Checks
    from controller.sandbox.clock import VirtualClock
    from controller.sandbox.errors import Handlers
    from controller.sandbox.http import SandboxAdapter
    from controller.sandbox.run_v1 import RunV1
    from controller.sandbox.scenario import Scenario
    from controller.sandbox.setting import Setting
    from controller.sandbox.traffic import Traffic
    from controller.sandbox.world import World

__all__ = ["Sandbox", "build"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A world with its doors.

    channel: for gRPC clients in process. http_adapter: to be mounted on a requests session.
    traffic: what really happens, by region, the setting's first one first. handlers, run_v1,
    checks: the same for a served door (`serve.Served`).
    """

    world: World
    traffic: tuple[Traffic, ...]
    clock: VirtualClock
    channel: InProcessChannel
    http_adapter: SandboxAdapter
    handlers: Handlers
    run_v1: RunV1
    checks: Checks


def build(
    scenario: Scenario,
    setting: Setting | None = None,
    *,
    base_url: str | None = None,
    clock: VirtualClock | None = None,
) -> Sandbox:
    """Make a world of a scenario for a setting; by default that of `sandbox serve`.

    base_url: see World. clock: by default a virtual one that begins at the scenario's start.
    """
    # Imported here: the CLI's help reads scenarios and must not pay for Google's clients.
    from controller.sandbox.channel import InProcessChannel
    from controller.sandbox.checks import Checks
    from controller.sandbox.clock import VirtualClock
    from controller.sandbox.faults import CallFaults
    from controller.sandbox.http import SandboxAdapter
    from controller.sandbox.monitoring import Monitoring
    from controller.sandbox.operations import Operations
    from controller.sandbox.run_v1 import RunV1
    from controller.sandbox.run_v2 import RunV2
    from controller.sandbox.setting import Setting
    from controller.sandbox.traffic import Traffic
    from controller.sandbox.world import World

    clock = clock or VirtualClock(scenario.start)
    world = World(scenario, setting or Setting(), clock, base_url or "")
    traffic = tuple(Traffic(world, region) for region in world.setting.regions)
    faults = CallFaults(scenario.faults, scenario.denied, clock, world.is_on)
    operations = Operations(world)
    handlers = faults.wrap(
        {
            **RunV2(world, operations).handlers,
            **operations.handlers,
            **Monitoring(world, traffic).handlers,
        }
    )
    checks = Checks(world, traffic)
    run_v1 = RunV1(world, faults)
    return Sandbox(
        world=world,
        traffic=traffic,
        clock=clock,
        channel=InProcessChannel(handlers),
        http_adapter=SandboxAdapter(run_v1, checks, clock),
        handlers=handlers,
        run_v1=run_v1,
        checks=checks,
    )
