"""A second process for the tests: ``writer.py URL ACTION FILE [NUMBER|URL]``, each action a function below."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import storage.insert
from search_spaces import SearchSpace
from storage.records import Trials
from storage.store import Store, StoreError, open_store


def trials_of(store: Store, seed: int, rows: slice) -> Trials:
    space = store.space("digits")
    cells = space.cells()[rows]
    now = datetime.now(UTC)
    return Trials(
        hyperparameters=dict(zip(space.names, cells.T, strict=True)),
        seed=seed,
        value=np.full(len(cells), float(seed)),
        metrics={},
        curve_steps=np.array([0, 1]),
        curve=np.zeros((len(cells), 2)),
        diverged_at=np.full(len(cells), -1),
        seconds=np.full(len(cells), 0.1),
        started=now,
        finished=now,
    )


def race(store: Store, gate: Path, seeds: int) -> None:
    """Append every cell of every seed in small batches that overlap, as soon as the gate opens."""
    wait_for(gate)
    size = store.space("digits").size
    new = 0
    for seed in range(seeds):
        for start in range(0, size, 2):
            new += store.append("digits", "adam", trials_of(store, seed, slice(start, start + 4)))
    print(new, flush=True)


def declare(store: Store, gate: Path, steps: int) -> None:
    """Declare a study with a spec of its own as soon as the gate opens, store trials, and say how that went."""
    wait_for(gate)
    space = SearchSpace.from_table({"alpha": [1, 2]})
    recipes = {key: {"steps": steps} for key in [f"optimizer-{steps}", "adam"]}
    try:
        store.declare("contested", recipes, space=space, metric="error", spec={"steps": steps}, provenance={})
        now, cells = datetime.now(UTC), space.cells()
        trials = Trials(
            hyperparameters={"alpha": cells[:, 0]},
            seed=0,
            value=np.full(len(cells), float(steps)),
            metrics={},
            curve_steps=np.array([0]),
            curve=np.zeros((len(cells), 1)),
            diverged_at=np.full(len(cells), -1),
            seconds=np.full(len(cells), 0.1),
            started=now,
            finished=now,
        )
        print("stored", store.append("contested", "adam", trials), flush=True)
    except StoreError as error:
        print(error, flush=True)


def wait_for(gate: Path) -> None:
    print("ready", flush=True)
    while not gate.exists():
        time.sleep(0.001)


def hang(store: Store, marker: Path) -> None:
    """Append a batch and stop for good in the middle of the transaction."""

    def stop(table: str) -> None:
        if table == "trial_intermediate_values":
            marker.touch()
            time.sleep(600)

    before_inserts(stop)
    store.append("digits", "adam", trials_of(store, 0, slice(None)))


def before_inserts(tell: Callable[[str], None]) -> None:
    """Call it with a table's name before rows are inserted into it."""
    insert_rows = storage.insert.insert_rows

    def told(connection: Any, table: Any, *rest: Any) -> None:
        tell(table.name)
        insert_rows(connection, table, *rest)

    storage.insert.insert_rows = told


def copy(store: Store, marker: Path, target: str) -> None:
    """Copy a study, five trials a transaction, and stop for good in the middle of the third one."""
    import storage.read
    from storage.copy import copy_study

    storage.read.AT_ONCE = 5
    seen = 0

    def stop(table: str) -> None:
        nonlocal seen
        seen += table == "trial_user_attributes"
        if seen == 3:
            marker.touch()
            time.sleep(600)

    with open_store(target, create=True) as there:
        before_inserts(stop)
        copy_study(store, there, "digits")


if __name__ == "__main__":
    url, action, path, *rest = sys.argv[1:]
    with open_store(url, create=True) as opened:
        if action == "race":
            race(opened, Path(path), int(rest[0]))
        elif action == "declare":
            declare(opened, Path(path), int(rest[0]))
        elif action == "copy":
            copy(opened, Path(path), rest[0])
        else:
            hang(opened, Path(path))
