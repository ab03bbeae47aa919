"""A small store that is complete, and clients of the application in this process."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from search_spaces import SearchSpace
from storage.records import Trials, TuningRun
from storage.store import open_store
from study.service.app import Service, create_app
from study.service.settings import Settings

TOKEN = "a-token-for-the-tests"
SPACE = SearchSpace.from_table({"alpha": [0.001, 0.01, 0.1, 1.0, 10.0], "eps": [1e-8, 1e-6, 1e-4, 1e-2, 1.0]})
SPEC = {
    "name": "small",
    "workload": {"name": "digits-mlp"},
    "optimizers": [{"name": "adam"}, {"name": "avagrad"}],
    "space": SPACE.to_table(),
    "seeds": 2,
    "tuning": {"target": 0.01},
}


def made_up(seed: int, cells: slice = slice(None)) -> Trials:
    """A bowl around alpha = 0.1 with some noise; its worst corner diverged."""
    values = SPACE.cells()[cells]
    error = 0.1 + 0.05 * (np.log10(values[:, 0]) + 1) ** 2 + seed / 1000
    now = datetime.now(UTC)
    return Trials(
        hyperparameters=dict(zip(SPACE.names, values.T, strict=True)),
        seed=seed,
        value=error,
        metrics={"train_loss": 2 * error},
        curve_steps=np.array([10, 20]),
        curve=np.stack([error + 0.1, np.where(error > 0.2, np.nan, error)], axis=1),
        diverged_at=np.where(error > 0.2, 15, -1),
        seconds=np.full(len(values), 0.5),
        started=now,
        finished=now,
    )


@pytest.fixture
def trials() -> Callable[..., Trials]:
    """Makes up trials of one seed, of the cells of a slice."""
    return made_up


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study `small`, complete, with tuning runs, and `half`, which lacks the last cells of the second seed."""
    path = tmp_path_factory.mktemp("original") / "tunability.db"
    with open_store(f"sqlite:///{path}", create=True) as store:
        for name in ("small", "half"):
            store.declare(
                name,
                {key: {} for key in ["adam", "avagrad"]},
                space=SPACE,
                metric="error",
                spec=SPEC | {"name": name},
                provenance={"machine": {"platform": "made up", "processor": "none", "cores": 2}},
            )
            for optimizer in ("adam", "avagrad"):
                store.append(name, optimizer, made_up(0))
                store.append(name, optimizer, made_up(1, slice(None if name == "small" else 20)))
        for optimizer in ("adam", "avagrad"):
            cells = [np.random.default_rng(k).permutation(25)[:20] for k in range(6)]
            runs = [
                TuningRun("random", k, "seed", "free", 2, SPACE, 20, order) for k, order in enumerate(cells)
            ]
            store.append_runs("small", optimizer, runs)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def url(original: Path, tmp_path: Path) -> str:
    """A copy of the store, for one test."""
    return f"sqlite:///{shutil.copy(original, tmp_path / 'tunability.db')}"


@pytest.fixture
def settings(url: str) -> Settings:
    return Settings(url, token=TOKEN)


@pytest.fixture
def app(settings: Settings) -> Service:
    return create_app(settings)


@pytest.fixture
def client(app: Service) -> Iterator[TestClient]:
    """A client that knows the token."""
    with TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        yield client
