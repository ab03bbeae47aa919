"""How often the intervals of costs cover the truth, and how often comparisons name the wrong optimizer.

Measured landscapes (`benchmarks/data`): each has 60 seeds, whose mean is taken as the truth, and a seed drawn from them
is what a run sees. Disjoint studies of S seeds each are cut from them, `--shuffles` times over.
Synthetic landscapes have a known surface and normal noise, a part of it common to all cells of a seed.

For each tuner and kind of noise: the true cost; the coverage of the 95% interval and its typical ends; coverage and
ends of the naive interval, of 100 runs on the study's own seeds, judged by their means; the estimate over the truth;
how often bands of suboptimality hold the true median after 5, 10, 20 and 50 trials. Then comparisons of two optimizers
by the same tuner: decided, and wrong.

With `--best`, how far the best cell's mean, and its value on unseen seeds, are from that cell's truth.
With `--sensitivity`, how often intervals of sensitivity hold the truth, in at most `--studies` studies of a landscape:
widths; what each value of an axis loses with the other at its best; what the default costs and how many must be tuned,
of the optimizer's own default and of cells all over the grid. Of synthetic landscapes also sensitivity over three.
With `--sequential`, verdicts of studies of 3 seeds to which seeds are added until they are decided, at most 24: of two
optimizers, and of each against itself.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.cost.band import median_band
from analysis.cost.best import held_out_best
from analysis.cost.compare import EQUAL_WITHIN, Comparison, compare_costs
from analysis.cost.drawn import GridDraws
from analysis.cost.interval import Cost, cost_of
from analysis.cost.posterior import fit_posterior
from analysis.cost.replays import DRAWS, Asked, replay_draws, trials_to
from analysis.cost.sequential import confidence_at, look_of, open_cells
from analysis.estimate import Estimate
from analysis.replay import Search
from analysis.sensitivity.draws import LandscapeDraws
from analysis.sensitivity.stored import WITHIN, profile_of, tuned_of, width_of
from analysis.sensitivity.workloads import over_workloads
from analysis.suboptimality import TrialsToTarget, incumbent_suboptimality
from analysis.tuning_runs import NOISES, seeds_seen, seen_losses
from search_spaces import Axis, SearchSpace
from study.shown.console import show_table

FloatArray = NDArray[np.float64]

DATA = Path(__file__).parent / "data"
MEASURED = ("digits-mlp", "digits-cnn-bn")
SYNTHETIC_NOISE = (0.002, 0.009, 0.03)
SHARED_NOISE = 0.008
"""Of a seed, common to all cells of a synthetic landscape, as measured on digits-mlp."""
TRUE_RUNS, NAIVE_RUNS = 1000, 100
BAND_TRIALS = (5, 10, 20, 50)


@dataclass(frozen=True)
class Truth:
    """A landscape that is known: expected metric of N cells, and seeds (N, S) drawn for studies and for runs.

    At most `most` studies are cut from them at once.
    """

    name: str
    space: SearchSpace
    levels: FloatArray
    seeds: FloatArray
    most: int = 1000

    def studies(self, seeds: int, shuffles: int) -> Iterator[FloatArray]:
        """Disjoint studies (N, seeds), `shuffles` times over."""
        for shuffle in range(shuffles):
            order = np.random.default_rng(shuffle).permutation(self.seeds.shape[1])
            for start in range(0, len(order) - seeds + 1, seeds)[: self.most]:
                yield self.seeds[:, order[start : start + seeds]]


def measured(workload: str) -> list[Truth]:
    """Of two optimizers: metrics are kept as numbers of errors among `images`."""
    with np.load(DATA / f"{workload}.npz") as kept:
        space = SearchSpace(Axis(name, kept[name].tolist()) for name in ("alpha", "eps"))
        made = []
        for optimizer in ("adam", "avagrad"):
            seeds = kept[optimizer] / float(kept["images"])
            made.append(Truth(f"{workload}/{optimizer}", space, seeds.mean(axis=1), seeds))
        return made


def synthetic(noise: float, studies: int, seeds: int) -> list[Truth]:
    """Surfaces from 0.02 up: a bowl, a ridge, exact ties, a single peak, and a rough one."""
    decades = tuple(10.0 ** np.arange(-5, 5.5, 0.5))
    space = SearchSpace([Axis("alpha", decades), Axis("eps", decades)])
    row, column = (index / 20 - 0.5 for index in np.indices(space.shape))
    rough = np.random.default_rng(0).normal(0, 0.01, space.shape)
    surfaces = {
        "bowl": 0.5 * (row**2 + column**2),
        "ridge": np.tanh(8 * (row - column) ** 2) + 0.02 * (row + column) ** 2,
        "ties": np.where(np.hypot(row, column) < 0.2, 0.0, 0.05 + np.hypot(row, column)),
        "peak": 0.06 * np.tanh(20 * np.hypot(row - 0.2, column + 0.1)),
        "rough": 0.3 * (row**2 + column**2) + np.abs(rough),
    }
    made = []
    for name, surface in surfaces.items():
        source = np.random.default_rng(1)
        levels = (0.02 + surface).ravel()
        count = max(studies * seeds, 200)
        shocks = noise * source.standard_normal((space.size, count))
        shared = SHARED_NOISE * source.standard_normal(count)
        losses = levels[:, None] + shocks + shared
        made.append(Truth(f"{name}, noise {noise:g}", space, levels, losses, studies))
    return made


@dataclass(frozen=True)
class TrueCost:
    """The median of trials to target as `TRUE_RUNS` runs have it: its interval's ends; and of suboptimality, (T,)."""

    low: float
    high: float
    curve: FloatArray

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def true_cost(truth: Truth, tuner: str, noise: str, budget: int, target: float) -> TrueCost:
    source = np.random.default_rng(2)
    curves = []
    for run in range(TRUE_RUNS):
        count = truth.seeds.shape[1]
        drawn = source.integers(count, size=truth.space.size if noise == "seed" else 1)
        losses = truth.seeds[np.arange(truth.space.size), np.broadcast_to(drawn, truth.space.size)]
        search = Search(truth.space, tuner, 10**6 + run, budget, noise, "free", count)
        search.advance(losses)
        curves.append(incumbent_suboptimality(search.cells, losses, truth.levels, budget))
    low, high = TrialsToTarget.of(np.array(curves), target).median_interval()
    return TrueCost(low, high, np.median(curves, axis=0))


