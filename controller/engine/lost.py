"""A rollout whose record is lost: it vanished, or this version cannot read what stands there. Pure.

Our tags tell that there was one, and of whom: both are set by its first write, and `rollout-new` is
taken away at every end. So nobody begins beside it unasked, and a person can end it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.engine.codec import FORMAT, Unreadable, read
from controller.engine.decision import Refusal
from controller.engine.observation import ServiceState
from controller.engine.split import TAG_NEW, TAG_OLD, split_text
from controller.engine.unreadable import brief


@dataclass(frozen=True, slots=True)
class Lost:
    """What is left of a rollout whose record is lost.

    text: what stands in the record's place, None where it vanished. what: why that cannot be read,
    and how it begins. candidate, stable: whom our tags name, "" for nobody. asked: revision →
    percent.
    """

    text: str | None
    what: str
    candidate: str
    stable: str
    asked: Mapping[str, int]

    @property
    def why(self) -> str:
        """Return it as a sentence for people."""
        if self.text is None:
            of = self.candidate or "LATEST"
            return f"a rollout of {of} was here (tag {TAG_NEW}), and its record vanished"
        return f"the record on the service cannot be read: {self.what}"

    @property
    def told(self) -> str:
        """Return it with the split that it leaves."""
        alone = "" if self.text is not None else "; nobody goes on with it"
        return f"{self.why}; traffic is {split_text(self.asked)}{alone}"

    @property
    def replaced(self) -> str:
        """Return what a write replaces, as a sentence for people."""
        if self.text is None:
            return f"no record was there to replace: {self.why}"
        return f"replaced: a record that could not be read: {self.what}"

    @property
    def brief(self) -> str:
        """Return what a write replaces, for that write's transition."""
        if self.text is None:
            return f"vanished; {TAG_NEW} was on {self.candidate or 'LATEST'}"
        return brief(self.text, reads=FORMAT)

    @property
    def under_way(self) -> str:
        """Return who may be a candidate that gets traffic, "" where that is nobody.

        Our tag tells it; without one, of several that serve any may be.
        """
        if self.candidate:
            return self.candidate if self.asked.get(self.candidate) else ""
        return " or ".join(sorted(self.asked)) if len(self.asked) > 1 else ""


class Vanished(Exception):
    """The record of a rollout that did not end vanished, and nobody is left who remembers it."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.told)
        self.lost = lost


def lost_of(service: ServiceState) -> Lost | None:
    """Return what is left where a rollout's record is lost; None where it is there, or was none."""
    tagged = {t.tag: t.revision or "" for t in service.targets if t.tag in (TAG_NEW, TAG_OLD)}
    names = (tagged.get(TAG_NEW, ""), tagged.get(TAG_OLD, ""))
    text = service.record_text
    if text is None:
        return Lost(None, "", *names, service.asked) if TAG_NEW in tagged else None
    try:
        read(text)
    except Unreadable as error:
        return Lost(text, str(error), *names, service.asked)
    return None


def ended_here(service: ServiceState) -> str:
    """Return what our other tag tells where no record does: a rollout ended. Else ""."""
    if service.record_text is not None:
        return ""
    old = next((t.revision for t in service.targets if t.tag == TAG_OLD), None)
    return f"one ended here (tag {TAG_OLD} on {old}), and its record is gone" if old else ""


def must_be_shown(shown: Lost | None, found: Lost | None) -> Refusal | None:
    """Refuse to write over another text than the one that a person was shown.

    shown: None where nothing was asked, and anything may be replaced.
    """
    if shown is None or (found is not None and found.text == shown.text):
        return None
    now = found.told if found is not None else "it can be read now"
    return Refusal(
        f"the record changed since it was shown, and was left: {now}",
        "look with `rollout status`, then decide again",
    )
