"""A surrogate of a landscape of which only scattered trials are known: a Gaussian process over the axes' scales.

Its covariance is Matérn's (nu = 5/2) with a length scale for each axis, and white noise, fitted by maximum likelihood
(scikit-learn). Draws of the landscape, without the noise, are what every interval comes from.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from analysis.cost.seed_effects import two_way
from analysis.errors import AnalysisError
from analysis.observations import FloatArray, Observations
from analysis.trained import UNTRAINED

THREADS = 1
"""Matrices are small: several threads wait for one another, and beside other work for long."""
SURROGATE = "surrogate"
"""Attribute of a landscape that is the mean of one: the `Surrogate`."""
FEWEST_TRIALS = 20
MOST_TRIALS = 2000
"""More are too many for a Gaussian process: it takes time as their number cubed."""
LENGTHS = (0.05, 1.0)
"""Length scales that are possible, in units of an axis: trials on a part of it do not tell what the rest is like."""
MOST_FITTED = 400
"""Trials, drawn at random, by which length scales and noise are fitted; all of them count for the landscape."""
PLACES = 21
"""Values of each axis on which it is drawn."""
INSIDE = 0.025
"""Share of the trials that lie beyond either end of what is drawn of an axis: of what is beyond nothing is said."""
DRAWS = 100
UNCERTAIN = 0.3
"""Standard deviation, as a share of that of all trials, from which on too little is known to draw a place."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted Gaussian process; `process` is scikit-learn's, of standardised values."""

    observations: Observations
    process: Any
    centre: float
    scale: float
    best: FloatArray

    def slice(
        self, first: str, second: str, at: Mapping[str, float] | None = None
    ) -> tuple[xr.DataArray, xr.DataArray]:
        """Its mean ("seed", first, second), NaN where too little is known, and draws of it, the seeds being draws.

        Both axes reach as far as nearly all trials do, see `INSIDE`. Other axes are scalar coordinates: at the value
        that is given, which lies in the axis's range, or else where the mean is best.
        """
        space = self.observations.space
        others = self._held(at or {})
        units = np.tile(space.value_to_unit([list(others.values())])[0], (PLACES * PLACES, 1))
        columns = [space.names.index(name) for name in (first, second)]
        places = np.linspace(*self.ends((first, second)), PLACES).T
        units[:, columns] = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2)
        mean, deviation, drawn = self.draw(units, DRAWS)
        known = np.where(deviation > UNCERTAIN * self.scale, np.nan, mean)
        coordinates: dict[str, Any] = {}
        for name, column, along in zip((first, second), columns, places, strict=True):
            axis = space.axes[column]
            coordinates[name] = (name, axis.unit_to_value(along), {"scale": axis.scale})
        held = {name: value for name, value in others.items() if name not in coordinates}

        def array(values: FloatArray) -> xr.DataArray:
            shaped = values.reshape(-1, PLACES, PLACES)
            return xr.DataArray(
                shaped,
                {"seed": np.arange(len(shaped)), **coordinates, **held},
                ("seed", first, second),
                attrs={"metric": self.observations.metric, SURROGATE: self},
            )

        return array(known), array(drawn)

    def ends(self, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Between which units (len(names),) axes are drawn: nearly all trials are there, see `INSIDE`."""
        columns = [self.observations.space.names.index(name) for name in names]
        low, high = np.quantile(self.observations.units[:, columns], [INSIDE, 1 - INSIDE], axis=0)
        return low, high

    def draw(self, units: FloatArray, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and standard deviation (n,) at places (n, d) of the unit cube, and draws (count, n); without noise."""
        with threadpool_limits(THREADS):
            mean, covariance = self.process.predict(units, return_cov=True)
            covariance = covariance - self.process.kernel_.k2.noise_level * np.eye(len(units))
            sizes, directions = np.linalg.eigh(covariance)
            normal = np.random.default_rng(0).standard_normal((count, len(sizes)))
            drawn = mean + normal @ (directions * np.sqrt(np.maximum(sizes, 0))).T
        deviation = self.scale * np.sqrt(np.maximum(np.diag(covariance), 0))
        return self.centre + self.scale * mean, deviation, self.centre + self.scale * drawn

    @property
    def noise(self) -> float:
        """Standard deviation of a trial about the landscape."""
        return float(self.scale * np.sqrt(self.process.kernel_.k2.noise_level))

    def _held(self, at: Mapping[str, float]) -> dict[str, float]:
        """By axis, the given value or the best one."""
        space = self.observations.space
        return dict(zip(space.names, space.unit_to_value(self.best[None])[0].tolist(), strict=True)) | dict(
            at
        )


def fit_surrogate(observations: Observations, name: str = "") -> Surrogate:
    """Fit a surrogate; what lies far above the median counts as the median plus twice its distance from the best.

    Trials of one point with several seeds are replicates, which tell the noise; see `without_seed_effects`. What was
    stopped early, or pruned, is left out: what it would have become is not known.

    Raises:
        AnalysisError: there are fewer than `FEWEST_TRIALS` trials or more than `MOST_TRIALS`, or one axis only.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    check_surrogate(observations, name)
    observations = observations.only(~observations.stopped)
    count, axes = len(observations), len(observations.space.axes)
    units, values = observations.units, without_seed_effects(observations)
    middle, least = float(np.median(values)), float(values.min())
    values = np.minimum(values, middle + 2 * (middle - least)) if middle > least else values
    centre, scale = float(values.mean()), float(values.std()) or 1.0
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern([0.3] * axes, LENGTHS, nu=2.5) + WhiteKernel(
        0.05, (1e-6, 2.0)
    )
    standard = (values - centre) / scale
    fitted = np.random.default_rng(0).permutation(count)[:MOST_FITTED]
    with threadpool_limits(THREADS), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a length scale at its limit: the axis does not matter
        process = GaussianProcessRegressor(kernel, random_state=0).fit(units[fitted], standard[fitted])
        if count > MOST_FITTED:
            process = GaussianProcessRegressor(process.kernel_, optimizer=None).fit(units, standard)
    return Surrogate(observations, process, centre, scale, _best(process, units))


def without_seed_effects(observations: Observations) -> FloatArray:
    """Values (N,) without what each seed adds to all points alike, where seeds share points.

    Of the better half of the points, if one seed has all of these: far from the best, seeds do something else.
    """
    _, points = np.unique(observations.points, axis=0, return_inverse=True)
    names, seeds = np.unique(observations.seeds, return_inverse=True)
    values = observations.values
    table = np.full((points.max() + 1, len(names)), np.nan)
    table[points, seeds] = values
    means = np.nanmean(table, axis=1)
    better = table[means <= np.median(means)]
    if len(names) < 2 or not (~np.isnan(better)).all(axis=0).any():
        return values
    effects = two_way(better).effects
    return np.asarray(values - np.where(np.isnan(better).all(axis=0), 0.0, effects)[seeds])


def check_surrogate(observations: Observations, name: str = "") -> None:
    """Raise AnalysisError as `fit_surrogate` would."""
    of = f" of {name}" if name else ""
    stopped, axes = int(observations.stopped.sum()), len(observations.space.axes)
    count = len(observations) - stopped
    if not FEWEST_TRIALS <= count <= MOST_TRIALS:
        left = f" ({stopped:,} more were stopped early)" if stopped else ""
        raise AnalysisError(
            f"{count:,} scattered trials{of}{left}: a surrogate needs {FEWEST_TRIALS} and takes {MOST_TRIALS:,} at most"
        )
    if axes < 2:
        raise AnalysisError(f"the scattered trials{of} have one axis: a surrogate is drawn over two or more")


def _best(process: Any, units: FloatArray) -> FloatArray:
    """The place (d,) of the least mean among the trials' own: elsewhere less is known."""
    return np.asarray(units[process.predict(units).argmin()])


def surrogate_landscape(observations: Observations, name: str = "") -> xr.DataArray:
    """The mean of a fitted surrogate over the first two axes, see `Surrogate.slice`."""
    surrogate = fit_surrogate(observations, name)
    first, second = observations.space.names[:2]
    values = surrogate.slice(first, second)[0]
    said = observations.nothing_trained
    return values.assign_attrs({UNTRAINED: said} if said else {})


def surrogate_of(attributes: Mapping[Any, Any]) -> Surrogate | None:
    """The surrogate of which a landscape with these attributes is the mean, if it is one."""
    found = attributes.get(SURROGATE)
    return found if isinstance(found, Surrogate) else None