def naive_interval(
    values: FloatArray, space: SearchSpace, tuner: str, noise: str, budget: int, target: float
) -> tuple[float, float]:
    """Of runs on the study's own seeds, judged by their means."""
    curves = []
    for run in range(NAIVE_RUNS):
        losses = seen_losses(values, seeds_seen(noise, len(values), run, values.shape[1]))
        search = Search(space, tuner, run, budget, noise, "free", values.shape[1])
        search.advance(losses)
        curves.append(incumbent_suboptimality(search.cells, losses, values.mean(axis=1), budget))
    return TrialsToTarget.of(np.array(curves), target).median_interval()


@dataclass(frozen=True)
class Options:
    tuners: tuple[str, ...]
    noises: tuple[str, ...]
    budget: int
    target: float
    seeds: int
    shuffles: int
    draws: int


Costs = dict[tuple[str, str], list[Cost]]
"""Of each tuner and noise, the costs that the studies give."""
Truths = dict[tuple[str, str], TrueCost]


def measure(truth: Truth, options: Options) -> tuple[Costs, Truths]:
    """Print the coverage on one landscape; return what every study found, and the truth."""
    cases = list(itertools.product(options.tuners, options.noises))
    truths = {
        (tuner, noise): true_cost(truth, tuner, noise, options.budget, options.target)
        for tuner, noise in cases
    }
    costs: Costs = {case: [] for case in cases}
    naive: dict[tuple[str, str], list[tuple[float, float]]] = {case: [] for case in cases}
    bands: dict[tuple[str, str], list[bool]] = {case: [] for case in cases}
    started = time.perf_counter()
    for place, values in enumerate(truth.studies(options.seeds, options.shuffles)):
        rng = np.random.default_rng(place)
        posterior = fit_posterior(values, truth.space.shape, options.target, rng)
        draws = posterior.draw(options.draws, rng)
        for tuner, noise in cases:
            asked = Asked(truth.space, tuner, options.budget, noise, "free")
            curves = replay_draws(GridDraws(posterior, draws), asked, place)
            costs[tuner, noise].append(cost_of(trials_to(curves, options.target), options.budget))
            bands[tuner, noise] += band_covers(curves, truths[tuner, noise].curve)
            naive[tuner, noise].append(
                naive_interval(values, truth.space, tuner, noise, options.budget, options.target)
            )
    seconds = time.perf_counter() - started
    rows = []
    for case in cases:
        low, high, middle = truths[case].low, truths[case].high, truths[case].middle
        intervals = [cost.interval() for cost in costs[case]]
        rows.append(
            (
                *case,
                f"{middle:g}",
                share(a <= high and low <= b for a, b in intervals),
                ends(intervals),
                share(a <= high and low <= b for a, b in naive[case]),
                ends(naive[case]),
                f"{np.median([cost.median for cost in costs[case]]) / middle:.2f}"
                if np.isfinite(middle)
                else "-",
                f"{np.mean(bands[case]):.0%}",
            )
        )
    count = len(costs[cases[0]])
    print(
        f"\n{truth.name}, target {options.target:g}: {count} studies of {options.seeds} seeds, "
        f"{seconds / count:.1f} s each",
        flush=True,
    )
    header = (
        "tuner",
        "noise",
        "truth",
        "covered",
        "typical",
        "naive covered",
        "naive typical",
        "bias",
        "bands",
    )
    show_table(header, rows)
    return costs, truths


