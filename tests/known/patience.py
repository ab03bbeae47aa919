"""How long tests wait for other processes: as long as one that does not hang may take on a slow, busy machine."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 900  # seconds; a machine that takes five times as long as others has been met

Found = TypeVar("Found")


def wait_until(
    find: Callable[[], Found], seconds: float = PATIENCE, *, alive: Callable[[], bool] = lambda: True
) -> Found:
    """What `find` gives as soon as it is true. Raises AssertionError when it never is, or who makes it so has ended.

    Fewer `seconds` are for what is promised to be soon.
    """
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert alive(), "what was waited for has ended"
        assert time.monotonic() < deadline, f"nothing came for {seconds} s"
        time.sleep(0.05)
    return found
