"""Many rows into a table at once, as fast as each database takes them, within the transaction of a connection."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.exc import DBAPIError

ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def insert_rows(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows, given as columns of one length: numbers, texts, None, and times without a zone.

    SQLAlchemy's own way through its types takes three times as long as SQLite itself, and one INSERT a row PostgreSQL
    more than twice as long as COPY.

    Raises:
        DBAPIError: the database refuses them.
    """
    if not any(map(len, columns.values())):
        return
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, columns))
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(
            f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})",
            list(zip(*map(_as_sqlite, columns.values()), strict=True)),
        )
    elif connection.dialect.driver == "psycopg":
        statement = f"COPY {quote(table.name)} ({names}) FROM STDIN"
        driver: Any = connection.connection.driver_connection
        rows = zip(*map(_as_copied, columns.values()), strict=True)
        try:
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write("".join(map("{}\n".format, map("\t".join, rows))))
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(
                statement, None, error, connection.dialect.loaded_dbapi.Error, dialect=connection.dialect
            ) from error
    else:
        values = zip(*columns.values(), strict=True)
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in values])


def new_ids(connection: Connection, table: Table, column: str, count: int) -> list[int]:
    """So many new values of a table's automatic key, increasing; nobody else gets them.

    Of SQLite the caller holds the write lock, so those after the largest are free.
    """
    if connection.dialect.name == "sqlite":
        last = connection.scalar(select(func.max(table.c[column]))) or 0
        return list(range(last + 1, last + 1 + count))
    sequence = func.pg_get_serial_sequence(table.name, column)
    numbers = func.generate_series(1, count).table_valued("value")
    return sorted(connection.scalars(select(func.nextval(sequence)).select_from(numbers)))


def _as_sqlite(column: Sequence[Any]) -> Sequence[Any]:
    """Times as SQLAlchemy writes them, which has no type for them in SQLite; else the column itself."""
    if isinstance(column[0], datetime):
        return [time.isoformat(" ", "microseconds") for time in column]
    return column


def _as_copied(column: Sequence[Any]) -> Iterable[str]:
    """A column in the text format of COPY."""
    kinds = set(map(type, column))
    if kinds <= {int, float}:
        return map(repr, column)
    if kinds == {str}:  # mostly the same few
        texts = {text: text.translate(ESCAPED) for text in set(column)}
        return map(texts.__getitem__, column)
    return [r"\N" if value is None else str(value).translate(ESCAPED) for value in column]
