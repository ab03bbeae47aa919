"""What there is of each study, in numbers: versions, counts and bests, without reading its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, Table, and_, case, func, select

from search_spaces import SearchSpace
from storage.attributes import IDENTITY, METRIC, OPTIMIZERS, SPEC, any_declared
from storage.failures import failures_by_study
from storage.schema import COUNTS_TABLE, OWN_TABLE, RUNS_TABLE, own_trials

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Version:
    """What differs after trials or tuning runs were added to a study, or it was deleted and made anew.

    Attributes:
        identities: of each optimizer, made up when it was declared; ids alone are used again by SQLite.
        last_trials: the largest id of a trial of ours of each, 0 without trials.
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
    """The version of each study, from one statement, in the order of their declaration."""
    if not any_declared(connection, tables):
        return {}
    names = ("studies", "study_user_attributes", RUNS_TABLE, COUNTS_TABLE)
    rows = connection.execute(_versions_of(*(tables[name] for name in names))).all()
    found: dict[str, dict[str, tuple[str, int, int, int]]] = {}
    named: dict[str, str] = {}
    for name, made, optimizers, last, count, budget in rows:
        study, _, optimizer = name.partition("/")
        found.setdefault(study, {})[optimizer] = (made or "", last, count, int(budget))
        named.setdefault(study, optimizers)  # that of the first, as `shown_studies` has it
    versions = {}
    for study, optimizers in named.items():
        shown = [found[study][each] for each in _optimizers_in(optimizers) if each in found[study]]
        made, last, counts, budgets = zip(*shown, strict=True) if shown else ((),) * 4
        versions[study] = Version(made, last, sum(counts), sum(budgets))
    return versions


@lru_cache(maxsize=1_000)
def _optimizers_in(text: str) -> tuple[str, ...]:
    """The names in the JSON of a list: most studies have the same."""
    return tuple(json.loads(text))


@lru_cache(maxsize=8)
def _versions_of(studies: Table, attributes: Table, runs: Table, counts: Table) -> Select[Any]:
    """The statement of `read_versions`, which is asked every second: making it takes longer than answering it."""
    spec, identity, listed = (attributes.alias() for _ in range(3))
    here = runs.c.study_id == studies.c.study_id
    return (
        select(
            studies.c.study_name,
            identity.c.value_json,
            listed.c.value_json,
            func.coalesce(counts.c.last_trial, 0),
            select(func.count()).where(here).correlate(studies).scalar_subquery(),
            select(func.coalesce(func.sum(runs.c.budget), 0))
            .where(here)
            .correlate(studies)
            .scalar_subquery(),
        )
        .select_from(studies)
        .join(spec, and_(spec.c.study_id == studies.c.study_id, spec.c.key == SPEC))
        .join(listed, and_(listed.c.study_id == studies.c.study_id, listed.c.key == OPTIMIZERS))
        .outerjoin(identity, and_(identity.c.study_id == studies.c.study_id, identity.c.key == IDENTITY))
        .outerjoin(counts, counts.c.study_id == studies.c.study_id)
        .order_by(studies.c.study_id)
    )


def summarize(
    connection: Connection,
    tables: Mapping[str, Table],
    study_id: int,
    seeds: int | None = None,
    after: int = 0,
    upto: int | None = None,
    grid: SearchSpace | None = None,
) -> Summary:
    """What there is of an optimizer's trials: of seeds below `seeds`, with trial ids in (after, upto].

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
    """A row for each study and optimizer, see `Store.studies`."""
    import pandas as pd

    studies, attributes, counts = tables["studies"], tables["study_user_attributes"], tables[COUNTS_TABLE]
    spec, metric = attributes.alias(), attributes.alias()
    ours = any_declared(connection, tables)
    query = (
        select(studies.c.study_id, studies.c.study_name, metric.c.value_json, counts)
        .select_from(studies)
        .join(spec, and_(spec.c.study_id == studies.c.study_id, spec.c.key == SPEC))
        .join(metric, and_(metric.c.study_id == studies.c.study_id, metric.c.key == METRIC))
        .outerjoin(counts, counts.c.study_id == studies.c.study_id)
    )
    found = connection.execute(query).all() if ours else []
    failed = failures_by_study(connection, tables) if ours else {}
    rows = sorted(
        (
            *(each.study_name.partition("/")[::2]),
            json.loads(each.value_json),
            each.trials or 0,
            each.diverged or 0,
            each.best,
            each.last_finished,
            failed[each[0]].trials if each[0] in failed else 0,
        )
        for each in found
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
