"""How often separability's intervals hold the truth, how wide they are, and how long a verdict takes.

`python benchmarks/separability.py [--simulations 1000]` simulates landscapes of 21 x 21 cells whose truth is known,
with normal seed noise, and prints tables: coverage of the slope beside the smallest width that an unbiased estimate
could have; the two regimes and the transition, also where few rows lie beyond it; how often each verdict is given;
coverage of the interaction share and of the penalty; whether as many seeds as asked for decide; slopes where hopeless
trials are stopped early; and the time of all statistics together.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "known"))

import known_landscapes as known

from analysis.interaction import interaction_share, sobol_indices
from analysis.penalty import coordinate_penalty
from analysis.power import seeds_to_decide
from analysis.ridge import COUPLED, DECOUPLED, UNDECIDED, Ridge, ridge
from analysis.separability import judge

CONSOLE = Console(width=120)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)


def slopes(count: int, seeds: int) -> None:
    rows = []
    for slope in (0.0, 0.25, 0.5, 1.0, -1.0):
        for noise in known.NOISE:
            rng = np.random.default_rng(1)
            held, bends, widths, smallest = 0, 0, [], []
            for _ in range(count):
                offset = rng.uniform(-1, 1)
                found = ridge(known.landscape(known.valley(slope, offset), noise, seeds, rng))
                held += found.slope.low <= slope <= found.slope.high
                bends += found.transition is not None
                widths.append(found.slope.high - found.slope.low)
                smallest.append(known.smallest_width(slope, offset, noise, seeds))
            rows.append(
                (
                    f"{slope:g}",
                    f"{noise:g}",
                    f"{held / count:.1%}",
                    f"{np.median(widths):.4f}",
                    f"{np.median(smallest):.4f}",
                    f"{bends / count:.1%}",
                )
            )
    header = ("slope", "noise", "interval holds it", "median width", "smallest", "false bends")
    show(f"ridge slope, {seeds} seeds, {count} simulations", header, rows)


def regimes(count: int, seeds: int) -> None:
    rows = []
    for bend in (-1.5, 0.2):
        for noise in known.NOISE:
            rng, marks = np.random.default_rng(2), np.zeros(5)
            for _ in range(count):
                found = ridge(known.landscape(known.two_regimes(bend), noise, seeds, rng))
                if found.transition is None:
                    continue
                before, after = (regime.slope for regime in found.regimes)
                marks += [
                    1,
                    abs(np.log10(found.transition.estimate) - bend) <= 0.5,
                    found.transition.low <= 10**bend <= found.transition.high,
                    before.low <= 0 <= before.high,
                    after.low <= 1 <= after.high,
                ]
            rows.append((f"{10**bend:.3g}", f"{noise:g}", *(f"{mark / count:.1%}" for mark in marks)))
    header = (
        "transition",
        "noise",
        "found",
        "within a grid step",
        "interval holds it",
        "slope 0 held",
        "slope 1 held",
    )
    show(f"two regimes, {seeds} seeds, {count} simulations", header, rows)


def short_branches(count: int, seeds: int) -> None:
    """A ridge that turns near the end of the grid, so that few rows lie beyond."""
    rows = []
    for beyond in range(1, 7):
        bend = known.DECADES[-1] - 0.5 * beyond + 0.2
        for noise in known.NOISE:
            rng, marks = np.random.default_rng(5), np.zeros(4)
            for _ in range(count):
                found = ridge(known.landscape(known.two_regimes(bend), noise, seeds, rng))
                slopes = [regime.slope for regime in found.regimes]
                held = [each.low <= true <= each.high for each, true in zip(slopes, (0, 1), strict=False)]
                marks += [len(slopes) == 1, len(slopes) == 2, bool(found.turning.any()), all(held)]
            rows.append((str(beyond), f"{noise:g}", *(f"{mark / count:.1%}" for mark in marks)))
    header = ("rows beyond", "noise", "one slope", "two slopes", "rows left out", "all slopes held")
    show(f"slope 0, then 1 in the last rows, {seeds} seeds, {count} simulations", header, rows)


SURFACES = {
    "separable valley": known.valley(0.0, 0.3, 0.01),
    "separable quadratic": known.separable_quadratic(),
    "Rastrigin (separable)": known.rastrigin(),
    "cliff (separable)": known.cliff(),
    "widening cliff (slope 0)": known.cliff(widening=0.1),
    "constant": known.flat(),
    "mostly diverged, slope 0": known.mostly_diverged(0.0),
    "slope 0.25": known.valley(0.25, 0.3, 0.01),
    "slope 1": known.valley(1.0, 0.3, 0.01),
    "two regimes": known.two_regimes(-1.5),
    "Rosenbrock": known.rosenbrock(),
    "mostly diverged, slope 1": known.mostly_diverged(1.0),
}


def verdicts(count: int, seeds: int) -> None:
    rows = []
    for name, surface in SURFACES.items():
        for noise in known.NOISE:
            rng = np.random.default_rng(3)
            given = Counter(ridge(known.landscape(surface, noise, seeds, rng)).verdict for _ in range(count))
            shares = (f"{given[kind] / count:.1%}" for kind in ("coupled", "decoupled", "undecided"))
            rows.append((name, f"{noise:g}", *shares))
    header = ("landscape", "noise", "coupled", "decoupled", "undecided")
    show(f"verdicts, {seeds} seeds, {count} simulations", header, rows)


def shares(count: int, seeds: int) -> None:
    """Against the noiseless value; the penalty, which depends on the noise, against its mean over simulations."""
    rows = []
    for name in ("separable valley", "slope 0.25", "slope 1"):
        surface = SURFACES[name]
        exact = known.landscape(surface)
        truth = [interaction_share(exact).estimate, sobol_indices(exact)["alpha", "eps"].estimate]
        for noise in known.NOISE:
            rng, found = np.random.default_rng(4), []
            for _ in range(count):
                made = known.landscape(surface, noise, seeds, rng)
                each = interaction_share(made), sobol_indices(made)["alpha", "eps"], coordinate_penalty(made)
                found.append([(one.estimate, one.low, one.high) for one in each])
            values = np.array(found)
            true = np.array([*truth, values[:, 2, 0].mean()])
            held = ((values[:, :, 1] <= true) & (true <= values[:, :, 2])).mean(axis=0)
            cells = [f"{value:.3f}: {share:.1%}" for value, share in zip(true, held, strict=True)]
            rows.append((name, f"{noise:g}", *cells))
    header = ("landscape", "noise", "interaction", "Sobol' index", "penalty")
    show(f"how often intervals hold the true share, {seeds} seeds, {count} simulations", header, rows)


def power(count: int) -> None:
    rows = []
    for slope in (0.05, 0.15):
        surface, rng = known.valley(slope, 0.3, 0.02), np.random.default_rng(5)
        asked, decided, tries = [], 0, 0
        for _ in range(count):
            found = ridge(known.landscape(surface, 0.35, 3, rng))
            needed = seeds_to_decide(found)
            if found.verdict != UNDECIDED or needed is None or needed > 100:
                continue
            asked.append(needed)
            tries += 1
            decided += ridge(known.landscape(surface, 0.35, needed, rng)).verdict != UNDECIDED
        median = f"{np.median(asked):g}" if asked else "-"
        rows.append((f"{slope:g}", str(tries), median, f"{decided / max(tries, 1):.1%}"))
    header = ("slope", "undecided with 3 seeds", "median seeds asked for", "decided with as many")
    show(f"seeds to decide, noise 0.35, {count} simulations", header, rows)


CURVE_STEPS, FIRST_TRIALS, WARM_UP = 20, 5, 3


def stop_by_median(made: xr.DataArray, rng: np.random.Generator) -> tuple[xr.DataArray, float]:
    """A landscape as it is when trials worse than the median of those that ended are stopped; the share that was."""
    steps = np.arange(1, CURVE_STEPS + 1)
    to_learn = 0.3 * np.exp(rng.normal(0, 0.5, made.shape[1:]))  # by cell, at the first step
    curves = made.values[..., None] + to_learn[..., None] * np.exp(-3 * steps / CURVE_STEPS)
    curves += rng.normal(0, 0.002, curves.shape)
    found, ended, stopped = made.copy(deep=True), list[NDArray[np.float64]](), 0
    for place in np.ndindex(made.shape):
        curve = curves[place]
        if len(ended) >= FIRST_TRIALS:
            worse = np.minimum.accumulate(curve) > np.median(ended, axis=0)
            hopeless = np.flatnonzero(worse & (steps >= WARM_UP))
            if len(hopeless):
                found.values[place] = curve[hopeless[0]]
                stopped += 1
                continue
        ended.append(curve)
    return found, stopped / made.size


def early_stopping(count: int, seeds: int) -> None:
    """Stopped trials count as what they were then: what that does to slopes."""
    rows = []
    for slope in (0.0, 0.5, 1.0):
        for noise in known.NOISE[1:]:
            rng, held, widths, without, shares = np.random.default_rng(6), 0, [], [], []
            for _ in range(count):
                whole = known.landscape(known.valley(slope, rng.uniform(-1, 1)), noise, seeds, rng)
                made, share = stop_by_median(whole, rng)
                found = ridge(made).slope
                held += found.low <= slope <= found.high
                widths.append(found.high - found.low)
                shares.append(share)
                trained = ridge(whole).slope
                without.append(trained.high - trained.low)
            cells = f"{np.mean(shares):.0%}", f"{held / count:.1%}"
            rows.append(
                (
                    f"{slope:g}",
                    f"{noise:g}",
                    *cells,
                    *(f"{np.median(each):.4f}" for each in (widths, without)),
                )
            )
    header = ("slope", "noise", "trials stopped", "interval holds it", "median width", "without stopping")
    show(f"slopes where trials are stopped early, {seeds} seeds, {count} simulations", header, rows)


DATA = Path(__file__).parent / "data"


def measured(workload: str) -> dict[str, xr.DataArray]:
    """Landscapes of 60 seeds by optimizer: metrics are kept as numbers of errors among `images`."""
    with np.load(DATA / f"{workload}.npz") as kept:
        axes = {name: (name, kept[name], {"scale": "log"}) for name in ("alpha", "eps")}
        shape = tuple(len(values) for _, values, _ in axes.values())
        return {
            optimizer: xr.DataArray(
                (kept[optimizer] / float(kept["images"])).T.reshape(-1, *shape),
                {"seed": range(kept[optimizer].shape[1]), **axes},
                ("seed", *axes),
                attrs={"metric": "error"},
            )
            for optimizer in ("adam", "avagrad")
        }


def kinds_along(found: Ridge, eps: NDArray[np.float64]) -> NDArray[np.str_]:
    """The verdict at each value of eps; none where there is no ridge, and where the transition may lie."""
    kinds = np.full(len(eps), "", dtype="<U9")
    for regime, kind in zip(found.regimes, found.kinds, strict=True):
        kinds[(eps >= regime.start) & (eps <= regime.end)] = kind
    if found.transition:
        kinds[(eps >= found.transition.low) & (eps <= found.transition.high)] = ""
    return kinds


def survival(workload: str) -> None:
    rows = []
    for optimizer, landscape in measured(workload).items():
        truth = ridge(landscape).slope.estimate
        for seeds in (2, 3, 5, 10):
            studies = [
                ridge(landscape.isel(seed=slice(start, start + seeds)))
                for start in range(0, landscape.sizes["seed"] - seeds + 1, seeds)
            ]
            along = np.array([kinds_along(found, landscape["eps"].values) for found in studies])
            both = ((along == COUPLED).any(axis=0) & (along == DECOUPLED).any(axis=0)).sum()
            given = Counter(", ".join(found.kinds) for found in studies)
            held = np.mean([found.slope.low <= truth <= found.slope.high for found in studies])
            width = np.median([found.slope.high - found.slope.low for found in studies])
            rows.append(
                (
                    optimizer,
                    str(seeds),
                    "; ".join(f"{count} {kinds}" for kinds, count in given.most_common()),
                    f"{held:.0%}",
                    f"{width:.2f}",
                    str(both),
                )
            )
    header = (
        "optimizer",
        "seeds",
        "verdicts, below and above a transition",
        "holds it",
        "width",
        "contradictions",
    )
    show(f"{workload}, disjoint studies; slope of the straight line through all rows", header, rows)


def speed() -> None:
    rows = []
    for name in ("separable valley", "two regimes", "slope 1"):
        made, seconds = known.landscape(SURFACES[name], 0.01), []
        for _ in range(5):
            started = time.perf_counter()
            judge("x", made)
            seconds.append(time.perf_counter() - started)
        rows.append((name, f"{np.median(seconds):.2f}"))
    show("seconds for all statistics, 441 cells x 5 seeds", ("landscape", "seconds"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--measured", action="store_true")
    given = parser.parse_args()
    if given.measured:
        for workload in ("digits-mlp", "digits-cnn-bn"):
            survival(workload)
        return
    count = given.simulations
    speed()
    for seeds in (3, 5):
        slopes(count, seeds)
        regimes(count, seeds)
        short_branches(count, seeds)
        verdicts(count, seeds)
        shares(max(count // 5, 1), seeds)
    power(max(count // 5, 1))
    early_stopping(max(count // 10, 1), 3)


if __name__ == "__main__":
    main()
