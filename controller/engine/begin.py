"""How a rollout begins, or why it cannot. Pure, like every decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches

from controller.engine import hints, moves, recordless
from controller.engine.decision import Action, Decision, Refusal, State, Write
from controller.engine.deploying import Deploy, is_of_image
from controller.engine.events import Started
from controller.engine.lost import Lost, lost_of, must_be_shown
from controller.engine.observation import RevisionState, ServiceState
from controller.engine.record import Phase, Record, Shift
from controller.engine.split import own_tags, shares, split_text, tags_fit, targets_for
from controller.plan.compact import differences, digest, from_json, to_json
from controller.plan.model import Candidate, Plan
from controller.plan.window import closed_text, next_opening

ROLLED_BACK_BEFORE = 3  # the exit code for a candidate that was rolled back (DESIGN.md §6)
TAKEN_OVER = 6


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to roll out. rollout: a fresh id. by: the person or account.

    reason: theirs, kept in the record where the rollout begins. image: what the candidate is to be
    made of, "" where it was deployed before; it wins over the plan's candidate. after: the region
    that must be promoted first, "" for none. over: the lost record that may be replaced, as it was
    shown.
    """

    plan: Plan
    by: str
    rollout: str
    again: bool = False
    replace: bool = False
    replan: bool = False
    reason: str = ""
    image: str = ""
    after: str = ""
    over: Lost | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """The rollout that is wanted runs already: go on with it. decision: what --replan writes."""

    record: Record
    plan: Plan
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do: the candidate was promoted and serves everything."""

    reason: str


Beginning = Decision | Attach | Nothing | Refusal


def choose_candidate(
    plan: Plan, service: ServiceState, revisions: Sequence[RevisionState]
) -> str | Refusal:
    """Return the revision that the plan's `candidate` means."""
    wanted = plan.candidate
    if wanted.tag is not None:
        named = next((t for t in service.targets if t.tag == wanted.tag), None)
        if named is None:
            tags = ", ".join(sorted({t.tag for t in service.targets if t.tag})) or "none"
            return Refusal(f"no revision has the tag {wanted.tag!r}", f"tags there are: {tags}")
        return named.revision or service.latest_ready or ""
    if wanted.revision is not None:
        names = [revision.name for revision in revisions]
        if revisions and wanted.revision not in names:
            near = get_close_matches(wanted.revision, names, 3, 0.5) or names[:3]
            return Refusal(
                f"the revision {wanted.revision} does not exist",
                f"nearest: {', '.join(near)}" if near else "",
            )
        return wanted.revision
    if service.latest_ready is None:
        return Refusal("no revision of the service is ready", "deploy one with --no-traffic")
    return service.latest_ready


def begin(
    wish: Wish,
    service: ServiceState,
    candidate: RevisionState,
    stable: RevisionState | None,
    record: Record | None,
    now: datetime,
    deploy: Deploy | None = None,
) -> Beginning:
    """Decide how the rollout of `candidate` begins; the first write moves no traffic.

    deploy: what makes the candidate, where it is yet to be; done by the first write.
    """
    lost = lost_of(service) if record is None else None
    refused = _cannot_replace(wish, record, lost, service)
    if refused is not None:
        return refused
    if record is not None and record.uid == service.uid:
        if record.phase is not Phase.DONE:
            return _beside(wish, service, candidate, record, now)
        earlier = _earlier(wish, service, candidate, record)
        if earlier is not None:
            return earlier
    return _anew(wish, service, candidate, stable, record, now, deploy)


def _cannot_replace(
    wish: Wish, record: Record | None, lost: Lost | None, service: ServiceState
) -> Refusal | None:
    """Refuse to begin over a lost record: unless that is wished, and who serves is no candidate."""
    ours = record is not None and record.rollout == wish.rollout  # an unanswered write of our own
    changed = None if ours else must_be_shown(wish.over, lost)
    if changed is not None or lost is None:
        return changed
    ways = hints.listed(hints.of_lost(lost, service.name.place))
    code = TAKEN_OVER if lost.text is None else 1
    if not wish.replace or wish.over is None:
        return Refusal(lost.told, ways, code)
    if lost.under_way:
        serves = f"{lost.under_way} serves and may be its candidate"
        if lost.candidate:
            serves = f"its candidate {lost.candidate} gets {lost.asked[lost.candidate]}%"
        return Refusal(f"{lost.why}; {serves}: who is stable is not known", f"first {ways}", code)
    return None