def band_covers(curves: FloatArray, truth: FloatArray) -> list[bool]:
    """Whether the band holds the true median at some trials."""
    chosen = [trial - 1 for trial in BAND_TRIALS if trial <= len(truth)]
    band = median_band(curves[:, :, chosen])
    low, high = band["low"].to_numpy(), band["high"].to_numpy()
    return [bool(held) for held in (low <= truth[chosen] + 1e-9) & (truth[chosen] - 1e-9 <= high)]


def share(marks: Iterator[bool]) -> str:
    listed = list(marks)
    return f"{sum(listed)} of {len(listed)}"


def ends(intervals: Sequence[tuple[float, float]]) -> str:
    """Median ends."""
    low, high = np.median(np.array(intervals), axis=0)
    return f"[{low:g}, {high:g}]"


def comparisons(names: Sequence[str], costs: Sequence[Costs], truths: Sequence[Truths], seeds: int) -> None:
    """Print how often two optimizers' costs are told apart."""
    rows = []
    for case in costs[0]:
        verdicts = [compare_costs(*pair).verdict for pair in zip(costs[0][case], costs[1][case], strict=True)]
        # the extremes that the true ratio can have
        one, other = truths[0][case], truths[1][case]
        least, most = one.low / other.high, one.high / other.low
        wrong = {"cheaper": least >= 1, "dearer": most <= 1, "undecided": False}
        wrong["equal"] = most < 1 / EQUAL_WITHIN or least > EQUAL_WITHIN
        rows.append(
            (
                *case,
                f"{least:.2f} to {most:.2f}",
                *(str(verdicts.count(each)) for each in ("cheaper", "dearer", "equal")),
                str(sum(wrong[verdict] for verdict in verdicts)),
                str(len(verdicts)),
            )
        )
    print(f"\n{names[0]} against {names[1]}, {seeds} seeds", flush=True)
    show_table(
        ("tuner", "noise", "true ratio", "cheaper", "dearer", "equal", "of these wrong", "studies"), rows
    )


SEQUENTIAL_START, SEQUENTIAL_LOOKS = 3, 4
"""Seeds of a study at first, and most looks: 24 seeds, so that one optimizer can be held against itself."""


