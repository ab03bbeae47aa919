"""The processes of a cluster that this process has started, and which of them has died: Ray waits for it for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil

CLUSTER_PROCESSES = ("raylet", "gcs_server")
"""Those without which a cluster does nothing."""


class Children:
    """Child processes of this one as they are now, those of their own included, by the names that are given."""

    def __init__(self, names: Iterable[str]) -> None:
        wanted = set(names)
        self._names = dict[psutil.Process, str]()
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if process.name() in wanted:
                    self._names[process] = process.name()

    def __bool__(self) -> bool:
        return bool(self._names)

    def dead(self) -> str | None:
        """The name of one that has died; None while all live."""
        return next((name for process, name in self._names.items() if not alive(process)), None)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two
        return False
