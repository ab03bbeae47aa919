"""How far two hyperparameters can be tuned one at a time: transfer regret, coordinate-tuning penalty, ridge.

All on a landscape with two axes, ``("seed", first, second)``; `pair_of` makes one of a landscape with more. Seeds are
the unit of replication: choices are made on the mean of all other seeds and judged on the seed left out, so that noise
is not taken for skill, and intervals are 95% t-intervals over seeds. With one seed there are no intervals (NaN).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from analysis.errors import AnalysisError
from analysis.landscape import axis_names

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95
SMOOTHING = np.array([0.25, 0.5, 0.25])
MARGIN = 2
"""Values that must lie on either side of a row's optimum for it to count: nearer to the edge it is cut off."""
FEWEST_ROWS = 4
GRID_SHARE = 0.25
"""Error of an optimum fitted between grid values, as a share of a uniform error over a grid step (simulated)."""
NEGLIGIBLE = 0.1
"""Slopes up to this size change the best value by a tenth of a decade a decade: not worth tuning together."""
RELATIVE_RESOLUTION = 0.05
"""Scatter of optima, in grid steps, below which a bend is not looked for."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; NaN ends when there is none."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """As JSON types: NaN is null."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def pair_of(landscape: xr.DataArray, first: str, second: str) -> xr.DataArray:
    """The landscape over two of its axes, the others at their best value for each cell (by the mean over seeds).

    Raises:
        AnalysisError: it lacks one of the axes, or they are the same.
    """
    names = axis_names(landscape)
    for name in (first, second):
        if name not in names:
            raise AnalysisError(f"the landscape has no axis {name!r}: it has {', '.join(names)}")
    if first == second:
        raise AnalysisError(f"a pair needs two axes, not {first!r} twice")
    ordered = landscape.transpose("seed", first, second, ...)
    shape = ordered.shape[:3]
    flat = ordered.values.reshape(*shape, -1)
    mean = np.where(np.isnan(flat.mean(axis=0)), np.inf, flat.mean(axis=0))
    best = np.broadcast_to(mean.argmin(axis=-1)[None, ..., None], (*shape, 1))
    values = np.take_along_axis(flat, best, axis=-1)[..., 0]
    coordinates = {"seed": landscape["seed"], first: landscape[first], second: landscape[second]}
    return xr.DataArray(values, coordinates, ("seed", first, second), attrs=landscape.attrs)


def transfer_regret(pair: xr.DataArray) -> xr.DataArray:
    """What the first axis's best value at one value of the second loses at another: ``("tuned_at", "used_at")``.

    Entry (i, j): the metric at (best first value found at i, j) minus that at (best found at j, j), in units of the
    metric, averaged over seeds left out. Zero on the diagonal; NaN where a cell is missing.
    """
    second = axis_names(pair)[1]
    regrets = []
    for chosen, judged in _left_out(pair):
        best = _argmin(chosen, axis=0)
        used = judged[best]  # (tuned at, used at)
        regrets.append(used - np.diagonal(used)[None, :])
    labels = pair[second].values
    return xr.DataArray(
        np.mean(regrets, axis=0),
        {"tuned_at": labels, "used_at": labels},
        ("tuned_at", "used_at"),
        attrs=pair.attrs,
    )


def coordinate_penalty(pair: xr.DataArray) -> Estimate:
    """What tuning one axis after the other loses against tuning both together, in units of the metric.

    From every value of one axis: the best value of the other there, then the best of the first for that. Averaged over
    all starting values, and over both orders, so that it does not depend on the order of the axes.

    Raises:
        AnalysisError: no cell has a trial of every seed.
    """
    penalties = []
    for chosen, judged in _left_out(pair):
        joint = judged[np.unravel_index(_argmin(chosen.ravel(), axis=0), chosen.shape)]
        orders = []
        for choice, judge in ((chosen, judged), (chosen.T, judged.T)):
            first = _argmin(choice, axis=0)  # for every starting value of the second axis
            second = _argmin(choice[first], axis=1)
            orders.append(np.nanmean(judge[first, second]))
        penalties.append(float(np.mean(orders) - joint))
    return _over_seeds(np.array(penalties), pair.sizes["seed"])


@dataclass(frozen=True)
class Regime:
    """A range of the second axis, in its own unit, and the ridge's slope there."""

    start: float
    end: float
    slope: Estimate


@dataclass(frozen=True)
class Ridge:
    """Where the first axis's best value lies, along the second axis.

    Attributes:
        slope: of one straight line through all rows.
        regimes: one, or two when the ridge bends; none when there are too few rows.
        transition: where it bends, in the second axis's own unit, or None.
    """

    slope: Estimate
    regimes: tuple[Regime, ...]
    transition: Estimate | None


