"""What a service's traffic list means."""

from __future__ import annotations

from controller.engine.observation import Target
from tests.engine.builders import NEW, OLD, running, service_of


def test_lines_of_one_revision_add_up_and_latest_is_the_latest_ready() -> None:
    targets = (Target(None, 60), Target(OLD, 30), Target(NEW, 10), Target(OLD, 0, "blue"))
    service = service_of(running(), targets=targets, statuses=targets[1:])
    assert service.asked == {NEW: 70, OLD: 30}
    assert service.in_force == {OLD: 30, NEW: 10}


def test_latest_is_nobody_where_nothing_was_ever_ready() -> None:
    assert service_of(running(), targets=(Target(None, 100),), latest_ready=None).asked == {}


def test_a_tag_has_a_url_once_it_is_in_force() -> None:
    shown = (
        Target(NEW, 0, "old", "https://old"),
        Target(NEW, 0, "new"),
        Target(OLD, 0, "bare", ""),
    )
    service = service_of(running(), targets=(Target(NEW, 0, "soon", "https://x"),), statuses=shown)
    assert service.url_of("old") == "https://old"
    assert [service.url_of(tag) for tag in ("new", "bare", "soon")] == [None, None, None]
