"""Open or create an SQLite file; transactions begin as we say."""

import errno
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from storage.errors import MissingDatabaseError, StoreError, one_line_errors
from storage.optuna_api import create_tables
from storage.schema import check_schema
from storage.waiting import LOCK_PATIENCE, SQLITE_WAITS

# Optuna's own connections wait for a lock as long as ours do.
BUSY_TIMEOUT = LOCK_PATIENCE
# The execution option of a connection that is going to write.
WRITES = "tunability_writes"


def open_file(url: URL, name: str, *, create: bool) -> Engine:
    """An engine for the file a URL names, made if it is missing and `create` says so.

    Raises:
        StoreError: the file is missing or of another kind, or cannot be read or (with `create`) written.
    """
    path = Path(str(url.database))
    if not path.parent.is_dir():
        raise StoreError(f"{name}: the folder {path.parent} does not exist: create it, or give another path")
    # SQLite writes its journal beside the file, so the folder counts too.
    writable = os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
    if create and not writable:
        raise StoreError(
            f"{name} is read-only: allow writing to the file and its folder, or give another path"
        )
    if not path.exists():
        if not create:
            raise MissingDatabaseError(
                f"{name}: there is no such file: run a study first, or give another path"
            )
        _create_file(path, url, name)
    _check_kind(path, name)
    return _file_engine(url) if writable else _read_only_file_engine(url, path)


def _check_kind(path: Path, name: str) -> None:
    """Raise StoreError unless a file is SQLite's and can be read.

    SQLite itself has to look: opening and closing the file here would drop the locks of this process's connections
    to it, as POSIX has it, and another process would take their journal away.
    """
    problem = errno.EISDIR if path.is_dir() else 0 if os.access(path, os.R_OK) else errno.EACCES
    if problem:
        raise StoreError(f"{name} cannot be read ({os.strerror(problem)}): give another path")
    state = "is empty" if path.stat().st_size == 0 else None
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
        try:
            file.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                state = "is not an SQLite file"
    if state:
        raise StoreError(f"{name} {state}: give another path, or delete the file to start a new database")


def _create_file(path: Path, url: URL, name: str) -> None:
    """Make the database under another name and link it into place, so that it is never seen half-made."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    engine = _file_engine(url.set(database=str(unfinished)))
    try:
        with one_line_errors(name):
            create_tables(engine.url, timeout=BUSY_TIMEOUT)
            with engine.connect() as connection:
                check_schema(connection, name)
            # Readers and the writer do not wait for one another in this mode, which the file remembers.
            engine.dispose()
            with closing(sqlite3.connect(unfinished)) as file:
                file.execute("PRAGMA journal_mode=WAL")
        _link(unfinished, path)
    finally:
        engine.dispose()
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass  # another process made the database meanwhile, as complete as ours
    except OSError:  # a file system without hard links
        if not target.exists():
            os.replace(source, target)


def _file_engine(url: URL) -> Engine:
    return _with_our_transactions(create_engine(url, connect_args={"timeout": SQLITE_WAITS}))


def _read_only_file_engine(url: URL, path: Path) -> Engine:
    """An engine that leaves no journal beside a file it may not write.

    Without a journal nobody has the file open, so it can be read as it is; with one SQLite must follow it.
    """
    journal = Path(f"{path}-wal")
    still = not journal.exists() or journal.stat().st_size == 0
    uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=SQLITE_WAITS, check_same_thread=False)

    return _with_our_transactions(create_engine(url, creator=connect))


def _with_our_transactions(engine: Engine) -> Engine:
    def leave_transactions_to_us(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    def begin(connection: Connection) -> None:
        # A writer takes the write lock at once: taking it later fails when another writer came between.
        immediate = connection.get_execution_options().get(WRITES, False)
        if immediate and not connection.info.get(WRITES):
            connection.info[WRITES] = True
            # A power cut may then take the last trials, which are trained again, and never the file; in other
            # modes, which Optuna's files have, it might.
            if connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal":
                connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine, "connect", leave_transactions_to_us)
    event.listen(engine, "begin", begin)
    return engine