def ridge(pair: xr.DataArray) -> Ridge:
    """The slope d log10 best first value / d log10 second value: 0 when decoupled, 1 when both must grow together.

    (Linear axes count as they are.) The best value of a row is the vertex of a parabola through the five values around
    the smoothed minimum; rows where it lies at the edge or nothing trains well are left out. Through the others goes a
    straight line, and a continuous one with one bend; the bend is kept if it fits better by an F test at 1%. Intervals
    cover the scatter about the line or the spread over seeds, whichever is larger, and the grid's resolution; that of
    the transition is where the bend may lie by the F test at 5%, a grid step wider on each side. All is NaN when
    fewer than 4 rows are left.
    """
    first, second = axis_names(pair)
    x, y = (_positions(pair, name) for name in (first, second))
    optima = row_optima(pair.mean("seed", skipna=False).values, x)
    rows = ~np.isnan(optima)
    if rows.sum() < FEWEST_ROWS:
        return Ridge(Estimate(math.nan, math.nan, math.nan), (), None)
    by_seed = [row_optima(values, x) for values in pair.values]
    step = float(np.median(np.diff(x)))
    slope = _slopes(y, optima, by_seed, None, step)[0]
    bend = _bend(y[rows], optima[rows], float(np.median(np.diff(y))))
    ends = pair[second].values[rows]
    if bend is None:
        return Ridge(slope, (Regime(float(ends[0]), float(ends[-1]), slope),), None)
    at, *_ = bend
    before, after = _slopes(y, optima, by_seed, at, step)
    own = [10**place if pair[second].attrs.get("scale") == "log" else place for place in bend]
    regimes = (Regime(float(ends[0]), own[0], before), Regime(own[0], float(ends[-1]), after))
    return Ridge(slope, regimes, Estimate(*own))


def _design(y: FloatArray, bend: float | None) -> FloatArray:
    """Columns whose coefficients are a level and the slope, or the slopes before and after the bend (n, 2 or 3)."""
    ones = np.ones_like(y)
    if bend is None:
        return np.stack([ones, y - y.mean()], axis=1)
    return np.stack([ones, np.minimum(y - bend, 0), np.maximum(y - bend, 0)], axis=1)


def _slopes(
    y: FloatArray, optima: FloatArray, by_seed: list[FloatArray], bend: float | None, step: float
) -> list[Estimate]:
    """The slope, or both, by least squares."""
    rows = ~np.isnan(optima)
    design = _design(y[rows], bend)
    inverse = np.linalg.inv(design.T @ design)
    fit = inverse @ design.T @ optima[rows]
    freedom = max(int(rows.sum()) - design.shape[1], 1)
    variance = float(((optima[rows] - design @ fit) ** 2).sum()) / freedom
    errors = np.sqrt(np.diag(inverse))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    fits = []
    for own in by_seed:
        kept = ~np.isnan(own) & rows
        columns = _design(y[kept], bend) if kept.sum() >= FEWEST_ROWS else np.empty((0, 0))
        if columns.size and np.linalg.matrix_rank(columns) == design.shape[1]:
            fits.append(np.linalg.lstsq(columns, own[kept], rcond=None)[0])
    estimates = []
    for place in range(1, design.shape[1]):
        half = quantile * math.sqrt(variance) * errors[place]
        if len(fits) > 1:
            found = _over_seeds(np.array([each[place] for each in fits]), len(fits))
            half = max(half, (found.high - found.low) / 2)
        half = math.hypot(half, 1.96 * step / math.sqrt(12) * GRID_SHARE * errors[place])
        estimates.append(Estimate(float(fit[place]), float(fit[place] - half), float(fit[place] + half)))
    return estimates


def _bend(y: FloatArray, optima: FloatArray, step: float) -> tuple[float, float, float] | None:
    """Where the line bends, with its interval, or None when a straight one does as well."""
    places = np.linspace(y[0], y[-1], 8 * len(y) + 1)
    places = places[[(y < place).sum() >= FEWEST_ROWS <= (y > place).sum() for place in places]]
    freedom = len(y) - 4
    if not len(places) or freedom < 1:
        return None

    def residual(place: float | None) -> float:
        design = _design(y, place)
        return float(((optima - design @ np.linalg.lstsq(design, optima, rcond=None)[0]) ** 2).sum())

    floor = len(y) * (step * RELATIVE_RESOLUTION) ** 2  # what rounding to the grid may leave
    bent = np.array([residual(place) for place in places]) + floor
    best = float(bent.min())
    if (residual(None) + floor - best) / 2 / (best / freedom) < stats.f.ppf(0.99, 2, freedom):
        return None
    possible = places[bent <= best * (1 + stats.f.ppf(CONFIDENCE, 1, freedom) / freedom)]
    at = float(places[int(bent.argmin())])
    return at, float(possible.min() - step), float(possible.max() + step)


