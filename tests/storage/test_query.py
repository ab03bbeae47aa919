import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import storage
from storage.export import write, write_pieces
from storage.records import Trials
from storage.store import Store, open_store
from storage.where import WhereError

Declare = Callable[..., None]
Batch = Callable[..., Trials]
ROOT = Path(storage.__file__).parents[1]
COLUMNS = [
    "optimizer",
    "number",
    "seed",
    "eps",
    "alpha",
    "error",
    "acc",
    "train_loss",
    "diverged_at",
    "seconds",
]


@pytest.fixture
def filled(store: Store, declare: Declare, batch: Batch) -> Store:
    declare(store, optimizers=("zadam", "avagrad"))
    store.append("digits", "zadam", batch(slice(3, 5), seed=2, diverged_at=np.array([40, -1])))
    store.append("digits", "zadam", batch(slice(3), metrics={"acc": np.array([1 / 3, np.nan, np.inf])}))
    store.append("digits", "avagrad", batch(slice(1)))
    return store


def test_the_frame_has_every_trial_in_order(filled: Store, batch: Batch) -> None:
    frame = filled.trials("digits")
    assert list(frame.columns) == COLUMNS
    assert frame["optimizer"].to_list() == ["avagrad"] + ["zadam"] * 5
    assert frame["number"].to_list() == [0, 0, 1, 2, 3, 4]
    assert frame["seed"].to_list() == [0, 2, 2, 0, 0, 0]
    assert frame["eps"].to_list() == [1e-8, 1e-8, 1e-4, 1e-8, 1e-8, 1e-8]
    assert frame["alpha"].to_list() == [0.01, 10, 0.01, 0.01, 0.1, 1]
    assert frame["error"][3:].to_list() == batch(slice(3)).value.tolist()
    assert frame["train_loss"][1:3].to_list() == batch(slice(3, 5), seed=2).metrics["train_loss"].tolist()
    np.testing.assert_array_equal(frame["acc"], [math.nan] * 3 + [1 / 3, math.nan, math.nan])
    assert frame["diverged_at"].to_list() == [pd.NA, 40, pd.NA, pd.NA, pd.NA, pd.NA]
    assert frame["seconds"].to_list() == [0.25] * 6
    assert [str(dtype) for dtype in frame.dtypes] == [
        *("str", "int64", "int64"),
        *["float64"] * 5,
        *("Int64", "float64"),
    ]


def test_one_optimizer_and_a_filter_narrow_the_frame(filled: Store) -> None:
    whole = filled.trials("digits")
    alone = filled.trials("digits", "zadam")
    assert alone.drop(columns="number").equals(whole[1:].reset_index(drop=True).drop(columns="number"))
    chosen = filled.trials("digits", "zadam", "alpha < 1 and acc is null")
    assert chosen["number"].to_list() == [1, 3]
    assert filled.trials("digits", where="optimizer = avagrad").equals(whole[:1])
    nothing = filled.trials("digits", where="seed = 77")
    assert nothing.dtypes.equals(whole.dtypes)
    assert nothing.empty


def test_the_filter_knows_the_columns_by_name(filled: Store) -> None:
    with pytest.raises(
        WhereError, match=r"did you mean 'train_loss'\?\); the fields are number, seed, eps, al"
    ):
        filled.trials("digits", where="train_los < 1")


def test_a_study_without_trials_is_an_empty_frame(store: Store, declare: Declare) -> None:
    declare(store)
    frame = store.trials("digits")
    assert frame.empty
    assert list(frame.columns) == [
        "optimizer",
        "number",
        "seed",
        "eps",
        "alpha",
        "error",
        "diverged_at",
        "seconds",
    ]


def test_names_that_end_alike_stay_apart(store: Store, declare: Declare, batch: Batch) -> None:
    for study in ("digits", "Digits", "digits-2", "igits"):
        declare(store, study, ("adam",))
        store.append(study, "adam", batch(slice(1)))
        assert len(store.trials(study, where="optimizer = 'adam'")) == 1


