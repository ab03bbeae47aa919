"""The tables: Optuna's, of the one schema that is known, and ours beside them."""

from collections.abc import Mapping

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    column,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.sql import FromClause

from storage.errors import MissingDatabaseError, StoreError

# The schema that Optuna 3.2 to 5.0 write, as Alembic names it; inserting into another could corrupt it.
OPTUNA_SCHEMA = "v3.2.0.a"
OPTUNA_TABLES = (
    "studies",
    "study_user_attributes",
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
)
OWN_TABLE = "tunability_trials"
RUNS_TABLE = "tunability_runs"
FAILURES_TABLE = "tunability_failures"
COUNTS_TABLE = "tunability_counts"
LEASES_TABLE = "tunability_leases"
LAUNCH_COLUMN = "launch"
VERSION_TABLE = "tunability_schema"
OWN_TABLES = (OWN_TABLE, RUNS_TABLE, FAILURES_TABLE, COUNTS_TABLE, LEASES_TABLE, VERSION_TABLE)
VERSION = 5
"""Of our own tables and attributes; see `storage.migrations`."""
# Any fixed number will do, as long as every process that creates tables or declares studies takes the same.
LOCK_OF_ALL = 5_701_846_322


def check_schema(connection: Connection, name: str) -> None:
    """Raise StoreError, with the database's name, unless it has Optuna's tables in the schema we know."""
    present = set(inspect(connection).get_table_names())
    missing = [wanted for wanted in (*OPTUNA_TABLES, "alembic_version") if wanted not in present]
    if missing:
        found = f"it has the tables {', '.join(sorted(present)[:5])}" if present else "it has no tables"
        kind = StoreError if present else MissingDatabaseError
        raise kind(
            f"{name} is not an Optuna database: {found}, but not {missing[0]}; "
            "give another database, or a new one"
        )
    version = ", ".join(
        connection.scalars(select(column("version_num")).select_from(table("alembic_version")))
    )
    if version != OPTUNA_SCHEMA:
        raise StoreError(
            f"{name} has Optuna's schema {version or 'of no version'}, and only {OPTUNA_SCHEMA} is known: "
            "bring an older one up to date with `optuna storage upgrade`, or give another database"
        )


def reflect_tables(connection: Connection) -> Mapping[str, Table]:
    """Optuna's tables as the database has them and our own as it should be, by name."""
    metadata = MetaData()
    metadata.reflect(connection, only=OPTUNA_TABLES)
    # The key makes a trial be stored once. Optuna leaves SQLite's foreign keys off, so there the rows of a
    # deleted study stay behind: see own_trials.
    Table(
        OWN_TABLE,
        metadata,
        _study_id(),
        Column("cell", Text, primary_key=True),
        Column("seed", BigInteger, primary_key=True, autoincrement=False),
        Column("trial_id", Integer, nullable=False),
        Column(
            LAUNCH_COLUMN, Integer
        ),  # of the study's provenance; none of what somebody else's copy brought
        Index("ix_tunability_trials_order", "study_id", "trial_id"),  # pages are read in the order of trials
    )
    Table(
        RUNS_TABLE,
        metadata,
        _study_id(),
        Column("tuner", Text, primary_key=True),
        Column("replicate", Integer, primary_key=True, autoincrement=False),
        Column("noise", Text, primary_key=True),
        Column("repeats", Text, primary_key=True),
        Column("seeds", Integer, primary_key=True, autoincrement=False),
        Column("space", Text, primary_key=True),
        Column("budget", Integer, nullable=False),
        Column("points", LargeBinary, nullable=False),
    )
    Table(
        FAILURES_TABLE,
        metadata,
        _study_id(),
        Column("seed", BigInteger, primary_key=True, autoincrement=False),
        Column("cell", Text, primary_key=True),
        Column("reason", Text, nullable=False),
        Column("lines", Text, nullable=False),
        Column("failed_at", DateTime, nullable=False),  # UTC
        Column(LAUNCH_COLUMN, Integer),
        Index(
            "ix_tunability_failures_failed_at", "study_id", "failed_at"
        ),  # counts and the last of each study
    )
    Table(
        COUNTS_TABLE,  # what storage.counts says
        metadata,
        _study_id(),
        Column("trials", Integer, nullable=False),
        Column("diverged", Integer, nullable=False),
        Column("best", Double),
        Column("last_finished", DateTime),  # UTC
        Column("last_trial", Integer, nullable=False),
        Column("metrics", Text, nullable=False),
    )
    Table(
        LEASES_TABLE,  # what storage.leases says
        metadata,
        _study_id(),
        Column("seed", BigInteger, primary_key=True, autoincrement=False),
        Column("cell", Text, primary_key=True),
        Column("holder", Text, nullable=False, index=True),
        Column("expires", Double, nullable=False),  # seconds of the database's clock
    )
    Table(VERSION_TABLE, metadata, Column("version", Integer, primary_key=True, autoincrement=False))
    return metadata.tables


def _study_id() -> Column[int]:
    """The part of a table's key that says whose rows they are."""
    studies = ForeignKey("studies.study_id", ondelete="CASCADE")
    return Column("study_id", Integer, studies, primary_key=True, autoincrement=False)


def own_trials(tables: Mapping[str, Table]) -> FromClause:
    """Join our rows to their trials.

    A row counts only while Optuna has its trial in the same study: Optuna may delete a study, and SQLite
    then gives the ids of its trials to others.
    """
    own, trials = tables[OWN_TABLE], tables["trials"]
    return own.join(trials, and_(trials.c.trial_id == own.c.trial_id, trials.c.study_id == own.c.study_id))


def lock_all(connection: Connection) -> None:
    """Wait for others that create tables or declare studies; hold them off until the transaction ends."""
    # A writer to SQLite is alone anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_OF_ALL)))
