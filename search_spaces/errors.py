"""The error of every wrong search space, axis or point, and how its messages suggest a name."""

from collections.abc import Iterable
from difflib import get_close_matches


class SpaceError(ValueError):
    """A search space, an axis or a point is not allowed; the message is one line and says what to do."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'adam'?)"`` for the known name closest to `name`, ``""`` if none is close.

    The leading blank lets it follow the offending name in a message.
    """
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
