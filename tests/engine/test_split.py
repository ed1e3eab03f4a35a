"""Whole percents that sum to 100, and a traffic list that leaves what is not ours alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.engine.observation import ServiceName, ServiceState, Target
from controller.engine.split import own_tags, shares, split_text, tags_fit, targets_for

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
WEIGHTS = st.integers(0, 100)


@st.composite
def splits(draw: st.DrawFn) -> dict[str, int]:
    """Draw a split that sums to 100 over one to five revisions."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    cuts = sorted(draw(st.lists(WEIGHTS, min_size=len(names) - 1, max_size=len(names) - 1)))
    edges = [0, *cuts, 100]
    return {name: edges[i + 1] - edges[i] for i, name in enumerate(names)}


@given(splits(), WEIGHTS)
def test_a_split_sums_to_100_with_the_candidate_at_its_weight(
    before: dict[str, int], weight: int
) -> None:
    split = shares(before, "new", weight)
    assert sum(split.values()) == 100
    assert split.get("new", 0) == weight
    assert all(percent > 0 for percent in split.values())


@given(splits(), WEIGHTS)
def test_the_others_keep_their_proportions_to_less_than_a_percent(
    before: dict[str, int], weight: int
) -> None:
    split = shares(before, "new", weight)
    for name, percent in before.items():
        assert abs(split.get(name, 0) - percent * (100 - weight) / 100) < 1


@given(splits(), WEIGHTS)
def test_the_order_in_which_revisions_are_listed_does_not_matter(
    before: dict[str, int], weight: int
) -> None:
    assert shares(before, "new", weight) == shares(dict(reversed(before.items())), "new", weight)


@given(splits())
def test_at_zero_the_split_is_the_one_before(before: dict[str, int]) -> None:
    assert shares(before, "new", 0) == {name: p for name, p in before.items() if p}


def test_a_candidate_that_served_alone_keeps_everything() -> None:
    assert shares({"new": 100}, "new", 10) == {"new": 100}


def service(*targets: Target) -> ServiceState:
    name = ServiceName("demo", "us-central1", "api")
    return ServiceState(name, "u", 1, False, targets, targets, True, "", "old", "old", None)  # noqa: FBT003


def test_foreign_tags_stay_on_their_revisions_and_ours_are_replaced() -> None:
    state = service(
        Target("old", 100, "live"),
        Target("older", 0, "preview"),
        Target("gone", 0, "rollout-new"),
        Target("gone", 0, "rollout-old"),
    )
    assert targets_for(state, {"old": 90, "new": 10}, {"rollout-new": "new"}) == (
        Target("old", 90),
        Target("new", 10),
        Target("old", 0, "live"),
        Target("older", 0, "preview"),
        Target("new", 0, "rollout-new"),
    )


def test_a_tag_on_latest_stays_on_latest() -> None:
    state = service(Target("old", 100), Target(None, 0, "next"))
    assert Target(None, 0, "next") in targets_for(state, {"old": 100}, {})


def test_our_tags_are_left_out_where_name_and_tag_have_over_46_characters() -> None:
    assert tags_fit("x" * 35)
    assert not tags_fit("x" * 36)
    assert own_tags("x" * 36, "new", "old") == {}
    assert own_tags("api", None, "old") == {"rollout-old": "old"}


def test_a_split_is_written_greatest_share_first() -> None:
    assert split_text({"b": 5, "a": 95}) == "a 95%, b 5%"
    assert split_text({}) == "nobody"


def test_equal_shares_are_written_in_the_order_of_their_names() -> None:
    assert split_text({"b": 50, "c": 30, "a": 20}) == "b 50%, c 30%, a 20%"
    assert split_text({"b": 50, "a": 50}) == "a 50%, b 50%"


def test_what_rounding_leaves_goes_to_the_largest_remainders_ties_by_name() -> None:
    assert shares({"a": 34, "b": 33, "c": 33}, "new", 50) == {"new": 50, "a": 17, "b": 17, "c": 16}
    assert shares({"c": 50, "b": 25, "a": 25}, "new", 33) == {"new": 33, "c": 33, "a": 17, "b": 17}
    assert shares({"a": 99, "b": 1}, "new", 99) == {"new": 99, "a": 1}
