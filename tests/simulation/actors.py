"""Who acts in a run: what their calls go through, their clocks, and controllers' lives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller.engine.begin import Attach, Nothing, Wish
from controller.engine.codec import Unreadable
from controller.engine.decision import Refusal, State
from controller.engine.duty import SCHEDULE
from controller.engine.lost import Vanished
from controller.engine.telling import Letter
from controller.plan.model import Plan
from controller.ports import Delivery, PortError, Ports
from controller.reconciler import Reconciler, Tick
from tests.simulation.baton import SECOND, Killed
from tests.simulation.scene import Process
from tests.simulation.service import START, Service, instant
from tests.simulation.shown import revision_v2

if TYPE_CHECKING:
    from tests.simulation.playing import Run

PLAN_CHANGED = "the plan changed since"
GOES_ON = ("is under way", "touches a stage already reached")


@dataclass(eq=False)
class Door:
    """What an actor's calls go through. suffers: incidents may strike it."""

    run: Run
    name: str
    suffers: bool
    stale: float = 0.0
    restart: float = 0.0
    failed: str = ""  # the kind of the last call that came to nothing

    def rest(self, seconds: float) -> None:
        """Let the actor wait."""
        baton = self.run.baton
        baton.rest(baton.now + round(seconds * SECOND))

    def rpc(self, kind: str, request: Any, timeout: float) -> bytes:
        """Answer a gRPC call."""
        return self.run.calls.call(self, kind, lambda: self._rpc(kind, request), timeout)

    def v1(self, method: str, body: Any, timeout: float) -> dict[str, Any]:
        """Answer a call of the v1 API."""
        cloud, call = self.run.cloud, self.run.calls.call
        if method == "PUT":
            self.run.observer.looks.attempted(self.name, body)
            sent = f"{self.name}@sim"
            return call(self, "put", lambda: cloud.v1(cloud.put(body, sent)), timeout)
        return call(self, "get", lambda: cloud.v1(self._seen()), timeout)

    def app(self, host: str, path: str, timeout: float) -> tuple[int, bytes]:
        """Answer a request to the service's own app."""
        return self.run.calls.call(self, "check", lambda: self._app(host, path), timeout)

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Send messages to people; whatever becomes of them, the sender goes on."""
        return self.run.calls.call(self, "message", lambda: self.run.mailed(self, letters), 0.0)

    def _seen(self) -> Service:
        cloud = self.run.cloud
        now = cloud.must()
        if self.stale:
            earlier = cloud.earlier(round(self.stale * SECOND))
            return earlier if earlier is not None else now
        return now

    def _rpc(self, kind: str, request: Any) -> bytes:
        cloud, measured = self.run.cloud, self.run.measured
        if kind == "get_service":
            there = self.run.peers.get(request.name.split("/")[3], self.run)
            return there.cloud.v2(self._seen() if there is self.run else there.cloud.must())
        if kind == "get_revision":
            found_one = cloud.revision(request.name.rpartition("/")[2])
            return revision_v2(found_one, cloud.region)
        if kind == "list_revisions":
            return cloud.list_revisions()
        if kind == "list_services":
            return cloud.list_services()
        if kind == "descriptor":
            return measured.descriptor(request)
        found = measured.list_time_series(request)
        end = request.interval.end_time.seconds - round(START.timestamp())
        self.run.observer.measured_until(request.filter, end)
        return found

    def _app(self, host: str, path: str) -> tuple[int, bytes]:
        cloud = self.run.cloud
        tag, _, _ = host.partition("---")
        service = cloud.must()
        force = {
            line.tag: line.revision or service.latest_ready for line in service.in_force if line.tag
        }
        revision = force.get(tag)
        if revision is None or revision not in service.revisions:
            return 404, b"not found"
        truth = self.run.happenings.truth_of(revision, self.run.baton.now)
        code = truth.health if service.revisions[revision].ready else 503
        self.run.measured.count_own(revision, code, truth.latency)
        return code, json.dumps({"status": "healthy" if code == 200 else "ill"}).encode()


@dataclass(eq=False)
class WorldClock:
    """The clock of one process: the world's, skewed, with the steps that the scene has for it."""

    run: Run
    process: Process

    def now(self) -> datetime:
        """Return what this process takes for the time."""
        now = self.run.baton.now
        skew = self.process.skew
        for incident in self.run.happenings.incidents:
            mine = incident.kind == "clock step" and incident.target == self.process.name
            if mine and incident.aim is None and incident.start * SECOND <= now:
                skew += incident.number
        return instant(now) + timedelta(seconds=skew)

    def sleep(self, pause: timedelta) -> None:
        """Let the process wait, by no clock but time itself."""
        baton = self.run.baton
        baton.rest(baton.now + max(0, round(pause.total_seconds() * SECOND)))


