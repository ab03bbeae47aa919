"""The trial store: studies are declared, finished trials appended exactly once, and read back as tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, func, select

from search_spaces import SearchSpace, nearest_name
from storage.attributes import (
    METRIC,
    PROVENANCE,
    SPACE,
    About,
    attribute,
    declared_id,
    declared_studies,
    read_about,
    shown_studies,
)
from storage.database import Database, open_database
from storage.declare import (
    Declaration,
    check_declared,
    check_recipes,
    declare,
    has_trials,
)
from storage.delete import delete_studies
from storage.errors import StoreError, UnknownStudyError
from storage.failures import Failure, FailureCount, failures_by_study, failures_frame, replace_failures
from storage.insert import insert_trials
from storage.launches import change_launch, read_launches
from storage.leases import Leased, end_leases, lease, release, renew
from storage.page import PageRequest, read_count, read_curve, read_one, read_page
from storage.query import Selection, further_metrics, read_times, read_trials, read_values, trial_pages
from storage.read import read_pages
from storage.records import Trials, TuningRun
from storage.rename import rename_study
from storage.runs import read_runs, replace_runs
from storage.schema import OWN_TABLE, lock_all, own_trials
from storage.summaries import Summary, Version, read_studies, read_versions, summarize

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["About", "Store", "StoreError", "Summary", "Version", "open_store"]


def open_store(url: str, *, create: bool, patience: float = 0.0) -> "Store":
    """Open the trial database at a URL, `create` for writing (made if it is missing), else for reading only.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.
        patience: seconds to wait, whenever it is asked, for a database that is gone after it was opened. What appends
            trials, failures or runs is then tried again, too, if it is lost in the middle.

    Raises:
        StoreError: the URL is wrong, the database cannot be reached, read or (with `create`) written, or it
            is not an Optuna database of the schema we know. Nothing was written then.
    """
    return Store(open_database(url, create=create, patience=patience))


@dataclass(frozen=True)
class Store:
    """An open trial database. Each optimizer of a study is the Optuna study ``STUDY/OPTIMIZER``.

    Every method raises StoreError when the database does not answer; those that take a study's or an
    optimizer's name raise it for one that is not stored, naming those that are.
    """

    database: Database
    _declared: dict[str, tuple[Declaration, int]] = field(default_factory=dict, repr=False, compare=False)

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
        recipes: Mapping[str, Mapping[str, Any]],
        *,
        space: SearchSpace,
        metric: str,
        spec: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> int:
        """Make a study ready for trials, for all the optimizers or, when refused, for none; return the launch's number.

        The study may be there already: its seeds, cells and optimizers may be more or fewer than before, and what the
        last declaration names is what is shown of it; no trial is lost. A recipe is changed only while no trial and no
        tuning run of its optimizer is stored; who declared it before, through another `Store`, can store none then.

        Args:
            study: the study's name, without a slash.
            recipes: of each optimizer, all that decides a trial beside cell and seed, as JSON knows it.
            space: the search space of all of them.
            metric: the name of the metric, which is minimized.
            spec: what was asked for, as JSON knows it.
            provenance: what this launch runs with, as JSON knows it.

        Raises:
            StoreError: a name is not allowed, trials of an optimizer are stored with another recipe, tuning runs need
                more than there would be, an Optuna study of the name is not ours, or the store was opened for reading.
        """
        declaration = Declaration(study, recipes, space, metric, spec, provenance)
        launch = declare(self.database, declaration)
        self._declared[study] = (declaration, launch)
        return launch

    def check(self, study: str, recipes: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise StoreError if trials of an optimizer of the study are stored with another recipe."""
        with self.database.reading() as connection:
            check_recipes(connection, self.database, study, recipes)

    def about(self, study: str) -> About:
        """What a study is: optimizers, space, metric, spec and recipes, all of one moment."""
        with self.database.reading() as connection:
            found = read_about(connection, self.database.tables, study)
            if found is None:
                self._optimizers(connection, study)  # raises
                raise UnknownStudyError(f"{study} was deleted meanwhile: run the study again")
            return found

    def recipes(self, study: str) -> dict[str, Mapping[str, Any]]:
        """The recipe of every optimizer that the study has trials of or names; none where it is not stored."""
        with self.database.reading() as connection:
            found = read_about(connection, self.database.tables, study)
            return dict(found.recipes) if found else {}

    def has_trials(self, study: str) -> bool:
        """Whether there are trials or tuning runs of any of a study's optimizers; without, it may be declared anew."""
        with self.database.reading() as connection:
            ids = self._optimizers(connection, study).values()
            return has_trials(connection, self.database.tables, ids)

    def append(self, study: str, optimizer: str, *batches: Trials) -> int:
        """Store finished trials in one transaction, all of them or, when refused, none; return how many were new.

        A cell already stored with the seed is left as it is, also if another process is storing it right now.

        Raises:
            StoreError: the trials' axes are not the study's, a value is outside its axis, a further metric
                has the metric's name, the study was declared anew since this store did, or the store was opened for
                reading.
        """
        tables = self.database.tables

        def insert(connection: Connection) -> int:
            # Until the commit nobody else, Optuna included, numbers trials of this study.
            study_id = self._locked(connection, study, optimizer)
            if study in self._declared:
                (declaration, launch) = self._declared[study]
                space = declaration.space  # another driver may have declared the study with fewer cells since
                metric = declaration.metric
            else:
                space, launch = SearchSpace.from_table(attribute(connection, tables, study_id, SPACE)), None
                metric = attribute(connection, tables, study_id, METRIC)
            for trials in batches:
                _check_trials(trials, space, metric)
            cells: dict[int, list[str]] = {}
            for trials in batches:
                cells.setdefault(trials.seed, []).extend(trials.cells())
            for seed, its in cells.items():
                end_leases(connection, tables, study_id, seed, its)
            return insert_trials(connection, tables, study_id, space, batches, launch)

        return self.database.write(insert)

    def lease(self, study: str, optimizer: str, seed: int, cells: Sequence[str], holder: str) -> Leased:
        """Take cells, as `cell_key` writes them, with a seed for training, those that are not stored or taken.

        They are those of `holder` (`storage.leases.new_holder`) until they are stored or have failed, `release_leases`
        is called, or they are not renewed for `storage.leases.SECONDS`. `append` does not ask for leases.

        Raises:
            StoreError: as `append`.
        """

        def take(connection: Connection) -> Leased:
            study_id = self._locked(connection, study, optimizer)
            return lease(connection, self.database.tables, study_id, seed, cells, holder)

        return self.database.write(take)

    def renew_leases(self, holder: str) -> None:
        """Hold what `holder` holds for another `storage.leases.SECONDS`; a server that is gone is not waited for."""
        with self.database.writing(wait=False) as connection:
            renew(connection, self.database.tables, holder)

    def release_leases(self, holder: str) -> None:
        """Let `holder` hold nothing any longer; a server that is gone is not waited for."""
        with self.database.writing(wait=False) as connection:
            release(connection, self.database.tables, holder)

    def append_failures(
        self, study: str, optimizer: str, cells: Sequence[str], seed: int, reason: str, lines: str = ""
    ) -> None:
        """Store that trials failed for good just now, in the place of earlier failures of theirs.

        They are missing as before. Of a trial that is stored, also by another process meanwhile, nothing is.

        Args:
            study, optimizer: whose trials they are.
            cells: their cells, as `cell_key` writes them.
            seed: their seed.
            reason: what happened, a line.
            lines: the last lines that they wrote; as many are kept as `storage.failures` says.

        Raises:
            StoreError: the study was declared anew since this store did, or the store was opened for reading.
        """
        now = datetime.now(UTC)

        def replace_them(connection: Connection) -> None:
            study_id = self._locked(connection, study, optimizer)
            launch = self._declared[study][1] if study in self._declared else None
            failures = [Failure(cell, seed, reason, lines, now, launch) for cell in cells]
            replace_failures(connection, self.database.tables, study_id, failures)
            end_leases(connection, self.database.tables, study_id, seed, cells)

        self.database.write(replace_them)

    def failures(self, study: str, optimizer: str | None = None, limit: int | None = None) -> "DataFrame":
        """The trials that failed and are not stored, the last first, at most `limit`.

        The columns are optimizer, the axes, seed, failed_at (UTC), launch (a nullable integer), reason and lines.
        """
        tables = self.database.tables
        with self.database.reading() as connection:
            ids = self._optimizers(connection, study)
            if optimizer is not None:
                ids = {optimizer: self._study_id(connection, study, optimizer)}
            axes = SearchSpace.from_table(
                attribute(connection, tables, next(iter(ids.values())), SPACE)
            ).names
            return failures_frame(connection, tables, ids, axes, limit)

    def failure_counts(self) -> dict[str, FailureCount]:
        """How many trials of each study failed. Cheap, however many trials there are."""
        tables = self.database.tables
        with self.database.reading() as connection:
            shown = shown_studies(connection, tables)
            failed = failures_by_study(connection, tables) if shown else {}
            return {
                study: sum((failed[each] for each in ids.values() if each in failed), FailureCount())
                for study, ids in shown.items()
            }

    def stored(self, study: str, optimizer: str) -> set[tuple[str, int]]:
        """The cells, as `cell_key` writes them, and seeds that are stored."""
        own = self.database.tables[OWN_TABLE]
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer, hidden=True)
            there = select(own.c.cell, own.c.seed).select_from(own_trials(self.database.tables))
            rows = connection.execute(there.where(own.c.study_id == study_id))
            return {(cell, seed) for cell, seed in rows}

    def read(self, study: str, optimizer: str | None = None, upto: int | None = None) -> Iterator[Trials]:
        """The stored trials of a study, or of one optimizer, as they went in, a bounded number at a time.

        With `upto`, those with a trial id up to it.

        In the order in which they were stored, batches of one seed, launch, time and curve steps. A further metric that
        some trials of a batch lack is NaN there. Trials that somebody else added through Optuna are left out.
        """
        for name in self.optimizers(study) if optimizer is None else [optimizer]:
            with self.database.reading() as connection:
                study_id = self._study_id(connection, study, name, hidden=True)
            for page in read_pages(self.database, study_id, name, upto):
                yield from page

    def trials(self, study: str, optimizer: str | None = None, where: str | None = None) -> "DataFrame":
        """The stored trials of a study, or of one optimizer, that a filter selects.

        Trials that somebody else added through Optuna have no seed and are left out.
        See `storage.query.read_trials` for the columns and `storage.where` for the filter.

        Raises:
            storage.where.WhereError: the filter cannot be read.
        """
        with self.database.reading() as connection:
            selection = self._selection(connection, study, optimizer, where)
            return read_trials(connection, self.database.tables, selection)

    def times(self, study: str, optimizer: str | None = None) -> "DataFrame":
        """When each trial started and finished, and in which launch: see `storage.query.read_times`."""
        with self.database.reading() as connection:
            chosen = self._selection(connection, study, optimizer, None)
            return read_times(connection, self.database.tables, study, chosen.study_ids)

    def trial_pages(
        self, study: str, optimizer: str | None = None, where: str | None = None
    ) -> Iterator["DataFrame"]:
        """What `trials` returns as tables of a bounded size, at least one, which has no rows if there are none.

        Raises:
            storage.where.WhereError: the filter cannot be read.
        """
        with self.database.reading() as connection:
            selection = self._selection(connection, study, optimizer, where)
        yield from trial_pages(self.database, selection)

    def _selection(
        self, connection: Connection, study: str, optimizer: str | None, where: str | None
    ) -> Selection:
        tables, ids = self.database.tables, self._optimizers(connection, study)
        if optimizer is not None:
            ids = {optimizer: self._study_id(connection, study, optimizer)}
        study_ids = [ids[name] for name in sorted(ids)]
        space = SearchSpace.from_table(attribute(connection, tables, study_ids[0], SPACE))
        metric = attribute(connection, tables, study_ids[0], METRIC)
        return Selection(study, study_ids, space.names, space.words, space.grids, metric, where)

    def append_runs(self, study: str, optimizer: str, runs: Sequence[TuningRun]) -> int:
        """Store tuning runs in one transaction; return how many were new, or longer than the stored ones.

        Raises:
            StoreError: a stored run of the same key is another one, the study was declared anew since this store did,
                or the store was opened for reading.
        """

        def insert(connection: Connection) -> int:
            # Until the commit nobody else stores runs of this study.
            study_id = self._locked(connection, study, optimizer)
            return replace_runs(connection, self.database.tables, study_id, runs)

        return self.database.write(insert)

    def runs(self, study: str, optimizer: str) -> list[TuningRun]:
        """The stored tuning runs of an optimizer, ordered by tuner and replicate."""
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
        """At most `limit` trials, and the cursor of the page after them or None after the last.

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

    def count(self, study: str, optimizer: str | None = None, where: str | None = None) -> int:
        """How many trials `page` gives in all. Raises as `page`."""
        with self.database.reading() as connection:
            request = self._request(connection, study, optimizer, None)
            return read_count(connection, self.database.tables, replace(request, where=where))

    def metrics(self, study: str) -> list[str]:
        """The further metrics of a study's trials."""
        with self.database.reading() as connection:
            ids = list(self._optimizers(connection, study).values())
            return further_metrics(connection, self.database.tables, ids)

    def trial(
        self, study: str, optimizer: str, number: int, metrics: Sequence[str] | None = None
    ) -> tuple["DataFrame", list[tuple[int, float]]]:
        """A trial, as a table of one row, and its learning curve.

        The curve is steps and the metric there, which may be NaN or infinite. `metrics` as for `page`.

        Raises:
            UnknownStudyError: the trial is not stored.
        """
        with self.database.reading() as connection:
            request = self._request(connection, study, optimizer, metrics)
            frame, trial_id = read_one(connection, self.database.tables, request, number)
            if trial_id is None:
                raise UnknownStudyError(f"{study}/{optimizer} has no trial {number}: list its trials")
            return frame, read_curve(connection, self.database.tables, trial_id)

    def values(self, study: str, optimizer: str) -> "DataFrame":
        """All that a landscape needs of an optimizer's trials, as `storage.query.read_values`."""
        tables = self.database.tables
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            metric = str(attribute(connection, tables, study_id, METRIC))
            axes = SearchSpace.from_table(attribute(connection, tables, study_id, SPACE)).names
            return read_values(connection, tables, study_id, axes, metric)

    def versions(self) -> dict[str, Version]:
        """The version of each study. Cheap, however many trials there are."""
        with self.database.reading() as connection:
            return read_versions(connection, self.database.tables)

    def delete(self, study: str) -> None:
        """Delete a study with its trials, failures and tuning runs, in one transaction.

        Raises:
            StoreError: the store was opened for reading.
        """
        studies = self.database.tables["studies"]
        with self.database.writing() as connection:
            lock_all(connection)
            self._optimizers(connection, study)  # raises when there is none
            ids = list(declared_studies(connection, self.database.tables)[study].values())
            # Whoever is storing trials of it finishes first, and finds it gone next time.
            connection.execute(
                select(studies.c.study_id).where(studies.c.study_id.in_(ids)).with_for_update()
            )
            delete_studies(connection, OWN_TABLE, ids)

    def rename(self, study: str, new: str) -> None:
        """Give a study another name; what was kept about running it, under the old one, is dropped.

        Raises:
            StoreError: the name is taken or not allowed, or the store was opened for reading.
        """
        with self.database.writing() as connection:
            lock_all(connection)
            self._optimizers(connection, study)  # raises when there is none
            rename_study(connection, self.database, study, new)

    def launches(self) -> dict[str, dict[str, Any]]:
        """What `set_launch` last kept of each study, for those where it was called."""
        with self.database.reading() as connection:
            return read_launches(connection, self.database.tables)

    def set_launch(self, study: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change entries of what is kept about running a study, and return all of them.

        For who launches studies: which job runs it, with what, whether it was stopped. JSON types.
        """
        with self.database.writing() as connection:
            self._optimizers(connection, study)  # raises when there is none
            first = next(iter(declared_studies(connection, self.database.tables)[study].values()))
            return change_launch(connection, self.database.tables, first, changes)

    def studies(self) -> "DataFrame":
        """One row for each study and optimizer, ordered by both.

        The columns are study, optimizer, metric, trials, diverged and failed (counts), best (the least metric of those
        that did not diverge, NaN where there are none) and last_finished (UTC).
        """
        with self.database.reading() as connection:
            return read_studies(connection, self.database.tables)

    def summary(
        self, study: str, optimizer: str, seeds: int | None = None, after: int = 0, upto: int | None = None
    ) -> Summary:
        """What there is of an optimizer's trials in the cells that the study has now.

        Of seeds below `seeds`, with trial ids in (after, upto].
        """
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            space = SearchSpace.from_table(attribute(connection, self.database.tables, study_id, SPACE))
            grid = space if space.is_grid else None
            return summarize(connection, self.database.tables, study_id, seeds, after, upto, grid)

    def optimizers(self, study: str) -> list[str]:
        """The optimizers that a study's file names, in its order."""
        with self.database.reading() as connection:
            return list(self._optimizers(connection, study))

    def spec(self, study: str) -> dict[str, Any]:
        """The spec that the study was last declared with."""
        return dict(self.about(study).spec)

    def space(self, study: str) -> SearchSpace:
        """The search space of a study."""
        return self.about(study).space

    def metric(self, study: str) -> str:
        """The name of the metric that a study minimizes."""
        return self.about(study).metric

    def provenance(self, study: str, optimizer: str) -> dict[str, Any]:
        """What an optimizer of a study was first launched with: versions, machine, data."""
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer, hidden=True)
            return dict(attribute(connection, self.database.tables, study_id, PROVENANCE)[0])

    def provenances(self, study: str, optimizer: str) -> list[dict[str, Any]]:
        """What each launch of an optimizer ran with, its number as ``launch``, and its ``trials``."""
        own = self.database.tables[OWN_TABLE]
        with self.database.reading() as connection:
            study_id = self._study_id(connection, study, optimizer)
            made = attribute(connection, self.database.tables, study_id, PROVENANCE)
            counted = select(own.c.launch, func.count()).select_from(own_trials(self.database.tables))
            rows = connection.execute(counted.where(own.c.study_id == study_id).group_by(own.c.launch))
            counts: dict[int | None, int] = {row[0]: row[1] for row in rows}
            return [{**each, "trials": counts.get(each["launch"], 0)} for each in made]

    def _optimizers(self, connection: Connection, study: str) -> dict[str, int]:
        """The Optuna study id of each optimizer that a study's file names."""
        declared = shown_studies(connection, self.database.tables)
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
        space = SearchSpace.from_table(attribute(connection, tables, first, SPACE))
        metric = attribute(connection, tables, first, METRIC)
        if metrics is None:
            metrics = further_metrics(connection, tables, list(ids.values()))
        return PageRequest(study, ids, space.names, space.words, space.grids, metric, metrics)

    def _locked(self, connection: Connection, study: str, optimizer: str) -> int:
        """As `locked`; raises StoreError when it was declared with another recipe since this store did."""
        study_id = self.locked(connection, study, optimizer)
        if study in self._declared:
            check_declared(connection, self.database.tables, study_id, self._declared[study][0], optimizer)
        return study_id

    def locked(self, connection: Connection, study: str, optimizer: str) -> int:
        """The Optuna study id of an optimizer, to which nobody else adds anything until the commit."""
        studies = self.database.tables["studies"]
        study_id = self._study_id(connection, study, optimizer, hidden=True)
        row = select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
        if connection.scalar(row) is None:
            raise UnknownStudyError(f"{study}/{optimizer} was deleted meanwhile: run the study again")
        return study_id

    def study_id(self, connection: Connection, study: str, optimizer: str) -> int:
        """The Optuna study id of an optimizer, also of one that the study's file does not name any longer."""
        return self._study_id(connection, study, optimizer, hidden=True)

    def _study_id(self, connection: Connection, study: str, optimizer: str, *, hidden: bool = False) -> int:
        if hidden and "/" not in study:  # asked for every block, however many studies there are
            found = declared_id(connection, self.database.tables, study, optimizer)
            if found is not None:
                return found
        optimizers = self._optimizers(connection, study)
        if hidden:  # another driver may have declared the study without it
            optimizers = declared_studies(connection, self.database.tables)[study]
        if optimizer not in optimizers:
            raise UnknownStudyError(
                f"study {study!r} has no optimizer {optimizer!r}{nearest_name(optimizer, optimizers)}: "
                f"it has {', '.join(optimizers)}"
            )
        return optimizers[optimizer]


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
