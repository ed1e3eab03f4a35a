"""Every service of a project's regions, as one listing of each region tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from controller.cli.stops import Code, Stop
from controller.engine.observation import ServiceName, ServiceState
from controller.ports import PortError

if TYPE_CHECKING:
    from controller.cli.target import Area
    from controller.cli.wiring import Connection


@dataclass(frozen=True, slots=True)
class Region:
    """A region's services by name, and when they were read. lost: why they could not be."""

    name: str
    at: datetime
    services: tuple[ServiceState, ...] = ()
    lost: PortError | None = None


def tell_lost(regions: Iterable[Region]) -> int:
    """Say on stderr which regions could not be seen; return the exit code: 1 where there is one."""
    code = Code.DONE
    for region in regions:
        if region.lost is not None:
            Stop(f"{region.name}: {region.lost.what}", region.lost.mend).show()
            code = Code.ERROR
    return code


def regions_of(area: Area, connect: Callable[[ServiceName], Connection]) -> Iterator[Region]:
    """Yield the regions in the order in which they were named; one that is lost stops none."""
    for region in area.regions:
        connection = connect(ServiceName(area.project, region, ""))
        at = connection.now()
        try:
            services = connection.ports.router.services(area.project, region)
        except PortError as error:
            yield Region(region, at, lost=error)
        else:
            yield Region(region, at, services)
