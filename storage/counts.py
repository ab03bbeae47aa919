"""What there is of each optimizer's trials, kept as they are inserted: counting a million of them takes seconds.

A row for each Optuna study of ours that has trials, changed in the transaction of its trials, whose caller holds the
study's lock.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, and_, case, delete, func, insert, select, update

from storage.records import OWN_COLUMNS
from storage.schema import COUNTS_TABLE, OWN_TABLE, own_trials


@dataclass(frozen=True)
class Counts:
    """Of one optimizer.

    Attributes:
        trials, diverged: how many there are, and how many of these diverged.
        best: the least metric of the others; None without any.
        last_finished: when the last one finished (UTC, naive).
        last_trial: the largest of their trial ids, 0 without any.
        metrics: the names of the further metrics that any of them has, in order.
    """

    trials: int = 0
    diverged: int = 0
    best: float | None = None
    last_finished: datetime | None = None
    last_trial: int = 0
    metrics: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        """Of both together, which have no trial in common."""
        best = [each.best for each in (self, other) if each.best is not None]
        last = [each.last_finished for each in (self, other) if each.last_finished is not None]
        return Counts(
            self.trials + other.trials,
            self.diverged + other.diverged,
            min(best, default=None),
            max(last, default=None),
            max(self.last_trial, other.last_trial),
            tuple(sorted({*self.metrics, *other.metrics})),
        )


def read_counts(connection: Connection, tables: Mapping[str, Table], study_id: int) -> Counts:
    """What is kept of an optimizer."""
    table = tables[COUNTS_TABLE]
    row = connection.execute(select(table).where(table.c.study_id == study_id)).first()
    if row is None:
        return Counts()
    metrics = tuple(json.loads(row.metrics))
    return Counts(row.trials, row.diverged, row.best, row.last_finished, row.last_trial, metrics)


def write_counts(connection: Connection, tables: Mapping[str, Table], study_id: int, counts: Counts) -> None:
    """Keep it, in the place of what was kept before."""
    table = tables[COUNTS_TABLE]
    values = {
        "trials": counts.trials,
        "diverged": counts.diverged,
        "best": counts.best,
        "last_finished": counts.last_finished,
        "last_trial": counts.last_trial,
        "metrics": json.dumps(counts.metrics),
    }
    changed = connection.execute(update(table).where(table.c.study_id == study_id).values(**values))
    if not changed.rowcount:
        connection.execute(insert(table).values(study_id=study_id, **values))


def count_trials(connection: Connection, tables: Mapping[str, Table], study_id: int) -> Counts:
    """What is to be kept of an optimizer, by looking at every trial."""
    own, trials = tables[OWN_TABLE], tables["trials"]
    values, attributes = tables["trial_values"], tables["trial_user_attributes"]
    diverged = attributes.alias()
    source = (
        own_trials(tables)
        .join(values, and_(values.c.trial_id == trials.c.trial_id, values.c.objective == 0))
        .outerjoin(diverged, and_(diverged.c.trial_id == trials.c.trial_id, diverged.c.key == "diverged_at"))
    )
    row = connection.execute(
        select(
            func.count(),
            func.count(diverged.c.trial_id),
            func.min(case((diverged.c.trial_id.is_(None), values.c.value))),
            func.max(trials.c.datetime_complete),
            func.coalesce(func.max(own.c.trial_id), 0),
        )
        .select_from(source)
        .where(own.c.study_id == study_id)
    ).one()
    keys = (
        select(attributes.c.key)
        .distinct()
        .select_from(own_trials(tables).join(attributes, attributes.c.trial_id == own.c.trial_id))
        .where(own.c.study_id == study_id)
    )
    metrics = tuple(sorted(set(connection.scalars(keys)) - set(OWN_COLUMNS)))
    return Counts(row[0], row[1], row[2], row[3], row[4], metrics)


def forget_counts(connection: Connection, tables: Mapping[str, Table], study_ids: Collection[int]) -> None:
    """Delete our rows of studies that are gone, or are others by now: counts and trials."""
    for name in (COUNTS_TABLE, OWN_TABLE):
        table = tables[name]
        connection.execute(delete(table).where(table.c.study_id.in_(study_ids)))
