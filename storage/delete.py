"""Delete a study whole: Optuna's own way loads every row of it first, which takes minutes for large studies."""

from collections.abc import Sequence

from sqlalchemy import Connection, column, delete, select, table
from sqlalchemy.sql import TableClause

from storage.schema import COUNTS_TABLE, FAILURES_TABLE, LEASES_TABLE, RUNS_TABLE

OF_TRIALS = (
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
    "trial_heartbeats",
)
OF_STUDIES = ("study_directions", "study_user_attributes", "study_system_attributes")


def delete_studies(connection: Connection, own_table: str, study_ids: Sequence[int]) -> None:
    """Delete the Optuna studies of these ids and all that hangs on them, children first."""

    def named(name: str, *columns: str) -> TableClause:
        return table(name, *map(column, columns))

    trials = named("trials", "trial_id", "study_id")
    ids = select(trials.c.trial_id).where(trials.c.study_id.in_(study_ids))
    for name in OF_TRIALS:
        child = named(name, "trial_id")
        connection.execute(delete(child).where(child.c.trial_id.in_(ids)))
    ours = (own_table, RUNS_TABLE, FAILURES_TABLE, COUNTS_TABLE, LEASES_TABLE)
    for name in (*ours, "trials", *OF_STUDIES, "studies"):
        child = named(name, "study_id")
        connection.execute(delete(child).where(child.c.study_id.in_(study_ids)))
