"""Rows arrive as they are given, in every kind of database."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
)
from sqlalchemy.exc import DBAPIError

from storage.bulk import insert_rows, new_ids

ROWS = Table(
    "rows_of_ours",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", String),
    Column("number", Float),
    Column("time", DateTime),
)
STRANGE = ["plain", "tab\tnew\nline\rback\\slash", r"\N", "", "ü ∂ 🜁", "quote'\"", None]


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine: Engine = create_engine(url)
    with engine.begin() as opened:
        ROWS.create(opened)
        yield opened
    engine.dispose()


def test_texts_numbers_and_times(connection: Connection) -> None:
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 3, None]
    times = [datetime(2026, 1, 2, 3, 4, 5, microsecond) for microsecond in range(7)]
    columns = {"id": list(range(1, 8)), "text": STRANGE, "number": numbers, "time": times}
    insert_rows(connection, ROWS, columns)
    found = connection.execute(ROWS.select().order_by(ROWS.c.id)).all()
    assert [tuple(row) for row in found] == list(zip(*columns.values(), strict=True))


def test_no_rows_are_none(connection: Connection) -> None:
    insert_rows(connection, ROWS, {"id": [], "text": []})
    assert connection.execute(ROWS.select()).all() == []


def test_what_the_database_refuses(connection: Connection) -> None:
    with pytest.raises(DBAPIError), connection.begin_nested():
        insert_rows(connection, ROWS, {"id": [1, 1], "text": ["one", "twice"]})
    assert connection.execute(ROWS.select()).all() == []


def test_new_ids_increase_and_are_nobody_elses(connection: Connection) -> None:
    first = new_ids(connection, ROWS, "id", 3)
    assert first == sorted(set(first))
    insert_rows(connection, ROWS, {"id": first, "text": list("abc")})
    second = new_ids(connection, ROWS, "id", 2)
    assert len({*first, *second}) == 5
    assert min(second) > max(first)
