"""Waiting for a database that does not answer for a while: another process has locked it, or its server is gone."""

import logging
import sqlite3
import time
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from storage.errors import StoreError, in_one_line

log = logging.getLogger("tunability.storage")

LOCK_PATIENCE = 60
"""Seconds for which everybody waits for another process's lock: long enough for its whole block."""
SQLITE_WAITS = 2.0
"""Seconds for which SQLite itself waits for a lock, before it is said that it is waited for."""
PAUSES = (0.5, 10.0)
"""Seconds between attempts to reach a server: the first pause, then twice as long each time, and the longest."""
PASSING = ("08", "40", "53", "57")
"""Classes of PostgreSQL's SQLSTATE: connections, serialization and deadlocks, resources, the operator's doing."""
LASTING = ("53100",)
"""Of these, what does not pass by waiting: a full disk."""


@dataclass
class Waiting:
    """How long a database has been waited for, and what for.

    Attributes:
        name: the database, for messages.
        patience: seconds to wait for a server; a lock is waited for `LOCK_PATIENCE` in any case.
    """

    name: str
    patience: float = 0.0
    _since: float = field(default_factory=time.monotonic, init=False)
    _said: bool = field(default=False, init=False)
    _pause: float = field(default=PAUSES[0], init=False)

    def after(self, error: DBAPIError) -> None:
        """Wait a little after an attempt that failed. Raises the error when waiting does not help, or did not."""
        locked = is_locked(error)
        limit = max(self.patience, LOCK_PATIENCE) if locked else self.patience
        waited = time.monotonic() - self._since
        if not passes(error):
            raise error
        if waited >= limit:
            if not limit:
                raise error
            raise StoreError(f"{in_one_line(self.name, error)}; waited for {waited:.0f} s") from error
        if not self._said:
            self._said = True
            log.warning("%s; waiting for up to %.0f s", in_one_line(self.name, error), limit - waited)
        if not locked:  # SQLite itself has waited
            time.sleep(min(self._pause, limit - waited))
            self._pause = min(2 * self._pause, PAUSES[1])


def is_locked(error: DBAPIError) -> bool:
    """Whether another process holds SQLite's lock."""
    return isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def passes(error: DBAPIError) -> bool:
    """Whether what was tried may succeed in a while: nobody answers, the connection is lost, or it is locked."""
    if isinstance(error.orig, sqlite3.Error):
        return is_locked(error)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # said by the driver, not by the server
        return error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return state[:2] in PASSING and state not in LASTING
