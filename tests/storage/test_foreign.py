"""Tables of other people's grid searches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search_spaces import SearchSpace
from storage.errors import StoreError
from storage.foreign import import_table
from storage.store import Store, open_store


@pytest.fixture
def empty(prepared: Callable[[str], str]) -> Store:
    return open_store(prepared("sqlite"), create=True)


def table(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "lr": np.repeat([0.1, 0.01, 1.0], 4),
            "wd": np.tile([0.0, 1e-4], 6),
            "seed": np.tile([3, 3, 5, 5], 3),
            "acc": np.linspace(0.1, 0.9, 12),
        }
    )
    return frame.assign(**changes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_becomes_a_study(empty: Store, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grid{suffix}"
    table().to_csv(path, index=False) if suffix == ".csv" else table().to_parquet(path)
    assert import_table(empty, path, "theirs", "lion", ["lr", "wd"], "acc", seed="seed") == (12, 12)
    assert import_table(empty, path, "theirs", "lion", ["lr", "wd"], "acc", seed="seed") == (12, 0)
    assert empty.space("theirs") == SearchSpace.from_table({"lr": [0.01, 0.1, 1], "wd": [0, 1e-4]})
    stored = empty.trials("theirs", "lion").sort_values(["lr", "wd", "seed"], ignore_index=True)
    expected = table().sort_values(["lr", "wd", "seed"], ignore_index=True)
    for column in ("lr", "wd", "seed", "acc"):
        np.testing.assert_array_equal(stored[column], expected[column])


def test_without_seeds_repeated_cells_are_seeds_and_maximising_negates(empty: Store, tmp_path: Path) -> None:
    table().drop(columns="seed").to_csv(path := tmp_path / "grid.csv", index=False)
    assert import_table(empty, path, "theirs", "lion", ["lr", "wd"], "acc", maximize=True) == (12, 12)
    stored = empty.trials("theirs", "lion", where="seed = 1")
    assert empty.metric("theirs") == "negated_acc"
    np.testing.assert_allclose(sorted(-stored["negated_acc"]), table()["acc"][table()["seed"] == 5])


def test_what_is_not_finite_is_the_worst_and_diverged(empty: Store, tmp_path: Path) -> None:
    values = table()["acc"].to_numpy().copy()
    values[[2, 7]] = [np.nan, np.inf]
    table(acc=values).to_parquet(path := tmp_path / "grid.parquet")
    import_table(empty, path, "theirs", "lion", ["lr", "wd"], "acc", seed="seed")
    stored = empty.trials("theirs", "lion", where="diverged_at is not null")
    assert stored["acc"].tolist() == [0.9, 0.9]


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        (
            {},
            {"axes": ["lr", "wdd"]},
            r"has no column 'wdd' \(did you mean 'wd'\?\): it has lr, wd, seed, acc",
        ),
        ({}, {"metric": "error"}, "has no column 'error'"),
        ({}, {"axes": ["lr", "acc"]}, "the column 'acc' is named twice"),
        ({"lr": ["a"] * 12}, {}, "lr = 'a' in row 1 is no number"),
        ({"seed": 0.5}, {}, "the column 'seed' has to hold whole numbers from 0 on"),
        ({"seed": 0}, {}, "lr = 0.1, wd = 0 has the seed 0 twice"),
        ({"acc": np.nan}, {}, "no value of 'acc' is a finite number"),
        ({"lr": np.nan}, {}, "lr"),
    ],
)
def test_what_is_refused(
    empty: Store, tmp_path: Path, changes: dict[str, object], arguments: dict[str, object], message: str
) -> None:
    table(**changes).to_csv(path := tmp_path / "grid.csv", index=False)
    given = {"axes": ["lr", "wd"], "metric": "acc", "seed": "seed"} | arguments
    with pytest.raises((StoreError, ValueError), match=message):
        import_table(empty, path, "theirs", "lion", **given)
    assert empty.studies().empty


def test_files_that_cannot_be_read(empty: Store, tmp_path: Path) -> None:
    for name, message in (
        ("a.txt", "end the file's name with"),
        ("a.csv", "cannot be read"),
        ("a.parquet", "cannot"),
    ):
        with pytest.raises(StoreError, match=message):
            import_table(empty, tmp_path / name, "theirs", "lion", ["lr"], "acc")
    (tmp_path / "empty.csv").write_text("lr,acc\n")
    with pytest.raises(StoreError, match="has no rows"):
        import_table(empty, tmp_path / "empty.csv", "theirs", "lion", ["lr"], "acc")


def test_another_grid_under_the_same_name_is_refused(empty: Store, tmp_path: Path) -> None:
    table().to_csv(path := tmp_path / "grid.csv", index=False)
    import_table(empty, path, "theirs", "lion", ["lr", "wd"], "acc", seed="seed")
    table(lr=table()["lr"] * 2).to_csv(path, index=False)
    with pytest.raises(StoreError, match=r"is stored in .* with another recipe"):
        import_table(empty, path, "theirs", "tiger", ["lr", "wd"], "acc", seed="seed")
