"""Learning curves as a table."""

from typing import TYPE_CHECKING

import numpy as np

from storage.records import Trials
from storage.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame


def learning_curves(store: Store, study: str, chosen: "DataFrame") -> "DataFrame":
    """The learning curves of trials, a row a point.

    `chosen` are rows of `Store.trials` of that study. Columns: optimizer, number (of the trial), seed, the axes, step
    (from 1) and the metric after it. Ordered by optimizer, number and step.
    """
    import pandas as pd

    space, metric = store.space(study), store.metric(study)
    keys = ["optimizer", "seed", *space.names]
    parts = [
        points
        for name in chosen["optimizer"].unique()
        for batch in store.read(study, name)
        if len(points := points_of(batch, name, space.names, metric))
    ]
    columns = ["optimizer", "number", *keys[1:], "step", metric]
    if not parts:
        return chosen[["optimizer", "number", *keys[1:]]].head(0).assign(step=[], **{metric: []})
    points = pd.concat(parts).merge(chosen[["number", *keys]], on=keys)
    return points[columns].sort_values([*columns[:2], "step"], ignore_index=True)


def points_of(batch: Trials, optimizer: str, axes: tuple[str, ...], metric: str) -> "DataFrame":
    """The points of a batch's curves."""
    import pandas as pd

    lanes, points = batch.curve.shape
    return pd.DataFrame(
        {
            "optimizer": optimizer,
            "seed": batch.seed,
            **{name: np.repeat(batch.hyperparameters[name], points) for name in axes},
            "step": np.tile(batch.curve_steps, lanes),
            metric: batch.curve.ravel(),
        }
    )
