"""A second process for the tests: ``writer.py URL ACTION FILE [NUMBER|URL]``, each action a function below."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import event

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

    def stop(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO trial_intermediate_values" in statement:
            marker.touch()
            time.sleep(600)

    event.listen(store.database.engine, "before_cursor_execute", stop)
    store.append("digits", "adam", trials_of(store, 0, slice(None)))


def copy(store: Store, marker: Path, target: str) -> None:
    """Copy a study, five trials a transaction, and stop for good in the middle of the third one."""
    import storage.read
    from storage.copy import copy_study

    storage.read.AT_ONCE = 5
    seen = 0

    def stop(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal seen
        seen += "INSERT INTO trial_user_attributes" in statement
        if seen == 3:
            marker.touch()
            time.sleep(600)

    with open_store(target, create=True) as there:
        event.listen(there.database.engine, "before_cursor_execute", stop)
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