@dataclass(eq=False)
class Controller:
    """A controller: processes one after the other, each as `apply`, or as a schedule's pass."""

    run: Run
    process: Process
    lives: int = 0
    plan: Plan | None = None  # what its file said as its last process began
    replans: bool = False  # its person knows that a changed plan needs --replan
    door: Door = field(init=False)

    def live(self) -> None:
        """Run processes until the run is stopped."""
        run, process = self.run, self.process
        self.door = Door(run, process.name, suffers=True)
        clock = WorldClock(run, process)
        self.door.rest(process.starts)
        while True:
            self.lives += 1
            run.observer.looks.started(process.name)
            ports = run.ports(self.door, clock)
            try:
                over = self._scheduled(ports) if process.schedule else self._applied(ports)
            except Killed:
                if run.baton.stopped:
                    raise
                run.say("killed")
                run.counts["kills"] += 1
                over, self.door.restart = False, self.door.restart or 30.0
            except (PortError, Unreadable, Vanished) as error:
                run.say(f"ends: {error}")
                over, self.door.restart = False, 120.0
            if over:
                return
            self.door.rest(self.door.restart or process.schedule or 60.0)
            self.door.restart = 0.0

    def wish(self) -> Wish:
        """Return what its process wants."""
        run = self.run
        edit = run.scene.edit if run.plan is not run.first_plan else None
        replan = edit is not None and (edit.replan or self.replans)
        name = f"r-{self.process.name}-{self.lives}"
        self.plan = run.plan
        return Wish(run.plan, "ci@example.com", name, replan=replan)

    def note_refusal(self, reason: str) -> None:
        """Let its person learn what a refusal says of a plan that changed."""
        self.replans |= PLAN_CHANGED in reason

    def _begun(self, reconciler: Reconciler) -> bool:
        """Begin or attach; tell whether there is something to tick."""
        reconciler.make_up()
        begun = reconciler.begin(self.wish())
        if isinstance(begun, Refusal | Nothing):
            self.run.say(f"begin: {begun.reason}")
            self.note_refusal(begun.reason)
            # latest-ready means what was deployed beside it now: who is refused has `tick` go on.
            return any(text in begun.reason for text in GOES_ON)
        if not isinstance(begun, Attach):
            self.run.say(f"begin: {begun.decision.reason}")
            return begun.decision.state is not State.DONE
        self.run.say("attached")
        return True

    def _applied(self, ports: Ports) -> bool:
        """Run `apply`: begin or attach, then tick until it is done; tell whether all is over."""
        reconciler = Reconciler(ports, self.run.name, f"{self.process.name}-{self.lives}")
        if not self._begun(reconciler):
            return self._nothing_left()
        while True:
            tick = self.ticked(reconciler)
            if tick is None:
                return self._nothing_left()
            if tick.decision.state is State.DONE and not tick.problem:
                return self._nothing_left()
            if self.is_called_back():
                reconciler.hand_over()
                self.door.restart = 5.0
                return False
            ports.clock.sleep(tick.look_again)

    def is_called_back(self) -> bool:
        """Tell whether its person, who edited the plan, ends it to run it with the new one."""
        edits = (one for one in self.run.scene.incidents if one.kind == "edit")
        mine = any(one.target == self.process.name for one in edits)
        return mine and self.plan is not self.run.plan

    def _scheduled(self, ports: Ports) -> bool:
        """Run one pass, as a schedule does; a write that was refused is tried again a few times."""
        reconciler = Reconciler(ports, self.run.name, SCHEDULE)
        self.door.restart = float(self.process.schedule)
        begun = (self.process.ticks and self.is_there()) or self._begun(reconciler)
        for _ in range(5):
            tick = self.ticked(reconciler)
            if tick is None or not tick.problem:
                break
            ports.clock.sleep(tick.look_again)
        return False if begun else self._nothing_left()

    def is_there(self) -> bool:
        """Tell whether there is a rollout; `tick` begins none."""
        service = self.run.cloud.service
        return service is not None and service.record is not None

    def ticked(self, reconciler: Reconciler) -> Tick | None:
        """Tick once, and tell of it."""
        try:
            tick = reconciler.tick()
        except PortError as error:
            if self.door.failed != "get_service":  # without the service there is nothing to say
                self.run.observer.view.violated(
                    "what is not seen ends no look", f"{self.door.failed}: {error}"
                )
            raise
        if tick is not None:
            decision = tick.decision
            self.run.observer.looks.ticked(self.process.name, decision.state.value)
            problem = f" — {tick.problem}" if tick.problem else ""
            what = f"{decision.action.value} [{decision.state.value}]"
            self.run.say(f"tick: {what} {decision.reason[:110]}{problem}")
        return tick

    def _nothing_left(self) -> bool:
        """Look again later: a person may begin something, or write an older record back."""
        self.door.restart = max(self.door.restart, 300.0)
        return False
