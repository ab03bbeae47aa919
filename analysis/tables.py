"""Tables of trials as they are asked for: cells instead of trials, in an order, some of the columns, the first rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

from storage.curves import learning_curves
from storage.errors import StoreError
from storage.query import with_words
from storage.records import split_name
from storage.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame


class Asked(TypedDict, total=False):
    """Which trials of a study, or cells, in which order; what is left out is not asked for."""

    where: str | None
    per_cell: bool
    within: float | None
    times: bool
    sort: str | None
    limit: int | None
    columns: Sequence[str] | None


def asked_trials(store: Store, studies: Sequence[str], **asked: Unpack[Asked]) -> "DataFrame":
    """The trials of studies (STUDY or STUDY/OPTIMIZER), of several with a column `study`; or their cells.

    Words stand where axes are of words; `times` adds launch, started and finished. Raises StoreError for an unknown
    column, `within` without `per_cell`, or a number below 0, and what `Store.trials` raises.
    """
    import pandas as pd

    require_studies(studies)
    per_cell, within = asked.get("per_cell", False), asked.get("within")
    if within is not None and not per_cell:
        raise StoreError("within is of means over seeds: ask for a row a cell, per_cell")
    parts = []
    for name in studies:
        study, optimizer = split_name(name)
        space, metric = store.space(study), store.metric(study)
        part = with_words(store.trials(study, optimizer, asked.get("where")), space)
        if asked.get("times"):
            part = part.merge(store.times(study, optimizer), on=["optimizer", "number"], how="left")
        if per_cell:
            part = cells_of(part, space.names, metric)
            part = part if within is None else within_best(part, metric, within)
        if len(studies) > 1:
            part.insert(0, "study", study)
        parts.append(part)
    return arranged(
        pd.concat(parts, ignore_index=True), asked.get("sort"), asked.get("limit"), asked.get("columns")
    )


def asked_curves(
    store: Store,
    studies: Sequence[str],
    where: str | None = None,
    *,
    sort: str | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> "DataFrame":
    """The learning curves of these trials, a row a point, as `storage.curves.learning_curves` has them.

    `sort` and `limit` choose among the trials.
    """
    import pandas as pd

    require_studies(studies)
    several = len(studies) > 1
    found = {}
    for name in studies:
        found[name] = store.trials(*split_name(name), where)
    whole = pd.concat(found, names=["asked"]).reset_index("asked")
    whole = arranged(whole, sort, limit)
    parts = []
    for name in studies:
        study, _ = split_name(name)
        own = whole[whole["asked"] == name]
        part = with_words(learning_curves(store, study, own), store.space(study))
        if several:
            part.insert(0, "study", study)
        parts.append(part)
    return arranged(pd.concat(parts, ignore_index=True), columns=columns)


def cells_of(trials: "DataFrame", axes: Sequence[str], metric: str) -> "DataFrame":
    """One row a cell: the metric's mean and standard deviation (n - 1) over its seeds, their number, diverged ones.

    Columns: optimizer, the axes, the metric, `spread`, `seeds`, `diverged`. Ordered as the trials are.
    """
    keys = ["optimizer", *axes]
    cells = trials.groupby(keys, sort=False, dropna=False, as_index=False)
    return cells.agg(
        **{
            metric: (metric, "mean"),
            "spread": (metric, "std"),
            "seeds": ("seed", "nunique"),
            "diverged": ("diverged_at", "count"),
        }
    )


def within_best(cells: "DataFrame", metric: str, tolerance: float) -> "DataFrame":
    """Those rows whose metric is at most `tolerance` above the least of their optimizer."""
    if not tolerance >= 0:
        raise StoreError(f"within is a distance from the best, at least 0: {tolerance:g} is not")
    return cells[cells[metric] <= cells.groupby("optimizer")[metric].transform("min") + tolerance]


def arranged(
    frame: "DataFrame",
    sort: str | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> "DataFrame":
    """The table in the order of a column, or against it (`-column`), missing values last; its first rows; some columns.

    Raises StoreError when there is no such column, or the limit is below 0.
    """
    if limit is not None and limit < 0:
        raise StoreError(f"the limit is a number of rows, at least 0: {limit} is not")
    if sort is not None:
        name = sort.removeprefix("-")
        require(frame, [name])
        frame = frame.sort_values(name, ascending=not sort.startswith("-"), kind="stable")
    if limit is not None:
        frame = frame.head(limit)
    if columns is not None:
        require(frame, columns)
        frame = frame[list(columns)]
    return frame.reset_index(drop=True)


def require_studies(studies: Sequence[str]) -> None:
    if not studies:
        raise StoreError("name a study, or STUDY/OPTIMIZER")


def require(frame: "DataFrame", columns: Sequence[str]) -> None:
    for name in columns:
        if name not in frame:
            raise StoreError(f"there is no column {name!r}: there are {', '.join(frame.columns)}")
