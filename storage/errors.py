"""The store's error, and how the errors of databases become one line of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

# What to do about the commonest complaints of SQLite and of PostgreSQL's drivers.
REMEDIES = {
    "locked": "another process is writing to it",
    "connection": "check the URL, and that the server runs and lets you in",
    "permission denied": "connect as a user that may do this",
    "full": "free some space on the disk",
}


class StoreError(ValueError):
    """The trial database cannot do what was asked; the message is one line and says what to do."""


class MissingDatabaseError(StoreError):
    """There is no database file yet, or an empty database on a server."""


class UnknownStudyError(StoreError):
    """There is no study, optimizer or trial of that name."""


class OtherStudyError(StoreError):
    """Trials of the name are stored with another recipe, or are somebody else's."""


class PageError(StoreError):
    """An order or a cursor that is not the list's."""


class BadValueError(StoreError):
    """A text or a number that databases cannot hold, so nothing that is stored has it."""


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Raise errors of the database as StoreError, `name` first, with what to do about the common ones."""
    try:
        yield
    except (DataError, UnicodeEncodeError, OverflowError) as error:
        # Before it is sent, or by PostgreSQL: out of range, NUL. What was asked is wrong, and the database is well.
        problem = str(error.orig if isinstance(error, DataError) else error).strip().splitlines()[0]
        raise BadValueError(f"{name}: a value cannot be stored nor looked for: {problem}") from error
    except (DBAPIError, sqlite3.Error) as error:
        raise StoreError(in_one_line(name, error)) from error
    except SQLAlchemyError as error:
        raise StoreError(f"{name}: {str(error).splitlines()[0]}") from error


def in_one_line(name: str, error: DBAPIError | sqlite3.Error) -> str:
    """What a database complains of, `name` first, and what to do about it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    lines = str(original).strip().splitlines() or [type(original).__name__]
    remedies = (remedy for symptom, remedy in REMEDIES.items() if symptom in lines[0].lower())
    return ": ".join([name, lines[0], *list(remedies)[:1]])
