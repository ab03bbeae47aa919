"""How often the intervals of a surrogate's ridge hold the truth, from scattered trials of landscapes that are known.

`python benchmarks/scattered.py [--simulations 200] [--first-seed 10000] [--trials 100 200 400]
[--noise 0.002 0.01 0.05] [--landscapes NAME...] [--tpe]` prints, for every landscape: how many simulations have a
ridge, how often its 95% intervals hold the true slopes, and also lie where these are (see `holds`), how wide they are,
the verdicts, and the importance of both axes by Optuna's own evaluators (PED-ANOVA, fANOVA), which know of no
interaction. Points are random, or with `--tpe` asked for by Optuna's TPE; of several numbers of trials, each simulation
takes the first ones of the largest. The method's constants were compared on seeds below 10,000; docs/own-results.md
says which of them were looked for because of what the default seeds had shown.

With `--cost` it prints instead how often the interval of a tuner's cost on draws of the surrogate holds the median of
runs on the true landscape, over the same grid and with the same noise.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from rich.console import Console
from rich.table import Table

from analysis.cost.drawn import SurrogateDraws, draw_surrogate
from analysis.cost.interval import cost_of
from analysis.cost.replays import DRAWS, Asked, replay_draws, trials_to
from analysis.line import FEWEST_ROWS
from analysis.observations import Observations
from analysis.ridge import Ridge, ridge_of_draws
from analysis.surrogate import fit_surrogate
from search_spaces import Axis, SearchSpace

Array = NDArray[np.float64]
TARGET, BUDGET, TUNERS = 0.05, 100, ("random", "cgld")
"""Of tuning runs whose cost is looked at."""
COST_SURFACES = ("slope 0", "slope 1", "two regimes", "Rosenbrock")
IMPORTANCES = 5
"""Simulations of which importance is shown."""
ROW = 0.5
"""Distance of the surrogate's rows, in decades, at most."""
SPACE = SearchSpace([Axis("alpha", low=1e-5, high=1e5), Axis("eps", low=1e-5, high=1e5)])


def valley(distance: Array) -> Array:
    return 0.02 + 0.9 * np.tanh(0.15 * distance**2)


def along(slope: float) -> Callable[[Array, Array], Array]:
    return lambda a, e: valley(a - 0.3 - slope * e)


def rosenbrock(a: Array, e: Array) -> Array:
    a, e = a / 5, e / 5
    return 0.02 + 0.9 * np.tanh(0.05 * (1 - e) ** 2 + 10 * (0.8 * a - 0.8 * e**2 + 0.3) ** 2)


BEND = -1.5
"""Where two regimes meet, in decades."""
# Each with its true slopes by regime; None where the ridge is a curve that no line is.
SURFACES: dict[str, tuple[Callable[[Array, Array], Array], tuple[float, ...] | None]] = {
    "flat": (lambda a, _e: np.full_like(a, 0.5), None),
    "slope 0": (along(0.0), (0.0,)),
    "slope 0.5": (along(0.5), (0.5,)),
    "slope 1": (along(1.0), (1.0,)),
    "slope -0.7": (along(-0.7), (-0.7,)),
    "two regimes": (lambda a, e: valley(a + 2 - np.maximum(e - BEND, 0)), (0.0, 1.0)),
    "Rosenbrock": (rosenbrock, None),
}


def sample(
    surface: Callable[[Array, Array], Array], count: int, noise: float, seed: int, tpe: bool
) -> tuple[Array, Array, optuna.Study]:
    """Points (N, 2) in decades, values (N,), and the Optuna study that they make."""
    rng = np.random.default_rng([seed, count])
    sampler = optuna.samplers.TPESampler(seed=seed) if tpe else None
    study = optuna.create_study(sampler=sampler)
    ranges: dict[str, BaseDistribution] = {
        name: FloatDistribution(1e-5, 1e5, log=True) for name in SPACE.names
    }

    def measured(points: Array) -> Array:
        shocks = rng.normal(0, noise, len(points))
        return np.clip(surface(points[:, 0], points[:, 1]) + shocks, 0, 1)

    if not tpe:
        points = rng.uniform(-5, 5, (count, 2))
        values = measured(points)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(zip(SPACE.names, 10**point, strict=True)), distributions=ranges, value=value
                )
                for point, value in zip(points, values.tolist(), strict=True)
            ]
        )
        return points, values, study
    for _ in range(count):
        trial = study.ask(ranges)
        study.tell(trial, float(measured(np.log10([list(trial.params.values())]))[0]))
    trials = study.get_trials(deepcopy=False)
    return (
        np.log10([[trial.params[name] for name in SPACE.names] for trial in trials]),
        np.array([trial.value for trial in trials], dtype=float),
        study,
    )


def observed(points: Array, values: Array) -> Observations:
    return Observations(SPACE, 10**points, np.zeros(len(values), dtype=np.int64), values, "error")


def ridge_of(points: Array, values: Array) -> Ridge:
    return ridge_of_draws(fit_surrogate(observed(points, values)).slice("alpha", "eps")[1])


