"""What an image's revision is called, which container gets it, and what is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine.decide import decide
from controller.engine.decision import Action, Decision
from controller.engine.deploying import Ambiguous, deploying, is_of_image, to_be
from controller.engine.observation import (
    Container,
    Gone,
    NotSeen,
    Observation,
    RevisionState,
    Seen,
    Template,
)
from controller.engine.record import Phase, Shift
from controller.sandbox.validation import REVISION_NAME
from tests.engine.builders import NEW, PLAN, at, running, service_of

MAIN, PROXY = (
    Container("main", "app:1", takes_requests=True),
    Container("proxy", "proxy:1", takes_requests=False),
)
ONE = Template(7, (MAIN,), "{}")
BEGUN = replace(
    running(), phase=Phase.STARTING, stage=-1, weight=0, shift=Shift(at(0), 0), in_force=None
)
READY, PENDING = Seen(RevisionState(NEW, ready=True)), Seen(RevisionState(NEW, ready=None))


@given(st.from_regex(r"[a-z][a-z0-9-]{0,47}[a-z0-9]", fullmatch=True), st.text(min_size=1))
def test_the_name_is_one_that_cloud_run_takes_for_the_longest_service(
    service: str, image: str
) -> None:
    name = deploying(service, image, ONE).revision
    assert REVISION_NAME.fullmatch(name)
    assert name.startswith(f"{service}-")
    assert is_of_image(service, name, image)
    assert not is_of_image(service, name, f"{image}!")


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, rest="{ }"),
        replace(ONE, containers=(MAIN, PROXY)),
        replace(ONE, containers=(MAIN, replace(PROXY, image="proxy:2"))),
    ],
)
def test_another_configuration_is_another_revision_of_the_same_image(other: Template) -> None:
    one, another = deploying("api", "app:2", ONE), deploying("api", "app:2", other)
    assert one.revision != another.revision
    assert is_of_image("api", another.revision, "app:2")


def test_the_image_it_had_before_makes_no_difference_to_the_name() -> None:
    """Or a run that is repeated after its own deploy would not find it."""
    deployed = replace(ONE, containers=(replace(MAIN, image="app:2"),))
    assert deploying("api", "app:2", deployed) == deploying("api", "app:2", ONE)


def test_it_is_for_the_container_with_a_port() -> None:
    both = replace(ONE, containers=(PROXY, MAIN))
    deploy = deploying("api", "app:2", both)
    assert deploy.container == 1
    assert to_be(deploy, both).facts["image"] == "proxy:1, app:2"


@pytest.mark.parametrize("containers", [(PROXY, PROXY), (MAIN, MAIN), ()])
def test_where_that_is_not_one_nothing_is_guessed(containers: tuple[Container, ...]) -> None:
    with pytest.raises(Ambiguous):
        deploying("api", "app:2", replace(ONE, containers=containers))


def decided(candidate: object, **service: object) -> Decision:
    shown = replace(service_of(BEGUN), **service)  # type: ignore[arg-type] # any field of it
    return decide(PLAN, BEGUN, Observation(Seen(shown), candidate, READY), at(1))  # type: ignore[arg-type]


def test_a_candidate_in_the_making_is_waited_for() -> None:
    assert decided(Gone("not there"), reconciling=True, ready=None).action is Action.WAIT
    assert decided(PENDING).action is Action.WAIT
    assert decided(NotSeen("no answer"), latest_created=NEW, latest_ready="api-1").action is (
        Action.WAIT
    )
    assert decided(READY).action is Action.NOTE


def test_one_that_is_gone_for_good_ends_the_rollout_before_it_got_traffic() -> None:
    decision = decided(Gone("deleted"))
    assert decision.record.phase is Phase.DONE
    assert "deleted" in decision.reason


def test_the_other_containers_images_count_and_the_image_that_is_replaced_does_not() -> None:
    def named(*containers: Container) -> str:
        return deploying("api", "app:2", replace(ONE, containers=containers)).revision

    assert named(MAIN, PROXY) == named(replace(MAIN, image="app:0"), PROXY)
    assert named(MAIN, PROXY) != named(MAIN, replace(PROXY, image="proxy:2"))
    assert named(PROXY, MAIN) == named(MAIN, PROXY)


def test_a_name_once_given_is_given_for_ever() -> None:
    """A rollout begun by another version is found again by it."""
    assert deploying("api", "app:2", ONE).revision == "api-4de49711-4413"
    both = replace(ONE, containers=(MAIN, PROXY))
    assert deploying("api", "app:2", both).revision == "api-4de49711-f72d"