def is_under_way(wish: Wish, record: Record, service: ServiceState) -> bool:
    """Tell whether the rollout under way is of the very plan or the very candidate wished for."""
    if wish.image and not runs_image(record, service, wish.image):
        return False
    active = record.uid == service.uid and record.phase is not Phase.DONE
    same = digest(pinned(wish.plan, record.candidate)) == record.digest
    return active and (same or wish.plan.candidate.revision == record.candidate)


def runs_image(record: Record, service: ServiceState, image: str) -> bool:
    """Tell whether the rollout under way is of a candidate made of this image."""
    under_way = record.uid == service.uid and record.phase is not Phase.DONE
    return under_way and is_of_image(service.name.service, record.candidate, image)


def _beside(
    wish: Wish, service: ServiceState, candidate: RevisionState, record: Record, now: datetime
) -> Beginning:
    """A rollout is under way: the same one is attached to, another one refused."""
    if record.candidate != candidate.name:
        if wish.replace:
            reason = f"replaced by {candidate.name}, by {wish.by}"
            return moves.roll_back(record, service, now, reason, by=wish.by)
        return Refusal(
            f"a rollout of {record.candidate} is under way; {candidate.name} is wanted"
            + (f", made of {wish.image}" if wish.image else ""),
            "wait for it, or `apply --replace` rolls it back and starts this one",
        )
    running, wanted = from_json(record.plan), pinned(wish.plan, candidate.name)
    if digest(wanted) == record.digest:
        return Attach(record, running)
    if service.asked != moves.expected_split(record):
        return Attach(record, running)  # taken over: nothing is written, the tick says so
    changes = differences(running, wanted)
    if not wish.replan:
        listed = "\n".join(f"  {line}" for line in changes)
        return Refusal(
            f"the plan changed since this rollout began:\n{listed}",
            "`apply --replan` takes the change for the stages not yet reached; until then it goes "
            "on by its own plan: `apply --no-wait` looks after it, and so does "
            f"`rollout tick {service.name.place}`",
        )
    reached = range(max(record.stage, record.came_from) + 1)  # it may have stepped back
    if wanted.stages[: len(reached)] != running.stages[: len(reached)] or any(
        wanted.gates_at(n) != running.gates_at(n) for n in reached
    ):
        return Refusal("the change touches a stage already reached", "only later stages can change")
    changed = _asks_else(running, wanted)
    replanned = replace(
        record,
        plan=to_json(wanted),
        digest=digest(wanted),
        history={n: known for n, known in record.history.items() if n not in changed},
        heard=_heard_from_here(running, wanted, record),
    )
    text = "; ".join(changes)
    decision = moves.note(
        replanned, service, now, text, moves.SOON, transition="replanned", by=wish.by
    )
    return Attach(replanned, wanted, decision)


def _heard_from_here(running: Plan, wanted: Plan, record: Record) -> dict[str, int]:
    """Return what was told: those that the plan did not notify hear nothing of the past."""
    before = {one.name for one in running.notify}
    return {
        one.name: record.heard.get(one.name, 0) if one.name in before else record.noted
        for one in wanted.notify
    }


def _asks_else(running: Plan, wanted: Plan) -> set[str]:
    """Return the gates of which the day before tells nothing: they ask something else now.

    Once a stage was reached there are none, as its gates may not change any more.
    """
    return {gate.name for gate in wanted.gates_at(0) if gate not in running.gates_at(0)}


def pinned(plan: Plan, candidate: str) -> Plan:
    """Return the plan with its candidate named: however it was named, it is the same plan."""
    return replace(plan, candidate=Candidate(revision=candidate))


def _earlier(
    wish: Wish, service: ServiceState, candidate: RevisionState, record: Record
) -> Nothing | Refusal | None:
    """What an earlier, ended rollout says of this candidate."""
    last = next((o for o in reversed(record.outcomes) if o.candidate == candidate.name), None)
    if last is None:
        return None
    if last.outcome == "promoted" and service.asked == {candidate.name: 100}:
        return Nothing(f"{candidate.name} was promoted and serves everything")
    if last.outcome == "rolled_back" and not wish.again:
        return Refusal(
            f"{candidate.name} was rolled back before: {last.reason}",
            "deploy a new revision, or `apply --again`",
            ROLLED_BACK_BEFORE,
        )
    return None


