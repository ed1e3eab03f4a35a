"""Which revision a wish means, on a service as it is now: a name, a tag, the newest, an image's."""

from __future__ import annotations

from controller.engine.begin import Wish, choose_candidate, is_under_way, runs_image
from controller.engine.decision import Refusal
from controller.engine.deploying import Ambiguous, Deploy, deploying, to_be
from controller.engine.observation import RevisionState, ServiceState
from controller.engine.record import Record
from controller.plan.model import Plan
from controller.ports import Conflict, Missing, TrafficRouter

Wanted = tuple[RevisionState, Deploy | None]
"""The revision, and what makes it where there is none yet."""


def wanted(
    router: TrafficRouter, wish: Wish, service: ServiceState, record: Record | None
) -> Wanted | Refusal | Missing:
    """Return the revision that is meant now, or why there is none. Raises PortError."""
    try:
        if wish.image:
            return _of_image(router, wish.image, service, record)
        return _named(router, wish.plan, service)
    except Missing as error:
        return error


def is_lost_under_way(
    router: TrafficRouter,
    wish: Wish,
    service: ServiceState,
    record: Record | None,
    found: Wanted | Refusal | Missing,
) -> bool:
    """Tell whether what is wanted is under way, but its candidate is deleted or not ready.

    The plan then means another revision, or none: the roll back may not hang on that. found: what
    is meant now. Raises PortError.
    """
    if record is None or not is_under_way(wish, record, service):
        return False
    if isinstance(found, tuple) and found[0].name == record.candidate:
        return False
    try:
        return router.revision(service.name, record.candidate).ready is False
    except Missing:
        return True


def _named(router: TrafficRouter, plan: Plan, service: ServiceState) -> Wanted | Refusal:
    """Return the revision that the plan means."""
    named = plan.candidate.revision is not None
    revisions = router.revisions(service.name) if named else ()
    chosen = choose_candidate(plan, service, revisions)
    if isinstance(chosen, Refusal):
        return chosen
    return router.revision(service.name, chosen), None


def _of_image(
    router: TrafficRouter, image: str, service: ServiceState, record: Record | None
) -> Wanted | Refusal:
    """Return the image's revision, with what makes it where there is none yet.

    One under way for this image is meant whatever was deployed beside it since.
    """
    name = service.name
    if record is not None and runs_image(record, service, image):
        return router.revision(name, record.candidate), None
    template = router.template(name)
    if template.generation != service.generation:
        raise Conflict(f"{name.service} was changed while it was looked at")
    try:
        deploy = deploying(name.service, image, template)
    except Ambiguous as error:
        mend = "deploy it with --no-traffic, then `rollout apply --revision`"
        return Refusal(str(error), mend, 2)
    try:
        return router.revision(name, deploy.revision), None
    except Missing:
        return to_be(deploy, template), deploy
