"""The trial store: studies are declared, finished trials appended exactly once, and read back as tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, and_, func, select

from search_spaces import SearchSpace, nearest_name
from storage.database import Database, open_database
from storage.declare import (
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
from storage.errors import StoreError
from storage.insert import insert_trials
from storage.query import Selection, read_trials
from storage.records import Trials, TuningRun
from storage.runs import read_runs, replace_runs
from storage.schema import OWN_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Store", "StoreError", "open_store"]


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

    def studies(self) -> "DataFrame":
        """Return one row for each study and optimizer, ordered by both.

        The columns are study, optimizer, metric, trials and diverged (counts), best (the least metric, NaN
        without trials) and last_finished (UTC).
        """
        import pandas as pd

        with self.database.reading() as connection:
            rows = sorted(self._summaries(connection), key=lambda row: row[:2])
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
            raise StoreError(
                f"there is no study {study!r} in {self.database.name}{nearest_name(study, declared)}: {known}"
            )
        return declared[study]

    def _study_id(self, connection: Connection, study: str, optimizer: str) -> int:
        optimizers = self._optimizers(connection, study)
        if optimizer not in optimizers:
            raise StoreError(
                f"study {study!r} has no optimizer {optimizer!r}{nearest_name(optimizer, optimizers)}: "
                f"it has {', '.join(optimizers)}"
            )
        return optimizers[optimizer]

    def _summaries(self, connection: Connection) -> Iterator[tuple[Any, ...]]:
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
        for study, optimizers in declared_studies(connection, tables).items():
            for optimizer, study_id in optimizers.items():
                metric = attribute(connection, tables, study_id, METRIC)
                row = connection.execute(summary.where(own.c.study_id == study_id)).one()
                yield study, optimizer, metric, *row


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
