"""Open an Optuna database, SQLite or PostgreSQL: everything is checked before anything is read or written."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    RootTransaction,
    Table,
    create_engine,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError

from storage.errors import StoreError, one_line_errors
from storage.migrations import migrate, needs_migration
from storage.optuna_api import create_tables
from storage.schema import OWN_TABLES, check_schema, lock_all, reflect_tables
from storage.sqlite_file import BUSY_TIMEOUT, WRITES, open_file
from storage.waiting import Waiting, passes

Written = TypeVar("Written")

# An unreachable server is reported after this many seconds instead of the system's minutes.
CONNECT_TIMEOUT = 10
# A connection may be lost so often in the middle of what is written.
LOSSES = 3


@dataclass(frozen=True)
class Database:
    """An open Optuna database whose schema is known.

    Attributes:
        name: its URL without the password, for messages.
        engine: its SQLAlchemy engine.
        tables: Optuna's tables that we use and our own, by name.
        writable: whether it was opened for writing.
        patience: seconds to wait for a server that is gone, whenever it is asked.
    """

    name: str
    engine: Engine = field(repr=False)
    tables: Mapping[str, Table] = field(repr=False)
    writable: bool
    patience: float = 0.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with."""
        with one_line_errors(self.name):
            connection, _ = _begun(self.engine, Waiting(self.name, self.patience))
            with connection:
                yield connection

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Connection]:
        """Give a connection whose changes are committed together at the end, or not at all.

        Without `wait` a server that is gone is not waited for.

        Raises:
            StoreError: the database was opened for reading, or refuses the changes.
        """
        self.require_writable()
        patience = self.patience if wait else 0.0
        with one_line_errors(self.name), _transaction(self.engine, self.name, patience) as connection:
            yield connection

    def write(self, what: Callable[[Connection], Written]) -> Written:
        """Call `what` with a connection whose changes are committed together; again if it is lost on the way.

        What was committed before the loss is there then, so `what` has to leave alone what is there.
        """
        self.require_writable()
        with one_line_errors(self.name):
            for _ in range(LOSSES):
                try:
                    with _transaction(self.engine, self.name, self.patience) as connection:
                        return what(connection)
                except DBAPIError as error:
                    if not self.patience or not passes(error):
                        raise
            with _transaction(self.engine, self.name, self.patience) as connection:
                return what(connection)

    def require_writable(self) -> None:
        """Raise StoreError if the database was opened for reading."""
        if not self.writable:
            raise StoreError(f"{self.name} was opened for reading only: open it with create=True to write")


def open_database(url: str, *, create: bool, migrating: bool = True, patience: float = 0.0) -> Database:
    """Open the Optuna database at a URL, `create` for writing (made if it is missing), else for reading only.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.
        create: for writing.
        migrating: whether one of an earlier version is brought up to date; else its tables may be others.
        patience: seconds to wait for a server that is gone later; now it has to be there.

    Raises:
        StoreError: the URL is wrong, the database cannot be reached, read or (with `create`) written, or it
            is not an Optuna database of the schema we know. Nothing was written then.
    """
    parsed = _parse(url)
    name = _shown(parsed)
    if parsed.get_backend_name() == "sqlite":
        engine = open_file(parsed, name, create=create)
    else:
        engine = _server_engine(parsed, name)
    try:
        with one_line_errors(name):
            if create:
                _prepare_for_writing(engine, parsed, name)
            with engine.connect() as connection:
                check_schema(connection, name)
                tables = reflect_tables(connection)
                old = not create and migrating and needs_migration(connection, tables)
            if old:
                _migrate_for_reading(engine, tables, name)
    except BaseException:
        engine.dispose()
        raise
    return Database(name, engine, tables, writable=create, patience=patience)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            f"{_hidden(url)!r} is not a database URL: "
            "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        hint = " (write postgresql:// in full)" if backend == "postgres" else ""
        raise StoreError(
            f"{_shown(parsed)} is a {backend} database{hint}: use sqlite:///FILE "
            "or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        )
    if backend == "postgresql" and "@" in f"{parsed.host}{parsed.database}":
        raise StoreError(f"{_hidden(url)} has an @ in its user or password: write it as %40")
    if backend == "sqlite":
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.query:
            raise StoreError(f"{_shown(parsed)} has a driver or options: write sqlite:///FILE and no more")
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError(f"{_shown(parsed)} names no file: write sqlite:///FILE")
    return parsed


def _shown(url: URL) -> str:
    secret = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def _hidden(url: str) -> str:
    """A URL that cannot be taken apart without anything that might be a password."""
    return re.sub(r":.*@", ":***@", url, flags=re.DOTALL)


@contextmanager
def _transaction(engine: Engine, name: str, patience: float = 0.0) -> Iterator[Connection]:
    connection, transaction = _begun(engine, Waiting(name, patience), writes=True)
    with connection, transaction:
        yield connection


def _begun(engine: Engine, waiting: Waiting, *, writes: bool = False) -> tuple[Connection, RootTransaction]:
    """A connection in which a transaction has begun, when the database answers."""
    while True:
        connection = None
        try:
            connection = engine.connect()
            if writes:
                connection.execution_options(**{WRITES: True})
            return connection, connection.begin()
        except DBAPIError as error:
            if connection is not None:
                connection.close()
            waiting.after(error)


def _migrate_for_reading(engine: Engine, tables: Mapping[str, Table], name: str) -> None:
    """Bring a database up to date that is opened for reading: what it holds is asked for in today's form."""
    try:
        with _transaction(engine, name) as connection:
            lock_all(connection)
            migrate(connection, tables)
    except DatabaseError as error:
        raise StoreError(
            f"{name} was written by an earlier version, or copied by Optuna, and cannot be brought up to date "
            f"({error.orig}): open it once where it may be written"
        ) from error


def _server_engine(url: URL, name: str) -> Engine:
    try:
        driver = url.get_dialect().driver
        timeout = {"connect_timeout": CONNECT_TIMEOUT} if driver in ("psycopg", "psycopg2") else {}
        engine = create_engine(
            url, pool_pre_ping=True, connect_args={} if "connect_timeout" in url.query else timeout
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            f"{name} needs a driver that is not installed ({error}): "
            "pip install 'tunability[postgres]' and write postgresql+psycopg://"
        ) from error
    if engine.dialect.is_async:
        raise StoreError(f"{name} names an asynchronous driver: write postgresql+psycopg://")
    return engine


def _prepare_for_writing(engine: Engine, url: URL, name: str) -> None:
    with _transaction(engine, name) as connection:
        on_server = engine.dialect.name == "postgresql"
        if on_server:
            if connection.scalar(select(func.current_setting("transaction_read_only"))) == "on":
                raise StoreError(f"{name} is read-only: connect to a server and as a user that may write")
            lock_all(connection)
            if not inspect(connection).get_table_names():
                create_tables(url, timeout=BUSY_TIMEOUT)
        check_schema(connection, name)
        migrate(connection, reflect_tables(connection))
        if on_server:
            for written in ("trials", *OWN_TABLES):
                if not connection.scalar(select(func.has_table_privilege(written, "INSERT"))):
                    raise StoreError(
                        f"{name} is read-only for this user: grant INSERT on its tables, "
                        "or connect as another user"
                    )
