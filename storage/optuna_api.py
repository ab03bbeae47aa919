"""What is left to Optuna's own public functions; Optuna is imported when one is called."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, column, table, update

from search_spaces import Axis
from storage.errors import StoreError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

NOT_FINITE = {"NAN": float("nan"), "INF_POS": float("inf"), "INF_NEG": float("-inf")}
"""Kinds of values of learning curves that Optuna writes beside NULL."""
METRIC_NAMES = "study:metric_names"
"""The key under which Optuna keeps the names of a study's metrics."""


def create_tables(url: URL, *, timeout: int) -> None:
    """Create Optuna's tables in an empty database, waiting at most `timeout` seconds for other writers."""
    with opened(url, timeout):
        pass


def create_studies(url: URL, names: Sequence[str], metric: str, *, timeout: int) -> None:
    """Create the Optuna studies that do not exist, each minimizing the metric.

    Raises:
        StoreError: a study of the name exists and does not minimize one metric.
    """
    import optuna

    with opened(url, timeout) as storage, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name in set(names) & set(optuna.get_all_study_names(storage)):
            directions = optuna.load_study(study_name=name, storage=storage).directions
            if [direction.name for direction in directions] != ["MINIMIZE"]:
                raise StoreError(f"the Optuna study {name!r} does not minimize one metric: use another name")
        for name in names:
            study = optuna.create_study(
                storage=storage, study_name=name, direction="minimize", load_if_exists=True
            )
            study.set_metric_names([metric])


def set_metric_name(connection: Connection, study_ids: Sequence[int], metric: str) -> None:
    """Change the name of the metric of Optuna studies that `create_studies` made, within a transaction."""
    attributes = table("study_system_attributes", column("study_id"), column("key"), column("value_json"))
    named = attributes.c.study_id.in_(study_ids) & (attributes.c.key == METRIC_NAMES)
    connection.execute(update(attributes).where(named).values(value_json=json.dumps([metric])))


def curve_value(value: float, kind: str) -> float:
    """A value of a learning curve from its two columns."""
    return NOT_FINITE.get(kind, value)


def distribution_json(axis: Axis) -> str:
    """Optuna's text for the range of an axis."""
    from optuna.distributions import FloatDistribution, distribution_to_json

    return distribution_to_json(FloatDistribution(axis.low, axis.high, log=axis.scale == "log"))


@contextmanager
def opened(url: URL, timeout: int) -> Iterator["RDBStorage"]:
    import optuna

    # Optuna fills {SCHEMA_VERSION} into URLs, so a brace of ours is doubled.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    options = {"connect_args": {"timeout": timeout}} if url.get_backend_name() == "sqlite" else {}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    try:
        storage = optuna.storages.RDBStorage(text, engine_kwargs=options)
        yield storage
    except optuna.exceptions.StorageInternalError as error:
        # Optuna says only that something failed; what it was is the cause.
        raise error.__cause__ or error from None
    finally:
        optuna.logging.set_verbosity(verbosity)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
