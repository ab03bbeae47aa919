"""Trials as a table: one wide SELECT with a filter, and the files it can be written to."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import BigInteger, ColumnElement, Connection, Double, String, Table, and_, cast, func, select
from sqlalchemy.sql import FromClause

from search_spaces import SearchSpace
from storage.errors import StoreError
from storage.records import OWN_COLUMNS, STOPPED_AT, cell_of
from storage.schema import LAUNCH_COLUMN, OWN_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Format = Literal["table", "csv", "json", "parquet"]


@dataclass(frozen=True)
class Selection:
    """Which trials to read.

    Attributes:
        study: the study's name.
        study_ids: its Optuna studies, one an optimizer.
        axes: the names of its axes.
        words: the words of ordered ones, which filters may name.
        metric: the name of its metric.
        where: a filter in the language of `storage.where`, or None for every trial.
    """

    study: str
    study_ids: Sequence[int]
    axes: Sequence[str]
    words: Mapping[str, Sequence[str]]
    metric: str
    where: str | None


def read_trials(connection: Connection, tables: Mapping[str, Table], selection: Selection) -> "DataFrame":
    """Return the selected trials, one a row, ordered by optimizer and number.

    The columns are optimizer, number, seed, the axes, the metric, the further metrics, diverged_at (a
    nullable integer) and seconds. A trial without a further metric has NaN there. A filter compares further
    metrics as the database reads their decimals, which in SQLite can miss the last of 17 digits; the table
    is exact.

    Raises:
        storage.where.WhereError: the filter cannot be read.
    """
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
        select(optimizer, *shown.values()).select_from(source).where(own.c.study_id.in_(selection.study_ids))
    )
    if selection.where is not None:
        from storage.where import parse_where

        wide = wide.where(parse_where(selection.where, numbers, {"optimizer": optimizer}, selection.words))
    rows = sorted((tuple(row) for row in connection.execute(wide)), key=lambda row: row[:2])
    return as_frame(["optimizer", *shown], rows)


def read_values(
    connection: Connection, tables: Mapping[str, Table], study_id: int, axes: Sequence[str], metric: str
) -> "DataFrame":
    """Return all that a landscape needs of an optimizer's trials, read fast.

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
    connection: Connection, tables: Mapping[str, Table], study_ids: Sequence[int], after: int = 0
) -> list[str]:
    """Return the names of the metrics beside the study's own, of trials with an id above `after`."""
    own, attributes = tables[OWN_TABLE], tables["trial_user_attributes"]
    keys = (
        select(attributes.c.key)
        .distinct()
        .select_from(own_trials(tables).join(attributes, attributes.c.trial_id == own.c.trial_id))
        .where(own.c.study_id.in_(study_ids), own.c.trial_id > after)
    )
    return sorted(set(connection.scalars(keys)) - set(OWN_COLUMNS))


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


def format_of(out: Path | None) -> Format:
    """How a file is written, by its name; to standard output a table.

    Raises StoreError when the name says nothing.
    """
    known: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}
    if out is None:
        return "table"
    if out.suffix.lower() not in known:
        raise StoreError(
            f"{out.name!r} does not say how to write it: end it in {', '.join(known)}, or give --format"
        )
    return known[out.suffix.lower()]


def write(frame: "DataFrame", format: Format, out: Path | None) -> None:
    """Write a table to a file, or to standard output if `out` is None.

    In csv, json (a list of objects) and parquet, numbers read back exactly; `table` is for people and rounds
    to six digits. Missing values are empty in csv, null in json and parquet, ``-`` in a table.

    Raises:
        StoreError: the format is unknown, the file cannot be written, or parquet would go to a terminal.
    """
    if format not in get_args(Format):
        raise StoreError(f"unknown format {format!r}: use one of {', '.join(get_args(Format))}")
    if out is None and format == "parquet" and sys.stdout.isatty():
        raise StoreError("parquet is not for a terminal: name a file, or redirect the output")
    content = _encoded(frame, format)
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"cannot write {out} ({error.strerror}): give a file in a folder that exists and may be written"
        ) from error


def _encoded(frame: "DataFrame", format: Format) -> bytes:
    if format == "parquet":
        return frame.to_parquet(index=False)
    if format == "csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    if format == "json":
        # DataFrame.to_json keeps 15 digits at most.
        objects = frame.astype(object).where(frame.notna(), None).to_dict("records")
        lines = ",\n".join(json.dumps(entry, default=str) for entry in objects)
        return f"[\n{lines}\n]\n".encode() if objects else b"[]\n"
    shown = frame.astype(object).where(frame.notna(), "-")
    return (shown.to_string(index=False, float_format="{:.6g}".format) + "\n").encode()
