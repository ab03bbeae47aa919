"""Trials page by page: keyset paging, so that the thousandth page costs what the first does."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    String,
    Table,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
)

from search_spaces import nearest_name
from storage.errors import BadValueError, PageError
from storage.optuna_api import curve_value
from storage.query import as_frame
from storage.schema import LAUNCH_COLUMN, OWN_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame

LARGEST_ID = 2**31 - 1
"""Of a trial, as Optuna's columns hold it on PostgreSQL."""


@dataclass(frozen=True)
class PageRequest:
    """Which page of which trials to read.

    Attributes:
        study: the study's name.
        study_ids: the Optuna study id of each optimizer to read.
        axes: the names of its axes.
        words: the words of ordered ones, which filters may name.
        grids: the values of those on a grid, which filters find by the six digits that are shown.
        metric: the name of its metric.
        metrics: the names of its further metrics.
        where: a filter in the language of `storage.where`, or None for every trial.
        sort: a column, or None for the order of optimizer and number.
        descending: whether the largest comes first; missing values come last in both orders.
        limit: the most trials of a page.
        cursor: what the page before gave, or None for the first page.
    """

    study: str
    study_ids: Mapping[str, int]
    axes: Sequence[str]
    words: Mapping[str, Sequence[str]]
    grids: Mapping[str, Sequence[float]]
    metric: str
    metrics: Sequence[str]
    where: str | None = None
    sort: str | None = None
    descending: bool = False
    limit: int = 100
    cursor: str | None = None


def read_page(
    connection: Connection, tables: Mapping[str, Table], request: PageRequest
) -> tuple["DataFrame", str | None]:
    """The trials of a page, columns as `storage.query.read_trials` has them, and the next page's cursor.

    Trials that arrive meanwhile never make one come twice or be left out.

    Raises:
        PageError: there is no column `sort`, or the cursor is of another sort.
        storage.where.WhereError: the filter cannot be read.
    """
    numbers, shown = _columns(tables, request)
    names = ["optimizer", *shown]
    if request.sort is not None and request.sort not in names:
        raise PageError(
            f"there is no column {request.sort!r} to sort by{nearest_name(request.sort, names)}: "
            f"the columns are {', '.join(names)}"
        )
    if request.sort in (None, "optimizer"):
        ids, following = _by_optimizer(connection, tables, request, numbers)
    else:
        ids, following = _by_column(connection, tables, request, numbers, numbers[str(request.sort)])
    return _rows(connection, tables, request, shown, ids), following


def read_count(connection: Connection, tables: Mapping[str, Table], request: PageRequest) -> int:
    """How many trials a filter finds, on all pages. Raises storage.where.WhereError as `read_page`."""
    own = tables[OWN_TABLE]
    condition = _condition(tables, request, _columns(tables, request)[0])
    query = select(func.count()).select_from(own_trials(tables))
    found: int = (
        connection.scalar(query.where(own.c.study_id.in_(request.study_ids.values()), *condition)) or 0
    )
    return found


def read_one(
    connection: Connection, tables: Mapping[str, Table], request: PageRequest, number: int
) -> tuple["DataFrame", int | None]:
    """The trial with a number of the request's only optimizer, and its trial id; None if there is none."""
    trials = tables["trials"]
    (study_id,) = request.study_ids.values()
    of_study = select(trials.c.trial_id, trials.c.number).where(trials.c.study_id == study_id)
    # Optuna numbers trials as they come, so this is the one, and found along an index; else all are looked at.
    place = connection.execute(of_study.order_by(trials.c.trial_id).offset(number).limit(1)).first()
    if place is None or place.number != number:
        place = connection.execute(of_study.where(trials.c.number == number)).first()
    ids = [] if place is None else [place.trial_id]
    frame = _rows(connection, tables, request, _columns(tables, request)[1], ids)
    return frame, ids[0] if len(frame) else None


def read_curve(connection: Connection, tables: Mapping[str, Table], trial_id: int) -> list[tuple[int, float]]:
    """A trial's learning curve: steps and the metric there, which may be NaN or infinite."""
    curves = tables["trial_intermediate_values"]
    rows = connection.execute(
        select(curves.c.step, curves.c.intermediate_value, curves.c.intermediate_value_type)
        .where(curves.c.trial_id == trial_id)
        .order_by(curves.c.step)
    )
    return [(step, curve_value(value, kind)) for step, value, kind in rows]


def _rows(
    connection: Connection,
    tables: Mapping[str, Table],
    request: PageRequest,
    shown: Mapping[str, ColumnElement[Any]],
    ids: Sequence[int],
) -> "DataFrame":
    own, studies, trials = tables[OWN_TABLE], tables["studies"], tables["trials"]
    source = own_trials(tables).join(studies, studies.c.study_id == trials.c.study_id)
    wide = select(trials.c.trial_id, _optimizer(tables, request), *shown.values()).select_from(source)
    among = (own.c.study_id.in_(request.study_ids.values()), own.c.trial_id.in_(ids))  # as the index has them
    rows = {row[0]: tuple(row[1:]) for row in connection.execute(wide.where(*among))}
    return as_frame(["optimizer", *shown], [rows[each] for each in ids if each in rows])


