"""Tables of trials: CSV, Parquet, Weights & Biases' export."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storage.errors import StoreError
from storage.foreign_table import read_table

RNG = np.random.default_rng(0)


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
def test_the_columns_that_are_named_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grid{suffix}"
    table().to_csv(path, index=False) if suffix == ".csv" else table().to_parquet(path)
    trials = read_table(path, ["lr", "wd"], "acc", seed="seed", maximize=True)
    np.testing.assert_array_equal(trials.points, table()[["lr", "wd"]])
    np.testing.assert_array_equal(trials.values, table()["acc"])
    np.testing.assert_array_equal(trials.seeds, table()["seed"])
    assert trials.maximize
    assert read_table(path, ["lr"], "acc").seeds is None


def test_runs_of_wandb_that_did_not_finish_are_left_out(tmp_path: Path) -> None:
    states = ["finished"] * 8 + ["crashed", "crashed", "running", "failed"]
    frame = table(acc=np.where(np.array(states) == "finished", 0.5, np.nan), State=states, Name="sunny-sweep")
    frame.to_csv(path := tmp_path / "wandb_export.csv", index=False)
    trials = read_table(path, ["lr", "wd"], "acc")
    np.testing.assert_array_equal(trials.values, np.full(8, 0.5))
    assert [each.reason for each in trials.failed] == ["crashed", "crashed", "failed"]
    assert trials.failed[0].point == tuple(frame.loc[8, ["lr", "wd"]])
    assert trials.left_out == {"running": 1}


def test_wandb_tells_when_runs_started_and_what_they_took(tmp_path: Path) -> None:
    created = ["2026-03-01T10:00:00.000Z", "2026-03-01T12:00:00Z", "", *["2026-03-02T10:00:00.500Z"] * 9]
    table(Created=created, Runtime=[60, None, *[5.5] * 10]).to_csv(path := tmp_path / "a.csv", index=False)
    trials = read_table(path, ["lr", "wd"], "acc")
    first, second, third, fourth = trials.started[:4]
    assert first == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert trials.finished[0] == first + timedelta(minutes=1)
    assert (second, third) == (trials.finished[1], None)
    assert trials.finished[3] == fourth + timedelta(seconds=5.5)
    assert trials.seconds.tolist() == [60, 0, *[5.5] * 10]


def test_axes_that_are_not_named_are_the_numbers_that_differ(tmp_path: Path) -> None:
    own = {"Runtime": RNG.random(12), "_step": RNG.random(12), "Name": "sunny", "flag": [True, False] * 6}
    others = {"row": range(12, 0, -1), "batch": 32, "loss": [np.nan, *RNG.random(11)]}
    frame = table(**own, **others).rename(columns={"wd": "weight decay"})
    frame.to_csv(path := tmp_path / "wandb.csv")
    trials = read_table(path, None, "acc")
    assert trials.axes == ("lr", "weight_decay")
    np.testing.assert_array_equal(trials.points, table()[["lr", "wd"]])
    frame[["acc", "seed", "Name"]].to_csv(path)
    with pytest.raises(
        StoreError, match=r"no column of numbers differs .* it has Unnamed: 0, acc, seed, Name"
    ):
        read_table(path, None, "acc")


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {"axes": ["lr", "wdd"]}, r"has no column 'wdd' \(did you mean 'wd'\?\): it has lr, wd, seed, acc"),
        ({}, {"metric": "error"}, "has no column 'error'"),
        ({}, {"axes": ["lr", "acc"]}, "the column 'acc' is named twice"),
        ({"lr": ["a"] * 12}, {}, "lr = 'a' in row 1 is no number"),
        ({"seed": 0.5}, {}, "the column 'seed' has to hold whole numbers from 0 on"),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, changes: dict[str, object], arguments: dict[str, object], message: str
) -> None:
    table(**changes).to_csv(path := tmp_path / "grid.csv", index=False)
    with pytest.raises(StoreError, match=message):
        read_table(path, **({"axes": ["lr", "wd"], "metric": "acc", "seed": "seed"} | arguments))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, message in (
        ("a.txt", "end the file's name with"),
        ("a.csv", "cannot be read"),
        ("a.parquet", "cannot"),
    ):
        with pytest.raises(StoreError, match=message):
            read_table(tmp_path / name, ["lr"], "acc")
    (tmp_path / "empty.csv").write_text("lr,acc\n")
    with pytest.raises(StoreError, match="has no rows"):
        read_table(tmp_path / "empty.csv", ["lr"], "acc")
