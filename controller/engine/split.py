"""Split arithmetic: a stage's weight → whole percents, and the traffic list that says so."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from controller.engine.observation import ServiceState, Target

TAG_NEW = "rollout-new"
TAG_OLD = "rollout-old"
TAG_AND_SERVICE_MAX = 46  # characters, tag and service name together (Cloud Run's limit)


def shares(before: Mapping[str, int], candidate: str, weight: int) -> dict[str, int]:
    """Return revision → whole percent with the candidate at `weight`; sums to 100.

    The others keep their proportions of `before`; the units lost to rounding go to the largest
    remainders, ties by name. Revisions that would get nothing are left out. If nobody else served
    before, the candidate keeps everything.
    """
    return dict(_shares(tuple(before.items()), candidate, weight))


@lru_cache(maxsize=256)  # every look compares the split that is there with this one
def _shares(
    before: tuple[tuple[str, int], ...], candidate: str, weight: int
) -> tuple[tuple[str, int], ...]:
    others = {name: percent for name, percent in before if name != candidate and percent}
    total = sum(others.values())
    if not total:
        return ((candidate, 100),)
    rest = 100 - weight
    exact = {name: percent * rest / total for name, percent in others.items()}
    whole = {name: percent * rest // total for name, percent in others.items()}
    by_remainder = sorted(others, key=lambda name: (whole[name] - exact[name], name))
    for name in by_remainder[: rest - sum(whole.values())]:
        whole[name] += 1
    split = {candidate: weight, **whole} if weight else whole
    return tuple((name, percent) for name, percent in split.items() if percent)


def targets_for(
    service: ServiceState, split: Mapping[str, int], own_tags: Mapping[str, str]
) -> tuple[Target, ...]:
    """Return the traffic list: one line per share, then every foreign tag as it was, then ours.

    own_tags: tag → revision for the tags of ours that shall exist afterwards.
    """
    lines = [Target(name, percent) for name, percent in split.items() if percent]
    return (*lines, *_tags(service, own_tags))


def targets_left(service: ServiceState, own_tags: Mapping[str, str]) -> tuple[Target, ...]:
    """Return the traffic list with every share as it is, LATEST's too; only our tags change."""
    lines = [
        Target(target.revision, target.percent) for target in service.targets if target.percent
    ]
    return (*lines, *_tags(service, own_tags))


def _tags(service: ServiceState, own_tags: Mapping[str, str]) -> tuple[Target, ...]:
    foreign = [
        Target(target.revision, 0, target.tag)
        for target in service.targets
        if target.tag and target.tag not in (TAG_NEW, TAG_OLD)
    ]
    ours = [Target(revision, 0, tag) for tag, revision in own_tags.items()]
    return (*foreign, *ours)


def tags_fit(service: str) -> bool:
    """Tell whether our tags fit beside the service's name."""
    return len(TAG_NEW) + len(service) <= TAG_AND_SERVICE_MAX


def own_tags(service: str, candidate: str | None, stable: str | None) -> dict[str, str]:
    """Return our tags as they shall be; none where they do not fit."""
    if not tags_fit(service):
        return {}
    wanted = {TAG_NEW: candidate, TAG_OLD: stable}
    return {tag: revision for tag, revision in wanted.items() if revision}


def split_text(split: Mapping[str, int]) -> str:
    """Write a split for people, greatest share first ("ion-api-41 95%, ion-api-42 5%")."""
    ordered = sorted(split.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {percent}%" for name, percent in ordered) or "nobody"
