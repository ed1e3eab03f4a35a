"""The way back: which of stable can take the traffic, and what is done without the others. Pure.

Several revisions may have served before. One of them that is deleted meanwhile would make every
write that names it refused, and the roll back with it: the others take its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.engine.decision import Decision
from controller.engine.events import Shifted
from controller.engine.observation import Gone, NotSeen, Observation, RevisionState, Seen, Target
from controller.engine.record import Record
from controller.engine.split import shares, split_text

_Look = Seen[RevisionState] | NotSeen | Gone


def of_stable(record: Record, observation: Observation) -> Mapping[str, _Look]:
    """Return what was seen of every revision that served before."""
    unseen = NotSeen("not asked")
    return {
        name: observation.stable if name == record.stable else observation.beside.get(name, unseen)
        for name in record.before
        if name != record.candidate
    }


def deleted(record: Record, observation: Observation) -> frozenset[str]:
    """Return those of stable that are gone."""
    seen = of_stable(record, observation)
    return frozenset(name for name, one in seen.items() if isinstance(one, Gone))


def unable(record: Record, observation: Observation) -> frozenset[str]:
    """Return those of stable that cannot take traffic: gone, or not ready."""
    seen = of_stable(record, observation)
    return frozenset(name for name, one in seen.items() if _why_not(one))


def no_way_back(record: Record, observation: Observation) -> str:
    """Return why nothing of stable can take the traffic, "" where something can, or may."""
    seen = of_stable(record, observation)
    if not seen or not all(_why_not(one) for one in seen.values()):
        return ""
    whys = "; ".join(f"stable {name} {_why_not(one)}" for name, one in seen.items())
    return f"no way back: {whys}"


def _why_not(seen: _Look) -> str:
    match seen:
        case Gone():
            return "was deleted"
        case Seen(revision) if revision.ready is False:
            return f"is not ready: {revision.why}"
        case _:
            return ""


def without(record: Record, names: frozenset[str]) -> Record:
    """Return the record with a way back that leaves revisions out; as it is where none is left."""
    left = {name: percent for name, percent in record.before.items() if name not in names}
    if len(left) == len(record.before) or not left.keys() - {record.candidate}:
        return record
    before = shares(left, record.candidate, 0)
    main = max(sorted(before), key=lambda name: before[name])
    return replace(record, before=before, stable=main)


def narrowed_text(record: Record, narrowed: Record) -> str:
    """Say who left the way back, and what it is now."""
    left = ", ".join(name for name in record.before if name not in narrowed.before)
    return f"{left} of stable cannot serve any more; the way back is {split_text(narrowed.before)}"


def spared(decision: Decision, names: frozenset[str], gone: frozenset[str]) -> Decision:
    """Return the decision with a write that asks nothing of these revisions, where that can be.

    Their shares go to the others of stable, in proportion. gone: those whose tags name nothing any
    more, and are given up; a tag on one that is only not ready is left to whoever set it.
    """
    write, record = decision.write, decision.record
    if write is None or not (names | gone) & {target.revision for target in write.targets}:
        return decision
    split = {t.revision: t.percent for t in write.targets if t.percent and t.revision}
    bare = tuple(t for t in write.targets if not t.percent and t.revision not in gone)
    left = {name: percent for name, percent in split.items() if name not in names}
    if left != split:
        mine = split.get(record.candidate, 0)
        if not left.keys() - {record.candidate} or (mine and record.candidate in names):
            return decision
        narrowed = without(record, names)
        left = shares(left if narrowed is record else narrowed.before, record.candidate, mine)
        record = narrowed
    lines = tuple(Target(name, percent) for name, percent in left.items())
    if left == split:  # only tags are given up: LATEST may serve, which no name stands for
        lines = tuple(Target(t.revision, t.percent) for t in write.targets if t.percent)
    events = tuple(replace(e, split=left) if isinstance(e, Shifted) else e for e in decision.events)
    spares = replace(write, targets=(*lines, *bare))
    return replace(decision, record=record, write=spares, events=events)