def _columns(
    tables: Mapping[str, Table], request: PageRequest
) -> tuple[dict[str, ColumnElement[Any]], dict[str, ColumnElement[Any]]]:
    """The columns as numbers, to compare, and as they are stored, to show.

    Subqueries, not joins: only those that a filter or an order names are looked up.
    """
    own, trials, values = tables[OWN_TABLE], tables["trials"], tables["trial_values"]
    numbers: dict[str, ColumnElement[Any]] = {"number": trials.c.number, "seed": own.c.seed}
    for axis in request.axes:
        params = tables["trial_params"]
        one = select(params.c.param_value).where(
            params.c.trial_id == trials.c.trial_id, params.c.param_name == axis
        )
        numbers[axis] = one.correlate(trials).scalar_subquery()
    value = select(values.c.value).where(values.c.trial_id == trials.c.trial_id, values.c.objective == 0)
    numbers[request.metric] = value.correlate(trials).scalar_subquery()
    shown = dict(numbers)
    for key in (*request.metrics, "diverged_at", "seconds"):
        attributes = tables["trial_user_attributes"]
        text = (
            select(attributes.c.value_json)
            .where(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == key)
            .correlate(trials)
            .scalar_subquery()
        )
        shown[key] = text
        numbers[key] = cast(text, BigInteger() if key == "diverged_at" else Double())
    numbers[LAUNCH_COLUMN] = own.c.launch
    return numbers, shown


def _optimizer(tables: Mapping[str, Table], request: PageRequest) -> ColumnElement[Any]:
    return func.substr(tables["studies"].c.study_name, len(request.study) + 2, type_=String())


def _condition(
    tables: Mapping[str, Table], request: PageRequest, numbers: Mapping[str, ColumnElement[Any]]
) -> list[ColumnElement[bool]]:
    if request.where is None:
        return []
    from storage.where import parse_where

    studies, trials = tables["studies"], tables["trials"]
    name = select(_optimizer(tables, request)).where(studies.c.study_id == trials.c.study_id)
    optimizer = name.correlate(trials).scalar_subquery()
    return [parse_where(request.where, numbers, {"optimizer": optimizer}, request.words, request.grids)]


def _by_optimizer(
    connection: Connection,
    tables: Mapping[str, Table],
    request: PageRequest,
    numbers: Mapping[str, ColumnElement[Any]],
) -> tuple[list[int], str | None]:
    """The ids of a page in the order of optimizer and number; each optimizer is read along an index."""
    own = tables[OWN_TABLE]
    names, order = sorted(request.study_ids, reverse=request.descending), ["optimizer", request.descending]
    last, after = names[0], 0
    if request.cursor is not None:
        last, after = _decoded(request.cursor, order, 2)
        if last not in names or not isinstance(after, int):
            raise _foreign_cursor()
    condition = _condition(tables, request, numbers)
    found: list[tuple[str, int]] = []
    for name in names[names.index(last) :]:
        query = (
            select(own.c.trial_id)
            .select_from(own_trials(tables))
            .where(
                own.c.study_id == request.study_ids[name],
                own.c.trial_id > (after if name == last else 0),
                *condition,
            )
            .order_by(own.c.trial_id)
            .limit(request.limit + 1 - len(found))  # one more, to know whether there are more
        )
        found += [(name, each) for each in connection.scalars(query)]
        if len(found) > request.limit:
            break
    ids = [each for _, each in found[: request.limit]]
    more = len(found) > request.limit
    return ids, _encoded(order, list(found[request.limit - 1])) if more else None


def _by_column(
    connection: Connection,
    tables: Mapping[str, Table],
    request: PageRequest,
    numbers: Mapping[str, ColumnElement[Any]],
    key: ColumnElement[Any],
) -> tuple[list[int], str | None]:
    """The ids of a page in the order of a column, missing values last, trials as they arrived where it ties."""
    own, trials = tables[OWN_TABLE], tables["trials"]
    query = (
        select(trials.c.trial_id, key.label("sort_key"))
        .select_from(own_trials(tables))
        .where(own.c.study_id.in_(request.study_ids.values()), *_condition(tables, request, numbers))
    )
    order = [request.sort, request.descending]
    if request.cursor is not None:
        last, after = _decoded(request.cursor, order, 2)
        if not isinstance(last, int | float | None) or not isinstance(after, int):
            raise _foreign_cursor()
        if last is None:
            query = query.where(key.is_(None), trials.c.trial_id > after)
        else:
            bound = literal(last, BigInteger() if isinstance(last, int) else Double())
            beyond = key < bound if request.descending else key > bound
            query = query.where(or_(beyond, and_(key == bound, trials.c.trial_id > after), key.is_(None)))
    query = query.order_by(key.is_(None), key.desc() if request.descending else key, trials.c.trial_id).limit(
        request.limit + 1  # to know whether there are more
    )
    rows = connection.execute(query).all()
    following = None
    if len(rows) > request.limit:
        *rows, _ = rows
        following = _encoded(order, [rows[-1].sort_key, rows[-1].trial_id])
    return [row.trial_id for row in rows], following


def _encoded(order: list[Any], place: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, place]).encode()).decode().rstrip("=")


def _decoded(cursor: str, order: list[Any], length: int) -> list[Any]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        given, place = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError, RecursionError):
        raise _foreign_cursor() from None
    if given != order or not isinstance(place, list) or len(place) != length:
        raise _foreign_cursor()
    if any(isinstance(each, int) and not abs(each) < 2**63 for each in place):
        raise _foreign_cursor()
    if isinstance(place[1], int) and not 0 <= place[1] <= LARGEST_ID:
        raise BadValueError(f"the cursor names trial {place[1]}: give the one of the page before")
    return place


def _foreign_cursor() -> PageError:
    return PageError("the cursor is not of this list: give the one of the page before, with the same order")
