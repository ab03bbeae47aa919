"""What tuning runs see of a landscape.

With the noise ``"run"``, as a practitioner has it, all trials of a run have one training seed; with ``"seed"`` each
cell has a seed of its own; with ``"mean"`` a run sees means over as many seeds as the study has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.cost.posterior import Draws, LandscapePosterior

FloatArray = NDArray[np.float64]


def seen_by_runs(
    posterior: LandscapePosterior,
    draws: Draws,
    place: int,
    runs: int,
    noise: str,
    rng: np.random.Generator,
) -> FloatArray:
    """Losses (runs, N) that each run sees, if the draw with the number `place` is the truth.

    Of candidates, the draw and modelled noise; of far cells, trained seeds.
    """
    candidates, far = posterior.candidates, posterior.far
    shocks = rng.standard_normal((runs, len(candidates)))
    losses = np.empty((runs, len(posterior.values)))
    if noise == "seed":
        deviations = np.sqrt(posterior.noise**2 + _effect_variance(posterior, rng))
        above = draws.weights[place].cumsum(axis=-1)
        drawn = (rng.random((runs, len(far), 1)) > above).sum(axis=-1)
        drawn = np.minimum(drawn, posterior.seeds - 1)
        losses[:, far] = posterior.values[far][np.arange(len(far)), drawn]
    else:
        basin = posterior.noise_basin
        shocks[:, basin.inside] = shocks[:, basin.inside] @ _alike(posterior).T
        deviations = posterior.noise
        without_effects = posterior.values[far] - posterior.effects
        if noise == "run":
            losses[:, far] = without_effects.T[rng.integers(posterior.seeds, size=runs)]
        else:
            deviations = deviations / np.sqrt(posterior.seeds)
            losses[:, far] = without_effects.mean(axis=1)
    losses[:, candidates] = draws.levels[place, candidates] + deviations * shocks
    return losses


def _alike(posterior: LandscapePosterior) -> FloatArray:
    """A root of the correlation of one seed's noise in the basin's cells."""
    basin = posterior.noise_basin
    _, noise = basin.replicates.covariances(basin.chain[-1])
    deviations = np.sqrt(np.diag(noise))
    variances, vectors = np.linalg.eigh(noise / deviations[:, None] / deviations)
    return np.asarray(vectors * np.sqrt(np.maximum(variances, 0)))


def _effect_variance(posterior: LandscapePosterior, rng: np.random.Generator) -> float:
    """Drawn, for few seeds tell little of it: scaled inverse chi-squared, with a prior of two seeds of the noise."""
    own = float(np.median(posterior.noise_basin.replicates.variances))
    freedom = posterior.seeds - 1
    drawn = (freedom * posterior.effect_variance + 2 * own) / rng.chisquare(freedom + 2)
    return float(min(drawn, 4 * max(posterior.effect_variance, own)))
