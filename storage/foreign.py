"""Other people's grid searches: a table in a CSV or Parquet file becomes a study in the store."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search_spaces import SearchSpace, nearest_name
from storage.errors import StoreError
from storage.records import Trials
from storage.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame


def import_table(
    store: Store,
    path: Path,
    study: str,
    optimizer: str,
    axes: Sequence[str],
    metric: str,
    *,
    seed: str | None = None,
    maximize: bool = False,
) -> tuple[int, int]:
    """Store the rows of a CSV or Parquet file as trials of one optimizer; return how many there are, and were new.

    The columns `axes` name the hyperparameters: their values are the space's grid. `seed` names a column of whole
    numbers; without it, rows of one cell are seeds 0, 1, ... in the order of the file. A metric that is NaN or
    infinite is stored as the worst finite one, as a diverged trial. With `maximize`, the metric is stored negated,
    under the name ``negated_METRIC``.

    Raises:
        StoreError: the file cannot be read, a column is missing or holds something else, a cell has a seed twice, no
            metric is finite, or the study is stored with another grid or metric.
    """
    frame = read_table(path, [*axes, metric, *([seed] if seed else [])])
    space = SearchSpace.from_table({axis: np.unique(frame[axis]).tolist() for axis in axes})
    if seed is None:
        seeds = frame.groupby(list(axes)).cumcount().to_numpy(dtype=np.int64)
    else:
        seeds = whole_numbers(frame, seed, path)
        again = frame.assign(**{seed: seeds}).duplicated([*axes, seed])
        if again.any():
            row = frame[again].iloc[0]
            cell = ", ".join(f"{axis} = {row[axis]:g}" for axis in axes)
            raise StoreError(f"{path}: {cell} has the seed {row[seed]:g} twice: give each its own")
    values = frame[metric].to_numpy(dtype=np.float64) * (-1 if maximize else 1)
    finite = np.isfinite(values)
    if not finite.any():
        raise StoreError(f"{path}: no value of {metric!r} is a finite number")
    name = f"negated_{metric}" if maximize else metric
    source = {"imported": True, "metric": name, "space": space.to_table()}
    now = datetime.now(UTC)
    store.declare(
        study,
        dict.fromkeys([*store.recipes(study), optimizer], source),  # all that the study has, on one grid
        space=space,
        metric=name,
        spec=source,
        provenance={"file": path.name, "rows": len(frame), "imported": now.isoformat(timespec="seconds")},
    )
    new = 0
    for each in np.unique(seeds).tolist():
        rows = seeds == each
        count = int(rows.sum())
        new += store.append(
            study,
            optimizer,
            Trials(
                hyperparameters={axis: frame[axis].to_numpy(dtype=np.float64)[rows] for axis in axes},
                seed=each,
                value=np.where(finite, values, values[finite].max())[rows],
                metrics={},
                curve_steps=np.empty(0, dtype=np.int64),
                curve=np.empty((count, 0)),
                diverged_at=np.where(finite, -1, 0)[rows],
                seconds=np.zeros(count),
                started=now,
                finished=now,
            ),
        )
    return len(frame), new


def read_table(path: Path, columns: Sequence[str]) -> "DataFrame":
    """The given columns of a CSV or Parquet file as floats. Raises StoreError, naming what is wrong and where."""
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
    for column in columns:
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise StoreError(
                f"{path} has no column {column!r}{nearest_name(column, known)}: it has {', '.join(known)}"
            )
        if columns.count(column) > 1:
            raise StoreError(
                f"the column {column!r} is named twice: axes, metric and seed are different columns"
            )
        numbers = pd.to_numeric(frame[column], errors="coerce")
        wrong = numbers.isna() & frame[column].notna()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise StoreError(f"{path}: {column} = {frame[column].iloc[row]!r} in row {row + 1} is no number")
        frame[column] = numbers.astype(np.float64)
    return frame[list(columns)]


def whole_numbers(
    frame: "DataFrame", column: str, path: Path
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """A column as integers of at least 0; raises StoreError when it holds something else."""
    values = frame[column].to_numpy(dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0) & (values == np.floor(values))).all():
        raise StoreError(f"{path}: the column {column!r} has to hold whole numbers from 0 on")
    return values.astype(np.int64)
