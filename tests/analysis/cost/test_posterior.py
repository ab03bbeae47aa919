"""What seeds say of a landscape that is known, and what runs see of it."""

import numpy as np
import pytest

from analysis.cost.posterior import fit_posterior
from analysis.cost.seen import seen_by_runs
from analysis.errors import AnalysisError

SHAPE = (9, 9)
ROW, COLUMN = np.indices(SHAPE) / 8 - 0.5
BOWL = (0.02 + 0.3 * (ROW**2 + COLUMN**2)).ravel()
NOISE, EFFECT = 0.006, 0.02


def seeds_of(truth: np.ndarray, count: int, source: int) -> np.ndarray:
    rng = np.random.default_rng(source)
    shared = EFFECT * rng.standard_normal(count)
    return truth[:, None] + shared + NOISE * rng.standard_normal((len(truth), count))


def test_one_seed_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(AnalysisError, match="one seed tells nothing of the noise"):
        fit_posterior(BOWL[:, None], SHAPE, 0.01, rng)
    values = seeds_of(BOWL, 2, 0)
    values[5] = np.nan
    with pytest.raises(AnalysisError, match="no seed has all cells"):
        fit_posterior(values, SHAPE, 0.01, rng)


@pytest.mark.slow
def test_draws_hold_the_share_of_cells_within_the_target() -> None:
    """How many cells are within the target of the best is what random search's cost hangs on."""
    truth = int((BOWL.min() + 0.01 >= BOWL).sum())
    held = 0
    for study in range(15):
        rng = np.random.default_rng(study)
        levels = fit_posterior(seeds_of(BOWL, 3, study), SHAPE, 0.01, rng).draw(120, rng).levels
        counts = (levels <= levels.min(axis=1, keepdims=True) + 0.01).sum(axis=1)
        low, high = np.quantile(counts, [0.025, 0.975])
        held += int(low <= truth <= high)
    assert held >= 13


def test_more_seeds_of_some_cells_narrow_those() -> None:
    values = seeds_of(BOWL, 10, 1)
    near = BOWL.min() + 0.02 >= BOWL
    values[~near, 3:] = np.nan
    spread = []
    for given in (values[:, :3], values):
        rng = np.random.default_rng(0)
        levels = fit_posterior(given, SHAPE, 0.01, rng).draw(120, rng).levels[:, near]
        spread.append((levels - levels.mean(axis=1, keepdims=True)).std(axis=0).mean())
    assert spread[1] < 0.75 * spread[0]


def test_exact_metrics_leave_no_doubt() -> None:
    rng = np.random.default_rng(0)
    levels = fit_posterior(np.repeat(BOWL[:, None], 2, axis=1), SHAPE, 0.01, rng).draw(20, rng).levels
    differences = levels - levels.min(axis=1, keepdims=True)
    np.testing.assert_allclose(differences, np.broadcast_to(BOWL - BOWL.min(), levels.shape), atol=2e-4)


@pytest.mark.parametrize(
    ("noise", "between_cells"),
    [("run", NOISE), ("seed", np.hypot(NOISE, EFFECT)), ("mean", NOISE / 20**0.5)],
)
def test_runs_see_the_noise_that_there_is(noise: str, between_cells: float) -> None:
    """One seed a run has no effect of its own between cells, a seed a cell has, and means have little of either."""
    posterior = fit_posterior(seeds_of(BOWL, 20, 3), SHAPE, 0.01, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    draws = posterior.draw(40, rng)
    basin = posterior.candidates[posterior.noise_basin.inside]
    shocks = np.concatenate(
        [
            (seen_by_runs(posterior, draws, place, 20, noise, rng) - draws.levels[place])[:, basin]
            for place in range(40)
        ]
    )
    within = shocks - shocks.mean(axis=1, keepdims=True)
    assert within.std(ddof=1) == pytest.approx(between_cells, rel=0.25)
    far = np.setdiff1d(np.arange(len(BOWL)), posterior.candidates)
    seen = np.concatenate(
        [seen_by_runs(posterior, draws, place, 20, noise, rng)[:, far] for place in range(40)]
    )
    deviations = seen.std(axis=0)
    assert np.median(deviations) == pytest.approx(
        between_cells if noise != "mean" else 0, rel=0.25, abs=1e-12
    )
