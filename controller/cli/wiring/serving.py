"""The served sandbox, wired to real time, and what its scenarios are about."""

from __future__ import annotations

from dataclasses import replace

from controller.cli.wiring import scenario_named
from controller.cli.wiring.setting import setting_of
from controller.cloud.clock import SystemClock
from controller.engine.observation import ServiceName
from controller.plan.model import Plan
from controller.ports import Refused
from controller.sandbox.scenario import load, names
from controller.sandbox.serve import Served, serve
from controller.sandbox.setting import Setting

__all__ = ["Served", "abouts", "served"]


def served(
    scenario: str,
    name: ServiceName | None,
    plan: Plan | None,
    *,
    port: int,
    speed: float,
    services: int = 1,
) -> Served:
    """Serve a world until it is closed; name None: the sandbox's own names.

    speed: seconds of the world in each real one. services: how many there are, all alike: S, S-2,
    S-3 … Raises Stop (2) for a scenario that cannot be used, and Refused for a port that is taken.
    """
    loaded = scenario_named(scenario)
    clock = SystemClock()
    setting = Setting() if name is None else setting_of(name, plan)
    others = tuple(f"{setting.service}-{number}" for number in range(2, services + 1))
    setting = replace(setting, others=others)
    try:
        return serve(loaded, setting, real=lambda: clock.now().timestamp(), port=port, speed=speed)
    except OSError as error:
        raise Refused(f"port {port}: {error.strerror}", "--port 0 picks a free one") from error


def abouts() -> dict[str, str]:
    """Return every packaged scenario with what it is about."""
    return {name: load(name).about for name in names()}
