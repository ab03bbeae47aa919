"""Databases of both kinds to test the store on, and batches of made-up trials to fill them with."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import optuna
import pytest
from sqlalchemy import make_url

from search_spaces import SearchSpace
from storage.records import Trials
from storage.store import Store, open_store

SPACE = SearchSpace.from_table({"eps": [1e-8, 1e-4, 1.0], "alpha": [0.01, 0.1, 1, 10]})
STARTED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NOBODY = 65534

Unprivileged = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def new_server_database(server: str, run_sql: Callable[..., None]) -> Callable[..., str]:
    """Make an empty database, or a copy of `template`, on the server; return its URL."""

    def new(template: str = "template1") -> str:
        name = f"t{uuid4().hex}"
        run_sql(server, f"CREATE DATABASE {name} TEMPLATE {template}")
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    return new


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], str]:
    """Return the URL of a new database of a kind, with the tables and nothing in them.

    Databases are copied from one that the store made, because making the tables is the slow part.
    """
    originals: dict[str, str] = {}

    def prepare(kind: str) -> str:
        folder = tmp_path_factory.mktemp("databases")
        if kind not in originals:
            new = request.getfixturevalue("new_server_database")() if kind == "postgresql" else None
            originals[kind] = new or f"sqlite:///{folder}/original.db"
            open_store(originals[kind], create=True).close()
        original = str(make_url(originals[kind]).database)
        if kind == "postgresql":
            copy: str = request.getfixturevalue("new_server_database")(original)
            return copy
        shutil.copy(original, folder / "trials.db")
        return f"sqlite:///{folder}/trials.db"

    return prepare


@pytest.fixture(params=["sqlite", "postgresql"], scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, prepared: Callable[[str], str]) -> str:
    return prepared(kind)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url, create=True) as opened:
        yield opened


@pytest.fixture
def plain() -> Iterator[Callable[[str], optuna.storages.RDBStorage]]:
    """Open a database as any user of Optuna would, and close it after the test."""
    opened = []

    def open_plainly(url: str) -> optuna.storages.RDBStorage:
        opened.append(optuna.storages.RDBStorage(url))
        return opened[-1]

    yield open_plainly
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture(scope="session")
def declare() -> Callable[..., None]:
    """Declare a study of two optimizers on SPACE, unless told otherwise."""

    def declare_study(
        store: Store,
        study: str = "digits",
        optimizers: tuple[str, ...] = ("adam", "avagrad"),
        **changes: object,
    ) -> None:
        given = {"space": SPACE, "metric": "error", "spec": {"steps": 400}, "provenance": {"torch": "2.13.0"}}
        given |= changes
        recipe = given.pop("recipe", given["spec"])
        store.declare(study, dict.fromkeys(optimizers, recipe), **given)  # type: ignore[arg-type]

    return declare_study


@pytest.fixture(scope="session")
def batch() -> Callable[..., Trials]:
    """Make up trials of some cells of SPACE, all of them by default; the same seed gives the same numbers."""

    def make(cells: slice = slice(None), seed: int = 0, **changes: object) -> Trials:
        values = SPACE.cells()[cells]
        count = len(values)
        rng = np.random.default_rng(abs(seed))
        given = {
            "hyperparameters": dict(zip(SPACE.names, values.T, strict=True)),
            "seed": seed,
            "value": rng.random(SPACE.size)[cells],
            "metrics": {"train_loss": rng.random(SPACE.size)[cells]},
            "curve_steps": np.array([0, 200, 400]),
            "curve": rng.random((SPACE.size, 3))[cells],
            "diverged_at": np.full(count, -1),
            "seconds": np.full(count, 0.25),
            "started": STARTED,
            "finished": STARTED + timedelta(seconds=90),
        }
        return Trials(**(given | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that an unprivileged user can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged() -> Unprivileged:
    """Return a context in which file permissions count, also when root runs the tests."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return as_nobody
