"""What a process remembers of its rollout, and what is written: which of the two holds. Pure.

Whoever writes an old state of the service back, as Terraform does, brings an old record with it.
"""

from __future__ import annotations

from dataclasses import replace

from controller.engine.observation import ServiceState
from controller.engine.record import Phase, Record
from controller.engine.split import TAG_NEW, tags_fit


def is_from_before(written: Record, service: ServiceState) -> bool:
    """Tell whether a rollout that the record calls active has ended: its tag is gone.

    An old state that is written back brings the annotation, but not the tag that the end took away.
    Who remembers the end needs no such sign; a fresh process has no other. While the service is as
    the record's own write left it, nothing was written back: a person who acts on a rollout whose
    candidate was deleted gives the tag up with it.
    """
    active = written.phase not in (Phase.DONE, Phase.ROLLING_BACK) and written.uid == service.uid
    return (
        active
        and service.generation > written.generation + 1
        and tags_fit(service.name.service)
        and not any(target.tag == TAG_NEW for target in service.targets)
    )


def is_later(written: Record, known: Record) -> bool:
    """Tell whether a record was written after ours, whatever its number.

    Who wrote an older one back leaves its time as it was; who then goes on from it, a person or a
    process that never saw ours, does not: that is the rollout now.
    """
    return written.at is not None and known.at is not None and written.at > known.at


def is_resumed(written: Record, known: Record) -> bool:
    """Tell whether an earlier rollout of our candidate, written back, was gone on with by a person.

    Its record as it was written back is older than ours; another candidate's is never ours.
    """
    return written.candidate == known.candidate and is_later(written, known)


def ended_unseen(known: Record, written: Record) -> Record | None:
    """Return our rollout as it ended, where it ended and another began between two looks."""
    for outcome in written.outcomes:
        if outcome.candidate == known.candidate and outcome.at >= known.started:
            outcomes = (*known.outcomes, outcome)
            return replace(known, phase=Phase.DONE, ask=None, paused=None, outcomes=outcomes)
    return None
