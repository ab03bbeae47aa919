import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path

import optuna
import pytest
from sqlalchemy import create_engine, make_url, text

from storage.errors import StoreError
from storage.records import Trials
from storage.schema import OPTUNA_SCHEMA
from storage.store import Store, open_store

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def run_sql(path: Path | str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


Unprivileged = Callable[[], AbstractContextManager[None]]
Plain = Callable[[str], optuna.storages.RDBStorage]


def test_the_known_schema_is_what_optuna_writes(tmp_path: Path, plain: Plain) -> None:
    storage = plain(f"sqlite:///{tmp_path}/plain.db")
    assert storage.get_head_version() == storage.get_current_version() == OPTUNA_SCHEMA


def test_a_new_file_is_a_complete_database_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "odd {name} 100%.db"
    open_store(f"sqlite:///{path}", create=True).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with open_store(f"sqlite:///{path}", create=False) as store:
        assert store.studies().empty


@pytest.mark.parametrize(("made_by_optuna", "level"), [(False, 1), (True, 2)])
def test_a_writer_syncs_as_often_as_the_files_journal_needs(
    made_by_optuna: bool, level: int, tmp_path: Path, plain: Plain
) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    if made_by_optuna:
        plain(url)
    with open_store(url, create=True) as store, store.database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level


def test_a_new_server_database_gets_the_tables(new_server_database: Callable[[], str], plain: Plain) -> None:
    url = new_server_database()
    with pytest.raises(StoreError, match="not an Optuna database: it has no tables"):
        open_store(url, create=False)
    open_store(url, create=True).close()
    assert optuna.get_all_study_names(plain(url)) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_may_create_one_database_at_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/trials.db"
    else:
        url = request.getfixturevalue("new_server_database")()
    with ThreadPoolExecutor(4) as pool:
        for store in pool.map(lambda _: open_store(url, create=True), range(4)):
            assert store.studies().empty
            store.close()


def test_an_optuna_database_of_somebody_else_is_taken_as_it_is(
    tmp_path: Path, plain: Plain, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    url = f"sqlite:///{tmp_path}/plain.db"
    theirs = optuna.create_study(storage=plain(url), study_name="theirs")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    with open_store(url, create=False) as store:
        assert store.studies().empty
        with pytest.raises(StoreError, match=r"no study 'theirs'.*: run a study first"):
            store.trials("theirs")
    with open_store(url, create=True) as store:
        declare(store)
        assert store.append("digits", "adam", batch()) == 12
        assert store.studies()["trials"].to_list() == [12, 0]
    assert len(theirs.trials) == 3


def test_a_failed_creation_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.schema.OPTUNA_SCHEMA", "v9.9")
    with pytest.raises(StoreError, match=f"Optuna's schema {OPTUNA_SCHEMA}, and only v9.9 is known"):
        open_store(f"sqlite:///{tmp_path}/trials.db", create=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("trials.db", "'trials.db' is not a database URL: write sqlite:///FILE or postgresql"),
        ("postgresql:/me:secret@host/db", r"'postgresql:\*\*\*@host/db' is not a database URL"),
        (
            "postgresql://me:secret@secret/2@host/db",
            r"postgresql:\*\*\*@host/db has an @ .*: write it as %40",
        ),
        ("mysql://me:secret@host/db", r"mysql://me:\*\*\*@host/db is a mysql database: use sqlite"),
        ("postgres://me:secret@host/db", r"write postgresql:// in full"),
        ("postgresql+nosuch://me:secret@host/db", r"driver that is not installed .*tunability\[postgres\]"),
        ("postgresql+pg8000://me:secret@host/db", r"driver that is not installed .*tunability\[postgres\]"),
        (
            "postgresql://me:secret@127.0.0.1:1/db",
            r"me:\*\*\*@127.0.0.1:1/db: .*: check the URL, and that the",
        ),
        ("postgresql://me@127.0.0.1:1/db?sslpassword=secret", "sslpassword=hidden"),
        ("sqlite://", "sqlite:// names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////{tmp}/trials.db?mode=ro", "has a driver or options"),
        ("sqlite+aiosqlite:////{tmp}/trials.db", "has a driver or options"),
        ("sqlite:////{tmp}/missing/trials.db", "the folder .*missing does not exist: create it"),
        ("sqlite:////{tmp}", "cannot be read .*: give another path"),
    ],
)
def test_what_cannot_be_opened_is_one_clear_line(
    tmp_path: Path, url: str, message: str, create: bool
) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        open_store(url.replace("/{tmp}", str(tmp_path)), create=create)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_created_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file: run a study first"):
        open_store(f"sqlite:///{tmp_path}/trials.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"alpha,eps\n0.1,1e-8\n", "is not an SQLite file"),
        (b"SQLite format 3\0" + b"?" * 4000, "is not an SQLite file"),
    ],
)
def test_a_file_of_another_kind_is_left_alone(
    tmp_path: Path, content: bytes, message: str, create: bool
) -> None:
    path = tmp_path / "trials.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=message):
        open_store(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == content


@pytest.mark.parametrize("create", [True, False])
def test_another_sqlite_database_is_left_alone(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "music.db"
    run_sql(path, "CREATE TABLE albums (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not an Optuna database: it has the tables albums, but not studies"):
        open_store(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("version", ["v3.0.0.d", "v6.0.0.a", None])
def test_an_unknown_schema_is_refused(
    tmp_path: Path, prepared: Callable[[str], str], version: str | None, create: bool
) -> None:
    path = tmp_path / "trials.db"
    shutil.copy(str(make_url(prepared("sqlite")).database), path)
    change = (
        "DELETE FROM alembic_version"
        if version is None
        else f"UPDATE alembic_version SET version_num='{version}'"
    )
    run_sql(path, change, "DROP TABLE tunability_trials")
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=f"schema {version or 'of no version'}, and only {OPTUNA_SCHEMA} is known"
    ):
        open_store(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == before


def test_a_store_opened_for_reading_refuses_to_write(
    store: Store, url: str, plain: Plain, declare: Callable[..., None], batch: Callable[..., Trials]
) -> None:
    declare(store)
    with open_store(url, create=False) as reader:
        with pytest.raises(StoreError, match="opened for reading only"):
            reader.append("digits", "adam", batch())
        with pytest.raises(StoreError, match="opened for reading only"):
            declare(reader, "other")
    assert optuna.get_all_study_names(plain(url)) == ["digits/adam", "digits/avagrad"]


@pytest.mark.parametrize("busy", [False, True])
def test_a_read_only_file_can_be_read_and_not_written(
    public_folder: Path,
    unprivileged: Unprivileged,
    prepared: Callable[[str], str],
    declare: Callable[..., None],
    batch: Callable[..., Trials],
    busy: bool,
) -> None:
    path = public_folder / "trials.db"
    shutil.copy(str(make_url(prepared("sqlite")).database), path)
    path.chmod(0o644)
    writer = open_store(f"sqlite:///{path}", create=True)
    declare(writer)
    writer.append("digits", "adam", batch())
    expected = writer.trials("digits")
    if not busy:
        writer.close()
    path.chmod(0o444)
    public_folder.chmod(0o555)
    files = sorted(os.listdir(public_folder))
    assert len(files) == (3 if busy else 1)
    with unprivileged():
        with pytest.raises(StoreError, match="is read-only: allow writing to the file and its folder"):
            open_store(f"sqlite:///{path}", create=True)
        with pytest.raises(StoreError, match="is read-only"):
            open_store(f"sqlite:///{public_folder}/new.db", create=True)
        with open_store(f"sqlite:///{path}", create=False) as reader:
            assert reader.trials("digits").equals(expected)
    assert sorted(os.listdir(public_folder)) == files
    writer.close()


def test_an_unreadable_file_is_refused(public_folder: Path, unprivileged: Unprivileged) -> None:
    path = public_folder / "trials.db"
    path.write_bytes(b"SQLite format 3\0")
    path.chmod(0o000)
    with unprivileged(), pytest.raises(StoreError, match=r"cannot be read \(Permission denied\)"):
        open_store(f"sqlite:///{path}", create=False)


def test_a_read_only_server_can_be_read_and_not_written(
    prepared: Callable[[str], str], declare: Callable[..., None]
) -> None:
    url = prepared("postgresql")
    with open_store(url, create=True) as store:
        declare(store)
    read_only = make_url(url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    read_only_url = read_only.render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="is read-only: connect to a server and as a user that may write"):
        open_store(read_only_url, create=True)
    with open_store(read_only_url, create=False) as store:
        assert store.optimizers("digits") == ["adam", "avagrad"]


def test_a_server_user_without_rights_is_refused(prepared: Callable[[str], str]) -> None:
    url = prepared("postgresql")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    admin.dispose()
    as_reader = make_url(url).set(username="reader").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="read-only for this user: grant INSERT"):
        open_store(as_reader, create=True)
    with open_store(as_reader, create=False) as store:
        assert store.studies().empty


def test_a_writer_that_waits_too_long_says_why(
    prepared: Callable[[str], str],
    declare: Callable[..., None],
    batch: Callable[..., Trials],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = prepared("sqlite")
    monkeypatch.setattr("storage.sqlite_file.SQLITE_WAITS", 0.1)
    monkeypatch.setattr("storage.waiting.LOCK_PATIENCE", 0.3)
    with open_store(url, create=True) as store:
        declare(store)
        with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            message = "database is locked: another process is writing to it"
            with pytest.raises(StoreError, match=f"{message}; waited for 0 s"):
                store.append("digits", "adam", batch())
            (said,) = caplog.messages
            assert said.endswith(f"{message}; waiting for up to 0 s")
        assert store.append("digits", "adam", batch()) == 12


def test_a_connection_that_the_server_closed_is_opened_again(
    prepared: Callable[[str], str], declare: Callable[..., None], batch: Callable[..., Trials], server: str
) -> None:
    url = prepared("postgresql")
    with open_store(url, create=True) as store:
        declare(store)
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": make_url(url).database},
            )
        admin.dispose()
        assert store.append("digits", "adam", batch()) == 12