def _anew(
    wish: Wish,
    service: ServiceState,
    candidate: RevisionState,
    stable: RevisionState | None,
    record: Record | None,
    now: datetime,
    deploy: Deploy | None,
) -> Beginning:
    refused = _cannot_start(wish.plan, service, candidate, stable) or _never_opens(wish.plan, now)
    if refused is not None:
        return refused
    lost = lost_of(service) if record is None else None
    before = service.asked
    main = max(sorted(n for n in before if n != candidate.name), key=lambda name: before[name])
    fresh = Record(
        rollout=wish.rollout,
        uid=service.uid,
        plan=to_json(pinned(wish.plan, candidate.name)),
        digest=digest(pinned(wish.plan, candidate.name)),
        candidate=candidate.name,
        stable=main,
        before=shares(before, candidate.name, 0),
        started=now,
        by=wish.by,
        shift=Shift(now, 0),
        after=wish.after,
        told=(service.latest_created,) if service.latest_created else (),
        outcomes=record.outcomes if record else (),
        seq=record.seq if record else 0,
    )
    fresh = recordless.replacing(fresh, lost, now, wish.by)
    fresh = fresh.noting(now, "started", wish.reason or f"beside {split_text(before)}", wish.by)
    tags = own_tags(service.name.service, candidate.name, main)
    started = Started(
        now,
        wish.rollout,
        service.name.service,
        candidate.name,
        main,
        tuple((stage.weight, stage.hold) for stage in wish.plan.stages),
        attached=False,
        changed=what_changed(candidate, stable),
    )
    return Decision(
        Action.START,
        f"{f'{candidate.name} deployed, ' if deploy else ''}record written, no traffic moved",
        timedelta(seconds=10),
        fresh,
        State.STARTING,
        Write(targets_for(service, fresh.before, tags), deploy=deploy),
        (*recordless.said(lost, now), started),
    )


def _cannot_start(
    plan: Plan, service: ServiceState, candidate: RevisionState, stable: RevisionState | None
) -> Refusal | None:
    before = service.asked
    first = service.generation == 1  # nobody changed anything since the first deployment
    if before == {candidate.name: 100} and service.latest_created == candidate.name and first:
        return Refusal(
            f"{candidate.name} is this service's first revision: there is nothing to compare it "
            "with and nothing to go back to",
            "it serves everything already; roll out the next one, deployed with --no-traffic",
        )
    if before == {candidate.name: 100}:
        return Refusal(
            f"{candidate.name} serves everything already and was never rolled out",
            "deploy with --no-traffic, or name another revision with --revision",
        )
    if not before:
        return Refusal("no revision serves: there is nothing to compare with or go back to")
    if candidate.ready is False:
        return Refusal(f"the candidate {candidate.name} is not ready: {candidate.why}")
    if stable is None or stable.ready is False:
        why = stable.why if stable else "it does not exist"
        return Refusal(f"there is no way back: stable is not ready: {why}")
    share = before.get(candidate.name, 0)
    if share:
        return Refusal(
            f"the candidate serves {share}% already; the first write may not move traffic",
            "put it back first: `rollout rollback --to-revision` the stable one",
        )
    grave = [fact for fact in service.unusual if fact.startswith(("several regions", "Cloud Fun"))]
    if grave:
        return Refusal(f"this service cannot be rolled out: {grave[0]}")
    urls = [ref for ref in ("candidate.url", "stable.url") if plan.needs(ref)]
    if urls and not tags_fit(service.name.service):
        return Refusal(
            f"the checks need {' and '.join(urls)}, but the service's name is too long for a tag",
            "tag and service name together may have 46 characters; take the URLs out of the checks",
        )
    return None


def _never_opens(plan: Plan, now: datetime) -> Refusal | None:
    rule = plan.when.advance_only
    if rule is None or next_opening(rule, now) is not None:
        return None
    return Refusal(closed_text(rule, now), "change `when: {advance_only: …}` in the plan")


def what_changed(candidate: RevisionState, stable: RevisionState | None) -> tuple[str, ...]:
    """Return what differs between the two revisions, a line each ("image: a → b")."""
    old = stable.facts if stable else {}
    names = sorted({*candidate.facts, *old})
    return tuple(
        f"{name}: {old.get(name, '-')} → {candidate.facts.get(name, '-')}"
        for name in names
        if old.get(name) != candidate.facts.get(name)
    )
