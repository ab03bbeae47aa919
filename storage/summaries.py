"""What there is of each study, in numbers: versions, counts and bests, without reading its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, and_, case, func, select

from search_spaces import SearchSpace
from storage.attributes import IDENTITY, METRIC, attribute, declared_studies, shown_studies
from storage.failures import count_failures
from storage.schema import OWN_TABLE, RUNS_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Version:
    """What differs after trials or tuning runs were added to a study, or it was deleted and made anew.

    Attributes:
        identities: of each optimizer, made up when it was declared; ids alone are used again by SQLite.
        last_trials: the largest trial id of each, 0 without trials.
        runs: how many tuning runs there are.
        budget: the sum of their budgets.
    """

    identities: tuple[str, ...]
    last_trials: tuple[int, ...]
    runs: int
    budget: int

    def follows(self, earlier: Version) -> bool:
        """Whether it is the same study later, with further trials at most."""
        return self.identities == earlier.identities and all(
            last >= before for last, before in zip(self.last_trials, earlier.last_trials, strict=True)
        )


@dataclass(frozen=True)
class Summary:
    """Counts of trials and of diverged ones, the others' least metric, and when the last one finished (UTC, naive)."""

    trials: int = 0
    diverged: int = 0
    best: float | None = None
    last_finished: datetime | None = None

    def __add__(self, other: Summary) -> Summary:
        """Of both together."""
        best = [each for each in (self.best, other.best) if each is not None]
        last = [each for each in (self.last_finished, other.last_finished) if each is not None]
        return Summary(
            self.trials + other.trials,
            self.diverged + other.diverged,
            min(best, default=None),
            max(last, default=None),
        )


def read_versions(connection: Connection, tables: Mapping[str, Table]) -> dict[str, Version]:
    """Return the version of each study."""
    trials, runs = tables["trials"], tables[RUNS_TABLE]
    last = select(trials.c.trial_id).order_by(trials.c.trial_id.desc()).limit(1)
    tuned = select(func.count(), func.coalesce(func.sum(runs.c.budget), 0))
    attributes = tables["study_user_attributes"]
    made = select(attributes.c.study_id, attributes.c.value_json).where(attributes.c.key == IDENTITY)
    identities = {row.study_id: row.value_json for row in connection.execute(made)}
    versions = {}
    for study, optimizers in shown_studies(connection, tables).items():
        ids = tuple(optimizers.values())
        lasts = tuple(connection.scalar(last.where(trials.c.study_id == each)) or 0 for each in ids)
        of_study = tuned.where(runs.c.study_id.in_(ids))
        count, budget = connection.execute(of_study).one()
        versions[study] = Version(tuple(identities.get(each, "") for each in ids), lasts, count, int(budget))
    return versions


def summarize(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    seeds: int | None = None,
    after: int = 0,
    upto: int | None = None,
    grid: SearchSpace | None = None,
) -> Summary:
    """Return what there is of an optimizer's trials: of seeds below `seeds`, with trial ids in (after, upto].

    With `grid`, of its cells: a study may once have had others.
    """
    own, trials = tables[OWN_TABLE], tables["trials"]
    values, attributes = tables["trial_values"], tables["trial_user_attributes"]
    source = (
        own_trials(tables)
        .join(values, and_(values.c.trial_id == trials.c.trial_id, values.c.objective == 0))
        .outerjoin(
            attributes, and_(attributes.c.trial_id == trials.c.trial_id, attributes.c.key == "diverged_at")
        )
    )
    summary = select(
        func.count(),
        func.count(attributes.c.trial_id),
        func.min(case((attributes.c.trial_id.is_(None), values.c.value))),
        func.max(trials.c.datetime_complete),
    ).select_from(source)
    here = summary.where(own.c.study_id == study_id, own.c.trial_id > after)
    for axis in grid.axes if grid else ():
        params = tables["trial_params"]
        on_axis = select(params.c.param_id).where(
            params.c.trial_id == own.c.trial_id,
            params.c.param_name == axis.name,
            params.c.param_value.in_(axis.values),
        )
        here = here.where(on_axis.correlate(own).exists())
    if seeds is not None:
        here = here.where(own.c.seed < seeds)
    if upto is not None:
        here = here.where(own.c.trial_id <= upto)
    return Summary(*connection.execute(here).one())


def read_studies(connection: Connection, tables: Mapping[str, Table]) -> DataFrame:
    """Return a row for each study and optimizer, see `Store.studies`."""
    import pandas as pd

    rows = sorted(
        (
            study,
            optimizer,
            attribute(connection, tables, study_id, METRIC),
            *astuple(summarize(connection, tables, study_id)),
            count_failures(connection, tables, [study_id]).trials,
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
        "failed": "int64",
    }
    frame = pd.DataFrame(rows, columns=list(types))
    frame["last_finished"] = pd.to_datetime(frame["last_finished"], utc=True)
    return frame.astype(types)
