"""Messages to people: what is written to whom. Sending is a port; nothing here knows HTTP.

`messages` has the words, `forms` the shape that each kind of recipient wants.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.engine.telling import Letter
from controller.notify.forms import post_of, text_of
from controller.ports import Delivered, Delivery, Poster

__all__ = ["Herald", "Shown"]


class Herald:
    """Tells people through a poster."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Tell them; see the port."""
        return self._poster.deliver([post_of(letter) for letter in letters])


class Shown:
    """Shows what would be sent, for rehearsals: nobody is told."""

    def tell(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Return each message's text."""
        return [Delivery(Delivered.SHOWN, text_of(letter)) for letter in letters]
