"""`apply --image`: which container gets the image, and what the new revision is called. Pure.

The name is made of the image and of everything else the revision is configured by. So a run that is
repeated finds its own revision by its name, and the same image under a changed configuration is
another revision, as it is to Cloud Run.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from controller.engine.observation import RevisionState, Template

IMAGE_LETTERS, REST_LETTERS = 8, 4
"""With two hyphens 14 characters: beside a service's name of 49 the 63 that a name may have."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """A revision to be made. container: its place in the template's list."""

    revision: str
    image: str
    container: int


class Ambiguous(ValueError):
    """No single container takes the requests; the text names those there are."""


def deploying(service: str, image: str, template: Template) -> Deploy:
    """Return the revision that the image makes of the service's template; raises Ambiguous."""
    place = _ingress(template)
    others = [one.image for n, one in enumerate(template.containers) if n != place]
    rest = _letters("\n".join((template.rest, *others)), REST_LETTERS)
    return Deploy(f"{_of_image(service, image)}{rest}", image, place)


def is_of_image(service: str, revision: str, image: str) -> bool:
    """Tell whether a revision was named here for this image, whatever its configuration."""
    start = _of_image(service, image)
    return revision.startswith(start) and len(revision) == len(start) + REST_LETTERS


def to_be(deploy: Deploy, template: Template) -> RevisionState:
    """Return the revision as it will be; whether it is ever ready is not known."""
    images = [one.image for one in template.containers]
    images[deploy.container] = deploy.image
    return RevisionState(
        deploy.revision, None, facts={**template.facts, "image": ", ".join(images)}
    )


def _ingress(template: Template) -> int:
    """Return the place of the container that requests go to: the only one, or the one with a port.

    Source: Cloud Run's documentation, "Configure containers for services".
    """
    if len(template.containers) == 1:
        return 0
    places = [n for n, one in enumerate(template.containers) if one.takes_requests]
    if len(places) != 1:
        names = ", ".join(one.name or one.image for one in template.containers)
        raise Ambiguous(
            f"the image could be for any of the containers {names}: "
            f"{'several have' if places else 'none has'} a port"
        )
    return places[0]


def _of_image(service: str, image: str) -> str:
    return f"{service}-{_letters(image, IMAGE_LETTERS)}-"


def _letters(text: str, count: int) -> str:
    return sha256(text.encode()).hexdigest()[:count]
