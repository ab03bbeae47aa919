"""Trials as observations: a dense grid is a view of them, a surrogate another; as they were after fewer steps."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.landscape import dense, landscape, stopped_early
from analysis.observations import Observations
from analysis.stored import landscape_of
from analysis.surrogate import check_surrogate, surrogate_of
from search_spaces import Axis, SearchSpace
from storage.records import Trials

GRID = SearchSpace.from_table({"alpha": [0.1, 1.0, 10.0], "eps": [1e-8, 1e-4]})
PLANE = SearchSpace([Axis("alpha", low=0.01, high=100.0), Axis("eps", low=1e-8, high=1.0)])
NOW = datetime.now(UTC)


def on_grid(seeds: int = 2) -> Observations:
    cells = np.tile(GRID.cells(), (seeds, 1))
    which = np.repeat(np.arange(seeds), GRID.size)
    return Observations(GRID, cells, which, np.linspace(0.1, 0.9, len(cells)), "error")


def with_curves() -> Observations:
    """Of the 12 trials of a grid: those of seed 0 are measured at steps 10 and 20, those of seed 1 at 5, 15 and 30."""
    batches = []
    for seed, steps in ((0, [10, 20]), (1, [5, 15, 30])):
        cells, values = GRID.cells(), on_grid().values[6 * seed : 6 * seed + 6]
        batches.append(
            Trials(
                hyperparameters=dict(zip(GRID.names, cells.T, strict=True)),
                seed=seed,
                value=values,
                metrics={},
                curve_steps=np.array(steps),
                curve=values[:, None] + 1.0 / np.array(steps),
                diverged_at=np.full(6, -1),
                seconds=np.zeros(6),
                started=NOW,
                finished=NOW,
            )
        )
    return on_grid().with_curves(reversed(batches))


def test_a_grid_is_a_view() -> None:
    seen = on_grid()
    columns = dict(zip(GRID.names, seen.points.T, strict=True))
    frame = pd.DataFrame({"seed": seen.seeds, "error": seen.values, **columns})
    for shown in (
        dense(seen),
        landscape_of(seen),
        landscape(frame.sample(frac=1, random_state=0), GRID, "error"),
    ):
        assert dict(shown.sizes) == {"seed": 2, "alpha": 3, "eps": 2}
        np.testing.assert_array_equal(shown.values.ravel(), seen.values)
    some = dense(seen.only(seen.seeds == 1).only(np.arange(6) != 2))
    assert dict(some.sizes) == {"seed": 1, "alpha": 3, "eps": 2}
    assert np.isnan(some.sel(seed=1, alpha=1.0, eps=1e-8))
    one = seen.only(seen.points[:, 0] < 1).on_occurring()
    assert one.space == SearchSpace([Axis("alpha", [0.1], scale="log"), GRID.axes[1]])
    with pytest.raises(
        AnalysisError, match=r"seed = 1, alpha = 0\.1, eps = 1e-08 occurs more than once \(1 "
    ):
        dense(replace(seen, seeds=np.where(np.arange(12) == 0, 1, seen.seeds)))
    with pytest.raises(AnalysisError, match="there are no trials"):
        dense(seen.only(seen.seeds > 1))


def test_what_they_were_after_fewer_steps() -> None:
    seen = with_curves()
    at_20 = seen.after(20)
    assert len(at_20) == 12
    np.testing.assert_allclose(at_20.values, seen.values + np.repeat([1 / 20, 1 / 15], 6))
    at_7 = seen.after(7)  # the curves of seed 0 begin later
    assert at_7.seeds.tolist() == [1] * 6
    np.testing.assert_allclose(at_7.values, seen.values[6:] + 1 / 5)
    with pytest.raises(AnalysisError, match="after 4 steps: learning curves begin at step 5"):
        seen.after(4)
    with pytest.raises(AnalysisError, match="no trial has a learning curve"):
        on_grid().after(4)


def test_a_trial_that_diverges_later_has_not_yet() -> None:
    seen = with_curves()
    ends = np.full(12, np.nan)
    ends[[6, 7]] = 12, 25  # between measured steps
    curves = [(steps, curve.copy()) for steps, curve in seen.curves]
    curves[6][1][1:] = np.nan
    curves[7][1][2:] = np.inf
    broken = replace(seen, diverged_at=ends, curves=curves, values=np.where(np.isnan(ends), seen.values, 0.9))
    then = broken.after(15)
    assert then.diverged.tolist() == [place == 6 for place in range(12)]
    assert then.values[6] == 0.9
    assert then.values[7] == pytest.approx(seen.values[7] + 1 / 15)
    assert broken.after(30).diverged.sum() == 2
    assert (
        replace(broken, diverged_at=np.zeros(12)).nothing_trained == "nothing trained, all 12 trials diverged"
    )


def test_what_was_stopped_early_counts_in_a_grid_and_not_in_a_surrogate() -> None:
    ends = np.where(np.arange(12) < 3, 20.0, np.nan)
    seen = replace(with_curves(), stopped_at=ends)
    assert stopped_early(dense(seen)).values.tolist() == [[True, True], [True, False], [False, False]]
    assert not seen.after(15).stopped.any()
    rng = np.random.default_rng(0)
    units = rng.uniform(size=(60, 2))
    error = 0.1 + (units[:, 0] - 0.5) ** 2
    pruned = np.where(np.arange(60) % 3 == 0, 5.0, np.nan)
    scattered = Observations(
        PLANE,
        PLANE.unit_to_value(units),
        np.zeros(60, dtype=np.int64),
        np.where(np.isnan(pruned), error, 0.9),
        "error",
        stopped_at=pruned,
    )
    shown = landscape_of(scattered)
    surrogate = surrogate_of(shown.attrs)
    assert surrogate is not None
    assert len(surrogate.observations) == 40
    assert shown.max() < 0.5  # 0.9 is what they were when they were pruned
    few = scattered.only(scattered.stopped | (np.cumsum(~scattered.stopped) <= 10))
    with pytest.raises(AnalysisError, match=r"10 scattered trials of s \(20 more were stopped early\)"):
        check_surrogate(few, "s")
