"""Ends process groups when the process that started them is gone, also when that was killed.

A script of its own: reads "+GROUP" and "-GROUP", a line each, from its standard input, and when that ends, ends the
groups that are left. The one that starts it waits for its parent half only, so that it is nobody's child.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def end(groups: set[int]) -> None:
    """SIGTERM, and SIGKILL for what is there after some seconds."""
    deadline = time.monotonic() + GRACE_SECONDS
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGTERM)
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = {group for group in groups if is_there(group)}
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def main() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end(groups)


if __name__ == "__main__":
    main()