def sequential(pair: Sequence[Truth], options: Options, studies: int) -> None:
    """Print verdicts of looking until it is decided."""
    rows = []
    for first, second in (pair, (pair[0], pair[0]), (pair[1], pair[1])):
        for tuner, noise in itertools.product(options.tuners, options.noises):
            asked = Asked(first.space, tuner, options.budget, noise, "free")
            true = [true_cost(each, tuner, noise, options.budget, options.target) for each in (first, second)]
            found = [look_until_decided((first, second), asked, options, study) for study in range(studies)]
            verdicts = [comparison.verdict for comparison, _ in found]
            least, most = true[0].low / true[1].high, true[0].high / true[1].low
            held = [each.low <= most and least <= each.high for each, _ in found]
            wrong = [
                not covers and each.verdict != "undecided"
                for covers, (each, _) in zip(held, found, strict=True)
            ]
            rows.append(
                (
                    f"{first.name} / {second.name}",
                    tuner,
                    noise,
                    f"{least:.2f} to {most:.2f}",
                    *(str(verdicts.count(each)) for each in ("cheaper", "dearer", "equal", "undecided")),
                    str(sum(wrong)),
                    share(iter(held)),
                    f"{np.median([trials for _, trials in found]):g}",
                )
            )
            print(*rows[-1], sep=" | ", flush=True)
    print(f"\n{studies} studies of {SEQUENTIAL_START} seeds, looked at up to {SEQUENTIAL_LOOKS} times")
    show_table(
        (
            "landscapes", "tuner", "noise", "true ratio", "cheaper", "dearer", "equal", "undecided", "wrong",
            "interval holds it", "trials added",
        ),
        rows,
    )  # fmt: skip


def look_until_decided(
    pair: tuple[Truth, Truth], asked: Asked, options: Options, study: int
) -> tuple[Comparison, int]:
    """The last comparison of a study, and how many trials were added for it."""
    most = SEQUENTIAL_START * 2 ** (SEQUENTIAL_LOOKS - 1)
    order = np.random.default_rng(study).permutation(pair[0].seeds.shape[1])
    # against itself: other seeds
    pools = [each.seeds[:, order[place * most : (place + 1) * most]] for place, each in enumerate(pair)]
    tables = [np.where(np.arange(most) < SEQUENTIAL_START, pool, np.nan) for pool in pools]
    added, look = 0, 1
    while True:
        costs, opens = [], []
        for place, table in enumerate(tables):
            given = table[:, ~np.isnan(table).all(axis=0)]
            rng = np.random.default_rng([study, look, place])
            posterior = fit_posterior(given, asked.space.shape, options.target, rng)
            draws = posterior.draw(options.draws, rng)
            curves = replay_draws(GridDraws(posterior, draws), asked, study)
            costs.append(cost_of(trials_to(curves, options.target), options.budget))
            opens.append(open_cells(draws.levels, options.target))
        found = compare_costs(costs[0], costs[1], confidence_at(look))
        if found.verdict != "undecided" or look == SEQUENTIAL_LOOKS:
            return found, added
        for table, pool, cells in zip(tables, pools, opens, strict=True):
            present = int((~np.isnan(table[cells])).all(axis=0).sum())
            fresh = np.isnan(table[cells, : 2 * present])
            added += int(fresh.sum())
            table[cells, : 2 * present] = pool[cells, : 2 * present]
        look = max(look_of(table, SEQUENTIAL_START) for table in tables)


def best(truths: Sequence[Truth], seeds: int, shuffles: int) -> None:
    """Print the bias of the best cell's value, with its standard error over studies."""
    rows = []
    for truth in truths:
        errors = []
        for values in truth.studies(seeds, shuffles):
            cell = values.mean(axis=1).argmin()
            held_out = held_out_best(grid(truth.space, values))
            errors.append(np.array([values[cell].mean(), held_out]) - truth.levels[cell])
        bias, error = np.mean(errors, axis=0), np.std(errors, axis=0) / len(errors) ** 0.5
        rows.append(
            (truth.name, *(f"{b:+.4f} ± {e:.4f}" for b, e in zip(bias, error, strict=True)), str(len(errors)))
        )
    print(f"\nbias of the best cell's value, {seeds} seeds", flush=True)
    show_table(("landscape", "mean that chose it", "on unseen seeds", "studies"), rows)