def row_optima(mean: FloatArray, x: FloatArray) -> FloatArray:
    """Best position on the first axis for each value of the second (B,), from values (A, B) at positions x (A,).

    NaN where the optimum lies within `MARGIN` values of the edge, where the row's best is in the worse half between
    the landscape's best and worst, or where a value is missing.
    """
    count, rows = mean.shape
    optima = np.full(rows, np.nan)
    known = mean[~np.isnan(mean)]
    if known.size == 0 or count < 2 * MARGIN + 1:
        return optima
    middle = (known.min() + known.max()) / 2
    for row in range(rows):
        values = mean[:, row]
        if np.isnan(values).any() or known.min() == known.max():
            continue
        smooth = np.convolve(np.pad(values, 1, mode="edge"), SMOOTHING, "valid")
        at = int(np.argmin(smooth))
        if not MARGIN <= at < count - MARGIN or values[at] > middle:
            continue
        window = slice(at - MARGIN, at + MARGIN + 1)
        curvature, tilt, _ = np.polyfit(x[window] - x[at], smooth[window], 2)
        step = -tilt / (2 * curvature) if curvature > 0 else 0.0
        optima[row] = np.clip(x[at] + step, x[at - 1], x[at + 1])
    return optima


def _positions(pair: xr.DataArray, axis: str) -> FloatArray:
    values = pair[axis].values.astype(np.float64)
    return np.log10(values) if pair[axis].attrs.get("scale") == "log" else values


def _left_out(pair: xr.DataArray) -> list[tuple[FloatArray, FloatArray]]:
    """For every seed: the mean of the others (A, B), to choose by, and its own values, to judge by."""
    values = pair.values
    if np.isnan(values.mean(axis=0)).all():
        raise AnalysisError("no cell has a trial of every seed: run the study to its end")
    if len(values) == 1:
        return [(values[0], values[0])]
    return [(np.delete(values, seed, axis=0).mean(axis=0), values[seed]) for seed in range(len(values))]


def _argmin(values: FloatArray, axis: int) -> NDArray[np.int64]:
    """Place of the least value, missing ones last."""
    return np.asarray(np.where(np.isnan(values), np.inf, values).argmin(axis=axis))


def _over_seeds(values: FloatArray, seeds: int) -> Estimate:
    mean = float(values.mean())
    if seeds < 2:
        return Estimate(mean, math.nan, math.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Estimate(mean, float(mean - half), float(mean + half))


@dataclass(frozen=True)
class Verdict:
    """Whether two axes can be tuned one at a time.

    Attributes:
        axes: the pair; slopes are of the first against the second.
        verdict: ``"coupled"`` if the ridge has a slope in any regime (its interval is beyond `NEGLIGIBLE`),
            ``"decoupled"`` if it has none in all of them (intervals within it), else ``"undecided"``.
        sentence: the verdict in words, with the numbers.
    """

    optimizer: str
    axes: tuple[str, str]
    verdict: str
    sentence: str
    ridge: Ridge
    penalty: Estimate

    def to_json(self) -> dict[str, Any]:
        """As JSON types: null for NaN, and for what is not computed."""
        bend = self.ridge.transition
        return {
            "optimizer": self.optimizer,
            "axes": list(self.axes),
            "verdict": self.verdict,
            "sentence": self.sentence,
            "slope": self.ridge.slope.to_json(),
            "regimes": [
                {"from": regime.start, "to": regime.end, "slope": regime.slope.to_json()}
                for regime in self.ridge.regimes
            ],
            "transition": bend.to_json() if bend else None,
            "penalty": self.penalty.to_json(),
            "interaction": None,
            "advice": None,
        }


def judge(optimizer: str, landscape: xr.DataArray) -> list[Verdict]:
    """The verdict on every pair of a landscape's axes that have several values, in their order.

    Raises AnalysisError when there are fewer than two such axes, or no cell has a trial of every seed.
    """
    names = [name for name in axis_names(landscape) if landscape.sizes[name] > 1]
    if len(names) < 2:
        raise AnalysisError(f"the landscape of {optimizer!r} has fewer than two axes with several values")
    verdicts = []
    for first, second in itertools.combinations(names, 2):
        pair = pair_of(landscape, first, second)
        penalty, found = coordinate_penalty(pair), ridge(pair)
        kinds = [_kind(regime.slope) for regime in found.regimes]
        verdict = "undecided"
        if "coupled" in kinds:
            verdict = "coupled"
        elif kinds and all(kind == "decoupled" for kind in kinds):
            verdict = "decoupled"
        sentence = f"{optimizer}: {_in_words(found, kinds, second)}"
        verdicts.append(Verdict(optimizer, (first, second), verdict, sentence, found, penalty))
    return verdicts


def _kind(slope: Estimate) -> str:
    if slope.low > NEGLIGIBLE or slope.high < -NEGLIGIBLE:
        return "coupled"
    return "decoupled" if slope.low >= -NEGLIGIBLE and slope.high <= NEGLIGIBLE else "undecided"


def _in_words(found: Ridge, kinds: list[str], second: str) -> str:
    if not kinds:
        return "undecided, for too few rows have their optimum inside the grid"

    def slope(regime: Regime) -> str:
        each = regime.slope
        return f"(slope {each.estimate:.2f} [{each.low:.2f}, {each.high:.2f}])"

    if found.transition is None:
        return f"{kinds[0]} {slope(found.regimes[0])}"
    at = found.transition
    return (
        f"{kinds[0]} below {second} = {at.estimate:.2g} [{at.low:.2g}, {at.high:.2g}] {slope(found.regimes[0])}, "
        f"{kinds[1]} above {slope(found.regimes[1])}"
    )
