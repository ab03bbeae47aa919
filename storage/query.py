"""Trials as a table: one wide SELECT with a filter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    String,
    Table,
    and_,
    cast,
    func,
    select,
)
from sqlalchemy.sql import FromClause

from search_spaces import SearchSpace
from storage.counts import read_counts
from storage.database import Database
from storage.records import STOPPED_AT, cell_of
from storage.schema import LAUNCH_COLUMN, OWN_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ROWS_AT_ONCE = 5_000
"""Trials of a table when they are read piece by piece."""


@dataclass(frozen=True)
class Selection:
    """Which trials to read.

    Attributes:
        study: the study's name.
        study_ids: its Optuna studies, one an optimizer.
        axes: the names of its axes.
        words: the words of ordered ones, which filters may name.
        grids: the values of those on a grid, which filters find by the six digits that are shown.
        metric: the name of its metric.
        where: a filter in the language of `storage.where`, or None for every trial.
    """

    study: str
    study_ids: Sequence[int]
    axes: Sequence[str]
    words: Mapping[str, Sequence[str]]
    grids: Mapping[str, Sequence[float]]
    metric: str
    where: str | None


def read_trials(connection: Connection, tables: Mapping[str, Table], selection: Selection) -> "DataFrame":
    """The selected trials, one a row, ordered by optimizer and number.

    The columns are optimizer, number, seed, the axes, the metric, the further metrics, diverged_at (a
    nullable integer) and seconds. A trial without a further metric has NaN there. A filter compares further
    metrics as the database reads their decimals, which in SQLite can miss the last of 17 digits; the table
    is exact.

    Raises:
        storage.where.WhereError: the filter cannot be read.
    """
    wide, names = _wide(connection, tables, selection)
    rows = sorted((tuple(row[1:]) for row in connection.execute(wide)), key=lambda row: row[:2])
    return as_frame(names, rows)


def read_times(
    connection: Connection, tables: Mapping[str, Table], study: str, study_ids: Sequence[int]
) -> "DataFrame":
    """When each trial of these started and finished, in the machine's local time, and in which launch.

    Columns: optimizer, number, launch, started, finished.
    """
    import pandas as pd

    own, trials = tables[OWN_TABLE], tables["trials"]
    source = own_trials(tables).join(tables["studies"], tables["studies"].c.study_id == own.c.study_id)
    optimizer = func.substr(tables["studies"].c.study_name, len(study) + 2, type_=String())
    columns = (optimizer, trials.c.number, own.c.launch, trials.c.datetime_start, trials.c.datetime_complete)
    rows = connection.execute(select(*columns).select_from(source).where(own.c.study_id.in_(study_ids)))
    names = ["optimizer", "number", "launch", "started", "finished"]
    frame = pd.DataFrame([tuple(row) for row in rows], columns=names)
    return frame.astype(
        {"optimizer": "str", "launch": "Int64", "started": "datetime64[us]"} | {"finished": "datetime64[us]"}
    )


def trial_pages(database: Database, selection: Selection) -> Iterator["DataFrame"]:
    """The selected trials, as `read_trials` has them, at most `ROWS_AT_ONCE` at a time; at least one table.

    Optimizers come in the order of `selection.study_ids`. Each table is read in a transaction of its own, so that who
    writes does not wait; trials that are stored meanwhile may come too. Raises as `read_trials`.
    """
    own, tables, given = database.tables[OWN_TABLE], database.tables, False
    for study_id in selection.study_ids:
        last = 0
        while True:
            with database.reading() as connection:
                wide, names = _wide(connection, tables, selection)
                following = wide.where(own.c.study_id == study_id, own.c.trial_id > last)
                rows = connection.execute(following.order_by(own.c.trial_id).limit(ROWS_AT_ONCE)).all()
            if rows or not given:
                yield as_frame(names, [tuple(row[1:]) for row in rows])
            given = True
            if len(rows) < ROWS_AT_ONCE:
                break
            last = rows[-1][0]


def _wide(
    connection: Connection, tables: Mapping[str, Table], selection: Selection
) -> tuple[Select[Any], list[str]]:
    """A statement for trial id, optimizer and the columns of `read_trials`, and the names of all but the first."""
    own, trials, values = tables[OWN_TABLE], tables["trials"], tables["trial_values"].alias()
    source: FromClause = (
        own_trials(tables)
        .join(tables["studies"], tables["studies"].c.study_id == own.c.study_id)
        .join(values, and_(values.c.trial_id == trials.c.trial_id, values.c.objective == 0))
    )
    numbers: dict[str, ColumnElement[Any]] = {"number": trials.c.number, "seed": own.c.seed}
    for axis in selection.axes:
        param = tables["trial_params"].alias()
        source = source.join(param, and_(param.c.trial_id == trials.c.trial_id, param.c.param_name == axis))
        numbers[axis] = param.c.param_value
    numbers[selection.metric] = values.c.value
    shown = dict(numbers)
    for key in (*further_metrics(connection, tables, selection.study_ids), "diverged_at", "seconds"):
        attribute = tables["trial_user_attributes"].alias()
        source = source.outerjoin(
            attribute, and_(attribute.c.trial_id == trials.c.trial_id, attribute.c.key == key)
        )
        shown[key] = attribute.c.value_json
        numbers[key] = cast(attribute.c.value_json, BigInteger() if key == "diverged_at" else Double())
    numbers[LAUNCH_COLUMN] = own.c.launch  # to select by, not to show
    optimizer = func.substr(tables["studies"].c.study_name, len(selection.study) + 2, type_=String())
    wide = (
        select(own.c.trial_id, optimizer, *shown.values())
        .select_from(source)
        .where(own.c.study_id.in_(selection.study_ids))
    )
    if selection.where is not None:
        from storage.where import parse_where

        wide = wide.where(
            parse_where(selection.where, numbers, {"optimizer": optimizer}, selection.words, selection.grids)
        )
    return wide, ["optimizer", *shown]


def read_values(
    connection: Connection, tables: Mapping[str, Table], study_id: int, axes: Sequence[str], metric: str
) -> "DataFrame":
    """All that a landscape needs of an optimizer's trials, read fast.

    That is seed, axes, metric, diverged_at, and, if some were stopped early, stopped_at.
    """
    import pandas as pd

    own, values, attributes = tables[OWN_TABLE], tables["trial_values"], tables["trial_user_attributes"]
    source = (
        own_trials(tables)
        .join(values, values.c.trial_id == own.c.trial_id)
        .outerjoin(
            attributes,  # a trial has one of them at most
            and_(attributes.c.trial_id == own.c.trial_id, attributes.c.key.in_(("diverged_at", STOPPED_AT))),
        )
    )
    rows = connection.execute(
        select(own.c.cell, own.c.seed, values.c.value, attributes.c.key, attributes.c.value_json)
        .select_from(source)
        .where(own.c.study_id == study_id, values.c.objective == 0)
    ).all()
    texts, seeds, found, keys, steps = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    places, cells = pd.factorize(pd.Series(texts, dtype="object"))
    read = [cell_of(cell) for cell in cells]
    columns = {
        axis: pd.Series([cell[axis] for cell in read], dtype="float64").to_numpy()[places] for axis in axes
    }

    def steps_of(key: str) -> "Series[Any]":
        return _steps([step if each == key else None for each, step in zip(keys, steps, strict=True)])

    return pd.DataFrame(
        {
            "seed": pd.Series(seeds, dtype="int64"),
            **columns,
            metric: pd.Series(found, dtype="float64"),
            "diverged_at": steps_of("diverged_at"),
            **({STOPPED_AT: steps_of(STOPPED_AT)} if STOPPED_AT in keys else {}),
        }
    )


def further_metrics(
    connection: Connection, tables: Mapping[str, Table], study_ids: Sequence[int]
) -> list[str]:
    """The names of the metrics beside the study's own, in order."""
    return sorted({name for each in study_ids for name in read_counts(connection, tables, each).metrics})


def as_frame(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> "DataFrame":
    """Rows of the named columns, attributes as the texts they are stored as, as the table of `read_trials`."""
    import pandas as pd

    columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    frame = {}
    for name, column in columns.items():
        if name == "optimizer":
            frame[name] = pd.Series(column, dtype="str")
        elif name in ("number", "seed"):
            frame[name] = pd.Series(column, dtype="int64")
        elif name == "diverged_at":
            frame[name] = _steps(column)
        else:
            # Attributes arrive as text, which float() reads exactly.
            numbers = [float("nan") if entry is None else float(entry) for entry in column]
            frame[name] = pd.Series(numbers, dtype="float64")
    return pd.DataFrame(frame)


def with_words(frame: "DataFrame", space: SearchSpace) -> "DataFrame":
    """The table with words in place of their numbers in the columns of ordered axes."""
    return frame.assign(**{axis.name: frame[axis.name].map(axis.text) for axis in space.axes if axis.words})


def _steps(texts: Sequence[str | None]) -> "Series[Any]":
    """Attributes as whole numbers, missing ones as such."""
    import pandas as pd

    return pd.Series([None if text is None else int(float(text)) for text in texts], dtype="Int64")