def awkward_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "optimizer": ["adam", "it's, quoted"],
            "seed": [0, 2**62 + 1],
            "alpha": [0.1 + 0.2, 5e-324],
            "loss": [math.nan, 1.7976931348623157e308],
            "diverged_at": pd.array([None, 130], dtype="Int64"),
        }
    )


def test_files_read_back_exactly(tmp_path: Path) -> None:
    frame = awkward_frame()
    write(frame, "csv", tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv", dtype={"diverged_at": "Int64"})
    pd.testing.assert_frame_equal(read, frame, check_exact=True)
    write(frame, "parquet", tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame, check_exact=True)
    write(frame, "json", tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == [
        {"optimizer": "adam", "seed": 0, "alpha": 0.1 + 0.2, "loss": None, "diverged_at": None},
        {
            "optimizer": "it's, quoted",
            "seed": 2**62 + 1,
            "alpha": 5e-324,
            "loss": 1.7976931348623157e308,
            "diverged_at": 130,
        },
    ]


def test_an_empty_table_is_written_too(tmp_path: Path) -> None:
    empty = awkward_frame()[:0]
    write(empty, "json", tmp_path / "t.json")
    write(empty, "csv", tmp_path / "t.csv")
    assert json.loads((tmp_path / "t.json").read_text()) == []
    assert (tmp_path / "t.csv").read_text() == "optimizer,seed,alpha,loss,diverged_at\n"


def test_tables_are_for_people(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write(awkward_frame(), "table", None)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["optimizer", "seed", "alpha", "loss", "diverged_at"],
        ["adam", "0", "0.3", "-", "-"],
    ]
    assert lines[2].split()[-3:] == ["4.94066e-324", "1.79769e+308", "130"]


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(awkward_frame(), "parquet", None)
    piped = capfdbinary.readouterr().out
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(piped)), awkward_frame())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(ValueError, match="parquet is not for a terminal: name a file, or redirect"):
        write(awkward_frame(), "parquet", None)
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "table"])
def test_pieces_make_the_same_file(
    filled: Store, tmp_path: Path, format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.query.ROWS_AT_ONCE", 5)
    for where in (None, "seed = 1", "seed = 99"):
        frame = filled.trials("digits", where=where)
        pieces = list(filled.trial_pages("digits", where=where))
        assert len(pieces) == max(1, sum(-(-each // 5) for each in frame["optimizer"].value_counts()))
        pd.testing.assert_frame_equal(
            pd.concat(pieces, ignore_index=True)[: len(frame)], frame, check_exact=True
        )
        write(frame, format, tmp_path / "whole")
        write_pieces(
            lambda where=where: filled.trial_pages("digits", where=where), format, tmp_path / "pieces"
        )
        if format == "parquet":
            found = pd.read_parquet(tmp_path / "pieces")
            pd.testing.assert_frame_equal(found, frame, check_exact=True)
        else:
            assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_wrong_filter_makes_no_file(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(WhereError):
        write_pieces(lambda: filled.trial_pages("digits", where="nothing = 1"), "csv", tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'xml': use one of table, csv, json, parquet"):
        write(awkward_frame(), "xml", None)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"cannot write .*\(No such file or directory\): give a file in a folder"
    ):
        write(awkward_frame(), "csv", tmp_path / "missing" / "t.csv")
    with pytest.raises(ValueError, match=r"cannot write .*\(Is a directory\)"):
        write(awkward_frame(), "csv", tmp_path)


def test_reading_needs_neither_optuna_nor_torch_nor_ray(url: str, declare: Declare, batch: Batch) -> None:
    with open_store(url, create=True) as store:
        declare(store)
        store.append("digits", "adam", batch())
    script = (
        "import sys; from storage.store import open_store; from storage.export import write;"
        "assert 'pandas' not in sys.modules and 'lark' not in sys.modules;"
        "store = open_store(sys.argv[1], create=False);"
        "write(store.trials('digits', where='seed = 0'), 'csv', None); store.studies(); store.close();"
        "print([name for name in ('optuna', 'torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 14
    assert done.stdout.endswith("\n[]\n")