def holds(found: Ridge, truth: tuple[float, ...]) -> tuple[bool, bool] | None:
    """Whether each regime's interval holds its true slope, and whether it lies where that is; None without a ridge.

    A single regime has the slope of the side of a true bend on which most of it lies. It lies there if it reaches over
    the bend by no more than `ROW`. Where it reaches over by as many rows as could have a slope of their own, that one
    would have to be held, too: then it holds none.
    """
    if not found.regimes:
        return None
    slopes, there = truth * 2 if len(truth) == 1 else truth, True
    if len(found.regimes) == 1 and len(truth) > 1:
        (regime,) = found.regimes
        before, after = BEND - np.log10(regime.start), np.log10(regime.end) - BEND
        if min(before, after) > ROW * (FEWEST_ROWS - 1):
            return False, False
        there = min(before, after) <= ROW
        slopes = truth[:1] if before > after else truth[1:]
    pairs = zip(found.regimes, slopes, strict=False)
    held = all(regime.slope.low <= true <= regime.slope.high for regime, true in pairs)
    return held, held and there


def importance(whole: optuna.Study, count: int) -> list[float]:
    """Of alpha by PED-ANOVA and by fANOVA in the first trials, that of eps being the rest."""
    study = optuna.create_study()
    study.add_trials(whole.get_trials(deepcopy=False)[:count])
    evaluators = (
        optuna.importance.PedAnovaImportanceEvaluator(),
        optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0),
    )
    found = [optuna.importance.get_param_importances(study, evaluator=each) for each in evaluators]
    return [each["alpha"] for each in found]


@dataclass
class Found:
    """Of simulations of a landscape: whether intervals hold, their widths, verdicts, importances of some."""

    held: list[tuple[bool, bool]]
    widths: list[float]
    verdicts: Counter[str]
    shares: list[list[float]]

    def add(self, found: Ridge, truth: tuple[float, ...] | None) -> None:
        self.verdicts[found.verdict if found.regimes else "none"] += 1
        self.widths += [regime.slope.high - regime.slope.low for regime in found.regimes]
        held = holds(found, truth) if truth else None
        self.held += [] if held is None else [held]

    def cells(self, simulations: int) -> tuple[str, ...]:
        return (
            f"{1 - self.verdicts['none'] / simulations:.1%}",
            *([f"{share:.1%}" for share in np.mean(self.held, axis=0)] if self.held else "--"),
            f"{np.median(self.widths):.3f}" if self.widths else "-",
            *(f"{self.verdicts[kind] / simulations:.1%}" for kind in ("coupled", "decoupled")),
            "PED-ANOVA {:.2f}, fANOVA {:.2f}".format(*np.mean(self.shares, axis=0)),
        )


def costs(
    surface: Callable[[Array, Array], Array], count: int, noise: float, seed: int, tuner: str, tpe: bool
) -> tuple[float, tuple[float, float]]:
    """The true median of trials to `TARGET`, and the interval by a surrogate of scattered trials."""
    points, values, _ = sample(surface, count, noise, seed, tpe)
    drawn = draw_surrogate(fit_surrogate(observed(points, values)), DRAWS)
    asked = Asked(drawn.space, tuner, BUDGET, "seed", "free")
    cells = np.log10(drawn.space.cells())
    levels = np.tile(surface(cells[:, 0], cells[:, 1]), (DRAWS, 1))
    truth = SurrogateDraws(drawn.space, levels, noise)
    true = float(np.median(trials_to(replay_draws(truth, asked, seed=1), TARGET)))
    return true, cost_of(trials_to(replay_draws(drawn, asked), TARGET), BUDGET).interval()


def main_costs(asked: argparse.Namespace) -> None:
    for count, noise, name, tuner in itertools.product(asked.trials, asked.noise, COST_SURFACES, TUNERS):
        seeds = range(asked.first_seed, asked.first_seed + asked.simulations)
        found = [costs(SURFACES[name][0], count, noise, seed, tuner, asked.tpe) for seed in seeds]
        held = np.mean([low <= true <= high for true, (low, high) in found])
        true = np.median([each for each, _ in found])
        ends = [float(np.median(each)) for each in zip(*(interval for _, interval in found), strict=True)]
        print(name, count, f"{noise:g}", tuner, f"{held:.1%}", f"{true:g}", ends, sep="\t", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.002, 0.01, 0.05])
    parser.add_argument("--landscapes", nargs="+", default=list(SURFACES), choices=list(SURFACES))
    parser.add_argument("--tpe", action="store_true")
    parser.add_argument("--cost", action="store_true")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")  # that Optuna's evaluator is an experiment
    if asked.cost:
        main_costs(asked)
        return
    header = (
        "landscape",
        "trials",
        "noise",
        "ridge",
        "holds",
        "and where",
        "width",
        "coupled",
        "decoupled",
        "alpha's importance",
    )
    table = Table(*header, title=f"{'TPE' if asked.tpe else 'random'}, {asked.simulations} simulations each")
    for noise, name in itertools.product(asked.noise, asked.landscapes):
        surface, truth = SURFACES[name]
        found = {count: Found([], [], Counter(), []) for count in asked.trials}
        for seed in range(asked.first_seed, asked.first_seed + asked.simulations):
            points, values, study = sample(surface, max(asked.trials), noise, seed, asked.tpe)
            for count, each in found.items():
                each.add(ridge_of(points[:count], values[:count]), truth)
                if seed < asked.first_seed + IMPORTANCES:
                    each.shares.append(importance(study, count))
        for count, each in found.items():
            row = (name, str(count), f"{noise:g}", *each.cells(asked.simulations))
            table.add_row(*row)
            print(*row, sep="\t", flush=True)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
