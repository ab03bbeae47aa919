"""Tables of trials in CSV and Parquet files, a row a trial; Weights & Biases' export of runs is one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search_spaces import nearest_name
from storage.errors import StoreError
from storage.foreign import ForeignFailure, ForeignTrials, axis_name
from storage.records import FloatArray, IntArray

if TYPE_CHECKING:
    from pandas import DataFrame, Series

STATE, FINISHED, FAILED = "State", "finished", ("crashed", "failed")
"""W&B's column of a run's state, and those that matter; others are killed, running."""
CREATED, RUNTIME = "Created", "Runtime"
"""W&B's columns of when a run started, ISO 8601 in UTC, and what it took in seconds."""


NO_AXES = (CREATED, RUNTIME, "seed")


def read_table(
    path: Path, axes: Sequence[str] | None, metric: str, *, seed: str | None = None, maximize: bool = False
) -> ForeignTrials:
    """Read the columns that name hyperparameters, the metric and, if it is there, the seed.

    Axes that are not named are the columns of finite numbers that differ between rows, but not the metric, the seed,
    what counts rows, nor W&B's own.

    Of W&B's export, which has a column ``State``, runs that crashed or failed are failures, others that did not finish
    are left out; ``Created`` and ``Runtime`` tell when a run started and finished. Of other tables nobody knows.

    Raises:
        StoreError: the file cannot be read, no column is an axis, a column is missing or holds something else than
            numbers, or seeds are no whole numbers from 0 on.
    """
    whole = _read(path)
    frame, others = _finished(whole)
    known = [str(name) for name in frame.columns]
    if axes is None:
        axes = [name for name in known if name not in (metric, seed, *NO_AXES) and _varies(frame[name])]
    columns = [*axes, metric, *([seed] if seed else [])]
    for column in columns:
        if columns.count(column) > 1:
            raise StoreError(
                f"the column {column!r} is named twice: axes, metric and seed are different columns"
            )
        if column not in known:
            raise StoreError(
                f"{path} has no column {column!r}{nearest_name(column, known)}: it has {', '.join(known)}"
            )
    if not axes:
        raise StoreError(
            f"{path}: no column of numbers differs between rows: name the axes with --axes; it has {', '.join(known)}"
        )
    numbers = {column: _numbers(frame, column, path) for column in columns}
    failed, left_out = _failures(others, axes, seed)
    started, seconds = _times(frame)
    return ForeignTrials(
        str(path),
        tuple(map(axis_name, axes)),
        np.column_stack([numbers[axis] for axis in axes]),
        numbers[metric],
        metric,
        maximize,
        _whole(numbers[seed], seed, path) if seed else None,
        seconds=seconds,
        started=started,
        finished=[at and at + timedelta(seconds=took) for at, took in zip(started, seconds, strict=True)],
        failed=failed,
        left_out=left_out,
    )


def _read(path: Path) -> DataFrame:
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise StoreError(f"{path}: end the file's name with .csv or .parquet")
    try:
        frame = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be read ({reason})") from error
    if frame.empty:
        raise StoreError(f"{path} has no rows")
    return frame


def _finished(frame: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The rows that finished, and the others."""
    if STATE not in frame.columns or not (frame[STATE] == FINISHED).any():
        return frame, frame.head(0)
    ended = frame[STATE] == FINISHED
    return frame[ended], frame[~ended]


def _varies(column: Series) -> bool:
    """Whether it may be an axis: numbers that differ, and neither W&B's, as ``_step``, nor an index of the rows."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if (
        str(column.name).startswith(("_", "Unnamed:"))
        or is_bool_dtype(column)
        or not is_numeric_dtype(column)
    ):
        return False
    values = column.to_numpy(dtype=np.float64)
    counts = (
        len(values) > 2 and (np.abs(np.diff(values)) == 1).all() and len(np.unique(values)) == len(values)
    )
    return bool(np.isfinite(values).all() and len(np.unique(values)) > 1 and not counts)


def _times(frame: DataFrame) -> tuple[list[datetime | None], FloatArray]:
    """When each row started, where W&B's columns tell that, and what it took, else 0 s."""
    import pandas as pd

    absent = pd.Series(index=frame.index, dtype=object)
    created = pd.to_datetime(frame.get(CREATED, absent), utc=True, errors="coerce", format="ISO8601")
    runtime = pd.to_numeric(frame.get(RUNTIME, absent), errors="coerce").fillna(0.0).clip(lower=0.0)
    started: list[datetime | None] = [None if pd.isna(at) else at.to_pydatetime() for at in created]
    return started, runtime.to_numpy(dtype=np.float64)


def _failures(
    others: DataFrame, axes: Sequence[str], seed: str | None
) -> tuple[list[ForeignFailure], dict[str, int]]:
    """Of rows that did not finish those that failed and have every axis and a seed; how many others there are."""
    import pandas as pd

    if others.empty:
        return [], {}
    columns = [*axes, *([seed] if seed else [])]
    numbers = others[columns].apply(pd.to_numeric, errors="coerce")
    whole = numbers.notna().all(axis=1) & others[STATE].isin(FAILED)
    if seed:
        whole &= (numbers[seed] >= 0) & (numbers[seed] % 1 == 0)
    rows = zip(numbers[whole].to_dict("records"), others.loc[whole, STATE], strict=True)
    failed = [
        ForeignFailure(tuple(float(row[axis]) for axis in axes), str(state), int(row[seed]) if seed else 0)
        for row, state in rows
    ]
    left = others.loc[~whole, STATE].value_counts()
    return failed, {str(state): int(count) for state, count in left.items()}


def _numbers(frame: DataFrame, column: str, path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce")
    wrong = numbers.isna() & frame[column].notna()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise StoreError(f"{path}: {column} = {frame[column].iloc[row]!r} in row {row + 1} is no number")
    return numbers.to_numpy(dtype=np.float64)


def _whole(values: np.ndarray[tuple[int], np.dtype[np.float64]], column: str, path: Path) -> IntArray:
    if not (np.isfinite(values) & (values >= 0) & (values == np.floor(values))).all():
        raise StoreError(f"{path}: the column {column!r} has to hold whole numbers from 0 on")
    return values.astype(np.int64)