@dataclass(frozen=True)
class Known:
    """A landscape (*shape) that is known, in the place of draws of one."""

    levels: FloatArray
    targets: tuple[float, ...] = WITHIN

    @property
    def means(self) -> FloatArray:
        return self.levels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.levels.shape

    def at(self, _: float) -> FloatArray:
        return self.levels[None]

    about = at

    def is_near(self, _: float) -> bool:
        return True

    @property
    def lowest(self) -> FloatArray:
        return np.array([self.levels.min()])

    @property
    def alone(self) -> tuple[FloatArray, FloatArray]:
        return self.levels[None], self.levels[None]


DEFAULTS = {"adam": (1e-3, 1e-8), "avagrad": (0.1, 0.1)}
PLACES = tuple(itertools.product((0.15, 0.4, 0.65, 0.9), (0.1, 0.5, 0.9)))
"""Of further cells that stand for a default, as shares of both axes."""
Found = dict[str, list[tuple[Estimate, Estimate]]]
"""By statistic, truths (no interval) and estimates."""


def sensitivity(truths: Sequence[Truth], seeds: int, studies: int, shuffles: int) -> None:
    """Print the coverage of sensitivities' intervals."""
    every: Found = {}
    for truth in truths:
        found: Found = {}
        known = Known(truth.levels.reshape(truth.space.shape))
        started = time.perf_counter()
        some = list(itertools.islice(truth.studies(seeds, shuffles), studies))
        for values in some:
            compare_sensitivity(found, truth, known, LandscapeDraws(values, truth.space.shape, WITHIN))
        seconds = (time.perf_counter() - started) / len(some)
        print(f"\n{truth.name}: {len(some)} studies of {seeds} seeds, {seconds:.1f} s each", flush=True)
        show_held(found)
        for name, each in found.items():
            every.setdefault(name, []).extend(each)
    print(f"\nall of these landscapes, {seeds} seeds", flush=True)
    show_held(every)


def compare_sensitivity(found: Found, truth: Truth, known: Known, draws: LandscapeDraws) -> None:
    """Add the truths and estimates of a study."""
    own = DEFAULTS.get(truth.name.partition("/")[2])
    cells = [
        tuple(int(share * count) for share, count in zip(place, truth.space.shape, strict=True))
        for place in PLACES
    ]
    if own:
        places = zip(truth.space.axes, own, strict=True)
        cells.insert(
            0, tuple(int(np.abs(np.log(axis.values) - np.log(value)).argmin()) for axis, value in places)
        )

    def add(name: str, true: Estimate, estimate: Estimate) -> None:
        found.setdefault(name, []).append((true, estimate))

    for place, axis in enumerate(truth.space.axes):
        for within in WITHIN:
            true, wide = (width_of(each, place, axis, within) for each in (known, draws))  # type: ignore[arg-type]
            add(f"width of {axis.name} within {within:g}", true.tuned, wide.tuned)
            add(f"width of {axis.name} within {within:g}, held", true.held, wide.held)
        profiles = [profile_of(each, place) for each in (known, draws)]  # type: ignore[arg-type]
        for true, lost in zip(*(each.T for each in profiles), strict=True):
            size = "up to 0.02" if true[0] <= max(WITHIN) else "more"
            add(f"lost at a value of {axis.name}, {size}", Estimate(*true), Estimate(*lost))
    for place, cell in enumerate(cells):
        (true_cost, true_tuned), (cost, tuned) = (
            tuned_of(each, cell, truth.space.names)  # type: ignore[arg-type]
            for each in (known, draws)
        )
        whose = "the default" if own and place == 0 else "another cell"
        add(f"{whose} costs", true_cost, cost)
        add(f"must be tuned from {whose}", true_tuned.needed, tuned.needed)


