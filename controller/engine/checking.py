"""What a check sends and what its answers mean. Pure: sending is the reconciler's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from controller.engine.observation import CheckOutcome, CheckSeen, NotSeen, Seen
from controller.plan.model import Check, CheckWhen, Expect, Text
from controller.plan.text import render

OUR_SIDE = (401, 403)  # IAM or IAP refused us: that says nothing of the release


@dataclass(frozen=True, slots=True)
class ToSend:
    """One request of a check, filled in."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    item: str = ""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, or none: then `status` is 0 and `why` says why.

    401 with a `why` is what it was not even sent for: we have nothing to tell who we are.
    """

    status: int
    body: Any = None
    why: str = ""


def wanted(check: Check, *, before: bool) -> bool:
    """Tell whether a check is sent now: before the first shift, or in a stage."""
    other = CheckWhen.STAGES if before else CheckWhen.BEFORE
    return check.when is not other


def aims_at_candidate(check: Check) -> bool:
    """Tell whether the check asks the candidate itself (else stable, or a dependency)."""
    return "candidate.url" in check.url.refs


def has_secrets(check: Check) -> bool:
    """Tell whether it sends a secret of where it runs: from the environment, or by `id_token`."""
    if check.id_token:
        return True
    first = (text.parts[0] for text in check.headers.values() if text.parts)
    return any(isinstance(part, str) and part.startswith("env:") for part in first)


def audience_of(check: Check, url: str, names: Mapping[str, str]) -> str:
    """Return the audience of the ID token that this request may carry, "" for none.

    What the plan says; else the service's own URL, and only for a request to that very host: a tag
    (`TAG---HOST`) has no audience of its own. Who expects to be refused wants to be a stranger.
    """
    if check.id_token is not None:
        return check.id_token
    if any(code in check.expect.status for code in OUR_SIDE):
        return ""
    asked = urlsplit(url)
    own = [urlsplit(names[key]) for key in ("candidate.url", "stable.url") if key in names]
    if asked.scheme != "https" or all(asked.netloc != one.netloc for one in own):
        return ""
    return f"https://{asked.netloc.rpartition('---')[2]}"


def requests_of(check: Check, names: Mapping[str, str]) -> tuple[ToSend, ...]:
    """Fill in a check's requests, one per item of `each`.

    names: what its texts may name, e.g. "candidate.url" → URL.

    Raises KeyError for a name that is not known (a tag's URL that does not exist yet).
    """
    return tuple(
        ToSend(
            check.method,
            render(check.url, {**names, "item": item}),
            {k: render(v, {**names, "item": item}) for k, v in check.headers.items()},
            _filled(check.body, {**names, "item": item}),
            item,
        )
        for item in (check.each or ("",))
    )


def swapped(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names with stable in the candidate's place: the same check, asked of stable."""
    return {
        **names,
        "candidate.url": names["stable.url"],
        "candidate.revision": names["stable.revision"],
    }


def fault(expect: Expect, got: Got, names: Mapping[str, str]) -> str:
    """Return a sentence on what is wrong with an answer, and nothing if it is right."""
    if got.why or not got.status:
        return got.why or "no answer"
    if got.status not in expect.status:
        allowed = " or ".join(str(code) for code in expect.status)
        return f"answered {got.status}, expected {allowed}"
    if not expect.has_body:
        return ""
    return _mismatch(_filled(expect.body, names), got.body, "body")


def _mismatch(expected: Any, got: Any, path: str) -> str:
    """Compare as DESIGN.md §6 says: objects as subsets, lists and scalars equal."""
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            return f"{path} is {_short(got)}, expected an object"
        for key, value in expected.items():
            here = f"{path}.{key}"
            if key not in got:
                return f"{here} is missing"
            wrong = _mismatch(value, got[key], here)
            if wrong:
                return wrong
        return ""
    if isinstance(expected, list | tuple):
        same = isinstance(got, list) and list(expected) == got
    else:
        same = (type(expected) is type(got) and expected == got) or _same_number(expected, got)
    return "" if same else f"{path} is {_short(got)}, expected {_short(expected)}"


def _same_number(a: Any, b: Any) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return numbers and bool(a == b)


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case Text():
            return render(value, names)
        case Mapping():
            return {key: _filled(item, names) for key, item in value.items()}
        case list() | tuple():
            return [_filled(item, names) for item in value]
        case _:
            return value


def conclude(
    check: Check,
    answers: tuple[tuple[ToSend, Got], ...],
    beside: tuple[tuple[ToSend, Got], ...] | None,
    names: Mapping[str, str],
) -> Seen[CheckSeen] | NotSeen:
    """Turn a check's last answers into an outcome. beside: the same asked of stable, if it was."""
    faults = _faults(check, answers, names)
    if not faults:
        sent = f"{len(answers)} requests" if len(answers) > 1 else f"{answers[0][1].status}"
        return Seen(CheckSeen(CheckOutcome.PASSED, f"passed ({sent})"))
    what = "; ".join(faults)
    if all(got.status in OUR_SIDE for _, got in answers):
        return NotSeen(f"{what}: the service did not let us in")
    if not aims_at_candidate(check):
        return Seen(CheckSeen(CheckOutcome.UNDECIDED, f"{what} (not the candidate)"))
    if beside is None:
        return Seen(CheckSeen(CheckOutcome.FAILED, what))
    stable_faults = _faults(check, beside, names)
    if not stable_faults:
        return Seen(CheckSeen(CheckOutcome.FAILED, f"{what}; stable passes it"))
    if all(not got.status for _, got in (*answers, *beside)):
        return NotSeen(f"neither revision answers us: {what}")
    return Seen(CheckSeen(CheckOutcome.UNDECIDED, f"{what}; stable fails it too"))


def _faults(
    check: Check, answers: tuple[tuple[ToSend, Got], ...], names: Mapping[str, str]
) -> list[str]:
    found: list[str] = []
    for sent, got in answers:
        wrong = fault(check.expect, got, {**names, "item": sent.item})
        if wrong:
            found.append(f"{sent.item}: {wrong}" if sent.item else wrong)
    return found
