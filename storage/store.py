"""The trial store: studies are declared, finished trials appended exactly once, and read back as tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, and_, func, insert, inspect, select, update

from search_spaces import SearchSpace, nearest_name
from storage.database import Database, open_database
from storage.declare import (
    LAUNCH,
    METRIC,
    PROVENANCE,
    SPACE,
    SPEC,
    Declaration,
    attribute,
    declare,
    declared_studies,
    declared_with,
)
from storage.delete import delete_studies
from storage.errors import StoreError, UnknownStudyError
from storage.insert import insert_trials
from storage.page import PageRequest, read_one, read_page
from storage.query import Selection, further_metrics, read_trials
from storage.records import Trials, TuningRun
from storage.runs import read_runs, replace_runs
from storage.schema import OWN_TABLE, RUNS_TABLE, lock_all, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Store", "StoreError", "Summary", "Version", "open_store"]


def open_store(url: str, *, create: bool) -> "Store":
    """Open the trial database at a URL, `create` for writing (made if it is missing), else for reading only.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.

    Raises:
        StoreError: the URL is wrong, the database cannot be reached, read or (with `create`) written, or it
            is not an Optuna database of the schema we know. Nothing was written then.
    """
    return Store(open_database(url, create=create))


@dataclass(frozen=True)
class Version:
    """What differs after trials or tuning runs were added to a study, or it was deleted and made anew.

    Attributes:
        study_ids: the Optuna study id of each optimizer.
        last_trials: the largest trial id of each, 0 without trials.
        runs: how many tuning runs there are.
        budget: the sum of their budgets.
    """

    study_ids: tuple[int, ...]
    last_trials: tuple[int, ...]
    runs: int
    budget: int

    def follows(self, earlier: "Version") -> bool:
        """Whether it is the same study later, with further trials at most."""
        return self.study_ids == earlier.study_ids and all(
            last >= before for last, before in zip(self.last_trials, earlier.last_trials, strict=True)
        )


@dataclass(frozen=True)
class Summary:
    """Counts of trials and of diverged ones, the least metric, and when the last one finished (UTC, naive)."""

    trials: int = 0
    diverged: int = 0
    best: float | None = None
    last_finished: datetime | None = None

    def __add__(self, other: "Summary") -> "Summary":
        """Of both together."""
        best = [each for each in (self.best, other.best) if each is not None]
        last = [each for each in (self.last_finished, other.last_finished) if each is not None]
        return Summary(
            self.trials + other.trials,
            self.diverged + other.diverged,
            min(best, default=None),
            max(last, default=None),
        )


@dataclass(frozen=True)
class Store:
    """An open trial database. Each optimizer of a study is the Optuna study ``STUDY/OPTIMIZER``.

    Every method raises StoreError when the database does not answer; those that take a study's or an
    optimizer's name raise it for one that is not stored, naming those that are.
    """

    database: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.database.engine.dispose()

    def declare(
        self,
        study: str,
        optimizers: Sequence[str],
        *,
        space: SearchSpace,
        metric: str,
        spec: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> None:
        """Make a study ready for trials, for all the optimizers or, when refused, for none.

        An optimizer already declared with the same spec is left as it is, its first provenance with it.

        Args:
            study: the study's name, without a slash.
            optimizers: the names of its optimizers.
            space: the search space of all of them.
            metric: the name of the metric, which is minimized.
            spec: what was asked for, as JSON knows it; it decides whether a study is the same.
            provenance: what it was run with, as JSON knows it.

        Raises:
            StoreError: a name is not allowed, the study is stored with another spec, an Optuna study of the
                name is not ours, or the store was opened for reading.
        """
        declaration = Declaration(study, tuple(optimizers), space, metric, spec, provenance)
        declare(self.database, declaration)

    def is_declared(self, study: str, spec: Mapping[str, Any]) -> bool:
        """Whether the study is stored, with this spec. Raises StoreError if it is stored with another one."""
        with self.database.reading() as connection:
            return bool(declared_with(connection, self.database, study, spec))

    def append(self, study: str, optimizer: str, trials: Trials) -> int:
        """Store finished trials in one transaction; return how many were new.

        A cell already stored with the seed is left as it is, also if another process is storing it right now.

        Raises:
            StoreError: the trials' axes are not the study's, a value is outside its axis, a further metric
                has the metric's name, or the store was opened for reading.
        """
        tables = self.database.tables
        studies = tables["studies"]
        with self.database.writing() as connection:
            study_id = self._study_id(connection, study, optimizer)
            # Until the commit nobody else, Optuna included, numbers trials of this study.
            connection.execute(
                select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
            )
            space = SearchSpace.from_table(attribute(connection, tables, study_id, SPACE))
            _check_trials(trials, space, attribute(connection, tables, study_id, METRIC))
            return insert_trials(connection, tables, study_id, space, trials)

    def stored(self, study: str, optimizer: str) -> set[tuple[str, int]]:
        """Return the cells, as `cell_key` writes them, and seeds that are stored."""
        own = self.database.tables[OWN_TABLE]
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            there = select(own.c.cell, own.c.seed).select_from(own_trials(self.database.tables))
            rows = connection.execute(there.where(own.c.study_id == study_id))
            return {(cell, seed) for cell, seed in rows}

    def trials(self, study: str, optimizer: str | None = None, where: str | None = None) -> "DataFrame":
        """Return the stored trials of a study, or of one optimizer, that a filter selects.

        Trials that somebody else added through Optuna have no seed and are left out.
        See `storage.query.read_trials` for the columns and `storage.where` for the filter.

        Raises:
            storage.where.WhereError: the filter cannot be read.
        """
        tables = self.database.tables
        with self.database.reading() as connection:
            if optimizer is None:
                study_ids = list(self._optimizers(connection, study).values())
            else:
                study_ids = [self._study_id(connection, study, optimizer)]
            space = SearchSpace.from_table(attribute(connection, tables, study_ids[0], SPACE))
            metric = attribute(connection, tables, study_ids[0], METRIC)
            return read_trials(connection, tables, Selection(study, study_ids, space.names, metric, where))

    def append_runs(self, study: str, optimizer: str, runs: Sequence[TuningRun]) -> int:
        """Store tuning runs in one transaction; return how many were new, or longer than the stored ones.

        Raises:
            StoreError: a stored run of the same key is another one, or the store was opened for reading.
        """
        studies = self.database.tables["studies"]
        with self.database.writing() as connection:
            study_id = self._study_id(connection, study, optimizer)
            # Until the commit nobody else stores runs of this study.
            connection.execute(
                select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
            )
            return replace_runs(connection, self.database.tables, study_id, runs)

    def runs(self, study: str, optimizer: str) -> list[TuningRun]:
        """Return the stored tuning runs of an optimizer, ordered by tuner and replicate."""
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            return read_runs(connection, self.database.tables, study_id)

    def page(
        self,
        study: str,
        optimizer: str | None = None,
        where: str | None = None,
        *,
        sort: str | None = None,
        descending: bool = False,
        limit: int = 100,
        cursor: str | None = None,
        metrics: Sequence[str] | None = None,
    ) -> tuple["DataFrame", str | None]:
        """Return at most `limit` trials, and the cursor of the page after them or None after the last.

        Columns as `trials` has them, ordered by optimizer and number or by the column `sort`, missing values last.
        `metrics` are the further metrics, which are looked up in every trial when they are not given.

        Raises:
            PageError: there is no column `sort`, or the cursor is of a list in another order.
            storage.where.WhereError: the filter cannot be read.
        """
        with self.database.reading() as connection:
            request = self._request(connection, study, optimizer, metrics)
            asked = replace(
                request, where=where, sort=sort, descending=descending, limit=limit, cursor=cursor
            )
            return read_page(connection, self.database.tables, asked)

    def metrics(self, study: str, after: int = 0) -> list[str]:
        """Return the further metrics of a study's trials, or of those with a trial id above `after`."""
        with self.database.reading() as connection:
            ids = list(self._optimizers(connection, study).values())
            return further_metrics(connection, self.database.tables, ids, after)

    def trial(
        self, study: str, optimizer: str, number: int, metrics: Sequence[str] | None = None
    ) -> tuple["DataFrame", list[tuple[int, float]]]:
        """Return a trial, as a table of one row, and its learning curve.

        The curve is steps and the metric there, which may be NaN or infinite. `metrics` as for `page`.

        Raises:
            UnknownStudyError: the trial is not stored.
        """
        curves = self.database.tables["trial_intermediate_values"]
        with self.database.reading() as connection:
            request = self._request(connection, study, optimizer, metrics)
            frame, trial_id = read_one(connection, self.database.tables, request, number)
            if trial_id is None:
                raise UnknownStudyError(f"{study}/{optimizer} has no trial {number}: list its trials")
            rows = connection.execute(
                select(curves.c.step, curves.c.intermediate_value, curves.c.intermediate_value_type)
                .where(curves.c.trial_id == trial_id)
                .order_by(curves.c.step)
            )
            special = {"NAN": float("nan"), "INF_POS": float("inf"), "INF_NEG": float("-inf")}
            return frame, [(step, special.get(kind, value)) for step, value, kind in rows]

    def values(self, study: str, optimizer: str) -> "DataFrame":
        """Return seed, axes and metric of an optimizer's trials: all that a landscape needs, read fast."""
        import pandas as pd

        tables = self.database.tables
        own, values = tables[OWN_TABLE], tables["trial_values"]
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            metric = str(attribute(connection, tables, study_id, METRIC))
            axes = SearchSpace.from_table(attribute(connection, tables, study_id, SPACE)).names
            rows = connection.execute(
                select(own.c.cell, own.c.seed, values.c.value)
                .select_from(own_trials(tables).join(values, values.c.trial_id == own.c.trial_id))
                .where(own.c.study_id == study_id, values.c.objective == 0)
            ).all()
        texts, seeds, found = zip(*rows, strict=True) if rows else ((), (), ())
        places, cells = pd.factorize(pd.Series(texts, dtype="object"))
        # `cell_key` writes numbers so that they read back exactly
        read = [
            {name: float(number) for name, number in (part.split("=") for part in cell.split(","))}
            for cell in cells
        ]
        columns = {
            axis: pd.Series([cell[axis] for cell in read], dtype="float64").to_numpy()[places]
            for axis in axes
        }
        return pd.DataFrame(
            {"seed": pd.Series(seeds, dtype="int64"), **columns, metric: pd.Series(found, dtype="float64")}
        )

    def versions(self) -> dict[str, Version]:
        """Return the version of each study. Cheap, however many trials there are."""
        tables = self.database.tables
        trials, runs = tables["trials"], tables[RUNS_TABLE]
        last = select(trials.c.trial_id).order_by(trials.c.trial_id.desc()).limit(1)
        tuned = select(func.count(), func.coalesce(func.sum(runs.c.budget), 0))
        versions = {}
        with self.database.reading() as connection:
            has_runs = inspect(connection).has_table(RUNS_TABLE)
            for study, optimizers in declared_studies(connection, tables).items():
                ids = tuple(optimizers.values())
                lasts = tuple(connection.scalar(last.where(trials.c.study_id == each)) or 0 for each in ids)
                of_study = tuned.where(runs.c.study_id.in_(ids))
                count, budget = connection.execute(of_study).one() if has_runs else (0, 0)
                versions[study] = Version(ids, lasts, count, int(budget))
        return versions

    def delete(self, study: str) -> None:
        """Delete a study with its trials and tuning runs, in one transaction.

        Raises:
            StoreError: the store was opened for reading.
        """
        studies = self.database.tables["studies"]
        with self.database.writing() as connection:
            lock_all(connection)
            ids = list(self._optimizers(connection, study).values())
            # Whoever is storing trials of it finishes first, and finds it gone next time.
            connection.execute(
                select(studies.c.study_id).where(studies.c.study_id.in_(ids)).with_for_update()
            )
            delete_studies(connection, OWN_TABLE, ids)

    def launches(self) -> dict[str, dict[str, Any]]:
        """Return what `set_launch` last kept of each study, for those where it was called."""
        studies, attributes = (self.database.tables[name] for name in ("studies", "study_user_attributes"))
        with self.database.reading() as connection:
            rows = connection.execute(
                select(studies.c.study_name, attributes.c.value_json)
                .join(attributes, attributes.c.study_id == studies.c.study_id)
                .where(attributes.c.key == LAUNCH)
            )
            return {name.partition("/")[0]: json.loads(text) for name, text in rows}

    def set_launch(self, study: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change entries of what is kept about running a study, and return all of them.

        For who launches studies: which job runs it, with what, whether it was stopped. JSON types.
        """
        studies, attributes = (self.database.tables[name] for name in ("studies", "study_user_attributes"))
        with self.database.writing() as connection:
            first = next(iter(self._optimizers(connection, study).values()))
            connection.execute(
                select(studies.c.study_id).where(studies.c.study_id == first).with_for_update()
            )
            here = (attributes.c.study_id == first) & (attributes.c.key == LAUNCH)
            text = connection.scalar(select(attributes.c.value_json).where(here))
            launch: dict[str, Any] = {**(json.loads(text) if text else {}), **changes}
            stored = json.dumps(launch, allow_nan=False)
            if text is None:
                connection.execute(insert(attributes).values(study_id=first, key=LAUNCH, value_json=stored))
            else:
                connection.execute(update(attributes).where(here).values(value_json=stored))
            return launch

    def studies(self) -> "DataFrame":
        """Return one row for each study and optimizer, ordered by both.

        The columns are study, optimizer, metric, trials and diverged (counts), best (the least metric, NaN
        without trials) and last_finished (UTC).
        """
        import pandas as pd

        tables = self.database.tables
        with self.database.reading() as connection:
            rows = sorted(
                (
                    study,
                    optimizer,
                    attribute(connection, tables, study_id, METRIC),
                    *astuple(self._summary(connection, study_id)),
                )
                for study, optimizers in declared_studies(connection, tables).items()
                for optimizer, study_id in optimizers.items()
            )
        types = {
            "study": "str",
            "optimizer": "str",
            "metric": "str",
            "trials": "int64",
            "diverged": "int64",
            "best": "float64",
            "last_finished": "datetime64[us, UTC]",
        }
        frame = pd.DataFrame(rows, columns=list(types))
        frame["last_finished"] = pd.to_datetime(frame["last_finished"], utc=True)
        return frame.astype(types)

    def summary(
        self, study: str, optimizer: str, seeds: int | None = None, after: int = 0, upto: int | None = None
    ) -> Summary:
        """Return what there is of an optimizer's trials: of seeds below `seeds`, with trial ids in (after, upto]."""
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            return self._summary(connection, study_id, seeds, after, upto)

    def optimizers(self, study: str) -> list[str]:
        """Return the optimizers of a study in the order of their declaration."""
        with self.database.reading() as connection:
            return list(self._optimizers(connection, study))

    def spec(self, study: str) -> dict[str, Any]:
        """Return the spec the study was declared with."""
        return dict(self._attribute(study, None, SPEC))

    def space(self, study: str) -> SearchSpace:
        """Return the search space of a study."""
        return SearchSpace.from_table(self._attribute(study, None, SPACE))

    def metric(self, study: str) -> str:
        """Return the name of the metric that a study minimizes."""
        return str(self._attribute(study, None, METRIC))

    def provenance(self, study: str, optimizer: str) -> dict[str, Any]:
        """Return what an optimizer of a study was first declared with: versions, machine, data."""
        return dict(self._attribute(study, optimizer, PROVENANCE))

    def _attribute(self, study: str, optimizer: str | None, key: str) -> Any:
        """Return an attribute of an optimizer of a study; None for one that is the same for all of them."""
        with self.database.reading() as connection:
            first = next(iter(self._optimizers(connection, study)))
            study_id = self._study_id(connection, study, optimizer or first)
            return attribute(connection, self.database.tables, study_id, key)

    def _optimizers(self, connection: Connection, study: str) -> dict[str, int]:
        """Return the Optuna study id of each optimizer of a study."""
        declared = declared_studies(connection, self.database.tables)
        if study not in declared:
            known = f"stored are {', '.join(sorted(declared))}" if declared else "run a study first"
            raise UnknownStudyError(
                f"there is no study {study!r} in {self.database.name}{nearest_name(study, declared)}: {known}"
            )
        return declared[study]

    def _request(
        self, connection: Connection, study: str, optimizer: str | None, metrics: Sequence[str] | None
    ) -> PageRequest:
        tables, ids = self.database.tables, self._optimizers(connection, study)
        if optimizer is not None:
            ids = {optimizer: self._study_id(connection, study, optimizer)}
        first = next(iter(ids.values()))
        axes = SearchSpace.from_table(attribute(connection, tables, first, SPACE)).names
        metric = attribute(connection, tables, first, METRIC)
        if metrics is None:
            metrics = further_metrics(connection, tables, list(ids.values()))
        return PageRequest(study, ids, axes, metric, metrics)

    def _study_id(self, connection: Connection, study: str, optimizer: str) -> int:
        optimizers = self._optimizers(connection, study)
        if optimizer not in optimizers:
            raise UnknownStudyError(
                f"study {study!r} has no optimizer {optimizer!r}{nearest_name(optimizer, optimizers)}: "
                f"it has {', '.join(optimizers)}"
            )
        return optimizers[optimizer]

    def _summary(
        self,
        connection: Connection,
        study_id: int,
        seeds: int | None = None,
        after: int = 0,
        upto: int | None = None,
    ) -> Summary:
        tables = self.database.tables
        own, trials = tables[OWN_TABLE], tables["trials"]
        values, attributes = tables["trial_values"], tables["trial_user_attributes"]
        source = (
            own_trials(tables)
            .join(values, and_(values.c.trial_id == trials.c.trial_id, values.c.objective == 0))
            .outerjoin(
                attributes,
                and_(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == "diverged_at"),
            )
        )
        summary = select(
            func.count(),
            func.count(attributes.c.trial_id),
            func.min(values.c.value),
            func.max(trials.c.datetime_complete),
        ).select_from(source)
        here = summary.where(own.c.study_id == study_id, own.c.trial_id > after)
        if seeds is not None:
            here = here.where(own.c.seed < seeds)
        if upto is not None:
            here = here.where(own.c.trial_id <= upto)
        return Summary(*connection.execute(here).one())


def _check_trials(trials: Trials, space: SearchSpace, metric: str) -> None:
    if set(trials.hyperparameters) != set(space.names):
        raise StoreError(
            f"the trials have the axes {', '.join(trials.hyperparameters)}: "
            f"this study has {', '.join(space.names)}"
        )
    if metric in trials.metrics:
        raise StoreError(f"{metric!r} is the study's metric: give it as value, not among further metrics")
    for axis in space.axes:
        values = trials.hyperparameters[axis.name]
        outside = (values < axis.low) | (values > axis.high)
        if outside.any():
            raise StoreError(
                f"{axis.name}={float(values[outside][0])!r} is outside its axis: "
                f"give values from {axis.low!r} to {axis.high!r}"
            )