def show_held(found: Found) -> None:
    rows = []
    for name, pairs in found.items():
        held = [each.low - 1e-9 <= true.estimate <= each.high + 1e-9 for true, each in pairs]
        truths, estimates, lows, highs = (
            np.median(each)
            for each in zip(*((true.estimate, e.estimate, e.low, e.high) for true, e in pairs), strict=True)
        )
        share = f"{np.mean(held):.0%} of {len(held):,}"
        rows.append((name, share, f"{truths:.3g}", f"{estimates:.3g} [{lows:.3g}, {highs:.3g}]"))
    show_table(("statistic", "holds the truth", "median truth", "typical"), rows)


def workloads(truths: Sequence[Truth], seeds: int, studies: int) -> None:
    """Print the coverage of sensitivity over workloads, which several landscapes on one grid stand for."""
    space = truths[0].space
    known = {each.name: {"x": Known(each.levels.reshape(space.shape))} for each in truths}
    true = over_workloads("x", known, space)  # type: ignore[arg-type]
    found: Found = {}
    for several in itertools.islice(zip(*(each.studies(seeds, 1) for each in truths), strict=False), studies):
        drawn = {
            each.name: {"x": LandscapeDraws(values, space.shape, WITHIN)}
            for each, values in zip(truths, several, strict=True)
        }
        estimate = over_workloads("x", drawn, space)
        for name in ("sensitivity", "tuned", "shared", "needed"):
            found.setdefault(name, []).append((getattr(true, name), getattr(estimate, name)))
    print(f"\nover {', '.join(each.name for each in truths)}, {seeds} seeds", flush=True)
    show_held(found)


def grid(space: SearchSpace, values: FloatArray) -> xr.DataArray:
    """Values (N, S) as a landscape."""
    coordinates = {axis.name: (axis.name, list(axis.values), {"scale": axis.scale}) for axis in space.axes}
    return xr.DataArray(
        values.T.reshape(values.shape[1], *space.shape),
        {"seed": range(values.shape[1]), **coordinates},
        ("seed", *space.names),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--landscapes", nargs="+", default=["digits-mlp"], help="digits-mlp, digits-cnn-bn, synthetic"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3, 5, 10])
    parser.add_argument("--tuners", nargs="+", default=["random", "gld", "cgld"])
    parser.add_argument("--noises", nargs="+", default=["run", "seed"], choices=NOISES)
    parser.add_argument("--targets", nargs="+", type=float, default=[0.01])
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--shuffles", type=int, default=1, help="times that the seeds are cut into studies")
    parser.add_argument("--sequential", action="store_true", help="only verdicts of looking until decided")
    parser.add_argument("--best", action="store_true", help="only the bias of the best cell's value")
    parser.add_argument("--sensitivity", action="store_true", help="only intervals of sensitivity")
    parser.add_argument("--studies", type=int, default=24, help="of synthetic landscapes, and --sequential")
    given = parser.parse_args()
    for seeds, target in itertools.product(given.seeds, given.targets):
        options = Options(
            tuple(given.tuners), tuple(given.noises), given.budget, target, seeds, given.shuffles, given.draws
        )
        for landscape in given.landscapes:
            if landscape == "synthetic":
                for noise in SYNTHETIC_NOISE:
                    if given.sensitivity:
                        made = synthetic(noise, given.studies, seeds)
                        sensitivity(made, seeds, given.studies, 1)
                        for several in ((0, 1, 2), (0, 1, 3)):
                            workloads([made[place] for place in several], seeds, given.studies)
                        continue
                    for truth in synthetic(noise, given.studies, seeds):
                        measure(truth, options)
                continue
            pair = measured(landscape)
            if given.sensitivity:
                sensitivity(pair, seeds, given.studies, given.shuffles)
                continue
            if given.sequential:
                sequential(pair, options, given.studies)
                continue
            if given.best:
                best(pair, seeds, given.shuffles)
                continue
            found = [measure(truth, options) for truth in pair]
            comparisons(
                [truth.name for truth in pair],
                [costs for costs, _ in found],
                [truths for _, truths in found],
                seeds,
            )


if __name__ == "__main__":
    main()
