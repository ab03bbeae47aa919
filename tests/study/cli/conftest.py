"""Databases of made-up studies."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from search_spaces import SearchSpace
from storage.records import Trials, TuningRun
from storage.store import open_store

ALPHA, EPS = [0.01, 0.1, 1.0], [1e-8, 1e-4]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def refused(cli: Cli) -> Callable[..., str]:
    """Gives the one line with which a command is refused, nothing in the folder having been written."""

    def refuse(folder: Path, *arguments: object) -> str:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        code, out, err = cli(*arguments)
        assert code == 2
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        return str(line)

    return refuse


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with the study `made-up`, two optimizers, 3 x 2 cells, 2 seeds; one trial has diverged."""
    url = f"sqlite:///{tmp_path}/made.db"
    space = SearchSpace.from_table({"alpha": ALPHA, "eps": EPS})
    now = datetime.now(UTC)
    cells = space.cells()
    with open_store(url, create=True) as store:
        store.declare(
            "made-up",
            {key: {} for key in ["adam", "avagrad"]},
            space=space,
            metric="error",
            spec={"a": 1},
            provenance={},
        )
        for optimizer in ("adam", "avagrad"):
            for seed in (0, 1):
                value = np.linspace(0.1, 0.6, 6) + seed / 100
                diverged_at = np.where((np.arange(6) == 5) & (seed == 1) & (optimizer == "adam"), 7, -1)
                trials = Trials(
                    hyperparameters={"alpha": cells[:, 0], "eps": cells[:, 1]},
                    seed=seed,
                    value=value,
                    metrics={"loss": 2 * value},
                    curve_steps=np.array([10, 20]),
                    curve=np.stack([value + 0.1, value], 1),
                    diverged_at=diverged_at,
                    seconds=np.full(6, 0.5),
                    started=now,
                    finished=now,
                )
                assert store.append("made-up", optimizer, trials) == 6
    return url


@pytest.fixture
def tuned(url: str) -> str:
    """The study `made-up` with made-up tuning runs: two tuners, three replicates, five trials on single seeds."""
    with open_store(url, create=True) as store:
        for optimizer in ("adam", "avagrad"):
            store.append_runs(
                "made-up",
                optimizer,
                [
                    TuningRun(
                        tuner,
                        replicate,
                        "seed",
                        "free",
                        2,
                        store.space("made-up"),
                        5,
                        np.roll(np.arange(6), shift + replicate)[:5],
                    )
                    for tuner, shift in (("random", 0), ("cgld", -1))
                    for replicate in range(3)
                ],
            )
    return url


@pytest.fixture
def half_trained(tmp_path: Path) -> str:
    """`half`: adam trained in half of its cells, sgd in none; with tuning runs of both."""
    url = f"sqlite:///{tmp_path}/half.db"
    space = SearchSpace.from_table({"alpha": ALPHA, "eps": EPS})
    now, cells = datetime.now(UTC), space.cells()
    with open_store(url, create=True) as store:
        spec = {"seeds": 2}
        store.declare(
            "half",
            {key: {} for key in ["adam", "sgd"]},
            space=space,
            metric="error",
            spec=spec,
            provenance={},
        )
        for optimizer, seed in itertools.product(("adam", "sgd"), (0, 1)):
            fails = (np.arange(6) >= 3) | (optimizer == "sgd")
            trials = Trials(
                hyperparameters={"alpha": cells[:, 0], "eps": cells[:, 1]},
                seed=seed,
                value=np.where(fails, 0.9, np.linspace(0.1, 0.6, 6) + seed / 100),
                metrics={},
                curve_steps=np.array([10]),
                curve=np.full((6, 1), 0.9),
                diverged_at=np.where(fails, 1, -1),
                seconds=np.full(6, 0.5),
                started=now,
                finished=now,
            )
            assert store.append("half", optimizer, trials) == 6
        for optimizer in ("adam", "sgd"):
            orders = [np.roll(np.arange(6), replicate)[:5] for replicate in range(3)]
            runs = [
                TuningRun("random", replicate, "seed", "free", 2, space, 5, order)
                for replicate, order in enumerate(orders)
            ]
            store.append_runs("half", optimizer, runs)
    return url
